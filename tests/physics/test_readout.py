"""Interferometric readouts: the field recovered, the limit of shot noise, and what the reference does wrong."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

import simulators as sim

MACRO = 64e-6
#: Camera pixels a mode and axis, so that a fringe of four pixels fits a whole number of times.
PIXELS = 16
COHERENT = ("coherent", "homodyne", "off_axis")


def bench(*effects, modes=(3, 4), arm=None, detector=None, pixels=PIXELS, **figures):
    """A bench whose only effects are these: of the detector, or of the reference arm where the name has a dot."""
    whole = sim.reference_bench(modes)
    detector = detector or whole.detector.replace(pixel_pitch=MACRO / pixels, **figures)
    arm = None if arm is None else sim.ReferenceArm(name="an arm", **arm)
    names = [name if "." in name else f"detector.{name}" for name in effects]
    return whole.replace(detector=detector, reference_arm=arm).only(*names)


def arm_bench(**figures):
    """Every figure given is an effect that is on."""
    return bench(*(f"reference_arm.{name.removesuffix('_rejection_dB')}" for name in figures), arm=figures)


def diodes(**figures):
    return sim.Photodiode(**{"name": "diodes", "resolution": (16, 16), "pixel_pitch": 1e-3, **figures})


def random_field(used, samples=5, *, order=1, photons=1e5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y, x = used.modes
    shape = (1, 1, samples, y * order, x * order)
    return math.sqrt(photons) * torch.randn(*shape, dtype=torch.complex128, generator=generator)


def shots(samples, **changes):
    return sim.Shots(**{"seed": 7, "realisation": (0,), "sample": tuple(range(samples)), **changes})


def measure(used, kind, field, state=None, noise=None, order=1):
    readout = sim.Readout(used, 1, kind, order=order)
    return readout.decode(readout.frames(field, used.nominal(1) if state is None else state, noise))


def reference(used):
    """Photons a mode and frame."""
    return used.nominal(1)["detector.reference"].item()


# --- the field comes back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1.0, 0.55])
@pytest.mark.parametrize("modes", [(1, 1), (3, 4), (5, 2)])
@pytest.mark.parametrize("kind", COHERENT)
def test_the_complex_field_comes_back(kind, modes, window):
    """Noiseless, relative rms < 1e-10; 16 pixels a mode or 8, odd and even modes."""
    used = bench(modes=modes, window=window)
    field = random_field(used)
    assert ((measure(used, kind, field) - field[0]).abs() ** 2).mean().sqrt() < 1e-10 * math.sqrt(1e5)


@pytest.mark.parametrize("kind", ["coherent", "homodyne"])
def test_photodiodes_bring_it_back_too(kind):
    used = bench("responsivity", "dark_current", detector=diodes(responsivity=0.4, dark_current=1e-9))
    field = random_field(used)
    assert ((measure(used, kind, field) - field[0]).abs() ** 2).mean().sqrt() < 1e-10 * math.sqrt(1e5)


@pytest.mark.parametrize("kind", COHERENT)
def test_known_figures_of_the_detector_do_not_matter(kind):
    names = ("quantum_efficiency", "dark_current", "black_level")
    used = bench(*names, exposure=0.3, black_level=40.0)
    field = random_field(used)
    assert ((measure(used, kind, field) - field[0]).abs() ** 2).mean().sqrt() < 1e-10 * math.sqrt(1e5)


@pytest.mark.parametrize(("kind", "frames"), [("intensity", 1), ("coherent", 4), ("homodyne", 2), ("off_axis", 1)])
def test_frames_a_result(kind, frames):
    used = bench()
    readout = sim.Readout(used, 1, kind)
    assert readout.frames_per_result == frames
    assert readout.frames(random_field(used), used.nominal(1)).shape[2] == frames


@pytest.mark.parametrize("kind", COHERENT)
def test_single_precision(kind):
    used = bench("shot_noise", "read_noise")
    field = random_field(used).to(torch.complex64)
    state = used.nominal(1, dtype=torch.float32)
    found = measure(used, kind, field, state)
    assert found.dtype == torch.complex64
    assert (found - field[0]).abs().max() < 2e-5 * math.sqrt(reference(used))
    assert sim.Readout(used, 1, kind).frames(field, state, shots(5)).dtype == torch.float32


# --- balanced homodyne ------------------------------------------------------------------------------------------------


def test_a_balanced_pair_reads_one_quadrature_at_a_time():
    """d_0 = 2r Re E, d_1 = 2r Im E, and its two ports together all the light there is."""
    used = bench()
    field, r = random_field(used), math.sqrt(reference(used))
    readout = sim.Readout(used, 1, "homodyne")
    frames = readout.frames(field, used.nominal(1))
    torch.testing.assert_close(frames[:, :, 0], 2 * r * field[0].real)
    torch.testing.assert_close(frames[:, :, 1], 2 * r * field[0].imag)
    ports = readout.exposures(field, used.nominal(1))
    for plus in (0, 2):
        torch.testing.assert_close(ports[:, :, plus] + ports[:, :, plus + 1], field[0].abs() ** 2 + r**2)
    assert (ports >= 0).all()


def test_balance_cancels_the_laser_s_noise():
    """Fluctuation of the light is common to both diodes; each diode's own shot noise is not."""
    detector = diodes(relative_intensity_noise=1e-8)
    used = bench("relative_intensity_noise", detector=detector)
    dark = torch.zeros(1, 1, 200, 3, 4, dtype=torch.complex128)
    balanced = measure(used, "homodyne", dark, noise=shots(200))
    assert balanced.abs().max() < 1e-9 * math.sqrt(reference(used))
    # A single detector sees it all: frame by frame r²·√(RIN B), of which a quarter a quadrature's difference.
    single = measure(used, "coherent", dark, noise=shots(200))
    assert single.abs().max() > 1e-4 * math.sqrt(reference(used))


def test_common_mode_rejection_is_finite():
    """With no signal d = c·r², s = c·r(1 + i)/2, of c with rms 10^(-dB/20) over pairs; fixed from shot to shot."""
    used = bench("reference_arm.common_mode", arm={"common_mode_rejection_dB": 35.0})
    state = sim.Realisations(3, tuple(range(200))).draw(used, 1)
    dark = torch.zeros(1, 1, 1, 3, 4, dtype=torch.complex128)
    found = measure(used, "homodyne", dark, state) / math.sqrt(reference(used))
    expected = state["reference_arm.common_mode"] / 2
    torch.testing.assert_close(found.real, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.imag, expected, rtol=1e-9, atol=1e-12)
    n = found.numel()
    assert found.real.square().mean().sqrt().item() == pytest.approx(10 ** (-35 / 20) / 2, rel=5 / math.sqrt(2 * n))


def test_a_balanced_pair_saturates_on_either_side():
    limit = 1e-9
    used = bench("full_scale", "quantisation", detector=diodes(full_scale=limit, bits=8))
    field = torch.tensor([-1e9, 1e9], dtype=torch.complex128)[None, None, :, None, None].expand(1, 1, 2, 3, 4)
    frames = sim.Readout(used, 1, "homodyne").frames(field, used.nominal(1))[0, :, 0, 0, 0]
    assert frames.tolist() == pytest.approx([-255, 255], rel=1e-12)


# --- off axis ---------------------------------------------------------------------------------------------------------


def legendre(a, x):
    """Orthonormal on [-1/2, 1/2]."""
    return math.sqrt(2 * a + 1) * np.polynomial.legendre.Legendre.basis(a)(2 * x)


@pytest.mark.parametrize(
    ("modes", "window", "angle"), [((2, 3), 1.0, None), ((1, 2), 0.8, 0.0151), ((2, 1), 1.0, 0.024)]
)
def test_off_axis_frames_by_fine_sampling(modes, window, angle):
    """∬ |E + r e^{2πi X sin θ/λ}|² over each pixel, structure within the mode included.

    By midpoints, 30 and 60 a pixel, and their extrapolation, which leaves an error of the fourth order.
    """
    order, pixels = 3, 8
    used = bench(modes=modes, pixels=pixels, window=window, arm={} if angle is None else {"angle": angle})
    field = random_field(used, 2, order=order)
    frames = sim.Readout(used, 1, "off_axis", order=order).frames(field, used.nominal(1))[0, :, 0].numpy()
    count = math.floor(window * pixels + 1e-9)
    assert frames.shape == (2, modes[0] * count, modes[1] * count)
    fringe = 4 * window / count if angle is None else used.source.wavelength / math.sin(angle) / MACRO
    r = math.sqrt(reference(used))
    parts = field[0, 0].numpy().reshape(2, modes[0], order, modes[1], order)

    def midpoints(fine, y, x):
        samples = window * ((np.arange(count * fine) + 0.5) / (count * fine) - 0.5)
        basis = np.stack([legendre(a, samples) for a in range(order)])
        inside = np.einsum("bac,ai,cj->bij", parts[:, y, :, x, :], basis, basis)
        place = x - (modes[1] - 1) / 2 + samples
        light = np.abs(inside + r * np.exp(2j * np.pi * place / fringe)) ** 2 * (window / count / fine) ** 2
        return light.reshape(2, count, fine, count, fine).sum((2, 4))

    for y in range(modes[0]):
        for x in range(modes[1]):
            brute = (4 * midpoints(60, y, x) - midpoints(30, y, x)) / 3
            found = frames[:, y * count : (y + 1) * count, x * count : (x + 1) * count]
            assert np.abs(found - brute).max() < 2e-8 * brute.max()


@pytest.mark.parametrize("angle", [0.012, 0.02, 0.0413])
def test_any_angle_brings_the_field_back(angle):
    """1.2, 2.0 and 4.2 fringes a mode, which no longer average out over it by themselves."""
    used = bench(arm={"angle": angle})
    field = random_field(used)
    assert ((measure(used, "off_axis", field) - field[0]).abs() ** 2).mean().sqrt() < 1e-10 * math.sqrt(1e5)


def test_the_sampling_of_fringes_is_checked():
    """In fringes and camera pixels: 64 µm modes of 16 pixels of 4 µm, 633 nm."""
    with pytest.raises(sim.InputError, match=r"fringes across a mode: got a fringe of 127 um, .* 0\.51 fringes a mode"):
        sim.Readout(bench(arm={"angle": 0.005}), 1, "off_axis")
    with pytest.raises(sim.InputError, match=r"across a mode: .* allowed: at least one fringe a mode"):
        sim.Readout(bench(arm={"angle": 0.0}), 1, "off_axis")
    message = (
        r"sampling of the fringes: got a fringe of 7\.92 um, 1\.98 camera pixels; allowed: more than 2 .*39\.6 mrad"
    )
    with pytest.raises(sim.InputError, match=message):
        sim.Readout(bench(arm={"angle": 0.08}), 1, "off_axis")
    with pytest.warns(sim.SamplingWarning, match=r"10\.6 um, 2\.64 camera pixels; below 3 .* \(contrast 0\.78\)"):
        sim.Readout(bench(arm={"angle": 0.06}), 1, "off_axis")
    sim.Readout(bench(arm={"angle": 0.05}), 1, "off_axis")
    with pytest.raises(sim.InputError, match=r"0\.75 fringes a mode"):
        sim.Readout(bench(pixels=3), 1, "off_axis")
    with pytest.raises(sim.InputError, match="'off_axis': got a photodiode; allowed: a camera"):
        sim.Readout(bench(detector=diodes()), 1, "off_axis")


def test_each_pixel_of_an_off_axis_frame_has_its_share_of_the_figures():
    """Read noise σ, dark D·t, full well, and rounding of one pixel, not of the whole mode; n = 92,160 values."""
    used = bench("dark_current", "read_noise", exposure=2.0)
    dark = torch.zeros(1, 1, 30, 3, 4, dtype=torch.complex128)
    state = {**used.nominal(1), "detector.reference": torch.zeros(1, 1, dtype=torch.float64)}
    frames = sim.Readout(used, 1, "off_axis").frames(dark, state, shots(30))
    camera = used.detector
    assert frames.mean().item() == pytest.approx(camera.dark_current * 2, abs=5 * camera.read_noise / 300)
    assert frames.std().item() == pytest.approx(camera.read_noise, rel=5 / math.sqrt(2 * frames.numel()))
    # An offset of the whole mode is shared out, and demodulation does not see it.
    used = bench("offset_nonuniformity", offset_nonuniformity=2.0)
    drawn = sim.Realisations(1, (0, 1)).draw(used, 1)
    readout, field = sim.Readout(used, 1, "off_axis"), random_field(used)
    offsets = (readout.frames(field, drawn) - readout.frames(field, used.nominal(1)))[:, 0, 0]
    total = offsets.reshape(2, 3, PIXELS, 4, PIXELS).sum((2, 4))
    torch.testing.assert_close(total, drawn["detector.offset_nonuniformity"][:, 0])
    torch.testing.assert_close(offsets[:, :PIXELS, :PIXELS], (total[:, :1, :1] / PIXELS**2).expand(2, PIXELS, PIXELS))
    assert (measure(used, "off_axis", field, drawn) - field[0]).abs().max() < 1e-9 * math.sqrt(1e5)
    used = bench("full_well", "quantisation")
    bright = torch.full((1, 1, 1, 3, 4), 1e6, dtype=torch.complex128)
    frames = sim.Readout(used, 1, "off_axis").frames(bright, used.nominal(1))
    assert frames.unique().tolist() == [2**12 - 1]
    frames = sim.Readout(used, 1, "off_axis").frames(random_field(used), used.nominal(1))
    torch.testing.assert_close(frames, frames.round(), rtol=0, atol=1e-9)


# --- shot noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize(
    ("kind", "frames", "contrast"), [("coherent", 4, 1.0), ("homodyne", 2, 1.0), ("off_axis", 1, np.sinc(0.25) ** 2)]
)
def test_the_limit_of_shot_noise(kind, frames, contrast, differentiable):
    """Power ratio of signal to noise = signal photons of all frames, × V² of fringes; amplitude error ∝ 1/√N ± 5 %.

    With the reference at (|E|² + r²)/r² of that; 9,600 values: error of their mean square √(1/n) = 1 %, 5σ 5 %.
    """
    used, samples, relative = bench("shot_noise"), 800, []
    for i, photons in enumerate((100.0, 10000.0)):
        field = math.sqrt(photons) * cmath.exp(0.4j) * torch.ones(1, 1, samples, 3, 4, dtype=torch.complex128)
        noise = shots(samples, exposure=i, differentiable=differentiable)
        error = measure(used, kind, field, noise=noise) - field[0]
        ratio = photons / error.abs().square().mean().item()
        expected = frames * photons * contrast * reference(used) / (reference(used) + photons)
        assert ratio == pytest.approx(expected, rel=5e-2)
        assert error.mean().abs().item() < 5 * math.sqrt(photons / expected / error.numel())
        relative.append(math.sqrt(1 / ratio))
    assert relative[0] / relative[1] == pytest.approx(10, rel=5e-2)


def test_the_limit_of_shot_noise_with_photodiodes():
    """Two exposures of a balanced pair that counts electrons: N_sig is that of both."""
    used, samples, photons = bench("shot_noise", detector=diodes()), 800, 1e4
    field = math.sqrt(photons) * torch.ones(1, 1, samples, 3, 4, dtype=torch.complex128)
    error = measure(used, "homodyne", field, noise=shots(samples)) - field[0]
    expected = 2 * photons * reference(used) / (reference(used) + photons)
    assert photons / error.abs().square().mean().item() == pytest.approx(expected, rel=5e-2)


# --- what the reference does wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [0.05, -0.3])
def test_a_wrong_step_makes_a_conjugate_ghost(delta):
    """s = gE + hE*: four steps of π/2 + δ have g = ¼Σe^{-imδ} and |h| = |sin 2δ|/(4 cos(δ/2)) → δ/2.

    A quadrature at π/2 + δ has g = (1 + e^{-iδ})/2 and |h| = |sin(δ/2)| → δ/2, too.
    """
    used = arm_bench(step_error=0.1)
    state = {**used.nominal(1), "reference_arm.step_error": torch.full((1, 1), delta, dtype=torch.float64)}
    ones = torch.ones(1, 1, 1, 3, 4, dtype=torch.complex128)
    for kind in ("coherent", "homodyne"):
        real, imaginary = (measure(used, kind, 300 * unit * ones, state)[0, 0, 0, 0] / 300 for unit in (1, 1j))
        # s(1) = g + h, s(i) = i(g - h).
        main, ghost = (real - 1j * imaginary) / 2, (real + 1j * imaginary) / 2
        if kind == "coherent":
            expected = sum(cmath.exp(-1j * m * delta) for m in range(4)) / 4
            size = abs(math.sin(2 * delta)) / (4 * math.cos(delta / 2))
        else:
            expected, size = (1 + cmath.exp(-1j * delta)) / 2, abs(math.sin(delta / 2))
        assert main.item() == pytest.approx(expected, abs=1e-12)
        assert ghost.abs().item() == pytest.approx(size, abs=1e-12)
        assert size == pytest.approx(abs(delta) / 2, rel=delta**2)
    # One frame has no steps.
    torch.testing.assert_close(measure(used, "off_axis", ones, state), ones[0])


def test_the_step_s_error_is_drawn_once_an_arm():
    used = arm_bench(step_error=0.1)
    state = sim.Realisations(0, tuple(range(2000))).draw(used, 1)
    drawn = state["reference_arm.step_error"]
    assert drawn.shape == (2000, 1)
    assert drawn.std().item() == pytest.approx(0.1, rel=5 / math.sqrt(4000))
    assert used.nominal(1)["reference_arm.step_error"].item() == 0


@pytest.mark.parametrize("sigma", [0.05, 0.4])
@pytest.mark.parametrize("kind", COHERENT)
def test_piston_between_frames(kind, sigma):
    """Phase of σ rms, independent in each frame; NMSE of four steps 3/2 - 2e^{-σ²/2} + e^{-σ²}/2 → σ²/2.

    Of one phase a quadrature, or one in all, it is 2(1 - e^{-σ²/2}) → σ². One value a frame for all modes, so 5
    standard errors are estimated from 4,000 exposures. Expected frames lose the contrast e^{-σ²/2}.
    """
    samples, used = 4000, bench("reference_arm.piston_drift", modes=(1, 2), arm={"piston_drift": sigma}, pixels=8)
    field = 30 * cmath.exp(1.1j) * torch.ones(1, 1, samples, 1, 2, dtype=torch.complex128)
    found = measure(used, kind, field, noise=shots(samples))
    torch.testing.assert_close(found[..., 0], found[..., 1])
    error = (found[0, :, 0, 0] / field[0, 0, :, 0, 0] - 1).abs() ** 2
    decay = math.exp(-(sigma**2) / 2)
    expected = 1.5 - 2 * decay + decay**2 / 2 if kind == "coherent" else 2 * (1 - decay)
    assert error.mean().item() == pytest.approx(expected, abs=5 * error.std().item() / math.sqrt(samples))
    assert expected == pytest.approx(sigma**2 / (2 if kind == "coherent" else 1), rel=sigma**2)
    torch.testing.assert_close(measure(used, kind, field[:, :, :1]), decay * field[0, :, :1])


def test_drift_of_the_reference_s_power():
    """With no light to read, four steps give r σ/2: ¼Σ iᵐ a_m² r with var a² = σ² + σ⁴/8. 8,000 exposures, 5σ."""
    sigma, samples = 0.02, 8000
    used = bench("reference_arm.power_drift", modes=(1, 2), arm={"power_drift": sigma}, pixels=8)
    dark = torch.zeros(1, 1, samples, 1, 2, dtype=torch.complex128)
    found = measure(used, "coherent", dark, noise=shots(samples))[..., 0].abs() ** 2 / reference(used)
    expected = sigma**2 / 4 * (1 + sigma**2 / 8)
    assert found.mean().item() == pytest.approx(expected, abs=5 * found.std().item() / math.sqrt(samples))
    # A balanced pair does not see it, nor does demodulation; the signal itself scales with the amplitude.
    for kind in ("homodyne", "off_axis"):
        assert measure(used, kind, dark[:, :, :50], noise=shots(50)).abs().max() < 1e-8 * math.sqrt(reference(used))
    field = 100 + dark[:, :, :500]
    spread = (measure(used, "homodyne", field, noise=shots(500)).real / 100).std().item()
    assert spread == pytest.approx(sigma / 2, rel=5 / math.sqrt(1000))


def test_expected_frames_are_the_mean_over_shots():
    """Of piston and power drift together, frame by frame; 5 standard errors of 20,000 exposures."""
    samples, figures = 20000, {"piston_drift": 0.5, "power_drift": 0.3}
    names = [f"reference_arm.{name}" for name in figures]
    used = bench(*names, modes=(1, 1), arm=figures, pixels=8)
    field = 2e2 * torch.ones(1, 1, samples, 1, 1, dtype=torch.complex128)
    for kind in ("coherent", "homodyne"):
        readout = sim.Readout(used, 1, kind)
        drawn = readout.frames(field, used.nominal(1), shots(samples))
        expected = readout.frames(field[:, :, :1], used.nominal(1))
        error = (drawn.mean(1) - expected[:, 0]).abs()
        assert (error < 5 * drawn.std(1) / math.sqrt(samples)).all()


@pytest.mark.parametrize("kind", COHERENT)
def test_visibility_costs_signal_and_no_bias(kind):
    """V = 0.6 of the arm, times e^{-ΔL/l_c}: fringes are that much weaker, decoding knows, and the noise is 1/V."""
    figures = {"visibility": 0.6, "path_mismatch": 0.02, "coherence_length": 0.1}
    contrast = 0.6 * math.exp(-0.2)
    arm = ("reference_arm.visibility", "reference_arm.path_mismatch")
    used = bench(*arm, arm=figures)
    field = random_field(used)
    assert (measure(used, kind, field) - field[0]).abs().max() < 1e-10 * math.sqrt(1e5)
    level = 0.1 * math.sqrt(reference(used)) * torch.ones(1, 1, 800, 3, 4, dtype=torch.complex128)
    spread = [
        (measure(bench("shot_noise", *names, arm=figures), kind, level, noise=shots(800)) - level[0]).std().item()
        for names in ((), arm)
    ]
    assert spread[1] / spread[0] == pytest.approx(1 / contrast, rel=5e-2)
    if kind == "coherent":
        level = math.sqrt(reference(used)) * torch.ones(1, 1, 1, 3, 4, dtype=torch.complex128)
        frames = sim.Readout(used, 1, kind).frames(level, used.nominal(1))[0, 0, :, 0, 0]
        assert ((frames[0] - frames[2]) / (frames[0] + frames[2])).item() == pytest.approx(contrast, rel=1e-12)


@pytest.mark.parametrize("kind", COHERENT)
def test_the_reference_s_wavefront_turns_each_mode(kind):
    """By -k(θ_y y + θ_x x + (x² + y²)/(2R)) at the mode's own centre: a tilt of +x lags at larger x."""
    figures = {"tilt": (20e-6, -35e-6), "curvature": 0.2}
    used = bench("reference_arm.tilt", "reference_arm.curvature", arm=figures)
    field = random_field(used)
    found = measure(used, kind, field) / field[0]
    for j in range(3):
        for i in range(4):
            y, x = (j - 1) * MACRO, (i - 1.5) * MACRO
            path = 20e-6 * y - 35e-6 * x + 0.1 * (x**2 + y**2)
            expected = cmath.exp(-2j * math.pi / used.source.wavelength * path)
            torch.testing.assert_close(found[..., j, i], torch.full((1, 5), expected, dtype=torch.complex128))
