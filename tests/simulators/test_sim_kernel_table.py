"""The integral of a measured fringing kernel over pixels: against quadrature, scipy and plain convolution."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import torch
from kernel_tables import LOPSIDED, STEPS, convolved, crossings, drawn, exponential, gaussian, places, sampled
from torch.autograd import gradcheck

from simulators import effects
from simulators.effects.kernel_table import half_maxima, table_integral


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width", [0.3, 1.1])
def test_a_random_table_against_quadrature(seed, width):
    """∫ over the pixel of numpy's interpolation of the table, stretched to the width; pieces between its points."""
    points = drawn(seed)
    low, high = half_maxima(points)
    assert (low, high) == pytest.approx(crossings(points), abs=1e-5)
    x, h = np.array(points).T
    x = x * width / (high - low)
    nodes, weights = np.polynomial.legendre.leggauss(8)

    def integral(start, stop):
        cuts = [start, *x[(x > start) & (x < stop)], stop]
        total = 0.0
        for a, b in itertools.pairwise(cuts):
            total += (b - a) / 2 * np.interp((a + b) / 2 + (b - a) / 2 * nodes, x, h, left=0, right=0) @ weights
        return total

    whole = scipy.integrate.quad(lambda t: np.interp(t, x, h), x[0], x[-1], points=x[1:-1], limit=200)[0]
    position = places(-3.2, -1.0, -0.5, 0.0, 0.13, 0.5, 1.7, 4.0)
    found = effects.smoothed_boxes(position, 9, points, width)
    for pixel in (3, 4, 5):
        centre = pixel - 4
        exact = [integral(p - centre - 0.5, p - centre + 0.5) / whole for p in position.tolist()]
        assert found[:, pixel].tolist() == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("seed", [1, 4])
def test_a_random_table_against_scipy(seed):
    """Adaptive quadrature of the pattern itself: ∫ h(u) φ(x - u) du, to its own 1e-8."""
    points, width, pixels = drawn(seed), 0.7, 5
    low, high = half_maxima(points)
    x, h = np.array(points).T
    x = x * width / (high - low)
    phase = np.random.default_rng(seed).uniform(0, 6, pixels)
    whole = np.trapezoid(h, x)
    position = places(-2.3, -0.4, 0.1, 0.9, 2.4)

    def shown(place):
        def integrand(u):
            pixel = min(max(math.floor(place - u + pixels / 2), 0), pixels - 1)
            return np.interp(u, x, h) * phase[pixel]

        edges = place - (np.arange(1, pixels) - pixels / 2)
        cuts = sorted({*x, *edges[(edges > x[0]) & (edges < x[-1])]})
        return sum(scipy.integrate.quad(integrand, a, b, epsabs=1e-11)[0] for a, b in itertools.pairwise(cuts)) / whole

    found = effects.smoothed_boxes(position, pixels, points, width) @ torch.from_numpy(phase)
    assert found.tolist() == pytest.approx([shown(place) for place in position.tolist()], abs=1e-8)


@pytest.mark.parametrize("step", [0.07, 0.019])
@pytest.mark.parametrize(
    ("name", "shape", "reach", "steepest"),
    [("gaussian", gaussian, 2.0, 1.335), ("exponential", exponential, 16.0, STEPS**2 / 2)],
)
def test_a_finely_sampled_kernel_is_the_named_one(name, shape, reach, steepest, step):
    """To Δ²/12 of the steepest slope an edge, the trapezoid's error; and as much again for the width it is read at.

    A box has two edges. Beyond the table's ends there is less than 1e-6 of either kernel.
    """
    position = torch.linspace(-2.5, 2.5, 301, dtype=torch.float64)
    points = sampled(shape, reach, step)
    bound = 2 * step**2 / 12 * steepest
    exact = effects.smoothed_boxes(position, 5, name, 0.8)
    # At the width its own half maxima have by linear interpolation, the shape is the kernel's at exactly its places.
    low, high = half_maxima(points)
    found = effects.smoothed_boxes(position, 5, points, 0.8 * (high - low))
    assert (found - exact).abs().max() < bound + 2e-6
    stretched = effects.smoothed_boxes(position, 5, points, 0.8)
    assert (stretched - exact).abs().max() < 2 * bound + 2e-6
    if step == 0.019:
        assert (stretched - exact).abs().max() < 1e-4


@pytest.mark.parametrize("pixels", [1, 2, 5, 8])
@pytest.mark.parametrize("seed", [0, 2])
def test_rows_sum_to_one_and_no_entry_is_negative(seed, pixels):
    """Beyond the edges and beyond the table as well."""
    x = torch.linspace(-pixels - 3, pixels + 3, 501, dtype=torch.float64)
    boxes = effects.smoothed_boxes(x, pixels, drawn(seed), 0.8)
    torch.testing.assert_close(boxes.sum(-1), torch.ones_like(x), rtol=0, atol=1e-14)
    assert boxes.min() > -1e-15
    far = effects.smoothed_boxes(places(-300.0, 300.0), pixels, drawn(seed), 0.8)
    assert far[0, 0] == pytest.approx(1, abs=1e-14)
    assert far[1, -1] == pytest.approx(1, abs=1e-14)


def test_the_slope_of_the_integral_is_the_kernel():
    """Of unit integral, and 1 wide between its half maxima."""
    x = torch.linspace(-0.39, 1.59, 200, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(table_integral(x, LOPSIDED).sum(), x)
    width = 1.25
    expected = np.interp(x.detach().numpy() * width, *np.array(LOPSIDED).T) / 1.25 * width  # its area is 2.5/2
    assert np.abs(slope.numpy() - expected).max() < 1e-12
    ends = table_integral(places(-0.4, 1.6), LOPSIDED)
    assert ends.tolist() == pytest.approx([0, 1], abs=1e-15)
    half = torch.tensor([-0.25 / width, 1 / width], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(table_integral(half, LOPSIDED).sum(), half)
    assert slope.tolist() == pytest.approx([0.5, 0.5], abs=1e-9)


def test_what_a_kernel_holds_above_zero_is_felt_above():
    """A kernel that lives at x > 0 alone: one pixel's phase is felt at greater x, and nowhere below its own edge."""
    points = ((0.0, 0.0), (0.1, 1.0), (1.0, 0.0))
    phase = torch.zeros(1, 5, dtype=torch.float64)
    phase[0, 2] = 1.0
    shown = effects.crosstalk(phase, points, 0.5, 40)[0]
    assert shown[: 2 * 40].abs().max() == 0
    assert shown[3 * 40 : 3 * 40 + 20].min() > 0.01
    down = effects.crosstalk(phase.mT.contiguous(), points, 0.5, 40)[:, 0]
    torch.testing.assert_close(down, shown, rtol=0, atol=1e-15)  # along y alike
    mirrored = tuple((-x, h) for x, h in reversed(points))
    torch.testing.assert_close(effects.crosstalk(phase, mirrored, 0.5, 40)[0], shown.flip(0), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("points", "tolerance"), [(LOPSIDED, 3e-4), (drawn(3), 2e-2)])
def test_a_pattern_against_a_plain_convolution(points, tolerance):
    """Its midpoint rule errs in second order, but in first where a table ends above zero."""
    phase = 2 * math.pi * torch.rand(3, 4, dtype=torch.float64)
    expected = convolved(phase.numpy(), points, 0.7, 200)
    found = effects.crosstalk(phase, points, 0.7, 200).numpy()
    assert np.abs(found - expected).max() < tolerance  # of 6 rad
    assert found.min() >= phase.min() - 1e-14
    assert found.max() <= phase.max() + 1e-14
    # The same kernel turned round is another pattern altogether: the convention is what is tested.
    turned = effects.crosstalk(phase, tuple((-x, h) for x, h in reversed(points)), 0.7, 200).numpy()
    assert np.abs(turned - expected).max() > 0.2


def test_derivatives_in_width_and_position():
    points = drawn(5)
    x = places(-1.13, 0.21, 1.77).requires_grad_()
    width = torch.tensor([[0.6], [0.9]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda p, w: effects.smoothed_boxes(p, 4, points, w), (x, width))
    phase = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    one = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda f, w: effects.crosstalk(f, points, w, 2), (phase, one))
    assert gradcheck(lambda w: effects.smoothed_boxes(x.detach(), 4, LOPSIDED, w), (width,))


def test_units_and_scale_of_a_table_do_not_matter_and_single_stays_single():
    phase = torch.rand(3, 4, dtype=torch.float64)
    shown = effects.crosstalk(phase, LOPSIDED, 0.6, 3)
    other = tuple((x * 1e-6, h * 7e3) for x, h in LOPSIDED)
    torch.testing.assert_close(effects.crosstalk(phase, other, 0.6, 3), shown, rtol=0, atol=1e-14)
    single = effects.crosstalk(phase.float(), LOPSIDED, 0.6, 3)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), shown, rtol=0, atol=2e-6)
    # A side so steep that single precision cannot tell its ends apart.
    steep = ((-1.0, 0.0), (-1.0 + 1e-12, 1.0), (0.0, 1.0), (1e-12, 0.0))
    x = torch.linspace(-3, 3, 601)
    rough, exact = (effects.smoothed_boxes(p, 4, steep, 0.5) for p in (x, x.double()))
    torch.testing.assert_close(rough.double(), exact, rtol=0, atol=1e-6)
