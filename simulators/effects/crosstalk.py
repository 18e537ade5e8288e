r"""Fringing between neighbouring pixels: the electric field of a pixel spreads into the next ones.

The *phase* is blurred, not the field, and it is held in its range before: a flyback from 2π to 0 passes through all
phases between. Kernels are separable; only their full width at half maximum is known with any confidence.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np
import scipy.integrate
import torch
from torch import Tensor

KernelName = Literal["gaussian", "exponential", "super_gaussian"]

#: Exponent of the super-Gaussian spectrum, and its kernel's FWHM · cut-off: measured on a 12.5 µm panel.
_EXPONENT = 2.3
#: Points of the tabulated kernel, over so many widths on either side: it was fitted over 3 pixels at a width of 0.59.
_TABLE = 4001
_REACH = 1.5 / 0.59


def smoothed_boxes(positions: Tensor, pixels: int, kernel: KernelName, width: Tensor | float) -> Tensor:
    r"""How much of each pixel's phase is felt at each position: a box convolved with the kernel.

    .. math:: H_{sk} = \int_{k-1/2}^{k+1/2} h(x_s - x)\,dx

    so that a pattern of phases φ is :math:`H_y\,\phi\,H_x^T` at the positions. The outermost pixels go on beyond the
    edge, so that every row sums to 1.

    Args:
        positions: in pixels on the centred grid (pixel k spans k - (P-1)/2 ± 1/2), ``[S]``.
        pixels: P.
        kernel: ``"gaussian"``, ``"exponential"`` (:math:`e^{-|x|/a}`), or ``"super_gaussian"`` (spectrum
            :math:`e^{-|k/w|^{2.3}}`, of whose transform the modulus counts).
        width: full width at half maximum, in pixels, > 0, any shape ``[...]``; differentiable.

    Returns:
        Real ``[..., S, P]``.

    Source: Persson et al., Opt. Express 20, 22334 (2012); Schroff et al., Sci. Rep. 13, 3252 (2023) (super-Gaussian).
    Not modelled: the asymmetry of Moser et al., Opt. Express 27, 25046 (2019).
    """
    width = torch.as_tensor(width, dtype=positions.dtype, device=positions.device)
    edges = torch.arange(1, pixels, dtype=positions.dtype, device=positions.device) - pixels / 2
    beyond = positions[:, None] - edges  # [S, P-1]
    # The share of the kernel that lies on the near side of each edge between two pixels.
    step = _integral(beyond / width[..., None, None], kernel)  # [..., S, P-1], 0 → 1
    one, zero = torch.ones_like(step[..., :1]), torch.zeros_like(step[..., :1])
    return torch.cat([one, step], -1) - torch.cat([step, zero], -1)


def _integral(x: Tensor, kernel: KernelName) -> Tensor:
    """∫_{-∞}^x of the kernel of unit width at half maximum."""
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
    # Cubic between the points: the table's error is then 1e-8.
    values = [table[(index + offset).clamp(0, _TABLE - 1)] for offset in (-1, 0, 1, 2)]
    a, b, c, d = values
    return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * (3 * (b - c) + d - a)))


@functools.cache
def _super_gaussian() -> Tensor:
    """Integral of the kernel of unit full width at half maximum, tabulated over ± _REACH widths."""
    k = np.linspace(0, 12, 6001)
    spectrum = np.exp(-(k**_EXPONENT))
    spectrum[0] *= 0.5  # trapezoid
    spectrum[-1] *= 0.5
    half = _half_width(k, spectrum)
    x = np.linspace(-_REACH, _REACH, _TABLE)
    kernel = np.abs(np.cos(np.outer(x * 2 * half, k)) @ spectrum)  # it has small negative lobes: their size counts
    integral = scipy.integrate.cumulative_simpson(kernel, x=x, initial=0)
    return torch.from_numpy(integral / integral[-1])


def _half_width(k: np.ndarray, spectrum: np.ndarray) -> float:
    """Where the transform of ``spectrum`` falls to half its peak."""
    peak = spectrum.sum()
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (spectrum * np.cos(k * middle)).sum() > peak / 2 else (low, middle)
    return (low + high) / 2


def crosstalk(phase: Tensor, kernel: KernelName, width: Tensor | float, samples: int) -> Tensor:
    """Phase of a panel with fringing, at ``samples`` evenly spaced points a pixel and axis.

    Args:
        phase: of the pixels, within the panel's range, rad, ``[..., y, x]``.
        kernel: see :func:`smoothed_boxes`.
        width: full width at half maximum in pixels.
        samples: points a pixel.

    Returns:
        ``[..., y·samples, x·samples]``.
    """
    y, x = (smoothed_boxes(_centres(n * samples, phase) / samples, n, kernel, width) for n in tuple(phase.shape[-2:]))
    return y @ phase @ x.mT


def _centres(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device) - (count - 1) / 2
