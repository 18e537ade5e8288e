"""Amplitude that changes with the phase: of liquid crystals a little, of resonant modulators much."""

from __future__ import annotations

import torch
from torch import Tensor

from simulators.effects.limits import check_figure
from simulators.errors import InputError


def coupled_amplitude(phase: Tensor, depth: Tensor | float) -> Tensor:
    r"""Relative amplitude of a panel whose amplitude depends on its phase, to the first harmonic.

    .. math:: |t| = 1 - c\,(1 - \cos\phi)/2

    1 at phase 0, 1 - c at π.

    Args:
        phase: φ, rad.
        depth: c, 0 to 1, broadcastable.

    Returns:
        Real, 1 - c to 1.

    Raises:
        InputError: c beyond 0 to 1.

    Source: Martínez et al., Opt. Express 22, 25866 (2014), for what reflective liquid-crystal panels show.
    Not modelled: higher harmonics; :func:`measured_amplitude` takes any curve.
    """
    check_figure("depth of the amplitude coupling", depth, 0, 1)
    return 1 - depth * (1 - torch.cos(phase)) / 2


def measured_amplitude(phase: Tensor, phases: Tensor, amplitudes: Tensor) -> Tensor:
    """Relative amplitude at ``phase`` from a measured table, linear between its points and periodic.

    Args:
        phase: rad, any shape; wrapped into [0, 2π).
        phases: of the table, rad, strictly ascending in [0, 2π), ``[L]``.
        amplitudes: there, 0 to 1, ``[L]``.

    Returns:
        Real, the shape of ``phase``, within the range of the table.

    Raises:
        InputError: a table that is empty, does not ascend, leaves the circle, or amplifies.
    """
    if phases.ndim != 1 or phases.shape != amplitudes.shape or len(phases) < 1:
        raise InputError(
            "measured amplitude",
            value=f"phases {list(phases.shape)} and amplitudes {list(amplitudes.shape)}",
            allowed="as many amplitudes as phases, one or more",
        )
    if (phases.diff() <= 0).any() or phases[0] < 0 or phases[-1] >= 2 * torch.pi:
        raise InputError("phases of the measured amplitude", allowed="ascending in [0, 2π)")
    if (amplitudes < 0).any() or (amplitudes > 1).any():
        raise InputError(
            "measured amplitude",
            value=f"{amplitudes.min().item():g} to {amplitudes.max().item():g}",
            allowed="0 to 1",
            remedy="amplitudes relative to the largest",
        )
    turn = 2 * torch.pi
    phases, amplitudes = phases.to(phase), amplitudes.to(phase)
    wrapped = torch.remainder(phase, turn)
    knots = torch.cat([phases[-1:] - turn, phases, phases[:1] + turn])
    values = torch.cat([amplitudes[-1:], amplitudes, amplitudes[:1]])
    after = torch.searchsorted(knots, wrapped.detach().contiguous()).clamp(1, len(knots) - 1)
    share = (wrapped - knots[after - 1]) / (knots[after] - knots[after - 1])
    return values[after - 1] + share * (values[after] - values[after - 1])
