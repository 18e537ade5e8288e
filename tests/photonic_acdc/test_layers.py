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
from photonic_acdc.layers import ACDC, AFDF, Intensity
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
    with pytest.raises(InputError, match=r"in_features and out_features: got 9 and 8"):
        kind.like(nn.Linear(9, 8))
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
        (lambda: AFDF(6, shape=(2, 4)), r"AFDF: shape: got \(2, 4\); allowed: a grid of 6"),
        (lambda: AFDF(6, init="zeros"), r"AFDF: init: got 'zeros'"),
        (lambda: ACDC(6, sigma=-1), r"ACDC: sigma: got -1"),
        (lambda: AFDF(6)(torch.ones(5)), r"AFDF: last axis of the input: got \(5,\); allowed: \(\.\.\., 6\)"),
        (lambda: ACDC(6)(torch.ones(2, 5)), r"ACDC: last axis"),
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


def test_public_front_door():
    assert pa.layers.AFDF is AFDF
