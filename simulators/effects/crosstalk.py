r"""Fringing between neighbouring pixels: the electric field of a pixel spreads into the next ones.

The *phase* is blurred, not the field, and it is held in its range before: a flyback from 2π to 0 passes through all
phases between. Kernels are separable. Of those with a name only the full width at half maximum is known with any
confidence; a measured one is a table (:mod:`~simulators.effects.kernel_table`).
"""

from __future__ import annotations

import functools
import math
from typing import Literal, get_args

import numpy as np
import scipy.integrate
import torch
from torch import Tensor

from simulators.effects.kernel_table import Points, table_integral
from simulators.effects.limits import check_figure
from simulators.errors import InputError, nearest

KernelName = Literal["gaussian", "exponential", "super_gaussian"]
Kernel = KernelName | Points

#: Exponent of the super-Gaussian spectrum exp(-|ν/w|^q), fitted together with w = 0.92 cycles a pixel of 12.5 µm.
_EXPONENT = 2.3
#: Points of the tabulated kernel, and how many widths it reaches to either side: the fit was made with a kernel of
#: 3 pixels, whose full width at half maximum is 0.6045 pixels.
_TABLE = 4001
_REACH = 1.5 / 0.6045


def smoothed_boxes(positions: Tensor, pixels: int, kernel: Kernel, width: Tensor | float) -> Tensor:
    r"""How much of each pixel's phase is felt at each position: a box convolved with the kernel.

    .. math:: H_{sk} = \int_{k-1/2}^{k+1/2} h(x_s - x)\,dx

    so that a pattern of phases φ is :math:`H_y\,\phi\,H_x^T` at the positions: a convolution, in which a kernel that is
    larger at x > 0 carries phase towards greater x. The outermost pixels go on beyond the edge, so that every row sums
    to 1.

    Args:
        positions: in pixels on the centred grid (pixel k spans k - (P-1)/2 ± 1/2), ``[S]``.
        pixels: P.
        kernel: ``"gaussian"``, ``"exponential"`` (:math:`e^{-|x|/a}`, a = width/(2 ln 2)), or ``"super_gaussian"``
            (the modulus of the transform of :math:`e^{-|\nu/w|^{2.3}}`, w = 0.556/width, over ±2.48 widths). Or a
            table of (x, h) about x = 0, linear between three points or more and zero beyond them, in any units: it is
            stretched about 0 to ``width``.
        width: full width at half maximum, in pixels, > 0, any shape ``[...]``; differentiable.

    Returns:
        Real ``[..., S, P]``; no entry is negative, so the phase stays in its range.

    Raises:
        InputError: no pixel, an unknown kernel or a table that is none, or a width that is not positive.

    Source: Persson et al., Opt. Express 20, 22334 (2012); Schroff et al., Sci. Rep. 13, 3252 (2023) (super-Gaussian);
    Moser et al., Opt. Express 27, 25046 (2019), for kernels that are not even, which takes a table. Not modelled:
    kernels that differ between the axes, or from one height of step to the next.
    """
    if pixels < 1:
        raise InputError("pixels", value=pixels, allowed="at least 1")
    if isinstance(kernel, str) and kernel not in get_args(KernelName):
        raise InputError("kernel of the crosstalk", value=repr(kernel), allowed=nearest(kernel, get_args(KernelName)))
    check_figure("width of the crosstalk", width, 0, above=True)
    width = torch.as_tensor(width, dtype=positions.dtype, device=positions.device)
    edges = torch.arange(1, pixels, dtype=positions.dtype, device=positions.device) - pixels / 2
    beyond = positions[:, None] - edges  # [S, P-1]
    # The share of the kernel that lies on the near side of each edge between two pixels.
    step = _integral(beyond / width[..., None, None], kernel)  # [..., S, P-1], 0 → 1
    one = step.new_ones(*step.shape[:-1], 1)
    zero = torch.zeros_like(one)
    return torch.cat([one, step], -1) - torch.cat([step, zero], -1)


def _integral(x: Tensor, kernel: Kernel) -> Tensor:
    """∫_{-∞}^x of the kernel of unit width at half maximum."""
    if not isinstance(kernel, str):
        return table_integral(x, kernel)
    if kernel == "gaussian":
        return 0.5 + 0.5 * torch.erf(x * 2 * math.sqrt(math.log(2)))
    if kernel == "exponential":
        # Half maximum at x = a ln 2 on either side.
        tail = 0.5 * torch.exp(-x.abs() * 2 * math.log(2))
        return torch.where(x > 0, 1 - tail, tail)
    table = _super_gaussian().to(x)
    place = ((x + _REACH) / (2 * _REACH) * (_TABLE - 1)).clamp(0, _TABLE - 1 - 1e-6)
    below = place.detach().floor()
    index, share = below.long(), place - below
    # Cubic between the points: the error is that of the table, 1e-7.
    values = [table[(index + offset).clamp(0, _TABLE - 1)] for offset in (-1, 0, 1, 2)]
    a, b, c, d = values
    return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * (3 * (b - c) + d - a)))


@torch.compiler.assume_constant_result  # which looks at plain functions only, so the cache is one further in
def _super_gaussian() -> Tensor:
    with torch.inference_mode(False):
        return _tabulated()


@functools.cache
def _tabulated() -> Tensor:
    """Integral of the kernel of unit full width at half maximum, tabulated over ± _REACH widths."""
    k = np.linspace(0, 5, 1001)
    spectrum = np.exp(-(k**_EXPONENT))  # 3e-18 at the end
    spectrum[0] *= 0.5  # trapezoid
    half = _half_width(k, spectrum)
    x = np.linspace(0, _REACH, _TABLE // 2 + 1)
    kernel = np.abs(np.cos(np.outer(x * 2 * half, k)) @ spectrum)  # it has small negative lobes: their size counts
    integral = scipy.integrate.cumulative_simpson(kernel, x=x, initial=0)
    share = integral / integral[-1] / 2
    return torch.from_numpy(np.concatenate([0.5 - share[:0:-1], 0.5 + share]))


def _half_width(k: np.ndarray, spectrum: np.ndarray) -> float:
    """Where the transform of ``spectrum`` falls to half its peak."""
    peak = spectrum.sum()
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (spectrum * np.cos(k * middle)).sum() > peak / 2 else (low, middle)
    return (low + high) / 2


def crosstalk(phase: Tensor, kernel: Kernel, width: Tensor | float, samples: int) -> Tensor:
    """Phase of a panel with fringing, at ``samples`` evenly spaced points a pixel and axis.

    Args:
        phase: of the pixels, within the panel's range, rad, ``[..., y, x]``.
        kernel: see :func:`smoothed_boxes`.
        width: full width at half maximum in pixels.
        samples: points a pixel.

    Returns:
        ``[..., y·samples, x·samples]``, within the range of ``phase``.

    Raises:
        InputError: as of :func:`smoothed_boxes`, or no sample.
    """
    if samples < 1:
        raise InputError("samples a pixel", value=samples, allowed="at least 1")
    y, x = (smoothed_boxes(_centres(n * samples, phase) / samples, n, kernel, width) for n in tuple(phase.shape[-2:]))
    return y @ phase @ x.mT


def _centres(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device) - (count - 1) / 2
