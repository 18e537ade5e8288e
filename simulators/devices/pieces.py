"""Where to cut a macro-pixel so that a few Gauss nodes in each piece integrate what its panel shows."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import torch

from simulators.effects.crosstalk import Kernel, smoothed_boxes
from simulators.effects.kernel_table import half_maxima

#: A fringing kernel, and its nominal full width at half maximum in pixels.
Fringe = tuple[Kernel, float]

#: Error of the nodes that is left, of a field of 1, over the steps of phase that are tried: 1e-6 of power and less.
_LEFT = 5e-4
#: Places where a pixel may be cut: so many evenly spaced ones, and as many at even shares of the kernel.
_MARKS = 96
#: Widths that the exponential kernel reaches to either side, to 2e-10 of it; and the share of any that is left out.
_REACH, _BEYOND = 16.0, 1e-6
#: Heights of the steps that are tried, rad: the field behind a step of half a turn differs most, one of a turn is the
#: highest that a pattern has.
_STEPS = (math.pi, 2 * math.pi)


def pieces(native: int, fringe: Fringe | None, fill: float | None, steps: bool, nodes: int) -> list[float]:
    """Where to cut a macro-pixel, -1/2 … 1/2, so that what is shown is smooth in each piece.

    Args:
        native: native pixels a macro-pixel and axis.
        fringe: of the macro-pixels; None: phases change at once.
        fill: linear share of a native pixel that is open; None: gaps are not resolved.
        steps: what is shown changes from native pixel to native pixel.
        nodes: in each piece; fewer than 3 are given the pieces of 3.
    """
    edges = {-0.5, 0.5}
    if fill is not None:
        for i in range(native):
            centre = (i + 0.5) / native - 0.5
            edges |= {centre - fill / (2 * native), centre + fill / (2 * native)}
    if steps:
        edges |= {i / native - 0.5 for i in range(native)}
    return _fringed(edges, fringe, nodes)


def native_pieces(native: int, fringe: Fringe | None, fill: float | None, nodes: int) -> list[float]:
    """Every native pixel in halves, and in its gaps, and as fringing needs it; each in as many pieces.

    Args:
        native: as of :func:`pieces`.
        fringe: of the native pixels.
        fill: as of :func:`pieces`.
        nodes: as of :func:`pieces`.
    """
    inside = [0.0, 0.5] if fill is None else [0.0, (1 - fill) / 2, 0.5, (1 + fill) / 2]
    if fringe is not None and _is_searched(fringe[0]):
        inside = [cut + 0.5 for cut in _fringed({share - 0.5 for share in (*inside, 1.0)}, fringe, nodes)[:-1]]
    return [(i + share) / native - 0.5 for i in range(native) for share in inside] + [0.5]


def _is_searched(kernel: Kernel) -> bool:
    """Whether its cuts are searched for: a table may have tails, pedestals and lobes, the exponential has tails."""
    return not isinstance(kernel, str) or kernel == "exponential"


def _fringed(edges: set[float], fringe: Fringe | None, nodes: int) -> list[float]:
    """``edges`` of pieces, and those that fringing adds."""
    if fringe is not None:
        kernel, width = fringe
        if _is_searched(kernel):
            # One or two nodes would need very many pieces.
            return list(_searched(tuple(sorted(edges)), kernel, width, max(nodes, 3)))
        # One lobe without a tail: cuts at its sides and its ends do, from either edge of the pixel.
        for reach in (share * width for share in (-1.25, -0.5, 0.5, 1.25)):
            if abs(reach) < 0.45:
                edges = edges | {math.copysign(0.5, -reach) + reach}
    return _apart(sorted(edges))


def _apart(ordered: list[float]) -> list[float]:
    return [ordered[0], *(b for a, b in itertools.pairwise(ordered) if b - a > 1e-9)]


@functools.lru_cache(maxsize=64)  # of the panels of a bench; a sweep leaves no more behind
def _searched(edges: tuple[float, ...], kernel: Kernel, width: float, nodes: int) -> tuple[float, ...]:
    """``edges`` and further cuts, one after the other where it helps most, until the nodes integrate the field.

    The field is that of one step of phase, at each of the edges between pixels whose kernel is felt in this pixel.
    """
    places = np.linspace(*_reach(kernel, width), 20_001)
    shares = _felt(places, kernel, width)
    low, high = np.interp([_BEYOND, 1 - _BEYOND], shares, places)
    # What is felt of an edge between pixels at a distance is as far from every other pixel's edge.
    even = np.interp(np.linspace(0, 1, _MARKS + 1)[1:-1], shares, places) % 1 - 0.5
    marks = np.array(_apart(sorted({*np.linspace(-0.5, 0.5, _MARKS + 1).tolist(), *even.tolist(), *edges})))
    sides = np.arange(math.ceil(-high), math.floor(1 - low) + 1) - 0.5

    def integrals(start: np.ndarray, stop: np.ndarray, count: int) -> np.ndarray:
        """Of the field from each start to each stop, for every edge and height of the step, by ``count`` nodes."""
        points, weights = np.polynomial.legendre.leggauss(count)
        x = (start + stop)[:, None] / 2 + (stop - start)[:, None] / 2 * points
        felt = _felt(x - sides[:, None, None], kernel, width)
        return np.concatenate([np.exp(1j * height * felt) @ weights for height in _STEPS]) * (stop - start) / 2

    exact = np.cumsum(np.pad(integrals(marks[:-1], marks[1:], 4), ((0, 0), (1, 0))), -1)

    def errors(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        found = integrals(marks[first], marks[last], nodes) - (exact[:, last] - exact[:, first])
        # Rounded, so that of cuts as good as each other the first is taken on every machine.
        return np.linalg.norm(found, axis=0).round(10)

    cuts = np.searchsorted(marks, np.array(_apart(list(edges))) - 1e-9).tolist()
    left = errors(np.array(cuts[:-1]), np.array(cuts[1:])).tolist()
    while sum(left) > _LEFT:
        worst = left.index(max(left))
        between = np.arange(cuts[worst] + 1, cuts[worst + 1])
        if not len(between):
            left[worst] = 0.0  # as finely cut as can be
            continue
        below = errors(np.full_like(between, cuts[worst]), between)
        above = errors(between, np.full_like(between, cuts[worst + 1]))
        best = int((below + above).argmin())
        cuts.insert(worst + 1, int(between[best]))
        left[worst : worst + 1] = [float(below[best]), float(above[best])]
    return tuple(marks[cuts].tolist())


def _reach(kernel: Kernel, width: float) -> tuple[float, float]:
    """From where to where the kernel is felt, in pixels."""
    if isinstance(kernel, str):
        return -_REACH * width, _REACH * width
    low, high = half_maxima(kernel)
    return kernel[0][0] / (high - low) * width, kernel[-1][0] / (high - low) * width


def _felt(x: np.ndarray, kernel: Kernel, width: float) -> np.ndarray:
    """How much of the step of phase at 0 is felt at each place, 0 → 1."""
    return smoothed_boxes(torch.from_numpy(x).reshape(-1), 2, kernel, width)[:, 1].reshape(x.shape).numpy()
