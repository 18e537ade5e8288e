"""Maréchal: what random and smooth phase errors leave of the light, exp(-σ²)."""

from __future__ import annotations

import math

import pytest
import torch

import simulators as sim
from simulators import effects
from simulators.devices.show import show_phase
from simulators.zernike import zernike


def panel(bench, **figures):
    """``bench`` with these figures on both masks' panel."""
    device = bench.stage[0].device.replace(**figures)
    stage = tuple(place.replace(device=device) if j % 2 == 0 else place for j, place in enumerate(bench.stage))
    return bench.replace(stage=stage)


@pytest.mark.parametrize(("sigma", "measured"), [(0.1, 0.99005), (0.3, 0.9139), (0.6, 0.6978)])
def test_noise_of_a_panel(sigma, measured):
    """S = |⟨e^{iε}⟩|² of the frames of a panel, within 3 standard errors of e^{-σ²} and as published by simulation.

    Over n draws the mean of cos ε has the variance (1 + e^{-2σ²})/2 - e^{-σ²} over n.
    """
    bench = panel(sim.reference_bench((8, 8)), phase_noise=sigma).only("*.phase_noise")
    element = bench.element(1, "stage[0].mask[0]")
    frames = 4096
    shots = sim.Shots(3, (0,), tuple(range(frames)))
    command = torch.zeros(8, 8, dtype=torch.float64)
    shown = show_phase(element, command, bench.nominal(1), shots=shots)
    assert shown.shape == (1, frames, 8, 8)
    n = shown.numel()
    strehl = shown.mean().abs().item() ** 2
    kept = math.exp(-(sigma**2))
    error = 2 * math.sqrt(kept * ((1 + kept**2) / 2 - kept) / n)
    assert abs(strehl - kept) < 3 * error
    assert measured == pytest.approx(kept, abs=2e-4)
    # Without exposures, the expected field: e^{-σ²/2} exactly.
    expected = show_phase(element, command, bench.nominal(1))
    torch.testing.assert_close(expected.abs() ** 2, torch.full((1, 1, 8, 8), kept).double(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("noll", [4, 5, 6, 7, 8, 11])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5])
def test_a_single_smooth_aberration(noll, sigma):
    """|S - e^{-σ²}| < 2 % for σ ≤ 0.5 rad rms over a round pupil."""
    place = (torch.arange(401, dtype=torch.float64) - 200) / 200
    y, x = place[:, None], place[None, :]
    inside = y**2 + x**2 <= 1
    shape = torch.where(inside, zernike(noll, y, x), 0.0)
    phase = effects.flatness(torch.tensor([[[sigma]]], dtype=torch.float64), shape[None])[0, 0][inside]
    assert phase.square().mean().sqrt().item() == pytest.approx(sigma, rel=1e-2)
    strehl = phase.cos().mean() ** 2 + phase.sin().mean() ** 2
    assert abs(strehl.item() - math.exp(-(sigma**2))) < 0.02


def test_correlated_errors_scatter_less_widely_but_as_much():
    """The zeroth order keeps e^{-σ²} of a wide panel whether or not neighbours err alike; what scatters narrows."""
    sigma, pixels = 0.4, 48
    generator = torch.Generator().manual_seed(1)
    white = sigma * torch.randn(400, pixels, pixels, generator=generator, dtype=torch.float64)
    near = {}
    for length in (None, 1.5):
        phase = white if length is None else effects.correlated(white, length)
        far = torch.fft.fft2(torch.complex(phase.cos(), phase.sin())).abs() ** 2 / pixels**4
        power = far.mean(0)
        # Correlated over c pixels, the speckle in order zero is c/N² of the scattered light, c = 4πℓ² at the most.
        speckle = (1 - math.exp(-(sigma**2))) * (1 if length is None else 4 * math.pi * length**2) / pixels**2
        spread = far[:, 0, 0].std().item() / math.sqrt(len(far))
        assert abs(power[0, 0].item() - math.exp(-(sigma**2))) < speckle + 5 * spread
        scattered = power.sum() - power[0, 0]
        near[length] = ((power[:5, :5].sum() - power[0, 0]) / scattered).item()
    assert near[None] == pytest.approx(24 / (pixels**2 - 1), rel=0.1)
    assert near[1.5] > 5 * near[None]
