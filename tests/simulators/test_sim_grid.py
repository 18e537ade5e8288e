"""Where samples are, for odd and even counts."""

from __future__ import annotations

import math

import pytest
import torch

from simulators.errors import InputError
from simulators.grid import Grid


def test_positions_are_half_pixel_centred():
    grid = Grid((4, 3), (2.0, 0.5), (1.0, -0.25))
    assert grid.positions(0).tolist() == [-2.0, 0.0, 2.0, 4.0]
    assert grid.positions(1).tolist() == [-0.75, -0.25, 0.25]
    assert grid.extent == (8.0, 1.5)
    assert grid.cell == 1.0
    y, x = grid.meshed()
    assert (y.shape, x.shape) == ((4, 1), (1, 3))
    assert torch.equal(y[:, 0], grid.positions(0))
    assert torch.equal(x[0], grid.positions(1))


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_frequencies_are_those_of_the_periodic_field(count):
    """Multiples of 1/(N Δ), each in [-1/2Δ, 1/2Δ), in the FFT's order: a wave of one fills its bin only."""
    grid = Grid((count, 3), (8e-6, 1.0))
    frequencies = grid.frequencies(0)
    for k in range(count):
        phase = 2 * math.pi * frequencies[k] * torch.arange(count) * 8e-6
        spectrum = torch.fft.fft(torch.complex(phase.cos(), phase.sin()))
        assert spectrum.abs().argmax() == k
        assert float(spectrum.abs().sum()) == pytest.approx(count, rel=1e-9)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_conjugate_grid(count):
    """Its pitch is λf/(NΔ), exactly, and its conjugate is the grid again."""
    grid = Grid((count, 2 * count), (8e-6, 10e-6))
    behind = grid.conjugate(633e-9, 0.1)
    assert behind.shape == grid.shape
    assert behind.pitch == (633e-9 * 0.1 / (count * 8e-6), 633e-9 * 0.1 / (2 * count * 10e-6))
    assert behind.conjugate(633e-9, -0.1).pitch == pytest.approx(grid.pitch, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_power(dtype):
    grid = Grid((2, 3), (0.5, 0.1))
    assert grid.positions(0, dtype=dtype).dtype == dtype
    assert grid.frequencies(1, dtype=dtype).dtype == dtype
    assert grid.meshed(dtype=dtype)[0].dtype == dtype
    field = torch.full((4, 2, 3), 3.0, dtype=dtype) * (1 + 1j)
    assert torch.allclose(grid.power(field), torch.full((4,), 18 * 6 * 0.05, dtype=dtype))
    assert torch.allclose(grid.power(field.real), torch.full((4,), 9 * 6 * 0.05, dtype=dtype))


def test_a_grid_is_a_value():
    assert Grid((2, 3), (1.0, 1.0)) == Grid((2, 3), (1.0, 1.0), (0.0, 0.0))
    assert len({Grid((2, 3), (1.0, 1.0)), Grid((2, 3), (1.0, 1.0)), Grid((3, 2), (1.0, 1.0))}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 4), (1.0, 1.0)), r"grid shape: got \(0, 4\); allowed: two whole numbers \(y, x\), at least 1"),
        (((2.5, 4), (1.0, 1.0)), "grid shape: got"),
        (((4, 4), (1.0, 0.0)), r"grid pitch: got \(1.0, 0.0\); allowed: two positive lengths"),
        (((4, 4), (1.0, math.nan)), "grid pitch"),
        (((4, 4), (1.0, 1.0), (math.inf, 0.0)), "grid centre: got"),
        (((4, 4), 1.0), r"grid pitch: got 1.0; allowed: a pair \(y, x\)"),
        (((4, 4, 4), (1.0, 1.0)), "grid shape: .*a pair"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        Grid(*arguments)
