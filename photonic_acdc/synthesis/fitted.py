"""Methods that search: least squares over phases, wavefront matching, and least squares over an AFDF layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from photonic_acdc.layers import AFDF, fit
from photonic_acdc.synthesis.check import unitary_scale
from photonic_acdc.synthesis.choose import Task
from photonic_acdc.synthesis.counting import fewest_planes
from photonic_acdc.synthesis.fit import Progress, fit_phases
from photonic_acdc.synthesis.good_thomas import squarest
from photonic_acdc.synthesis.lenses import Grid, passive, reverse_alternate_stages, size
from photonic_acdc.synthesis.phases import random_masks, residual
from photonic_acdc.synthesis.wavefront import match_wavefronts
from simulators.errors import InputError
from simulators.random import stream

#: Of the passive bound, the gain at which a matrix that is not unitary is fitted; on the bound steps are many.
SHARE = 0.9
#: A singular value nearer to 1 than this loses no light.
LOSSLESS = 1e-9


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Attributes:
        starts: random ones at most, one after the other; a matrix that is reached is not started again.
        iterations: at most.
        tolerance: relative error at which to stop.
        strict: refuse fewer masks than counting allows.
        seed: of the starts.
        progress: called after every step.
    """

    starts: int
    iterations: int
    tolerance: float
    strict: bool
    seed: int
    progress: Progress | None


def fitted(task: Task, method: str, effort: Effort) -> tuple[Tensor, Grid, Tensor]:
    """Masks ``[B, M, n]``, their grid, and g ``[B]``."""
    return {"fit": _phases, "wavefront": _wavefront, "acdc": _afdf}[method](task, effort)


def _phases(task: Task, effort: Effort) -> tuple[Tensor, Grid, Tensor]:
    """Least squares over the phases of ``planes`` masks."""
    gain = _gain(task)
    grid, planes = _room(task, gain, effort)
    found = fit_phases(
        task.matrix,
        grid,
        planes,
        gain=gain,
        starts=effort.starts,
        iterations=effort.iterations,
        tolerance=effort.tolerance / 10,  # what is judged is computed otherwise, and rounded otherwise
        seed=effort.seed,
        progress=effort.progress,
    )
    return found.masks, grid, gain


def _wavefront(task: Task, effort: Effort) -> tuple[Tensor, Grid, Tensor]:
    """Wavefront matching alone, the best of several starts."""
    if task.dims:
        raise InputError("gain with method='wavefront'", allowed="None: nothing is lost", remedy="method='fit'")
    if not task.unitary:
        raise InputError(
            "matrix",
            value=f"|U*U - 1| up to {task.departure:.1e} when scaled by 1/σ_max",
            allowed="unitary for method='wavefront', which ends at the unitary matrix nearest to any other",
            remedy="method='fit'",
        )
    gain = _gain(task)
    grid, planes = _room(task, gain, effort)
    target = task.matrix * gain[:, None, None]
    best, error = None, torch.full_like(gain, torch.inf)
    for start in range(effort.starts):
        begin = random_masks(planes, grid, effort.seed, start).to(target.device).repeat(len(target), 1, 1)
        done = start * effort.iterations

        def step(i: int, _: int, done: int = done) -> None:
            if effort.progress is not None:
                effort.progress(done + i, effort.starts * effort.iterations)

        masks = match_wavefronts(begin, target, grid, sweeps=effort.iterations, progress=step)
        reached = torch.linalg.matrix_norm(residual(masks, target, grid))
        best = masks if best is None else torch.where((reached < error)[:, None, None], masks, best)
        error = torch.minimum(error, reached)
        if (error <= effort.tolerance * torch.linalg.matrix_norm(target)).all():
            break
    assert best is not None
    return best, grid, gain


def _gain(task: Task) -> Tensor:
    if task.gain is not None:
        return task.gain
    bound = unitary_scale(task.matrix)
    return bound if task.unitary else SHARE * bound


def _room(task: Task, gain: Tensor, effort: Effort) -> tuple[Grid, int]:
    """Grid and number of masks; refused where the matrix has no room in them."""
    rows, columns = task.matrix.shape[-2:]
    passed = torch.linalg.svdvals(task.matrix) * gain[:, None]
    lossless = int((passed >= 1 - LOSSLESS).sum(-1).min())
    needed = rows + columns - lossless
    tight = task.unitary and not task.dims
    grid = ((task.modes if tight else rows + columns),) if task.shape is None else task.shape
    n = size(grid)
    if n < max(needed, task.modes):
        y, x = squarest(needed)
        raise InputError(
            "shape",
            value=f"{'x'.join(map(str, grid))} = {n} pixels",
            allowed=f"at least {needed}: {rows} that are read, and a dark one for each of the {columns - lossless} "
            "inputs that lose light",
            remedy=f"shape=({y}, {x}), shape=None for cylindrical lenses, or method='svd', whose middle mask dims",
        )
    fewest = fewest_planes(rows, columns, n, lossless=lossless)
    # Two or three masks between few ports have fewer phases that matter than are counted; more ports than the matrix
    # needs, none of which may leak, make the last steps long.
    spare = 2 if lossless > max(0, rows + columns - n) else 1
    planes = max(fewest + spare, 4) if task.planes is None else task.planes
    if planes < fewest and effort.strict:
        raise InputError(
            "planes",
            value=planes,
            allowed=f"at least {fewest}: fewer phase masks of {n} pixels have fewer phases than the matrix numbers",
            remedy=f"planes={fewest + 1}, or strict=False for the nearest that {planes} can do",
        )
    return grid, planes


def _afdf(task: Task, effort: Effort) -> tuple[Tensor, Grid, Tensor]:
    """The masks of an AFDF layer, free in amplitude and phase, one matrix after the other."""
    rows, columns = task.matrix.shape[-2:]
    n = task.modes
    grid = (n,) if task.shape is None else task.shape
    planes = n + 2 + n % 2 if task.planes is None else task.planes
    for name, given in (("gain", task.gain is not None), ("phase_only", task.phase_only)):
        if given:
            raise InputError(f"{name} with method='acdc', whose masks dim as they need", remedy="method='fit'")
    if size(grid) != n:
        raise InputError("shape", value=grid, allowed=f"{n} pixels for method='acdc'")
    if planes % 2:
        raise InputError("planes", value=planes, allowed="an even number for method='acdc': two masks a stage")
    found = []
    for i, matrix in enumerate(task.matrix):
        drawn = int(stream(effort.seed, "synthesis", "acdc", realisation=i).integers(2**62))
        layer = AFDF(
            columns,
            planes // 2,
            out_features=rows,
            shape=(grid[0], grid[1]) if len(grid) == 2 else None,
            generator=torch.Generator().manual_seed(drawn),
            dtype=torch.float64,
        )
        fit(layer, matrix.cpu(), steps=effort.iterations)
        with torch.no_grad():
            masks = torch.stack(layer.diagonals(), dim=1).reshape(planes, n)
        found.append(masks.to(matrix.device))
    masks, peaks = passive(reverse_alternate_stages(torch.stack(found), grid))
    return masks, grid, 1 / peaks
