"""Rounding to the levels a device can show, with the gradient of the unrounded value."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulators.errors import InputError


def straight_through(exact: Tensor, rounded: Tensor) -> Tensor:
    """The value of ``rounded`` with the gradient of ``exact`` (Bengio et al., arXiv:1308.3432)."""
    return exact + (rounded - exact).detach()


def quantise(value: Tensor, step: Tensor | float) -> Tensor:
    """Nearest multiple of ``step``, straight-through. Any shape; ``step`` in the value's unit, > 0."""
    return straight_through(value, torch.round(value / step) * step)


def quantise_phase(phase: Tensor, bits: int, stroke: Tensor | float) -> Tensor:
    r"""Nearest of the phase levels of a panel, on the circle.

    .. math:: \phi_g = g\,S/2^b, \quad g = 0 \dots 2^b - 1, \quad \phi_g < 2\pi

    A stroke S ≥ 2π reaches every phase; of a shorter one the nearest end is taken, measured on the circle. Uniform
    levels over 2π keep the Strehl ratio sinc²(2^-b).

    Args:
        phase: rad, any shape; wrapped into [0, 2π).
        bits: grey levels are 2^bits.
        stroke: phase of the grey level after the last one, rad, broadcastable.

    Returns:
        The shown phase in [0, 2π), gradient 1 (the circular straight-through).

    Source: Goodman and Silvestri, IBM J. Res. Dev. 14, 478 (1970).
    """
    turn = 2 * math.pi
    phase = torch.remainder(phase, turn)
    step = torch.as_tensor(stroke, dtype=phase.dtype, device=phase.device) / 2**bits
    # Grey levels below a full turn; a level at 2π is level 0 again.
    top = torch.clamp(torch.ceil(turn / step - 1e-9) - 1, max=2**bits - 1)
    level = torch.round(phase / step)
    last = top * step
    # Above the last level, zero may be nearer, going round.
    beyond = torch.where(turn - phase < phase - last, torch.zeros_like(phase), last)
    return straight_through(phase, torch.where(phase > last, beyond, level * step))


def quantise_to(phase: Tensor, levels: Tensor) -> Tensor:
    r"""Nearest of any set of phase levels, measured on the circle, straight-through.

    .. math:: Q(\phi) = \arg\min_{\phi_q} \bigl|\arg e^{i(\phi - \phi_q)}\bigr|

    Even levels over a stroke are a special case, which :func:`quantise_phase` finds without a search.

    Args:
        phase: rad, any shape; wrapped into [0, 2π).
        levels: rad, ``[L]`` in any order, or ``[..., L]`` where the leading axes broadcast against ``phase``.

    Returns:
        The chosen level as it is given, gradient 1; the shape of ``phase`` broadcast against the leading axes.

    Raises:
        InputError: no levels.

    Source: Goodman and Silvestri, IBM J. Res. Dev. 14, 478 (1970), for the error of even levels; uneven ones are those
    of piston micro-mirrors (:mod:`simulators.effects.level_tables`).
    """
    _some(levels, "phase levels")
    levels = levels.to(phase)
    turn = 2 * math.pi
    phase = torch.remainder(phase, turn)
    distance = torch.remainder(phase.detach()[..., None] - levels + math.pi, turn) - math.pi
    return straight_through(phase, _chosen(levels, distance))


def nearest_level(value: Tensor, levels: Tensor) -> Tensor:
    r"""Nearest of any set of levels on the line, straight-through: amplitudes, of a binary panel 0 and 1.

    .. math:: Q(v) = \arg\min_{v_q} |v - v_q|

    Args:
        value: any shape.
        levels: in the value's unit, ``[L]`` in any order, or ``[..., L]`` as of :func:`quantise_to`.

    Returns:
        The chosen level, gradient 1.

    Raises:
        InputError: no levels.
    """
    _some(levels, "levels")
    levels = levels.to(value)
    return straight_through(value, _chosen(levels, value.detach()[..., None] - levels))


def _chosen(levels: Tensor, distance: Tensor) -> Tensor:
    """The level of the smallest distance, along the last axis."""
    nearest = distance.abs().argmin(-1, keepdim=True)
    return levels.expand(distance.shape).gather(-1, nearest)[..., 0]


def _some(levels: Tensor, name: str) -> None:
    if levels.ndim == 0 or levels.shape[-1] == 0:
        raise InputError(name, value=f"shape {list(levels.shape)}", allowed="at least one along the last axis")
