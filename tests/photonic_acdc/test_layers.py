"""AFDF, ACDC and their transforms against scipy, dense matrices and finite differences."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import photonic_acdc as pa
from photonic_acdc.layers import (
    ACDC,
    AFDF,
    CReLU,
    EvenExtension,
    EvenPart,
    Hybrid,
    Intensity,
    ModReLU,
    Permutation,
    Real,
)
from photonic_acdc.transforms import dct, dft, idct, idft
from simulators import InputError

SIZES = [1, 2, 3, 4, 5, 7, 8, 16, 31, 64]


@given(n=st.integers(1, 130), rows=st.integers(1, 3), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_dct_equals_scipy(n, rows, seed):
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, n)))
    assert np.abs(dct(x).numpy() - scipy.fft.dct(x.numpy(), norm="ortho")).max() < 1e-12
    assert np.abs(idct(x).numpy() - scipy.fft.idct(x.numpy(), norm="ortho")).max() < 1e-12


@pytest.mark.parametrize("n", SIZES)
def test_transforms_are_orthonormal_in_both_precisions(n):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        x = torch.randn(2, n, dtype=dtype)
        assert (idct(dct(x)) - x).abs().max() < tolerance * 10
        z = torch.complex(x, x.flip(-1))
        assert (idft(dft(z)) - z).abs().max() < tolerance * 10
        assert abs(dft(z).norm() / z.norm() - 1) < tolerance
        assert dct(x).dtype == dtype


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_gradcheck(n):
    x = torch.randn(2, n, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(dct, x)
    assert torch.autograd.gradcheck(idct, x)
    for layer in (ACDC(n, 2, dtype=torch.float64), AFDF(n, 2, dtype=torch.float64, init="identity")):
        values = tuple(p.detach().clone().requires_grad_() for p in layer.parameters())
        names = [name for name, _ in layer.named_parameters()]

        def out(x, *values, layer=layer, names=names):
            y = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
            return torch.view_as_real(y) if y.is_complex() else y

        assert torch.autograd.gradcheck(out, (x, *values))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("stages", [1, 3])
def test_acdc_equals_its_scipy_composition(n, stages):
    layer = ACDC(n, stages, dtype=torch.float64)
    nn.init.normal_(layer.bias)
    x = torch.randn(4, n, dtype=torch.float64)
    wanted = x.numpy()
    for k in range(stages):
        a, d, b = (p[k].detach().numpy() for p in (layer.a, layer.d, layer.bias))
        wanted = scipy.fft.idct(scipy.fft.dct(wanted * a, norm="ortho") * d + b, norm="ortho")
    assert np.abs(layer(x).detach().numpy() - wanted).max() < 1e-12


@pytest.mark.parametrize("n", SIZES)
def test_afdf_equals_dense_factors(n):
    """Row vectors: y = x A F D F⁻¹ …, every factor a dense matrix."""
    layer = AFDF(n, 3, dtype=torch.float64, init="identity")
    f = torch.from_numpy(scipy.linalg.dft(n, scale="sqrtn"))
    a, d = layer.diagonals()
    dense = torch.eye(n, dtype=torch.complex128)
    for k in range(3):
        dense = dense @ torch.diag(a[k]) @ f @ torch.diag(d[k]) @ f.mH
    x = torch.randn(5, n, dtype=torch.complex128)
    assert (layer(x) - x @ dense).abs().max() < 1e-12


def test_afdf_starts_as_an_isometry_and_phase_only_stays_one():
    x = torch.randn(3, 30, dtype=torch.complex128)
    for layer in (
        AFDF(30, 4, dtype=torch.float64),
        AFDF(30, 4, shape=(5, 6), phase_only=True, dtype=torch.float64),
    ):
        assert torch.allclose(layer(x).norm(dim=-1), x.norm(dim=-1))
    assert [name for name, _ in layer.named_parameters()] == ["a_phase", "d_phase"]


def test_same_generator_same_layer():
    def make(kind, **options):
        return kind(12, 2, generator=torch.Generator().manual_seed(5), **options)

    for kind in (AFDF, ACDC):
        one, two = make(kind), make(kind)
        assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("kind", [AFDF, ACDC])
def test_like_takes_size_dtype_and_device(kind):
    layer = kind.like(nn.Linear(9, 9, bias=False, dtype=torch.float64), stages=2)
    assert (layer.features, layer.stages) == (9, 2)
    assert all(p.dtype == torch.float64 for p in layer.parameters())
    wide = kind.like(nn.Linear(9, 8))
    assert (wide.features, wide.in_features, wide.out_features) == (9, 9, 8)
    assert ACDC.like(nn.Linear(9, 9, bias=False)).bias is None


@pytest.mark.parametrize("kind", [AFDF, ACDC])
def test_modules_behave(kind):
    layer = kind(10, 2)
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 10)
    assert torch.equal(layer(x), twin(x))
    assert layer(x).shape == x.shape
    compiled = torch.compile(layer, backend="aot_eager")
    assert torch.allclose(compiled(x), layer(x), atol=1e-6)
    assert f"stages={layer.stages}" in repr(layer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AFDF(0), r"AFDF: features: got 0; allowed: a whole number ≥ 1"),
        (lambda: ACDC(4, 0), r"ACDC: stages: got 0"),
        (lambda: AFDF(6, shape=(2, 4)), r"AFDF: shape: got \(2, 4\); allowed: a grid \(y, x\) of 6"),
        (lambda: AFDF(6, init="zeros"), r"AFDF: init: got 'zeros'"),
        (lambda: ACDC(6, sigma=-1), r"ACDC: sigma: got -1"),
        (lambda: AFDF(6)(torch.ones(5)), r"AFDF: last axis of the input: got \(5,\); allowed: \(\.\.\., 6\)"),
        (lambda: ACDC(6)(torch.ones(2, 5)), r"ACDC: last axis"),
        (lambda: ACDC(6, sigma=float("nan")), r"ACDC: sigma: got nan"),
        (lambda: ACDC(6, out_features=0), r"ACDC: out_features: got 0"),
        (lambda: ACDC(6, activation="rleu"), r"ACDC: activation: got 'rleu'; allowed: .*did you mean relu"),
        (lambda: ACDC(6, dtype=torch.float16), r"ACDC: dtype: got torch.float16"),
        (lambda: ACDC(2.0), r"ACDC: features: got 2.0"),
        (lambda: AFDF(6, shape=(2, 3), out_features=8), r"AFDF: shape: .*8 features"),
        (lambda: ModReLU(0), r"ModReLU: features"),
        (lambda: ModReLU(3)(torch.ones(4)), r"ModReLU: last axis"),
        (lambda: Permutation(3)(torch.ones(4)), r"Permutation: last axis"),
        (lambda: EvenExtension(4, 3), r"EvenExtension: features: got 3; allowed: ≥ in_features = 4"),
        (lambda: EvenExtension(4)(torch.ones(3)), r"EvenExtension: last axis"),
        (lambda: EvenPart(0), r"EvenPart: out_features"),
        (lambda: ACDC(6)(torch.ones(6, dtype=torch.complex64)), r"ACDC: input: got torch.complex64.*AFDF"),
        (lambda: dct(torch.ones(3, dtype=torch.int64)), r"dct: input dtype: got torch.int64"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_intensity():
    z = torch.randn(4, dtype=torch.complex128)
    assert torch.allclose(Intensity()(z), z.abs() ** 2)
    assert torch.equal(Intensity()(z.real), z.real**2)


def test_a_complex_parameter_keeps_both_parts_in_another_precision():
    for make in (lambda: AFDF(5, 2, bias=True), lambda: Hybrid(AFDF(5, 2), rank=2, entries=3)):
        layer = make()
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        x = torch.randn(3, 5)
        wanted = layer(x)
        for cast in (lambda m: m.to(torch.float64), lambda m: m.double(), lambda m: m.double().float()):
            twin = cast(copy.deepcopy(layer))
            assert torch.allclose(twin(x).to(wanted.dtype), wanted, atol=1e-5)
        double = copy.deepcopy(layer).double()
        assert all(p.real.dtype == torch.float64 for p in double.parameters())
        double(x.double()).abs().sum().backward()
        assert copy.deepcopy(layer).to("meta")(x.to("meta")).shape == x.shape


# --- rectangular use --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wide", "narrow"), [(9, 5), (5, 9), (1, 4), (7, 7)])
@pytest.mark.parametrize("kind", [AFDF, ACDC])
def test_padding_and_cropping(kind, wide, narrow):
    generator = torch.Generator().manual_seed(0)
    layer = kind(wide, 2, out_features=narrow, generator=generator, dtype=torch.float64)
    n = max(wide, narrow)
    square = kind(n, 2, dtype=torch.float64)
    square.load_state_dict(layer.state_dict())
    x = torch.randn(3, wide, dtype=torch.float64)
    wanted = square(torch.cat([x, torch.zeros(3, n - wide, dtype=torch.float64)], dim=1))[:, :narrow]
    assert torch.allclose(layer(x), wanted)
    assert layer.matrix().shape == (wide, narrow)


@pytest.mark.parametrize(
    "layer",
    [
        ACDC(6, 3, out_features=4, permute=True, dtype=torch.float64),
        ACDC(6, 1, activation="relu", dtype=torch.float64),
        AFDF(4, 3, out_features=6, shape=(2, 3), bias=True, dtype=torch.float64),
    ],
    ids=str,
)
def test_collapse(layer):
    nn.init.normal_(layer.bias)
    dense = layer.collapse()
    x = torch.randn(5, layer.in_features, dtype=torch.float64)
    x = x.to(dense.weight.dtype)
    assert isinstance(dense, nn.Linear)
    assert dense.bias is not None
    assert torch.allclose(dense(x), layer(x.real))
    nn.init.zeros_(layer.bias)
    assert layer.collapse().bias is None


def test_what_has_an_activation_has_no_matrix():
    with pytest.raises(InputError, match="ACDC has an activation inside"):
        ACDC(4, 2, activation="relu").collapse()


def test_flops_of_a_layer_grow_as_n_log_n():
    for kind in (ACDC, AFDF):
        assert kind(1024, 3).flops() == 3 * kind(1024).flops()
        assert 2 < kind(2048).flops() / kind(1024).flops() < 2.2
    # 4N + 5N log2 N of the paper, here with the twiddles of the two transforms and a bias
    assert 5 * 1024 * 10 < ACDC(1024).flops() < 14 * 1024 + 5 * 1024 * 10


# --- ACDC as AFDF -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_acdc_on_twice_the_modes(n, bias):
    layer = ACDC(n, 3, bias=bias, sigma=0.5, dtype=torch.float64)
    if bias:
        nn.init.normal_(layer.bias)
    twin = layer.as_afdf()
    x = torch.randn(4, n, dtype=torch.float64)
    assert twin[1].features == 2 * n
    assert (twin(x) - layer(x)).abs().max() < 1e-12
    # every stage is even again, and what is cropped its mirror image
    whole = twin[1](twin[0](x))
    assert (whole - whole.flip(-1)).abs().max() < 1e-12
    assert whole.imag.abs().max() < 1e-12


def test_a_rectangular_acdc_on_twice_the_modes():
    for wide, narrow in ((5, 8), (8, 5)):
        layer = ACDC(wide, 2, out_features=narrow, dtype=torch.float64)
        x = torch.randn(4, wide, dtype=torch.float64)
        assert (layer.as_afdf()(x) - layer(x)).abs().max() < 1e-12


def test_permutations_and_activations_stay_electronic():
    for options in ({"permute": True}, {"activation": "relu"}):
        with pytest.raises(InputError, match="single-stage layers"):
            ACDC(4, 2, **options).as_afdf()


# --- activations ------------------------------------------------------------------------------------------------------


def test_complex_activations():
    z = torch.tensor([3 + 4j, -3 + 4j, 3 - 4j, 0, 1e-3j], dtype=torch.complex128)
    assert torch.allclose(CReLU()(z), torch.tensor([3 + 4j, 4j, 3, 0, 1e-3j], dtype=torch.complex128))
    modrelu = ModReLU(5, dtype=torch.float64)
    assert torch.allclose(modrelu(z), z)
    with torch.no_grad():
        modrelu.bias.fill_(-2.5)
    assert torch.allclose(modrelu(z), torch.tensor([0.5, 0.5, 0.5, 0, 0]) * z)
    with torch.no_grad():
        modrelu.bias.fill_(2.5)
    assert torch.allclose(modrelu(z[:1].expand(5)), torch.tensor(1.5) * z[0])
    assert torch.equal(Real()(z), z.real)
    for real in (Real(), CReLU()):
        assert torch.equal(real(torch.tensor([2.0])), torch.tensor([2.0]))


def test_modrelu_has_finite_gradients_at_zero():
    modrelu = ModReLU(3)
    with torch.no_grad():
        modrelu.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    z = torch.zeros(3, dtype=torch.complex64, requires_grad=True)
    modrelu(z).abs().sum().backward()
    assert z.grad.isfinite().all()
    assert modrelu.bias.grad.isfinite().all()


def test_modrelu_gradcheck():
    modrelu = ModReLU(4, dtype=torch.float64)
    z = torch.randn(3, 4, dtype=torch.complex128, requires_grad=True)
    bias = torch.tensor([-0.1, 0.2, 0.0, -0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, b: torch.func.functional_call(modrelu, {"bias": b}, (z,)), (z, bias))


def test_permutation_is_one_and_is_kept():
    layer = Permutation(9, torch.Generator().manual_seed(1))
    assert torch.equal(layer.order.sort().values, torch.arange(9))
    x = torch.randn(2, 9)
    assert torch.equal(layer(x), x[:, layer.order])
    other = Permutation(9)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_public_front_door():
    assert pa.layers.AFDF is AFDF
