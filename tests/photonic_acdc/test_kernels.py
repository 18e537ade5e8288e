"""Every fast kernel against the plain one: values, gradients, gradients of gradients, memory."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from photonic_acdc.layers import ACDC, AFDF
from photonic_acdc.layers.kernels import blocks as blocks_module
from photonic_acdc.layers.kernels import choose
from simulators import InputError

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SIZES = [1, 2, 3, 8, 9, 13, 16]  # even, odd, prime, powers of two


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """A few rows a block, so that small inputs take several."""
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 300)


def _outcome(layer, kernel, x, cotangent):
    """Output and gradients by one kernel."""
    layer.kernel = kernel
    x = x.clone().requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad(y, (x, *layer.parameters()), cotangent)
    with torch.no_grad():
        silent = layer(x)
    return [y.detach(), silent, *gradients]


def _assert_equal(layer, kernels, rows, dtype, complex_input=False, generator=None):
    generator = generator or torch.Generator().manual_seed(0)
    with torch.no_grad():  # a bias that is not zero
        if layer.bias is not None:
            layer.bias.copy_(torch.randn(layer.bias.shape, dtype=layer.bias.dtype, generator=generator))
    kind = dtype.to_complex() if complex_input else dtype
    x = torch.randn(rows, layer.in_features, dtype=kind, generator=generator)
    y = layer(x)
    cotangent = torch.randn(y.shape, dtype=y.dtype, generator=generator)
    wanted = _outcome(layer, "plain", x, cotangent)
    for kernel in kernels:
        for found, want in zip(_outcome(layer, kernel, x, cotangent), wanted, strict=True):
            assert found.dtype == want.dtype
            assert found.shape == want.shape
            error = (found - want).abs().max() if want.numel() else torch.zeros(())
            assert error <= TOLERANCE[dtype] * max(1.0, float(want.abs().max()) if want.numel() else 1.0), kernel


@given(
    n=st.integers(1, 40),
    out=st.integers(1, 40),
    stages=st.integers(1, 4),
    rows=st.integers(1, 9),
    bias=st.booleans(),
    permute=st.booleans(),
    activation=st.sampled_from([None, "relu", "tanh"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_acdc_kernels_equal_the_plain_one(n, out, stages, rows, bias, permute, activation, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = ACDC(
        n,
        stages,
        out_features=out,
        bias=bias,
        permute=permute,
        activation=activation,
        sigma=0.3,
        dtype=dtype,
        generator=generator,
    )
    kernels = ["auto", "fused", *(["dense"] if layer.affine else [])]
    _assert_equal(layer, kernels, rows, dtype, generator=generator)


@given(
    shape=st.one_of(st.integers(1, 40), st.tuples(st.integers(1, 7), st.integers(1, 7))),
    missing=st.integers(0, 5),
    narrow_output=st.booleans(),
    stages=st.integers(1, 4),
    rows=st.integers(1, 9),
    bias=st.booleans(),
    phase_only=st.booleans(),
    complex_input=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_afdf_kernels_equal_the_plain_one(
    shape, missing, narrow_output, stages, rows, bias, phase_only, complex_input, dtype, seed
):
    generator = torch.Generator().manual_seed(seed)
    grid = shape if isinstance(shape, tuple) else None
    n = shape if isinstance(shape, int) else shape[0] * shape[1]
    less = max(1, n - missing)
    layer = AFDF(
        *((n, stages) if narrow_output else (less, stages)),
        out_features=less if narrow_output else n,
        shape=grid,
        bias=bias,
        phase_only=phase_only,
        init="identity",
        sigma=0.3,
        dtype=dtype,
        generator=generator,
    )
    kernels = ["auto", "fused", "dense", *(["reversible"] if phase_only else [])]
    _assert_equal(layer, kernels, rows, dtype, complex_input, generator)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: ACDC(n, 2, dtype=torch.float64),
        lambda n: ACDC(n, 2, out_features=n + 2, permute=True, activation="tanh", dtype=torch.float64),
        lambda n: AFDF(n, 2, bias=True, dtype=torch.float64),
        lambda n: AFDF(2 * n, 2, shape=(2, n), phase_only=True, dtype=torch.float64),
    ],
    ids=["acdc", "acdc wide", "afdf", "afdf grid"],
)
def test_gradients_and_their_gradients_against_finite_differences(make, n):
    layer = make(n)
    for kernel in ("plain", "fused", *(["reversible"] if layer.unitary else [])):
        layer.kernel = kernel
        values = tuple(p.detach().clone().requires_grad_() for p in layer.parameters())
        names = [name for name, _ in layer.named_parameters()]
        x = torch.randn(3, layer.in_features, dtype=torch.float64, requires_grad=True)
        if isinstance(layer, AFDF):
            x = torch.complex(x.detach(), x.detach().flip(0)).requires_grad_()

        def out(x, *values, layer=layer, names=names):
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

        # fast_mode projects the Jacobian on random directions
        assert torch.autograd.gradcheck(out, (x, *values), fast_mode=layer.features > 3)
        if n in (3, 8):
            assert torch.autograd.gradgradcheck(out, (x, *values), fast_mode=True)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_acdc_fused_equals_scipy(n):
    layer = ACDC(n, 3, permute=True, activation="relu", dtype=torch.float64)
    layer.kernel = "fused"
    nn.init.normal_(layer.bias)
    x = torch.randn(4, n, dtype=torch.float64)
    wanted = x.numpy()
    for k in range(3):
        a, d, b = (p[k].detach().numpy() for p in (layer.a, layer.d, layer.bias))
        wanted = scipy.fft.idct(scipy.fft.dct(wanted * a, norm="ortho") * d + b, norm="ortho")
        if k < 2:
            wanted = np.maximum(wanted, 0)[:, layer.permutations[k].numpy()]
    assert np.abs(layer(x).detach().numpy() - wanted).max() < 1e-12


@pytest.mark.parametrize("layer", [ACDC(12, 3), AFDF(12, 3), AFDF(12, 3, phase_only=True)], ids=str)
def test_frozen_parts_get_no_gradient_and_the_rest_the_same(layer):
    x = torch.randn(5, 12)
    names = [name for name, _ in layer.named_parameters()]
    for kernel in ("fused", *(["reversible"] if layer.unitary else [])):
        layer.kernel = kernel
        for free in (*names, None):
            for name, parameter in layer.named_parameters():
                parameter.requires_grad_(name == free)
                parameter.grad = None
            given_x = x.clone().requires_grad_(free is None)
            layer(given_x).abs().sum().backward()
            layer.kernel = "plain"
            wanted_x = x.clone().requires_grad_(free is None)
            wanted = torch.autograd.grad(
                layer(wanted_x).abs().sum(), wanted_x if free is None else dict(layer.named_parameters())[free]
            )[0]
            layer.kernel = kernel
            found = given_x.grad if free is None else dict(layer.named_parameters())[free].grad
            assert torch.allclose(found, wanted, atol=1e-4)
            assert all(p.grad is None for name, p in layer.named_parameters() if name != free)
    layer.requires_grad_()


@pytest.mark.parametrize("layer", [ACDC(6, 2, dtype=torch.float64), AFDF(6, 2, dtype=torch.float64)], ids=str)
def test_function_transforms(layer):
    x = torch.randn(5, 6, dtype=torch.float64)
    dense = layer.matrix()
    jacobian = torch.func.jacrev(lambda row: torch.view_as_real(layer(row) + 0j))(x[0])
    assert torch.allclose(torch.view_as_complex(jacobian.transpose(1, 2).contiguous()).T, dense + 0j)
    assert torch.allclose(torch.func.vmap(layer)(x), layer(x))


def test_tables_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        ACDC(23, 2)(torch.randn(3, 23))
    layer = ACDC(23, 2)
    for kernel in ("plain", "fused"):
        layer.kernel = kernel
        layer(torch.randn(3, 23)).sum().backward()
    assert layer.a.grad.isfinite().all()


def test_the_fused_kernel_follows_permutations_that_change():
    layer, other = ACDC(12, 3, permute=True), ACDC(12, 3, permute=True)
    x = torch.randn(5, 12)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    changes = {
        "loaded": lambda: layer.load_state_dict(other.state_dict()),
        "changed": lambda: layer.permutations.copy_(layer.permutations.flip(-1)),
        "replaced": lambda: setattr(layer, "permutations", torch.stack([torch.randperm(12) for _ in range(2)])),
        "copied": lambda: layer.load_state_dict(copy.deepcopy(layer).state_dict()),
    }
    for change in changes.values():
        change()
        layer.kernel = "plain"
        wanted = layer(x)
        layer.kernel = "fused"
        assert torch.allclose(layer(x), wanted, atol=1e-5)


@pytest.mark.parametrize("layer", [ACDC(4, 2), AFDF(4, 2), AFDF(4, 2, phase_only=True)], ids=str)
def test_shapes_of_batches(layer):
    for kernel in ("plain", "fused", "dense", *(["reversible"] if layer.unitary else [])):
        layer.kernel = kernel
        for batch in ((), (0,), (2, 3), (2, 0, 3)):
            x = torch.randn(*batch, 4, requires_grad=True)
            y = layer(x)
            assert y.shape == x.shape
            y.abs().sum().backward()
            assert x.grad.shape == x.shape


def test_an_expanded_or_strided_input_is_as_good():
    for layer in (ACDC(6, 2), AFDF(6, 2), AFDF(6, 2, phase_only=True)):
        for kernel in ("fused", *(["reversible"] if layer.unitary else [])):
            layer.kernel = kernel
            for x in (torch.randn(1, 6).expand(5, 6), torch.randn(6, 5).T, torch.randn(5, 12)[:, ::2]):
                assert torch.allclose(layer(x), layer(x.contiguous()))
            layer(torch.randn(5, 6)).real.sum().backward()  # an expanded gradient


def test_fields_kept_for_the_gradient():
    """Plain: 2K fields; fused: K - 1 beside the input; reversible: none beside input and output."""
    stages, x = 8, torch.randn(16, 32, dtype=torch.complex64)

    def fields(kernel):
        layer = AFDF(32, stages, phase_only=True)
        layer.kernel = kernel
        kept = {}

        def keep(tensor):
            # What a node keeps of its input, and views of one storage, count once.
            if tensor.numel() >= x.numel():
                kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            y = layer(x)
        beside = {x.untyped_storage().data_ptr(), y.untyped_storage().data_ptr()}
        return sum(t.numel() // x.numel() for pointer, t in kept.items() if pointer not in beside)

    assert fields("plain") >= 2 * stages - 1
    assert fields("fused") == stages - 1
    assert fields("reversible") == 0


def test_choice():
    assert choose("auto", 8, 1024, 12, affine=True) == "fused"
    assert choose("auto", 100_000, 64, 12, affine=True) == "dense"
    assert choose("auto", 100_000, 64, 12, affine=False) == "fused"
    assert choose("auto", 10**9, 4096, 1, affine=True) == "fused"
    assert choose("plain", 100_000, 64, 12, affine=True) == "plain"


@pytest.mark.parametrize(
    ("make", "kernel", "message"),
    [
        (lambda: ACDC(4), "fast", r"ACDC: kernel: got 'fast'; allowed: .*auto"),
        (lambda: ACDC(4), "reversible", r"AFDF with phase_only=True"),
        (lambda: AFDF(4), "reversible", r"AFDF: kernel: got 'reversible'"),
        (lambda: ACDC(4, 2, activation="relu"), "dense", r"without activation"),
    ],
)
def test_bad_kernels(make, kernel, message):
    layer = make()
    with pytest.raises(InputError, match=message):
        layer.kernel = kernel
    assert layer.kernel == "auto"
