"""The gaps between pixels, in three models."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

FillModel = Literal["throughput", "aperture", "dead_space"]


def pixel_aperture(positions: Tensor, linear_fill: Tensor | float) -> Tensor:
    """1 in the open part of each pixel, 0 in its gap; ``positions`` in pixels from the edge of one of them."""
    inside = torch.remainder(positions, 1.0)
    return ((inside - 0.5).abs() < torch.as_tensor(linear_fill) / 2).to(positions.dtype)


def fill(
    transmission: Tensor, aperture: Tensor, model: FillModel, *, fill_factor: Tensor | float = 1.0, dead: complex = 0.0
) -> Tensor:
    r"""What a panel with gaps shows.

    .. math:: t' = \sqrt{F}\,t \;(\text{throughput}), \quad M t \;(\text{aperture}), \quad
        M t + (1 - M)\,r_d \;(\text{dead space})

    Args:
        transmission: t, complex.
        aperture: M, 1 in the open parts, at the same places.
        model: which of the three.
        fill_factor: F, areal, for ``"throughput"``.
        dead: r_d, |r_d| ≤ 1, field reflected by the gaps, for ``"dead_space"``.

    Source: the first books the light, the second also its orders, the third also the zero order of the gaps,
    :math:`(1-F) r_d` in amplitude.
    """
    if model == "throughput":
        return transmission * torch.sqrt(torch.as_tensor(fill_factor, device=transmission.device))
    shown = transmission * aperture
    return shown if model == "aperture" else shown + (1 - aperture) * dead
