"""Static phase maps of a panel: its bow, and errors that neighbours share."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from simulators.effects.limits import check_figure


def flatness(coefficients: Tensor, shapes: Tensor) -> Tensor:
    r"""Phase of a panel that is not flat.

    .. math:: \phi(y, x) = \sum_t c_t\,Z_t(y, x)

    Args:
        coefficients: c, rad, ``[R, 1, T]``.
        shapes: Z, maps of low order, as Zernike polynomials are, or measured ones, ``[T, y, x]``.

    Returns:
        φ, rad, ``[R, 1, y, x]``, dtype and device of ``shapes``.
    """
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

    Raises:
        InputError: a length that is not positive.

    Source: the square root of a covariance, Cressie, *Statistics for Spatial Data* (1993). Not modelled:
    correlation across the gap between two zones of one panel.
    """
    check_figure("correlation length", length, 0, above=True)
    y, x = (_root(n, length).to(error) for n in tuple(error.shape[-2:]))
    return y @ error @ x.mT


@torch.compiler.assume_constant_result  # which looks at plain functions only, so the cache is one further in
def _root(count: int, length: float) -> Tensor:
    with torch.inference_mode(False):
        return _kept_root(count, length)


@functools.lru_cache(maxsize=64)
def _kept_root(count: int, length: float) -> Tensor:
    """Symmetric square root of the correlation matrix."""
    place = torch.arange(count, dtype=torch.float64)
    matrix = torch.exp(-((place[:, None] - place) ** 2) / (2 * length**2))
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
