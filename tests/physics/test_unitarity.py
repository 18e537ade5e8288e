"""A lens conserves power: ‖F x‖² = ‖x‖² to 1e-12 (complex128) and 1e-5 (complex64)."""

from __future__ import annotations

import math

import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import AngularSpectrum, FourierTransform, Fresnel, FresnelTransform, TwoF

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1
SHAPES = [(1, 64), (1, 65), (32, 33), (47, 30)]
TOLERANCE = {torch.complex128: 1e-12, torch.complex64: 1e-5}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["auto", "fft", "matrix", "chirp-z"])
def test_fourier_transform(shape, dtype, method):
    grid = Grid(shape, (10e-6, 8e-6))
    lens = FourierTransform(grid, grid.conjugate(WAVELENGTH, FOCAL_LENGTH), WAVELENGTH, FOCAL_LENGTH, method)
    field = torch.randn(3, *shape, dtype=dtype)
    out = lens(field)
    assert out.dtype == dtype
    assert (lens.grid_out.power(out) / grid.power(field) - 1).abs().max() < TOLERANCE[dtype]
    assert (lens.adjoint(out) - field).abs().max() < 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_free_space_and_lens_without_an_edge(shape, dtype):
    """Periodic free space, the Fresnel transform to its own grid, and a misplaced lens: all unitary."""
    grid = Grid(shape, (10e-6, 8e-6))
    behind = grid.conjugate(WAVELENGTH, FOCAL_LENGTH)
    field = torch.randn(2, *shape, dtype=dtype)
    with pytest.warns(UserWarning, match="repetition"):  # of a Fresnel transform on so few samples
        transform = FresnelTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)
    for operator in (
        AngularSpectrum(grid, WAVELENGTH, 0.03, padding=None),
        Fresnel(grid, WAVELENGTH, -0.03, padding=None),
        transform,
        TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH),
        TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, front=0.13),
    ):
        out = operator(field)
        assert (operator.grid_out.power(out) / grid.power(field) - 1).abs().max() < TOLERANCE[dtype]
        assert (operator.adjoint(out) - field).abs().max() < 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("diameter", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("errors", [{}, {"aberration": {8: 0.3, 11: 0.2}}, {"front": 0.09, "back": 0.11}])
def test_no_singular_value_above_one(diameter, errors):
    """A lens with an edge, from and to a 1.2 mm plane of three times the critical samples: it only loses."""
    count, fine = 24, 3
    pitch = math.sqrt(WAVELENGTH * FOCAL_LENGTH / count) / fine
    grid = Grid((1, fine * count), (fine * pitch, pitch))
    lens = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=diameter * grid.extent[1], **errors)
    matrix = lens(torch.eye(fine * count, dtype=torch.complex128)[:, None])[:, 0].T
    across = fine * pitch / math.sqrt(WAVELENGTH * abs(float(lens.ray[1])))  # the one row's own factor
    largest = float(torch.linalg.svdvals(matrix / across)[0])
    assert largest < 1 + 1e-9
    assert largest > 0.9


def test_free_space_with_a_window_only_loses():
    grid = Grid((1, 32), (8e-6, 8e-6))
    for operator in (AngularSpectrum(grid, WAVELENGTH, 2e-3), Fresnel(grid, WAVELENGTH, 2e-3)):
        matrix = operator(torch.eye(32, dtype=torch.complex128)[:, None])[:, 0].T
        largest = float(torch.linalg.svdvals(matrix)[0])
        assert 0.99 < largest < 1 + 1e-12


def test_evanescent_waves_decay_in_both_directions():
    """Samples finer than λ/2 carry waves that do not travel: cos(2πνx), ν = 1.25/λ, shrinks by e^{-2π·0.75 z/λ}."""
    wavelength = 1.0
    grid = Grid((1, 20), (0.2, 0.2))
    field = torch.cos(2 * math.pi * 1.25 * grid.positions(1)).to(torch.complex128)[None]
    for distance in (0.3, -0.3):
        out = AngularSpectrum(grid, wavelength, distance, padding=None)(field)
        assert (out - field * math.exp(-2 * math.pi * 0.75 * 0.3)).abs().max() < 1e-13
