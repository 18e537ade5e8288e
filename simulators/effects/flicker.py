"""Periodic phase ripple of digitally driven panels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def flicker(phase: Tensor, depth: Tensor | float, cosine: Tensor | float) -> Tensor:
    r"""Phase of a rippling panel at one moment of its period, common to all pixels of the panel.

    .. math:: \phi(\theta) = \phi_0 (1 + m \cos\theta)

    A camera integrates many periods, so what it sees is the *intensity* averaged over θ, never the averaged field.

    Args:
        phase: φ₀ ≥ 0, the phase the pixel holds, rad.
        depth: m, dimensionless, broadcastable.
        cosine: cos θ of the moment, broadcastable; of several along a leading axis (:func:`flicker_nodes`).

    Source: Lizana et al., Opt. Express 18 (2010). Not modelled: its dependence on the grey level beyond φ₀.
    """
    return phase * (1 + depth * cosine)


def flicker_nodes(panels: int, count: int | None = None) -> Tensor:
    r"""Moments whose intensities average to the time average, one cosine a panel and moment.

    Node j of panel g: :math:`\cos(\pi g (j + 1/2) / n)`, g = 1, 2, …. For one panel this is Gauss–Chebyshev
    quadrature, exact to degree 2n-1 in m·cos θ; for several, of unrelated frequencies, the cosines are orthogonal, so
    all second-order terms are exact.

    Args:
        panels: independent panels.
        count: n; at least ``panels + 1``, which is the default.

    Returns:
        Cosines, float64 ``[n, panels]``; without a panel one moment, ``[1, 0]``.
    """
    if panels == 0:
        return torch.zeros(1, 0, dtype=torch.float64)
    count = max(count or 0, panels + 1)
    moment = torch.arange(count, dtype=torch.float64) + 0.5
    panel = torch.arange(1, panels + 1, dtype=torch.float64)
    return torch.cos(math.pi / count * torch.outer(moment, panel))


def flicker_pairs(nodes: Tensor) -> Tensor:
    """Every pair of moments, where some ripple is averaged as intensity and some as a field.

    Args:
        nodes: cosines ``[n, panels]`` of :func:`flicker_nodes`.

    Returns:
        ``[n·n, 2·panels]``: for every moment of the first half of the columns, slower, all moments of the second.
    """
    n = len(nodes)
    return torch.cat([nodes.repeat_interleave(n, 0), nodes.repeat(n, 1)], dim=1)
