"""Where the samples of a plane are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.errors import InputError


@dataclass(frozen=True)
class Grid:
    r"""Samples of a plane across the optical axis, half-pixel centred for odd and even counts.

    .. math:: x_n = c + \bigl(n - \tfrac{N-1}{2}\bigr)\,\Delta x

    The power of a field E on it is :math:`\sum|E|^2\,\Delta x\,\Delta y`. One row, ``shape = (1, N)``, is a field that
    depends on x only.

    Attributes:
        shape: samples (y, x).
        pitch: Δ (y, x), m.
        centre: c (y, x), m from the axis.

    Raises:
        InputError: no samples, or a pitch or centre that is no length.
    """

    shape: tuple[int, int]
    pitch: tuple[float, float]
    centre: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("shape", "pitch", "centre"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or len(value) != 2:
                raise InputError(f"grid {name}", value=value, allowed="a pair (y, x)")
        if not all(isinstance(n, int) and n >= 1 for n in self.shape):
            raise InputError("grid shape", value=self.shape, allowed="two whole numbers (y, x), at least 1")
        if not all(math.isfinite(p) and p > 0 for p in self.pitch):
            raise InputError("grid pitch", value=self.pitch, allowed="two positive lengths (y, x) in metres")
        if not all(math.isfinite(c) for c in self.centre):
            raise InputError("grid centre", value=self.centre, allowed="two lengths (y, x) in metres")

    @property
    def extent(self) -> tuple[float, float]:
        """Width N Δ of the sampled area (y, x), m: whole cells, so half a pitch beyond the outermost samples."""
        return self.shape[0] * self.pitch[0], self.shape[1] * self.pitch[1]

    @property
    def cell(self) -> float:
        """Area of one sample, m²."""
        return self.pitch[0] * self.pitch[1]

    def positions(self, axis: int, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
        """Where the samples of one axis are, m, ``[N]``; axis 0 is y, 1 is x."""
        count = self.shape[axis]
        index = torch.arange(count, dtype=torch.float64, device=device) - (count - 1) / 2
        return (self.centre[axis] + index * self.pitch[axis]).to(dtype)

    def frequencies(
        self, axis: int, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> Tensor:
        """Spatial frequencies of one axis in the order of the FFT, cycles per metre, ``[N]``.

        These are those of the field's periodic continuation: multiples of 1/(N Δ), zero among them for odd and even N.
        """
        return torch.fft.fftfreq(self.shape[axis], self.pitch[axis], dtype=torch.float64, device=device).to(dtype)

    def meshed(
        self, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions (y, x), ``[y, 1]`` and ``[1, x]``, which broadcast to the plane."""
        return (
            self.positions(0, dtype=dtype, device=device)[:, None],
            self.positions(1, dtype=dtype, device=device)[None, :],
        )

    def power(self, field: Tensor) -> Tensor:
        """Power Σ|E|²ΔxΔy of a field ``[..., y, x]``, ``[...]``."""
        values = field.real.square() + field.imag.square() if field.is_complex() else field.square()
        return values.sum((-2, -1)) * self.cell

    def conjugate(self, wavelength: float, distance: float) -> Grid:
        """The grid behind a lens on which its Fourier transform is unitary: N samples of pitch λ|f|/(N Δ).

        Args:
            wavelength: λ, m.
            distance: f, m.
        """
        scale = abs(wavelength * distance)
        return Grid(self.shape, (scale / self.extent[0], scale / self.extent[1]))
