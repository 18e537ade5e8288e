"""A field turned in its plane, in pixel modes or in samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulators.bases import Plane, shift_matrix


def turned(field: Tensor, angle: Tensor, plane: Plane, *, adjoint: bool = False) -> Tensor:
    """``field`` turned by ``angle`` (rad, ``[R or 1, 1]``) in its plane: three shears (Paeth, Graphics Interface 1986).

    Rows shift as a whole by what their centre does; within a pixel the difference is ``angle``/2 of a pixel.
    """
    half, whole = torch.tan(angle / 2), torch.sin(angle)
    # x' = x - y sin, to the first order: y is the axis from which x is shifted.
    steps = [(1, -half), (0, whole), (1, -half)]
    for axis, slope in steps:  # the same forth and back: the order is symmetric, each shear is undone by its adjoint
        field = _sheared(field, plane, axis, slope, adjoint)
    return field


def _sheared(field: Tensor, plane: Plane, axis: int, slope: Tensor, adjoint: bool) -> Tensor:
    along, across = plane[axis], plane[1 - axis]
    if axis == 0:
        field = field.mT
    shift = slope[..., None] * across.centres.to(slope)  # [R or 1, 1, cells across], in pixels
    if along.is_sampled:
        frequency = torch.fft.fftfreq(along.cells, d=along.width, dtype=torch.float64, device=field.device)
        phase = (2 * math.pi if adjoint else -2 * math.pi) * shift[..., None] * frequency
        field = torch.fft.ifft(torch.fft.fft(field) * torch.complex(phase.cos(), phase.sin()).to(field.dtype))
    else:
        matrix = shift_matrix(along, along, shift).to(field.dtype)  # [R or 1, 1, cells, size, size]
        matrix = matrix.mH if adjoint else matrix
        rows = field.unflatten(-2, (across.cells, across.order))
        field = (rows @ matrix.mT).flatten(-3, -2)
    return field.mT if axis == 0 else field
