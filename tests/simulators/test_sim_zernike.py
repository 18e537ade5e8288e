"""Zernike polynomials: closed forms of Noll's table, orthonormality, Seidel's terms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import eval_jacobi

from simulators.errors import InputError
from simulators.zernike import noll_indices, seidel, wavefront, zernike, zernike_basis

#: Noll, J. Opt. Soc. Am. 66, 207 (1976), Table I, in r and θ.
TABLE = {
    1: lambda r, t: np.ones_like(r * t),
    2: lambda r, t: 2 * r * np.cos(t),
    3: lambda r, t: 2 * r * np.sin(t),
    4: lambda r, t: math.sqrt(3) * (2 * r**2 - 1) + 0 * t,
    5: lambda r, t: math.sqrt(6) * r**2 * np.sin(2 * t),
    6: lambda r, t: math.sqrt(6) * r**2 * np.cos(2 * t),
    7: lambda r, t: math.sqrt(8) * (3 * r**3 - 2 * r) * np.sin(t),
    8: lambda r, t: math.sqrt(8) * (3 * r**3 - 2 * r) * np.cos(t),
    9: lambda r, t: math.sqrt(8) * r**3 * np.sin(3 * t),
    10: lambda r, t: math.sqrt(8) * r**3 * np.cos(3 * t),
    11: lambda r, t: math.sqrt(5) * (6 * r**4 - 6 * r**2 + 1) + 0 * t,
    12: lambda r, t: math.sqrt(10) * (4 * r**4 - 3 * r**2) * np.cos(2 * t),
    13: lambda r, t: math.sqrt(10) * (4 * r**4 - 3 * r**2) * np.sin(2 * t),
    14: lambda r, t: math.sqrt(10) * r**4 * np.cos(4 * t),
    15: lambda r, t: math.sqrt(10) * r**4 * np.sin(4 * t),
}


def polar(radius, count=13):
    """Radii up to ``radius`` times angles, as numpy r, θ and as tensors y, x."""
    r, t = np.meshgrid(np.linspace(0, radius, count), np.linspace(0, 2 * math.pi, count + 4), indexing="ij")
    return r, t, torch.from_numpy(r * np.sin(t)), torch.from_numpy(r * np.cos(t))


@pytest.mark.parametrize("noll", TABLE)
def test_closed_forms(noll):
    """Inside the disc, and outside, where the polynomial goes on."""
    r, t, y, x = polar(1.5)
    assert np.allclose(zernike(noll, y, x).numpy(), TABLE[noll](r, t), atol=1e-13, rtol=1e-13)


def test_orthonormal_over_the_disc():
    """The first 66 by a quadrature exact for their products: Gauss-Legendre in r², even steps in θ."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    angle = 2 * math.pi * np.arange(48) / 48
    r = np.sqrt((nodes + 1) / 2)[:, None]
    y, x = torch.from_numpy(r * np.sin(angle)), torch.from_numpy(r * np.cos(angle))
    basis = zernike_basis(66, y, x)
    weight = torch.from_numpy(weights / 2)[:, None] / 48
    gram = torch.einsum("iyx,jyx->ij", basis * weight, basis)
    assert (gram - torch.eye(66, dtype=torch.float64)).abs().max() < 1e-13


@pytest.mark.parametrize("noll", [351, 801, 820])
def test_high_degree_keeps_its_digits(noll):
    """Degree 25 and 39 against scipy's Jacobi polynomials; plain power sums would have lost every digit."""
    n, signed = noll_indices(noll)
    m = abs(signed)
    r, t, y, x = polar(1.0, 25)
    radial = r**m * eval_jacobi((n - m) // 2, 0, m, 2 * r**2 - 1)
    expected = math.sqrt((n + 1) * (2 if m else 1)) * radial * (np.sin(m * t) if signed < 0 else np.cos(m * t))
    assert np.abs(zernike(noll, y, x).numpy() - expected).max() < 1e-11


def test_noll_numbers_fill_every_row():
    """Row n holds each |m| of its parity once with cosine and, for m > 0, once with sine, cosine at even numbers."""
    noll = 1
    for n in range(12):
        found = []
        for _ in range(n + 1):
            degree, m = noll_indices(noll)
            assert degree == n
            assert m == 0 or (m > 0) == (noll % 2 == 0)
            found.append(m)
            noll += 1
        assert sorted(found) == list(range(-n, n + 1, 2))
        assert [abs(m) for m in found] == sorted(abs(m) for m in found)


def test_wavefront_is_the_sum_and_its_rms_the_root_of_squares():
    coefficients = {4: 0.03, 7: torch.tensor(-0.02, dtype=torch.float64), 11: 0.05}
    nodes, weights = np.polynomial.legendre.leggauss(12)
    angle = 2 * math.pi * np.arange(24) / 24
    r = np.sqrt((nodes + 1) / 2)[:, None]
    y, x = torch.from_numpy(r * np.sin(angle)), torch.from_numpy(r * np.cos(angle))
    wave = wavefront(coefficients, y, x)
    assert torch.allclose(wave, sum(float(c) * zernike(j, y, x) for j, c in coefficients.items()), atol=1e-15)
    mean_square = (torch.from_numpy(weights / 48)[:, None] * wave**2).sum()
    assert float(mean_square) == pytest.approx(0.03**2 + 0.02**2 + 0.05**2, rel=1e-12)


def test_wavefront_broadcasts_and_differentiates():
    y, x = torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None], torch.linspace(-1, 1, 5, dtype=torch.float64)
    c = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64, requires_grad=True).reshape(3, 1, 1)
    assert wavefront({4: c, 11: 0.1}, y, x).shape == (3, 4, 5)
    leaf = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: wavefront({5: a[0], 11: a[1]}, y, x), leaf)


@pytest.mark.parametrize("noll", [1, 2, 4, 5, 8, 11, 22])
def test_gradient_in_the_coordinates(noll):
    y = torch.tensor([0.0, 0.3, -0.7, 1.2], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.0, -0.4, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: zernike(noll, a, b), (y, x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_coordinates(dtype):
    y, x = torch.zeros(2, 1, dtype=dtype), torch.ones(3, dtype=dtype)
    for values in (zernike(8, y, x), zernike_basis(3, y, x), wavefront({8: 0.1}, y, x), seidel({"coma": 0.1}, y, x)):
        assert values.dtype == dtype
        assert values.shape[-2:] == (2, 3)


def test_seidel_terms():
    """At field (0, 1): p⁴, p³ cos θ, p² cos² θ, p², p cos θ; and how they grow with the field."""
    r, t, y, x = polar(1.0)
    shapes = {
        "spherical": (r**4, 0),
        "coma": (r**3 * np.cos(t), 1),
        "astigmatism": (r**2 * np.cos(t) ** 2, 2),
        "field_curvature": (r**2, 2),
        "distortion": (r * np.cos(t), 3),
        "defocus": (r**2, 0),
    }
    for name, (shape, power) in shapes.items():
        assert np.allclose(seidel({name: 0.7}, y, x).numpy(), 0.7 * shape, atol=1e-14)
        assert np.allclose(seidel({name: 0.7}, y, x, field=(0, 0.5)).numpy(), 0.7 * 0.5**power * shape, atol=1e-14)
    turned = seidel({"coma": 1.0}, y, x, field=(1.0, 0.0)).numpy()
    assert np.allclose(turned, r**3 * np.sin(t), atol=1e-14)


def test_seidel_spherical_as_zernike():
    """p⁴ = (Z₁₁/√5 + 3 Z₄/√3 + 2)/6, a mixture known from the closed forms."""
    _, _, y, x = polar(1.0)
    mixture = wavefront({11: 1 / (6 * math.sqrt(5)), 4: 1 / (2 * math.sqrt(3)), 1: 1 / 3}, y, x)
    assert torch.allclose(seidel({"spherical": 1.0}, y, x), mixture, atol=1e-14)


def test_bad_input():
    y = x = torch.zeros(1)
    with pytest.raises(InputError, match=r"Noll number: got 0; allowed: 1 \(piston\)"):
        zernike(0, y, x)
    with pytest.raises(InputError, match=r"Seidel term: got comma; allowed: did you mean coma"):
        seidel({"comma": 1.0}, y, x)
