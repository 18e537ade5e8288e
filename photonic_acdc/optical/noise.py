"""What a cascade is told to simulate: ``off | mean | frozen | sample``, one switch for training and evaluation.

| mode | static errors | dynamic effects |
|---|---|---|
| ``off`` | ideal devices: no effect at all, quantisation included | none |
| ``mean`` | nominal | as the expected field |
| ``frozen`` | realisation r | as the expected field |
| ``sample`` | realisation r | drawn anew a sample and exposure |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulators.random import State

Mode = Literal["off", "mean", "frozen", "sample"]
Static = Literal["none", "nominal", "drawn"]
Dynamic = Literal["none", "expected", "drawn"]
MODES: tuple[Mode, ...] = ("off", "mean", "frozen", "sample")


@dataclass(frozen=True, eq=False)
class Noise:
    """What one cascade is to simulate; a plain attribute of it, never part of its state dict.

    Attributes:
        static: ``"none"`` (ideal devices), ``"nominal"`` or ``"drawn"``.
        dynamic: ``"none"``, ``"expected"`` or ``"drawn"``.
        state: figures of the devices where static errors are drawn or overridden; None: nominal.
        seed: of the shots.
        realisations: absolute numbers of the R benches.
        samples: identities of the rows of a batch; None: 0, 1, 2, ….
        exposure: number of the pass.
        differentiable: noise with a gradient (training) instead of counts.
    """

    static: Static = "nominal"
    dynamic: Dynamic = "expected"
    state: State | None = None
    seed: int = 0
    realisations: tuple[int, ...] = (0,)
    samples: tuple[int, ...] | None = None
    exposure: int = 0
    differentiable: bool = False
