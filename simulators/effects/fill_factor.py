"""The gaps between pixels, in three models."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from simulators.effects.limits import check_figure
from simulators.errors import InputError, nearest

FillModel = Literal["throughput", "aperture", "dead_space"]


def pixel_aperture(positions: Tensor, linear_fill: Tensor | float) -> Tensor:
    r"""The open part of each pixel of a row, centred in it.

    .. math:: M(x) = \begin{cases} 1 & |x - \lfloor x\rfloor - 1/2| \le \sqrt{F}/2 \\ 0 & \text{else}\end{cases}

    Args:
        positions: x, in pixels from the edge of one of them, any shape.
        linear_fill: √F, open share of the pitch, 0 to 1, broadcastable.

    Returns:
        1 or 0, the dtype of ``positions``. Of a pixel's aperture in two dimensions it is one factor of two.

    Raises:
        InputError: an open share beyond 0 to 1.

    Not modelled: a gradient to √F: where an edge lies between two nodes makes no difference at them.
    """
    check_figure("linear fill", linear_fill, 0, 1)
    inside = torch.remainder(positions, 1.0)
    return ((inside - 0.5).abs() <= linear_fill / 2).to(positions.dtype)


def fill(
    transmission: Tensor,
    aperture: Tensor | None,
    model: FillModel,
    *,
    fill_factor: Tensor | float = 1.0,
    dead: complex = 0.0,
) -> Tensor:
    r"""What a panel with gaps shows.

    .. math:: t' = \sqrt{F}\,t \;(\text{throughput}), \quad M t \;(\text{aperture}), \quad
        M t + (1 - M)\,r_d \;(\text{dead space})

    Args:
        transmission: t, complex, |t| ≤ 1.
        aperture: M, 1 in the open parts, at the same places; None for ``"throughput"``, which does not ask where.
        model: which of the three.
        fill_factor: F, areal, for ``"throughput"``, broadcastable.
        dead: r_d, |r_d| ≤ 1, field reflected by the gaps, for ``"dead_space"``.

    Returns:
        The dtype of ``transmission``; passive.

    Raises:
        InputError: an unknown model, one without its aperture, or a figure beyond 0 to 1.

    Source: Goodman, *Introduction to Fourier Optics*, for the orders of a grating of apertures. The first books the
    light, F of it; the second also its orders: F² of the light stays in the zeroth; the third also what the gaps add to
    that, :math:`(1-F)\,r_d` in amplitude.
    """
    if model not in get_args(FillModel):
        raise InputError("fill model", value=repr(model), allowed=nearest(str(model), get_args(FillModel)))
    if model == "throughput":
        check_figure("fill factor", fill_factor, 0, 1)
        share = torch.as_tensor(fill_factor, dtype=transmission.real.dtype, device=transmission.device)
        return transmission * torch.sqrt(share)
    if aperture is None:
        raise InputError(f"fill model {model!r}", value="no aperture", allowed="one, at the places of the transmission")
    check_figure("reflection of the gaps", dead, -1, 1)
    shown = transmission * aperture
    return shown if model == "aperture" else shown + (1 - aperture) * dead
