r"""The Fourier transform a lens performs, between planes of pixels.

A lens of focal length f takes a field over x to :math:`\frac{1}{i\lambda f}\int E\,e^{-2\pi i x u/(\lambda f)}dx`.
Measured in pixels (x = n p₁, u = k p₂) only :math:`M = \lambda f/(p_1 p_2)` is left: :math:`e^{-2\pi i n k/M}/\sqrt M`
an axis. Index n sits at n - (N-1)/2, so two transforms in a row are exactly an index flip.

Two bases: the N samples themselves (:func:`centred_dft`, M = N, unitary), and q orthonormal Legendre polynomials over
each pixel (:func:`lens_matrix`), in which a piecewise-constant mask is diagonal and a lens is the compression of a
unitary operator, hence passive by construction.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

#: Gauss-Legendre points a pixel; the integrands turn by less than half a cycle over it, so 16 give full precision.
NODES = 16


def centres(count: int, *, dtype: torch.dtype = torch.float64, device=None) -> Tensor:
    """Pixel positions n - (N-1)/2, in pixels, ``[count]``."""
    return torch.arange(count, dtype=dtype, device=device) - (count - 1) / 2


def centred_dft(count: int, *, dtype: torch.dtype = torch.complex128, device=None) -> Tensor:
    r"""Unitary DFT on the half-pixel-centred grid, :math:`F_{kn} = e^{-2\pi i k_c n_c/N}/\sqrt N`, ``[N, N]``.

    F·F is the index flip, for odd and even N.
    """
    position = centres(count, device=device)
    phase = torch.outer(position, position) * (-2 * math.pi / count)
    return (torch.complex(phase.cos(), phase.sin()) / math.sqrt(count)).to(dtype)


@functools.cache
def _pixel_basis(order: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Legendre points and weights on [-1/2, 1/2], and the orthonormal modes there ``[order, nodes]``."""
    points, weights = np.polynomial.legendre.leggauss(max(NODES, order + 8))
    modes = [math.sqrt(2 * a + 1) * np.polynomial.legendre.Legendre.basis(a)(points) for a in range(order)]
    return torch.from_numpy(points / 2), torch.from_numpy(weights / 2), torch.from_numpy(np.stack(modes))


def lens_matrix(n_in: int, n_out: int, scale: Tensor, *, order_in: int, order_out: int) -> Tensor:
    r"""A lens along one axis, between Legendre pixel modes.

    .. math:: L_{(k,a),(n,b)} = \frac{1}{\sqrt M}\iint P_a(u)\,P_b(x)\,e^{-2\pi i x u/M}\,du\,dx

    over pixel n in and pixel k out, with orthonormal :math:`P_a`.

    Args:
        n_in: pixels of the plane in front.
        n_out: pixels of the plane behind.
        scale: M, real, any shape ``[...]``; differentiable.
        order_in: modes b a pixel in front.
        order_out: modes a a pixel behind.

    Returns:
        Complex128 ``[..., n_out·order_out, n_in·order_in]``; the mode index runs fastest. No singular value exceeds 1.

    Source: the angular-spectrum kernel of Goodman, *Introduction to Fourier Optics*, 5.2, in the basis stated.
    """
    device = scale.device
    points, weights, modes = (t.to(device) for t in _pixel_basis(max(order_in, order_out)))
    wave = (-2 * math.pi / scale.double())[..., None, None]  # rad per (pixel in · pixel out)
    u = (centres(n_out, device=device)[:, None] + points).reshape(-1)  # [k·node]
    # x = n + x': the phase splits into a part of the pixel's centre and a part inside it.
    across = _phasor(wave * torch.outer(u, centres(n_in, device=device)))  # [..., k·node, n]
    inside = (
        _phasor(wave * torch.outer(u, points)) @ (modes[:order_in] * weights).to(torch.complex128).T
    )  # [..., k·node, b]
    field = across[..., :, None] * inside[..., None, :]  # [..., k·node, n, b]
    field = field.reshape(*scale.shape, n_out, len(points), n_in * order_in)
    out = (modes[:order_out] * weights).to(torch.complex128) @ field  # [..., k, a, n·b]
    out = out.reshape(*scale.shape, n_out * order_out, n_in * order_in)
    return out * torch.rsqrt(scale.double())[..., None, None]


def two_lens_taps(modes: int, pixels: int, scale: float, *, window: float = 1.0) -> Tensor:
    r"""How the pixels of a Fourier-plane mask add up to the taps of the filter between two lenses, one axis.

    A mask D between two lenses takes pixel boxes to the mean field over a window of each pixel by the Hankel matrix
    T[l, n] = t[n + l], with t = B D and

    .. math:: B_{jk} = \frac{1}{M}\int_{\text{pixel }k} e^{-2\pi i j u/M}\,
        \mathrm{sinc}\frac{u}{M}\,\mathrm{sinc}\frac{w u}{M}\,du, \quad j = -(N-1) \dots N-1

    Args:
        modes: N.
        pixels: P, of the mask.
        scale: M, of both lenses.
        window: w, share of a pixel's width over which the field is read; 1: projected on its box.

    Returns:
        Complex128 ``[2N-1, P]``. With P ≥ M ≥ 2N-1 it has full row rank, so that any taps can be had.
    """
    points, weights, _ = _pixel_basis(1)
    u = (centres(pixels)[:, None] + points).reshape(-1)
    envelope = torch.sinc(u / scale) * torch.sinc(window * u / scale)
    lag = torch.arange(-(modes - 1), modes, dtype=torch.float64)
    kernel = _phasor(torch.outer(lag, u) * (-2 * math.pi / scale)) * envelope
    return (kernel.reshape(len(lag), pixels, -1) @ weights.to(torch.complex128)) / scale


def window_gram(order: int, window: float) -> Tensor:
    """Overlaps of the pixel modes over the central share ``window`` of the pixel's width, float64 ``[order, order]``.

    Intensity within the window is c* G c; the whole pixel gives the identity.
    """
    points, weights, _ = _pixel_basis(order)
    x = points.numpy() * window * 2  # Legendre argument, -window … window
    modes = np.stack([math.sqrt(2 * a + 1) * np.polynomial.legendre.Legendre.basis(a)(x) for a in range(order)])
    modes = torch.from_numpy(modes)
    return (modes * (weights * window)) @ modes.T


def window_mean(order: int, window: float) -> Tensor:
    """Integrals of the pixel modes over the central share ``window`` of the pixel's width, float64 ``[order]``."""
    return window_gram(order, window)[0]


def along_axes(matrix_y: Tensor, field: Tensor, matrix_x: Tensor) -> Tensor:
    """``W_y X W_xᵀ`` on the last two axes.

    Args:
        matrix_y: ``[R or 1, 1, out_y, in_y]`` or ``[out_y, in_y]``.
        field: ``[..., R or 1, B, in_y, in_x]``.
        matrix_x: as ``matrix_y``, of the other axis.

    Returns:
        ``[..., R, B, out_y, out_x]``.
    """
    return matrix_y @ field @ matrix_x.mT


def _phasor(phase: Tensor) -> Tensor:
    return torch.complex(phase.cos(), phase.sin())
