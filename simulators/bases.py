r"""How a field is written down along one axis of a plane: functions of position, orthonormal, a few to a cell.

:func:`pixel_modes` has q Legendre polynomials a pixel: a piecewise-constant mask is diagonal in them. :func:`samples`
has one value a sample of a band-limited field: any smooth mask is diagonal in them. A lens takes either to either
(:func:`simulators.fourier.path_matrix`). Positions are in pixels; cell n sits at n - (N-1)/2.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Gauss-Legendre points a pixel; the integrands turn by less than half a cycle over it, so 16 give full precision.
NODES = 16
_PART_NODES = 6


@dataclass(frozen=True, eq=False)
class Basis:
    """A basis along one axis: ``order`` functions in each of ``cells`` equal cells, known by their values at nodes.

    Attributes:
        cells: how many.
        width: of a cell, in pixels.
        nodes: positions in the cell relative to its centre, in pixels, float64 ``[nodes]``.
        functions: values at the nodes times quadrature weights, float64 ``[order, nodes]``.
        values: values at the nodes, float64 ``[order, nodes]``.
    """

    cells: int
    width: float
    nodes: Tensor
    functions: Tensor
    values: Tensor

    @property
    def order(self) -> int:
        """Functions a cell."""
        return len(self.functions)

    @property
    def is_sampled(self) -> bool:
        """Whether its functions are samples of a band-limited field."""
        return len(self.nodes) == 1

    @property
    def size(self) -> int:
        """All functions of the axis."""
        return self.cells * self.order

    @property
    def centres(self) -> Tensor:
        """Of the cells, in pixels, ``[cells]``."""
        return (torch.arange(self.cells, dtype=torch.float64) - (self.cells - 1) / 2) * self.width

    @property
    def positions(self) -> Tensor:
        """Of all nodes, in pixels, ``[cells·nodes]``, cell by cell."""
        return (self.centres[:, None] + self.nodes).reshape(-1)

    def evaluate(self) -> Tensor:
        """Values of all functions at all nodes: float64 ``[cells·nodes, cells·order]``, block-diagonal."""
        return torch.block_diag(*[self.values.T] * self.cells)

    def project(self) -> Tensor:
        """Overlap of a field given at all nodes with every function: float64 ``[cells·order, cells·nodes]``."""
        return torch.block_diag(*[self.functions] * self.cells)


Plane = tuple[Basis, Basis]
"""Bases along (y, x)."""


@functools.lru_cache(maxsize=256)
def pixel_modes(pixels: int, order: int, parts: int = 1) -> Basis:
    """The q orthonormal Legendre polynomials over each of ``pixels`` pixels; the mode index runs fastest.

    ``parts``: equal parts of a pixel, in each of which what is integrated is smooth; they share the nodes.
    """
    points, weights = np.polynomial.legendre.leggauss(max(NODES, order + 8) if parts == 1 else _PART_NODES)
    place = ((np.arange(parts)[:, None] + 0.5 + points / 2) / parts - 0.5).reshape(-1)
    weight = torch.from_numpy(np.tile(weights / 2 / parts, parts))
    modes = torch.from_numpy(legendre(order, place))
    return Basis(pixels, 1.0, torch.from_numpy(place), modes * weight, modes)


@functools.lru_cache(maxsize=256)
def samples(pixels: int, per_pixel: int, margin: int = 0) -> Basis:
    """``per_pixel`` samples in each pixel and in ``margin`` pixels more on either side, as value · √(sample width)."""
    weight = math.sqrt(1 / per_pixel)
    return Basis(
        (pixels + 2 * margin) * per_pixel,
        1 / per_pixel,
        torch.zeros(1, dtype=torch.float64),
        torch.full((1, 1), weight, dtype=torch.float64),
        torch.full((1, 1), 1 / weight, dtype=torch.float64),
    )


def legendre(order: int, position: np.ndarray) -> np.ndarray:
    """Orthonormal Legendre polynomials on [-1/2, 1/2] at ``position``, ``[order, *position.shape]``."""
    return np.stack(
        [math.sqrt(2 * a + 1) * np.polynomial.legendre.Legendre.basis(a)(2 * position) for a in range(order)]
    )


def shift_matrix(front: Basis, back: Basis, shift: Tensor) -> Tensor:
    r"""A field moved sideways, :math:`E'(x) = E(x - \delta)`, from one pixel basis to another of the same pixels.

    .. math:: S_{(k,a),(n,b)} = \int_{\text{pixel }k} P_a(x - k)\,P_b(x - n - \delta)\,dx

    Args:
        front: of the field; Legendre modes.
        back: of the result; Legendre modes over as many pixels.
        shift: δ in pixels, any shape ``[...]``; differentiable.

    Returns:
        Float64 ``[..., pixels·order_back, pixels·order_front]``, passive: what leaves the pixels is lost.
    """
    pixels, device = front.cells, shift.device
    whole = torch.floor(shift.detach())
    part = (shift - whole)[..., None]  # in [0, 1)
    points, weights = (torch.from_numpy(a).to(device) for a in np.polynomial.legendre.leggauss(NODES))
    pieces = []
    # Of pixel k the right part, [part - 1/2, 1/2], comes from the pixel `whole` away, the left one from one further.
    for low, high in ((part - 0.5, torch.full_like(part, 0.5)), (torch.full_like(part, -0.5), part - 0.5)):
        x = (high + low) / 2 + (high - low) / 2 * points
        weight = (high - low) / 2 * weights
        origin = x - part if not pieces else x - part + 1
        here = _polynomials(back.order, x) * weight[..., None, :]
        pieces.append(here @ _polynomials(front.order, origin).mT)  # [..., order_back, order_front]
    number = torch.arange(pixels, device=device)
    distance = number[:, None] - number
    out = 0
    for extra, piece in enumerate(pieces):
        hit = (distance == (whole + extra)[..., None, None]).to(piece)  # [..., pixels, pixels]
        out = out + hit[..., :, None, :, None] * piece[..., None, :, None, :]
    assert isinstance(out, Tensor)
    return out.reshape(*shift.shape, pixels * back.order, pixels * front.order)


def _polynomials(order: int, x: Tensor) -> Tensor:
    """Orthonormal Legendre polynomials on [-1/2, 1/2], differentiable in ``x [..., n]``: ``[..., order, n]``."""
    z = 2 * x
    rows = [torch.ones_like(z), z]
    for a in range(1, order):
        rows.append(((2 * a + 1) * z * rows[a] - a * rows[a - 1]) / (a + 1))
    return torch.stack([math.sqrt(2 * a + 1) * row for a, row in enumerate(rows[:order])], dim=-2)
