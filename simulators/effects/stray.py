"""Light that should not be there: ghosts, background, depolarised light, orders of a neighbouring zone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from simulators.effects.limits import check_figure


def ghost(field: Tensor, amplitude: Tensor | float, phase: Tensor | float, shift: tuple[int, int] = (0, 0)) -> Tensor:
    r"""A field with a delayed coherent copy of itself, as a plate's two surfaces make.

    .. math:: E' = (1 - a)\,E + a\,e^{i\phi}\,E(\mathbf{n} - \mathbf{s})

    Passive; what is shifted beyond the edge is lost.

    Args:
        field: complex ``[..., y, x]``.
        amplitude: a in [0, 1], field amplitude of the copy.
        phase: φ, rad, of its longer way.
        shift: (y, x) samples by which the copy lies to the side.

    Returns:
        The shape and dtype of ``field``.

    Raises:
        InputError: an amplitude beyond 0 to 1.

    Source: the first echo of a plane-parallel plate, Born and Wolf, *Principles of Optics*, §7.6. Not modelled: the
    further echoes.
    """
    check_figure("amplitude of the ghost", amplitude, 0, 1)
    phase = torch.as_tensor(phase, dtype=field.real.dtype, device=field.device)
    return (1 - amplitude) * field + amplitude * torch.complex(phase.cos(), phase.sin()) * _moved(field, shift)


def _moved(field: Tensor, shift: tuple[int, int]) -> Tensor:
    out = torch.zeros_like(field)
    rows, columns = field.shape[-2:]
    dy, dx = shift
    if abs(dy) >= rows or abs(dx) >= columns:
        return out
    source = field[..., max(0, -dy) : rows - max(0, dy), max(0, -dx) : columns - max(0, dx)]
    out[..., max(0, dy) : rows - max(0, -dy), max(0, dx) : columns - max(0, -dx)] = source
    return out


def background(photons: Tensor, level: Tensor | float) -> Tensor:
    """Photons with an even incoherent background.

    Args:
        photons: ``[..., y, x]``.
        level: photons that room light or fluorescence adds to each, ≥ 0, broadcastable.

    Raises:
        InputError: a level below 0.
    """
    check_figure("background", level, 0)
    return photons + level


def depolarise(photons: Tensor, share: Tensor | float, unmodulated: Tensor) -> Tensor:
    r"""Photons where a share of the light has lost its polarisation, so that no panel modulates it.

    .. math:: I' = (1-s)\,I + s\,I_0

    It does not interfere with the rest, so that intensities add.

    Args:
        photons: I, of the modulated light, ``[..., y, x]``.
        share: s, of the power, 0 to 1, broadcastable.
        unmodulated: I₀, of the same light with no pattern on the panel.

    Raises:
        InputError: a share beyond 0 to 1.

    Source: Lizana et al., Opt. Express 16, 1669 (2008), for depolarisation by liquid-crystal panels.
    """
    check_figure("depolarised share", share, 0, 1)
    return (1 - share) * photons + share * unmodulated


def zone_order_share(order: int) -> float:
    r"""Share of a pixelated zone's light, one axis, that falls on the zone ``order`` orders away.

    .. math:: \int_{m-1/2}^{m+1/2} \mathrm{sinc}^2 u\,du

    for a panel of full fill that shows independent phases: 77.4 % stays in the zeroth, 7.9 % and 1.4 % reach each
    first and second order.

    Args:
        order: m, of either sign; of two axes the shares multiply.

    Source: Goodman, *Introduction to Fourier Optics*, for the sinc² of a pixel. Not modelled: the pattern itself, whose
    spectrum is even on average only, and gaps.
    """
    points, weights = np.polynomial.legendre.leggauss(24)
    return float(weights @ np.sinc(order + points / 2) ** 2 / 2)
