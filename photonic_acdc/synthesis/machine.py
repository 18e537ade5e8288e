"""A cascade on a bench as the matrix it performs, and how far that is from the one wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from photonic_acdc.calibration.agreement import Seen
from simulators.bench import Bench
from simulators.devices.show import show
from simulators.random import State
from simulators.simulator import Command, Simulator

Build = Callable[[Bench, int], Simulator]

#: What gives a mask its levels: its phase panel, and whatever is relayed onto it.
LEVELS = "stage*.quantisation"


class Machine:
    """K stages on a bench, with the levels of its panels and without.

    Args:
        bench: with all its effects.
        stages: K.
        build: makes a simulator of (bench, stages).
        states: figures of the benches, one at least.
        matrix: A, complex128 ``[out, in]``, between the first modes.
        inputs: what A is for, ``[n, in]``: errors are those of A x over these x; None: over all alike.
    """

    def __init__(
        self,
        bench: Bench,
        stages: int,
        build: Build,
        states: Sequence[State],
        matrix: Tensor,
        inputs: Tensor | None = None,
    ):
        self.bench, self.stages, self.matrix = bench, stages, matrix
        self._spread = None if inputs is None else _square_root(inputs.to(matrix))
        self._states = states
        self._real = Seen(build(bench, stages), "coherent")
        self.has_levels = any(str(effect).endswith(".quantisation") for effect in _on_masks(bench))
        smooth = bench.without(LEVELS) if self.has_levels else bench
        self._smooth = Seen(build(smooth, stages), "coherent")
        levels_alone = bench.only(*([LEVELS] if self.has_levels else []))
        self._panels = {element.address: element for element in levels_alone.elements(stages)}

    @property
    def command_shapes(self) -> tuple[tuple[int, int], ...]:
        """Macro-pixels (y, x) of the 2K masks."""
        return self._real.simulator.command_shapes

    def blocks(self, commands: Sequence[Command], *, levels: bool = True) -> Tensor:
        """What stands in for A on every bench, ``[R, out, in]``, light lost on the way included."""
        seen = self._real if levels else self._smooth
        y, x = self.bench.modes
        rows, columns = self.matrix.shape
        found = []
        for state in self._states:
            whole = seen(commands, state)
            if self.stages % 2:  # the image lies upside down, and is read so
                whole = whole.reshape(y, x, -1).flip(0, 1).reshape(y * x, -1)
            found.append(whole[:rows, :columns])
        return torch.stack(found)

    def levelled(self, number: int, command: Command) -> Command:
        """What a mask can be told without being rounded: the nearest to ``command``."""
        element = self._panels[f"stage[{number // 2}].mask[{number % 2}]"]
        shown = show(self._panels, element, command.phase, command.amplitude, self._states[0])[0, 0]
        return Command(shown.angle(), None if command.amplitude is None else shown.abs())

    def fit(self, commands: Sequence[Command], *, levels: bool = True) -> Fit:
        """Error, light and scale of what the masks make."""
        return agreement(self.blocks(commands, levels=levels), self.matrix, self._spread)


@dataclass(frozen=True, eq=False)
class Fit:
    """Agreement of machines with a matrix.

    Attributes:
        nmse: ‖T - c A‖² / ‖T‖² at its best c, ``[R]``: the sine squared of the angle between A and T.
        scale: c of least ‖T - c A‖, complex ``[R]``.
        light: (|c| σ_max)², ``[R]``: what the input most favoured by A keeps.
    """

    nmse: Tensor
    scale: Tensor
    light: Tensor


def agreement(blocks: Tensor, matrix: Tensor, spread: Tensor | None = None) -> Fit:
    """Of ``[R, out, in]`` with ``[out, in]``; ``spread``: S ``[in, in]``, for T S and A S in place of T and A."""
    # Of entries up to 1, so that squares neither vanish nor overflow.
    dim, size = blocks.detach().abs().amax((-2, -1), keepdim=True), matrix.abs().max()
    made, wanted = blocks / dim, matrix / size
    largest = torch.linalg.matrix_norm(wanted, ord=2)
    if spread is not None:
        made, wanted = made @ spread, wanted @ spread
    scale = (wanted.conj() * made).sum((-2, -1)) / wanted.abs().square().sum()
    # Not 1 - |cos|²: what is left of T beside A is small, and rounding of 1 is not.
    rest = (made - scale[:, None, None] * wanted).abs().square().sum((-2, -1))
    nmse = rest / made.abs().square().sum((-2, -1))
    scale = scale * dim[..., 0, 0]
    return Fit(nmse, scale / size, (scale.abs() * largest) ** 2)


def _square_root(inputs: Tensor) -> Tensor:
    """S with S S* the mean of x x*, up to a factor: over S all errors are as over the inputs."""
    _, singular, vh = torch.linalg.svd(inputs / inputs.abs().max() / math.sqrt(len(inputs)), full_matrices=False)
    return vh.mT * singular


def stages_for(bench: Bench, rows: int, columns: int) -> int:
    """Stages whose masks have a quarter more numbers that matter than a matrix has.

    In the input plane that is a phase a mode; of a Fourier plane the next window sees the (2y - 1)(2x - 1) taps of a
    filter, complex.
    """
    y, x = bench.modes
    each = y * x + 2 * (2 * y - 1) * (2 * x - 1)
    return max(2, math.ceil(1.25 * 2 * rows * columns / each))


def _on_masks(bench: Bench) -> list[str]:
    return [str(effect) for effect in bench.effects(1) if effect.address.startswith("stage")]
