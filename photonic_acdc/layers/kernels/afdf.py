r"""The complex cascade, :math:`y = x \prod_k A_k F D_k F^{-1}`: plain, fused and reversible.

All take ``x [R, *grid]``, ``a`` and ``d`` ``[K, *grid]`` and ``b`` ``[K, *grid]`` or None, added after D; complex of
one precision; they return ``[R, *grid]``. With g the gradient after a stage (torch's convention, ∂L/∂conj), x the
field before it, h = F(a x) and G = F g (F unitary, so that the adjoint is the inverse):

.. math:: ∂b = Σ G,\quad ∂d = Σ G h^*,\quad g_a = F^{-1}(d^* G),\quad ∂a = Σ g_a x^*,\quad ∂x = a^* g_a
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from photonic_acdc.layers.kernels.blocks import blocks, differentiable_again, fields_like
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
        return _Cascade.apply(x, a, d, b, False)  # pyright: ignore[reportReturnType]
    return _blocked(x, a, d, b)


def reversible(x: Tensor, a: Tensor, d: Tensor, b: Tensor | None) -> Tensor:
    """Blocked; |a| = |d| = 1, so that the gradient recomputes every field from the output."""
    return _Cascade.apply(x, a, d, b, True)  # pyright: ignore[reportReturnType]


def _blocked(x: Tensor, a: Tensor, d: Tensor, b: Tensor | None, kept: Sequence[Tensor] = ()) -> Tensor:
    """The cascade; ``kept``, K-1 tensors like x, receive the conjugate fields before stages 2 … K."""
    dims, stages = a.dim() - 1, len(a)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for rows in blocks(x):
        field = x[rows] * a[0]
        for k in range(stages):
            field = dft(field, dims)
            field = field.mul_(d[k]) if b is None else torch.addcmul(b[k], field, d[k])
            field = idft(field, dims)
            if k + 1 < stages:
                if kept:
                    torch.conj_physical(field, out=kept[k][rows])
                field.mul_(a[k + 1])
        out[rows] = field
    return out


class _Cascade(torch.autograd.Function):
    """Keeps the fields between stages or, where it is reversible, the output alone."""

    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, d: Tensor, b: Tensor | None, is_reversible: bool) -> Tensor:
        kept = () if is_reversible else fields_like(x, len(a) - 1)
        y = _blocked(x, a, d, b, kept)
        ctx.is_reversible = is_reversible
        ctx.save_for_backward(x, a, d, b, *((y,) if is_reversible else kept))
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, a, d, b, *stored = ctx.saved_tensors
        needed = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled():
            return *differentiable_again((x, a, d, b), needed, plain, gradient), None
        dims = a.dim() - 1
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format) if needed[0] else None
        to_a, to_d, to_b = (torch.zeros_like(a) if need else None for need in needed[1:])
        conj_a, conj_d = a.conj().resolve_conj(), d.conj().resolve_conj()
        for rows in blocks(x):
            g = gradient[rows]
            after = stored[0][rows] if ctx.is_reversible else None
            for k in reversed(range(len(a))):
                # conj(x) before the stage, and conj(h) in its Fourier plane
                if after is not None:
                    spectrum = dft(after, dims)
                    spectrum = spectrum.mul_(conj_d[k]) if b is None else spectrum.sub_(b[k]).mul_(conj_d[k])
                    after = idft(spectrum, dims).mul_(conj_a[k])
                    before, plane = after.conj_physical(), spectrum.conj_physical_()
                else:
                    before = x[rows].conj().resolve_conj() if k == 0 else stored[k - 1][rows]
                    plane = idft(before * conj_a[k], dims) if to_d is not None else before
                spectrum = dft(g, dims)
                if to_b is not None:
                    to_b[k] += spectrum.sum(0)
                if to_d is not None:
                    to_d[k] += plane.mul_(spectrum).sum(0)
                if k == 0 and to_x is None and to_a is None:
                    break
                g = idft(spectrum.mul_(conj_d[k]), dims)
                if to_a is not None:
                    to_a[k] += (before * g).sum(0)
                g.mul_(conj_a[k])
            if to_x is not None:
                to_x[rows] = g
        return to_x, to_a, to_d, to_b, None
