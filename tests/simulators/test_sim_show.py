"""What a modulator makes of its command: each figure of a panel alone, against its formula; all of them passive."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import simulators as sim
from simulators import effects
from simulators.devices.show import show_phase
from simulators.devices.surface import surface_of

TURN = 2 * math.pi
ADDRESS = "stage[0].mask[0]"

FIGURES = {
    "quantisation": {"bits": None, "levels": effects.PLM_P67, "stroke": TURN * 15 / 16},
    "stroke_error": {"stroke_error": 0.05},
    "gamma_error": {"gamma_error": 0.1},
    "lut_residual": {"lut_residual": 0.1},
    "flicker": {"flicker_depth": 0.03},
    "crosstalk": {"crosstalk_fwhm": 20e-6, "crosstalk_kernel": "exponential"},
    "phase_noise": {"phase_noise": 0.3},
    "phase_error": {"phase_error": 0.3, "correlation_length": 100e-6},
    "flatness": {"flatness": 0.5},
    "amplitude_coupling": {"amplitude_coupling": 0.2},
    "fill": {"fill_factor": 0.9, "fill_model": "dead_space", "dead_reflection": -0.7},
    "zero_order_leak": {"zero_order_leak": 0.05},
    "loss": {"reflectance": 0.6},
}


def bench_of(modes=(4, 5), *on, **figures):
    """The reference bench with ``figures`` on its phase panel, and only the effects ``on`` of it."""
    bench = sim.reference_bench(modes)
    device = bench.stage[0].device.replace(**figures)
    stage = tuple(place.replace(device=device) if j % 2 == 0 else place for j, place in enumerate(bench.stage))
    return bench.replace(stage=stage).only(*(f"*.{name}" for name in on))


def shown_by(bench, command, *, realisations=None, shots=None, cosines=None, resolved=False, state=None):
    element = bench.element(1, ADDRESS)
    if state is None:
        state = bench.nominal(1) if realisations is None else sim.Realisations(5, realisations).draw(bench, 1)
    surface = surface_of(element, bench.stage[0].macro_pixel) if resolved else None
    return show_phase(element, command, state, shots=shots, cosines=cosines, surface=surface)


def command_of(shape=(4, 5), seed=0, dtype=torch.float64):
    return TURN * torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def moments(*cosines):
    return torch.tensor(cosines, dtype=torch.float64)[:, None, None, None, None]


# --- levels and response ---------------------------------------------------------------------------------------------


def test_levels_of_a_piston_mirror():
    """The nearest on the circle of the table times the stroke, whatever stroke a realisation has."""
    bench = bench_of((4, 5), "quantisation", **FIGURES["quantisation"])
    command = command_of() - 3.0
    shown = torch.angle(shown_by(bench, command))
    levels = np.array(effects.PLM_P67) * TURN * 15 / 16
    expected = levels[np.abs(np.exp(1j * command.numpy())[..., None] - np.exp(1j * levels)).argmin(-1)]
    assert np.abs(np.exp(1j * shown.numpy()[0, 0]) - np.exp(1j * expected)).max() < 1e-12
    strokes = torch.tensor([[TURN], [0.7 * TURN]], dtype=torch.float64)
    key = f"{ADDRESS}.stroke"
    state = {**bench.nominal(1), key: strokes}
    both = shown_by(bench, command, state=state)
    assert both.shape == (2, 1, 4, 5)
    for r in range(2):
        one = shown_by(bench, command, state={**bench.nominal(1), key: strokes[r : r + 1]})
        assert torch.equal(both[r], one[0])
    assert not torch.equal(both[0], both[1])


def test_a_stroke_error_scales_the_phase_and_a_gamma_error_bends_it():
    """One draw a panel, shared by its zones; φ(1 + e) and S(φ/S)^γ of the phase in [0, 2π)."""
    command = command_of() - 3.0
    held = torch.remainder(command, TURN)
    bench = bench_of((4, 5), "stroke_error", stroke_error=0.05)
    state = sim.Realisations(5, (0, 1, 2)).draw(bench, 1)
    error = state["panel[slm].stroke_error"][..., None, None]
    assert error.shape == (3, 1, 1, 1)
    shown = shown_by(bench, command, realisations=(0, 1, 2))
    torch.testing.assert_close(shown, torch.exp(1j * held * (1 + error)), rtol=0, atol=1e-12)
    bench = bench_of((4, 5), "gamma_error", gamma_error=0.1)
    state = sim.Realisations(5, (0, 1, 2)).draw(bench, 1)
    gamma = state["panel[slm].gamma"][..., None, None]
    assert gamma.std() > 0.01
    shown = shown_by(bench, command, realisations=(0, 1, 2))
    torch.testing.assert_close(shown, torch.exp(1j * TURN * (held / TURN) ** gamma), rtol=0, atol=1e-12)
    torch.testing.assert_close(shown_by(bench, command)[0, 0], torch.exp(1j * held), rtol=0, atol=1e-12)


# --- noise -----------------------------------------------------------------------------------------------------------


def test_phase_noise_differs_a_frame_and_dims_the_expected_field():
    """ε ~ N(0, σ²) a macro-pixel and sample, the same draw for the same sample; without exposures e^{-σ²/2}."""
    sigma = 0.3
    bench = bench_of((4, 5), "phase_noise", phase_noise=sigma)
    command = command_of()
    shots = sim.Shots(1, (0,), tuple(range(500)))
    shown = shown_by(bench, command, shots=shots)
    assert shown.shape == (1, 500, 4, 5)
    torch.testing.assert_close(shown.abs(), torch.ones_like(shown.abs()))
    noise = torch.angle(shown * torch.exp(-1j * command))
    n = noise.numel()
    assert abs(noise.square().mean().sqrt().item() / sigma - 1) < 5 / math.sqrt(2 * n)
    assert abs(noise.mean().item()) < 5 * sigma / math.sqrt(n)
    between = (noise[:, 1:] * noise[:, :-1]).mean() / sigma**2  # from frame to frame
    beside = (noise[..., 1:] * noise[..., :-1]).mean() / sigma**2
    assert abs(between.item()) < 5 / math.sqrt(n)
    assert abs(beside.item()) < 5 / math.sqrt(n)
    few = shown_by(bench, command, shots=sim.Shots(1, (0,), (7, 3)))
    torch.testing.assert_close(few, shown[:, [7, 3]], rtol=0, atol=1e-15)
    mean = shown_by(bench, command)
    torch.testing.assert_close(mean[0, 0], math.exp(-(sigma**2) / 2) * torch.exp(1j * command), rtol=0, atol=1e-12)
    assert (shown.mean(1)[0] - mean[0, 0]).abs().max() < 5 * sigma / math.sqrt(500)


def test_phase_noise_does_not_depend_on_how_finely_the_ripple_is_integrated():
    """One exposure, one draw: with no ripple to speak of, all moments show the same, as without moments."""
    bench = bench_of((4, 5), "phase_noise", "flicker", phase_noise=0.3, flicker_depth=1e-12)
    shots = sim.Shots(1, (0,), (0, 1, 2))
    command = command_of()
    still = shown_by(bench, command, shots=shots)
    for cosines in (moments(0.7, -0.7), moments(0.9, 0.2, -0.2, -0.9)):
        shown = shown_by(bench, command, shots=shots, cosines=cosines)
        assert shown.shape == (len(cosines), 1, 3, 4, 5)
        torch.testing.assert_close(shown, still.expand_as(shown), rtol=0, atol=1e-10)


# --- static maps -----------------------------------------------------------------------------------------------------


def test_a_correlation_length_makes_neighbours_err_alike():
    """Rms as before at every pixel; correlation e^{-d²/2ℓ²}, ℓ in macro-pixels of 64 µm; 5 standard errors."""
    sigma, length = 0.2, 100e-6
    bench = bench_of((4, 5), "phase_error", phase_error=sigma, correlation_length=length)
    count = 3000
    shown = shown_by(bench, torch.zeros(4, 5, dtype=torch.float64), realisations=tuple(range(count)))
    error = torch.angle(shown)[:, 0]
    relative = error.square().mean(0) / sigma**2
    assert (relative - 1).abs().max() < 5 * math.sqrt(2 / count)
    for distance in (1, 2, 3):
        found = (error[..., distance:] * error[..., :-distance]).mean(0) / sigma**2
        expected = math.exp(-((distance * 64e-6 / length) ** 2) / 2)
        assert (found - expected).abs().max() < 5 * math.sqrt((1 + expected**2) / count)
    alone = bench_of((4, 5), "phase_error", phase_error=sigma)
    free = torch.angle(shown_by(alone, torch.zeros(4, 5, dtype=torch.float64), realisations=tuple(range(count))))[:, 0]
    assert abs((free[..., 1:] * free[..., :-1]).mean().item() / sigma**2) < 5 / math.sqrt(count * 16)


@pytest.mark.parametrize("modes", [(6, 6), (5, 8), (1, 8), (1, 1)])
def test_a_bow_has_its_rms_over_the_zone(modes):
    """About its mean, over realisations, of square zones, oblong ones and rows; a single pixel has none.

    The mean square of a bow is a weighted sum of six χ², of relative spread below √2.
    """
    sigma, count = 0.3, 800
    bench = bench_of(modes, "flatness", flatness=sigma)
    shown = shown_by(bench, torch.zeros(modes, dtype=torch.float64), realisations=tuple(range(count)))
    assert shown.shape == (count, 1, *modes)
    bow = torch.angle(shown)[:, 0]
    if modes == (1, 1):
        assert (bow == 0).all()
        return
    assert bow.abs().max() < math.pi
    assert bow.mean((-2, -1)).abs().max() < 1e-12
    assert abs(bow.square().mean().item() / sigma**2 - 1) < 5 * math.sqrt(2 / count)
    # Low order: six maps and no more.
    assert torch.linalg.matrix_rank(bow.reshape(count, -1)[:50], rtol=1e-9) <= 6


# --- amplitude -------------------------------------------------------------------------------------------------------


def test_amplitude_follows_the_driven_phase():
    """1 - c(1 - cos φ)/2 of the phase the cell holds; a bow in the glass turns the field and leaves its size."""
    command = command_of() - 3.0
    alone = shown_by(bench_of((4, 5), "amplitude_coupling", amplitude_coupling=0.2), command)
    expected = (0.9 + 0.1 * torch.cos(command)) * torch.exp(1j * command)
    torch.testing.assert_close(alone[0, 0], expected, rtol=0, atol=1e-12)
    both = bench_of((4, 5), "amplitude_coupling", "flatness", amplitude_coupling=0.2, flatness=1.0)
    bowed = shown_by(both, command, realisations=(0, 1))
    torch.testing.assert_close(bowed.abs(), alone.abs().expand_as(bowed.abs()), rtol=0, atol=1e-12)
    assert (torch.angle(bowed / alone)).abs().max() > 0.3


# --- gaps and fringing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("areal", [0.64, 0.93])
@pytest.mark.parametrize("dead", [0.0, 0.8, -0.8])
def test_the_three_fill_models(areal, dead):
    """Pixel means: √F t; F t; F t + (1-F) r_d. The power: F of it passes in the first two."""
    command = command_of()
    t = torch.exp(1j * command)
    for model, expected in (
        ("throughput", math.sqrt(areal) * t),
        ("aperture", areal * t),
        ("dead_space", areal * t + (1 - areal) * dead),
    ):
        bench = bench_of((4, 5), "fill", fill_factor=areal, fill_model=model, dead_reflection=dead)
        element = bench.element(1, ADDRESS)
        surface = surface_of(element, 8)
        shown = show_phase(element, command, bench.nominal(1), surface=surface)
        if model == "throughput":
            assert surface is None
        else:
            assert surface is not None
            power = surface.mean(shown.abs().square())
            dark = (1 - areal) * (dead**2 if model == "dead_space" else 0)
            torch.testing.assert_close(power, torch.full_like(power, areal + dark), rtol=0, atol=1e-12)
            # Where nothing resolves them the gaps only dim.
            dimmed = show_phase(element, command, bench.nominal(1))
            torch.testing.assert_close(dimmed.squeeze(), math.sqrt(areal) * t, rtol=0, atol=1e-12)
            shown = surface.mean(shown)
        torch.testing.assert_close(shown.squeeze(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "super_gaussian"])
def test_fringing_blurs_the_phase_that_is_held(kernel):
    """h * φ over the macro-pixels, of φ in [0, 2π): the flyback is passed through. Pixel means against fine samples."""
    width = 25e-6
    bench = bench_of((4, 5), "crosstalk", crosstalk_fwhm=width, crosstalk_kernel=kernel)
    command = command_of() - 3.0
    samples = 120
    blurred = effects.crosstalk(torch.remainder(command, TURN), kernel, width / 64e-6, samples)
    fine = torch.exp(1j * blurred).reshape(4, samples, 5, samples).mean((1, 3))
    element = bench.element(1, ADDRESS)
    surface = surface_of(element, 8, nodes=12)
    assert surface is not None
    shown = show_phase(element, command, bench.nominal(1), surface=surface)
    assert (surface.mean(shown)[0, 0] - fine).abs().max() < 2e-3
    assert (fine - torch.exp(1j * command)).abs().max() > 0.1
    torch.testing.assert_close(shown.abs(), torch.ones_like(shown.abs()))


def test_errors_of_the_glass_do_not_fringe():
    """Static errors are added behind the blur, one value a macro-pixel."""
    figures = {"crosstalk_fwhm": 25e-6, "phase_error": 0.3}
    bench = bench_of((4, 5), "crosstalk", "phase_error", **figures)
    without = bench_of((4, 5), "crosstalk", **figures)
    command = command_of()
    ratio = shown_by(bench, command, realisations=(0,), resolved=True) / shown_by(without, command, resolved=True)
    error = sim.Realisations(5, (0,)).draw(bench, 1)[f"{ADDRESS}.phase_error"]
    count = ratio.shape[-1] // 5
    spread = error.repeat_interleave(count, -1).repeat_interleave(count, -2)
    torch.testing.assert_close(torch.angle(ratio), spread, rtol=0, atol=1e-12)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolved", [False, True])
@pytest.mark.parametrize("name", [*FIGURES, "all"])
def test_each_figure_acts_and_stays_passive(name, resolved):
    """Exactly one link by that name; something changes; |t| ≤ 1 everywhere, expected, as built and as exposed."""
    if name == "all":
        on, figures = tuple(FIGURES), {key: value for entry in FIGURES.values() for key, value in entry.items()}
    else:
        on, figures = (name,), FIGURES[name]
    bench = bench_of((4, 5), *on, **figures)
    element = bench.element(1, ADDRESS)
    assert {link.name for link in element.links} == set(on)
    command = command_of() - 3.0
    cosines = moments(1.0, -1.0) if element.has("flicker") else None
    plain = torch.exp(1j * command)
    found = []
    for shots in (None, sim.Shots(2, (0, 1), (0, 1, 2))):
        shown = shown_by(bench, command, realisations=(0, 1), shots=shots, cosines=cosines, resolved=resolved)
        assert shown.abs().max() <= 1 + 1e-12
        found.append(shown)
    if resolved and surface_of(element, 8) is not None:
        count = found[0].shape[-1] // 5
        plain = plain.repeat_interleave(count, -1).repeat_interleave(count, -2)
    if resolved or name != "crosstalk":  # without nodes inside the pixels there is nothing to blur
        assert (found[0] - plain).abs().max() > 1e-3
    dynamic = name in ("phase_noise", "all")
    assert (found[0].shape != found[1].shape) == dynamic


@pytest.mark.parametrize("name", [*FIGURES, "all"])
def test_single_precision_stays_single(name):
    on = tuple(FIGURES) if name == "all" else (name,)
    bench = bench_of((4, 5), *on, **{key: value for entry in on for key, value in FIGURES[entry].items()})
    element = bench.element(1, ADDRESS)
    double = sim.Realisations(5, (0,)).draw(bench, 1)
    single = {key: value.float() for key, value in double.items()}
    command, shots = command_of(), sim.Shots(2, (0,), (0, 1))
    surface = surface_of(element, 8)
    cosines = moments(0.5, -0.5) if element.has("flicker") else None
    for exposed in (None, shots):
        exact = show_phase(element, command, double, surface=surface, shots=exposed, cosines=cosines)
        rough = show_phase(element, command.float(), single, surface=surface, shots=exposed, cosines=cosines)
        assert rough.dtype == torch.complex64
        torch.testing.assert_close(rough.to(torch.complex128), exact, rtol=0, atol=2e-5)


def test_derivatives_of_the_smooth_chain():
    """In the command and in every continuous figure of the state; quantisation is straight-through and left out."""
    on = tuple(name for name in FIGURES if name != "quantisation")
    bench = bench_of((2, 2), *on, **{key: value for entry in on for key, value in FIGURES[entry].items()})
    element = bench.element(1, ADDRESS)
    state = {
        k: v
        for k, v in sim.Realisations(5, (0,)).draw(bench, 1).items()
        if k in {f"{address}.{parameter.name}" for address, _, parameter in element.figures()}
    }
    names = [name for name in state if not name.endswith((".fill", ".crosstalk"))]
    command = (0.5 + 5 * torch.rand(2, 2, dtype=torch.float64)).requires_grad_()
    surface = surface_of(element, 1, nodes=1)
    shots = sim.Shots(2, (0,), (0,))

    def chain(phase, *figures):
        values = {**state, **dict(zip(names, figures, strict=True))}
        return show_phase(element, phase, values, shots=shots, cosines=moments(0.5), surface=surface)

    inputs = [state[name].clone().requires_grad_() for name in names]
    assert gradcheck(chain, (command, *inputs))
