"""Each effect against its formula; every smooth one against numerical derivatives, in double precision."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import simulators as sim
from simulators import effects
from simulators.devices.show import show_amplitude, show_phase

TURN = 2 * math.pi


def grid(count, stop=TURN, dtype=torch.float64):
    """Midpoints of ``count`` equal parts of [0, stop]."""
    return (torch.arange(count, dtype=dtype) + 0.5) * (stop / count)


def on_circle(difference):
    """|difference| measured the shorter way round."""
    wrapped = torch.remainder(difference, TURN)
    return torch.minimum(wrapped, TURN - wrapped)


# --- phase levels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_strehl_ratio_of_phase_levels(bits):
    """|⟨e^{i(Q(φ)-φ)}⟩|² = sinc²(2^-b) over uniform φ (Goodman & Silvestri 1970).

    Midpoint rule of n = 500 points a level, which is off by x²/(3n²) = 1.3e-5/4^b relative, x = π/2^b.
    """
    phase = grid(500 * 2**bits)
    error = effects.quantise_phase(phase, bits, TURN) - phase
    strehl = (error.cos().mean() ** 2 + error.sin().mean() ** 2).item()
    x = math.pi / 2**bits
    assert strehl == pytest.approx((math.sin(x) / x) ** 2, rel=2e-5 / 4**bits)


@pytest.mark.parametrize("bits", [2, 4])
def test_strehl_ratio_of_random_phases(bits):
    """The same by Monte Carlo. The estimate of sinc has standard error sqrt((1 + sinc(2x))/2 - sinc²(x))/√n."""
    n = 200_000
    phase = torch.rand(n, dtype=torch.float64) * TURN
    error = effects.quantise_phase(phase, bits, TURN) - phase
    x = math.pi / 2**bits
    mean, second = math.sin(x) / x, math.sin(2 * x) / (2 * x)
    sigma = math.sqrt(((1 + second) / 2 - mean**2) / n)
    assert abs(error.cos().mean().item() - mean) < 5 * sigma


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("stroke", [0.5, 3.0, 0.8 * TURN, TURN, 1.1 * TURN, 1.37 * TURN, 2 * TURN, 3.3 * TURN])
def test_the_nearest_level_on_the_circle(dtype, bits, stroke):
    """Against all levels g·S/2^b below 2π, one by one; a short stroke's nearest end, a long one's levels below 2π."""
    phase = torch.cat([grid(1999, dtype=dtype), torch.tensor([0.0, -0.3, 7.0, 50.0], dtype=dtype)])
    levels = torch.arange(2**bits, dtype=torch.float64) * (stroke / 2**bits)
    levels = levels[levels < TURN - 1e-9]
    shown = effects.quantise_phase(phase, bits, stroke)
    assert shown.dtype == dtype
    assert shown.shape == phase.shape
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    shown, wanted = shown.double(), phase.double()
    assert (shown >= -tolerance).all()
    assert (shown < TURN + tolerance).all()
    nearest = on_circle(wanted[:, None] - levels).min(1).values
    assert (on_circle(wanted - shown) - nearest).abs().max() < tolerance
    # What is shown is a level.
    assert on_circle(shown[:, None] - levels).min(1).values.max() < tolerance


def test_all_levels_of_a_full_stroke_are_used():
    shown = effects.quantise_phase(grid(10_000), 4, TURN)
    assert len(torch.unique((shown * 16 / TURN).round())) == 16


def test_a_short_stroke_takes_the_nearest_end():
    """S = π, 2 bits: 0, π/4, π/2, 3π/4. From 3π/4 on up to the half-way 11π/8 the top, above it zero."""
    phase = torch.tensor([0.76, 1.0, 1.374, 1.376, 1.99], dtype=torch.float64) * math.pi
    shown = effects.quantise_phase(phase, 2, math.pi)
    expected = torch.tensor([0.75, 0.75, 0.75, 0.0, 0.0], dtype=torch.float64) * math.pi
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-12)


def test_the_stroke_may_differ_a_realisation():
    phase = grid(50).reshape(5, 10)
    stroke = torch.tensor([TURN, 0.7 * TURN], dtype=torch.float64)[:, None, None, None]
    shown = effects.quantise_phase(phase, 3, stroke)
    assert shown.shape == (2, 1, 5, 10)
    for r in range(2):
        assert torch.equal(shown[r, 0], effects.quantise_phase(phase, 3, stroke[r].item()))


@pytest.mark.parametrize("stroke", [0.6 * TURN, TURN, 1.3 * TURN])
def test_the_gradient_of_a_phase_level_is_exactly_one(stroke):
    """Straight-through, beyond the ends of a short stroke and across 2π too."""
    phase = torch.linspace(-7, 14, 400, dtype=torch.float64).requires_grad_()
    weights = torch.randn(400, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((effects.quantise_phase(phase, 3, stroke) * weights).sum(), phase)
    assert torch.equal(gradient, weights)


# --- other rounding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.1, 1.0, 2.5])
def test_quantise_takes_the_nearest_multiple(step):
    value = torch.linspace(-9.9, 9.9, 1001, dtype=torch.float64).requires_grad_()
    rounded = effects.quantise(value, step)
    multiples = rounded.detach() / step
    torch.testing.assert_close(multiples, multiples.round(), rtol=0, atol=1e-12)
    assert (rounded - value).abs().max() <= step / 2 + 1e-12
    weights = torch.randn(1001, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((rounded * weights).sum(), value)
    assert torch.equal(gradient, weights)


def test_the_error_of_rounding_is_uniform():
    """Variance step²/12, by the midpoint rule over whole steps."""
    value = grid(7 * 1000, 7 * 0.3)
    error = effects.quantise(value, 0.3) - value
    assert (error**2).mean().item() == pytest.approx(0.3**2 / 12, rel=1e-5)


def test_straight_through():
    exact = torch.randn(5, dtype=torch.float64, requires_grad=True)
    rounded = torch.randn(5, dtype=torch.float64, requires_grad=True)
    out = effects.straight_through(exact, rounded)
    torch.testing.assert_close(out, rounded, rtol=0, atol=1e-15)
    to_exact, to_rounded = torch.autograd.grad(out.sum(), (exact, rounded), allow_unused=True)
    assert torch.equal(to_exact, torch.ones_like(exact))
    assert to_rounded is None


# --- look-up table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stroke", [TURN, 5.0])
def test_lut_residual_has_its_rms_at_every_phase(stroke):
    """E[δ²] = (σ²/3) Σ (cos² + sin²) = σ² over panels, whatever φ; 20000 draws, σ² ± σ²√(2/n)."""
    sigma, n = 0.03, 20_000
    phase = torch.tensor([[0.0, 0.4], [stroke / 3, 0.99 * stroke]], dtype=torch.float64)
    coefficients = sigma * torch.randn(n, 1, 6, dtype=torch.float64)
    residual = effects.lut_residual(phase, coefficients, stroke) - phase
    assert residual.shape == (n, 1, 2, 2)
    relative = (residual**2).mean(0) / sigma**2 - 1
    assert relative.abs().max() < 5 * math.sqrt(2 / n)
    assert (residual.mean(0) / sigma).abs().max() < 5 / math.sqrt(n)


def test_lut_residual_over_the_stroke():
    """Of one panel: mean square Σ(c² + s²)/6 over a uniformly used stroke; mean 0; of period S."""
    stroke = 5.0
    coefficients = torch.randn(1, 1, 6, dtype=torch.float64)
    phase = grid(600, stroke).reshape(20, 30)
    residual = effects.lut_residual(phase, coefficients, stroke) - phase
    assert (residual**2).mean().item() == pytest.approx((coefficients**2).sum().item() / 6, rel=1e-12)
    assert abs(residual.mean().item()) < 1e-14
    again = effects.lut_residual(phase + stroke, coefficients, stroke) - (phase + stroke)
    torch.testing.assert_close(again, residual, rtol=0, atol=1e-13)


def test_lut_residual_term_by_term():
    """(c_k cos(2πkφ/S) + s_k sin(2πkφ/S))/√3; a perfect table changes nothing."""
    phase, stroke = grid(7).reshape(1, 7), 4.0
    for k in (1, 2, 3):
        for part, wave in ((0, torch.cos), (3, torch.sin)):
            coefficients = torch.zeros(1, 1, 6, dtype=torch.float64)
            coefficients[..., part + k - 1] = 0.2
            expected = phase + 0.2 / math.sqrt(3) * wave(TURN * k * phase / stroke)
            torch.testing.assert_close(effects.lut_residual(phase, coefficients, stroke)[0, 0], expected)
    none = torch.zeros(1, 1, 6, dtype=torch.float64)
    assert torch.equal(effects.lut_residual(phase, none, stroke)[0, 0], phase)


# --- ripple ----------------------------------------------------------------------------------------------------------


def test_flicker_formula():
    """φ₀(1 + m cos θ), common to the panel; phase 0 does not ripple."""
    phase = torch.tensor([0.0, 1.0, 3.0])
    torch.testing.assert_close(effects.flicker(phase, 0.1, -0.5), torch.tensor([0.0, 0.95, 2.85]))
    cosines = torch.tensor([1.0, 0.0, -1.0])[:, None]
    torch.testing.assert_close(effects.flicker(phase, 0.1, cosines)[1], phase)
    assert effects.flicker(phase, 0.1, cosines).shape == (3, 3)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_nodes_of_one_panel_are_gauss_chebyshev(count):
    """⟨cos^k θ⟩ is exact up to k = 2n-1; at k = 2n it is off by 2^(1-2n), as T_2n = -1 at every node."""
    nodes = effects.flicker_nodes(1, count)
    assert nodes.shape == (count, 1)
    assert nodes.dtype == torch.float64
    time = torch.cos(grid(1000))
    for k in range(2 * count):
        assert (nodes**k).mean().item() == pytest.approx((time**k).mean().item(), abs=1e-14)
    k = 2 * count
    assert ((time**k).mean() - (nodes**k).mean()).item() == pytest.approx(2.0 ** (1 - k), rel=1e-9)


@pytest.mark.parametrize("panels", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [None, 12])
def test_the_cosines_of_several_panels_are_orthogonal(panels, count):
    """⟨c_g⟩ = 0, ⟨c_g c_h⟩ = δ_gh/2: the averages of unrelated frequencies."""
    nodes = effects.flicker_nodes(panels, count)
    assert nodes.shape == (count or panels + 1, panels)
    torch.testing.assert_close(nodes.mean(0), torch.zeros(panels, dtype=torch.float64), rtol=0, atol=1e-14)
    gram = nodes.T @ nodes / len(nodes)
    torch.testing.assert_close(gram, torch.eye(panels, dtype=torch.float64) / 2, rtol=0, atol=1e-14)


def test_the_number_of_nodes():
    assert effects.flicker_nodes(0).shape == (1, 0)
    assert effects.flicker_nodes(0, 5).shape == (1, 0)
    assert effects.flicker_nodes(3, 2).shape == (4, 3)  # never too few


def intensity(panels, depth, cosines):
    """|Σ a e^{iΣ_g φ_g(1 + m c_g)}|² for fixed random light through ``panels`` rippling panels; cosines ``[T, g]``."""
    generator = torch.Generator().manual_seed(5)
    phases = TURN * torch.rand(panels, 40, generator=generator, dtype=torch.float64)
    total = sum(effects.flicker(phases[g], depth, cosines[:, g, None]) for g in range(panels))
    field = torch.complex(total.cos(), total.sin())
    return (field.mean(-1).abs() ** 2).mean(0).item()


@pytest.mark.parametrize("count", [2, 3])
def test_nodes_give_the_time_average_of_one_panel(count):
    """The error is of order (mφ)^2n: halving m divides it by 2^2n."""
    time = torch.cos(grid(400))[:, None]
    nodes = effects.flicker_nodes(1, count)
    errors = [abs(intensity(1, m, nodes) - intensity(1, m, time)) for m in (0.08, 0.04)]
    assert errors[0] > 1e-12  # there is an error to speak of
    assert errors[0] / errors[1] == pytest.approx(4.0**count, rel=0.2)
    # At the ripple of a real panel it is negligible beside the ripple's own effect.
    effect = abs(intensity(1, 0.014, time) - intensity(1, 0.0, time))
    assert abs(intensity(1, 0.014, nodes) - intensity(1, 0.014, time)) < 0.01 * effect


def test_nodes_give_the_time_average_of_two_panels():
    """Unrelated frequencies: the average over both angles. What is left is of third order in m."""
    angle = torch.cos(grid(60))
    time = torch.cartesian_prod(angle, angle)
    nodes = effects.flicker_nodes(2)
    depths = (0.02, 0.01)
    errors = [abs(intensity(2, m, nodes) - intensity(2, m, time)) for m in depths]
    assert errors[0] > 1e-10
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.15)
    second_order = abs(intensity(2, depths[1], time) - intensity(2, 0.0, time))
    assert errors[1] < 0.1 * second_order


def test_ripple_averages_intensities_not_fields():
    """A lens adds pixels of different φ₀: ⟨|E|²⟩ > |⟨E⟩|² by the variance of the field, m²·var/2."""
    nodes = effects.flicker_nodes(1, 4)
    phase = torch.tensor([0.3, 2.9, 5.0], dtype=torch.float64)
    shown = effects.flicker(phase, 0.05, nodes)
    field = torch.complex(shown.cos(), shown.sin()).sum(-1)
    slope = (phase * torch.complex(-phase.sin(), phase.cos())).sum().abs() ** 2
    excess = (field.abs() ** 2).mean() - field.mean().abs() ** 2
    assert excess.item() == pytest.approx((0.05**2 * slope / 2).item(), rel=0.02)


# --- leak, extinction, loss ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reflection", [1.0, -1.0, 0.5j, cmath.exp(0.7j)])
def test_zero_order_leak_formula_and_passivity(reflection):
    """t' = (1-a) t + a r never exceeds 1 for |t|, |r| ≤ 1."""
    radius, phase = torch.rand(2, 500, dtype=torch.float64)
    t = torch.polar(radius.sqrt(), TURN * phase)
    for leak in (0.0, 0.02, 0.5, 1.0, torch.tensor(0.1, dtype=torch.float64)):
        shown = effects.zero_order_leak(t, leak, reflection)
        torch.testing.assert_close(shown, (1 - leak) * t + leak * reflection)
        assert shown.abs().max() <= 1 + 1e-12
    # It is reached where both add in phase, ...
    in_phase = torch.tensor([reflection / abs(reflection)], dtype=torch.complex128)
    bound = 1 - 0.02 + 0.02 * abs(reflection)
    assert effects.zero_order_leak(in_phase, 0.02, reflection).abs().item() == pytest.approx(bound, rel=1e-12)
    # ... where the form √(1-e) t + √e would amplify (physics 14: 1.09 at e = 1 %).
    assert math.sqrt(1 - 0.01) + math.sqrt(0.01) > 1.09


@pytest.mark.parametrize("floor", [0.0, 0.1, 500**-0.5])
def test_extinction_formula(floor):
    """a' = a + (1-a) f: 0 → f, 1 → 1, -1 → -1 + 2f, and passive in between."""
    amplitude = torch.linspace(-1, 1, 101, dtype=torch.float64)
    shown = effects.extinction(amplitude, floor)
    torch.testing.assert_close(shown, amplitude + (1 - amplitude) * floor)
    assert shown[0].item() == pytest.approx(-1 + 2 * floor)
    assert shown[50].item() == pytest.approx(floor)
    assert shown[100].item() == 1
    assert shown.abs().max() <= 1


def test_extinction_gives_the_ratio_of_powers():
    floor = sim.AmplitudeModulator(name="a", resolution=(1, 1), pixel_pitch=1e-6, extinction_ratio=250).links()[0]
    f = floor.parameters[0].nominal
    bright, dark = effects.extinction(torch.tensor([1.0, 0.0], dtype=torch.float64), f) ** 2
    assert (bright / dark).item() == pytest.approx(250, rel=1e-12)


def test_attenuate_passes_its_share_of_the_power():
    field = torch.randn(3, 4, dtype=torch.complex128)
    share = torch.tensor([[1.0], [0.62], [0.0]], dtype=torch.float64)
    out = effects.attenuate(field, share)
    torch.testing.assert_close(out.abs() ** 2, field.abs() ** 2 * share)
    assert torch.equal(out[0], field[0])
    # Real and positive: no phase of its own.
    torch.testing.assert_close(torch.angle(out[1]), torch.angle(field[1]))


# --- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["normal", "poisson"])
@pytest.mark.parametrize("mean", [3.0, 400.0])
def test_the_variance_of_a_count_is_its_mean(form, mean):
    """Both forms. μ ± √(μ/n); variance ± √((μ + 2μ²)/n) at most (Poisson's fourth moment)."""
    n = 40_000
    electrons = torch.full((n,), mean, dtype=torch.float64)
    if form == "normal":
        counted = effects.shot_noise(electrons, normal=torch.randn(n, dtype=torch.float64))
    else:
        counted = effects.shot_noise(electrons, poisson=torch.poisson)
    assert abs(counted.mean().item() - mean) < 5 * math.sqrt(mean / n)
    assert abs(((counted - mean) ** 2).mean().item() - mean) < 5 * math.sqrt((mean + 2 * mean**2) / n)


def test_the_gradient_of_shot_noise_is_that_of_the_square_root():
    """d/dμ (μ + √μ ε) = 1 + ε/(2√μ), finite in the dark."""
    electrons = torch.tensor([0.0, 0.5, 9.0, 1e4], dtype=torch.float64, requires_grad=True)
    normal = torch.tensor([1.0, -2.0, 0.7, 3.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(effects.shot_noise(electrons, normal=normal).sum(), electrons)
    expected = 1 + normal[1:] / (2 * electrons.detach()[1:].sqrt())
    torch.testing.assert_close(gradient[1:], expected, rtol=1e-10, atol=0)
    assert torch.isfinite(gradient).all()
    with pytest.raises(TypeError, match="needs normal= or poisson="):
        effects.shot_noise(electrons)


def test_no_light_counts_nothing():
    dark = torch.zeros(4, dtype=torch.float64)
    assert effects.shot_noise(dark, normal=torch.full((4,), 3.0, dtype=torch.float64)).abs().max() < 1e-5
    assert torch.equal(effects.shot_noise(dark, poisson=torch.poisson), dark)


def test_read_noise_is_added():
    electrons, normal = torch.rand(2, 3, 4)
    sigma = torch.tensor([[2.0], [0.0], [5.0]])
    torch.testing.assert_close(effects.read_noise(electrons, sigma, normal), electrons + sigma * normal)


def test_a_full_well_clips_hard():
    """min(n, full well), gradient 1 below and 0 above."""
    electrons = torch.tensor([0.0, 99.0, 101.0, 1e6], dtype=torch.float64, requires_grad=True)
    out = effects.saturate(electrons, torch.tensor(100.0, dtype=torch.float64))
    assert torch.equal(out.detach(), torch.tensor([0.0, 99.0, 100.0, 100.0], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(out.sum(), electrons)
    assert torch.equal(gradient, torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64))


# --- derivatives -----------------------------------------------------------------------------------------------------


def real(*shape, low=0.1, high=0.9):
    values = low + (high - low) * torch.rand(*shape, dtype=torch.float64)
    return values.requires_grad_()


def light(*shape):
    return torch.randn(*shape, dtype=torch.complex128).requires_grad_()


SMOOTH = {
    "lut_residual": (
        effects.lut_residual,
        lambda: (real(2, 3, high=6), real(2, 1, 6, low=-0.1, high=0.1), real(2, 1, 1, 1, low=5, high=6)),
    ),
    "flicker": (effects.flicker, lambda: (real(2, 3, high=6), real(2, 1, 1, 1), real(3, 1, 1, 1, 1))),
    "zero_order_leak": (effects.zero_order_leak, lambda: (light(2, 1, 2, 3), real(2, 1, 1, 1))),
    "zero_order_leak_with_phase": (
        lambda t, a: effects.zero_order_leak(t, a, 0.3 + 0.4j),
        lambda: (light(2, 3), real(1)),
    ),
    "extinction": (effects.extinction, lambda: (real(2, 3, low=-0.9), real(2, 1, 1))),
    "attenuate": (effects.attenuate, lambda: (light(2, 3), real(2, 1))),
    "shot_noise": (
        lambda electrons, normal: effects.shot_noise(electrons, normal=normal),
        lambda: (real(2, 3, low=1, high=50), real(2, 3, low=-2, high=2)),
    ),
    "read_noise": (effects.read_noise, lambda: (real(2, 3), real(2, 1), real(2, 3, low=-2, high=2))),
    # Smooth on either side of the well's edge; both sides are visited.
    "saturate": (
        effects.saturate,
        lambda: (torch.tensor([1.0, 2.0, 8.0, 9.0], dtype=torch.float64, requires_grad=True), real(1, low=4, high=5)),
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name):
    effect, inputs = SMOOTH[name]
    assert gradcheck(effect, inputs())
    if name != "saturate":
        assert gradgradcheck(effect, inputs())


@pytest.mark.parametrize("double", [False, True])
def test_effects_keep_the_precision_of_their_input(double):
    real_type, complex_type = (torch.float64, torch.complex128) if double else (torch.float32, torch.complex64)
    phase = torch.rand(2, 3, dtype=real_type)
    field = torch.randn(2, 3, dtype=complex_type)
    figure = torch.tensor([0.5], dtype=real_type)
    assert effects.quantise_phase(phase, 8, TURN).dtype == real_type
    assert effects.quantise_phase(phase, 8, torch.tensor(6.0, dtype=torch.float64)).dtype == real_type
    assert effects.quantise(phase, 0.1).dtype == real_type
    assert effects.lut_residual(phase, torch.zeros(1, 1, 6, dtype=real_type), TURN).dtype == real_type
    assert effects.flicker(phase, figure, figure).dtype == real_type
    assert effects.zero_order_leak(field, figure).dtype == complex_type
    assert effects.zero_order_leak(field, 0.1, 1j).dtype == complex_type
    assert effects.extinction(phase, figure).dtype == real_type
    assert effects.attenuate(field, figure).dtype == complex_type
    assert effects.attenuate(phase, figure).dtype == real_type
    assert effects.shot_noise(phase, normal=phase).dtype == real_type
    assert effects.read_noise(phase, figure, phase).dtype == real_type
    assert effects.saturate(phase, figure).dtype == real_type


# --- the chain of a panel --------------------------------------------------------------------------------------------


def test_a_phase_panel_applies_its_effects_in_order():
    """t = √R [(1-a) e^{i(φ(1 + m cos θ) + ε)} + a], φ = Q(φ_c) + δ_LUT, figure by figure out of the state."""
    bench = sim.reference_bench((3, 4))
    element = bench.element(1, "stage[0].mask[0]")
    state = sim.Realisations(2, (0, 1)).draw(bench, 1)
    command = torch.linspace(-4, 9, 12, dtype=torch.float64).reshape(3, 4)
    cosines = torch.tensor([0.6, -1.0], dtype=torch.float64)[:, None, None, None, None]
    shown = show_phase(element, command, state, cosines=cosines)
    assert shown.shape == (2, 2, 1, 3, 4)

    phase = effects.quantise_phase(command, 8, TURN)
    phase = effects.lut_residual(phase, state["panel[slm].lut_residual"], TURN)
    for q, cosine in enumerate((0.6, -1.0)):
        rippling = phase * (1 + 0.014 * cosine) + state["stage[0].mask[0].phase_error"]
        expected = math.sqrt(0.62) * (0.98 * torch.exp(1j * rippling) + 0.02)
        torch.testing.assert_close(shown[q], expected, rtol=1e-12, atol=1e-12)
    mean = show_phase(element, command, state)  # without moments: the ripple at its mean, and no such axis
    middle = math.sqrt(0.62) * (0.98 * torch.exp(1j * (phase + state["stage[0].mask[0].phase_error"])) + 0.02)
    torch.testing.assert_close(mean, middle, rtol=1e-12, atol=1e-12)


def test_a_phase_panel_without_effects_shows_its_command():
    bench = sim.reference_bench((3, 4)).only()
    command = torch.linspace(-4, 9, 12, dtype=torch.float64).reshape(3, 4)
    shown = show_phase(bench.element(1, "stage[0].mask[0]"), command, bench.nominal(1))
    torch.testing.assert_close(shown, torch.exp(1j * command), rtol=0, atol=1e-14)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("bipolar", [False, True])
def test_an_amplitude_panel_has_2_to_the_b_levels_and_does_not_amplify(bits, bipolar):
    """Evenly from the lowest amplitude to 1, both included."""
    bench = sim.reference_bench((1, 1))
    panel = bench.input.device.replace(bits=bits, bipolar=bipolar)
    bench = bench.replace(input=bench.input.replace(device=panel)).only("input.quantisation")
    low = -1.0 if bipolar else 0.0
    wanted = torch.linspace(low, 1, 5001, dtype=torch.float64).requires_grad_()
    shown = show_amplitude(bench.element(1, "input"), wanted, bench.nominal(1))
    levels = torch.unique((shown.detach() * 1e9).round() / 1e9)
    torch.testing.assert_close(levels, torch.linspace(low, 1, 2**bits, dtype=torch.float64), rtol=0, atol=1e-8)
    assert shown.abs().max() <= 1 + 1e-12
    assert (shown - wanted).abs().max() <= (1 - low) / (2**bits - 1) / 2 + 1e-12
    (gradient,) = torch.autograd.grad(shown.sum(), wanted)
    assert torch.equal(gradient, torch.ones_like(wanted))


def test_an_amplitude_panel_applies_its_effects_in_order():
    """√R (a + (1-a) f) with a quantised."""
    bench = sim.reference_bench((3, 4))
    wanted = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    shown = show_amplitude(bench.element(1, "input"), wanted, bench.nominal(1))
    level = ((wanted + 1) * 127.5).round() / 127.5 - 1
    expected = math.sqrt(0.55) * (level + (1 - level) * 500**-0.5)
    torch.testing.assert_close(shown[0, 0], expected, rtol=1e-12, atol=1e-12)
