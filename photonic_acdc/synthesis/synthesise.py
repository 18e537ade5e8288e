"""The front door: a matrix in, masks out."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from photonic_acdc.synthesis.check import (
    UNITARY,
    checked_gain,
    checked_matrix,
    checked_shape,
    unitary_scale,
    whole,
)
from photonic_acdc.synthesis.choose import PLANES, Task, choose, closed_form_grid, closed_form_planes
from photonic_acdc.synthesis.circulant import circulant_masks
from photonic_acdc.synthesis.exact import dilation_masks, svd_masks, unitary_masks
from photonic_acdc.synthesis.fitted import Effort, Progress, fitted
from photonic_acdc.synthesis.lenses import Grid, passive
from photonic_acdc.synthesis.plan import Synthesis, SynthesisWarning
from simulators.errors import InputError, nearest
from simulators.random import check_seed

Method = Literal["auto", "unitary", "svd", "dilation", "fit", "wavefront", "circulant", "acdc"]
METHODS: tuple[Method, ...] = ("auto", "unitary", "svd", "dilation", "fit", "wavefront", "circulant", "acdc")


def synthesise(
    matrix: Any,
    method: Method = "auto",
    *,
    shape: tuple[int, ...] | int | None = None,
    phase_only: bool = False,
    planes: int | None = None,
    gain: float | None = None,
    tolerance: float = 1e-9,
    strict: bool = True,
    starts: int = 4,
    iterations: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Synthesis:
    r"""Masks of a lens cascade that perform ``matrix``, with their error, the light that survives and their number.

    | method | for | masks, of pixels | error |
    |---|---|---|---|
    | ``"unitary"`` | a multiple of a unitary matrix | 2N + 5, phase only, N even; N odd: N + 1 modes | rounding |
    | ``"svd"`` | any matrix | 4N + 9, one of them dims | rounding |
    | ``"dilation"`` | any matrix, phase masks alone | 4N + 5, of 2N pixels | rounding |
    | ``"fit"`` | unitary: N + 2 phase masks; others: of 2N pixels | ``planes``: N + 2 or 3 | that of least squares |
    | ``"wavefront"`` | a multiple of a unitary matrix | ``planes``, phase only | slow to fall in the end |
    | ``"circulant"`` | a generic matrix, on paper: light dies | 2N - 1, all of which dim | rounding |
    | ``"acdc"`` | any matrix, approximately | ``planes``, all of which dim | that of least squares |
    | ``"auto"`` | any | the first of unitary, svd, dilation, fit that can | |

    Args:
        matrix: A ``[..., out, in]``, real or complex, of y = A x; a tensor, an array, or an ``nn.Linear``, of which the
            weight counts (its bias is for the electronics). Sides that differ are padded.
        method: see the table.
        shape: pixels of a mask: (n,) on cylindrical lenses, (y, x) on spherical ones, whose transform of y·x features
            is 2-D; closed forms want an even number, and sides without a common divisor. None: a line, as long as
            needed.
        phase_only: no mask may dim.
        planes: masks at most (closed forms) or exactly (fits).
        gain: g of the amplitude, at most 1/σ_max, which closed forms reach and take for None; a fit of a matrix that
            is not unitary takes 0.9/σ_max: on the bound it takes more steps.
        tolerance: relative error above which the result is refused; a matrix counts as unitary to a tenth of it.
        strict: False: return it nonetheless, with a :class:`SynthesisWarning`; also below the number of masks that
            counting allows.
        starts, iterations, seed: of the fits.
        progress: called after every step of a fit.

    Returns:
        :class:`~photonic_acdc.synthesis.Synthesis`; its ``reason`` says why that method.

    Raises:
        InputError: a matrix that is empty, zero, not finite, or not the method's; a shape, gain or number of masks that
            cannot be; an error above ``tolerance``.

    Source: the methods' own. Not modelled: devices; see :func:`~photonic_acdc.synthesis.refine`.
    """
    if method not in METHODS:
        raise InputError("method", value=repr(method), allowed=nearest(str(method), METHODS))
    starts, iterations = whole("starts", starts), whole("iterations", iterations)
    planes = None if planes is None else whole("planes", planes)
    if not isinstance(tolerance, numbers.Real) or not 0 < tolerance < math.inf:
        raise InputError("tolerance", value=repr(tolerance), allowed="a number greater than 0")
    check_seed(seed)
    given = checked_matrix(matrix)
    batch = given.reshape(-1, *given.shape[-2:])
    wanted = checked_gain(gain, batch)
    task = Task(batch, checked_shape(shape), phase_only, planes, tolerance, wanted)
    reason = "asked for"
    chosen: str = method
    if method == "auto":
        chosen, reason = choose(task)
    if chosen in PLANES:
        masks, grid, gains = _closed_form(task, chosen)
    elif chosen == "circulant":
        masks, grid, gains = _circulant(task)
    else:
        effort = Effort(starts, iterations, tolerance, strict, seed, progress)
        masks, grid, gains = fitted(task, chosen, effort)
    lead = given.shape[:-2]
    found = Synthesis(given, masks.reshape(*lead, -1, *grid), gains.reshape(lead), chosen, reason)
    _judge(found, tolerance, strict)
    return found


def _closed_form(task: Task, method: str) -> tuple[Tensor, Grid, Tensor]:
    """Masks ``[B, M, n]``, their grid, and g ``[B]``."""
    matrix, bound = task.matrix, unitary_scale(task.matrix)
    if method == "unitary" and not task.unitary:
        raise InputError(
            "matrix",
            value=f"|U*U - 1| up to {task.departure:.1e} when scaled by 1/σ_max",
            allowed=f"for method='unitary' at most {task.unitary_to:g}, a tenth of the tolerance",
            remedy="method='svd' or 'dilation'",
        )
    if method == "svd" and task.phase_only:
        raise InputError("phase_only=True with method='svd', whose middle mask dims", remedy="method='dilation'")
    grid = closed_form_grid(task, method)
    planes = closed_form_planes(method, grid)
    if not task.affords(planes):
        raise InputError(
            "planes",
            value=task.planes,
            allowed=f"at least {planes} for method={method!r} on {grid}",
            remedy="method='fit'",
        )
    gain = bound if task.gain is None else task.gain
    if method == "unitary":
        if task.dims:
            raise InputError(
                "gain",
                value=f"{gain.min().item():g}",
                allowed=f"1/σ_max = {bound.max().item():g}: the phase masks of a unitary matrix lose nothing",
                remedy="method='svd', whose middle mask dims",
            )
        if task.departure > UNITARY:  # rounded to single precision, say: the unitary matrix nearest to it
            w, _, vh = torch.linalg.svd(matrix)
            return unitary_masks(w @ vh, grid), grid, bound
        return unitary_masks(matrix * bound[:, None, None], grid), grid, bound
    side = task.modes
    square = nn.functional.pad(matrix, (0, side - matrix.shape[-1], 0, side - matrix.shape[-2]))
    masks = (svd_masks if method == "svd" else dilation_masks)(square, gain, grid)
    return masks, grid, gain


def _circulant(task: Task) -> tuple[Tensor, Grid, Tensor]:
    """As :func:`_closed_form`, of 2N - 1 masks on a line, square matrices alone."""
    rows, columns = task.matrix.shape[-2:]
    for name, given, value in (
        ("shape", task.shape not in (None, (rows,)), task.shape),
        ("gain", task.gain is not None, None if task.gain is None else task.gain[0].item()),
    ):
        if given:
            raise InputError(f"{name} with method='circulant'", value=value, allowed=f"None: {name} follows")
    if rows != columns:
        raise InputError("matrix: shape", value=(rows, columns), allowed="square for method='circulant'")
    if task.phase_only:
        raise InputError("phase_only=True with method='circulant', whose masks dim", remedy="method='dilation'")
    if not task.affords(2 * rows - 1):
        raise InputError("planes", value=task.planes, allowed=f"at least {2 * rows - 1} for method='circulant'")
    masks, gain = passive(circulant_masks(task.matrix))
    return masks, (rows,), 1 / gain


def _judge(found: Synthesis, tolerance: float, strict: bool) -> None:
    """Refuse masks that miss the matrix, or warn of them."""
    error = found.error.max().item()
    if error <= tolerance:
        return
    said = f"the masks of method={found.method!r} miss the matrix by {error:.2g} (tolerance {tolerance:g})"
    if not strict:
        warnings.warn(SynthesisWarning(said))
        return
    raise InputError(
        "synthesise: relative error",
        value=f"{error:.2g} with {found.planes} masks by method={found.method!r}",
        allowed=f"tolerance = {tolerance:g}",
        remedy=("" if found.method in (*PLANES, "circulant") else "more planes, starts or iterations, ")
        + "a larger tolerance, or strict=False",
    )
