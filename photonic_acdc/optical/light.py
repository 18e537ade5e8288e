"""How much of the light arrives: the meter that training and reports read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class LightMeter:
    """What each pass through each cascade made of its light.

    Attributes:
        shares: of the light behind the input device that the devices' own reflectances and transmissions pass, the
            part that reaches the detector's modes; one scalar a pass, with its gradient.
        encoding: mean |x|²/x_max² of each pass: the part of the laser's light that x lets through.
    """

    shares: list[Tensor] = field(default_factory=list)
    encoding: list[Tensor] = field(default_factory=list)

    def efficiency(self) -> Tensor:
        """Geometric mean of the shares."""
        return torch.stack(self.shares).log().mean().exp()


@contextlib.contextmanager
def measure_light(model: nn.Module) -> Iterator[LightMeter]:
    """Record the light of every cascade in ``model``: ``with measure_light(model) as meter: model(x)``."""
    from photonic_acdc.optical.convert import cascades

    meter = LightMeter()
    found = list(cascades(model).values())
    before = [cascade.meter for cascade in found]
    try:
        for cascade in found:
            cascade.meter = meter
        yield meter
    finally:
        for cascade, previous in zip(found, before, strict=True):
            cascade.meter = previous
