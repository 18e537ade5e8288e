"""Orders of thin phase gratings, seen in the focal plane of a lens."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import jv

from simulators.grid import Grid
from simulators.propagation import FourierTransform

WAVELENGTH, FOCAL_LENGTH, PERIOD = 633e-9, 0.1, 64e-6


def orders(phase, grid, count):
    """Power of the orders -count … count over the power in front, on samples λf/a apart, an order each."""
    across = grid.extent[1] / PERIOD  # periods
    spacing = WAVELENGTH * FOCAL_LENGTH / PERIOD
    behind = Grid((1, 2 * count + 1), (WAVELENGTH * FOCAL_LENGTH / grid.extent[0], spacing))
    field = torch.complex(phase.cos(), phase.sin())[None].expand(grid.shape)
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(field)
    # An order is as wide as the grating's own transform, 1/across of the spacing.
    return out.abs().square()[0] * behind.cell / across / grid.power(field)


@pytest.mark.parametrize("depth", [0.3, 1.0, math.pi / 2, math.pi, 4.0])
@pytest.mark.parametrize(("periods", "rows"), [(1, 1), (4, 1), (3, 2)])
def test_binary(depth, periods, rows):
    """η_m = (2/πm)² sin²(δ/2) for odd m, none for even, cos²(δ/2) straight on."""
    samples = 256
    grid = Grid((rows, periods * samples), (PERIOD / samples, PERIOD / samples))
    phase = depth * ((torch.arange(periods * samples) % samples) < samples // 2).to(torch.float64)
    found = orders(phase, grid, 5)
    for m in range(-5, 6):
        expected = math.cos(depth / 2) ** 2 if m == 0 else (2 / (math.pi * m) * math.sin(depth / 2)) ** 2 * (m % 2)
        assert float(found[m + 5]) == pytest.approx(expected, rel=1e-2, abs=1e-12)


@pytest.mark.parametrize("amplitude", [0.2, 1.0, 2.405, 3.0])
@pytest.mark.parametrize("samples", [64, 65])
def test_sinusoidal(amplitude, samples):
    """η_m = J_m²(φ), φ from the middle to the peak of the phase."""
    grid = Grid((1, 3 * samples), (PERIOD / samples, PERIOD / samples))
    phase = amplitude * torch.sin(2 * math.pi * grid.positions(1) / PERIOD + 0.4)
    found = orders(phase, grid, 4)
    for m in range(-4, 5):
        assert float(found[m + 4]) == pytest.approx(jv(m, amplitude) ** 2, abs=1e-10, rel=1e-3)
    assert float(orders(phase, grid, 12).sum()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("levels", [2, 4, 8])
def test_blazed(levels):
    """+1st order of L levels, sinc²(1/L): an extra path that grows with x sends light to +u."""
    samples = 64 * levels
    grid = Grid((1, 2 * samples), (PERIOD / samples, PERIOD / samples))
    phase = 2 * math.pi / levels * ((torch.arange(2 * samples) % samples) // 64)
    found = orders(phase.to(torch.float64), grid, 1)
    assert float(found[2]) == pytest.approx(float(torch.sinc(torch.tensor(1 / levels))) ** 2, rel=1e-3)
    if levels > 2:
        assert float(found[0]) < 0.02
