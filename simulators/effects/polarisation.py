"""Jones matrices of polarisers and wave plates; vectors are (x, y), angles from x towards y."""

from __future__ import annotations

import torch
from torch import Tensor

from simulators.effects.limits import check_figure


def rotation(angle: Tensor) -> Tensor:
    """Real ``[..., 2, 2]`` that turns a vector by ``angle`` (rad)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def polariser(angle: Tensor, extinction_ratio: float | None = None) -> Tensor:
    r"""Jones matrix of a polariser.

    .. math:: J = R(\alpha)\,\mathrm{diag}(1, 1/\sqrt{ER})\,R(-\alpha)

    Behind it, linear light at θ to its axis has the power cos²θ (Malus), plus sin²θ over the extinction ratio.

    Args:
        angle: α of the polarisation that passes, rad, any shape ``[...]``.
        extinction_ratio: of powers, ≥ 1; None: nothing of the other polarisation passes.

    Returns:
        Real ``[..., 2, 2]``.

    Raises:
        InputError: an extinction ratio below 1.

    Source: Hecht, *Optics*, ch. 8.
    """
    if extinction_ratio is not None:
        check_figure("extinction ratio", extinction_ratio, 1)
    leak = 0.0 if extinction_ratio is None else extinction_ratio**-0.5
    passed = torch.diag(torch.tensor([1.0, leak], dtype=angle.dtype, device=angle.device))
    turn = rotation(angle)
    return turn @ passed @ turn.mT


def wave_plate(angle: Tensor, retardance: Tensor) -> Tensor:
    r"""Jones matrix of a plate that delays one linear polarisation against the other.

    .. math:: J = R(\alpha)\,\mathrm{diag}(e^{i\Gamma/2}, e^{-i\Gamma/2})\,R(-\alpha)

    With exp(-iωt) the slow polarisation gains the phase Γ on the fast one. Half a wave (Γ = π) mirrors linear light at
    the axis: light along x is turned by 2α.

    Args:
        angle: α of the slow axis, rad.
        retardance: Γ, rad; of shapes that broadcast to ``[...]``.

    Returns:
        Complex ``[..., 2, 2]``, unitary.

    Source: Hecht, *Optics*, ch. 8.
    """
    half = retardance / 2
    slow, fast = torch.complex(half.cos(), half.sin()), torch.complex(half.cos(), -half.sin())
    turn = rotation(angle).to(slow.dtype)
    return turn @ torch.diag_embed(torch.stack([slow, fast], -1)) @ turn.mT
