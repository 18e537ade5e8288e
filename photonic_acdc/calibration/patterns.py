"""What a bench is asked in order to know it: drive patterns, and the frames it answers with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.errors import InputError
from simulators.fourier import centres
from simulators.random import check_seed, stream
from simulators.simulator import Command

if TYPE_CHECKING:
    from photonic_acdc.optical.apparatus import Apparatus

#: In turn, after a first flat pattern. Random phases say most about geometry and crosstalk, steps about the response.
KINDS = ("random", "steps", "random", "blazed")
#: Steepest grating, cycles a macro-pixel: steeper ones send the light beside the detector.
_STEEPEST = 0.15


@dataclass(frozen=True, eq=False)
class Patterns:
    """Drive patterns, one frame each.

    Attributes:
        commands: of the 2K masks, each with n patterns stacked, ``[n, y, x]``.
        values: x/x_max of the input device, real in [0, 1], ``[n, y, x]``.
        kinds: what each is: ``"flat"``, ``"random"``, ``"steps"`` or ``"blazed"``; patterns of one's own have any name.
    """

    commands: Sequence[Command]
    values: Tensor
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def stages(self) -> int:
        """K."""
        return len(self.commands) // 2

    def first(self, count: int) -> Patterns:
        """The first ``count`` of them."""
        commands = [
            Command(each.phase[:count], None if each.amplitude is None else each.amplitude[:count])
            for each in self.commands
        ]
        return Patterns(commands, self.values[:count], self.kinds[:count])

    def command(self, pattern: int) -> list[Command]:
        """The 2K commands of one pattern, ``[y, x]``."""
        return [
            Command(each.phase[pattern], None if each.amplitude is None else each.amplitude[pattern])
            for each in self.commands
        ]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Patterns shown on a bench, and what its detector delivered.

    Attributes:
        patterns: what was shown.
        frames: digital numbers ``[n, frames, y, x]``.
    """

    patterns: Patterns
    frames: Tensor

    @property
    def exposed(self) -> int:
        """Frames taken."""
        return self.frames.shape[0] * self.frames.shape[1]


def calibration_patterns(bench: Bench, stages: int = 1, *, count: int = 24, seed: int = 0) -> Patterns:
    r"""Drive patterns that let the errors of a bench show.

    The first is flat and open. The others are, in turn, *random* phases on all masks; *steps*, where a random half of
    the macro-pixels shows one level φ, which climbs from pattern to pattern over the whole turn, so that stroke, γ and
    look-up table show; and *blazed* gratings :math:`\phi = 2\pi(g_y n_y + g_x n_x)` of up to 0.15 cycles a macro-pixel,
    which move the light over planes that tilt and decentre shift. Every other pattern is written with random
    amplitudes, the rest fully open.

    Args:
        bench: with the sizes of the masks.
        stages: K.
        count: patterns, at least 1.
        seed: of the random ones.

    Raises:
        InputError: no stage, no pattern, a seed that is none.
    """
    for name, number in (("stages", stages), ("count", count)):
        if number < 1:
            raise InputError(f"calibration_patterns: {name}", value=number, allowed="at least 1")
    check_seed(seed)
    kinds = ("flat", *(KINDS[i % len(KINDS)] for i in range(count - 1)))
    shapes = bench.command_shapes * stages
    steps = kinds.count("steps")
    levels = {i: 2 * math.pi * (kinds[:i].count("steps") + 1) / (steps + 1) for i in range(count)}
    commands = [
        Command(torch.stack([_phase(kinds[i], shape, levels[i], seed, plane, i) for i in range(count)]))
        for plane, shape in enumerate(shapes)
    ]
    values = [
        torch.from_numpy(stream(seed, "patterns.input", "values", sample=i).uniform(size=bench.modes))
        if i % 2
        else torch.ones(bench.modes, dtype=torch.float64)
        for i in range(count)
    ]
    return Patterns(commands, torch.stack(values), kinds)


def _phase(kind: str, shape: tuple[int, int], level: float, seed: int, plane: int, pattern: int) -> Tensor:
    """One mask of one pattern, rad in [0, 2π), float64 ``[y, x]``."""
    generator = stream(seed, f"patterns.mask[{plane}]", kind, sample=pattern)
    if kind == "random":
        return torch.from_numpy(generator.uniform(0, 2 * math.pi, shape))
    if kind == "steps":
        return torch.from_numpy(np.where(generator.uniform(size=shape) < 0.5, 0.0, level))
    if kind == "blazed":
        slope = 2 * math.pi * generator.uniform(-_STEEPEST, _STEEPEST, 2)
        y, x = (centres(count) * float(part) for count, part in zip(shape, slope, strict=True))
        return torch.remainder(y[:, None] + x, 2 * math.pi)
    return torch.zeros(shape, dtype=torch.float64)


def measure(apparatus: Apparatus, patterns: Patterns) -> Measurement:
    """Show every pattern once and keep the frames.

    Args:
        apparatus: the bench, a real one behind a function of one's own or
            :class:`~photonic_acdc.optical.apparatus.SimulatedBench`.
        patterns: what to show.

    Raises:
        InputError: an apparatus that returns anything but finite ``[1, frames, y, x]``.
    """
    y, x = patterns.values.shape[-2:]
    frames = []
    for i in range(len(patterns)):
        seen = apparatus(patterns.command(i), patterns.values[i : i + 1])
        if seen.ndim != 4 or len(seen) != 1 or tuple(seen.shape[-2:]) != (y, x):
            shape = list(seen.shape)
            raise InputError(
                f"measure: frames of pattern {i}", value=f"shape {shape}", allowed=f"[1, frames, {y}, {x}]"
            )
        if not torch.isfinite(seen).all():
            raise InputError(f"measure: frames of pattern {i}", value="not finite", allowed="finite readings")
        frames.append(seen.detach()[0])
    return Measurement(patterns, torch.stack(frames))
