"""A panel that has not yet arrived: what it shows remembers the frame before."""

from __future__ import annotations

import math

from torch import Tensor

from simulators.effects.limits import check_figure


def settle(target: Tensor, previous: Tensor, residual: Tensor | float) -> Tensor:
    r"""Value on an exponential way from the last frame's to this one's.

    .. math:: v = v_1 + (v_0 - v_1)\,r, \quad r = e^{-t/\tau}

    Args:
        target: v₁.
        previous: v₀, where the panel stood when the frame changed.
        residual: r in [0, 1), broadcastable.

    Returns:
        v, of the shapes broadcast; between the two, so as passive as they are.

    Raises:
        InputError: r beyond 0 to 1.

    Source: the first-order relaxation of a nematic cell, Oton et al., Appl. Opt. (2009). Not modelled: that it
    falls more slowly than it rises.
    """
    check_figure("residual", residual, 0, 1)
    return target + (previous - target) * residual


def residual_after(settle_time: float, wait: float) -> float:
    r"""What is left of the last frame when the exposure begins.

    .. math:: r = e^{-t/\tau}, \quad \tau = t_{10-90}/\ln 9

    Args:
        settle_time: t₁₀₋₉₀, s, from 10 % to 90 % of the way.
        wait: t, s, since the frame changed.

    Raises:
        InputError: no settle time, or a wait below 0.
    """
    check_figure("settle time", settle_time, 0, above=True)
    check_figure("settle wait", wait, 0)
    return math.exp(-wait * math.log(9) / settle_time)
