"""Gaussian beams: width, curvature and Gouy phase in free space; the waist a lens makes."""

from __future__ import annotations

import math

import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import AngularSpectrum, FourierTransform, Fresnel, FresnelTransform, TwoF, free_space

WAVELENGTH, WAIST = 633e-9, 60e-6
RAYLEIGH = math.pi * WAIST**2 / WAVELENGTH


def beam(grid, z):
    """The beam of waist ``WAIST`` at z, without e^{ikz}: one row is a beam in x only, of half the Gouy phase."""
    y, x = grid.meshed()
    dimensions = 1 if grid.shape[0] == 1 else 2
    squared = x**2 + (y**2 if dimensions == 2 else 0 * y)
    q = z - 1j * RAYLEIGH
    width = math.hypot(1, z / RAYLEIGH)
    phase = math.pi / WAVELENGTH * squared * (1 / q).real - dimensions / 2 * math.atan(z / RAYLEIGH)
    size = torch.exp(-squared / (WAIST * width) ** 2) / width ** (dimensions / 2)
    return torch.complex(phase.cos(), phase.sin()) * size


def overlap(a, b):
    """⟨a, b⟩/(‖a‖‖b‖), with its phase."""
    return complex((a.conj() * b).sum() / (a.norm() * b.norm()))


def width(grid, field, axis):
    """1/e² radius from the second moment of the intensity."""
    intensity = field.abs().square().sum(-1 if axis == 0 else -2)
    x = grid.positions(axis)
    return 2 * math.sqrt(float((intensity * x**2).sum() / intensity.sum()))


@pytest.mark.parametrize("shape", [(1, 300), (1, 301), (200, 201)])
@pytest.mark.parametrize("turns", [0.5, -1.0, 3.0])
@pytest.mark.parametrize("build", [AngularSpectrum, Fresnel])
@pytest.mark.filterwarnings("ignore:along")  # of steep light, which this beam has none of
def test_free_space(build, shape, turns):
    """w(z), R(z) and -atan(z/z_R): the defect of the complex overlap, phase included, is below 1e-6."""
    distance = turns * RAYLEIGH
    pitch = 12 * WAIST * max(1, abs(turns) / 2) / max(shape)
    grid = Grid(shape, (pitch, pitch))
    out = build(grid, WAVELENGTH, distance)(beam(grid, 0.0))
    expected = beam(grid, distance)
    assert abs(1 - overlap(expected, out)) < (1e-12 if build is Fresnel else 5e-6)  # the beam itself is paraxial
    assert abs(overlap(expected, out)) > 1 - 1e-6
    assert width(grid, out, 1) == pytest.approx(WAIST * math.hypot(1, turns), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 256), (127, 128)])
def test_single_transform(shape):
    """To a grid of other samples, far away."""
    distance = 10 * RAYLEIGH
    grid = Grid(shape, (6 * WAIST / 128, 6 * WAIST / 128))
    behind = Grid(shape, (60 * WAIST / 128, 60 * WAIST / 128))
    out = FresnelTransform(grid, behind, WAVELENGTH, distance)(beam(grid, 0.0))
    expected = beam(behind, distance)
    if shape[0] == 1:  # the one row's own factor
        out = out / (grid.pitch[0] / torch.tensor(1j * WAVELENGTH * distance).sqrt())
    assert abs(1 - overlap(expected, out)) < 1e-6
    assert float((out - expected).abs().max() / expected.abs().max()) < 2e-4


@pytest.mark.parametrize("shape", [(1, 400), (160, 161)])
def test_waist_behind_a_lens(shape):
    """w' = λf/(πw₀) to 1e-6, with a flat phase: through the transform, through `TwoF` with and without an edge."""
    focal_length = 0.05
    grid = Grid(shape, (12 * WAIST / max(shape), 12 * WAIST / max(shape)))
    small = WAVELENGTH * focal_length / (math.pi * WAIST)
    behind = Grid(shape, (12 * small / max(shape), 12 * small / max(shape)))
    for lens in (
        FourierTransform(grid, behind, WAVELENGTH, focal_length),
        TwoF(grid, behind, WAVELENGTH, focal_length),
        TwoF(grid, behind, WAVELENGTH, focal_length, aperture=20e-3),
    ):
        out = lens(beam(grid, 0.0))
        assert width(behind, out, 1) == pytest.approx(small, rel=1e-6)
        y, x = behind.meshed()
        flat = -1j * torch.exp(-(x**2 + (y**2 if shape[0] > 1 else 0 * y)) / small**2)
        assert abs(1 - overlap(flat, out)) < 1e-6


def test_free_space_takes_the_method_that_reaches():
    """Near, between and far, the beam comes out right by whatever ``free_space`` takes, without a warning."""
    grid = Grid((1, 256), (4e-6, 4e-6))
    taken = []
    for distance in (0.2 * RAYLEIGH, 0.9 * RAYLEIGH, 2.5 * RAYLEIGH):
        operator = free_space(grid, WAVELENGTH, distance)
        taken.append(type(operator))
        out = operator(beam(grid, 0.0))
        assert abs(overlap(beam(grid, distance), out)) > 1 - 1e-4
    assert taken == [AngularSpectrum, AngularSpectrum, FresnelTransform]
