"""How much of the light arrives: the meter that training and reports read."""

from __future__ import annotations

from collections.abc import Callable
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
        whole: makes means over these rows means over all rows, where several processes share a batch.
    """

    shares: list[Tensor] = field(default_factory=list)
    encoding: list[Tensor] = field(default_factory=list)
    whole: Callable[[Tensor], Tensor] | None = None

    def book(self, arrived: Tensor, passed: Tensor, encoding: Tensor) -> None:
        """Enter a pass: mean photons a row that arrive, mean photons that the devices would pass, mean |x|²/x_max²."""
        if self.whole is not None:
            arrived, passed, encoding = self.whole(torch.stack([arrived, passed, encoding.to(arrived)])).unbind()
        self.shares.append(arrived / passed)
        self.encoding.append(encoding)

    def efficiency(self) -> Tensor:
        """Geometric mean of the shares."""
        return torch.stack(self.shares).log().mean().exp()
