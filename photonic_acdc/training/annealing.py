"""Phase levels that harden while a model learns."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from photonic_acdc.optical.cascade import cascades
from photonic_acdc.optical.learned_ranges import panels_of
from photonic_acdc.optical.ranges import soft_levels
from photonic_acdc.training.method import Method
from simulators.errors import InputError


class AnnealedLevels(Method):
    r"""Soft phase levels whose temperature falls geometrically; what is not training keeps the nearest level.

    .. math:: T = T_0\,(T_1/T_0)^{d}

    with the share d of the training that is over.

    Args:
        start: T₀, rad². Half a step squared blurs two neighbours, of 4 bits 0.04.
        stop: T₁ ≤ T₀, rad².
        seed: of random assignments (Gumbel); None: none.

    Raises:
        InputError: a temperature that is not positive, or one that rises.

    Source: Jang et al., ICLR 2017 (arXiv:1611.01144), for the schedule.
    """

    def __init__(self, start: float, stop: float, *, seed: int | None = None):
        if not 0 < stop <= start < math.inf:
            raise InputError(
                "AnnealedLevels", value=f"start={start:g}, stop={stop:g}", allowed="0 < stop ≤ start, finite, in rad²"
            )
        self._start, self._stop, self._seed = start, stop, seed
        self._temperature = start

    def settings(self) -> Mapping[str, Any]:
        """See :class:`Method`."""
        return {**super().settings(), "start": self._start, "stop": self._stop, "seed": self._seed}

    def begin(self, done: float) -> None:
        """The temperature follows ``done``."""
        self._temperature = self._start * (self._stop / self._start) ** done

    def forward(self, model: nn.Module) -> contextlib.AbstractContextManager[Any]:
        """Soft levels, for this pass alone.

        Raises:
            InputError: no phase panel with levels under what is switched on: nothing would harden.
        """
        found = cascades(model).values()
        if found and not any(cascade.shows_levels for cascade in found):
            value, remedy = "phase panels that are continuous", "bits= of the panel"
            if any(panels_of(cascade.bench, cascade.stages) for cascade in found):
                value, remedy = "phase panels whose levels are switched off", "'*.quantisation' switched on"
                if all(cascade.noise.static == "none" for cascade in found):
                    value, remedy = "noise mode 'off', whose panels are continuous", "noise_mode='mean' or 'sample'"
            raise InputError(
                "AnnealedLevels", value=value, allowed="at least one phase panel with levels", remedy=remedy
            )
        return soft_levels(model, self._temperature, seed=self._seed)
