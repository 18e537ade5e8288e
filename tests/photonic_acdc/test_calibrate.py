"""Figures of a bench out of its frames: the fit, its errors, and what the frames cannot tell apart."""

import math

import pytest
import torch

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.calibration import Measurement, Patterns, calibrate, calibration_patterns, measure
from photonic_acdc.calibration.expected import Expected, Whitening
from photonic_acdc.calibration.figures import choose
from photonic_acdc.optical.apparatus import SimulatedBench
from simulators.detection import Readout
from simulators.devices.pose import Misalignment
from simulators.errors import InputError, SaturationWarning
from simulators.random import Shots, stream

EIGHT = [
    "panel[slm].gamma",
    "panel[slm].stroke_error",
    "panel[slm].crosstalk",
    "stage[0].lens[0].scale",
    "stage[0].mask[1].lateral",
    "stage[0].mask[1].zero_order_leak",
    "detector.quantum_efficiency",
]
#: By how much each is drawn to err, and the largest standard error allowed of it, in its own unit, for 24 patterns of
#: 8×8 modes with 1 % of the brightest reading as noise.
DRAWN = {
    "panel[slm].stroke_error": (0.02, 0.0015),
    "panel[slm].gamma": (0.02, 0.003),
    "panel[slm].crosstalk": (0.5e-6, 0.1e-6),
    "stage[0].lens[0].scale": (0.005, 0.0006),
    "stage[0].mask[1].lateral[y]": (5e-6, 0.5e-6),
    "stage[0].mask[1].lateral[x]": (5e-6, 0.5e-6),
    "stage[0].mask[1].zero_order_leak": (0.002, 0.002),
    "detector.quantum_efficiency": (0.06, 0.002),
}


def bench_of(modes=(4, 4), *, fringing=False, pose=None, detector_pose=None, first_pose=None):
    """The reference bench with figures to be found, and without errors a pixel, which nobody looks for here."""
    bench = sim.reference_bench(modes=modes)
    slm = bench.stage[0].device.replace(
        gamma_error=0.02,
        stroke_error=0.02,
        phase_error=None,
        lut_residual=None,
        crosstalk_fwhm="5 um" if fringing else None,
    )
    pose = Misalignment(lateral=5e-6) if pose is None else pose
    stage = list(bench.stage)
    stage[0] = stage[0].replace(device=slm, misalignment=first_pose)
    stage[2] = stage[2].replace(device=slm, misalignment=pose)
    return bench.replace(
        stage=tuple(stage),
        # Fewer modes share the light; it must not fill the wells.
        source=bench.source.replace(optical_density=4.6 if modes == (4, 4) else 4.0),
        detector=bench.detector.replace(gain_nonuniformity=None),
        detector_misalignment=detector_pose,
    )


class Lab:
    """A bench of given figures with its own shots, and further noise of every reading: written apart from the fit."""

    def __init__(self, bench, state, *, noise=0.0, seed=0, **options):
        self.bench, self.state, self.noise, self.seed, self.calls = bench, state, noise, seed, 0
        self.simulator = options.pop("simulator", sim.Pixel)(bench, 1, **options)
        self.readout = Readout(bench, 1, order=self.simulator.order)

    def __call__(self, commands, values):
        shots = Shots(self.seed, (0,), tuple(range(len(values))), self.calls)
        moments = self.simulator.moments
        field = self.simulator.illuminate(values[None], self.state, shots=shots, moments=moments)
        fields = self.simulator(commands, field, self.state, moments=moments, shots=shots)
        frames = self.readout.frames(fields, self.state, shots)[0]
        self.calls += 1
        drawn = stream(self.seed, "lab", "noise", exposure=self.calls).standard_normal(tuple(frames.shape))
        return frames + self.noise * torch.from_numpy(drawn)


def drawn_bench(bench, draw):
    """A state with the eight figures drawn, and their values by label."""
    state, truth = bench.nominal(1), {}
    generator = stream(draw, "test", "figures")
    for figure in choose(bench, 1, EIGHT):
        truth[figure.label] = figure.nominal + DRAWN[figure.label][0] * float(generator.standard_normal())
        state[figure.address].reshape(-1)[figure.place] = truth[figure.label]
    return state, truth


def scores(bench, patterns, draws, **options):
    """(value - truth)/standard error of every draw and figure, and the fits."""
    rows, fits = [], []
    for draw in draws:
        state, truth = drawn_bench(bench, draw)
        quiet = measure(Lab(bench, state, seed=draw, **options), patterns).frames
        lab = Lab(bench, state, noise=0.01 * float(quiet.max()), seed=draw, **options)
        found = calibrate(bench, measure(lab, patterns), figures=EIGHT, relative_noise=0.01)
        assert found.converged
        wanted = torch.tensor([truth[figure.label] for figure in found.figures], dtype=torch.float64)
        rows.append((found.values - wanted) / found.standard_errors)
        fits.append(found)
    return torch.stack(rows), fits


@pytest.fixture(scope="module")
def plain():
    """A bench without fringing, its patterns, and frames of one drawn bench with all its shots."""
    bench = bench_of()
    patterns = calibration_patterns(bench, count=16)
    apparatus = SimulatedBench(bench, 1, seed=5)
    return bench, patterns, measure(apparatus, patterns), apparatus


# --- patterns and frames ----------------------------------------------------------------------------------------------


def test_patterns_fit_the_masks_and_are_the_same_again():
    bench = bench_of()
    patterns = calibration_patterns(bench, 2, count=9, seed=3)
    assert [tuple(command.phase.shape) for command in patterns.commands] == [(9, 4, 4), (9, 16, 16)] * 2
    assert patterns.stages == 2
    assert patterns.kinds[:5] == ("flat", "random", "steps", "random", "blazed")
    assert patterns.values.min() >= 0
    assert patterns.values.max() <= 1
    for command in patterns.commands:
        assert 0 <= command.phase.min() <= command.phase.max() < 2 * math.pi
    again = calibration_patterns(bench, 2, count=9, seed=3)
    assert all(torch.equal(a.phase, b.phase) for a, b in zip(patterns.commands, again.commands, strict=True))
    other = calibration_patterns(bench, 2, count=9, seed=4)
    assert not torch.equal(patterns.commands[0].phase, other.commands[0].phase)
    # Steps show two levels, the second of which climbs from pattern to pattern.
    levels = [float(patterns.command(i)[0].phase.max()) for i, kind in enumerate(patterns.kinds) if kind == "steps"]
    assert levels == pytest.approx([2 * math.pi / 3, 4 * math.pi / 3])


def test_measure_takes_a_frame_a_pattern(plain):
    bench, patterns, frames, apparatus = plain
    assert frames.exposed == apparatus.exposed == len(patterns) == 16
    assert tuple(frames.frames.shape) == (16, 1, 4, 4)
    own = SimulatedBench(bench, 1, seed=5)
    assert torch.equal(own(patterns.command(0), patterns.values[:1])[0], frames.frames[0])


@pytest.mark.parametrize(
    ("apparatus", "message"),
    [
        (lambda commands, values: torch.zeros(1, 1, 3, 4), r"frames of pattern 0: got shape \[1, 1, 3, 4\]"),
        (lambda commands, values: torch.full((1, 1, 4, 4), math.nan), "frames of pattern 0: got not finite"),
    ],
)
def test_measure_refuses_what_is_no_frame(apparatus, message):
    bench = bench_of()
    with pytest.raises(InputError, match=message):
        measure(apparatus, calibration_patterns(bench, count=2))


def test_too_few_patterns_or_stages():
    with pytest.raises(InputError, match="calibration_patterns: count"):
        calibration_patterns(bench_of(), count=0)
    with pytest.raises(InputError, match="calibration_patterns: stages"):
        calibration_patterns(bench_of(), 0)


# --- what is expected -------------------------------------------------------------------------------------------------


def test_jacobian_is_the_slope_of_the_frames():
    bench = bench_of(fringing=True)
    patterns = calibration_patterns(bench, count=3)
    figures = choose(bench, 1, EIGHT)
    expected = Expected(bench, patterns, figures, simulator=sim.Pixel, readout="intensity", options={})
    theta = torch.linspace(-0.4, 0.5, len(figures), dtype=torch.float64)
    frames, jacobian, swing = expected.jacobian(theta)
    assert torch.allclose(frames, expected(theta), rtol=1e-12)
    for k in range(len(figures)):
        step = torch.zeros_like(theta)
        step[k] = 1e-4
        slope = (expected(theta + step) - expected(theta - step)) / 2e-4
        assert torch.allclose(jacobian[..., k], slope, atol=1e-6 * float(slope.abs().max()))
    # A laser that is brighter by 1 rms, 0.2 %: all of the light, none of the dark electrons.
    digits = 4095 / bench.detector.full_well
    dark = bench.nominal(1)["detector.dark_current"] * bench.nominal(1)["detector.exposure"]
    assert torch.allclose(swing, 0.002 * (frames - float(dark) * digits), rtol=1e-9)


def test_whitening_is_the_inverse_root_of_the_covariance():
    generator = torch.Generator().manual_seed(0)
    swing, variance = torch.rand(2, 2, 1, 2, 3, generator=generator, dtype=torch.float64)
    variance = variance + 0.1
    whiten = Whitening(variance, torch.ones_like(variance, dtype=torch.bool), swing)
    for i in range(2):
        covariance = torch.diag(variance[i].flatten()) + torch.outer(swing[i].flatten(), swing[i].flatten())
        columns = torch.zeros(2, 1, 2, 3, 6, dtype=torch.float64)
        columns[i] = torch.eye(6, dtype=torch.float64).reshape(1, 2, 3, 6)
        root = whiten(columns)[6 * i : 6 * i + 6]
        assert torch.allclose(root @ covariance @ root.T, torch.eye(6, dtype=torch.float64), atol=1e-12)


def test_noise_is_that_of_the_camera(plain):
    bench, patterns, _, _ = plain
    repeats = 200
    apparatus = SimulatedBench(bench, 1, seed=9)
    shown = patterns.command(1)
    frames = torch.stack([apparatus(shown, patterns.values[1:2])[0] for _ in range(repeats)])
    figures = choose(bench, 1, ["detector.quantum_efficiency"])
    expected = Expected(bench, patterns, figures, simulator=sim.Pixel, readout="intensity", options={})
    mean = frames.mean(0)
    variance = expected.variance(mean, 0.0) + (0.002 * mean) ** 2
    ratio = frames.var(0) / variance
    # Readings share the laser's noise, so that their variances are no 16 independent ones: judged one by one.
    assert ((ratio - 1).abs() < 5 * math.sqrt(2 / repeats)).all()


# --- the fit ----------------------------------------------------------------------------------------------------------


def test_a_bench_is_found_within_its_errors(plain):
    bench, _, frames, apparatus = plain
    found = calibrate(bench, frames)
    assert found.converged
    assert found.explained
    assert not found.degeneracies
    truth = torch.stack([apparatus._state[f.address].reshape(-1)[f.place] for f in found.figures])
    assert ((found.values - truth).abs() < 4 * found.standard_errors).all()
    # 256 readings: χ² of 1 ± 0.09.
    assert found.reduced_chi_squared == pytest.approx(1, abs=5 * math.sqrt(2 / found.degrees_of_freedom))
    drawn = torch.tensor([figure.spread is not None for figure in found.figures])
    spreads = torch.tensor([figure.spread or 0.0 for figure in found.figures], dtype=torch.float64)
    assert (found.standard_errors[drawn] < 0.2 * spreads[drawn]).all()


def test_eight_figures_with_one_percent_of_noise():
    z, fits = scores(bench_of(fringing=True), calibration_patterns(bench_of(), count=8), [0])
    # Eight scores of a standard normal: the sum of their squares is below 1.5 in one set of 150, above 28 in one of
    # 2000.
    assert z.abs().max() < 5
    assert 1.5 < z.square().sum() < 28
    assert all(not found.degeneracies for found in fits)


@pytest.mark.slow
def test_twenty_benches_lie_within_their_errors():
    bench = bench_of((8, 8), fringing=True)
    z, fits = scores(bench, calibration_patterns(bench, count=24), range(20))
    assert z.numel() == 160
    within = float((z.abs() < 2).double().mean())
    assert 0.90 <= within <= 0.99
    assert abs(float(z.mean())) < 5 / math.sqrt(160)
    for found in fits:
        assert found.explained
        for figure, error in zip(found.figures, found.standard_errors, strict=True):
            assert float(error) < DRAWN[figure.label][1], figure.label


@pytest.mark.slow
def test_a_simulator_that_lacks_something_biases_the_figures():
    # Frames of Wave, figures of Pixel. With 1 % of noise two modes a pixel and axis miss more than the noise hides;
    # three do not.
    bench = bench_of((8, 8), fringing=True)
    patterns = calibration_patterns(bench, count=24)
    state, truth = drawn_bench(bench, 0)
    quiet = measure(Lab(bench, state, simulator=sim.Wave), patterns)
    noise = 0.01 * float(quiet.frames.max())
    noisy = measure(Lab(bench, state, noise=noise, simulator=sim.Wave), patterns)
    coarse, fine = (
        calibrate(bench, noisy, figures=EIGHT, relative_noise=0.01, starts=1, order=order) for order in (2, 3)
    )
    wanted = torch.tensor([truth[figure.label] for figure in coarse.figures], dtype=torch.float64)
    assert ((fine.values - wanted).abs() < 4 * fine.standard_errors).all()
    assert fine.explained
    bias = dict(zip((figure.label for figure in coarse.figures), (coarse.values - wanted).tolist(), strict=True))
    assert 0.2e-6 < abs(bias["panel[slm].crosstalk"]) < 0.7e-6
    assert 1e-3 < abs(bias["stage[0].lens[0].scale"]) < 4e-3
    assert 3e-3 < abs(bias["detector.quantum_efficiency"]) < 12e-3
    assert abs(bias["stage[0].mask[1].lateral[y]"]) < 1e-6
    # Where photons alone limit, χ² says so.
    assert not calibrate(bench, quiet, figures=EIGHT, starts=1).explained


def test_the_state_goes_into_the_noise_switch(plain):
    bench, _, frames, _ = plain
    found = calibrate(bench, frames, figures=["*.gamma", "*.lateral", "detector.quantum_efficiency"])
    optic = pa.to_optical(pa.layers.AFDF(16, shape=(4, 4), stages=1), bench, readout="intensity").double()
    x = torch.rand(3, 16, dtype=torch.float64)
    with pa.noise(optic, "mean", overrides=found.state):
        seen = optic.frames(x)
    state = bench.nominal(1)
    for figure, value in zip(found.figures, found.values, strict=True):
        state[figure.address].reshape(-1)[figure.place] = value
    lab = Lab(bench, state)
    field = lab.simulator.illuminate(x.reshape(1, 3, 4, 4), state, moments=lab.simulator.moments)
    fields = lab.simulator(optic.commands(), field, state, moments=lab.simulator.moments)
    # This mode knows the expected field.
    assert torch.equal(seen, lab.readout.frames(fields.mean(0, keepdim=True), state))
    with pa.noise(optic, "mean"):
        assert not torch.equal(seen, optic.frames(x))


def test_a_second_start_finds_what_the_first_misses():
    # Light slips onto the next pixel on one side or on the other, with a kink between: from the nominal bench, where
    # the kink is, the search ends beside the minimum.
    pose = Misalignment(lateral=5e-6, tilt=20e-6)
    bench = bench_of(pose=pose, first_pose=pose, detector_pose=Misalignment(lateral=5e-6))
    apparatus = SimulatedBench(bench, 1, seed=0)
    frames = measure(apparatus, calibration_patterns(bench, count=12))
    once = calibrate(bench, frames, starts=1)
    assert not once.explained
    assert "more than noise explains" in str(once)
    found = calibrate(bench, frames)
    assert found.explained
    truth = torch.stack([apparatus._state[f.address].reshape(-1)[f.place] for f in found.figures])
    known = torch.isfinite(found.standard_errors)
    assert 5 < int(known.sum()) < len(truth)
    assert ((found.values - truth)[known].abs() < 4 * found.standard_errors[known]).all()
    labels = [figure.label for figure in found.figures]
    for degeneracy in found.degeneracies:
        there = truth[[labels.index(label) for label in degeneracy.figures]]
        wanted = degeneracy.coefficients @ there
        assert ((degeneracy.values - wanted).abs() < 5 * degeneracy.standard_errors).all()


# --- what frames cannot tell ------------------------------------------------------------------------------------------


def test_power_and_efficiency_are_one_product(plain):
    bench, _, frames, apparatus = plain
    found = calibrate(bench, frames, figures=["source.power", "detector.quantum_efficiency", "*.scale", "*.gamma"])
    (degeneracy,) = found.degeneracies
    assert degeneracy.figures == ("source.power", "detector.quantum_efficiency")
    assert degeneracy.product
    assert degeneracy.undetermined == 1
    assert "only their product is determined" in degeneracy.text
    assert degeneracy.text in str(found)
    by_label = dict(zip((f.label for f in found.figures), found.standard_errors.tolist(), strict=True))
    assert by_label["source.power"] == by_label["detector.quantum_efficiency"] == math.inf
    assert 0 < by_label["panel[slm].gamma"] < 0.01
    state = apparatus._state
    truth = float(state["source.power"] * state["detector.quantum_efficiency"])
    assert float(degeneracy.values[0]) == pytest.approx(truth, rel=0.1)
    assert 0 < float(degeneracy.standard_errors[0]) < 0.1
    # The other figures keep the errors they have where efficiency is sought alone.
    alone = calibrate(bench, frames, figures=["detector.quantum_efficiency", "*.scale", "*.gamma"])
    same = dict(zip((f.label for f in alone.figures), alone.standard_errors.tolist(), strict=True))
    # Both searches end within a tenth of a standard error, which is some 1e-3 of the slopes.
    assert same["panel[slm].gamma"] == pytest.approx(by_label["panel[slm].gamma"], rel=1e-3)
    relative = same["detector.quantum_efficiency"] / float(alone.values[-1])
    assert float(degeneracy.standard_errors[0]) == pytest.approx(relative, rel=1e-3)


def test_a_gain_map_is_known_times_the_power():
    bench = bench_of()
    bench = bench.replace(detector=bench.detector.replace(gain_nonuniformity=0.05))
    frames = measure(SimulatedBench(bench, 1, seed=1), calibration_patterns(bench, count=8))
    found = calibrate(bench, frames, figures=["detector.gain_nonuniformity", "source.power"], starts=1)
    (degeneracy,) = found.degeneracies
    assert degeneracy.product
    assert degeneracy.undetermined == 1
    assert len(degeneracy.coefficients) == 16
    assert "only 16 products of them are determined" in degeneracy.text


def test_tilt_and_decentre_are_one_linear_phase():
    # A mirror tilted by τ turns the beam by 2τ, and moves the light behind the lens by 2fτ: as if its mask stood aside.
    pose = Misalignment(lateral=5e-6, tilt=20e-6)
    bench = bench_of(pose=pose, first_pose=Misalignment(tilt=20e-6), detector_pose=Misalignment(lateral=5e-6))
    frames = measure(SimulatedBench(bench, 1, seed=4), calibration_patterns(bench, count=12))
    wanted = ["stage[0].mask[0].tilt", "stage[0].mask[1].lateral", "stage[0].mask[1].tilt", "detector.lateral"]
    found = calibrate(bench, frames, figures=[*wanted, "*.gamma", "*.stroke_error", "*.scale"])
    groups = {degeneracy.figures: degeneracy for degeneracy in found.degeneracies}
    per_metre = 1 / (2 * bench.focal_lengths[0])
    # The decentre of the second mask puts a slope on the detector, too, which the camera does not see, though two modes
    # a pixel do.
    for axis in "yx":
        for pair in (
            (f"stage[0].mask[0].tilt[{axis}]", f"stage[0].mask[1].lateral[{axis}]"),
            (f"stage[0].mask[1].tilt[{axis}]", f"detector.lateral[{axis}]"),
        ):
            degeneracy = groups.pop(pair)
            assert not degeneracy.product
            assert degeneracy.coefficients[0].tolist() == pytest.approx([1, -per_metre], rel=0.02)
            assert float(degeneracy.standard_errors[0]) < 5e-6
            assert f"rad/m · {pair[1]}" in degeneracy.text
    assert not groups
    labels = [figure.label for figure in found.figures]
    assert found.standard_errors[labels.index("detector.lateral[y]")] == math.inf


def test_a_figure_that_does_nothing_is_said_to(plain):
    # What leaks past a mask that shows nothing is what the mask shows.
    bench, patterns, _, _ = plain
    dark = [patterns.commands[0], sim.Command(torch.zeros_like(patterns.commands[1].phase))]
    frames = measure(SimulatedBench(bench, 1, seed=4), Patterns(dark, patterns.values, patterns.kinds))
    found = calibrate(bench, frames, figures=["*.zero_order_leak", "*.gamma", "detector.quantum_efficiency"], starts=1)
    (degeneracy,) = found.degeneracies
    assert degeneracy.text == "stage[0].mask[1].zero_order_leak: without influence on these frames"
    assert [f.label for f, e in zip(found.figures, found.standard_errors, strict=True) if e == math.inf] == [
        "stage[0].mask[1].zero_order_leak"
    ]


def test_moving_along_a_null_direction_changes_no_frame():
    bench = bench_of(pose=Misalignment(tilt=20e-6), detector_pose=Misalignment(lateral=5e-6))
    patterns = calibration_patterns(bench, count=3)
    figures = choose(bench, 1, ["stage[0].mask[1].tilt[y]", "detector.lateral[y]"])
    expected = Expected(bench, patterns, figures, simulator=sim.Pixel, readout="intensity", options={})
    tilt, aside = 1.0, 2 * bench.focal_lengths[1] * 20e-6 / 5e-6
    here = expected(torch.zeros(2, dtype=torch.float64))
    along = expected(torch.tensor([tilt, aside], dtype=torch.float64))
    across = expected(torch.tensor([tilt, -aside], dtype=torch.float64))
    assert torch.allclose(along, here, rtol=1e-9)
    assert float((across - here).abs().max()) > 1e-3 * float(here.max())


def test_a_prior_tells_what_frames_do_not():
    tilt, aside = 20e-6, 5e-6
    bench = bench_of(pose=Misalignment(tilt=tilt), detector_pose=Misalignment(lateral=aside))
    frames = measure(SimulatedBench(bench, 1, seed=4), calibration_patterns(bench, count=12))
    wanted = ["stage[0].mask[1].tilt", "detector.lateral", "*.gamma", "*.stroke_error", "*.scale"]
    known = calibrate(bench, frames, figures=wanted, prior=True)
    assert len(known.degeneracies) == 2  # of the frames: the prior changes nothing about them
    seen = aside / (2 * bench.focal_lengths[1])  # the decentre as a tilt
    posterior = tilt * seen / math.hypot(tilt, seen)  # of one of two, where their difference is known exactly
    labels = [figure.label for figure in known.figures]
    for axis in "yx":
        error = float(known.standard_errors[labels.index(f"stage[0].mask[1].tilt[{axis}]")])
        assert error == pytest.approx(posterior, rel=0.03)
    assert torch.isfinite(known.covariance).all()


# --- what a user may do wrong -----------------------------------------------------------------------------------------


def test_saturated_readings_are_left_out(plain):
    bench, patterns, frames, apparatus = plain
    top = 4095 * bench.detector.pixels_per_mode(bench.stage[0].pitch)
    cut = Measurement(patterns, torch.where(frames.frames > frames.frames.quantile(0.9), float(top), frames.frames))
    with pytest.warns(SaturationWarning, match=r"10.16% of the readings are at full scale"):
        found = calibrate(bench, cut)
    assert found.saturated == pytest.approx(26 / 256)
    assert found.explained
    truth = torch.stack([apparatus._state[f.address].reshape(-1)[f.place] for f in found.figures])
    assert ((found.values - truth).abs() < 4 * found.standard_errors).all()
    blind = Measurement(patterns, torch.full_like(frames.frames, float(top)))
    with pytest.raises(InputError, match=r"readings at full scale: got 100%.*shorter exposure"):
        calibrate(bench, blind)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f[:, :, :3], {}, r"frames: got shape \[16, 1, 3, 4\]; allowed: \[16, 1, 4, 4\]"),
        (lambda f: f[:9], {}, r"frames: got shape \[9, 1, 4, 4\]"),
        (lambda f: f.index_fill(0, torch.tensor(7), math.nan), {}, "frames: got not finite in pattern 7"),
        (None, {"figures": ["*.gama"]}, r"figure '\*.gama' is none of this bench: .*panel\[slm\].gamma"),
        (None, {"figures": ["stage[0].mask[0].stroke"]}, "cannot be found from mean frames: got the levels"),
        (None, {"figures": ["detector.read_noise"]}, "noise from frame to frame"),
        (None, {"stages": 2}, "calibrate: stages: got 2; allowed: 1"),
        (None, {"readout": "homodyne"}, "calibrate: readout: got 'homodyne'"),
        (None, {"readout": "coherent"}, r"frames: got shape \[16, 1, 4, 4\]; allowed: \[16, 4, 4, 4\]"),
        (None, {"relative_noise": -0.1}, "calibrate: relative_noise"),
        (None, {"iterations": 0}, "calibrate: iterations"),
        (None, {"starts": 0}, "calibrate: starts"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(plain, change, options, message):
    bench, patterns, frames, _ = plain
    given = frames if change is None else Measurement(patterns, change(frames.frames.clone()))
    with pytest.raises(InputError, match=message):
        calibrate(bench, given, **options)


def test_too_few_readings(plain):
    bench = plain[0].replace(detector=plain[0].detector.replace(gain_nonuniformity=0.01))
    frames = measure(SimulatedBench(bench, 1, seed=1), calibration_patterns(bench, count=1))
    with pytest.raises(InputError, match="calibrate: readings: got 16; allowed: as many as figures, 17, or more"):
        calibrate(bench, frames, figures=["detector.gain_nonuniformity", "source.power"])


def test_patterns_of_another_bench(plain):
    with pytest.raises(InputError, match="masks of the patterns"):
        calibrate(sim.reference_bench(modes=(8, 8)), plain[2])


def test_a_search_cut_short_warns(plain):
    bench, _, frames, _ = plain
    with pytest.warns(RuntimeWarning, match="no minimum was reached"):
        found = calibrate(bench, frames, iterations=1, starts=1)
    assert not found.converged
    assert "not converged" in str(found)


# --- the report -------------------------------------------------------------------------------------------------------


def test_report_is_labelled(plain):
    bench, _, frames, _ = plain
    found = calibrate(bench, frames, figures=["source.power", "detector.quantum_efficiency", "*.gamma"], starts=1)
    report = found.report
    row = report.sel(figure="panel[slm].gamma")
    assert float(row.estimate) == float(found.values[1])
    assert float(row.covariance.sel(figure_="panel[slm].gamma")) == pytest.approx(float(row.standard_error) ** 2)
    assert report.sel(figure="source.power").determined.item() is False
    assert report.sel(figure="source.power").note.item() == "frames do not tell it from detector.quantum_efficiency"
    assert report.attrs["degeneracies"] == [degeneracy.text for degeneracy in found.degeneracies]
    for name in (*report.data_vars, *report.coords):
        assert {"long_name", "units"} <= set(report[name].attrs)
    table = str(found)
    assert "panel[slm].gamma" in table
    assert "±" in table
