"""From field to frames and back: the window of a mode, four steps, and a camera after EMVA 1288."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import torch
from numpy.polynomial.legendre import Legendre

import simulators as sim
from simulators.fourier import window_gram, window_mean

MODES = (3, 4)
PIXELS = 18**2  #: of the camera in a mode: 64 µm of 3.45 µm pixels
QE, DARK, READ, WELL, PRNU, BITS = 0.6, 5.0, 2.4, 10700.0, 0.005, 12


def legendre(a, x):
    """Orthonormal on [-1/2, 1/2]."""
    return math.sqrt(2 * a + 1) * Legendre.basis(a)(2 * np.asarray(x))


def bench(*effects, **camera):
    """The reference bench with no effects but those named of the camera."""
    whole = sim.reference_bench(MODES)
    if camera:
        whole = whole.replace(detector=whole.detector.replace(**camera))
    return whole.only(*(f"detector.{effect}" for effect in effects))


def uniform(photons, *, realisations=1, samples=1, phase=0.3):
    """``photons`` in every mode, ``[1, R, B, y, x]``."""
    amplitude = torch.full((1, realisations, samples, *MODES), math.sqrt(photons), dtype=torch.float64)
    return torch.polar(amplitude, torch.full_like(amplitude, phase))


def random_field(*shape, photons=1000.0):
    return math.sqrt(photons) * torch.randn(*shape, dtype=torch.complex128)


def shots(samples, **changes):
    return sim.Shots(**{"seed": 4, "realisation": (0,), "sample": tuple(range(samples)), **changes})


# --- the window ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1.0, 0.5, 0.21])
@pytest.mark.parametrize("order", [1, 3, 5])
def test_window_gram_and_mean_by_quadrature(order, window):
    """∫ P_a P_b and ∫ P_a over the central share w of the pixel, against scipy."""
    gram, mean = window_gram(order, window), window_mean(order, window)
    assert gram.shape == (order, order)
    assert mean.shape == (order,)
    half = window / 2
    for a in range(order):
        value, _ = scipy.integrate.quad(lambda x, a=a: legendre(a, x), -half, half)
        assert mean[a].item() == pytest.approx(value, abs=1e-12)
        for b in range(order):
            value, _ = scipy.integrate.quad(lambda x, a=a, b=b: legendre(a, x) * legendre(b, x), -half, half)
            assert gram[a, b].item() == pytest.approx(value, abs=1e-12)


def test_the_whole_window_is_the_identity():
    torch.testing.assert_close(window_gram(4, 1.0), torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-14)
    expected = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(window_mean(4, 1.0), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("window", [1.0, 0.4])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_photons_and_projection_by_integration_over_the_mode(order, window):
    """∬|E|² and ∬E over the window, E = Σ c_ab P_a(y) P_b(x), by 40-point Gauss-Legendre on the plane."""
    readout = sim.Readout(bench(window=window), 1, order=order)
    field = torch.randn(2, 3, MODES[0] * order, MODES[1] * order, dtype=torch.complex128)
    points, weights = np.polynomial.legendre.leggauss(40)
    x, weights = points * window / 2, weights * window / 2
    basis = np.stack([legendre(a, x) for a in range(order)])
    modes = field.numpy().reshape(2, 3, MODES[0], order, MODES[1], order)
    inside = np.einsum("rbyaxc,ai,cj->rbyxij", modes, basis, basis)
    power = np.einsum("rbyxij,i,j->rbyx", np.abs(inside) ** 2, weights, weights)
    total = np.einsum("rbyxij,i,j->rbyx", inside, weights, weights)
    torch.testing.assert_close(readout.photons(field), torch.from_numpy(power), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(readout.projection(field), torch.from_numpy(total), rtol=1e-11, atol=1e-11)


def test_intensity_of_the_whole_window_is_the_sum_of_the_modes():
    readout = sim.Readout(bench(), 1, order=2)
    field = random_field(1, 2, 5, 2 * MODES[0], 2 * MODES[1])
    frames = readout.frames(field, bench().nominal(1))
    expected = (field[0].abs() ** 2).reshape(2, 5, MODES[0], 2, MODES[1], 2).sum((3, 5))
    assert frames.shape == (2, 5, 1, *MODES)
    torch.testing.assert_close(frames[:, :, 0], expected)
    torch.testing.assert_close(readout.decode(frames), expected)


def test_moments_are_averaged_as_intensities():
    """⟨|E|²⟩, not |⟨E⟩|²: two moments of opposite sign are not dark."""
    readout = sim.Readout(bench(), 1)
    one = random_field(1, 1, 2, *MODES)
    fields = torch.cat([one, -one, 2 * one])
    frames = readout.frames(fields, bench().nominal(1))
    torch.testing.assert_close(frames[:, :, 0], 2 * one[0].abs() ** 2)


def test_a_readout_is_of_a_known_kind():
    allowed = "allowed: 'intensity', 'coherent', 'homodyne' or 'off_axis'"
    with pytest.raises(sim.InputError, match=f"readout: got 'heterodyne'; {allowed}"):
        sim.Readout(bench(), 1, "heterodyne")


# --- four steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1.0, 0.5])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_four_steps_recover_the_field(order, window):
    """s = [(I₀-I₂) + i(I₁-I₃)]/(4r) is the mean of the field over the window, to 1e-10, sign of i included."""
    used = bench(window=window)
    readout = sim.Readout(used, 1, "coherent", order=order)
    field = random_field(1, 2, 3, MODES[0] * order, MODES[1] * order)
    frames = readout.frames(field, used.nominal(1))
    assert frames.shape == (2, 3, 4, *MODES)
    expected = readout.projection(field[0]) / window**2
    found = readout.decode(frames)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()
    if order == 1:
        torch.testing.assert_close(expected, field[0])


def test_the_four_frames():
    """I_m = |E + iᵐ r|², and each is not negative."""
    used = bench()
    state = used.nominal(1)
    field = random_field(1, 1, 2, *MODES, photons=1e5)
    frames = sim.Readout(used, 1, "coherent").frames(field, state)
    reference = state["detector.reference"].sqrt().item()
    for m in range(4):
        expected = (field[0] + 1j**m * reference).abs() ** 2
        torch.testing.assert_close(frames[:, :, m], expected)


@pytest.mark.parametrize("fill", [0.5, 0.25])
@pytest.mark.parametrize("window", [1.0, 0.5])
def test_the_reference_fills_its_share_of_the_well(fill, window):
    """In electrons of the window's pixels, so that the steps stay below the well."""
    used = bench("quantum_efficiency", window=window).replace(reference_fill=fill)
    frames = sim.Readout(used, 1, "coherent").frames(torch.zeros(1, 1, 1, *MODES).cdouble(), used.nominal(1))
    pixels = used.detector.pixels_per_mode(64e-6)
    torch.testing.assert_close(frames, torch.full_like(frames, fill * WELL * pixels))


@pytest.mark.parametrize("differentiable", [False, True])
def test_the_error_of_four_steps_falls_with_the_photons(differentiable):
    """var Re s = 2(|E|² + r²)/(16 r²), likewise Im; relative to |E|² it is 1/(4|E|²) for a strong reference.

    Sample variance of n values within 5·√(2/n) relative.
    """
    used = bench("shot_noise")
    state = used.nominal(1)
    reference = state["detector.reference"].item()
    readout = sim.Readout(used, 1, "coherent")
    samples, relative = 3000, []
    for exposure, photons in enumerate((1e3, 1e5)):
        field = uniform(photons, samples=samples)
        noise = shots(samples, exposure=exposure, differentiable=differentiable)
        error = readout.decode(readout.frames(field, state, noise)) - field[0]
        variance = 2 * (photons + reference) / (16 * reference)
        n = error.numel()
        for part in (error.real, error.imag):
            assert abs((part**2).mean().item() / variance - 1) < 5 * math.sqrt(2 / n)
            assert abs(part.mean().item()) < 5 * math.sqrt(variance / n)
        relative.append((error.abs() ** 2).mean().item() / photons)
        # 4 frames of |E|² photons each: the shot-limited power ratio is the number of signal photons.
        assert relative[-1] * 4 * photons == pytest.approx((photons + reference) / reference, rel=5 / math.sqrt(n))
    assert relative[0] / relative[1] == pytest.approx(100, rel=0.1)


# --- one effect after another ----------------------------------------------------------------------------------------


def test_without_effects_the_camera_counts_photons_exactly():
    field = random_field(1, 1, 4, *MODES)
    used = bench()
    frames = sim.Readout(used, 1).frames(field, used.nominal(1), shots(4))
    torch.testing.assert_close(frames[:, :, 0], field[0].abs() ** 2, rtol=1e-14, atol=0)


def test_quantum_efficiency():
    used = bench("quantum_efficiency")
    readout = sim.Readout(used, 1)
    frames = readout.frames(uniform(1000.0), used.nominal(1))
    torch.testing.assert_close(frames, torch.full_like(frames, QE * 1000))
    torch.testing.assert_close(readout.decode(frames), torch.full((1, 1, *MODES), 1000.0, dtype=torch.float64))


def test_dark_current_of_all_pixels_and_its_subtraction():
    """D·n·t electrons, subtracted by decode at its nominal value; the exposure is read from the state."""
    used = bench("dark_current", exposure=2.0)
    readout, state = sim.Readout(used, 1), dict(used.nominal(1))
    frames = readout.frames(uniform(1000.0), state)
    torch.testing.assert_close(frames, torch.full_like(frames, 1000 + DARK * PIXELS * 2))
    torch.testing.assert_close(readout.decode(frames), torch.full((1, 1, *MODES), 1000.0, dtype=torch.float64))
    state["detector.dark_current"] = state["detector.dark_current"] * 3
    torch.testing.assert_close(readout.frames(uniform(1000.0), state), frames + 2 * DARK * PIXELS * 2)


def test_dark_current_cancels_in_four_steps():
    used = bench("dark_current", "quantum_efficiency", exposure=2.0)
    field = random_field(1, 1, 3, *MODES)
    readout = sim.Readout(used, 1, "coherent")
    found = readout.decode(readout.frames(field, used.nominal(1)))
    torch.testing.assert_close(found, field[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("differentiable", [False, True])
def test_variance_of_the_camera(differentiable):
    """EMVA 1288: mean μ = QE·I + D n t and variance μ + n σ², the read noise of n pixels in quadrature.

    Standard errors: √(v/n), and of the variance at most √((μ + 2 v²)/n).
    """
    used = bench("quantum_efficiency", "dark_current", "shot_noise", "read_noise", exposure=0.1)
    samples = 4000
    frames = sim.Readout(used, 1).frames(
        uniform(500.0, samples=samples), used.nominal(1), shots(samples, differentiable=differentiable)
    )
    assert frames.shape == (1, samples, 1, *MODES)
    mean = QE * 500 + DARK * PIXELS * 0.1
    variance = mean + PIXELS * READ**2
    n = frames.numel()
    assert abs(frames.mean().item() - mean) < 5 * math.sqrt(variance / n)
    spread = ((frames - mean) ** 2).mean().item()
    assert abs(spread - variance) < 5 * math.sqrt((mean + 2 * variance**2) / n)


@pytest.mark.parametrize("window", [1.0, 0.5])
def test_read_noise_grows_with_the_root_of_the_pixels(window):
    """σ√n, with n = 18² and 9²."""
    used = bench("read_noise", window=window)
    samples = 2000
    dark = torch.zeros(1, 1, samples, *MODES, dtype=torch.complex128)
    frames = sim.Readout(used, 1).frames(dark, used.nominal(1), shots(samples))
    sigma = READ * (18 * window)
    n = frames.numel()
    assert abs((frames**2).mean().item() / sigma**2 - 1) < 5 * math.sqrt(2 / n)
    assert abs(frames.mean().item()) < 5 * sigma / math.sqrt(n)


def test_poisson_counts_are_whole():
    used = bench("shot_noise")
    frames = sim.Readout(used, 1).frames(uniform(7.3, samples=50), used.nominal(1), shots(50))
    assert torch.equal(frames, frames.round())
    assert len(frames.unique()) > 5


def test_gain_nonuniformity():
    """One factor a mode and bench, spread PRNU/√n, the same in every exposure; 5 standard errors s/√(2n)."""
    used, realisations = bench("gain_nonuniformity"), 600
    state = sim.Realisations(3, tuple(range(realisations))).draw(used, 1)
    frames = sim.Readout(used, 1).frames(uniform(1000.0, samples=2), state)
    assert frames.shape == (realisations, 2, 1, *MODES)
    assert torch.equal(frames[:, 0], frames[:, 1])
    relative = frames[:, 0, 0] / 1000 - 1
    spread, n = PRNU / math.sqrt(PIXELS), relative.numel()
    assert abs(relative.mean().item()) < 5 * spread / math.sqrt(n)
    assert abs(relative.square().mean().sqrt().item() / spread - 1) < 5 / math.sqrt(2 * n)
    assert len(relative[0].unique()) == MODES[0] * MODES[1]


def test_the_full_well_clips():
    """At WELL·n electrons, after QE and dark current."""
    used = bench("quantum_efficiency", "full_well")
    well = WELL * PIXELS
    field = torch.cat([uniform(0.99 * well / QE), uniform(1.01 * well / QE), uniform(9 * well)], dim=2)
    frames = sim.Readout(used, 1).frames(field, used.nominal(1))[0, :, 0]
    torch.testing.assert_close(frames[0], torch.full(MODES, 0.99 * well, dtype=torch.float64))
    assert torch.equal(frames[1:], torch.full((2, *MODES), well, dtype=torch.float64))


def test_no_shot_exceeds_the_well_nor_a_frame_the_sum_of_full_pixels():
    used = bench("shot_noise", "read_noise", "full_well", "quantisation")
    frames = sim.Readout(used, 1).frames(uniform(WELL * PIXELS, samples=50), used.nominal(1), shots(50))
    assert frames.max().item() <= (2**BITS - 1) * PIXELS + 0.5 * math.sqrt(PIXELS)


def test_digits():
    """(2^b - 1)/WELL digits an electron; the rounding of n pixels adds to one step of √n digits."""
    used = bench("quantisation")
    readout = sim.Readout(used, 1)
    photons = torch.rand(1, 1, 200, *MODES, dtype=torch.float64) * WELL * PIXELS
    frames = readout.frames(photons.sqrt().cdouble(), used.nominal(1))[0, :, 0]
    steps = frames / math.sqrt(PIXELS)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-7)
    exact = photons[0, 0] * (2**BITS - 1) / WELL
    error = frames - exact
    assert error.abs().max() <= 0.5 * math.sqrt(PIXELS) + 1e-6
    # Uniform over a step of √n: variance n/12; the sample variance of m values has relative error √(0.8/m).
    assert (error**2).mean().item() == pytest.approx(PIXELS / 12, rel=5 * math.sqrt(0.8 / error.numel()))
    decoded = readout.decode(frames[None, :, None])
    assert (decoded - photons[0]).abs().max() <= 0.5 * math.sqrt(PIXELS) * WELL / (2**BITS - 1) + 1e-3


def test_a_full_pixel_gives_the_last_digit():
    """The scale itself: a full window reads n·(2^b - 1) to half a step."""
    used = bench("quantisation", "full_well")
    frames = sim.Readout(used, 1).frames(uniform(2 * WELL * PIXELS), used.nominal(1))
    assert frames.max().item() == pytest.approx((2**BITS - 1) * PIXELS, abs=0.5 * math.sqrt(PIXELS))


def test_without_a_converter_frames_are_electrons():
    used = bench("quantum_efficiency", bits=None)
    frames = sim.Readout(used, 1).frames(uniform(1000.0), used.nominal(1))
    torch.testing.assert_close(frames, torch.full_like(frames, 600.0))


# --- together --------------------------------------------------------------------------------------------------------


CAMERA_EFFECTS = (
    *("quantum_efficiency", "gain_nonuniformity", "dark_current", "shot_noise"),
    *("read_noise", "full_well", "quantisation"),
)


def one_of_everything(*effects, kind="intensity"):
    """Frames with only these effects: light that overfills some wells, in one drawn realisation."""
    used = bench(*effects, exposure=0.5)
    state = sim.Realisations(0, (0,)).draw(used, 1)
    levels = torch.linspace(0.1, 3.0, 12, dtype=torch.float64).reshape(MODES) * WELL * PIXELS
    readout = sim.Readout(used, 1, kind)
    return readout.frames(levels.sqrt().cdouble()[None, None, None].expand(1, 1, 5, -1, -1), state, shots(5)), readout


@pytest.mark.parametrize("kind", ["intensity", "coherent"])
@pytest.mark.parametrize("effect", CAMERA_EFFECTS)
def test_every_effect_matters_alone_and_among_the_others(effect, kind):
    clean, _ = one_of_everything(kind=kind)
    alone, _ = one_of_everything(effect, kind=kind)
    every, _ = one_of_everything(*CAMERA_EFFECTS, kind=kind)
    others, _ = one_of_everything(*(name for name in CAMERA_EFFECTS if name != effect), kind=kind)
    assert not torch.allclose(alone, clean, rtol=1e-12)
    assert not torch.allclose(every, others, rtol=1e-12)


def test_the_list_of_effects_is_complete():
    """Else the test above would pass over a new one."""
    names = {effect.name for effect in sim.reference_bench(MODES).effects(1) if effect.address == "detector"}
    assert names == set(CAMERA_EFFECTS)


def test_an_absent_effect_is_exactly_absent():
    """A camera whose data sheet lacks a figure is bit for bit one whose effect is switched off."""
    figures = {
        "quantum_efficiency": None,
        "gain_nonuniformity": None,
        "dark_current": None,
        "shot_noise": False,
        "read_noise": None,
    }
    field = uniform(5e5, samples=3)
    for name, absent in figures.items():
        rest = tuple(effect for effect in CAMERA_EFFECTS if effect != name)
        frames = []
        for used in (bench(*rest), bench(*rest, **{name: absent})):
            state = sim.Realisations(0, (0, 1)).draw(used, 1)
            frames.append(sim.Readout(used, 1).frames(field, state, shots(3, realisation=(0, 1))))
        assert torch.equal(*frames), name


def test_noise_is_the_same_draw_whatever_else_is_on():
    """Read noise behind QE is read noise: the draws of one effect do not shift when another goes."""
    field = uniform(1000.0, samples=3)

    def frames(*effects):
        used = bench(*effects)
        return sim.Readout(used, 1).frames(field, used.nominal(1), shots(3))

    alone = frames("read_noise") - frames()
    behind = frames("quantum_efficiency", "dark_current", "read_noise") - frames("quantum_efficiency", "dark_current")
    torch.testing.assert_close(alone, behind, rtol=0, atol=1e-9)


def test_frames_do_not_depend_on_the_batch():
    used = bench(*CAMERA_EFFECTS)
    readout = sim.Readout(used, 1, "coherent")
    draws = sim.Realisations(0, (0, 1, 2)).draw(used, 1)
    field = random_field(1, 3, 4, *MODES)
    every = readout.frames(field, draws, shots(4, realisation=(0, 1, 2)))
    some = readout.frames(
        field[:, [2]][:, :, [3, 1]],
        sim.Realisations(0, (2,)).draw(used, 1),
        shots(4, realisation=(2,), sample=(3, 1)),
    )
    assert torch.equal(some, every[[2]][:, [3, 1]])


def test_the_four_frames_have_noise_of_their_own():
    used = bench("read_noise")
    frames = sim.Readout(used, 1, "coherent").frames(
        torch.zeros(1, 1, 500, *MODES, dtype=torch.complex128), used.nominal(1), shots(500)
    )
    noise = frames - used.nominal(1)["detector.reference"]
    flat = noise.transpose(1, 2).reshape(4, -1)
    # Unrelated: correlations of n values have σ = 1/√n.
    correlation = torch.corrcoef(flat) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 5 / math.sqrt(flat.shape[1])


@pytest.mark.parametrize("kind", ["intensity", "coherent"])
def test_decode_inverts_the_expected_frames(kind):
    """QE, dark current and digits are known to a laboratory; rounding is left, at most half a step."""
    used = bench("quantum_efficiency", "dark_current", "shot_noise", "read_noise", "quantisation", exposure=0.2)
    readout, state = sim.Readout(used, 1, kind), used.nominal(1)
    field = random_field(1, 1, 50, *MODES, photons=1e5)
    found = readout.decode(readout.frames(field, state))
    wanted = field[0].abs() ** 2 if kind == "intensity" else field[0]
    half_step = 0.5 * WELL / (2**BITS - 1) * math.sqrt(PIXELS) / QE
    if kind == "intensity":
        assert (found - wanted).abs().max() <= half_step * (1 + 1e-9)
    else:
        beat = 4 * state["detector.reference"].sqrt().item()
        assert (found - wanted).abs().max() <= math.sqrt(2) * 2 * half_step / beat * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["intensity", "coherent"])
def test_decode_is_right_on_average(kind):
    """Over shots, all noise on: within 5 standard errors of the truth, estimated from the sample itself."""
    used = bench("quantum_efficiency", "dark_current", "shot_noise", "read_noise", exposure=0.2)
    readout, samples = sim.Readout(used, 1, kind), 4000
    field = uniform(2e4, samples=samples)
    found = readout.decode(readout.frames(field, used.nominal(1), shots(samples)))
    truth = field[0].abs() ** 2 if kind == "intensity" else field[0]
    error = torch.view_as_real(found - truth) if kind == "coherent" else (found - truth)[..., None]
    error = error.reshape(-1, error.shape[-1])
    assert (error.mean(0).abs() < 5 * error.std(0) / math.sqrt(len(error))).all()


def test_a_laboratory_does_not_know_the_drawn_gain():
    """decode uses nominal figures: the error left is the drawn gain itself."""
    used = bench("gain_nonuniformity")
    state = sim.Realisations(3, (0, 1)).draw(used, 1)
    readout = sim.Readout(used, 1)
    found = readout.decode(readout.frames(uniform(1000.0), state))
    torch.testing.assert_close(found / 1000, state["detector.gain_nonuniformity"])


def test_frames_are_differentiable_for_training():
    """Through rounding (straight-through), shot noise (√μ ε) and QE: d frame/d photon = digits·QE·(1 + ε/(2√μ))."""
    used = bench("quantum_efficiency", "shot_noise", "full_well", "quantisation")
    photons = torch.full((1, 1, 1, *MODES), 1e5, dtype=torch.float64, requires_grad=True)
    exposures = shots(1, differentiable=True)
    frames = sim.Readout(used, 1).frames(
        torch.complex(photons.sqrt(), torch.zeros_like(photons)), used.nominal(1), exposures
    )
    (gradient,) = torch.autograd.grad(frames.sum(), photons)
    normal = exposures.normal("detector", "shot_noise", MODES)
    expected = (2**BITS - 1) / WELL * QE * (1 + normal / (2 * math.sqrt(QE * 1e5)))
    torch.testing.assert_close(gradient[0], expected)


@pytest.mark.parametrize("kind", ["intensity", "coherent"])
def test_single_precision_stays_single(kind):
    used = bench(*CAMERA_EFFECTS)
    state = used.nominal(1, dtype=torch.float32)
    readout = sim.Readout(used, 1, kind, order=2)
    field = torch.randn(1, 1, 2, 2 * MODES[0], 2 * MODES[1], dtype=torch.complex64)
    frames = readout.frames(field, state, shots(2))
    assert frames.dtype == torch.float32
    assert readout.decode(frames).dtype == (torch.float32 if kind == "intensity" else torch.complex64)
