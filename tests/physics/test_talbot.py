"""Talbot's self-images of a grating, on a periodic field."""

from __future__ import annotations

import math

import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import AngularSpectrum, Fresnel

WAVELENGTH, PERIOD = 633e-9, 40e-6


def grating(shape, samples):
    """A Ronchi-like amplitude with all harmonics: a quarter of each period open, off centre."""
    index = torch.arange(shape[1])
    line = ((index % samples) < samples // 4).to(torch.complex128)
    return line.expand(shape).clone()


@pytest.mark.parametrize(("samples", "periods", "rows"), [(20, 5, 1), (21, 4, 1), (16, 3, 7)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex128, 1e-12), (torch.complex64, 1e-5)])
def test_self_image(samples, periods, rows, dtype, tolerance):
    """At z_T = 2a²/λ the grating itself, whatever its shape."""
    grid = Grid((rows, samples * periods), (PERIOD / samples, PERIOD / samples))
    field = grating(grid.shape, samples).to(dtype)
    for images in (1, -1, 2):
        out = Fresnel(grid, WAVELENGTH, images * 2 * PERIOD**2 / WAVELENGTH, padding=None)(field)
        assert (out - field).norm() < tolerance * field.norm()
    elsewhere = Fresnel(grid, WAVELENGTH, 0.7 * PERIOD**2 / WAVELENGTH, padding=None)(field)
    assert (elsewhere - field).norm() > 0.1 * field.norm()


@pytest.mark.parametrize(("samples", "periods"), [(20, 5), (16, 3)])
def test_half_a_period_further_at_half_the_distance(samples, periods):
    grid = Grid((1, samples * periods), (PERIOD / samples, PERIOD / samples))
    field = grating(grid.shape, samples)
    out = Fresnel(grid, WAVELENGTH, PERIOD**2 / WAVELENGTH, padding=None)(field)
    assert (out - field.roll(samples // 2, -1)).norm() < 1e-12 * field.norm()


@pytest.mark.parametrize("period", [40e-6, 2e-6, 0.7e-6])
@pytest.mark.parametrize("samples", [8, 9])
def test_exact_distance(period, samples):
    """Beyond the paraxial: 1 + m cos(2πx/a) reappears at λ/(1 - √(1-λ²/a²)), and inverted half-way."""
    grid = Grid((1, 3 * samples), (period / samples, period / samples))
    wave = torch.cos(2 * math.pi * grid.positions(1) / period + 0.3)[None]
    field = (1 + 0.6 * wave).to(torch.complex128)
    image = WAVELENGTH / (1 - math.sqrt(1 - (WAVELENGTH / period) ** 2))
    out = AngularSpectrum(grid, WAVELENGTH, image, padding=None)(field)
    assert (out - field).norm() < 1e-9 * field.norm()
    half = AngularSpectrum(grid, WAVELENGTH, image / 2, padding=None)(field)
    assert (half - (1 - 0.6 * wave)).norm() < 1e-9 * field.norm()
    if period < 1e-6:
        paraxial = AngularSpectrum(grid, WAVELENGTH, 2 * period**2 / WAVELENGTH, padding=None)(field)
        assert (paraxial - field).norm() > 0.05 * field.norm()
