"""How a laser beam lights the modes."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian_profile(count: int, radius: Tensor) -> Tensor:
    r"""Mean amplitude of a Gaussian beam of unit power on each of ``count`` pixels along one axis.

    .. math:: a_n = \int_{n-1/2}^{n+1/2} \Bigl(\frac{2}{\pi w^2}\Bigr)^{1/4} e^{-x^2/w^2}\,dx

    The squares sum to less than 1: to what falls on the pixels as constants.

    Args:
        count: pixels, centred on the beam.
        radius: w, 1/e² of the intensity, in pixels, any shape ``[...]``.

    Returns:
        Real ``[..., count]``.
    """
    radius = radius[..., None]
    edge = torch.arange(count + 1, dtype=radius.dtype, device=radius.device) - count / 2
    integral = torch.erf(edge / radius) * (math.sqrt(math.pi) / 2) * radius
    return (integral[..., 1:] - integral[..., :-1]) * (2 / (math.pi * radius**2)) ** 0.25
