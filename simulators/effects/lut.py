"""What a phase look-up table leaves uncorrected."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Harmonics of the residual curve; liquid-crystal tables err smoothly.
HARMONICS = 3


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
