r"""The 1-D transform of y·x features on a spherical lens, where y and x have no common divisor.

.. math:: F_{yx} = P_{out}^T\,(F_y \otimes F_x)\,P_{in}, \qquad
    P_{in}: k \mapsto (k \bmod y,\ k \bmod x), \quad P_{out}: f \mapsto (x^{-1} f \bmod y,\ y^{-1} f \bmod x)

so that a cascade made for 1-D lenses runs on 2-D ones when its pixels are relabelled: by P_in in every other plane from
the first on, by P_out in those between, because the transform is symmetric.

Source: Good, J. R. Stat. Soc. B 20, 361 (1958); Thomas, *Using a computer to solve problems in physics* (1963).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def labels(grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixel, row by row, of feature k: where features are fed, and behind a lens; int64 ``[y·x]`` each."""
    y, x = grid
    k = torch.arange(y * x)
    fed = (k % y) * x + k % x
    behind = (k * pow(x, -1, y) % y) * x + k * pow(y, -1, x) % x
    return fed, behind


def on_line(matrix: Tensor, grid: tuple[int, int]) -> Tensor:
    """A matrix ``[..., n, n]`` between pixels as one between features of the line."""
    fed, _ = labels(grid)
    fed = fed.to(matrix.device)
    return matrix[..., fed[:, None], fed]


def on_grid(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Masks ``[..., M, n]`` of a line, relabelled for the grid."""
    relabelled = torch.empty_like(masks)
    for start, places in enumerate(labels(grid)):
        relabelled[..., start::2, places.to(masks.device)] = masks[..., start::2, :]
    return relabelled


def fits(grid: tuple[int, int]) -> bool:
    """Whether y and x have no common divisor."""
    return math.gcd(*grid) == 1


def squarest(features: int) -> tuple[int, int]:
    """The smallest grid of sides without a common divisor, even in number, that holds ``features``: near to a square.

    Sides differ by a factor of two at most.
    """
    n = max(2, features + features % 2)
    while True:
        for y in range(math.isqrt(n), 0, -1):
            if n % y == 0 and n <= 2 * y * y and fits((y, n // y)):
                return y, n // y
        n += 2
