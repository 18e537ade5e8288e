r"""Fringing: gratings, random patterns and macro-pixels, against closed forms.

A phase blurred by the kernel is linear in independent pixels, :math:`\phi(x) = \sum_k H_k(x) \phi_k`, so that over
uniform :math:`\phi_k` every mean of :math:`e^{i\phi}` is a product of :math:`\chi(a) = e^{i\pi a}\,\mathrm{sinc}(a)`,
the mean of :math:`e^{ia\phi_k}`. With the nominal pixel's own 1 taken off these are the figures of random patterns,
without a sample:

| kernel | share left | error of pixel means | zeroth/first order of a binary 0-π grating of period 2, 4, 8 pixels |
|---|---|---|---|
| Gauss 0.3 | 0.843 | 0.0415 | 0.072/0.379, 0.018/0.399, 0.005/0.404 |
| Gauss 0.5 | 0.745 | 0.1153 | 0.200/0.336, 0.050/0.387, 0.013/0.401 |
| Gauss 1 | 0.494 | 0.4542 | 0.703/0.142, 0.200/0.336, 0.050/0.387 |
| super-Gaussian, as fitted | 0.698 | 0.1664 | 0.285/0.307, 0.073/0.380, 0.018/0.399 |
| the same without the modulus | 0.718 | 0.1296 | 0.224/0.324, 0.052/0.382, 0.013/0.399 |
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simulators import effects

FITTED = 0.6045  #: FWHM of the published super-Gaussian kernel, pixels of 12.5 µm
REACH = 4  #: pixels on either side that a kernel is felt


def characteristic(a):
    return np.exp(1j * np.pi * a) * np.sinc(a)


def nodes(count, parts=8):
    """Gauss-Legendre nodes and weights over a pixel, -1/2 … 1/2, in ``parts`` pieces."""
    points, weights = np.polynomial.legendre.leggauss(count)
    place = ((np.arange(parts)[:, None] + 0.5 + points / 2) / parts - 0.5).ravel()
    return place, np.tile(weights / 2 / parts, parts)


def random_pattern(kernel, width):
    """(|⟨e^{iδ}⟩|², ⟨|⟨e^{iφ}⟩_pixel - e^{iφ_0}|²⟩) over uniform phases, exact."""
    x, weight = nodes(6)
    boxes = effects.smoothed_boxes(torch.from_numpy(x), 2 * REACH + 1, kernel, width).numpy()
    own = np.arange(2 * REACH + 1) == REACH
    mean = characteristic(boxes - own).prod(1) @ weight
    second = characteristic(boxes[:, None] - boxes[None]).prod(-1).real
    return abs(mean) ** 2, weight @ second @ weight + 1 - 2 * mean.real


def orders(phase):
    """Far-field powers of a phase over whole periods, relative to all light."""
    field = torch.complex(phase.cos(), phase.sin())
    return (torch.fft.fft(field).abs() / field.shape[-1]).square()


def grating(kernel, width, period, depth, *, samples=64):
    """Phase over one period in the middle of a binary grating, 32 pixels from the ends of the panel."""
    pixels = 64 + period
    phase = depth * ((torch.arange(pixels) // (period // 2)) % 2).double()[None]
    shown = effects.crosstalk(phase, kernel, width, samples)[0]
    start = 32 * samples
    return shown[start : start + period * samples]


# --- gratings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.2, 0.6, 1.2])
@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_weak_binary_grating(period, width):
    """η_m = (δ/πm)² [1 + (2πma/p)²]^-2 of odd orders with the kernel e^{-|x|/a}, to 1 %."""
    delta, a = 0.02, width / (2 * math.log(2))
    power = orders(grating("exponential", width, period, delta, samples=128))
    for m in (1, 3, 5):
        expected = (delta / (math.pi * m)) ** 2 / (1 + (2 * math.pi * m * a / period) ** 2) ** 2
        assert power[m].item() == pytest.approx(expected, rel=1e-2)
    assert power[2].item() < 1e-2 * power[1].item()


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "super_gaussian"])
@pytest.mark.parametrize("depth", [0.5, math.pi, 5.0])
def test_equal_halves_and_an_even_kernel_give_symmetric_orders(kernel, depth):
    """|E_m| = |E_-m| at any depth; with a longer second half too, for a step up mirrors a step down."""
    power = orders(grating(kernel, 0.8, 4, depth))
    torch.testing.assert_close(power[1:20], power.flip(0)[:19], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "super_gaussian"])
def test_uniform_phase_and_a_narrow_kernel(kernel):
    """What is even stays so, wide as the kernel may be; a kernel far below a pixel leaves the ideal grating."""
    even = torch.full((4, 5), 2.2, dtype=torch.float64)
    wide = effects.crosstalk(even, kernel, 3.0, 4)
    torch.testing.assert_close(wide, torch.full_like(wide, 2.2), rtol=1e-13, atol=0)
    power = orders(grating(kernel, 1e-3, 4, math.pi))
    assert power[0].item() < 1e-12
    # (2/πm)² of an ideal grating, from 256 samples a period.
    for m in (1, 3, 5):
        assert power[m].item() == pytest.approx((2 / (math.pi * m)) ** 2, rel=2e-3)


TABLE = [
    ("gaussian", 0.3, ((0.072, 0.379), (0.018, 0.399), (0.0045, 0.404))),
    ("gaussian", 0.5, ((0.200, 0.336), (0.050, 0.387), (0.0125, 0.401))),
    ("gaussian", 1.0, ((0.703, 0.142), (0.200, 0.336), (0.050, 0.387))),
    ("super_gaussian", FITTED, ((0.285, 0.307), (0.073, 0.380), (0.018, 0.399))),
]


@pytest.mark.parametrize(("kernel", "width", "expected"), TABLE)
def test_orders_of_binary_gratings(kernel, width, expected):
    for period, (zeroth, first) in zip((2, 4, 8), expected, strict=True):
        power = orders(grating(kernel, width, period, math.pi))
        assert power[0].item() == pytest.approx(zeroth, abs=6e-4)
        assert power[1].item() == pytest.approx(first, abs=6e-4)


def filtered(phase, samples, *, modulus):
    """Phase filtered by the published super-Gaussian on its own grid: by its spectrum or |its transform| in 3 px."""
    count = phase.shape[-1]
    transfer = np.exp(-((np.abs(np.fft.fftfreq(count, 1 / samples)) / 0.92) ** 2.3))
    if modulus:
        size = 3 * samples
        frequency = np.fft.fftfreq(size, 1 / samples)
        kernel = np.abs(np.fft.fftshift(np.fft.ifft(np.exp(-((np.abs(frequency) / 0.92) ** 2.3)))))
        line = np.zeros(count)
        line[np.arange(size) - size // 2] = kernel / kernel.sum()
        transfer = np.fft.fft(line)
    return np.fft.ifft(np.fft.fft(phase) * transfer).real


@pytest.mark.parametrize(
    ("modulus", "expected"),
    [
        (False, ((0.224, 0.324), (0.052, 0.382), (0.013, 0.399))),
        (True, ((0.288, 0.306), (0.075, 0.379), (0.019, 0.399))),
    ],
)
def test_the_modulus_of_the_fitted_kernel_matters(modulus, expected):
    """Published as |IFFT| over three pixels; used as a filter without the modulus it fringes a fifth less.

    On a grid of 3 periods of 3 pixels the published transform adds its tails up, which is 2 % of the zeroth order.
    """
    samples = 128
    for period, (zeroth, first) in zip((2, 4, 8), expected, strict=True):
        phase = (math.pi * ((np.arange(8 * period) // (period // 2)) % 2)).repeat(samples)
        shown = filtered(phase, samples, modulus=modulus)
        field = np.exp(1j * shown).reshape(8, -1)[0]
        power = np.abs(np.fft.fft(field) / len(field)) ** 2
        assert power[0] == pytest.approx(zeroth, abs=1e-3)
        assert power[1] == pytest.approx(first, abs=1e-3)
        ours = orders(grating("super_gaussian", FITTED, period, math.pi))[0].item()
        if modulus:
            assert ours == pytest.approx(power[0], rel=0.04)
        else:
            assert ours > 1.2 * power[0]


# --- random patterns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "width", "left", "error"),
    [
        ("gaussian", 0.3, 0.8429, 0.0415),
        ("gaussian", 0.5, 0.7454, 0.1153),
        ("gaussian", 1.0, 0.4937, 0.4542),
        ("super_gaussian", FITTED, 0.6984, 0.1664),
    ],
)
def test_random_patterns(kernel, width, left, error):
    """The exact means, and a sample of 60,000 pixels within 5 standard errors of them."""
    exact = random_pattern(kernel, width)
    assert exact == pytest.approx((left, error), abs=2e-4)
    rows, pixels = 3000, 20 + 2 * REACH
    x, weight = nodes(4)
    place = (np.arange(20)[:, None] - 9.5 + x).ravel()
    boxes = effects.smoothed_boxes(torch.from_numpy(place), pixels, kernel, width)
    phase = 2 * math.pi * torch.rand(rows, pixels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shown = (phase @ boxes.mT).reshape(rows, 20, -1)
    wanted = phase[:, REACH:-REACH]
    ideal = torch.complex(wanted.cos(), wanted.sin())
    mean = torch.complex(shown.cos(), shown.sin()) @ torch.from_numpy(weight).to(torch.complex128)
    nmse = (mean - ideal).abs().square().mean(-1)  # rows are independent
    assert abs(nmse.mean().item() - exact[1]) < 5 * nmse.std().item() / math.sqrt(rows)
    amplitude = (mean * ideal.conj()).real.mean(-1)
    spread = amplitude.std().item() / math.sqrt(rows)
    assert abs(amplitude.mean().item() - math.sqrt(exact[0])) < 5 * spread + 1e-3
    assert spread < 2e-3


# --- macro-pixels ----------------------------------------------------------------------------------------------------


def test_error_of_macro_pixels_along_one_axis():
    """The mean over m native pixels errs by 6 dB less each time m doubles; at m = 1, 8 dB below the field."""
    found = [10 * math.log10(random_pattern("super_gaussian", FITTED / m)[1]) for m in (1, 2, 4, 8)]
    assert found == pytest.approx([-7.8, -13.8, -19.8, -25.8], abs=0.1)
    assert np.diff(found)[1:] == pytest.approx([-6.02, -6.02], abs=0.1)
    gauss = [10 * math.log10(random_pattern("gaussian", 0.5 / m)[1]) for m in (1, 2, 4, 8)]
    assert gauss == pytest.approx([-9.4, -15.4, -21.4, -27.5], abs=0.1)


@pytest.mark.parametrize(("macro", "expected"), [(1, -3.8), (2, -9.1), (4, -14.8)])
def test_error_of_macro_pixels_in_two_dimensions(macro, expected):
    """1,600 random macro-pixels; their error scatters by 0.15 dB."""
    count, margin = 40, 3
    x, weight = nodes(3)
    place = torch.from_numpy((np.arange(count)[:, None] - (count - 1) / 2 + x).ravel())
    side = count + 2 * margin
    boxes = effects.smoothed_boxes(place, side, "super_gaussian", FITTED / macro)
    phase = 2 * math.pi * torch.rand(side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    shown = (boxes @ phase @ boxes.mT).reshape(count, len(x), count, len(x))
    weights = torch.from_numpy(weight).to(torch.complex128)
    mean = torch.einsum("ynxm,n,m->yx", torch.complex(shown.cos(), shown.sin()), weights, weights)
    wanted = phase[margin:-margin, margin:-margin]
    error = (mean - torch.complex(wanted.cos(), wanted.sin())).abs().square().mean().item()
    assert 10 * math.log10(error) == pytest.approx(expected, abs=0.4)
    # Two axes fringe twice as much as one: 3 dB for small errors.
    one = 10 * math.log10(random_pattern("super_gaussian", FITTED / macro)[1])
    assert 3.0 < 10 * math.log10(error) - one < 5.5


def signed_boxes(positions, pixels, macro):
    """Boxes of ``macro`` native pixels blurred by exp(-(|ν|/0.92)^2.3) as a plain filter, lobes and all."""
    x = np.linspace(-6, 6, 4801)
    nu = np.linspace(0, 3, 3001)
    spectrum = np.exp(-((nu / 0.92) ** 2.3))
    spectrum[0] /= 2  # trapezoid
    kernel = np.cos(2 * np.pi * np.outer(x, nu)) @ spectrum
    reached = np.concatenate([[0], np.cumsum((kernel[1:] + kernel[:-1]) / 2)])
    edges = np.arange(pixels + 1) - pixels / 2
    step = np.interp((positions[:, None] - edges) * macro, x, reached / reached[-1], left=0, right=1)
    return step[:, :-1] - step[:, 1:]


@pytest.mark.parametrize(
    ("macro", "one_axis", "two_axes"), [(1, -9.2, -5.0), (2, -14.9, -10.7), (4, -22.1, -16.9), (8, -28.1, None)]
)
def test_macro_pixels_soften_fringing(macro, one_axis, two_axes):
    """Random phases, pixel means, up to a constant factor: the error falls as m², by 6 dB a doubling.

    The figures quoted for one axis come of a small sample, which scatters by half a decibel.
    """
    points, weights = np.polynomial.legendre.leggauss(6)
    inside, weight = ((np.arange(4)[:, None] + 0.5 + points / 2) / 4 - 0.5).ravel(), np.tile(weights / 8, 4)
    generator, found = np.random.default_rng(0), []
    for axes, pixels in ((1, 30000), (2, 96)):
        core = pixels + 8
        told = generator.random((core,) * axes) * 2 * np.pi
        places = ((np.arange(pixels if axes == 2 else 1)[:, None] - (pixels - 1) / 2 * (axes == 2)) + inside).ravel()
        if axes == 2:
            boxes = signed_boxes(places, core, macro)
            nodes = np.exp(1j * boxes @ told @ boxes.T).reshape(pixels, len(inside), pixels, len(inside))
            shown = np.einsum("yaxb,a,b->yx", nodes, weight, weight)
            wanted = np.exp(1j * told[4:-4, 4:-4])
        else:
            boxes = signed_boxes(inside, 9, macro)  # every pixel and its four neighbours on either side
            near = np.lib.stride_tricks.sliding_window_view(told, 9)
            shown, wanted = np.exp(1j * near @ boxes.T) @ weight, np.exp(1j * told[4:-4])
        overlap = abs((shown * wanted.conj()).mean()) ** 2 / (abs(shown) ** 2).mean()
        found.append(10 * np.log10(1 - overlap))
    assert found[0] == pytest.approx(one_axis, abs=0.6)
    if two_axes is not None:
        assert found[1] == pytest.approx(two_axes, abs=0.2)
