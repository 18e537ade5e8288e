"""How a panel's phase follows its drive: what a look-up table leaves, a bent response, a measured one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulators.effects.limits import check_figure
from simulators.errors import InputError

#: Harmonics of the residual curve; liquid-crystal tables err smoothly.
HARMONICS = 3
#: Share of the stroke below which a bent response goes on in a straight line.
_KNEE = 1e-6


def lut_residual(phase: Tensor, coefficients: Tensor, stroke: Tensor | float) -> Tensor:
    r"""Phase actually reached where the look-up table is slightly wrong.

    .. math:: \phi' = \phi + \sum_{k=1}^{3} \tfrac{1}{\sqrt 3}
        \bigl(c_k \cos(2\pi k\phi/S) + s_k \sin(2\pi k\phi/S)\bigr)

    With c, s ~ N(0, σ²) the residual has rms σ over a uniformly used stroke and over panels.

    Args:
        phase: commanded phase in rad, ``[..., y, x]``.
        coefficients: ``[R, 1, 6]``: three cosine, then three sine amplitudes, rad.
        stroke: S in rad, broadcastable to ``phase``.

    Returns:
        The phase shown, the shape of ``phase`` broadcast over realisations.

    Source: a smooth global curve is what the calibrations cited in Engström et al., Opt. Express 21, 16086 (2013)
    leave. Not modelled: its variation over the panel.
    """
    shown = phase
    scale = 1 / math.sqrt(HARMONICS)
    for k in range(HARMONICS):
        angle = (2 * math.pi * (k + 1)) * phase / stroke
        cosine = coefficients[..., k, None, None]
        sine = coefficients[..., HARMONICS + k, None, None]
        shown = shown + scale * (cosine * torch.cos(angle) + sine * torch.sin(angle))
    return shown


def gamma_response(phase: Tensor, stroke: Tensor | float, gamma: Tensor | float) -> Tensor:
    r"""Phase reached where the response is bent: :math:`\phi' = S\,(\phi/S)^\gamma`.

    Args:
        phase: φ in [0, S], rad.
        stroke: S, rad, of the panel or a pixel, broadcastable.
        gamma: γ > 0, broadcastable; 1: as commanded.

    Returns:
        Rad, in [0, S]. Below 1e-6 S the response is a straight line, so that the gradient stays finite at 0.

    Raises:
        InputError: a stroke or γ that is not positive.

    Source: the gamma curve of display drivers, as phase panels are calibrated with. Not modelled: an offset at no
    drive; :func:`measured_response` takes any curve.
    """
    check_figure("stroke", stroke, 0, above=True)
    check_figure("gamma", gamma, 0, above=True)
    share = phase / stroke
    bent = share.clamp(min=_KNEE)  # the power's gradient has no bound at 0
    return stroke * bent**gamma * (share / bent)


def measured_response(drive: Tensor, levels: Tensor, phases: Tensor) -> Tensor:
    r"""Phase at ``drive`` from a measured table, linear between its points.

    .. math:: \phi(g) = \phi_j + (\phi_{j+1} - \phi_j)\,\frac{g - g_j}{g_{j+1} - g_j}

    Linear, because it adds no extrema to a monotone table and reaches the measured points exactly.

    Args:
        drive: g, any shape, within the table.
        levels: g_j, drive levels of the table, ``[L]``, strictly ascending.
        phases: φ_j measured there, rad, ``[L]``, nowhere descending.

    Returns:
        Rad, the shape of ``drive``; differentiable in all three.

    Raises:
        InputError: a table of fewer than two points or one that is not monotone, or a drive beyond it.
    """
    if levels.ndim != 1 or levels.shape != phases.shape or len(levels) < 2:
        raise InputError(
            "measured response",
            value=f"levels {list(levels.shape)} and phases {list(phases.shape)}",
            allowed="as many phases as levels, two or more",
        )
    if (levels.diff() <= 0).any() or (phases.diff() < 0).any():
        raise InputError("measured response", value="not monotone", allowed="ascending levels and phases")
    levels, phases = levels.to(drive), phases.to(drive)
    low, high = levels[0].item(), levels[-1].item()
    if (drive.detach() < low).any() or (drive.detach() > high).any():
        raise InputError("drive", value=f"beyond {low:g} to {high:g}", allowed="within the measured table")
    after = torch.searchsorted(levels, drive.detach().contiguous()).clamp(1, len(levels) - 1)
    share = (drive - levels[after - 1]) / (levels[after] - levels[after - 1])
    return phases[after - 1] + share * (phases[after] - phases[after - 1])
