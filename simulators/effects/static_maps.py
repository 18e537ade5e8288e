"""Static phase maps of a panel: its bow, and errors that neighbours share."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def flatness(coefficients: Tensor, shapes: Tensor) -> Tensor:
    """A bow of low order: ``[R, 1, T]`` coefficients (rad) on ``[T, y, x]`` shapes → rad ``[R, 1, y, x]``."""
    return torch.einsum("...t,tyx->...yx", coefficients.to(shapes), shapes)


def correlated(error: Tensor, length: float) -> Tensor:
    r"""Independent errors a pixel, made to resemble those of their neighbours.

    .. math:: \varepsilon' = C_y^{1/2}\,\varepsilon\,C_x^{1/2}, \quad C_{mn} = e^{-(m-n)^2/(2\ell^2)}

    Every pixel keeps its variance, at the edges too; two pixels a distance d apart correlate as
    :math:`e^{-d^2/(2\ell^2)}`.

    Args:
        error: independent, equal variance, ``[..., y, x]``.
        length: ℓ in pixels, > 0.

    Returns:
        The same shape.
    """
    y, x = (_root(n, length).to(error) for n in tuple(error.shape[-2:]))
    return y @ error @ x.mT


@functools.lru_cache(maxsize=64)
def _root(count: int, length: float) -> Tensor:
    """Symmetric square root of the correlation matrix."""
    place = torch.arange(count, dtype=torch.float64)
    matrix = torch.exp(-((place[:, None] - place) ** 2) / (2 * length**2))
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
