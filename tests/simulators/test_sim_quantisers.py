"""Quantisers with gradients: learned steps against the formulas of LSQ, soft levels, what reads them out of a state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import simulators as sim
from simulators import InputError, effects
from simulators.detection import Readout
from simulators.devices.show import show_phase
from simulators.effects.quantisation import (
    even_levels,
    learned_step_quantise,
    quantise,
    quantise_phase,
    quantise_to,
    scale_gradient,
    soft_levels,
)

TURN = 2 * math.pi
ADDRESS = "stage[0].mask[0]"


def phases(*shape, seed=0, dtype=torch.float64):
    return TURN * torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def wrapped(angle):
    return torch.remainder(angle + math.pi, TURN) - math.pi


def slopes(quantiser, value, figure):
    """Gradients of every element of ``quantiser(value, figure)`` in value and figure, one at a time."""
    found = []
    for one in value:
        x, s = one.clone().requires_grad_(), figure.clone().requires_grad_()
        found.append(torch.autograd.grad(quantiser(x, s).sum(), (x, s)))
    return torch.stack([a for a, _ in found]), torch.stack([b for _, b in found])


# --- LSQ: three regions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 15), (-8, 7), (-1, 1)])
def test_learned_steps_follow_the_three_regions_of_the_paper(low, high):
    """Esser et al., equations 1 to 3, written out a value at a time."""
    step = torch.tensor(0.3, dtype=torch.float64)
    value = torch.linspace(low - 3, high + 3, 97, dtype=torch.float64) * step * 1.01
    shown = learned_step_quantise(value, step, low, high)
    in_value, in_step = slopes(lambda x, s: learned_step_quantise(x, s, low, high), value, step)
    regions = set()
    for i, x in enumerate(value.tolist()):
        v = x / 0.3
        if v <= low:
            expected, regions = (low, 0.0, low), regions | {"low"}
        elif v >= high:
            expected, regions = (high, 0.0, high), regions | {"high"}
        else:
            expected, regions = (np.rint(v), 1.0, np.rint(v) - v), regions | {"within"}
        assert shown[i].item() == pytest.approx(0.3 * expected[0], abs=1e-12)
        assert in_value[i].item() == pytest.approx(expected[1], abs=1e-12)
        assert in_step[i].item() == pytest.approx(expected[2], abs=1e-9)
    assert regions == {"low", "high", "within"}


def test_values_at_the_very_ends_are_clipped():
    step = torch.tensor(0.25, dtype=torch.float64)
    in_value, in_step = slopes(lambda x, s: learned_step_quantise(x, s, 0, 3), torch.tensor([0.0, 0.75]).double(), step)
    assert in_value.tolist() == [0, 0]
    assert in_step.tolist() == [0, 3]


def test_a_rounding_step_has_the_gradient_within_and_changes_no_bit():
    value = torch.randn(50, dtype=torch.float64) * 3
    step = torch.tensor(0.37, dtype=torch.float64, requires_grad=True)
    assert torch.equal(quantise(value, step), quantise(value, 0.37))
    in_value, in_step = slopes(quantise, value, step.detach())
    v = value / 0.37
    assert torch.equal(in_value, torch.ones_like(value))
    torch.testing.assert_close(in_step, torch.round(v) - v, rtol=0, atol=1e-12)


def test_a_scaled_gradient_leaves_the_value():
    value = torch.tensor([0.1, -7.0, 1e9], requires_grad=True)
    scaled = scale_gradient(value, 1 / math.sqrt(64 * 15))
    assert torch.equal(scaled, value)
    scaled.sum().backward()
    torch.testing.assert_close(value.grad, torch.full((3,), 64**-0.5 / 15**0.5))


def test_bad_steps_are_refused():
    with pytest.raises(InputError, match="step"):
        learned_step_quantise(torch.ones(2), 0.0, 0, 3)
    with pytest.raises(InputError, match="lowest below"):
        learned_step_quantise(torch.ones(2), 0.5, 3, 3)


# --- phase: the stroke --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stroke", [1.3, math.pi, TURN * 15 / 16, TURN, 7.7, 14.0])
def test_a_stroke_that_learns_changes_no_bit(stroke, dtype):
    phase = phases(400, dtype=dtype) * 2 - TURN / 2
    learned = torch.tensor(stroke, dtype=dtype, requires_grad=True)
    assert torch.equal(quantise_phase(phase, 4, learned), quantise_phase(phase, 4, torch.tensor(stroke, dtype=dtype)))
    ratios = torch.tensor(effects.PLM_P67, dtype=dtype)
    shown = quantise_to(phase, ratios * learned)
    assert shown.requires_grad
    assert torch.equal(shown, quantise_to(phase, ratios * learned.detach()))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("stroke", [1.3, math.pi, TURN * 15 / 16, TURN, 7.7])
def test_the_stroke_of_even_levels(bits, stroke):
    """Per step: g - v up to the last level, the end's own g beyond; a stroke holds 2^b steps. Phase: 1 throughout."""
    step = stroke / 2**bits
    grey = [g for g in range(2**bits) if g * step < TURN - 1e-9]
    phase = phases(300)
    in_phase, in_stroke = slopes(
        lambda p, s: quantise_phase(p, bits, s), phase, torch.tensor(stroke, dtype=torch.float64)
    )
    assert torch.equal(in_phase, torch.ones_like(phase))
    ends = set()
    for p, slope in zip(phase.tolist(), in_stroke.tolist(), strict=True):
        chosen = min(grey, key=lambda g: abs((g * step - p + math.pi) % TURN - math.pi))
        beyond = p > grey[-1] * step
        ends |= {chosen} if beyond else set()
        expected = chosen - (0 if beyond else p / step)
        assert slope * 2**bits == pytest.approx(expected, abs=1e-9)
    assert ends == {0, grey[-1]}


@pytest.mark.parametrize("stroke", [2.0, TURN * 15 / 16, TURN * 1.2])
def test_the_stroke_of_uneven_levels(stroke):
    """Ratio chosen - φ/stroke, φ in the turn of the level; beyond the ends the chosen ratio alone."""
    ratios = torch.tensor(effects.PLM_P67, dtype=torch.float64)
    phase = phases(300, seed=1)
    in_phase, in_stroke = slopes(
        lambda p, s: quantise_to(p, ratios * s), phase, torch.tensor(stroke, dtype=torch.float64)
    )
    assert torch.equal(in_phase, torch.ones_like(phase))
    within = 0
    for p, slope in zip(phase.tolist(), in_stroke.tolist(), strict=True):
        offsets = [(p - r * stroke + math.pi) % TURN - math.pi for r in ratios.tolist()]
        i = int(np.argmin(np.abs(offsets)))
        r = ratios[i].item()
        beyond = (offsets[i] > 0 and r == ratios.max()) or (offsets[i] < 0 and r == ratios.min())
        within += not beyond
        assert slope == pytest.approx(r if beyond else -offsets[i] / stroke, abs=1e-9)
    assert 0 < within < 300


def test_even_levels_given_one_by_one_learn_as_the_even_ones():
    phase, stroke = phases(200), torch.tensor(4.0, dtype=torch.float64)
    even = slopes(lambda p, s: quantise_phase(p, 3, s), phase, stroke)
    given = slopes(lambda p, s: quantise_to(p, s / 8 * torch.arange(8)), phase, stroke)
    torch.testing.assert_close(given, even, rtol=0, atol=1e-9)


def test_a_stroke_too_short_learns_to_grow():
    """By gradient descent on the error of the phases, to within a step of the full turn."""
    phase = phases(2000)
    stroke = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        loss = wrapped(quantise_phase(phase, 4, stroke) - phase).square().mean()
        (gradient,) = torch.autograd.grad(loss, stroke)
        stroke = (stroke - 0.3 * gradient).detach().requires_grad_()
    assert stroke.item() == pytest.approx(TURN, abs=TURN / 16)


def test_realisations_of_a_stroke_have_their_own_gradients():
    strokes = torch.tensor([2.0, 3.0, TURN], dtype=torch.float64, requires_grad=True)
    phase = phases(4, 5)
    quantise_phase(phase, 3, strokes[:, None, None, None]).sum().backward()
    for i in range(3):
        alone = strokes.detach()[i].clone().requires_grad_()
        quantise_phase(phase, 3, alone).sum().backward()
        torch.testing.assert_close(strokes.grad[i], alone.grad)


# --- soft levels --------------------------------------------------------------------------------------------------


def test_soft_levels_are_the_weighted_mean_on_the_circle():
    """Written out a phase and a level at a time, up to whole turns."""
    phase, levels, temperature = phases(30), torch.tensor([0.2, 1.7, 4.0, 5.9], dtype=torch.float64), 0.4
    shown = soft_levels(phase, levels, temperature)
    for p, found in zip(phase.tolist(), shown.tolist(), strict=True):
        offsets = [(g - p + math.pi) % TURN - math.pi for g in levels.tolist()]
        weights = [math.exp(-(d**2) / (2 * temperature)) for d in offsets]
        expected = p + sum(w * d for w, d in zip(weights, offsets, strict=True)) / sum(weights)
        assert (found - expected + math.pi) % TURN - math.pi == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("stroke", [2.0, TURN * 15 / 16, TURN, 9.0])
def test_soft_levels_harden_to_the_nearest_one(stroke):
    phase = phases(500) * 2 - TURN / 2
    stroke = torch.tensor(stroke, dtype=torch.float64)
    even = even_levels(4, stroke)
    torch.testing.assert_close(soft_levels(phase, even, 1e-12), quantise_phase(phase, 4, stroke), rtol=0, atol=1e-12)
    uneven = torch.tensor(effects.PLM_P47, dtype=torch.float64) * stroke
    # The table has 0 and 1: of a whole turn the two are one level, named either way.
    assert wrapped(soft_levels(phase, uneven, 1e-12) - quantise_to(phase, uneven)).abs().max() < 1e-12
    # In single precision the exponents leave its range; the nearest level has no exponent.
    single = soft_levels(phase.float(), even.float(), 1e-37)
    torch.testing.assert_close(single, quantise_phase(phase.float(), 4, stroke.float()), rtol=0, atol=2e-6)


def test_soft_levels_have_the_gradients_of_their_value():
    phase, stroke = phases(3, 4), torch.tensor(5.0, dtype=torch.float64)
    levels = torch.tensor([0.1, 1.4, 2.9, 4.1, 5.5], dtype=torch.float64)
    temperature = torch.tensor(0.3, dtype=torch.float64)
    gumbel = torch.from_numpy(np.random.default_rng(0).gumbel(size=(3, 4, 5)))
    for tensor in (phase, stroke, levels, temperature):
        tensor.requires_grad_()
    assert gradcheck(soft_levels, (phase, levels, temperature))
    assert gradcheck(lambda p, g, t: soft_levels(p, g, t, gumbel=gumbel), (phase, levels, temperature))
    assert gradcheck(lambda p, s, t: soft_levels(p, even_levels(3, s), t), (phase, stroke, temperature))


def test_gumbel_values_choose_in_proportion_to_the_weights():
    """Cold, one level is chosen a draw; its share of 4,000 draws is the weight at the temperature of the draw, 5σ.

    γ added to -d²/2T and sharpened keeps the largest: the Gumbel trick.
    """
    levels, n, temperature = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), 4000, 0.5
    gumbel = torch.from_numpy(np.random.default_rng(1).gumbel(size=(n, 3)))
    phase = torch.full((n,), 0.8, dtype=torch.float64)
    logits = -((levels - 0.8) ** 2) / (2 * temperature)
    cold = 1e-9
    # The same draw at a colder temperature: all exponents scaled alike.
    shown = soft_levels(
        phase, levels, cold, gumbel=(gumbel + logits) * temperature / cold - logits * temperature / cold
    )
    chosen = torch.stack([(shown - g).abs() < 1e-6 for g in levels]).double().mean(1)
    share = torch.softmax(logits, 0)
    assert chosen.sum().item() == pytest.approx(1, abs=2e-3)
    assert ((chosen - share).abs() < 5 * (share * (1 - share) / n).sqrt()).all()


def test_bad_soft_levels_are_refused():
    with pytest.raises(InputError, match="temperature"):
        soft_levels(torch.ones(2), torch.ones(2), 0.0)
    with pytest.raises(InputError, match="phase levels"):
        soft_levels(torch.ones(2), torch.ones(0), 1.0)


# --- out of the state ---------------------------------------------------------------------------------------------


def panel(**figures):
    bench = sim.reference_bench((4, 5))
    device = bench.stage[0].device.replace(**figures)
    stage = tuple(place.replace(device=device) if j % 2 == 0 else place for j, place in enumerate(bench.stage))
    return bench.replace(stage=stage)


@pytest.mark.parametrize("given", [{"bits": 3}, {"bits": None, "levels": effects.PLM_P67}])
def test_a_temperature_in_the_state_softens_a_panel(given):
    bench = panel(**given).only("*.quantisation")
    element, command, stroke = bench.element(1, ADDRESS), phases(4, 5), bench.stage[0].device.stroke
    state, hard = bench.nominal(1), show_phase(bench.element(1, ADDRESS), command, bench.nominal(1))
    soft = {**state, f"{ADDRESS}.temperature": torch.tensor([[0.05], [0.2]], dtype=torch.float64)}
    shown = show_phase(element, command, soft)
    table = effects.PLM_P67 if "levels" in given else np.arange(8) / 8
    ratios = torch.tensor(table, dtype=torch.float64)
    for r, temperature in enumerate((0.05, 0.2)):
        expected = soft_levels(command, ratios * stroke, temperature)
        torch.testing.assert_close(shown[r, 0], torch.polar(torch.ones(4, 5).double(), expected), rtol=0, atol=1e-12)
    assert (shown[0] - hard).abs().max() > 1e-3
    other = bench.element(1, "stage[0].mask[1]")  # the temperature is a panel's own
    wanted = phases(*other.pixels)
    torch.testing.assert_close(show_phase(other, wanted, soft), show_phase(other, wanted, state), rtol=0, atol=0)


@pytest.mark.parametrize("drawn", [False, True])
def test_one_assignment_serves_phase_and_amplitude(drawn):
    """The amplitude is that of the phase shown: its argument, read off the field itself."""
    bench = panel(bits=3, amplitude_coupling=0.3).only("*.quantisation", "*.amplitude_coupling")
    element, command = bench.element(1, ADDRESS), phases(4, 5)
    state = {**bench.nominal(1), f"{ADDRESS}.temperature": torch.full((1, 1), 0.3, dtype=torch.float64)}
    gumbel = torch.from_numpy(np.random.default_rng(2).gumbel(size=(1, 1, 4, 5, 8)))
    if drawn:
        state[f"{ADDRESS}.gumbel"] = gumbel
    shown = show_phase(element, command, state)
    stroke = bench.stage[0].device.stroke
    levels = torch.arange(8, dtype=torch.float64) / 8 * stroke
    assigned = soft_levels(command, levels, 0.3, gumbel=gumbel[0, 0] if drawn else None)
    torch.testing.assert_close(shown[0, 0].abs(), effects.coupled_amplitude(assigned, 0.3), rtol=0, atol=1e-12)
    torch.testing.assert_close(shown.abs(), effects.coupled_amplitude(shown.angle(), 0.3), rtol=0, atol=1e-12)
    if drawn:
        still = show_phase(element, command, {k: v for k, v in state.items() if not k.endswith("gumbel")})
        assert (shown - still).abs().max() > 0.05


# --- the converter's range ----------------------------------------------------------------------------------------

DIODES = sim.Photodiode(
    name="diodes",
    resolution=(4, 4),
    pixel_pitch=1e-3,
    dark_current=1e-12,
    full_scale=2e-9,
    bits=8,
    effective_bits=7.0,
)


def last_digit(readout):
    """Of a window of n pixels, n times that of one."""
    detector = readout.bench.detector
    pixels = detector.pixels_per_mode(readout.bench.stage[0].pitch) if isinstance(detector, sim.Camera) else 1
    return pixels * (2**detector.bits - 1)


def decoded_end(readout):
    """Photons that nominally reach the end of the whole range."""
    end = torch.full((1, 1, 1, *readout.bench.modes), float(last_digit(readout)), dtype=torch.float64)
    return readout.decode(end).max()


def light_on(bench, kind, level):
    """A readout, and a field that drives its detector to shares of ``level`` up to full."""
    readout = Readout(bench, 1, kind, order=1)
    power = level * torch.linspace(0.05, 1, 16, dtype=torch.float64).reshape(1, 1, 1, 4, 4) * decoded_end(readout)
    return readout, torch.complex(power.sqrt(), torch.zeros_like(power))


@pytest.mark.parametrize("detector", [None, DIODES], ids=["camera", "photodiodes"])
def test_a_narrower_converter_has_finer_digits_and_clips(detector):
    bench = sim.reference_bench((4, 4))
    bench = bench if detector is None else bench.replace(detector=detector)
    bench = bench.only("detector.full*", "detector.quantisation")
    readout, field = light_on(bench, "intensity", 0.5)
    state, share = bench.nominal(1), torch.tensor(0.25, dtype=torch.float64)
    narrow = {**state, "detector.range": share.reshape(1, 1)}
    wide, fine = readout.frames(field, state), readout.frames(field, narrow)
    step = last_digit(readout) / readout.full_range() * state["detector.step"].item()  # digits: √n of a window's
    assert abs(fine.max().item() - last_digit(readout)) <= step / 2  # clipped: the light reaches twice as far
    assert wide.max() < 0.51 * last_digit(readout)
    true = readout.photons(field[0])
    seen, coarse = readout.decode(fine, share), readout.decode(wide)
    within = true < 0.25 * (true.max() / 0.5) * 0.98
    error, before = (seen - true)[within].square().mean().sqrt(), (coarse - true)[within].square().mean().sqrt()
    assert 0 < error < before / 2
    beyond = true > 0.25 * (true.max() / 0.5) * 1.02
    assert (seen[beyond] - 0.25 * true.max() / 0.5).abs().max() < 0.01 * true.max()


@pytest.mark.parametrize("detector", [None, DIODES], ids=["camera", "photodiodes"])
def test_the_range_of_a_converter_has_the_gradient_of_lsq(detector):
    """d decoded / d r: (round v - v)·step within, the end beyond; v by the step of the state, at r."""
    bench = sim.reference_bench((4, 4))
    bench = bench if detector is None else bench.replace(detector=detector)
    bench = bench.only("detector.full*", "detector.quantisation")
    readout, field = light_on(bench, "intensity", 0.5)
    state, share = bench.nominal(1), torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    seen = readout.decode(readout.frames(field, {**state, "detector.range": share.reshape(1, 1)}), share)
    found = torch.stack([torch.autograd.grad(one, share, retain_graph=True)[0] for one in seen.flatten()])
    unit = decoded_end(readout)
    end = state["detector.full_well" if detector is None else "detector.full_scale"].item()
    step = state["detector.step"].item()
    signal = (readout.photons(field[0]) / unit * end).flatten()
    v, top = signal / (0.25 * step), end / step
    rounded = torch.where(signal < 0.25 * end, torch.round(v) - v, top + round(top) - top)
    torch.testing.assert_close(found, rounded * step * unit / end, rtol=1e-6, atol=1e-6 * unit.item())


def test_the_noise_of_a_converter_goes_with_its_range():
    bench = sim.reference_bench((4, 4)).replace(detector=DIODES).only("detector.converter_noise")
    readout = Readout(bench, 1, "intensity", order=1)
    field = torch.ones(1, 1, 512, 4, 4, dtype=torch.complex128)
    shots = sim.Shots(3, (0,), tuple(range(512)))
    state = bench.nominal(1)
    still = readout.frames(field, state)
    spread = [
        (readout.frames(field, s, shots) - still).std().item()
        for s in (state, {**state, "detector.range": torch.full((1, 1), 0.5, dtype=torch.float64)})
    ]
    assert spread[1] == pytest.approx(0.5 * spread[0], rel=1e-9)
