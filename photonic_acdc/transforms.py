r"""Orthonormal Fourier and cosine transforms on the last axes, differentiable, any length.

The cosine transform of length N is one real FFT of length N (Makhoul, IEEE Trans. ASSP 28, 27 (1980)): with
v = x[0, 2, 4, …, 5, 3, 1] and V = rfft(v), :math:`C_k = s_k\,2\,\mathrm{Re}(w_k V_k)`,
:math:`C_{N-k} = -s_k\,2\,\mathrm{Im}(w_k V_k)`, :math:`w_k = e^{-i\pi k/2N}`.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from simulators.errors import InputError


def dft(x: Tensor, dims: int = 1) -> Tensor:
    r"""Unitary DFT, :math:`X_k = N^{-1/2}\sum_n x_n e^{-2\pi i nk/N}`, over the last ``dims`` axes; same shape."""
    return torch.fft.fftn(x, dim=tuple(range(-dims, 0)), norm="ortho")


def idft(x: Tensor, dims: int = 1) -> Tensor:
    """Inverse (and adjoint) of :func:`dft`."""
    return torch.fft.ifftn(x, dim=tuple(range(-dims, 0)), norm="ortho")


def dct(x: Tensor) -> Tensor:
    r"""Orthonormal DCT-II over the last axis.

    .. math:: C_k = s_k \sum_n x_n \cos\frac{\pi k (2n+1)}{2N}, \quad s_0 = \sqrt{1/N},\ s_k = \sqrt{2/N}

    Args:
        x: real, ``[..., N]``, any N ≥ 1.

    Returns:
        Real ``[..., N]``, dtype and device of ``x``.

    Raises:
        InputError: complex input.
    """
    _check_real(x, "dct")
    n = x.shape[-1]
    tables = makhoul(n, x.dtype, x.device)
    z = torch.fft.rfft(x.index_select(-1, tables.order), norm="ortho") * tables.scaled
    top = (n - 1) // 2  # C_{N-k} for k = 1 … top are the imaginary parts
    return torch.cat([z.real, -z.imag[..., 1 : top + 1].flip(-1)], dim=-1)


def idct(c: Tensor) -> Tensor:
    """Orthonormal DCT-III, inverse and transpose of :func:`dct`; arguments and errors alike."""
    _check_real(c, "idct")
    n = c.shape[-1]
    tables = makhoul(n, c.dtype, c.device)
    half = n // 2 + 1
    top = (n - 1) // 2
    mirrored = torch.zeros_like(c[..., :half])
    mirrored[..., 1 : top + 1] = c[..., n - top :].flip(-1)
    if n % 2 == 0 and n > 1:
        # C_{N/2} is its own mirror: the real bin V_{N/2} = w* (C - iC') with C' = C.
        mirrored[..., n // 2] = c[..., n // 2]
    z = torch.complex(c[..., :half], -mirrored) * tables.unscaled
    return torch.fft.irfft(z, n=n, norm="ortho").index_select(-1, tables.inverse)


def _check_real(x: Tensor, name: str) -> None:
    if x.is_complex() or not x.is_floating_point():
        raise InputError(f"{name}: input dtype", value=x.dtype, allowed="a real floating-point tensor")


class Makhoul(NamedTuple):
    """What leads from a real FFT to the cosine transform of length N, and back."""

    order: Tensor  #: [N], v = x[order]
    inverse: Tensor  #: [N], x = v[inverse]
    twiddle: Tensor  #: [N//2+1], w_k
    scaled: Tensor  #: [N//2+1], from orthonormal bins V_k to (C_k, -C_{N-k}): w_k, times √2 for k > 0
    unscaled: Tensor  #: [N//2+1], 1 / scaled


@torch.compiler.assume_constant_result  # a compiled caller keeps the tables instead of tracing how they are made
def makhoul(n: int, dtype: torch.dtype, device: torch.device) -> Makhoul:
    """The tables for real tensors of ``dtype`` on ``device``; made once."""
    return _make_makhoul(n, dtype, device)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # tables made in inference mode could not serve training later
def _make_makhoul(n: int, dtype: torch.dtype, device: torch.device) -> Makhoul:
    order = torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2).flip(0)])
    k = torch.arange(n // 2 + 1, dtype=torch.float64)
    angle = -math.pi * k / (2 * n)
    twiddle = torch.complex(angle.cos(), angle.sin())
    scaled = math.sqrt(2.0) * twiddle
    scaled[0] = 1.0
    wide = torch.complex128 if dtype == torch.float64 else torch.complex64
    return Makhoul(
        order.to(device),
        order.argsort().to(device),
        *(table.to(device=device, dtype=wide) for table in (twiddle, scaled, 1 / scaled)),
    )
