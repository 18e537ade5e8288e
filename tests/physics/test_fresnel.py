"""Fresnel diffraction at a square aperture, as a complex field, against Fresnel integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import fresnel

from simulators.grid import Grid
from simulators.propagation import AngularSpectrum, Fresnel, FresnelTransform, TwoF

WAVELENGTH, SIDE = 633e-9, 1e-3


def integral(u, distance):
    """1/√(iλz) ∫ e^{iπ(x-u)²/λz} dx over the side, by C and S."""
    scale = math.sqrt(2 / (WAVELENGTH * distance))
    ends = []
    for edge in (SIDE / 2, -SIDE / 2):
        s, c = fresnel(scale * (edge - u))
        ends.append(c + 1j * s)
    return (ends[0] - ends[1]) / math.sqrt(2) * np.exp(-1j * math.pi / 4)


def window(count, pitch):
    """The aperture: whole samples in the middle of a window of ``count``."""
    line = (torch.arange(count) - (count - 1) / 2).abs() * pitch < SIDE / 2
    return line


@pytest.mark.parametrize(("open_samples", "count"), [(256, 512), (255, 511)])
@pytest.mark.parametrize("fresnel_number", [2.0, 6.0])
@pytest.mark.parametrize("name", ["angular spectrum", "fresnel", "fresnel transform"])
@pytest.mark.filterwarnings("ignore:along")
def test_square_aperture(name, fresnel_number, open_samples, count):
    """Relative L2 of the complex field below 1e-2 over the window."""
    pitch = SIDE / open_samples
    grid = Grid((count, count), (pitch, pitch))
    distance = (SIDE / 2) ** 2 / (WAVELENGTH * fresnel_number)
    line = window(count, pitch)
    assert int(line.sum()) == open_samples
    field = (line[:, None] & line).to(torch.complex128)
    operator = {
        "angular spectrum": lambda: AngularSpectrum(grid, WAVELENGTH, distance),
        "fresnel": lambda: Fresnel(grid, WAVELENGTH, distance),
        "fresnel transform": lambda: FresnelTransform(grid, grid, WAVELENGTH, distance),
    }[name]()
    row = integral(grid.positions(1).numpy(), distance)
    expected = row[:, None] * row
    error = np.linalg.norm(operator(field).numpy() - expected) / np.linalg.norm(expected)
    assert error < 1e-2


@pytest.mark.parametrize("count", [512, 511])
def test_slit_through_a_misplaced_lens(count):
    """One row through a 2f section whose output plane is off focus: an exact Fresnel integral of another distance.

    Behind a lens of focal length f, at d₂, a field at the lens looks as after the distance d₂ f/(f - d₂), enlarged.
    """
    f, back = 0.1, 0.08
    pitch = SIDE / count
    grid = Grid((1, count), (1e-5, pitch))
    behind = Grid((1, 301), (1e-5, 1e-6))
    out = TwoF(grid, behind, WAVELENGTH, f, front=0.0, back=back)(torch.ones(1, count, dtype=torch.complex128))[0]
    distance, scale = back * f / (f - back), (f - back) / f
    u = behind.positions(1).numpy()
    curved = np.exp(-1j * math.pi * u**2 / (WAVELENGTH * (f - back)))
    expected = integral(u / scale, distance) / math.sqrt(scale) * curved
    across = 1e-5 / np.sqrt(1j * WAVELENGTH * back)  # the one row's own factor
    assert np.linalg.norm(out.numpy() / across - expected) < 2e-3 * np.linalg.norm(expected)
