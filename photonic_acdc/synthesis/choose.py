"""Which method: by unitarity, size, grid, masks allowed, plane budget and gain; and why."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from torch import Tensor

from photonic_acdc.synthesis.check import UNITARY, departure, unitary_scale
from photonic_acdc.synthesis.good_thomas import fits, squarest
from photonic_acdc.synthesis.lenses import Grid, size
from simulators.errors import InputError


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked.

    Attributes:
        matrix: complex128 ``[B, out, in]``, checked.
        shape: grid or line that the user wants; None: what the method needs, on a line.
        phase_only: no mask may dim.
        planes: masks at most; None: as many as it takes.
        tolerance: relative error that the result may have.
        gain: g ``[B]``; None: whatever the method has.
    """

    matrix: Tensor
    shape: Grid | None
    phase_only: bool
    planes: int | None
    tolerance: float
    gain: Tensor | None = None

    @property
    def modes(self) -> int:
        """N, the larger side of the matrix."""
        return max(self.matrix.shape[-2:])

    @functools.cached_property
    def departure(self) -> float:
        """From a multiple of a unitary matrix."""
        return departure(self.matrix, unitary_scale(self.matrix))

    @property
    def unitary(self) -> bool:
        """Whether every matrix is a multiple of a unitary one, well within the tolerance."""
        return self.departure <= self.unitary_to

    @functools.cached_property
    def dims(self) -> bool:
        """Whether less gain is wanted than the passive bound: phase masks alone would have to lose light."""
        return self.gain is not None and bool((self.gain < unitary_scale(self.matrix) * (1 - 1e-9)).any())

    @property
    def unitary_to(self) -> float:
        """Departure up to which a matrix counts as unitary."""
        return max(UNITARY, self.tolerance / 10)

    def affords(self, planes: int) -> bool:
        """Whether the budget has room for that many masks."""
        return self.planes is None or planes <= self.planes


#: A departure from unitarity that is likely rounding, of a matrix that came in single precision.
SINGLE = 1e-4

#: (a, b) of each closed form: on n modes it takes a·n + b masks.
PLANES = {"unitary": (2, 5), "svd": (4, 9), "dilation": (2, 5)}


def closed_form_grid(task: Task, method: str) -> Grid:
    """Where a closed form runs: n even, on a line or on a grid whose sides have no common divisor.

    Raises:
        InputError: a shape on which it cannot.
    """
    needed = 2 * task.modes if method == "dilation" else task.modes
    even = needed + needed % 2
    if task.shape is None:
        return (even,)
    n, y_x = size(task.shape), "x".join(map(str, task.shape))
    grid = squarest(needed)
    remedy = f"shape=({grid[0]}, {grid[1]}), or shape=None for cylindrical lenses"
    if n < needed:
        raise InputError("shape", value=f"{y_x} = {n} pixels", allowed=f"at least {needed}", remedy=remedy)
    if n % 2 or (len(task.shape) == 2 and not fits((task.shape[0], task.shape[1]))):
        why = "an odd number of pixels" if n % 2 else "sides with a common divisor"
        raise InputError(
            "shape",
            value=f"{y_x}, {why}",
            allowed=f"for method={method!r} an even number of pixels, and sides without a common divisor",
            remedy=remedy + ", or method='fit'",
        )
    return task.shape


def closed_form_planes(method: str, grid: Grid) -> int:
    """Masks of a closed form."""
    factor, more = PLANES[method]
    return factor * size(grid) + more


def choose(task: Task) -> tuple[str, str]:
    """Method and reason, for ``method="auto"``."""
    if task.unitary and not task.dims:
        why = f"the matrix is unitary to {task.departure:.0e}"
        candidates = ["unitary"]
    else:
        why = "the matrix is not unitary" if not task.unitary else "the gain wanted is below the passive bound"
        if not task.unitary and task.departure < SINGLE:
            why += f" to more than {task.departure:.0e} (tolerance={100 * task.departure:.0e} would take it as such)"
        why += " and masks may not dim" if task.phase_only else ""
        candidates = ["dilation"] if task.phase_only else ["svd", "dilation"]
    obstacle = ""
    for method in candidates:
        try:
            grid = closed_form_grid(task, method)
        except InputError as error:
            obstacle = obstacle or f"no closed form on this shape ({error.value})"
            continue
        planes = closed_form_planes(method, grid)
        if task.affords(planes):
            gain = "" if task.dims else ", at the gain of the passive bound"
            return method, f"{why}; {planes} masks are exact{gain}"
        obstacle = obstacle or f"the {planes} masks of the closed form exceed the budget of {task.planes}"
    return "fit", f"{why}; {obstacle}"
