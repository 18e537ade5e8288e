"""Maréchal: what an aberration of σ rad leaves of the peak, S = e^{-σ²}."""

from __future__ import annotations

import math

import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import FourierTransform, TwoF, aperture
from simulators.zernike import wavefront

WAVELENGTH, FOCAL_LENGTH, DIAMETER = 633e-9, 0.1, 5e-3
TERMS = range(4, 16)


def peak(pupil, grid):
    centre = Grid((1, 1), (1e-6, 1e-6))
    return FourierTransform(grid, centre, WAVELENGTH, FOCAL_LENGTH)(pupil)[..., 0, 0].abs().square()


@pytest.mark.parametrize("count", [128, 129])
@pytest.mark.parametrize("noll", TERMS)
@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5])
def test_single_zernike(noll, sigma, count):
    """|S - e^{-σ²}| < 2 % up to 0.5 rad."""
    grid = Grid((count, count), (DIAMETER / count, DIAMETER / count))
    y, x = grid.meshed()
    waves = wavefront({noll: sigma / (2 * math.pi)}, y / (DIAMETER / 2), x / (DIAMETER / 2))
    phase = 2 * math.pi * waves
    clear = aperture(grid, DIAMETER).to(torch.complex128)
    strehl = peak(clear * torch.complex(phase.cos(), phase.sin()), grid) / peak(clear, grid)
    assert abs(float(strehl) - math.exp(-(sigma**2))) < 0.02


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
def test_defocus_in_closed_form(sigma):
    """Z₄ spreads evenly over ±√3 σ: S = sinc²(√3 σ/π), which Maréchal's formula only approximates."""
    count = 256
    grid = Grid((count, count), (DIAMETER / count, DIAMETER / count))
    y, x = grid.meshed()
    phase = 2 * math.pi * wavefront({4: sigma / (2 * math.pi)}, y / (DIAMETER / 2), x / (DIAMETER / 2))
    clear = aperture(grid, DIAMETER).to(torch.complex128)
    strehl = peak(clear * torch.complex(phase.cos(), phase.sin()), grid) / peak(clear, grid)
    assert float(strehl) == pytest.approx((math.sin(math.sqrt(3) * sigma) / (math.sqrt(3) * sigma)) ** 2, abs=1e-4)


@pytest.mark.parametrize("noll", [4, 6, 8, 11])
@pytest.mark.parametrize("waves", [1 / 14, 1 / 28])
def test_the_lens_itself(noll, waves):
    """`TwoF`'s own aberration: λ/14 leaves 0.818, λ/28 0.951, within 2 % of 1 - S."""
    grid = Grid((256, 256), (DIAMETER / 128, DIAMETER / 128))
    near = Grid((3, 3), (WAVELENGTH * FOCAL_LENGTH / DIAMETER / 8,) * 2)
    field = torch.ones(grid.shape, dtype=torch.complex128)

    def at_peak(aberration):
        lens = TwoF(grid, near, WAVELENGTH, FOCAL_LENGTH, aperture=DIAMETER, front=0.0, aberration=aberration)
        return float(lens(field)[1, 1].abs().square())

    strehl = at_peak({noll: waves}) / at_peak(None)
    assert abs(strehl - math.exp(-((2 * math.pi * waves) ** 2))) < 0.02
    assert strehl == pytest.approx({14: 0.818, 28: 0.951}[round(1 / waves)], abs=0.01)
