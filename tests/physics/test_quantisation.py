"""Phase levels: blazed gratings, random phases, and the uneven levels of piston mirrors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simulators import effects

TURN = 2 * math.pi


def midpoints(count):
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (TURN / count)


def evenly(levels):
    return torch.arange(levels, dtype=torch.float64) * (TURN / levels)


def errors_of(table, share=1.0):
    """Wrapped error over evenly spread phases, of levels that are shares of ``share`` turns."""
    phase = midpoints(max(100_000, 50 * len(table)))
    levels = torch.tensor(table, dtype=torch.float64) * (share * TURN)
    error = effects.quantise_to(phase, levels) - phase
    return torch.remainder(error + math.pi, TURN) - math.pi


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8, 16])
def test_a_blazed_grating_of_l_levels(levels):
    """First order of a ramp of L steps: η₁ = sinc²(1/L), to 1e-5 (midpoint rule: 1e-7), as far-field amplitude."""
    phase = midpoints(1200 * levels)
    shown = effects.quantise_to(phase, evenly(levels))
    field = torch.complex(shown.cos(), shown.sin()).numpy()
    orders = np.abs(np.fft.fft(field) / len(field)) ** 2
    assert orders[1] == pytest.approx(np.sinc(1 / levels) ** 2, abs=1e-5)
    # Only orders 1 + kL carry light: sinc²((1 + kL)/L).
    assert orders[1 - levels] == pytest.approx(np.sinc((1 - levels) / levels) ** 2, abs=1e-5)
    assert orders[2 if levels > 2 else 0] < 1e-6
    if levels in (2, 4, 8, 16):
        quoted = {2: 0.4053, 4: 0.8106, 8: 0.9496, 16: 0.9872}[levels]
        assert round(float(orders[1]), 4) == quoted
        bits = levels.bit_length() - 1
        torch.testing.assert_close(effects.quantise_phase(phase, bits, TURN), shown, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("bits", "lost"), [(2, 0.189), (4, 1.28e-2), (6, 8.0e-4), (8, 5.0e-5)])
def test_random_phases_lose_their_share(bits, lost):
    """S = sinc²(2^-b), Monte Carlo within 3σ; 1 - S to the digits quoted.

    Of n errors e, uniform, mean cos e has variance (1 + sinc 2x)/2 - sinc² x over n, x = π/2^b.
    """
    n = 200_000
    strehl = np.sinc(2.0**-bits) ** 2
    assert 1 - strehl == pytest.approx(lost, rel=7e-3)
    phase = TURN * torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(bits))
    error = effects.quantise_phase(phase, bits, TURN) - phase
    found = (error.cos().mean() ** 2 + error.sin().mean() ** 2).item()
    variance = (1 + np.sinc(2 * 2.0**-bits)) / 2 - strehl
    assert abs(found - strehl) < 3 * 2 * math.sqrt(strehl * variance / n)


@pytest.mark.parametrize(
    ("bits", "rms", "efficiency"),
    [(3, 0.227, 0.950), (4, 0.113, 0.987), (5, 0.057, 0.997), (6, 0.028, 0.999), (8, 0.0071, None), (10, 0.0018, None)],
)
def test_even_levels(bits, rms, efficiency):
    """Rms error π/(2^b √3) rad, and sinc²(2^-b)."""
    error = errors_of(np.arange(2**bits) / 2**bits)
    found = error.square().mean().sqrt().item()
    assert found == pytest.approx(math.pi / 2**bits / math.sqrt(3), rel=1e-3)
    assert found == pytest.approx(rms, rel=1e-2 if rms > 0.05 else 3e-2)
    if efficiency is not None:
        assert round((error.cos().mean() ** 2 + error.sin().mean() ** 2).item(), 3) == efficiency


@pytest.mark.parametrize(
    ("table", "rms", "largest", "efficiency"),
    [(effects.PLM_P67, 0.202, 0.53, 0.960), (effects.PLM_P47, 0.189, None, 0.965)],
)
def test_piston_mirrors(table, rms, largest, efficiency):
    """Sixteen uneven levels over 15/16 of a turn: worse than 4 bits, better than 3."""
    error = errors_of(table, 15 / 16)
    found = error.square().mean().sqrt().item()
    assert round(found, 3) == rms
    assert math.pi / 16 / math.sqrt(3) < found < math.pi / 8 / math.sqrt(3)
    mean = error.cos().mean() ** 2 + error.sin().mean() ** 2
    assert round(mean.item(), 3) == efficiency
    if largest is not None:
        assert round(error.abs().max().item(), 2) == largest
    # From the gaps between levels g alone: mean square error Σ g³/12 over a turn; largest error, half the widest gap.
    turns = np.sort(np.append(np.array(table) * 15 / 16, 1.0)) * TURN
    gaps = np.diff(turns)
    assert found == pytest.approx(math.sqrt((gaps**3).sum() / 12 / TURN), rel=1e-4)
    assert error.abs().max().item() == pytest.approx(gaps.max() / 2, abs=1e-4)
