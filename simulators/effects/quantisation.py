"""Rounding to the levels a device can show, with the gradient of the unrounded value.

The step between levels has a gradient too, that of learned step sizes (LSQ): with v = value/step, dq/dstep is
round(v) - v within the levels, and the number of the level at their ends. Where the step wants no gradient it costs
nothing.

Source: Esser et al., "Learned step size quantization", ICLR 2020 (arXiv:1902.08153).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulators.effects.limits import check_figure
from simulators.errors import InputError


def straight_through(exact: Tensor, rounded: Tensor) -> Tensor:
    """The value of ``rounded`` with the gradient of ``exact`` (Bengio et al., arXiv:1308.3432)."""
    return exact + (rounded - exact).detach()


def scale_gradient(value: Tensor, factor: float) -> Tensor:
    """``value`` with its gradient times ``factor``; LSQ takes 1/√(N·Q) for the step of N values of Q levels."""
    return value.detach() + (value - value.detach()) * factor


def quantise(value: Tensor, step: Tensor | float) -> Tensor:
    """Nearest multiple of ``step``, straight-through. Any shape; ``step`` in the value's unit, > 0.

    The gradient in ``step`` is round(v) - v with v = value/step; the ends of a range are those of who clips.
    """
    level = torch.round(value / step)
    shown = straight_through(value, level * step)
    return _sloped(shown, level - value / step, step) if _wants(step) else shown


def learned_step_quantise(value: Tensor, step: Tensor | float, low: int, high: int) -> Tensor:
    r"""Nearest of the levels ``low`` … ``high`` times ``step``: LSQ.

    .. math:: q = s\,\bigl\lfloor\mathrm{clip}(v, l, h)\bigr\rceil, \quad v = x/s, \quad
        \frac{\partial q}{\partial x} = [l < v < h], \quad
        \frac{\partial q}{\partial s} = \begin{cases} l & v \le l \\ \lfloor v\rceil - v & l < v < h \\
        h & v \ge h \end{cases}

    Args:
        value: x, any shape.
        step: s > 0, in the value's unit, broadcastable; :func:`scale_gradient` with 1/√(N·h) before, where it learns
            beside weights.
        low: number of the lowest level, -Q_N of the paper.
        high: number of the highest level, Q_P.

    Returns:
        Multiples of ``step``.

    Raises:
        InputError: a step that is not positive, or no two levels.

    Source: Esser et al., ICLR 2020 (arXiv:1902.08153), equations 1 to 3.
    """
    check_figure("step", step, 0, above=True)
    if not low < high:
        raise InputError("levels", value=f"{low} to {high}", allowed="the lowest below the highest")
    share = value / step
    within = (share > low) & (share < high)
    # Not clamp: at the very ends its gradient is 1.
    share = torch.where(within, share, share.detach().clamp(low, high))
    return straight_through(share, torch.round(share)) * step


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
        The shown phase in [0, 2π), gradient 1 in ``phase`` (the circular straight-through); in the step S/2^b it is
        round(v) - v up to the last level, beyond it the g of the end that is taken.

    Source: Goodman and Silvestri, IBM J. Res. Dev. 14, 478 (1970); for the step Esser et al., arXiv:1902.08153.
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
    shown = straight_through(phase, torch.where(phase > last, beyond, level * step))
    if not _wants(step):
        return shown
    end = torch.where(beyond > 0, top, 0.0)
    return _sloped(shown, torch.where(phase > last, end, level - phase / step), step)


def quantise_to(phase: Tensor, levels: Tensor) -> Tensor:
    r"""Nearest of any set of phase levels, measured on the circle, straight-through.

    .. math:: Q(\phi) = \arg\min_{\phi_q} \bigl|\arg e^{i(\phi - \phi_q)}\bigr|

    Even levels over a stroke are a special case, which :func:`quantise_phase` finds without a search.

    Args:
        phase: rad, any shape; wrapped into [0, 2π).
        levels: rad, ``[L]`` in any order, or ``[..., L]`` where the leading axes broadcast against ``phase``.

    Returns:
        The chosen level as it is given, gradient 1 in ``phase``; the shape of ``phase`` broadcast against the leading
        axes. In the stroke S of levels r S the gradient is r - φ/S with the chosen r, beyond the ends r alone: in the
        levels, w for the chosen and -w for the next one on the phase's other side, at the share w of the way to it.

    Raises:
        InputError: no levels.

    Source: Goodman and Silvestri, IBM J. Res. Dev. 14, 478 (1970), for the error of even levels; uneven ones are those
    of piston micro-mirrors (:mod:`simulators.effects.level_tables`).
    """
    _some(levels, "phase levels")
    levels = levels.to(phase)
    turn = 2 * math.pi
    phase = torch.remainder(phase, turn)
    distance = torch.remainder(phase.detach()[..., None] - levels.detach() + math.pi, turn) - math.pi
    shown = straight_through(phase, _chosen(levels, distance))
    return shown + _level_slopes(levels, distance) if _wants(levels) else shown


def soft_levels(phase: Tensor, levels: Tensor, temperature: Tensor | float, *, gumbel: Tensor | None = None) -> Tensor:
    r"""A phase between all levels, the nearer ones weighing more; the nearest one as the temperature goes to 0.

    .. math:: \phi' = \phi + \sum_g w_g\,d_g, \quad d_g = \arg e^{i(\phi_g - \phi)}, \quad
        w = \mathrm{softmax}\bigl(-d_g^2/2T + \gamma_g\bigr)

    given by the turn in which the nearest level is named, so that it tends to the level as it is given: what follows
    a panel's levels (ripple, fringing) is not periodic.

    Args:
        phase: φ, rad, any shape.
        levels: φ_g, rad, ``[..., L]`` as of :func:`quantise_to`; infinite ones cannot be shown.
        temperature: T > 0, rad², broadcastable to ``phase``.
        gumbel: γ, standard Gumbel values, broadcastable to ``[..., L]``: a random assignment. None: none.

    Returns:
        Rad, the shape of ``phase`` broadcast against the leading axes; its gradients are its derivatives.

    Raises:
        InputError: no levels, or a temperature that is not positive.

    Source: Jang et al., ICLR 2017 (arXiv:1611.01144), and Maddison et al., ICLR 2017 (arXiv:1611.00712), for the
    random assignment; over levels of a panel Li et al., arXiv:2209.14252.
    """
    _some(levels, "phase levels")
    check_figure("temperature", temperature, 0, above=True)
    turn = 2 * math.pi
    levels = levels.to(phase)
    real = levels.isfinite()
    levels = torch.where(real, levels, 0.0)
    phase = torch.remainder(phase, turn)
    distance = torch.remainder(levels - phase[..., None] + math.pi, turn) - math.pi
    far = torch.where(real, distance.detach().abs(), math.inf)
    nearest = far.argmin(-1, keepdim=True)
    # Counted from the nearest level: at any temperature one exponent is 0.
    excess = (distance**2 - distance.detach().gather(-1, nearest) ** 2) / (2 * _beside(temperature))
    logits = torch.where(real, -excess, -math.inf)
    weights = torch.softmax(logits if gumbel is None else logits + gumbel, -1)
    named = levels.expand(distance.shape).gather(-1, nearest) - distance.gather(-1, nearest)
    return named[..., 0] + (weights * distance).sum(-1)


def even_levels(bits: int, stroke: Tensor) -> Tensor:
    """The levels of :func:`quantise_phase`, ``[..., 2^bits]`` for a ``stroke`` ``[...]``; infinite from 2π on."""
    levels = stroke[..., None] / 2**bits * torch.arange(2**bits, dtype=stroke.dtype, device=stroke.device)
    return torch.where(levels < 2 * math.pi * (1 - 1e-9), levels, math.inf)


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


def _wants(figure: Tensor | float) -> bool:
    return isinstance(figure, Tensor) and figure.requires_grad and torch.is_grad_enabled()


def _sloped(shown: Tensor, slope: Tensor, step: Tensor | float) -> Tensor:
    """``shown`` to the bit, with the gradient ``slope`` in ``step``."""
    assert isinstance(step, Tensor)
    return shown + slope.detach() * (step - step.detach())


def _level_slopes(levels: Tensor, distance: Tensor) -> Tensor:
    """0, with the gradients of :func:`quantise_to` in the levels; ``distance`` from each to the phase."""
    index = distance.abs().argmin(-1, keepdim=True)
    levels = levels.expand(distance.shape)
    beyond = distance.gather(-1, index)
    apart = levels.detach() - levels.detach().gather(-1, index)
    gap, beside = torch.where(apart.sign() == beyond.sign(), apart.abs(), math.inf).min(-1, keepdim=True)
    end = gap.isinf()
    share = torch.where(end, 1.0, beyond.abs() / gap.clamp(min=torch.finfo(gap.dtype).tiny))
    rest = levels - levels.detach()
    slopes = share * rest.gather(-1, index) - torch.where(end, 0.0, share) * rest.gather(-1, beside)
    return slopes[..., 0]


def _beside(temperature: Tensor | float) -> Tensor | float:
    return temperature[..., None] if isinstance(temperature, Tensor) else temperature


def _some(levels: Tensor, name: str) -> None:
    if levels.ndim == 0 or levels.shape[-1] == 0:
        raise InputError(name, value=f"shape {list(levels.shape)}", allowed="at least one along the last axis")
