"""Light that is simply gone."""

from __future__ import annotations

import torch
from torch import Tensor


def attenuate(field: Tensor, power: Tensor) -> Tensor:
    """Field behind an element that passes the share ``power`` (0 to 1): ``field · sqrt(power)``."""
    return field * torch.sqrt(power).to(field.dtype)
