"""Gaps between pixels: orders of an opaque grid, and the zero order that bright gaps leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simulators import effects

FINE = 800  #: samples a pixel; the open shares below are whole numbers of them, symmetric about the middle


def across(pixels):
    """Positions from the edge of the first of ``pixels`` pixels, midpoints."""
    return (torch.arange(pixels * FINE, dtype=torch.float64) + 0.5) / FINE


@pytest.mark.parametrize("linear", [0.7, 0.9, 0.965])
def test_opaque_gaps(linear):
    """Zeroth order F², order m an axis √F sinc(m√F); all orders together carry F."""
    areal = linear**2
    aperture = effects.pixel_aperture(across(4), linear)
    t = torch.ones(4 * FINE, dtype=torch.complex128)
    line = effects.fill(t, aperture, "aperture")
    orders = torch.fft.fft(line).abs()[::4].square().numpy() / len(line) ** 2  # of a period of one pixel
    assert orders[0] ** 2 == pytest.approx(areal**2, abs=1e-9)
    for m in range(4):
        assert orders[m] == pytest.approx((linear * np.sinc(m * linear)) ** 2, abs=1e-4)
    assert orders.sum() == pytest.approx(linear, rel=1e-9)


@pytest.mark.parametrize("linear", [0.775, 0.965])
def test_zeroth_order_of_a_plane_of_gaps(linear):
    """In two dimensions F² of the light stays in the zeroth order, F passes, and the throughput model books F."""
    areal = linear**2
    line = effects.pixel_aperture((torch.arange(FINE, dtype=torch.float64) + 0.5) / FINE, linear)
    t = torch.full((FINE, FINE), 1.0, dtype=torch.complex128)
    shown = effects.fill(t, line[:, None] * line, "aperture")
    assert shown.mean().abs().item() ** 2 == pytest.approx(areal**2, rel=1e-9)
    assert shown.abs().square().mean().item() == pytest.approx(areal, rel=1e-9)
    dimmed = effects.fill(t, None, "throughput", fill_factor=areal)
    assert dimmed.abs().square().mean().item() == pytest.approx(areal, rel=1e-12)


@pytest.mark.parametrize("dead", [1.0, 0.6, -0.8])
@pytest.mark.parametrize("linear", [0.775, 0.965])
def test_bright_gaps_leak_into_the_zeroth_order(linear, dead):
    """Field F⟨e^{iφ}⟩ + (1-F) r_d: of a pattern of zero mean (1-F)² |r_d|² of the light."""
    areal = linear**2
    line = effects.pixel_aperture(across(2), linear)
    aperture = line[:, None] * line
    pattern = torch.tensor([[0.0, math.pi], [math.pi, 0.0]], dtype=torch.float64)
    phase = pattern.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
    t = torch.complex(phase.cos(), phase.sin())
    shown = effects.fill(t, aperture, "dead_space", dead=dead)
    assert shown.mean().abs().item() ** 2 == pytest.approx((1 - areal) ** 2 * dead**2, abs=1e-9)
    assert shown.abs().max() <= 1
    # With a uniform phase both add: (F e^{iφ} + (1-F) r_d).
    uniform = torch.full_like(t, 1j)
    mean = effects.fill(uniform, aperture, "dead_space", dead=dead).mean()
    assert abs(mean.item() - (1j * areal + (1 - areal) * dead)) < 1e-9


def test_the_order_envelope_of_a_shown_grating():
    """A blazed ramp of four pixels: order 1 + 4k has √F sinc((1 + 4k) √F / 4) of the amplitude."""
    linear = 0.9
    aperture = effects.pixel_aperture(across(4), linear)
    phase = (torch.arange(4, dtype=torch.float64) * math.pi / 2).repeat_interleave(FINE)
    field = effects.fill(torch.complex(phase.cos(), phase.sin()), aperture, "aperture")
    orders = torch.fft.fft(field).abs().square() / len(field) ** 2
    for order in (1, -3, 5, -7):
        assert orders[order].item() == pytest.approx((linear * np.sinc(order * linear / 4)) ** 2, abs=1e-3)
    assert orders[[0, 2, 3]].max() < 1e-6
