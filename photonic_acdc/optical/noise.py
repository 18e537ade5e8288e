"""What a cascade is told to simulate: ``off | mean | frozen | sample``, one switch for training and evaluation.

| mode | deterministic effects | static errors (process, mismatch) and drift | dynamic effects and history |
|---|---|---|---|
| ``off`` | none: ideal devices, quantisation included | none | none |
| ``mean`` | on | nominal | as the expected field |
| ``frozen`` | on | realisation r | as the expected field |
| ``sample`` | on | realisation r | drawn anew a sample and exposure |

The mode is that of all effects; single ones may have another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from simulators.random import State

Mode = Literal["off", "mean", "frozen", "sample"]
Static = Literal["none", "nominal", "drawn"]
Dynamic = Literal["none", "expected", "drawn"]
MODES: tuple[Mode, ...] = ("off", "mean", "frozen", "sample")
PRESETS: Mapping[Mode, tuple[Static, Dynamic]] = {
    "off": ("none", "none"),
    "mean": ("nominal", "expected"),
    "frozen": ("drawn", "expected"),
    "sample": ("drawn", "drawn"),
}


@dataclass(frozen=True, eq=False)
class Noise:
    """What one cascade is to simulate; a plain attribute of it, never part of its state dict.

    Attributes:
        static: ``"none"`` (ideal devices), ``"nominal"`` or ``"drawn"``; of all effects together.
        dynamic: ``"none"``, ``"expected"`` or ``"drawn"``; likewise.
        on: references of the effects that act, where single ones have a mode of their own; None: all, or none of them.
        expected: references of effects that are left at their expectation while others are drawn.
        state: figures of the devices where static errors are drawn or overridden; None: nominal.
        seed: of the shots.
        realisations: absolute numbers of the R benches.
        samples: identities of the rows of a batch; None: 0, 1, 2, ….
        exposure: number of the pass.
        differentiable: noise with a gradient (training) instead of counts.
    """

    static: Static = "nominal"
    dynamic: Dynamic = "expected"
    on: tuple[str, ...] | None = None
    expected: frozenset[str] = frozenset()
    state: State | None = None
    seed: int = 0
    realisations: tuple[int, ...] = (0,)
    samples: tuple[int, ...] | None = None
    exposure: int = 0
    differentiable: bool = False
