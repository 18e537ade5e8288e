r"""Closed forms: a unitary matrix, any matrix by its singular values, any matrix by phase masks on twice the modes.

All stand on :func:`~photonic_acdc.synthesis.compact.compact_masks`. The grid is a line or has sides without a common
divisor; its n pixels are even in number and at least what each form needs. Pixels beyond the matrix are carried along,
alone (U ⊕ 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from photonic_acdc.synthesis.compact import compact_masks
from photonic_acdc.synthesis.good_thomas import on_grid, on_line
from photonic_acdc.synthesis.lenses import Grid, size


def unitary_masks(unitary: Tensor, grid: Grid) -> Tensor:
    """2n + 5 phase masks.

    Args:
        unitary: complex128 ``[B, N, N]``.
        grid: of n ≥ N pixels.

    Returns:
        ``[B, 2n + 5, n]``.
    """
    whole = beside_one(unitary, size(grid))
    if len(grid) == 1:
        return _compact(whole)
    y, x = grid
    return on_grid(_compact(on_line(whole, (y, x))), (y, x))


def svd_masks(matrix: Tensor, gain: Tensor, grid: Grid) -> Tensor:
    r"""4n + 9 masks of A = W Σ V*, of which the middle one dims: the masks beside Σ join it.

    Args:
        matrix: complex128 ``[B, N, N]``.
        gain: ≤ 1/σ_max, ``[B]``.
        grid: of n ≥ N pixels.

    Returns:
        ``[B, 4n + 9, n]``.
    """
    w, sigma, vh = torch.linalg.svd(matrix)
    dimmed = torch.ones(len(matrix), size(grid), dtype=torch.float64, device=matrix.device)
    dimmed[:, : sigma.shape[-1]] = gain[:, None] * sigma
    first, last = unitary_masks(vh, grid), unitary_masks(w, grid)
    middle = first[:, -1] * dimmed.clamp(max=1) * last[:, 0]  # rounding alone is beyond 1
    return torch.cat([first[:, :-1], middle[:, None], last[:, 1:]], dim=1)


def dilation_masks(matrix: Tensor, gain: Tensor, grid: Grid) -> Tensor:
    r"""2n + 5 phase masks of the unitary matrix of twice the modes that holds C = gain·A.

    .. math:: \begin{pmatrix} C & \sqrt{1 - CC^*}\\ \sqrt{1 - C^*C} & -C^*\end{pmatrix}

    Args:
        matrix: complex128 ``[B, N, N]``.
        gain: ≤ 1/σ_max, ``[B]``.
        grid: of n ≥ 2N pixels.

    Returns:
        ``[B, 2n + 5, n]``.

    Source: Halmos, Summa Brasil. Math. 2, 125 (1950).
    """
    w, sigma, vh = torch.linalg.svd(matrix)
    passed = (gain[:, None] * sigma).clamp(max=1)
    kept = torch.sqrt((1 - passed) * (1 + passed))
    c = (w * passed[:, None]) @ vh
    above, below = (w * kept[:, None]) @ w.mH, (vh.mH * kept[:, None]) @ vh
    return unitary_masks(torch.cat([torch.cat([c, above], -1), torch.cat([below, -c.mH], -1)], -2), grid)


def beside_one(matrix: Tensor, n: int) -> Tensor:
    """A ⊕ 1, ``[..., n, n]``."""
    whole = torch.eye(n, dtype=matrix.dtype, device=matrix.device).repeat(*matrix.shape[:-2], 1, 1)
    whole[..., : matrix.shape[-2], : matrix.shape[-1]] = matrix
    return whole


def _compact(whole: Tensor) -> Tensor:
    return torch.from_numpy(compact_masks(whole.cpu().numpy())).to(whole.device)
