"""Jones matrices of polarisers and wave plates; vectors are (x, y), angles from x towards y."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation(angle: Tensor) -> Tensor:
    """Real ``[..., 2, 2]`` that turns a vector by ``angle`` (rad)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def polariser(angle: Tensor, extinction_ratio: float | None = None) -> Tensor:
    """Jones matrix ``[..., 2, 2]`` of a polariser that passes ``angle``; None: nothing of the other polarisation.

    Behind one, linear light at θ to it has the power cos²θ (Malus), plus sin²θ over the extinction ratio.
    """
    leak = 0.0 if extinction_ratio is None else extinction_ratio**-0.5
    passed = torch.diag(torch.tensor([1.0, leak], dtype=angle.dtype, device=angle.device))
    turn = rotation(angle)
    return turn @ passed @ turn.mT


def wave_plate(angle: Tensor, retardance: Tensor) -> Tensor:
    """Jones matrix, complex ``[..., 2, 2]``, of a plate whose slow axis stands at ``angle`` (retardance in rad).

    With exp(-iωt) the slow polarisation is ahead in phase by +retardance. Half a wave (π) mirrors
    linear light at the axis, so turns it by 2·angle.
    """
    half = retardance / 2
    slow, fast = torch.complex(half.cos(), half.sin()), torch.complex(half.cos(), -half.sin())
    turn = rotation(angle).to(slow.dtype)
    return turn @ torch.diag_embed(torch.stack([slow, fast], -1)) @ turn.mT
