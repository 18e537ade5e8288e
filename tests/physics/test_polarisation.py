"""Polarisers and wave plates: Malus, rotation, circular light, energy; all to 1e-12."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import simulators as sim
from simulators import effects

ANGLES = torch.linspace(-3, 3, 61, dtype=torch.float64)


def linear(angle):
    """Jones vectors of light polarised at ``angle``."""
    return torch.stack([angle.cos(), angle.sin()], -1)


def power(vector):
    return (vector.abs() ** 2).sum(-1)


def stokes(vector):
    """S₁, S₂, S₃ over S₀ of a Jones vector; S₃ > 0: the phase of y ahead of x under exp(-iωt)."""
    x, y = vector[..., 0], vector[..., 1]
    cross = x.conj() * y
    total = power(vector)
    return torch.stack([(x.abs() ** 2 - y.abs() ** 2) / total, 2 * cross.real / total, 2 * cross.imag / total], -1)


@pytest.mark.parametrize("axis", [0.0, 0.4, -1.1])
def test_malus(axis):
    """cos²θ, and what comes out is polarised along the axis."""
    polariser = effects.polariser(torch.tensor(axis, dtype=torch.float64))
    out = (polariser @ linear(ANGLES)[..., None])[..., 0]
    assert (power(out) - torch.cos(ANGLES - axis) ** 2).abs().max() < 1e-12
    across = linear(torch.tensor(axis + math.pi / 2, dtype=torch.float64))
    assert (out @ across).abs().max() < 1e-12
    torch.testing.assert_close(polariser @ polariser, polariser, rtol=0, atol=1e-14)


def test_a_real_polariser_leaks():
    """cos²θ + sin²θ/ER; crossed with another, 1/ER each."""
    ratio = 500.0
    polariser = effects.polariser(torch.zeros((), dtype=torch.float64), ratio)
    out = power((polariser @ linear(ANGLES)[..., None])[..., 0])
    assert (out - (ANGLES.cos() ** 2 + ANGLES.sin() ** 2 / ratio)).abs().max() < 1e-12
    crossed = effects.polariser(torch.tensor(math.pi / 2, dtype=torch.float64), ratio) @ polariser
    torch.testing.assert_close(crossed, torch.eye(2, dtype=torch.float64) * ratio**-0.5, rtol=0, atol=1e-14)
    assert torch.linalg.matrix_norm(effects.polariser(ANGLES, 1.0), 2).max() <= 1 + 1e-12
    with pytest.raises(sim.InputError, match=r"extinction ratio: got 0.5; allowed: at least 1"):
        effects.polariser(ANGLES, 0.5)


def test_half_a_wave_turns_by_twice_the_angle():
    """Light along x through a plate at α: the direction 2α, linear still; light at θ goes to 2α - θ."""
    plate = effects.wave_plate(ANGLES, torch.tensor(math.pi, dtype=torch.float64))
    for start in (0.0, 0.7):
        entering = linear(torch.tensor(start, dtype=torch.float64)).to(plate.dtype)
        out = plate @ entering
        expected = linear(2 * ANGLES - start).to(plate.dtype)
        overlap = (expected.conj() * out).sum(-1).abs()
        assert (overlap - 1).abs().max() < 1e-12


def test_a_quarter_wave_makes_circular_light():
    """At 45°: |S₃| = 1, of the sign of the slow axis; along the axis nothing changes."""
    quarter = torch.tensor(math.pi / 2, dtype=torch.float64)
    x = torch.tensor([1.0, 0.0], dtype=torch.complex128)
    for sign in (1, -1):
        out = effects.wave_plate(torch.tensor(sign * math.pi / 4, dtype=torch.float64), quarter) @ x
        assert (stokes(out) - torch.tensor([0, 0, sign]).double()).abs().max() < 1e-12
    along = effects.wave_plate(torch.zeros((), dtype=torch.float64), quarter) @ x
    assert (stokes(along) - torch.tensor([1, 0, 0]).double()).abs().max() < 1e-12


def test_the_slow_polarisation_gains_the_phase():
    """exp(-iωt): a longer optical path is a positive phase."""
    matrix = effects.wave_plate(torch.zeros((), dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64))
    assert torch.angle(matrix[0, 0] / matrix[1, 1]).item() == pytest.approx(0.8, abs=1e-14)


def test_a_plate_turns_the_poincare_sphere():
    """By its retardance about the axis (cos 2α, sin 2α, 0): Rodrigues' formula."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        angle, retardance = (6 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
        light = torch.randn(2, generator=generator, dtype=torch.complex128)
        plate = effects.wave_plate(*torch.tensor([angle, retardance], dtype=torch.float64))
        axis, s = np.array([math.cos(2 * angle), math.sin(2 * angle), 0.0]), stokes(light).numpy()
        turn = -retardance  # about this axis, S₃ being the phase of y over x
        turned = s * math.cos(turn) + np.cross(axis, s) * math.sin(turn) + axis * (axis @ s) * (1 - math.cos(turn))
        assert np.abs(stokes(plate @ light).numpy() - turned).max() < 1e-12


def test_plates_are_unitary_and_batches_broadcast():
    angle, retardance = ANGLES[:5, None], torch.rand(3, dtype=torch.float64)
    plate = effects.wave_plate(angle, retardance)
    assert plate.shape == (5, 3, 2, 2)
    torch.testing.assert_close(plate @ plate.mH, torch.eye(2).to(plate).expand(5, 3, 2, 2), rtol=0, atol=1e-14)
    torch.testing.assert_close(plate[2, 1], effects.wave_plate(angle[2, 0], retardance[1]), rtol=0, atol=1e-15)
    torch.testing.assert_close(torch.linalg.det(effects.rotation(ANGLES)), torch.ones(61, dtype=torch.float64))
    turned = effects.rotation(ANGLES) @ torch.tensor([1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(turned, linear(ANGLES), rtol=0, atol=1e-15)


def test_an_amplitude_panel_between_polarisers():
    """Half-wave liquid crystal whose axis turns, polariser before and after: cos 2α, signed; crossed: sin 2α."""
    plate = effects.wave_plate(ANGLES, torch.tensor(math.pi, dtype=torch.float64))
    first = torch.tensor([1.0, 0.0], dtype=torch.complex128)
    zero, right = torch.zeros((), dtype=torch.float64), torch.tensor(math.pi / 2, dtype=torch.float64)
    for analyser, expected in ((zero, torch.cos(2 * ANGLES)), (right, torch.sin(2 * ANGLES))):
        out = (effects.polariser(analyser).to(plate.dtype) @ (plate @ first)[..., None])[..., 0]
        amplitude = out[..., 0 if analyser == 0 else 1] / 1j
        assert (amplitude - expected).abs().max() < 1e-12


def test_derivatives_and_precision():
    angle = torch.tensor([0.3, -1.0], dtype=torch.float64, requires_grad=True)
    retardance = torch.tensor([0.9], dtype=torch.float64, requires_grad=True)
    for effect, inputs in (
        (effects.rotation, (angle,)),
        (lambda a: effects.polariser(a, 100.0), (angle,)),
        (effects.wave_plate, (angle, retardance)),
    ):
        assert gradcheck(effect, inputs)
        assert gradgradcheck(effect, inputs)
    single = angle.detach().float()
    assert effects.rotation(single).dtype == torch.float32
    assert effects.polariser(single, 100.0).dtype == torch.float32
    assert effects.wave_plate(single, single).dtype == torch.complex64
