"""Detectors against the closed forms of counting, of amplifiers and of converters."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.constants import Boltzmann, c, elementary_charge, h

import simulators as sim
from simulators import effects
from simulators.effects import adc

MODES = (8, 8)
WAVELENGTH = sim.reference_bench((1, 1)).source.wavelength
MACRO = 64e-6


def bench_of(detector, *effects_on, modes=MODES, **fields):
    """The reference bench with this detector, and no effects but those named of it."""
    whole = sim.reference_bench(modes).replace(detector=detector, **fields)
    return whole.only(*(f"detector.{effect}" for effect in effects_on))


def camera(**figures):
    """One pixel a mode."""
    usual = {"name": "a camera", "resolution": (64, 64), "pixel_pitch": MACRO, "shot_noise": True}
    return sim.Camera(**{**usual, **figures})


def diodes(**figures):
    return sim.Photodiode(**{"name": "diodes", "resolution": (16, 16), "pixel_pitch": 1e-3, **figures})


def light(photons, samples, modes=MODES):
    """The same photons in every mode of every sample, ``[1, 1, B, y, x]``."""
    return torch.full((1, 1, samples, *modes), math.sqrt(photons), dtype=torch.complex128)


def shots(samples, **changes):
    return sim.Shots(**{"seed": 11, "realisation": (0,), "sample": tuple(range(samples)), **changes})


def frames_of(bench, photons, samples, *, differentiable=False, kind="intensity", state=None):
    readout = sim.Readout(bench, 1, kind)
    noise = shots(samples, differentiable=differentiable)
    state = bench.nominal(1) if state is None else state
    return readout.frames(light(photons, samples, bench.modes), state, noise)


# --- a camera --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize(("rate", "dark", "read"), [(4e5, 1e5, 8.0), (2e4, 5e3, 2.4), (1e3, 0.5e3, 12.0)])
def test_variance_is_signal_and_dark_electrons_and_read_noise(rate, dark, read, differentiable):
    """var = (S + D)t + σ_r² within 2 %; of n = 192,000 values its own relative error is at most 0.33 % (5σ: 1.6 %)."""
    exposure, samples = 2e-3, 3000
    detector = camera(exposure=exposure, dark_current=dark, read_noise=read)
    used = bench_of(detector, "shot_noise", "dark_current", "read_noise")
    frames = frames_of(used, rate * exposure, samples, differentiable=differentiable)
    mean, variance = (rate + dark) * exposure, (rate + dark) * exposure + read**2
    assert frames.var().item() == pytest.approx(variance, rel=2e-2)
    assert abs(frames.mean().item() - mean) < 5 * math.sqrt(variance / frames.numel())


def test_the_slope_of_the_photon_transfer_curve_is_the_gain():
    """σ_y² = σ_y,dark² + K(μ_y - μ_dark): the straight line through six levels, K digits an electron within 2 %."""
    detector = camera(full_well=4000.0, bits=12, read_noise=5.0, quantum_efficiency=0.7, black_level=60.0)
    used = bench_of(
        detector, "quantum_efficiency", "shot_noise", "read_noise", "black_level", "full_well", "quantisation"
    )
    gain = (2**12 - 1) / 4000
    levels = torch.tensor([0.0, 500.0, 1000.0, 2000.0, 3000.0, 4000.0], dtype=torch.float64)
    frames = [frames_of(used, level, 2500) for level in levels.tolist()]
    mean = torch.stack([frame.mean() for frame in frames])
    variance = torch.stack([frame.var() for frame in frames])
    slope = ((mean - mean.mean()) * (variance - variance.mean())).sum() / ((mean - mean.mean()) ** 2).sum()
    assert slope.item() == pytest.approx(gain, rel=2e-2)
    assert mean[0].item() == pytest.approx(60 * gain, rel=1e-3)
    # In the dark K²σ_r² and the rounding of a digit, 1/12; sample error √(2/n) = 0.35 %.
    assert variance[0].item() == pytest.approx((gain * 5) ** 2 + 1 / 12, rel=2e-2)


@pytest.mark.parametrize("spatial", [False, True])
def test_the_curve_of_the_signal_to_noise_ratio(spatial):
    """Mean over spread of frames: over exposures of one pixel, or over the pixels of many cameras. 1.5 %, 5σ."""
    detector = camera(
        full_well=2e4,
        bits=12,
        read_noise=6.0,
        quantum_efficiency=0.6,
        gain_nonuniformity=0.02,
        offset_nonuniformity=8.0,
        dark_current=2e4,
        exposure=1e-3,
    )
    names = ("quantum_efficiency", "shot_noise", "dark_current", "read_noise", "full_well", "quantisation")
    statics = ("gain_nonuniformity", "offset_nonuniformity") if spatial else ()
    used, samples = bench_of(detector, *names, *statics), 1000
    realisations = tuple(range(1000)) if spatial else (0,)
    count = 1 if spatial else samples
    for photons in (100.0, 1000.0, 20000.0):
        state = sim.Realisations(5, realisations).draw(used, 1) if spatial else used.nominal(1)
        noise = shots(count, realisation=realisations, differentiable=True)
        frames = sim.Readout(used, 1).frames(light(photons, count), state, noise)
        found = sim.Readout(used, 1).decode(frames)
        expected = detector.snr(torch.tensor(photons, dtype=torch.float64), spatial=spatial).item()
        assert photons / found.std().item() == pytest.approx(expected, rel=1.5e-2)


def test_the_signal_to_noise_ratio_has_its_limits():
    """√(electrons) where light dominates, 1/PRNU where the pixels differ, ηN/σ in the dark; in either precision."""
    few, many = torch.tensor(1e-3), torch.tensor(1e8)
    assert camera().snr(many).item() == pytest.approx(1e4, rel=1e-6)
    assert camera(gain_nonuniformity=0.01).snr(many, spatial=True).item() == pytest.approx(100, rel=1e-4)
    assert camera(read_noise=5.0).snr(few).item() == pytest.approx(1e-3 / 5, rel=1e-4)
    # Of four bits over 15 electrons a digit is one electron, and its rounding 1/12.
    assert camera(full_well=15.0, bits=4).snr(few).item() == pytest.approx(1e-3 / math.sqrt(1e-3 + 1 / 12), rel=1e-6)
    assert camera(offset_nonuniformity=5.0).snr(few).item() == pytest.approx(math.sqrt(1e-3), rel=1e-4)
    assert camera(shot_noise=False, offset_nonuniformity=5.0).snr(few, spatial=True).item() == pytest.approx(2e-4)
    for dtype in (torch.float32, torch.float64):
        assert camera().snr(torch.ones(3, dtype=dtype)).dtype == dtype
    photons = torch.tensor([3.0, 400.0], dtype=torch.float64, requires_grad=True)
    busy = camera(read_noise=2.0, gain_nonuniformity=0.01, full_well=1e4, bits=8)
    assert torch.autograd.gradcheck(lambda x: busy.snr(x, spatial=True), photons)


def test_offsets_of_a_window_add_in_quadrature():
    """DSNU·√n electrons a mode, fixed in one camera; 4×4 pixels. 5 standard errors 1/√(2n)."""
    detector = camera(pixel_pitch=MACRO / 4, offset_nonuniformity=3.0)
    used = bench_of(detector, "offset_nonuniformity")
    state = sim.Realisations(2, tuple(range(300))).draw(used, 1)
    frames = sim.Readout(used, 1).frames(light(0.0, 2), state)
    assert torch.equal(frames[:, 0], frames[:, 1])
    n = frames[:, 0].numel()
    assert frames[:, 0].square().mean().sqrt().item() == pytest.approx(12, rel=5 / math.sqrt(2 * n))
    assert abs(frames[:, 0].mean().item()) < 5 * 12 / math.sqrt(n)


def test_nothing_reads_below_zero_where_there_is_a_black_level():
    """Darkness reads as the level, decode takes it off, and noise beyond it is cut: E max(L + σε, 0), closed form."""
    level, sigma, samples = 2.0, 3.0, 2000
    used = bench_of(camera(black_level=level, read_noise=sigma), "black_level", "read_noise")
    frames = frames_of(used, 0.0, samples)
    assert frames.min().item() == 0
    z = level / sigma
    cumulative = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    expected = level * cumulative + sigma * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    assert frames.mean().item() == pytest.approx(expected, abs=5 * sigma / math.sqrt(frames.numel()))
    quiet = bench_of(camera(black_level=level), "black_level")
    readout = sim.Readout(quiet, 1)
    found = readout.decode(readout.frames(light(7.0, 1), quiet.nominal(1)))
    torch.testing.assert_close(found, torch.full((1, 1, *MODES), 7.0, dtype=torch.float64))


# --- saturation, rounding, gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", [camera(full_well=1000.0), diodes(full_scale=1000 * elementary_charge / 1e-3)])
def test_saturation_is_hard(detector):
    """min(signal, limit) to rounding, and no gradient beyond."""
    limit = 1000.0 if isinstance(detector, sim.Camera) else detector.full_scale
    name = "full_well" if isinstance(detector, sim.Camera) else "full_scale"
    used = bench_of(detector, name)
    photons = torch.tensor([1.0, 999.0, 1001.0, 1e9], dtype=torch.float64, requires_grad=True)
    field = photons.sqrt().to(torch.complex128)[None, None, :, None, None].expand(1, 1, 4, *MODES)
    frames = sim.Readout(used, 1).frames(field, used.nominal(1))[0, :, 0, 0, 0]
    expected = limit / 1000 * torch.tensor([1.0, 999.0, 1000.0, 1000.0], dtype=torch.float64)
    torch.testing.assert_close(frames, expected, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(frames.sum(), photons)
    slope = limit / 1000
    torch.testing.assert_close(gradient, torch.tensor([slope, slope, 0, 0], dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("bits", [6, 10])
@pytest.mark.parametrize("kind", ["camera", "photodiode"])
def test_rounding_has_the_variance_of_a_step_over_twelve(kind, bits):
    """Over a ramp of 64,000 levels within the range; a sample variance of uniform errors is off by √(0.8/n), 0.35 %."""
    full = 1e6 * elementary_charge / 1e-3
    detector = camera(full_well=1e6, bits=bits) if kind == "camera" else diodes(full_scale=full, bits=bits)
    used = bench_of(detector, "quantisation")
    photons = torch.linspace(0.001, 0.999, 64000, dtype=torch.float64).reshape(1, 1, 1000, *MODES) * 1e6
    readout = sim.Readout(used, 1)
    frames = readout.frames(photons.sqrt().to(torch.complex128), used.nominal(1))
    torch.testing.assert_close(frames, frames.round(), rtol=0, atol=1e-8)
    assert frames.max().item() == pytest.approx(2**bits - 1, abs=1)
    error = readout.decode(frames) - photons[0]
    step = 1e6 / (2**bits - 1)
    assert error.square().mean().item() == pytest.approx(step**2 / 12, rel=2e-2)
    assert error.abs().max().item() <= step / 2 * (1 + 1e-9)


@pytest.mark.parametrize("bits", [None, 12])
def test_effective_bits_are_those_of_an_ideal_converter(bits):
    """Noise and rounding together: [FS/(2^ENOB - 1)]²/12 within 2 %, n = 64,000."""
    full = 1e6 * elementary_charge / 1e-3
    detector = diodes(full_scale=full, bits=bits, effective_bits=8.3)
    used = bench_of(detector, "converter_noise", *(() if bits is None else ("quantisation",)))
    photons = torch.linspace(0.001, 0.999, 64000, dtype=torch.float64).reshape(1, 1, 1000, *MODES) * 1e6
    readout = sim.Readout(used, 1)
    frames = readout.frames(photons.sqrt().to(torch.complex128), used.nominal(1), shots(1000))
    error = readout.decode(frames) - photons[0]
    assert error.var().item() == pytest.approx((1e6 / (2**8.3 - 1)) ** 2 / 12, rel=2e-2)
    assert adc.converter_noise(1.0, 8, 8) == 0


@pytest.mark.parametrize("detector", [camera(), diodes()])
def test_the_surrogates_gradient_is_the_gradient_of_the_expectation(detector):
    """Of n² with n ~ Poisson(μ): d(μ² + μ)/dμ = 2μ + 1, where a σ without gradient would give 2μ.

    At μ = 4 the two differ by 12 %; sample mean within 5 standard errors.
    """
    mean, samples = 4.0, 3000
    used = bench_of(detector, "shot_noise")
    readout = sim.Readout(used, 1)
    photons = torch.full((1, 1, samples, *MODES), mean, dtype=torch.float64, requires_grad=True)
    field = torch.complex(photons.sqrt(), torch.zeros_like(photons))
    counts = readout.decode(readout.frames(field, used.nominal(1), shots(samples, differentiable=True)))
    (gradient,) = torch.autograd.grad(counts.square().sum(), photons)
    error = 5 * gradient.std().item() / math.sqrt(gradient.numel())
    assert error < 0.25
    assert gradient.mean().item() == pytest.approx(2 * mean + 1, abs=error)


@pytest.mark.parametrize("detector", [camera(), diodes()])
def test_counting_agrees_with_its_surrogate(detector):
    """Mean and variance of both are μ; the variance of n = 128,000 values within 5√(3/n)."""
    used, mean = bench_of(detector, "shot_noise"), 50.0
    for differentiable in (False, True):
        frames = frames_of(used, mean, 2000, differentiable=differentiable)
        found = sim.Readout(used, 1).decode(frames)
        assert found.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(mean / found.numel()))
        assert found.var().item() == pytest.approx(mean, rel=5 * math.sqrt(3 / found.numel()))


# --- a photodiode ----------------------------------------------------------------------------------------------------

#: 1 µA at 633 nm, amplified in 2 MHz.
POWER, BANDWIDTH, ETA = 2.45e-6, 2e6, 0.8
FIGURES = {
    "quantum_efficiency": ETA,
    "dark_current": 3e-7,
    "bandwidth": BANDWIDTH,
    "feedback_resistance": 5e4,
    "temperature": 310.0,
    "voltage_noise": 2e-9,
    "capacitance": 5e-11,
    "relative_intensity_noise": 5e-13,
}


def currents(samples, *effects_on, photons=None, **kwargs):
    detector = diodes(**FIGURES)
    energy = h * c / WAVELENGTH
    photons = POWER * detector.exposure / energy if photons is None else photons
    return frames_of(bench_of(detector, *effects_on), photons, samples, **kwargs)


def test_a_current_is_the_charge_of_the_photons():
    """I = η q P/(hν), or R·P."""
    current = ETA * elementary_charge * POWER * WAVELENGTH / (h * c)
    frames = currents(1, "quantum_efficiency")
    torch.testing.assert_close(frames, torch.full_like(frames, current), rtol=1e-9, atol=0)
    detector = diodes(responsivity=0.4)
    used = bench_of(detector, "responsivity")
    frames = frames_of(used, POWER * detector.exposure * WAVELENGTH / (h * c), 1)
    torch.testing.assert_close(frames, torch.full_like(frames, 0.4 * POWER), rtol=1e-9, atol=0)
    decoded = sim.Readout(used, 1).decode(frames)
    assert decoded.mean().item() == pytest.approx(POWER * detector.exposure * WAVELENGTH / (h * c), rel=1e-9)


CURRENT = ETA * elementary_charge * POWER * WAVELENGTH / (h * c)
NOISE = {
    "shot_noise": 2 * elementary_charge * (CURRENT + FIGURES["dark_current"]) * BANDWIDTH,
    "johnson_noise": 4 * Boltzmann * FIGURES["temperature"] * BANDWIDTH / FIGURES["feedback_resistance"],
    "voltage_noise": (2 * math.pi * FIGURES["voltage_noise"] * FIGURES["capacitance"]) ** 2 * BANDWIDTH**3 / 3,
    "relative_intensity_noise": FIGURES["relative_intensity_noise"] * CURRENT**2 * BANDWIDTH,
}


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize("effect", [*NOISE, "all"])
def test_each_noise_of_a_photodiode_has_its_closed_form(effect, differentiable):
    """Within 2 %; laser noise is one value an exposure, so that its error is √(2/20,000) = 1 %, 5σ 5 %."""
    names = tuple(NOISE) if effect == "all" else (effect,)
    common = "relative_intensity_noise" in names
    samples, modes = (20000, (1, 1)) if common else (3000, MODES)
    detector = diodes(**FIGURES)
    used = bench_of(detector, "quantum_efficiency", "dark_current", *names, modes=modes)
    photons = POWER * detector.exposure * WAVELENGTH / (h * c)
    frames = frames_of(used, photons, samples, differentiable=differentiable)
    expected = sum(NOISE[name] for name in names)
    # As a ratio: pytest.approx would pass anything below 1e-12.
    assert frames.var().item() / expected == pytest.approx(1, rel=5e-2 if common else 2e-2)
    error = 5 * math.sqrt(expected / frames.numel())
    assert frames.mean().item() == pytest.approx(CURRENT + FIGURES["dark_current"], abs=error)


def test_the_four_noises_are_comparable_here():
    """Else the test of all together would not see the weakest."""
    assert min(NOISE.values()) > 0.05 * sum(NOISE.values())


def test_the_laser_s_noise_is_common_to_the_modes_and_the_diodes_own_is_not():
    frames = currents(4000, "quantum_efficiency", "relative_intensity_noise")[0, :, 0].flatten(1)
    torch.testing.assert_close(frames, frames[:, :1].expand_as(frames), rtol=1e-12, atol=0)
    frames = currents(4000, "johnson_noise", photons=0.0)[0, :, 0].flatten(1)
    correlation = torch.corrcoef(frames.T) - torch.eye(64, dtype=torch.float64)
    assert correlation.abs().max() < 6 / math.sqrt(4000)


def test_without_a_bandwidth_a_photodiode_counts_electrons():
    """B = 1/(2t): decoded photons are the counts of an ideal camera, draw by draw."""
    for exposure in (1e-3, 1e-6):
        used = bench_of(diodes(exposure=exposure), "shot_noise")
        found = sim.Readout(used, 1).decode(frames_of(used, 30.0, 50))
        torch.testing.assert_close(found, found.round(), rtol=0, atol=1e-9)
        same = bench_of(camera(exposure=exposure), "shot_noise")
        torch.testing.assert_close(found, frames_of(same, 30.0, 50)[:, :, 0], rtol=1e-9, atol=1e-9)


def test_noise_currents_of_the_amplifier_in_either_precision():
    """Their squares would leave single precision, the roots do not; gradients by finite differences."""
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        resistance, temperature, density, capacitance, bandwidth = torch.tensor(
            [1e9, 4.0, 1e-10, 1e-13, 10.0], dtype=dtype
        )
        found = adc.johnson_noise(resistance, temperature, bandwidth)
        assert found.dtype == dtype
        assert found.item() / math.sqrt(4 * Boltzmann * 4 * 10 / 1e9) == pytest.approx(1, rel=tolerance)
        found = adc.voltage_noise(density, capacitance, bandwidth)
        assert found.dtype == dtype
        assert found.item() / (2 * math.pi * 1e-10 * 1e-13 * math.sqrt(1e3 / 3)) == pytest.approx(1, rel=tolerance)
    inputs = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.3, 2.0, 0.7)]
    assert torch.autograd.gradcheck(lambda r, t, b: adc.johnson_noise(r, t, b) * 1e11, inputs)
    assert torch.autograd.gradcheck(adc.voltage_noise, inputs)
    normal = torch.randn(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda i, d, b: adc.relative_intensity_noise(i, d, b, normal), inputs)
    values = torch.tensor([-3.0, -0.5, 0.4, 2.0], dtype=torch.float64, requires_grad=True)
    one = torch.tensor(1.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: adc.clip(v, one, bipolar=True), values)
    assert adc.clip(values, one).tolist() == [-3.0, -0.5, 0.4, 1.0]
    assert adc.clip(values, one, bipolar=True).tolist() == [-1.0, -0.5, 0.4, 1.0]
    level = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, x: effects.counting.black_level(v, x), (values, level))


def test_background_adds_photons_that_a_frame_without_signal_takes_off_again():
    """Frames have it, times exposure, efficiency and pixels; decoded, the signal is what it was, with more noise."""
    bench = sim.reference_bench((2, 2))
    camera = bench.detector.replace(background=3e5, gain_nonuniformity=None, bits=None, full_well=None)
    stray = bench.replace(detector=camera)
    clean = stray.replace(detector=camera.replace(background=None))
    field = torch.full((1, 1, 1, 2, 2), 100.0, dtype=torch.complex128)
    found = {}
    for name, b in (("stray", stray), ("clean", clean)):
        readout = sim.Readout(b, 1)
        frames = readout.frames(field, b.nominal(1))
        found[name] = frames, readout.decode(frames)
    pixels = camera.pixels_per_mode(bench.stage[0].pitch)
    extra = 3e5 * camera.exposure * pixels * camera.quantum_efficiency
    assert (found["stray"][0] - found["clean"][0] - extra).abs().max() < 1e-9 * extra
    assert (found["stray"][1] - found["clean"][1]).abs().max() < 1e-6
