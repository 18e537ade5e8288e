r"""Masks fitted to one bench by what it answers: nothing of the bench is known but its frames.

.. math:: \min_\theta \langle\lVert y_{bench}(\theta, x) - y^*(x)\rVert^2\rangle / \langle\lVert y^*(x)\rVert^2\rangle

by gradients through the twin (:mod:`photonic_acdc.training.physics_aware`), y* being what the optic makes of x on its
nominal bench.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import positive
from photonic_acdc.optical.apparatus import Apparatus
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.switches import noise
from photonic_acdc.provenance import attributes
from photonic_acdc.training.physics_aware import PhysicsAware, TwinRefinement, physics_aware
from simulators.errors import InputError
from simulators.random import check_seed, stream

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[int, int], None]
"""Called after every iteration: iterations done, iterations in all."""


@dataclass(frozen=True, eq=False)
class Programmed:
    """What :func:`program` has found.

    Attributes:
        optic: a copy of the model with other masks, for this bench: ``with physics_aware(found.optic, apparatus): …``.
        frames: camera frames that it cost, those that measured the error before and after included.
        before, after: relative error of the outputs, measured with the masks as they were and as they are.
        history: over ``iteration``: ``error`` of the batch, ``frames`` taken so far.
        inputs: of the cascade, ``[n, features]``.
        target: y*, ``[n, features]``.
        figures: of the twin as fitted, by address, for ``noise(found.optic, "mean", overrides=found.figures)``; empty
            where none was fitted or given.
    """

    optic: nn.Module
    frames: int
    before: float
    after: float
    history: xr.Dataset
    inputs: Tensor
    target: Tensor
    figures: Mapping[str, Tensor]

    def __str__(self) -> str:
        return f"Programmed: error {self.before:.2%} before, {self.after:.2%} after {self.frames} frames"


def program(
    optic: nn.Module,
    apparatus: Apparatus,
    x: Tensor,
    *,
    target: Tensor | None = None,
    iterations: int = 200,
    batch_size: int = 32,
    learning_rate: float = 0.02,
    refine: TwinRefinement | None = None,
    figures: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Programmed:
    """Fit the masks of ``optic`` to one bench from its readouts alone; ``optic`` is not altered.

    Every iteration writes ``batch_size`` rows of ``x`` on the bench, reads them, and moves the masks by Adam, whose
    rate falls along half a cosine.

    Args:
        optic: any module tree with one optical cascade.
        apparatus: the bench: commands and values in, frames out; a simulator, or a real panel and camera.
        x: rows as the model takes them, ``[n, features]``.
        target: y*, what the cascade is to answer to its inputs, ``[n, features]``; None: what it answers on its nominal
            bench (noise mode ``"mean"``).
        iterations: how many.
        batch_size: rows an iteration.
        learning_rate: of Adam, rad, at the start.
        refine: fits the twin on the way; None: it stays as it is.
        figures: of the twin at the start, by address, such as :func:`calibrate` finds; None: nominal.
        seed: of the order of the rows.
        progress: called after every iteration.

    Raises:
        InputError: no cascade or several; a figure out of range; a target of another shape; figures with an unknown
            address, of another shape, or not finite.

    Source: Wright et al., Nature 601, 549 (2022), for the gradient. Not modelled: the time that frames take.
    """
    for name, value in (("iterations", iterations), ("batch_size", batch_size)):
        positive(f"program: {name}", value)
    if not 0 < learning_rate < math.inf:
        raise InputError("program: learning_rate", value=learning_rate, allowed="greater than 0")
    if not callable(apparatus):
        raise InputError("program: apparatus", value=type(apparatus).__name__, allowed="a callable: the model has one")
    check_seed(seed)
    _one_cascade(optic)
    copied = copy.deepcopy(optic).eval()
    cascade = _one_cascade(copied)
    inputs, nominal = _inputs_and_outputs(copied, cascade, x)
    if target is None:
        target = nominal
    elif target.shape != nominal.shape:
        raise InputError("program: target", value=f"shape {list(target.shape)}", allowed=f"{list(nominal.shape)}")
    counted = _Counted(apparatus)
    method, figures = PhysicsAware(counted, refine=refine), dict(figures or {})
    method.prepare(cascade)
    for twin in method.twins.values():
        twin.start(figures)
    with noise(cascade, "mean", differentiable=True, overrides=figures):
        before = _error(cascade, counted, inputs, target)
        history = _descend(
            cascade,
            counted,
            method,
            inputs,
            target,
            iterations,
            min(batch_size, len(inputs)),
            learning_rate,
            seed,
            progress,
        )
        after = _error(cascade, counted, inputs, target)
    for twin in method.twins.values():
        figures |= {address: value.detach() for address, value in twin.overrides().items()}
    return Programmed(copied, counted.frames, before, after, history, inputs, target, figures)


def recalibrate(
    found: Programmed,
    apparatus: Apparatus,
    *,
    iterations: int = 50,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    refine: TwinRefinement | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Programmed:
    """Program again from where masks and twin stand, towards the same target: after the bench has drifted.

    Args:
        found: of :func:`program`, or of this function.
        apparatus: the bench as it is now.
        iterations: how many; fewer than from the start.
        batch_size, learning_rate, refine, seed, progress: as of :func:`program`.

    Raises:
        InputError: as :func:`program`.
    """
    again = program(
        _one_cascade(found.optic),
        apparatus,
        found.inputs,
        target=found.target,
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        refine=refine,
        figures=found.figures,
        seed=seed,
        progress=progress,
    )
    optic = copy.deepcopy(found.optic)
    _one_cascade(optic).masks.load_state_dict(_one_cascade(again.optic).masks.state_dict())
    return dataclasses.replace(again, optic=optic)


class _Counted:
    """An apparatus whose frames are counted."""

    def __init__(self, apparatus: Apparatus):
        self._apparatus, self.frames = apparatus, 0

    def __call__(self, commands, values: Tensor) -> Tensor:
        frames = self._apparatus(commands, values)
        self.frames += frames.shape[0] * frames.shape[1]
        return frames


def _one_cascade(model: nn.Module) -> OpticalCascade:
    found = list(cascades(model).values())
    if len(found) != 1:
        raise InputError("program: optical cascades in the model", value=len(found), allowed="one")
    return found[0]


@torch.no_grad()
def _inputs_and_outputs(model: nn.Module, cascade: OpticalCascade, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the cascade is given for ``x``, and what it answers on the nominal bench."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = cascade.register_forward_hook(lambda *call: seen.append((call[1][0], call[2])))
    try:
        with noise(model, "mean"):
            model(x)
    finally:
        handle.remove()
    return seen[0]


def _relative(outputs: Tensor, target: Tensor) -> Tensor:
    return (outputs - target).abs().square().sum() / target.abs().square().sum()


@torch.no_grad()
def _error(cascade: OpticalCascade, apparatus: Apparatus, inputs: Tensor, target: Tensor) -> float:
    with physics_aware(cascade, apparatus):
        return math.sqrt(_relative(cascade(inputs), target).item())


def _descend(
    cascade: OpticalCascade,
    apparatus: _Counted,
    method: PhysicsAware,
    inputs: Tensor,
    target: Tensor,
    iterations: int,
    rows: int,
    learning_rate: float,
    seed: int,
    progress: Progress | None,
) -> xr.Dataset:
    import xarray as xr

    optimiser = torch.optim.Adam(cascade.masks.parameters(), lr=learning_rate)
    errors, frames = [], []
    for i in range(iterations):
        chosen = stream(seed, "program", "rows", sample=i).choice(len(inputs), rows, replace=False)
        batch = torch.from_numpy(chosen)
        optimiser.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * i / iterations))
        with method.forward(cascade):
            loss = _relative(cascade(inputs[batch]), target[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.after(cascade)
        errors.append(math.sqrt(loss.item()))
        frames.append(apparatus.frames)
        if progress is not None:
            progress(i + 1, iterations)
    return xr.Dataset(
        {
            "error": ("iteration", errors, {"long_name": "relative error of the outputs", "units": "1"}),
            "frames": ("iteration", frames, {"long_name": "camera frames so far", "units": "1"}),
        },
        coords={"iteration": ("iteration", range(1, iterations + 1), {"long_name": "iteration", "units": "1"})},
        attrs=attributes("Programming of a bench", seed=seed, batch_size=rows, learning_rate=learning_rate),
    )
