"""Amplitude that changes with the phase: of liquid crystals a little, of resonant modulators much."""

from __future__ import annotations

import torch
from torch import Tensor


def coupled_amplitude(phase: Tensor, depth: Tensor | float) -> Tensor:
    r"""Relative amplitude of a panel at ``phase``: :math:`|t| = 1 - c\,(1 - \cos\phi)/2`, passive for c in [0, 1].

    Args:
        phase: φ, rad.
        depth: c, broadcastable.

    Source: the first harmonic of what Jones-matrix measurements of nematic panels show.
    """
    return 1 - depth * (1 - torch.cos(phase)) / 2


def measured_amplitude(phase: Tensor, phases: Tensor, amplitudes: Tensor) -> Tensor:
    """Relative amplitude at ``phase`` (rad, wrapped into [0, 2π)) from a table, linear and periodic.

    Args:
        phase: rad, any shape.
        phases: of the table, ascending in [0, 2π), ``[L]``.
        amplitudes: there, 0 to 1, ``[L]``.
    """
    turn = 2 * torch.pi
    wrapped = torch.remainder(phase, turn)
    knots = torch.cat([phases[-1:] - turn, phases, phases[:1] + turn])
    values = torch.cat([amplitudes[-1:], amplitudes, amplitudes[:1]])
    after = torch.searchsorted(knots, wrapped.detach().contiguous()).clamp(1, len(knots) - 1)
    share = (wrapped - knots[after - 1]) / (knots[after] - knots[after - 1])
    return values[after - 1] + share * (values[after] - values[after - 1])
