"""Photo-electrons and what is lost in counting them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def shot_noise(
    electrons: Tensor, *, normal: Tensor | None = None, poisson: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    r"""Electrons as counted: a Poisson process, variance = mean.

    .. math:: n \sim \mathrm{Poisson}(\mu) \quad\text{or}\quad n = \mu + \sqrt{\mu}\,\varepsilon

    The second keeps the gradient through the signal-dependent σ and is meant for training.

    Args:
        electrons: μ ≥ 0, ``[R, B, y, x]``.
        normal: ε, the same shape; selects the differentiable form.
        poisson: draws counts of a rate; selects the exact form.

    Source: EMVA Standard 1288, release 4.0, section 2.
    """
    if normal is not None:
        # The floor keeps sqrt's gradient finite in the dark; it is 1e-6 electrons rms of noise.
        return electrons + torch.sqrt(electrons + 1e-12) * normal
    if poisson is None:
        raise TypeError("shot_noise needs normal= or poisson=")
    return poisson(electrons)


def read_noise(electrons: Tensor, sigma: Tensor, normal: Tensor) -> Tensor:
    """Electrons plus σ·ε; ``sigma`` in electrons rms of the whole window."""
    return electrons + sigma * normal


def saturate(electrons: Tensor, full_well: Tensor) -> Tensor:
    """Electrons a well can hold: the hard limit ``min(n, full_well)``, gradient 0 above it."""
    return torch.minimum(electrons, full_well)


def black_level(electrons: Tensor, level: Tensor) -> Tensor:
    """Electrons over a pedestal: ``max(n + level, 0)``, for digits have no sign; gradient 0 below."""
    return torch.clamp(electrons + level, min=0)
