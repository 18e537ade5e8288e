r"""The complex cascade, :math:`y = x \prod_k A_k F D_k F^{-1}`: plain, fused and reversible.

All take ``x [R, *grid]``, ``a`` and ``d`` ``[K, *grid]`` and ``b`` ``[K, *grid]`` or None, added after D; complex of
one precision; they return ``[R, *grid]``. With g the gradient after a stage (torch's convention, ∂L/∂conj), x the
field before it, h = F(a x) and G = F g (F unitary, so that the adjoint is the inverse):

.. math:: ∂b = Σ G,\quad ∂d = Σ G h^*,\quad g_a = F^{-1}(d^* G),\quad ∂a = Σ g_a x^*,\quad ∂x = a^* g_a
"""

from __future__ import annotations

import torch
from torch import Tensor

from photonic_acdc.layers.kernels.blocks import blocks, differentiable_again
from photonic_acdc.transforms import dft, idft


def plain(x: Tensor, a: Tensor, d: Tensor, b: Tensor | None) -> Tensor:
    """Stage by stage, through autograd: 2K fields are kept for the gradient."""
    dims = a.dim() - 1
    for k in range(len(a)):
        spectrum = dft(x * a[k], dims) * d[k]
        x = idft(spectrum if b is None else spectrum + b[k], dims)
    return x


def fused(x: Tensor, a: Tensor, d: Tensor, b: Tensor | None) -> Tensor:
    """Blocked; for the gradient one field a stage is kept."""
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, a, d, b)):
        return _Fused.apply(x, a, d, b)  # pyright: ignore[reportReturnType]
    return _blocked(x, a, d, b)


def reversible(x: Tensor, a: Tensor, d: Tensor, b: Tensor | None) -> Tensor:
    """Blocked; |a| = |d| = 1, so that the gradient recomputes every field from the output."""
    return _Reversible.apply(x, a, d, b)  # pyright: ignore[reportReturnType]


def _blocked(x: Tensor, a: Tensor, d: Tensor, b: Tensor | None, kept: Tensor | None = None) -> Tensor:
    """The cascade; ``kept [K-1, R, *grid]`` receives the conjugate fields before stages 2 … K."""
    dims, stages = a.dim() - 1, len(a)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for rows in blocks(x):
        field = x[rows] * a[0]
        for k in range(stages):
            field = dft(field, dims)
            field = field.mul_(d[k]) if b is None else torch.addcmul(b[k], field, d[k])
            field = idft(field, dims)
            if k + 1 < stages:
                if kept is not None:
                    torch.conj_physical(field, out=kept[k, rows])
                field.mul_(a[k + 1])
        out[rows] = field
    return out


def _sums(need: bool, like: Tensor) -> Tensor | None:
    return torch.zeros_like(like, memory_format=torch.contiguous_format) if need else None


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, d: Tensor, b: Tensor | None) -> Tensor:
        kept = x.new_empty((len(a) - 1, *x.shape))
        y = _blocked(x, a, d, b, kept)
        ctx.save_for_backward(x, a, d, b, kept)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, a, d, b, kept = ctx.saved_tensors
        need_x, need_a, need_d, need_b = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return tuple(differentiable_again((x, a, d, b), ctx.needs_input_grad, plain, gradient))
        dims = a.dim() - 1
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else None
        to_a, to_d = _sums(need_a, a), _sums(need_d, d)
        to_b = _sums(need_b, a)
        conj_a, conj_d = a.conj().resolve_conj(), d.conj().resolve_conj()
        for rows in blocks(x):
            g = gradient[rows]
            for k in reversed(range(len(a))):
                before = x[rows].conj().resolve_conj() if k == 0 else kept[k - 1, rows]
                spectrum = dft(g, dims)
                if to_b is not None:
                    to_b[k] += spectrum.sum(0)
                if to_d is not None:  # conj(F(a x)) = F⁻¹(conj(a x))
                    to_d[k] += idft(before * conj_a[k], dims).mul_(spectrum).sum(0)
                if k == 0 and to_x is None and to_a is None:
                    break
                g = idft(spectrum.mul_(conj_d[k]), dims)
                if to_a is not None:
                    to_a[k] += (before * g).sum(0)
                g.mul_(conj_a[k])
            if to_x is not None:
                to_x[rows] = g
        return to_x, to_a, to_d, to_b


class _Reversible(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, d: Tensor, b: Tensor | None) -> Tensor:
        y = _blocked(x, a, d, b)
        ctx.save_for_backward(x, a, d, b, y)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, a, d, b, y = ctx.saved_tensors
        need_x, need_a, need_d, need_b = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return tuple(differentiable_again((x, a, d, b), ctx.needs_input_grad, plain, gradient))
        dims = a.dim() - 1
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else None
        to_a, to_d, to_b = _sums(need_a, a), _sums(need_d, d), _sums(need_b, a)
        conj_a, conj_d = a.conj().resolve_conj(), d.conj().resolve_conj()
        for rows in blocks(x):
            g, field = gradient[rows], y[rows]
            for k in reversed(range(len(a))):
                spectrum = dft(field, dims)
                if b is not None:
                    spectrum.sub_(b[k])
                spectrum.mul_(conj_d[k])
                field = idft(spectrum, dims).mul_(conj_a[k])
                backward = dft(g, dims)
                if to_b is not None:
                    to_b[k] += backward.sum(0)
                if to_d is not None:
                    to_d[k] += spectrum.conj_physical_().mul_(backward).sum(0)
                g = idft(backward.mul_(conj_d[k]), dims)
                if to_a is not None:
                    to_a[k] += field.conj_physical().mul_(g).sum(0)
                g.mul_(conj_a[k])
            if to_x is not None:
                to_x[rows] = g
        return to_x, to_a, to_d, to_b
