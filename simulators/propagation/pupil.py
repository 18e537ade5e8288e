"""Apertures on sampled planes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simulators.errors import InputError
from simulators.grid import Grid

Shape = Literal["circular", "square"]


def aperture(grid: Grid, diameter: float, shape: Shape = "circular") -> Tensor:
    r"""Amplitude transmission of an aperture on the axis: at its edge, the share of each sample's cell that is open.

    The cell of a sample is cut by the edge as by a straight line with the edge's distance and slope:

    .. math:: t = \int_{-\infty}^{d} \Pi_a * \Pi_b, \quad a = \Delta x|\cos\varphi|,\; b = \Delta y|\sin\varphi|

    which leaves an error of the order of (Δ/D)² instead of Δ/D.

    Args:
        grid: samples.
        diameter: D, m; of a square, its side.
        shape: "circular" or "square".

    Returns:
        Float64 ``[y, x]`` within [0, 1].

    Raises:
        InputError: no positive diameter, or an unknown shape.

    Source: the exact share of a rectangle on one side of a line. Not modelled: thickness of the edge.
    """
    if not diameter > 0:
        raise InputError("aperture", value=f"{diameter:g} m", allowed="a positive diameter in metres")
    if shape not in ("circular", "square"):
        raise InputError("aperture shape", value=shape, allowed='"circular" or "square"')
    y, x = grid.meshed()
    # One row stands for a field uniform along y, so only its width along x is cut.
    if shape == "square":
        rows, columns = (
            torch.ones_like(axis) if axis.numel() == 1 else ((diameter / 2 - axis.abs()) / pitch + 0.5).clamp(0, 1)
            for axis, pitch in zip((y, x), grid.pitch, strict=True)
        )
        return rows * columns
    a_y = 0.0 if grid.shape[0] == 1 else grid.pitch[0]
    a_x = 0.0 if grid.shape[1] == 1 else grid.pitch[1]
    open_share = torch.empty(grid.shape, dtype=torch.float64)
    for rows in torch.arange(grid.shape[0]).split(256):  # the plane may be large, its temporaries need not be
        radius = torch.sqrt(y[rows] ** 2 + x**2).clamp(min=1e-300)
        b, a = a_y * (y[rows].abs() / radius), a_x * (x.abs() / radius)
        wide, narrow = torch.maximum(a, b), torch.minimum(a, b)
        narrow = torch.maximum(narrow, 1e-6 * wide.clamp(min=1e-12 * diameter))  # the limit of a line along an axis
        wide = torch.maximum(wide, narrow)
        d = diameter / 2 - radius
        share = torch.zeros_like(d)
        for sign, shift in ((1, wide + narrow), (-1, wide - narrow), (-1, narrow - wide), (1, -wide - narrow)):
            share += sign * (d + shift / 2).clamp(min=0) ** 2
        near = d.abs() <= (wide + narrow) / 2  # elsewhere the squares would cancel to rounding
        share = torch.where(near, share / (2 * wide * narrow), (d > 0).double())
        open_share[rows] = share.clamp(0, 1)
    return open_share
