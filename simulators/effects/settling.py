"""A panel that has not yet arrived: what it shows remembers the frame before."""

from __future__ import annotations

import math

from torch import Tensor


def settle(target: Tensor, previous: Tensor, residual: Tensor | float) -> Tensor:
    r"""Value on an exponential way from the last frame's to this one's.

    .. math:: v = v_1 + (v_0 - v_1)\,r, \quad r = e^{-t/\tau}

    Args:
        target: v₁.
        previous: v₀, where the panel stood when the frame changed.
        residual: r in [0, 1), broadcastable.
    """
    return target + (previous - target) * residual


def residual_after(settle_time: float, wait: float) -> float:
    """r after ``wait`` seconds of a panel whose 10-90 % time is ``settle_time`` (τ ln 9)."""
    return math.exp(-wait * math.log(9) / settle_time)
