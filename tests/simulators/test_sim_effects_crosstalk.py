"""Fringing between pixels: kernels against quadrature, patterns against a plain convolution."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.signal
import torch
from torch.autograd import gradcheck, gradgradcheck

import simulators as sim
from simulators import effects

KERNELS = ("gaussian", "exponential", "super_gaussian")
#: The published fit, per pixel: spectrum exp(-|ν/w|^q), modulus of its transform, 3 pixels.
CUTOFF, EXPONENT, EXTENT = 0.92, 2.3, 3.0


def published(x):
    """|∫ exp(-|ν/w|^q) e^{2πiνx} dν|, x in pixels; not normalised."""
    k = np.linspace(0, 4 * CUTOFF, 1501)
    spectrum = np.exp(-((k / CUTOFF) ** EXPONENT))
    spectrum[0] /= 2
    return np.abs(np.cos(2 * np.pi * np.multiply.outer(x, k)) @ spectrum)


@functools.cache
def published_width():
    """Its full width at half maximum, pixels."""
    return 2 * scipy.optimize.brentq(lambda x: published(x) - published(0.0) / 2, 0.2, 0.4)


def kernel_values(name, width, x):
    """The kernel at x, from its definition, not normalised."""
    if name == "gaussian":
        return np.exp(-4 * math.log(2) * x**2 / width**2)
    if name == "exponential":
        return np.exp(-np.abs(x) * 2 * math.log(2) / width)
    scale = published_width() / width
    return published(x * scale) * (np.abs(x) * scale <= EXTENT / 2)


def places(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_published_kernel_is_06045_pixels_wide():
    assert published_width() == pytest.approx(0.6045, abs=5e-5)


@pytest.mark.parametrize("width", [0.3, 0.6, 1.3])
@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_a_box_against_quadrature(kernel, width):
    """∫ over the pixel of the normalised kernel, adaptive quadrature."""
    x = places(-1.2, -0.5, 0.0, 0.37, 0.5, 2.0)
    middle = effects.smoothed_boxes(x, 9, kernel, width)[:, 4]

    def h(t):
        return kernel_values(kernel, width, t)

    total = 2 * scipy.integrate.quad(h, 0, 30 * width, points=[width])[0]
    for position, value in zip(x.tolist(), middle.tolist(), strict=True):
        low, high = position - 0.5, position + 0.5
        inside = [0.0] if low < 0 < high else None
        exact = scipy.integrate.quad(h, low, high, points=inside, epsabs=1e-13)[0] / total
        assert value == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("width", [0.4, 1.3])
def test_the_super_gaussian_box_is_accurate_to_1e_6(width):
    """Against a trapezoid of 20,000 points, whose own error is 1e-7."""
    x = np.linspace(-2.6 * width, 2.6 * width, 20_001)
    values = np.concatenate([kernel_values("super_gaussian", width, part) for part in np.array_split(x, 40)])
    integral = scipy.integrate.cumulative_trapezoid(values, x, initial=0)
    integral /= integral[-1]
    position = places(-0.9, -0.31, 0.0, 0.2, 0.77)
    found = effects.smoothed_boxes(position, 11, "super_gaussian", width)[:, 5].numpy()
    exact = np.interp(position + 0.5, x, integral) - np.interp(position - 0.5, x, integral)
    assert np.abs(found - exact).max() < 1e-6


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("width", [0.2, 1.7])
def test_the_width_is_that_at_half_maximum(kernel, width):
    """A step between two pixels, differentiated, is the kernel itself."""
    x = torch.tensor([0.0, width / 2, -width / 2], dtype=torch.float64, requires_grad=True)
    step = effects.smoothed_boxes(x + 1e-9, 2, kernel, width)[:, 1]
    (slope,) = torch.autograd.grad(step.sum(), x)
    # The table of the super-Gaussian has slopes to 1e-5; at the exponential's cusp 1e-9 off is 1e-9 less.
    torch.testing.assert_close(slope[1:] / slope[0], places(0.5, 0.5), rtol=1e-4, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("pixels", [1, 2, 5, 8])
def test_rows_sum_to_one_and_no_entry_is_negative(kernel, pixels):
    """Beyond the edges as well: the outermost pixels go on."""
    x = torch.linspace(-pixels, pixels, 101, dtype=torch.float64)
    boxes = effects.smoothed_boxes(x, pixels, kernel, 0.8)
    assert boxes.shape == (101, pixels)
    torch.testing.assert_close(boxes.sum(-1), torch.ones(101, dtype=torch.float64), rtol=0, atol=1e-14)
    assert boxes.min() > -1e-12
    torch.testing.assert_close(boxes.flip(0, 1), boxes, rtol=0, atol=1e-12)  # symmetric about the axis
    if pixels > 1:
        far = effects.smoothed_boxes(places(-30.0, 30.0), pixels, kernel, 0.8)
        assert far[0, 0] == pytest.approx(1, abs=1e-12)
        assert far[1, -1] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_narrow_kernel_leaves_the_pixels(kernel):
    pixels = 5
    x = torch.linspace(-2.4, 2.4, 41, dtype=torch.float64)
    x = x[(torch.remainder(x, 1) - 0.5).abs() > 0.02]  # not on an edge
    own = torch.nn.functional.one_hot((x + pixels / 2).floor().long(), pixels).double()
    torch.testing.assert_close(effects.smoothed_boxes(x, pixels, kernel, 1e-4), own, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 6), (5, 3)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pattern_against_a_plain_convolution(kernel, shape):
    """Sampled 48-fold, edge pixels repeated, convolved by FFT with the kernel in two dimensions."""
    width, fine, samples, pad = 0.7, 48, 3, 4
    phase = 2 * math.pi * torch.rand(*shape, dtype=torch.float64)
    padded = np.pad(phase.numpy(), pad, mode="edge").repeat(fine, 0).repeat(fine, 1)
    x = (np.arange(2 * pad * fine + 1) - pad * fine) / fine
    line = kernel_values(kernel, width, x)
    line /= line.sum()
    blurred = scipy.signal.fftconvolve(padded, np.outer(line, line), mode="same")
    # Samples lie at the middles of thirds of a pixel: between two fine ones.
    first = pad * fine + fine // (2 * samples)
    step = fine // samples
    at = np.ix_(first + step * np.arange(shape[0] * samples), first + step * np.arange(shape[1] * samples))
    before = np.ix_(at[0].ravel() - 1, at[1].ravel() - 1)
    across = np.ix_(at[0].ravel() - 1, at[1].ravel()), np.ix_(at[0].ravel(), at[1].ravel() - 1)
    expected = (blurred[at] + blurred[before] + blurred[across[0]] + blurred[across[1]]) / 4
    found = effects.crosstalk(phase, kernel, width, samples)
    assert found.shape == (shape[0] * samples, shape[1] * samples)
    assert np.abs(found.numpy() - expected).max() < 5e-3  # of 6 rad: the sampling of the convolution
    assert found.min() >= phase.min()
    assert found.max() <= phase.max()


def test_even_phases_stay_and_batches_and_widths_broadcast():
    phase = torch.full((2, 3, 4, 5), 1.7, dtype=torch.float64)
    even = torch.full((2, 3, 8, 10), 1.7, dtype=torch.float64)
    torch.testing.assert_close(effects.crosstalk(phase, "exponential", 0.9, 2), even, rtol=1e-14, atol=0)
    phase = torch.rand(3, 1, 4, 5, dtype=torch.float64)
    widths = torch.tensor([0.3, 0.6, 1.2], dtype=torch.float64)[:, None]
    together = effects.crosstalk(phase, "gaussian", widths, 2)
    assert together.shape == (3, 1, 8, 10)
    for r in range(3):
        torch.testing.assert_close(
            together[r, 0], effects.crosstalk(phase[r, 0], "gaussian", widths[r, 0].item(), 2), rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("kernel", KERNELS)
def test_derivatives(kernel):
    """In positions, phases and width; the super-Gaussian's table is smooth once."""
    x = places(-1.13, 0.21, 1.77).requires_grad_()
    width = torch.tensor([[0.6], [0.9]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda p, w: effects.smoothed_boxes(p, 4, kernel, w), (x, width))
    phase = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    one = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda f, w: effects.crosstalk(f, kernel, w, 2), (phase, one))
    if kernel == "gaussian":
        assert gradgradcheck(lambda f, w: effects.crosstalk(f, kernel, w, 2), (phase, one))


@pytest.mark.parametrize("kernel", KERNELS)
def test_precision_of_the_input(kernel):
    phase = torch.rand(3, 4, dtype=torch.float64)
    single = effects.crosstalk(phase.float(), kernel, torch.tensor(0.6, dtype=torch.float64), 3)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), effects.crosstalk(phase, kernel, 0.6, 3), rtol=0, atol=2e-6)


def test_bad_input():
    x = places(0.0)
    with pytest.raises(sim.InputError, match=r"width of the crosstalk: got 0; allowed: more than 0"):
        effects.smoothed_boxes(x, 3, "gaussian", 0.0)
    with pytest.raises(sim.InputError, match=r"width of the crosstalk: got -1; allowed: more than 0"):
        effects.crosstalk(torch.zeros(2, 2), "gaussian", -1.0, 2)
    with pytest.raises(sim.InputError, match=r"kernel of the crosstalk: got 'gausian'; .*did you mean .*gaussian"):
        effects.smoothed_boxes(x, 3, "gausian", 0.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(sim.InputError, match=r"pixels: got 0; allowed: at least 1"):
        effects.smoothed_boxes(x, 0, "gaussian", 0.5)
    with pytest.raises(sim.InputError, match=r"samples a pixel: got 0; allowed: at least 1"):
        effects.crosstalk(torch.zeros(2, 2), "gaussian", 0.5, 0)
