"""Light that a phase panel reflects unmodulated."""

from __future__ import annotations

import torch
from torch import Tensor

from simulators.effects.limits import check_figure


def zero_order_leak(transmission: Tensor, leak: Tensor | float, reflection: complex = 1.0) -> Tensor:
    r"""Mask with an unmodulated share, in its passive form.

    .. math:: t' = (1 - a)\,t + a\,r, \quad |r| \le 1

    :math:`\sqrt{1-e}\,t + \sqrt{e}` would exceed 1 where the two add in phase.

    Args:
        transmission: t, complex, |t| ≤ 1.
        leak: a, field amplitude share, 0 to 1, broadcastable.
        reflection: r, of the unmodulated light.

    Raises:
        InputError: a share or a reflection beyond 0 to 1.
    """
    check_figure("zero-order leak", leak, 0, 1)
    check_figure("reflection of the unmodulated light", reflection, -1, 1)
    unmodulated = torch.as_tensor(leak * reflection, dtype=transmission.dtype, device=transmission.device)
    return (1 - leak) * transmission + unmodulated
