"""The sampled 2f section is the centred DFT, for both ways to centre it; two of them are a parity."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simulators.fourier import centred_dft
from simulators.grid import Grid
from simulators.propagation import FourierTransform, TwoF

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1
SHAPES = [(1, 16), (1, 17), (16, 15), (9, 8)]


def shifted(grid: Grid) -> Grid:
    """The same samples counted as the FFT does, n - N//2: sample N//2 on the axis."""
    centre = tuple(((n - 1) / 2 - n // 2) * p for n, p in zip(grid.shape, grid.pitch, strict=True))
    return Grid(grid.shape, grid.pitch, centre)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("build", [FourierTransform, TwoF])
def test_half_pixel_centre(shape, build):
    grid = Grid(shape, (10e-6, 8e-6))
    behind = grid.conjugate(WAVELENGTH, FOCAL_LENGTH)
    field = torch.randn(2, *shape, dtype=torch.complex128)
    dft = -1j * centred_dft(shape[0]) @ field @ centred_dft(shape[1]).T
    out = build(grid, behind, WAVELENGTH, FOCAL_LENGTH)(field) * math.sqrt(behind.cell / grid.cell)
    assert (out - dft).abs().max() < 1e-12
    assert behind.pitch == tuple(WAVELENGTH * FOCAL_LENGTH / (n * p) for n, p in zip(shape, grid.pitch, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("build", [FourierTransform, TwoF])
@pytest.mark.filterwarnings("ignore:along")  # the outermost sample of an even count lies half a pitch beyond
def test_centre_of_the_fft(shape, build):
    """fftshift(fft(ifftshift(·))), orthonormal."""
    grid = shifted(Grid(shape, (10e-6, 8e-6)))
    behind = shifted(grid.conjugate(WAVELENGTH, FOCAL_LENGTH))
    field = torch.randn(*shape, dtype=torch.complex128)
    dft = -1j * np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(field.numpy()), norm="ortho"))
    out = build(grid, behind, WAVELENGTH, FOCAL_LENGTH)(field) * math.sqrt(behind.cell / grid.cell)
    assert np.abs(out.numpy() - dft).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.filterwarnings("ignore:along")
def test_two_lenses_flip_the_plane(shape):
    """E(-x), on the half-pixel grid an exact flip; on the FFT's a flip that keeps sample 0; times (1/i)² = -1."""
    field = torch.randn(*shape, dtype=torch.complex128)
    grid = Grid(shape, (10e-6, 8e-6))
    for where, flipped in (
        (grid, field.flip((-2, -1))),
        (shifted(grid), field.flip((-2, -1)).roll([1 - n % 2 for n in shape], (-2, -1))),
    ):
        behind = where.conjugate(WAVELENGTH, FOCAL_LENGTH)
        behind = behind if where is grid else shifted(behind)
        there = FourierTransform(where, behind, WAVELENGTH, FOCAL_LENGTH)
        back = FourierTransform(behind, where, WAVELENGTH, FOCAL_LENGTH)
        assert (back(there(field)) + flipped).abs().max() < 1e-12


@pytest.mark.parametrize("method", ["auto", "matrix", "chirp-z"])
@pytest.mark.parametrize(("n", "k"), [((5, 8), (8, 3)), ((1, 33), (1, 20)), ((20, 21), (33, 34))])
def test_any_two_grids_equal_the_sum(n, k, method):
    """ΔxΔy/(iλf) ΣΣ E e^{-2πi(xu+yv)/λf}, written out, on grids off the axis and with no relation between pitches."""
    grid = Grid(n, (9e-6, 7e-6), (3e-5, -2e-5))
    behind = Grid(k, (31e-6, 47e-6), (-1e-4, 2e-4))
    field = torch.randn(*n, dtype=torch.complex128)
    scale = WAVELENGTH * FOCAL_LENGTH
    rows, columns = (np.exp(-2j * math.pi * np.outer(behind.positions(i), grid.positions(i)) / scale) for i in (0, 1))
    total = grid.cell / (1j * scale) * rows @ field.numpy() @ columns.T
    out = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH, method)(field).numpy()
    assert np.abs(out - total).max() < 1e-12 * np.abs(total).max()
    inverse = FourierTransform(grid, behind, WAVELENGTH, -FOCAL_LENGTH, method)(field.conj()).numpy()
    assert np.abs(inverse - total.conj()).max() < 1e-12 * np.abs(total).max()


@pytest.mark.parametrize("points", [48, 61])
def test_padded_fft_equals_the_sum(points):
    """λf/(ΔxΔu) a whole number larger than both counts: the FFT is padded and cropped."""
    grid = Grid((20, 31), (8e-6, 8e-6), (0.0, 4e-6))
    pitch = WAVELENGTH * FOCAL_LENGTH / (points * 8e-6)
    behind = Grid((33, 12), (pitch, pitch), (pitch / 3, 0.0))
    field = torch.randn(2, 20, 31, dtype=torch.complex128)
    outs = [FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH, m)(field) for m in ("fft", "matrix", "chirp-z")]
    size = outs[1].abs().max()
    assert (outs[0] - outs[1]).abs().max() < 1e-12 * size
    assert (outs[2] - outs[1]).abs().max() < 1e-12 * size
