"""The conventions of the project, pinned: grids, signs, axes, order."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import photonic_acdc as pa
import simulators as sim
from simulators.fourier import along_axes, centred_dft, centres, lens_matrix

SIZES = [1, 2, 3, 7, 8, 16, 31]


@pytest.mark.parametrize("n", SIZES)
def test_index_n_sits_at_n_minus_half_of_n_minus_one(n):
    assert torch.equal(centres(n), torch.arange(n, dtype=torch.float64) - (n - 1) / 2)


@pytest.mark.parametrize("n", SIZES)
def test_a_lens_is_unitary_with_a_negative_sign_and_two_are_a_flip(n):
    f = centred_dft(n)
    k, m = np.meshgrid(np.arange(n) - (n - 1) / 2, np.arange(n) - (n - 1) / 2, indexing="ij")
    assert np.abs(f.numpy() - np.exp(-2j * math.pi * k * m / n) / math.sqrt(n)).max() < 1e-14
    assert (f.mH @ f - torch.eye(n)).abs().max() < 1e-13
    assert (f @ f - torch.eye(n).flip(0)).abs().max() < 1e-12


def test_a_tilt_towards_plus_x_moves_the_spot_towards_plus_x():
    """exp(-iωt): a phase that grows with x points the light to +x, and the lens puts it at +x; the same for y."""
    bench, n = sim.reference_bench((8, 8)).only(), 8
    simulator = sim.Pixel(bench, 1, order=3)
    position = centres(n)
    planes = {}
    for axis in (0, 1):
        ramp = 2 * math.pi * 0.2 * position  # 0.2 turns a pixel: centre of the spot at u = 0.2·M pixels
        phase = (ramp[:, None] if axis == 0 else ramp[None, :]).expand(n, n)
        commands = [sim.Command(phase), sim.Command(torch.zeros(bench.fourier_pixels, dtype=torch.float64))]
        field = torch.ones(1, 1, n, n, dtype=torch.complex128)
        simulator(commands, field, bench.nominal(1), probe=lambda address, f: planes.__setitem__(address, f))
        power = planes["stage[0].mask[1]"][0, 0].abs() ** 2
        line = power.reshape(16, 3, 16, 3).sum((1, 3)).sum(1 - axis)
        across = power.reshape(16, 3, 16, 3).sum((1, 3)).sum(axis)
        spot = float((line * centres(16)).sum() / line.sum())
        # The envelope of a pixel pulls the centroid a little towards the axis.
        assert 0.6 * 0.2 * bench.scales[0] < spot < 1.05 * 0.2 * bench.scales[0]
        assert abs(float((across * centres(16)).sum())) < 1e-9 * float(across.sum())


def test_axes_are_y_then_x_with_a_reference_that_a_transposition_breaks():
    bench = sim.reference_bench((3, 8)).only()
    simulator = sim.Pixel(bench, 1, order=2)
    assert simulator.command_shapes == ((3, 8), (16, 16))
    commands = [sim.Command(torch.rand(shape, dtype=torch.float64)) for shape in simulator.command_shapes]
    out = simulator(commands, torch.ones(1, 2, 3, 8, dtype=torch.complex128), bench.nominal(1))
    assert out.shape == (1, 2, 6, 16)
    layer = pa.layers.AFDF(24, 2, shape=(3, 8), dtype=torch.float64)
    x = torch.randn(24, dtype=torch.complex128)
    a, d = layer.diagonals()
    wanted = x.reshape(3, 8).numpy()
    for k in range(2):
        spectrum = np.fft.fft2(wanted * a[k].detach().numpy(), norm="ortho")
        wanted = np.fft.ifft2(spectrum * d[k].detach().numpy(), norm="ortho")
    assert np.abs(layer(x).detach().numpy() - wanted.ravel()).max() < 1e-13


def test_along_axes_is_the_plain_product():
    for realisations in (1, 3):
        y = torch.randn(realisations, 1, 5, 4, dtype=torch.complex128)
        x = torch.randn(realisations, 1, 7, 6, dtype=torch.complex128)
        field = torch.randn(2, realisations, 3, 4, 6, dtype=torch.complex128)
        plain = torch.einsum("rbij,qrcjk,rbkl->qrcil", y, field, x.mT)
        assert (along_axes(y, field, x) - plain).abs().max() < 1e-13


@pytest.mark.parametrize(("n", "p", "order"), [(3, 4, 2), (8, 16, 3), (5, 6, 4)])
def test_the_lens_from_panel_to_modes_is_the_transpose(n, p, order):
    scale = torch.tensor(1.93 * n, dtype=torch.float64)
    there = lens_matrix(n, p, scale, order_in=order, order_out=order)
    back = lens_matrix(p, n, scale, order_in=order, order_out=order)
    assert (there.mT - back).abs().max() < 1e-13


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_output_dtype_follows_the_parameters(dtype):
    wide = torch.complex64 if dtype == torch.float32 else torch.complex128
    layer = pa.layers.AFDF(64, 1, shape=(8, 8), dtype=dtype)
    assert layer(torch.ones(2, 64, dtype=dtype)).dtype == wide
    optic = pa.to_optical(layer, sim.reference_bench(), readout="coherent")
    with pa.noise(optic, "sample", seed=0):
        assert optic(torch.ones(2, 64, dtype=dtype)).dtype == wide
    optic = pa.to_optical(layer, sim.reference_bench(), readout="intensity")
    for mode in ("off", "mean", "frozen", "sample"):
        with pa.noise(optic, mode, seed=0):
            assert optic(torch.ones(2, 64, dtype=dtype)).dtype == dtype
