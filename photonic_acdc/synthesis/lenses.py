r"""What every synthesis fills in: masks with a forward lens behind each.

.. math:: T = m_M\,F\,m_{M-1}\,F \cdots F\,m_1 \quad (M\ \text{odd}), \qquad
    T = F\,m_M\,F \cdots F\,m_1 \quad (M\ \text{even})

Light meets m₁ first. F is the unitary DFT, index from 0, of a line of n features or of a grid (y, x); the number of
lenses is even, so that a cascade is whole stages of an :class:`~photonic_acdc.layers.AFDF`. Two lenses turn the image,
feature k lies at -k: behind an odd number of pairs it is read so, and T is what is read. Masks are complex128
``[..., M, n]``, the features of a grid row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from photonic_acdc.transforms import dft

Grid = tuple[int, ...]
"""(n,): a line of features, a cylindrical lens; (y, x): a spherical one."""


def lens(field: Tensor, grid: Grid) -> Tensor:
    """The field ``[..., n]`` one lens on."""
    return dft(field.unflatten(-1, grid), len(grid)).flatten(-len(grid))


def propagate(masks: Tensor, field: Tensor, grid: Grid) -> Tensor:
    """Fields ``[..., B, n]`` through masks ``[..., M, n]``, as they are read."""
    count = masks.shape[-2]
    for j in range(count):
        field = field * masks[..., j, None, :]
        if j < count - count % 2:
            field = lens(field, grid)
    return read(field, count, grid)


def operator(masks: Tensor, grid: Grid) -> Tensor:
    """T of the cascade, ``[..., n, n]``, output first."""
    units = torch.eye(masks.shape[-1], dtype=masks.dtype, device=masks.device)
    return propagate(masks, units, grid).mT


def turned(masks: Tensor, grid: Grid) -> Tensor:
    """Values ``[..., n]`` with every index k at -k: what two lenses in a row do to a plane."""
    dims = tuple(range(-len(grid), 0))
    whole = masks.unflatten(-1, grid)
    return whole.flip(dims).roll((1,) * len(grid), dims).flatten(-len(grid))


def read(field: Tensor, masks: int, grid: Grid) -> Tensor:
    """The field ``[..., n]`` behind that many masks, turned back where their lenses have turned it; its own inverse."""
    return turned(field, grid) if masks // 2 % 2 else field


def reverse_alternate_stages(masks: Tensor, grid: Grid) -> Tensor:
    r"""From ··· F⁻¹ m₄ F m₃ · F⁻¹ m₂ F m₁ to forward lenses, or back: it is its own inverse.

    F⁻¹ is F and a turn of the plane, and a turn goes through to the output, where it is read back, if the masks of
    every other stage are turned.
    """
    count = masks.shape[-2]
    return torch.stack(
        [turned(masks[..., j, :], grid) if (j // 2) % 2 else masks[..., j, :] for j in range(count)], dim=-2
    )


def passive(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of which the brightest place passes all light, and the product of what each was divided by, ``[...]``."""
    peaks = masks.abs().amax(-1)
    safe = torch.where(peaks > 0, peaks, torch.ones_like(peaks))
    return masks / safe[..., None], safe.prod(-1)


def size(grid: Sequence[int]) -> int:
    """n, features of a grid."""
    return math.prod(grid)
