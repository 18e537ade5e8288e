"""Photodiodes and the reference arm as devices: what they refuse, what is on, whose draws are whose, gradients."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

import simulators as sim
from simulators.devices import photodiode

MODES = (2, 3)
UM = 1e-6

ARM = {
    "step_error": 0.2,
    "piston_drift": 0.1,
    "power_drift": 0.05,
    "visibility": 0.8,
    "path_mismatch": 0.01,
    "coherence_length": 0.05,
    "tilt": (30e-6, -20e-6),
    "curvature": 0.3,
    "common_mode_rejection_dB": 30.0,
}
DIODE = {
    "quantum_efficiency": 0.7,
    "gain_nonuniformity": 0.02,
    "relative_intensity_noise": 1e-8,
    "dark_current": 1e-9,
    "feedback_resistance": 1e6,
    "temperature": 300.0,
    "voltage_noise": 1e-4,
    "capacitance": 1e-9,
    "full_scale": 2e-9,
    "bits": 10,
    "effective_bits": 7.0,
}
ARM_EFFECTS = (
    *("tilt", "curvature", "step_error", "piston_drift", "power_drift"),
    *("visibility", "path_mismatch", "common_mode"),
)
DIODE_EFFECTS = (
    *("quantum_efficiency", "gain_nonuniformity", "relative_intensity_noise", "dark_current", "shot_noise"),
    *("johnson_noise", "voltage_noise", "converter_noise", "full_scale", "quantisation"),
)


def arm(**changes):
    return sim.ReferenceArm(**{"name": "an arm", **ARM, **changes})


def diodes(**changes):
    return sim.Photodiode(**{"name": "diodes", "resolution": (4, 4), "pixel_pitch": 1e-3, **DIODE, **changes})


def whole(*, modes=MODES, detector=None, reference_arm=None):
    used = sim.reference_bench(modes)
    # A camera of 8 pixels a mode and axis.
    return used.replace(
        detector=detector or used.detector.replace(pixel_pitch=8 * UM),
        reference_arm=reference_arm or arm(),
    )


def shots(samples, **changes):
    return sim.Shots(**{"seed": 9, "realisation": (0,), "sample": tuple(range(samples)), **changes})


def field_of(used, *shape, photons=400.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return math.sqrt(photons) * torch.randn(*shape, *used.modes, dtype=torch.complex128, generator=generator)


def frames_of(used, kind, *, samples=4, realisations=(0, 1), photons=400.0):
    state = sim.Realisations(0, realisations).draw(used, 1)
    noise = shots(samples, realisation=realisations)
    return sim.Readout(used, 1, kind).frames(field_of(used, 1, 1, samples, photons=photons), state, noise)


# --- what they are ----------------------------------------------------------------------------------------------------


def test_they_are_frozen_specs():
    for device in (arm(), diodes()):
        assert pickle.loads(pickle.dumps(device)) == device
        assert hash(type(device).from_dict(device.to_dict())) == hash(device)


def test_a_bench_takes_them_from_a_file(tmp_path):
    path = tmp_path / "arm.toml"
    path.write_text(
        'kind = "reference_arm"\nstep_error = "2 deg"\ncurvature = "0.2 / m"\ntilt = ["-10 urad", "0 rad"]\n'
        'path_mismatch = "3 mm"\ncoherence_length = "20 cm"\ncommon_mode_rejection_dB = 40\n'
    )
    used = sim.reference_bench(MODES).replace(detector="silicon_photodiodes_16x16", reference_arm=str(path))
    assert isinstance(used.detector, sim.Photodiode)
    assert used.detector.full_scale == pytest.approx(2e-6, abs=0, rel=1e-12)
    assert used.detector.voltage_noise == pytest.approx(5e-9, abs=0, rel=1e-12)
    assert used.reference_arm.step_error == pytest.approx(math.radians(2))
    assert used.reference_arm.tilt == pytest.approx((-1e-5, 0))
    assert used.reference_arm.path_mismatch == pytest.approx(3e-3)
    assert sim.Bench.from_dict(used.to_dict()) == used
    assert sim.reference_bench(MODES).reference_arm is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"responsivity": 0.4}, r"responsivity: got 0\.4 A/W; allowed: it or quantum_efficiency"),
        ({"capacitance": None}, "voltage_noise: allowed: with the capacitance it drives"),
        ({"temperature": None}, "feedback_resistance: allowed: with its temperature"),
        ({"full_scale": None}, "bits: got 10; allowed: bits over a full scale; try: full_scale"),
        ({"full_scale": None, "bits": None}, r"effective_bits: got 7\.0; allowed: bits over a full scale"),
        ({"full_scale": 0.0}, r"full_scale: got 0\.0; allowed: greater than 0"),
        ({"effective_bits": 11.0}, r"effective_bits: got 11\.0; allowed: at most the 10 bits"),
    ],
)
def test_figures_of_a_photodiode_that_do_not_fit(changes, message):
    with pytest.raises(sim.InputError, match=message):
        diodes(**changes)


def test_a_bench_refuses_a_detector_that_cannot_be():
    with pytest.raises(sim.InputError, match=r"3x5 modes, each on a diode .* the 4x4 diodes of diodes"):
        whole(modes=(3, 5), detector=diodes())
    message = r"detector\.responsivity at 633 nm: got 0\.6 A/W, 1\.18 electrons a photon; allowed: at most 0\.511 A/W"
    with pytest.raises(sim.InputError, match=message):
        whole(detector=diodes(quantum_efficiency=None, responsivity=0.6))
    telecom = (900e-9, 1700e-9)
    with pytest.raises(sim.InputError, match=r"detector \(diodes\) .* allowed: 900 to 1700 nm"):
        whole(detector=diodes(wavelength_range=telecom))
    with pytest.raises(sim.InputError, match=r"reference_arm \(an arm\) .* allowed: 900 to 1700 nm"):
        whole(reference_arm=arm(wavelength_range=telecom))


def test_a_reference_that_is_far_off_is_refused():
    with pytest.raises(sim.InputError, match=r"path_mismatch: got 10 mm; allowed: .*; try: coherence_length = c/\(π"):
        arm(coherence_length=None)
    message = r"across one mode: got 3\.18 rad; allowed: at most π/2, a slope of 2473 urad; try: an aligned arm"
    with pytest.raises(sim.InputError, match=message):
        whole(reference_arm=arm(tilt=(0.0, -5e-3), curvature=None))
    with pytest.raises(sim.InputError, match="across one mode"):
        whole(reference_arm=arm(tilt=None, curvature=-30.0))
    whole(reference_arm=arm(tilt=(0.0, -2.4e-3), curvature=None))


def test_the_reference_of_photodiodes_fills_its_share_of_full_scale():
    """0.5 of 2 nA through one of four frames; without a full scale it is all the light of the bench."""
    used = whole(detector=diodes()).only("detector.quantum_efficiency")
    dark = torch.zeros(1, 1, 1, *MODES, dtype=torch.complex128)
    frames = sim.Readout(used, 1, "coherent").frames(dark, used.nominal(1))
    torch.testing.assert_close(frames, torch.full_like(frames, 1e-9))
    endless = whole(detector=diodes(full_scale=None, bits=None, effective_bits=None))
    state = endless.nominal(1)
    assert state["detector.reference"].item() == pytest.approx(endless.photons_in(state).item(), rel=1e-12)
    assert photodiode.ELEMENTARY_CHARGE == 1.602176634e-19


# --- switches ---------------------------------------------------------------------------------------------------------


def test_the_lists_of_effects_are_complete():
    named = whole(detector=diodes()).effects(1)
    assert tuple(e.name for e in named if e.address == "reference_arm") == ARM_EFFECTS
    assert tuple(e.name for e in named if e.address == "detector") == DIODE_EFFECTS
    kinds = {e.name: e.kind for e in named}
    assert kinds["step_error"] == kinds["common_mode"] == "mismatch"
    assert kinds["piston_drift"] == kinds["power_drift"] == kinds["converter_noise"] == "dynamic"
    assert kinds["tilt"] == kinds["visibility"] == "deterministic"


@pytest.mark.parametrize("effect", ARM_EFFECTS)
def test_every_effect_of_the_arm_matters_alone_and_among_the_others(effect):
    kind = "homodyne" if effect == "common_mode" else "coherent"
    names = [f"reference_arm.{name}" for name in ARM_EFFECTS]
    used = whole()
    clean, alone = frames_of(used.only(), kind), frames_of(used.only(f"reference_arm.{effect}"), kind)
    every = frames_of(used.only(*names), kind)
    others = frames_of(used.only(*names).without(f"reference_arm.{effect}"), kind)
    assert not torch.allclose(alone, clean, rtol=1e-6)
    assert not torch.allclose(every, others, rtol=1e-6)


@pytest.mark.parametrize("kind", ["intensity", "homodyne"])
@pytest.mark.parametrize("effect", DIODE_EFFECTS)
def test_every_effect_of_a_photodiode_matters_alone_and_among_the_others(effect, kind):
    """Dark currents of a balanced pair cancel; their shot noise does not."""
    names, used = [f"detector.{name}" for name in DIODE_EFFECTS], whole(detector=diodes())
    bright = 4e7 if effect == "full_scale" else 1e6
    clean = frames_of(used.only(), kind, photons=bright)
    alone = frames_of(used.only(f"detector.{effect}"), kind, photons=bright)
    every = frames_of(used.only(*names), kind, photons=bright)
    others = frames_of(used.only(*names).without(f"detector.{effect}"), kind, photons=bright)
    if (effect, kind) == ("dark_current", "homodyne"):
        torch.testing.assert_close(alone, clean, rtol=1e-9, atol=1e-18)
    else:
        assert not torch.allclose(alone, clean, rtol=1e-6, atol=0)
    assert not torch.allclose(every, others, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["intensity", "coherent", "homodyne", "off_axis"])
def test_an_arm_without_figures_is_no_arm(kind):
    """Bit for bit, and so is one whose effects are all off."""
    bare = whole().replace(reference_arm=None)
    frames = frames_of(bare, kind)
    assert torch.equal(frames, frames_of(bare.replace(reference_arm=sim.ReferenceArm(name="nothing")), kind))
    assert torch.equal(frames, frames_of(whole().without("reference_arm.*"), kind))


@pytest.mark.parametrize("kind", ["coherent", "homodyne"])
@pytest.mark.parametrize("name", [name for name in ARM_EFFECTS if name not in ("path_mismatch", "common_mode")])
def test_an_absent_figure_of_the_arm_is_exactly_its_effect_switched_off(name, kind):
    frames = frames_of(whole().without(f"reference_arm.{name}"), kind)
    assert torch.equal(frames, frames_of(whole(reference_arm=arm(**{name: None})), kind))


def test_frames_do_not_depend_on_the_batch_nor_on_other_effects():
    for kind, detector in (("coherent", None), ("homodyne", diodes()), ("off_axis", None), ("intensity", diodes())):
        used = whole(detector=detector)
        readout, field = sim.Readout(used, 1, kind), field_of(used, 1, 3, 4)
        draws = sim.Realisations(0, (0, 1, 2)).draw(used, 1)
        every = readout.frames(field, draws, shots(4, realisation=(0, 1, 2)))
        some = readout.frames(
            field[:, [2]][:, :, [3, 1]],
            sim.Realisations(0, (2,)).draw(used, 1),
            shots(4, realisation=(2,), sample=(3, 1)),
        )
        assert torch.equal(some, every[[2]][:, [3, 1]])
    # Piston turns the decoded field by the same angle, whatever else the arm does.
    one = torch.full((1, 1, 5, *MODES), 20 + 0j, dtype=torch.complex128)
    turns = []
    for names in (("piston_drift",), ("piston_drift", "visibility", "power_drift")):
        used = whole().only(*(f"reference_arm.{name}" for name in names))
        readout = sim.Readout(used, 1, "off_axis")
        turns.append(readout.decode(readout.frames(one, used.nominal(1), shots(5))).angle())
    assert turns[0].abs().max() > 0.01
    torch.testing.assert_close(*turns)


def test_the_moments_of_a_ripple_are_averaged_as_intensities():
    """Two moments of opposite sign: fringes cancel, light does not; off axis as in four steps."""
    used = whole().only()
    field = field_of(used, 1, 1, 2)
    for kind in ("coherent", "homodyne", "off_axis"):
        readout = sim.Readout(used, 1, kind)
        both = readout.exposures(torch.cat([field, -field]), used.nominal(1))
        each = [readout.exposures(part, used.nominal(1)) for part in (field, -field)]
        torch.testing.assert_close(both, (each[0] + each[1]) / 2)
        assert readout.decode(readout.frames(torch.cat([field, -field]), used.nominal(1))).abs().max() < 1e-9


@pytest.mark.parametrize("kind", ["intensity", "coherent", "homodyne", "off_axis"])
def test_single_precision_stays_single_with_everything_on(kind):
    for detector in (None,) if kind == "off_axis" else (None, diodes()):
        used = whole(detector=detector)
        state = used.nominal(1, dtype=torch.float32)
        readout = sim.Readout(used, 1, kind, order=2)
        field = torch.randn(1, 1, 2, 2 * MODES[0], 2 * MODES[1], dtype=torch.complex64)
        for differentiable in (False, True):
            frames = readout.frames(field, state, shots(2, differentiable=differentiable))
            assert frames.dtype == torch.float32
            assert frames.isfinite().all()
            assert readout.decode(frames).dtype == (torch.float32 if kind == "intensity" else torch.complex64)


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "detector"),
    [
        *((kind, "camera") for kind in ("intensity", "coherent", "homodyne", "off_axis")),
        *((kind, "photodiode") for kind in ("intensity", "coherent", "homodyne")),
    ],
)
def test_gradients_of_the_reparametrised_path(kind, detector):
    """Through field, arm and signal-dependent noise at once, by finite differences; rounding has none and is off."""
    used = whole(modes=(1, 2), detector=None if detector == "camera" else diodes())
    used = used.without("detector.quantisation", "detector.full_*")
    readout = sim.Readout(used, 1, kind, order=2)
    state = sim.Realisations(0, (0,)).draw(used, 1)
    names = [f"reference_arm.{name}" for name in ("step_error", "piston_drift", "power_drift", "tilt", "curvature")]
    names += ["reference_arm.visibility", "reference_arm.path_mismatch", "reference_arm.common_mode"]
    names += ["detector.quantum_efficiency", "detector.gain_nonuniformity", "detector.reference"]
    scale = {"reference_arm.tilt": 1e-4, "reference_arm.curvature": 1e2, "detector.reference": 1e6}
    values = [(state[name] / scale.get(name, 1.0)).clone().requires_grad_() for name in names]
    noise = shots(1, differentiable=True)
    field = field_of(used, 1, 1, 1).repeat_interleave(2, -1).repeat_interleave(2, -2).requires_grad_()

    def decoded(field, *values):
        changed = {name: value * scale.get(name, 1.0) for name, value in zip(names, values, strict=True)}
        found = readout.decode(readout.frames(field, {**state, **changed}, noise))
        return found if kind == "intensity" else torch.view_as_real(found)

    assert torch.autograd.gradcheck(decoded, (field, *values))
