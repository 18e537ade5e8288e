"""Blocks of rows that stay in cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

#: Share of a block of each thread: it fits a second-level cache, and is large enough for batched transforms.
BLOCK_BYTES = 2**20


def blocks(x: Tensor) -> Iterator[slice]:
    """Slices of the rows of ``x`` ``[R, …]``; all rows at once where there is no such cache to keep."""
    rows = len(x)
    if x.device.type != "cpu" or not rows:
        yield slice(0, rows)
        return
    size = BLOCK_BYTES * torch.get_num_threads()
    step = max(1, size // (x[0].numel() * x.element_size()))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def fields_like(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Memory for ``count`` fields, contiguous; apart, since allocators reuse moderate sizes and fault in huge ones."""
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count))


def differentiable_again(inputs: tuple[Tensor | None, ...], needed, plain, gradient: Tensor) -> list[Tensor | None]:
    """Gradients of ``plain(*inputs)`` with a graph of their own: for a backward pass that is differentiated itself."""
    wanted = [x for x, need in zip(inputs, needed, strict=True) if need and x is not None]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, gradient, create_graph=True))
    return [next(found) if need and x is not None else None for x, need in zip(inputs, needed, strict=True)]
