"""A camera after EMVA 1288: photons on a mode's window in, digital numbers out."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from simulators.devices.chain import Link, Parameter
from simulators.spec import DeviceSpec, Fraction, Frequency, Length, NonNegative, Pixels, Positive, Rate, Time


class Camera(DeviceSpec):
    """A CMOS sensor; each mode is read by the whole pixels within a central window of the mode.

    The pixels of one window are added in software: their full wells and dark electrons add, their read noise, offsets
    and rounding errors add in quadrature. Without a black level a frame may be negative, as if the converter had a
    range below zero. Not modelled: blooming, the cover glass, defect pixels, noise common to a row.
    """

    kind: Literal["camera"] = "camera"
    resolution: Pixels  #: (rows, columns)
    pixel_pitch: Length  #: m
    exposure: Time = 1e-3  #: s, set once, never a batch
    window: Annotated[Fraction, Field(gt=0)] = 1.0  #: share of a mode's width that is read
    quantum_efficiency: Annotated[Fraction, Field(gt=0)] | None = None  #: electrons a photon; None: 1
    shot_noise: bool = True  #: whether counting is a Poisson process
    background: Rate | None = None  #: photons of stray light a second and pixel, incoherent with the signal
    dark_current: Rate | None = None  #: electrons a second and pixel
    read_noise: NonNegative | None = None  #: electrons rms a pixel
    full_well: Positive | None = None  #: electrons a pixel; None: bottomless
    gain_nonuniformity: NonNegative | None = None  #: PRNU, relative rms a pixel
    offset_nonuniformity: NonNegative | None = None  #: DSNU, electrons rms a pixel
    black_level: NonNegative | None = None  #: electrons a pixel that darkness reads as; nothing reads below zero
    bits: int | None = Field(default=None, ge=1, le=16, strict=True)  #: over the full well; None: continuous
    frame_rate: Frequency | None = None  #: Hz
    electrical_power: NonNegative | None = None  #: W

    def base(self) -> tuple[Parameter, ...]:
        """Figures that are no error."""
        return (Parameter("exposure", self.exposure),)

    def pixels_per_mode(self, mode_pitch: float) -> int:
        """Whole pixels within the window of a mode of ``mode_pitch`` (m); at least one."""
        return max(1, math.floor(self.window * mode_pitch / self.pixel_pitch + 1e-9)) ** 2

    def links_for(self, mode_pitch: float) -> tuple[Link, ...]:
        """Effects in the order they act, with the figures of a whole window."""
        n = self.pixels_per_mode(mode_pitch)
        links = []
        if self.quantum_efficiency is not None:
            links.append(
                Link(
                    "quantum_efficiency",
                    "deterministic",
                    (Parameter("quantum_efficiency", self.quantum_efficiency),),
                )
            )
        if self.gain_nonuniformity is not None:
            # The mean of n pixels deviates √n times less than one pixel.
            gain = Parameter("gain_nonuniformity", 1.0, self.gain_nonuniformity / math.sqrt(n), "pixels")
            links.append(Link("gain_nonuniformity", "mismatch", (gain,)))
        if self.background is not None:
            links.append(Link("background", "deterministic", (Parameter("background", self.background * n),)))
        if self.dark_current is not None:
            links.append(Link("dark_current", "dynamic", (Parameter("dark_current", self.dark_current * n),)))
        if self.shot_noise:
            links.append(Link("shot_noise", "dynamic"))
        if self.read_noise is not None:
            sigma = Parameter("read_noise", self.read_noise * math.sqrt(n))
            links.append(Link("read_noise", "dynamic", (sigma,)))
        if self.offset_nonuniformity is not None:
            offset = Parameter("offset_nonuniformity", 0.0, self.offset_nonuniformity * math.sqrt(n), "pixels")
            links.append(Link("offset_nonuniformity", "mismatch", (offset,)))
        if self.black_level is not None:
            links.append(Link("black_level", "deterministic", (Parameter("black_level", self.black_level * n),)))
        if self.full_well is not None:
            links.append(Link("full_well", "deterministic", (Parameter("full_well", self.full_well * n),)))
        if self.bits is not None and self.full_well is not None:
            step = Parameter("step", self.full_well / (2**self.bits - 1) * math.sqrt(n))
            links.append(Link("quantisation", "deterministic", (step,)))
        return tuple(links)

    def snr(self, photons: Tensor, *, spatial: bool = False) -> Tensor:
        r"""Signal-to-noise ratio of one pixel, below saturation.

        .. math:: \mathrm{SNR} = \frac{\eta\mu_p}{\sqrt{\sigma_r^2 + \mu_d t + \sigma_q^2/K^2 + \eta\mu_p
            + [\mathrm{DSNU}^2 + \mathrm{PRNU}^2 (\eta\mu_p)^2]}}, \quad \frac{\sigma_q^2}{K^2} = \frac{\Delta^2}{12}

        with Δ the electrons of one digit.

        Args:
            photons: μ_p, on a pixel in one exposure, > 0; any shape.
            spatial: with the terms in brackets: the spread over a frame's pixels, not that of one pixel over frames.

        Returns:
            The ratio of amplitudes, the shape of ``photons``.

        Source: EMVA Standard 1288, release 4.0, section 2.
        """
        signal = photons * (self.quantum_efficiency or 1.0)
        fixed = (self.read_noise or 0.0) ** 2 + (self.dark_current or 0.0) * self.exposure * self.shot_noise
        if self.bits is not None and self.full_well is not None:
            fixed += (self.full_well / (2**self.bits - 1)) ** 2 / 12
        variance = signal * float(self.shot_noise) + fixed
        if spatial:
            prnu = self.gain_nonuniformity or 0.0
            variance = variance + (self.offset_nonuniformity or 0.0) ** 2 + (prnu * signal) ** 2
        return signal * torch.rsqrt(variance)

    def reference_photons(self, fill: float, mode_pitch: float) -> float | None:
        """Photons a mode and frame that fill the share ``fill`` of the full wells of a window; None: bottomless."""
        if self.full_well is None:
            return None
        electrons = fill * self.full_well * self.pixels_per_mode(mode_pitch)
        return electrons / (self.quantum_efficiency or 1.0) / self.window**2
