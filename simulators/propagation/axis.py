r"""A Fourier transform along one axis, between evenly spaced samples anywhere: by FFT, matrix or chirp-z.

.. math:: T_{kn} = \sqrt{\tfrac{\Delta x\,\Delta u}{|s|}}\;e^{-2\pi i\,x_n u_k/s}

On amplitudes √Δx E: with :math:`\Delta x\,\Delta u = |s|/N` it is unitary. s is λf of a lens, and 1 or -1 between a
plane and its spatial frequencies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from simulators.errors import InputError

Method = Literal["auto", "fft", "matrix", "chirp-z"]
Figure = float | Tensor

#: Error of the FFT's phase, rad, below which its spacing counts as exact.
EXACT = 1e-11
#: Steps of one FFT, and of the two of a chirp-z, that take as long as one of a matrix product (measured, one thread).
FFT_COST, CHIRP_COST = 4.0, 5.0


def exact(figure: Figure) -> Figure:
    """A tensor figure in float64 on the CPU, where kernels are computed: phases reach thousands of radians."""
    if not isinstance(figure, Tensor):
        return figure
    if figure.numel() != 1:
        raise InputError(
            "figure of a propagation", value=f"a tensor of shape {tuple(figure.shape)}", allowed="one number"
        )
    return figure.reshape(()).to("cpu", torch.float64)


def number(figure: Figure) -> float:
    """The value of a figure that may be a tensor."""
    figure = exact(figure)
    return float(figure.detach()) if isinstance(figure, Tensor) else figure


def learned(*figures: Figure | None) -> bool:
    """Whether a gradient in any of the figures is wanted, so that no kernel of them may be kept."""
    return any(isinstance(figure, Tensor) and figure.requires_grad for figure in figures)


def phasor(phase: Tensor) -> Tensor:
    """e^{iφ}."""
    return torch.complex(phase.cos(), phase.sin())


def ruler(count: int, *, device: torch.device | None = None) -> Tensor:
    """n - (N-1)/2, float64 ``[count]``."""
    return torch.arange(count, dtype=torch.float64, device=device) - (count - 1) / 2


@dataclass(frozen=True)
class Samples:
    """Evenly spaced samples of one axis; ``centre`` may be a tensor, to be learned."""

    count: int
    pitch: float
    centre: Figure = 0.0

    def positions(self) -> Tensor:
        """Float64 ``[count]``."""
        return exact(self.centre) + ruler(self.count) * self.pitch


class AxisFourier:
    """The transform T of the module's docstring along one axis.

    Args:
        front: samples x.
        back: samples u.
        scale: s; a tensor may be learned.
        method: "auto" chooses; see ``plan``.

    Raises:
        InputError: an FFT where the spacing does not fit one, or where the scale is to be learned.

    Source: chirp-z after Bluestein, IEEE Trans. Audio Electroacoust. 18, 451 (1970).
    """

    def __init__(self, front: Samples, back: Samples, scale: Figure, method: Method = "auto"):
        if method not in ("auto", "fft", "matrix", "chirp-z"):
            raise InputError("method", value=method, allowed='"auto", "fft", "matrix" or "chirp-z"')
        self.front, self.back, self.scale = front, back, exact(scale)
        ratio = abs(number(scale)) / (front.pitch * back.pitch)
        self._points = round(ratio)
        n, k = front.count, back.count
        slip = math.pi / 2 * n * k * abs(1 / ratio - 1 / max(self._points, 1))
        fits = self._points >= max(n, k) and slip < EXACT
        if method == "fft" and (not fits or learned(scale)):
            wanted = "a distance that needs no gradient" if fits else f"λf/(ΔxΔu) a whole number ≥ {max(n, k)}"
            raise InputError(
                "Fourier transform by FFT", value=f"λf/(ΔxΔu) = {ratio:.9g}", allowed=wanted, remedy='method="auto"'
            )
        self._padded = int(next_fast_len(n + k - 1) or 1)
        cost = {"matrix": float(n * k), "chirp-z": CHIRP_COST * self._padded * math.log2(self._padded + 1)}
        if fits and not learned(scale):
            cost["fft"] = FFT_COST * self._points * math.log2(self._points + 1)
        self.method = min(cost, key=lambda name: cost[name]) if method == "auto" else method
        self.plan = f"{self.method}, {n} → {k}: " + (
            "as asked for"
            if method != "auto"
            else {
                "fft": f"λf/(ΔxΔu) = {self._points} exactly",
                "matrix": "small enough for a product" if not fits else "smaller than its FFT",
                "chirp-z": "the scale is to be learned" if fits else f"λf/(ΔxΔu) = {ratio:.6g} is no whole number",
            }[self.method]
        )
        self._kept: dict[tuple[torch.dtype, torch.device, bool], tuple[Tensor, ...]] = {}

    @property
    def growth(self) -> float:
        """Samples behind for each in front."""
        return self.back.count / self.front.count

    def __call__(self, field: Tensor, axis: int, *, adjoint: bool = False) -> Tensor:
        """T or, with ``adjoint``, its conjugate transpose, along the last axis (-1) or the one before (-2)."""
        kernels = self._kernels(field, adjoint)
        if self.method == "matrix":
            return field @ kernels[0] if axis == -1 else kernels[0].mT @ field
        column = (slice(None), None) if axis == -2 else ()
        before, after = (kernel[column] for kernel in (kernels[0], kernels[-1]))
        if self.method == "fft":
            transform = torch.fft.ifft if self._backwards(adjoint) else torch.fft.fft
            out = transform(field * before, n=self._points, dim=axis, norm="ortho")
        else:
            spectrum = torch.fft.fft(field * before, n=self._padded, dim=axis)
            out = torch.fft.ifft(spectrum * kernels[1][column], dim=axis)
        return out.narrow(axis, 0, (self.front if adjoint else self.back).count) * after

    def _backwards(self, adjoint: bool) -> bool:
        return (number(self.scale) < 0) != adjoint

    def _kernels(self, field: Tensor, adjoint: bool) -> tuple[Tensor, ...]:
        if learned(self.scale, self.front.centre, self.back.centre):
            return tuple(kernel.to(field) for kernel in self._build(adjoint))
        key = (field.dtype, field.device, adjoint)
        if key not in self._kept:
            # Kept kernels serve training too, though inference may have asked for them first.
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = tuple(kernel.to(field) for kernel in self._build(adjoint))
        return self._kept[key]

    def _build(self, adjoint: bool) -> tuple[Tensor, ...]:
        # The conjugate transpose is the same transform from u to x at the scale -s.
        front, back = (self.back, self.front) if adjoint else (self.front, self.back)
        scale = -self.scale if adjoint else self.scale
        x, u = ruler(front.count) * front.pitch, ruler(back.count) * back.pitch
        x_middle, u_middle = exact(front.centre), exact(back.centre)
        wave = -2 * math.pi / scale
        weight = (front.pitch * back.pitch / abs(scale)) ** 0.5
        if self.method == "matrix":
            return (weight * phasor(wave * torch.outer(x_middle + x, u_middle + u)),)
        # x u = x u_c + x_c (u_c + u') + x' u', with x', u' from the middle of their samples
        before, after = wave * x * u_middle, wave * x_middle * (u_middle + u)
        if self.method == "fft":
            # x' u' = ΔxΔu (n - n₀)(k - k₀): the FFT's n k and three phases.
            middle_n, middle_k = (front.count - 1) / 2, (back.count - 1) / 2
            turn = (-1 if number(scale) > 0 else 1) * 2 * math.pi / self._points
            before = before - turn * middle_k * torch.arange(front.count, dtype=torch.float64)
            after = after - turn * middle_n * (torch.arange(back.count, dtype=torch.float64) - middle_k)
            return phasor(before), phasor(after)
        # n' k' = (n'² + k'² - (k' - n')²)/2 turns the sum into a convolution.
        half = wave * front.pitch * back.pitch / 2
        lag = torch.arange(self._padded, dtype=torch.float64)
        lag = torch.where(lag < back.count, lag, lag - self._padded) + (front.count - back.count) / 2
        before = before + half * ruler(front.count) ** 2
        after = after + half * ruler(back.count) ** 2
        spectrum = torch.fft.fft(phasor(-half * lag**2))
        return phasor(before), spectrum, weight * phasor(after)
