"""Diffraction at a lens: the Airy pattern of a round aperture, the sinc of a rectangular one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import j1

from simulators.grid import Grid
from simulators.propagation import FourierTransform, TwoF, aperture

WAVELENGTH, FOCAL_LENGTH, DIAMETER = 633e-9, 0.1, 5e-3
AIRY_UNIT = WAVELENGTH * FOCAL_LENGTH / DIAMETER


def jinc(x):
    """2 J₁(x)/x."""
    x = np.where(x == 0, 1e-12, x)
    return 2 * j1(x) / x


def supersampled(count, diameter, width, factor=8):
    """Share of each sample's cell inside a circle, by ``factor``² points a cell: the independent pupil."""
    place = ((np.arange(count * factor) - (count * factor - 1) / 2) * width / (count * factor)) ** 2
    inside = place[:, None] + place <= (diameter / 2) ** 2
    return inside.reshape(count, factor, count, factor).mean((1, 3))


def radius(grid):
    y, x = grid.meshed()
    return torch.sqrt(y**2 + x**2).numpy()


def focus(q, width=20):
    """Samples over ``width`` units λf/D, ``q`` to a unit."""
    return Grid((width * q + 1, width * q), (AIRY_UNIT / q, AIRY_UNIT / q))


@pytest.mark.parametrize(("count", "tolerance"), [(512, 3e-5), (513, 3e-5), (1024, 1e-5)])
def test_airy_pattern(count, tolerance):
    """E(r) = 2 J₁(x)/x, x = πDr/(λf), from a pupil of ``count`` samples across."""
    grid = Grid((count, count), (DIAMETER / count, DIAMETER / count))
    behind = focus(4)
    pupil = torch.from_numpy(supersampled(count, DIAMETER, DIAMETER)).to(torch.complex128)
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(pupil)
    peak = math.pi * DIAMETER**2 / 4 / (1j * WAVELENGTH * FOCAL_LENGTH)
    expected = jinc(math.pi * radius(behind) / AIRY_UNIT)
    assert np.abs(out.numpy() / peak - expected).max() < tolerance


@pytest.mark.parametrize("count", [64, 65, 512])
def test_aperture_is_as_good_as_a_supersampled_one(count):
    """The share of a cell cut by the edge as by a straight line: within the supersampling's own error."""
    grid = Grid((count, count), (DIAMETER / count, DIAMETER / count))
    behind = focus(4)
    ours = aperture(grid, DIAMETER)
    assert (ours - torch.from_numpy(supersampled(count, DIAMETER, DIAMETER, 16))).abs().max() < 0.04
    assert float(ours.sum()) * grid.cell == pytest.approx(math.pi * DIAMETER**2 / 4, rel=0.5 / count**2)
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(ours.to(torch.complex128))
    peak = math.pi * DIAMETER**2 / 4 / (1j * WAVELENGTH * FOCAL_LENGTH)
    assert np.abs(out.numpy() / peak - jinc(math.pi * radius(behind) / AIRY_UNIT)).max() < 3e-5 * (512 / count) ** 1.8


def test_first_zero_and_encircled_energy():
    """Zero at 1.2197 λf/D within half a sample; 83.8 % of the power inside."""
    count, q = 512, 16
    grid = Grid((count, count), (DIAMETER / count, DIAMETER / count))
    pupil = aperture(grid, DIAMETER).to(torch.complex128)
    line = Grid((1, 4 * q + 1), (AIRY_UNIT / q, AIRY_UNIT / q))
    profile = FourierTransform(grid, line, WAVELENGTH, FOCAL_LENGTH)(pupil)[0].abs()
    along = line.positions(1)
    beyond = (along > 0.5 * AIRY_UNIT) & (along < 2 * AIRY_UNIT)
    zero = float(along[beyond][profile[beyond].argmin()])
    assert abs(zero - 1.2197 * AIRY_UNIT) <= 0.5 * AIRY_UNIT / q
    behind = Grid((6 * q, 6 * q), (AIRY_UNIT / q, AIRY_UNIT / q))
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(pupil)
    inside = torch.from_numpy(supersampled(6 * q, 2 * 1.2197 * AIRY_UNIT, 6 * AIRY_UNIT))
    share = float(behind.power(out * inside.sqrt()) / grid.power(pupil))
    assert share == pytest.approx(0.838, abs=0.003)


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
def test_airy_pattern_of_the_lens_itself(dtype):
    """A plane wave at the lens: `TwoF`'s own aperture, with the curvature e^{iπu²/λf} of a pupil at the lens."""
    wide = Grid((512, 511), (DIAMETER / 256, DIAMETER / 256))
    behind = focus(4)
    lens = TwoF(wide, behind, WAVELENGTH, FOCAL_LENGTH, aperture=DIAMETER, front=0.0)
    out = lens(torch.ones(wide.shape, dtype=dtype)).numpy()
    r = radius(behind)
    peak = math.pi * DIAMETER**2 / 4 / (1j * WAVELENGTH * FOCAL_LENGTH)
    expected = jinc(math.pi * r / AIRY_UNIT) * np.exp(1j * math.pi * r**2 / (WAVELENGTH * FOCAL_LENGTH))
    assert np.abs(out / peak - expected).max() < 2e-3


@pytest.mark.parametrize("count", [512, 511])
def test_rectangular_aperture(count):
    """sinc(a u/λf) sinc(b v/λf) to 5e-5."""
    a, b = 3e-3, 5e-3
    grid = Grid((count, count), (b / count, a / count))
    behind = Grid((81, 80), (WAVELENGTH * FOCAL_LENGTH / b / 4, WAVELENGTH * FOCAL_LENGTH / a / 4))
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(torch.ones(count, count, dtype=torch.complex128))
    v, u = behind.meshed()
    expected = torch.sinc(a * u / (WAVELENGTH * FOCAL_LENGTH)) * torch.sinc(b * v / (WAVELENGTH * FOCAL_LENGTH))
    peak = a * b / (1j * WAVELENGTH * FOCAL_LENGTH)
    assert (out / peak - expected).abs().max() < 5e-5


@pytest.mark.parametrize("count", [400, 401])
def test_slit(count):
    """One row: a slit, sinc(a u/λf), and the square aperture of `TwoF` in one dimension."""
    a = 3e-3
    grid = Grid((1, count), (1e-5, a / count))
    behind = Grid((1, 80), (1e-5, WAVELENGTH * FOCAL_LENGTH / a / 4))
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(torch.ones(1, count, dtype=torch.complex128))
    expected = torch.sinc(behind.positions(1) * a / (WAVELENGTH * FOCAL_LENGTH))
    peak = a * 1e-5 / (1j * WAVELENGTH * FOCAL_LENGTH)
    assert (out[0] / peak - expected).abs().max() < 8e-5
