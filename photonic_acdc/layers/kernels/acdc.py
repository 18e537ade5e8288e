r"""The real cascade, :math:`y = x \prod_k A_k C D_k C^{-1}`: plain and fused.

Fused, a stage is two real FFTs. In Makhoul's order v = x[0, 2, 4, …, 5, 3, 1] and with V = rfft(v),
:math:`z_k = w_k V_k`, :math:`w_k = e^{-iπk/2N}`, the cosine coefficients are, up to a scale that cancels, Re z_k = C_k
and -Im z_k = C_{N-k}. So D scales real and imaginary parts of z, each by a number of its own, and

.. math:: V'_k = w_k^* \left[(D_k \mathrm{Re} + i D_{N-k} \mathrm{Im})(w_k V_k) + β_k\right], \qquad k = 0 … N/2

leads back: the widely linear map :math:`V' = P V + Q V^*` of real P = (D_k + D_{N-k})/2. The order commutes with A and
with every element-wise function, and composes with permutations: a stack stays in it from its entry to its exit.

The map of a stage is symmetric in Makhoul's order, so that gradients go backwards through the same map; with g the
gradient after the stage and G = w rfft(g), the gradient of the scales (Re, Im) is Σ (Re z Re G, Im z Im G) m/N,
m = 1 at k = 0 and N/2, else 2.

Source: Makhoul, IEEE Trans. ASSP 28, 27 (1980), for the cosine transform.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from photonic_acdc.layers.kernels.blocks import blocks, differentiable_again, fields_like
from photonic_acdc.transforms import dct, idct, makhoul

Activation = Callable[[Tensor], Tensor]


def plain(
    x: Tensor,
    a: Tensor,
    d: Tensor,
    b: Tensor | None,
    permutations: Tensor | None = None,
    activation: Activation | None = None,
) -> Tensor:
    """Stage by stage, through autograd.

    Args:
        x: real ``[R, N]``.
        a, d, b: ``[K, N]``; b, added after D, or None.
        permutations: ``[K-1, N]``, order of the features after each stage but the last, or None.
        activation: element-wise, before the permutation, or None.
    """
    for k in range(len(a)):
        spectrum = dct(x * a[k]) * d[k]
        x = idct(spectrum if b is None else spectrum + b[k])
        if k + 1 < len(a):
            x = x if activation is None else activation(x)
            x = x if permutations is None else x.index_select(-1, permutations[k])
    return x


def fused(
    x: Tensor,
    a: Tensor,
    d: Tensor,
    b: Tensor | None,
    orders: tuple[Tensor, Tensor] | None = None,
    activation: Activation | None = None,
) -> Tensor:
    """Blocked and in Makhoul's order throughout; one field a stage is kept for the gradient.

    Arguments as of :func:`plain`, with ``orders = makhoul_orders(permutations)``.
    """
    n = x.shape[-1]
    tables = _tables(n, x.dtype, x.device)
    a = a.index_select(-1, tables.order)
    scale = torch.stack([d, d.index_select(-1, tables.mirror)], dim=-1)[..., : n // 2 + 1, :]
    offset = None
    if b is not None:
        offset = torch.stack([b, b.index_select(-1, tables.mirror)], dim=-1)[..., : n // 2 + 1, :] * tables.bins
    between, back = (None, None) if orders is None else orders
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, a, d, b)):
        v = _Gather.apply(x, tables.order, tables.inverse)
        if between is None and activation is None:
            v = _Fused.apply(v, a, scale, offset)
        else:
            for k in range(len(a)):
                stage = slice(k, k + 1)
                v = _Fused.apply(v, a[stage], scale[stage], None if offset is None else offset[stage])
                if k + 1 < len(a):
                    v = v if activation is None else activation(v)
                    v = v if between is None or back is None else _Gather.apply(v, between[k], back[k])
        return _Gather.apply(v, tables.inverse, tables.order)  # pyright: ignore[reportReturnType]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for rows in blocks(x):
        v = x[rows].index_select(-1, tables.order)
        for k in range(len(a)):
            v = _stage(v.mul_(a[k]), scale[k], None if offset is None else offset[k], tables)
            if k + 1 < len(a):
                v = v if activation is None else activation(v)
                v = v if between is None else v.index_select(-1, between[k])
        torch.index_select(v, -1, tables.inverse, out=out[rows])
    return out


@torch.inference_mode(False)  # orders made in inference mode could not serve training later
def makhoul_orders(permutations: Tensor) -> tuple[Tensor, Tensor]:
    """Permutations ``[K-1, N]`` as they act in Makhoul's order, and their inverses."""
    tables = _tables(permutations.shape[-1], torch.float32, permutations.device)
    between = tables.inverse[permutations[:, tables.order]]
    return between, between.argsort(-1)


def _stage(u: Tensor, scale: Tensor, offset: Tensor | None, tables: _Tables) -> Tensor:
    """C D C⁻¹ in Makhoul's order, ``u [R, N]``."""
    return torch.fft.irfft(_scaled(_coefficients(u, tables), scale, offset).mul_(tables.untwiddle), n=u.shape[-1])


def _coefficients(u: Tensor, tables: _Tables) -> Tensor:
    """z ``[R, N//2+1]``."""
    return torch.fft.rfft(u).mul_(tables.twiddle)


def _scaled(z: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    """Real and imaginary parts of ``z`` times their scales, plus the offset; in place where it can be."""
    parts = torch.view_as_real(z)
    return torch.view_as_complex(parts.mul_(scale) if offset is None else torch.addcmul(offset, parts, scale))


class _Gather(torch.autograd.Function):
    """x[..., order], whose gradient is a gather as well, by the inverse order, and not a scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(-1, order)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        order, inverse = ctx.saved_tensors
        return _Gather.apply(gradient, inverse, order), None, None


class _Fused(torch.autograd.Function):
    """A linear cascade in Makhoul's order: v ``[R, N]``, a ``[K, N]``, scale and offset ``[K, N//2+1, 2]``."""

    @staticmethod
    def forward(ctx, v: Tensor, a: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
        tables = _tables(v.shape[-1], v.dtype, v.device)
        stages = len(a)
        kept = fields_like(v, stages - 1)
        out = torch.empty_like(v, memory_format=torch.contiguous_format)
        for rows in blocks(v):
            field = v[rows] * a[0]
            for k in range(stages):
                field = _stage(field, scale[k], None if offset is None else offset[k], tables)
                if k + 1 < stages:
                    kept[k][rows] = field
                    field.mul_(a[k + 1])
            out[rows] = field
        ctx.save_for_backward(v, a, scale, offset, *kept)
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        v, a, scale, offset, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = (v, a, scale, offset)
            return tuple(differentiable_again(inputs, ctx.needs_input_grad, _plain_in_order, gradient))
        need_v, need_a, need_scale, need_offset = ctx.needs_input_grad
        n = v.shape[-1]
        tables = _tables(n, v.dtype, v.device)
        to_v = torch.empty_like(v, memory_format=torch.contiguous_format) if need_v else None
        to_a = torch.zeros_like(a) if need_a else None
        to_scale = torch.zeros_like(scale) if need_scale else None
        to_offset = torch.zeros_like(scale) if need_offset else None
        for rows in blocks(v):
            g = gradient[rows]
            for k in reversed(range(len(a))):
                before = v[rows] if k == 0 else kept[k - 1][rows]
                z = _coefficients(g, tables)
                parts = torch.view_as_real(z)
                if to_offset is not None:
                    to_offset[k] += parts.sum(0)
                if to_scale is not None:
                    to_scale[k] += torch.view_as_real(_coefficients(before * a[k], tables)).mul_(parts).sum(0)
                if k == 0 and to_v is None and to_a is None:
                    break
                g = torch.fft.irfft(_scaled(z, scale[k], None).mul_(tables.untwiddle), n=n)
                if to_a is not None:
                    to_a[k] += (before * g).sum(0)
                g = g.mul_(a[k])
            if to_v is not None:
                to_v[rows] = g
        for sums in (to_scale, to_offset):
            if sums is not None:
                sums.mul_(tables.weight)
        return to_v, to_a, to_scale, to_offset


def _plain_in_order(v: Tensor, a: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    """:class:`_Fused` through autograd."""
    tables = _tables(v.shape[-1], v.dtype, v.device)
    for k in range(len(a)):
        parts = torch.view_as_real(torch.fft.rfft(v * a[k]) * tables.twiddle) * scale[k]
        z = torch.view_as_complex(parts if offset is None else parts + offset[k])
        v = torch.fft.irfft(z * tables.untwiddle, n=v.shape[-1])
    return v


class _Tables(NamedTuple):
    order: Tensor  #: [N], Makhoul's
    inverse: Tensor  #: [N]
    mirror: Tensor  #: [N], k -> (N - k) mod N
    twiddle: Tensor  #: [N//2+1], w
    untwiddle: Tensor  #: [N//2+1], conj(w)
    bins: Tensor  #: [N//2+1, 2], from cosine coefficients (C_k, C_{N-k}) to (Re z, Im z)
    weight: Tensor  #: [N//2+1, 1], m/N


@torch.compiler.assume_constant_result
def _tables(n: int, dtype: torch.dtype, device: torch.device) -> _Tables:
    return _make_tables(n, dtype, device)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # tables made in inference mode could not serve training later
def _make_tables(n: int, dtype: torch.dtype, device: torch.device) -> _Tables:
    shared = makhoul(n, dtype, device)
    bins = torch.full((n // 2 + 1, 2), math.sqrt(n / 2), dtype=torch.float64)
    bins[:, 1] *= -1
    bins[0, 0], bins[0, 1] = math.sqrt(n), 0
    weight = torch.full((n // 2 + 1, 1), 2 / n, dtype=torch.float64)
    weight[0] = 1 / n
    if n % 2 == 0:
        weight[n // 2] = 1 / n
    return _Tables(
        shared.order,
        shared.inverse,
        (-torch.arange(n) % n).to(device),
        shared.twiddle,
        shared.twiddle.conj().resolve_conj(),
        bins.to(device=device, dtype=dtype),
        weight.to(device=device, dtype=dtype),
    )
