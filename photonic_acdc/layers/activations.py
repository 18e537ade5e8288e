"""What turns complex amplitudes into real features."""

from __future__ import annotations

from torch import Tensor, nn


class Intensity(nn.Module):
    """Modulus squared, |z|²: what a camera reads. Complex ``[...]`` → real ``[...]``."""

    def forward(self, z: Tensor) -> Tensor:
        """|z|², without the cost of a square root."""
        return z.real**2 + z.imag**2 if z.is_complex() else z**2
