"""Misalignment vaccination: benches that are more and more crooked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from photonic_acdc.training.method import Method
from simulators.errors import InputError

#: Effects of misalignment, of every element.
MISALIGNMENT = ("*.lateral", "*.axial", "*.tilt", "*.clocking", "*.scale_error")


class Vaccination(Method):
    r"""Static errors whose spread grows while a model learns, with ``noise_mode="sample"``.

    .. math:: \text{factor} = a + (b - a)\,\min(d/u, 1)

    with d the share of the training that is over. In a plain loop: ``noise(model, "sample", ..., scale=v.scale(d))``.

    Args:
        patterns: of effects; each has to be on the bench.
        start: a, of the spread that the bench names.
        stop: b, likewise.
        until: u, share of the training after which it grows no more.

    Raises:
        InputError: no pattern, or a figure out of range.

    Source: Mengu et al., Nanophotonics 9, 4207 (2020).
    """

    def __init__(self, patterns: Sequence[str], *, start: float = 0.0, stop: float = 1.0, until: float = 0.5):
        if isinstance(patterns, str) or not patterns:
            raise InputError("Vaccination: patterns", value=repr(patterns), allowed='effects, such as ("*.lateral",)')
        for name, value in (("start", start), ("stop", stop)):
            if not 0 <= value < math.inf:
                raise InputError(f"Vaccination: {name}", value=value, allowed="a factor ≥ 0")
        if not 0 < until <= 1:
            raise InputError("Vaccination: until", value=until, allowed="greater than 0, up to 1")
        self._patterns, self._start, self._stop, self._until = tuple(patterns), start, stop, until

    def settings(self) -> Mapping[str, Any]:
        """See :class:`Method`."""
        growth = {"start": self._start, "stop": self._stop, "until": self._until}
        return {**super().settings(), "patterns": list(self._patterns), **growth}

    def scale(self, done: float) -> Mapping[str, float]:
        """The factor on every pattern."""
        factor = self._start + (self._stop - self._start) * min(done / self._until, 1.0)
        return dict.fromkeys(self._patterns, factor)
