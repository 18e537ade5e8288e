r"""A kernel given as a table: linear between its points, zero beyond them, integrated in closed form.

.. math:: \int_{-\infty}^{x} h = C_j + h_j t + \frac{h_{j+1} - h_j}{x_{j+1} - x_j}\,\frac{t^2}{2},
    \quad t = x - x_j, \quad C_{j+1} = C_j + \tfrac12 (h_j + h_{j+1})(x_{j+1} - x_j)

between the points j and j + 1, so that nothing is lost but what the table leaves out: between samples Δ apart of a
smooth kernel, Δ²/12 of its slope.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from simulators.errors import InputError

#: (position, response) of a kernel, in ascending order.
Points = tuple[tuple[float, float], ...]


def check_points(points: Points, *, table: str = "kernel of the crosstalk", rows: Sequence[int] = ()) -> None:
    """Raise where points are no kernel.

    Args:
        points: positions and responses.
        table: what to call them in an error.
        rows: of the points in their file; none: they are counted from 1.

    Raises:
        InputError: fewer than three points, positions that do not ascend, a negative response, none at all, or one of
            more than half the maximum at an end, beyond which the half maximum would be.
    """
    if len(points) < 3:
        raise InputError(table, value=f"{len(points)} rows", allowed="three points or more")
    rows = rows or range(1, len(points) + 1)
    for row, (position, response) in zip(rows, points, strict=True):
        if not math.isfinite(position) or not math.isfinite(response):
            raise InputError(f"{table}, row {row}", value=f"{position:g}, {response:g}", allowed="finite numbers")
        if response < 0:
            raise InputError(
                f"{table}, row {row}: response",
                value=f"{response:g}",
                allowed="at least 0",
                remedy="0 where the noise of a measurement is below it",
            )
    for row, ((before, _), (position, _)) in zip(rows[1:], itertools.pairwise(points), strict=True):
        if position <= before:
            raise InputError(
                f"{table}, row {row}: position", value=f"{position:g} after {before:g}", allowed="ascending positions"
            )
    peak = max(response for _, response in points)
    if peak == 0:
        raise InputError(f"{table}: response", value="0 throughout", allowed="a kernel that is not zero everywhere")
    for end in (0, -1):
        if points[end][1] > peak / 2:
            raise InputError(
                f"{table}, row {rows[end]}: response at the end",
                value=f"{points[end][1]:g}",
                allowed=f"at most {peak / 2:g}, half the maximum, so that there is a full width at it",
                remedy="a table that reaches further",
            )


def half_maxima(points: Points) -> tuple[float, float]:
    """The outermost two positions at which the response is half its maximum; between them is the full width."""
    half = max(response for _, response in points) / 2

    def crossing(along: Sequence[tuple[float, float]]) -> float:
        after = next(j for j, (_, response) in enumerate(along) if response >= half)
        if after == 0:
            return along[0][0]
        (low, below), (high, above) = along[after - 1], along[after]
        return low + (high - low) * (half - below) / (above - below)

    return crossing(points), crossing(points[::-1])


def table_integral(x: Tensor, points: Points) -> Tensor:
    """Integral, up to ``x``, of a tabulated kernel stretched to unit width at half maximum and unit integral.

    Args:
        x: in widths, any shape; position 0 of the table stays at 0.
        points: of the table, in any unit; only their shape counts.

    Returns:
        0 → 1, the shape of ``x``; its derivative is the kernel.

    Raises:
        InputError: as of :func:`check_points`.
    """
    # In double precision: in single, steep sides of a table would be points in the same place.
    places, responses, reached = (column.to(x.device) for column in _shape(points))
    place = x.double().clamp(places[0], places[-1])
    after = torch.searchsorted(places, place.detach().contiguous()).clamp(1, len(places) - 1)
    low, below = places[after - 1], responses[after - 1]
    slope = (responses[after] - below) / (places[after] - low)
    t = place - low
    return (reached[after - 1] + t * (below + slope * t / 2)).to(x.dtype)


@torch.compiler.assume_constant_result
def _shape(points: Points) -> tuple[Tensor, Tensor, Tensor]:
    with torch.inference_mode(False):
        return _tabulated(points)


@functools.lru_cache(maxsize=64)  # a sweep over kernels leaves no more behind
def _tabulated(points: Points) -> tuple[Tensor, Tensor, Tensor]:
    """Positions in widths, responses of unit integral over them, and the integral up to each."""
    check_points(points)
    low, high = half_maxima(points)
    places, responses = torch.tensor(points, dtype=torch.float64).unbind(-1)
    places, responses = places / (high - low), responses / responses.max()
    reached = torch.cat([places.new_zeros(1), torch.cumulative_trapezoid(responses, places)])
    return places, responses / reached[-1], reached / reached[-1]
