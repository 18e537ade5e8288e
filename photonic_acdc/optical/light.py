"""How much of the light arrives: the meter that training and reports read."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


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
