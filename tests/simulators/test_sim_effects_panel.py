"""Levels, responses, gaps, static maps, coupling and settling of a panel, each against another way to compute it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.interpolate
import torch
from torch.autograd import gradcheck, gradgradcheck

import simulators as sim
from simulators import effects

TURN = 2 * math.pi


def ramp(count, low=-7.0, high=9.0):
    return torch.linspace(low, high, count, dtype=torch.float64)


def real(*shape, low=0.1, high=0.9):
    return (low + (high - low) * torch.rand(*shape, dtype=torch.float64)).requires_grad_()


# --- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [(0.0, math.pi), (0.3,), (5.9, 0.1, 2.0), tuple(TURN * p for p in effects.PLM_P67)])
def test_the_nearest_of_any_levels_on_the_circle(dtype, levels):
    """Level by level in double precision, by the length of the chord; a level is shown as it is given."""
    phase = ramp(997).to(dtype)
    shown = effects.quantise_to(phase, torch.tensor(levels, dtype=dtype))
    assert shown.dtype == dtype
    nodes = np.array(levels)
    chord = np.abs(np.exp(1j * phase.double().numpy())[:, None] - np.exp(1j * nodes))
    reached = np.abs(np.exp(1j * phase.double().numpy()) - np.exp(1j * shown.double().numpy()))
    assert np.abs(reached - chord.min(1)).max() < (2e-6 if dtype == torch.float32 else 1e-14)
    assert np.abs(shown.double().numpy()[:, None] - nodes).min(1).max() < (1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("bits", [1, 3, 4])
@pytest.mark.parametrize("stroke", [0.6 * TURN, TURN])
def test_even_levels_are_a_special_case(bits, stroke):
    phase = ramp(1001)
    levels = torch.arange(2**bits, dtype=torch.float64) * stroke / 2**bits
    torch.testing.assert_close(
        effects.quantise_to(phase, levels), effects.quantise_phase(phase, bits, stroke), rtol=0, atol=1e-12
    )


def test_levels_may_differ_a_realisation():
    phase = ramp(12).reshape(3, 4)
    strokes = torch.tensor([TURN, 0.8 * TURN], dtype=torch.float64)
    table = torch.tensor(effects.PLM_P47, dtype=torch.float64)
    together = effects.quantise_to(phase, strokes[:, None, None, None, None] * table)
    assert together.shape == (2, 1, 3, 4)
    for r in range(2):
        assert torch.equal(together[r, 0], effects.quantise_to(phase, strokes[r] * table))


def test_the_nearest_level_on_the_line():
    value = ramp(801, -1.5, 1.5)
    for levels in ((0.0, 1.0), (-1.0, -0.2, 0.7), (0.4,)):
        shown = effects.nearest_level(value, torch.tensor(levels, dtype=torch.float64)).numpy()
        assert np.isin(shown.round(12), np.array(levels)).all()
        distance = np.abs(value.numpy()[:, None] - np.array(levels)).min(1)
        assert np.abs(np.abs(shown - value.numpy()) - distance).max() < 1e-15
    binary = torch.tensor([0.0, 1.0])
    assert effects.nearest_level(torch.tensor([0.2, 0.49, 0.51, 1.4]), binary).tolist() == [0, 0, 1, 1]
    assert effects.nearest_level(torch.rand(2, 3), binary).dtype == torch.float32


@pytest.mark.parametrize("effect", [effects.quantise_to, effects.nearest_level])
def test_the_gradient_of_a_level_is_straight_through(effect):
    value = ramp(50).requires_grad_()
    weights = torch.randn(50, dtype=torch.float64)
    levels = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((effect(value, levels) * weights).sum(), value)
    assert torch.equal(gradient, weights)
    with pytest.raises(sim.InputError, match=r"levels: got shape \[0\]; allowed: at least one"):
        effect(value, levels[:0])


def test_the_tables_of_piston_mirrors():
    """Sixteen displacements each, ascending from rest to the largest."""
    for table in (effects.PLM_P67, effects.PLM_P47):
        assert len(table) == 16
        assert table[0] == 0
        assert table[-1] == 1
        assert list(table) == sorted(set(table))
    # Check sums Σ i·d_i of the published tables, in ten-thousandths.
    sums = [round(1e4 * sum(i * d for i, d in enumerate(table))) for table in (effects.PLM_P67, effects.PLM_P47)]
    assert sums == [634219, 612988]


# --- responses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.8, 1.0, 1.3])
def test_a_bent_response(gamma):
    """S (φ/S)^γ: ends stay, γ = 1 changes nothing, the slope agrees with γ (φ/S)^(γ-1)."""
    stroke = 5.0
    phase = ramp(101, 0.0, stroke).requires_grad_()
    bent = effects.gamma_response(phase, stroke, gamma)
    expected = stroke * (phase.detach().numpy() / stroke) ** gamma
    assert np.abs(bent.detach().numpy() - expected).max() < 1e-13
    (slope,) = torch.autograd.grad(bent.sum(), phase)
    inner = phase.detach().numpy()[1:] / stroke
    assert np.abs(slope.numpy()[1:] - gamma * inner ** (gamma - 1)).max() < 1e-12
    assert torch.isfinite(slope).all()


def test_a_bent_response_is_continuous_at_zero():
    """A straight line up to 1e-6 of the stroke, on to the power law from there, rising all the way."""
    phase = torch.tensor([0.0, 0.5e-6, 1e-6, 1.000001e-6, 2e-6], dtype=torch.float64)
    bent = effects.gamma_response(phase, 1.0, 0.7)
    assert bent[0] == 0
    assert bent[1].item() == pytest.approx(bent[2].item() / 2, rel=1e-12)
    assert bent[3].item() == pytest.approx(bent[2].item(), rel=1e-6)
    assert (bent.diff() > 0).all()
    with pytest.raises(sim.InputError, match=r"gamma: got -0.5; allowed: more than 0"):
        effects.gamma_response(phase, 1.0, -0.5)
    with pytest.raises(sim.InputError, match=r"stroke: got 0; allowed: more than 0"):
        effects.gamma_response(phase, 0.0, 1.0)


def test_a_measured_response():
    """scipy's linear interpolation; exact at the points of the table."""
    levels = torch.tensor([0.0, 30.0, 31.0, 200.0, 255.0], dtype=torch.float64)
    phases = torch.tensor([0.0, 0.4, 0.9, 0.9, 6.3], dtype=torch.float64)
    drive = ramp(301, 0, 255).reshape(7, 43)
    found = effects.measured_response(drive, levels, phases)
    exact = scipy.interpolate.interp1d(levels.numpy(), phases.numpy())(drive.numpy())
    assert np.abs(found.numpy() - exact).max() < 1e-14
    torch.testing.assert_close(effects.measured_response(levels, levels, phases), phases, rtol=1e-15, atol=0)
    assert effects.measured_response(drive.float(), levels.float(), phases.float()).dtype == torch.float32
    with pytest.raises(sim.InputError, match=r"measured response: got not monotone; allowed: ascending"):
        effects.measured_response(drive, levels.flip(0), phases)
    with pytest.raises(sim.InputError, match=r"measured response: got not monotone; allowed: ascending"):
        effects.measured_response(drive, levels, phases.flip(0))
    with pytest.raises(sim.InputError, match=r"drive: got beyond 0 to 255"):
        effects.measured_response(drive + 1, levels, phases)
    with pytest.raises(sim.InputError, match=r"got levels \[5\] and phases \[1\]; allowed: as many phases as levels"):
        effects.measured_response(drive, levels, phases[:1])


# --- gaps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", [0.0, 0.5, 0.93, 1.0])
def test_the_open_share_of_a_pixel(linear):
    """Mean over a pixel √F, symmetric, of period 1; all open at √F = 1, edges included."""
    x = (torch.arange(4000, dtype=torch.float64) + 0.5) / 1000 - 1.0
    aperture = effects.pixel_aperture(x, linear)
    assert aperture.mean().item() == pytest.approx(linear, abs=1e-3)
    assert torch.equal(aperture, aperture.flip(0))
    assert torch.equal(aperture[:1000], aperture[1000:2000])
    assert effects.pixel_aperture(torch.tensor([0.0, 1.0, 7.0]), linear).tolist() == [float(linear == 1)] * 3
    assert effects.pixel_aperture(x.float(), linear).dtype == torch.float32
    with pytest.raises(sim.InputError, match=r"linear fill: got 1.2; allowed: 0 to 1"):
        effects.pixel_aperture(x, 1.2)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_the_three_models_of_gaps(dtype):
    t = torch.polar(torch.rand(2, 6, dtype=torch.float64), TURN * torch.rand(2, 6, dtype=torch.float64)).to(dtype)
    aperture = torch.tensor([1.0, 0, 1, 1, 0, 0], dtype=t.real.dtype)
    share = torch.tensor([[0.9], [0.5]], dtype=torch.float64)
    dimmed = effects.fill(t, None, "throughput", fill_factor=share)
    opaque = effects.fill(t, aperture, "aperture")
    mirror = effects.fill(t, aperture, "dead_space", dead=-0.3j)
    for shown in (dimmed, opaque, mirror):
        assert shown.dtype == dtype
        assert shown.abs().max() <= 1
    torch.testing.assert_close(dimmed.abs() ** 2, t.abs() ** 2 * share.to(aperture))
    assert torch.equal(opaque[:, [0, 2, 3]], t[:, [0, 2, 3]])
    assert (opaque[:, [1, 4, 5]] == 0).all()
    assert torch.equal(mirror[:, [0, 2, 3]], t[:, [0, 2, 3]])
    torch.testing.assert_close(mirror[:, [1, 4, 5]], torch.full((2, 3), -0.3j, dtype=dtype))
    with pytest.raises(sim.InputError, match=r"fill model: got 'apertur'; allowed: did you mean aperture"):
        effects.fill(t, aperture, "apertur")  # pyright: ignore[reportArgumentType]
    with pytest.raises(sim.InputError, match=r"fill model 'aperture': got no aperture"):
        effects.fill(t, None, "aperture")
    with pytest.raises(sim.InputError, match=r"reflection of the gaps: got -1\.5; allowed: -1 to 1"):
        effects.fill(t, aperture, "dead_space", dead=-1.5)
    with pytest.raises(sim.InputError, match=r"reflection of the gaps: got 0\+2j; allowed: -1 to 1"):
        effects.fill(t, aperture, "dead_space", dead=2j)
    with pytest.raises(sim.InputError, match=r"fill factor: got 1\.1; allowed: 0 to 1"):
        effects.fill(t, None, "throughput", fill_factor=1.1)


# --- static maps -----------------------------------------------------------------------------------------------------


def test_a_bow_is_the_sum_of_its_terms():
    coefficients = torch.randn(2, 1, 3, dtype=torch.float64)
    shapes = torch.randn(3, 4, 5, dtype=torch.float64)
    bow = effects.flatness(coefficients, shapes)
    assert bow.shape == (2, 1, 4, 5)
    for r in range(2):
        by_hand = sum(coefficients[r, 0, t] * shapes[t] for t in range(3))
        torch.testing.assert_close(bow[r, 0], by_hand)
    assert effects.flatness(coefficients, shapes.float()).dtype == torch.float32


@pytest.mark.parametrize("length", [0.3, 1.5, 6.0])
@pytest.mark.parametrize("shape", [(6, 7), (1, 8)])
def test_correlated_errors_have_the_gaussian_covariance(length, shape):
    """The map applied to every unit error gives L with L Lᵀ = C_y ⊗ C_x: exact, so 1 at every pixel, edges included."""
    count = shape[0] * shape[1]
    units = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
    root = effects.correlated(units, length).reshape(count, count)
    y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    squared = np.subtract.outer(y.ravel(), y.ravel()) ** 2 + np.subtract.outer(x.ravel(), x.ravel()) ** 2
    covariance = (root.mT @ root).numpy()
    assert np.abs(covariance - np.exp(-squared / (2 * length**2))).max() < 1e-7
    assert np.abs(np.diag(covariance) - 1).max() < 1e-12


def test_correlated_errors_keep_shape_and_precision():
    errors = torch.randn(2, 1, 5, 4)
    assert effects.correlated(errors, 2.0).shape == errors.shape
    assert effects.correlated(errors, 2.0).dtype == torch.float32
    torch.testing.assert_close(effects.correlated(errors, 1e-3), errors)  # shorter than a pixel: independent
    with pytest.raises(sim.InputError, match=r"correlation length: got 0; allowed: more than 0"):
        effects.correlated(errors, 0.0)


# --- coupling, settling ----------------------------------------------------------------------------------------------


def test_coupled_amplitude():
    """1 at phase 0 and 2π, 1 - c at π; never above 1."""
    phase = ramp(201)
    shown = effects.coupled_amplitude(phase, 0.2)
    torch.testing.assert_close(shown, 0.9 + 0.1 * torch.cos(phase))
    assert shown.max() <= 1
    assert effects.coupled_amplitude(torch.tensor(math.pi), 0.2).item() == pytest.approx(0.8)
    assert effects.coupled_amplitude(phase.float(), torch.tensor([0.1])).dtype == torch.float32
    with pytest.raises(sim.InputError, match=r"depth of the amplitude coupling: got 1.5; allowed: 0 to 1"):
        effects.coupled_amplitude(phase, 1.5)


def test_a_measured_amplitude_is_periodic():
    """numpy's periodic interpolation."""
    phases = torch.tensor([0.3, 1.0, 4.0, 6.0], dtype=torch.float64)
    amplitudes = torch.tensor([0.9, 1.0, 0.7, 0.8], dtype=torch.float64)
    phase = ramp(301).reshape(7, 43)
    found = effects.measured_amplitude(phase, phases, amplitudes)
    exact = np.interp(phase.numpy(), phases.numpy(), amplitudes.numpy(), period=TURN)
    assert np.abs(found.numpy() - exact).max() < 1e-14
    torch.testing.assert_close(effects.measured_amplitude(phase + TURN, phases, amplitudes), found, rtol=0, atol=1e-13)
    assert effects.measured_amplitude(phase.float(), phases.float(), amplitudes.float()).dtype == torch.float32
    assert (effects.measured_amplitude(phase, phases[:1], amplitudes[:1]) == 0.9).all()
    with pytest.raises(sim.InputError, match=r"measured amplitude: got 0.7 to 1.01; allowed: 0 to 1"):
        effects.measured_amplitude(phase, phases, amplitudes.clamp(max=1) + torch.tensor([0, 0.01, 0, 0]))
    with pytest.raises(sim.InputError, match=r"phases of the measured amplitude: allowed: ascending in \[0, 2π\)"):
        effects.measured_amplitude(phase, phases.flip(0), amplitudes)
    with pytest.raises(sim.InputError, match=r"got phases \[4\] and amplitudes \[2\]"):
        effects.measured_amplitude(phase, phases, amplitudes[:2])


def test_settling_solves_the_relaxation():
    """dv/dt = (v₁ - v)/τ, integrated in small steps; the 10-90 % time comes out again."""
    settle_time, wait = 12e-3, 20e-3
    tau = settle_time / math.log(9)
    v, steps = np.array([0.2, 5.0]), 20_000
    target = np.array([1.7, 1.0])
    for _ in range(steps):  # the midpoint rule
        half = v + (target - v) * wait / steps / tau / 2
        v = v + (target - half) * wait / steps / tau
    residual = effects.residual_after(settle_time, wait)
    found = effects.settle(torch.tensor(target), torch.tensor([0.2, 5.0]).double(), residual)
    assert np.abs(found.numpy() - v).max() < 1e-8
    reached = [1 - effects.residual_after(settle_time, t * tau) for t in (-math.log(0.9), -math.log(0.1))]
    assert reached == pytest.approx([0.1, 0.9])
    assert effects.residual_after(settle_time, 0.0) == 1
    for bad, message in (((0.0, 1.0), "settle time: got 0"), ((1.0, -1.0), "settle wait: got -1")):
        with pytest.raises(sim.InputError, match=message):
            effects.residual_after(*bad)
    with pytest.raises(sim.InputError, match=r"residual: got 1.2; allowed: 0 to 1"):
        effects.settle(torch.zeros(1), torch.zeros(1), 1.2)


# --- derivatives -----------------------------------------------------------------------------------------------------

SMOOTH = {
    "gamma_response": (
        effects.gamma_response,
        lambda: (real(2, 3, high=4), real(2, 1, low=5, high=6), real(1, high=2)),
    ),
    "measured_response": (
        effects.measured_response,
        lambda: (
            real(5),
            torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64, requires_grad=True),
            torch.tensor([0.0, 2.0, 6.0], dtype=torch.float64, requires_grad=True),
        ),
    ),
    "fill_throughput": (
        lambda t, f: effects.fill(torch.complex(t, 2 * t), None, "throughput", fill_factor=f),
        lambda: (real(2, 3), real(2, 1)),
    ),
    "fill_dead_space": (
        lambda t, m: effects.fill(torch.complex(t, 2 * t), m, "dead_space", dead=0.3j),
        lambda: (real(2, 3), real(3)),
    ),
    "flatness": (effects.flatness, lambda: (real(2, 1, 3), real(3, 2, 4))),
    "correlated": (lambda error: effects.correlated(error, 1.3), lambda: (real(2, 3, 4),)),
    "coupled_amplitude": (effects.coupled_amplitude, lambda: (real(2, 3, high=6), real(2, 1))),
    "measured_amplitude": (
        effects.measured_amplitude,
        lambda: (
            real(5, high=9),
            torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64, requires_grad=True),
            real(3),
        ),
    ),
    "settle": (effects.settle, lambda: (real(2, 3), real(2, 3), real(2, 1))),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name):
    effect, inputs = SMOOTH[name]
    assert gradcheck(effect, inputs())
    assert gradgradcheck(effect, inputs())
