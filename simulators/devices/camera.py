"""A camera after EMVA 1288: photons on a mode's window in, digital numbers out."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from simulators.devices.chain import Link, Parameter
from simulators.spec import DeviceSpec, Fraction, Frequency, Length, NonNegative, Pixels, Positive, Rate, Time


class Camera(DeviceSpec):
    """A CMOS sensor; each mode is read by the whole pixels within a central window of the mode.

    The pixels of one window are added in software: their full wells and dark electrons add, their read noise and
    rounding errors add in quadrature. Not modelled: offset non-uniformity, blooming, the cover glass.
    """

    kind: Literal["camera"] = "camera"
    resolution: Pixels  #: (rows, columns)
    pixel_pitch: Length  #: m
    exposure: Time = 1e-3  #: s, set once, never a batch
    window: Annotated[Fraction, Field(gt=0)] = 1.0  #: share of a mode's width that is read
    quantum_efficiency: Annotated[Fraction, Field(gt=0)] | None = None  #: electrons a photon; None: 1
    shot_noise: bool = True  #: whether counting is a Poisson process
    dark_current: Rate | None = None  #: electrons a second and pixel
    read_noise: NonNegative | None = None  #: electrons rms a pixel
    full_well: Positive | None = None  #: electrons a pixel; None: bottomless
    gain_nonuniformity: NonNegative | None = None  #: PRNU, relative rms a pixel
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
        if self.dark_current is not None:
            links.append(Link("dark_current", "dynamic", (Parameter("dark_current", self.dark_current * n),)))
        if self.shot_noise:
            links.append(Link("shot_noise", "dynamic"))
        if self.read_noise is not None:
            sigma = Parameter("read_noise", self.read_noise * math.sqrt(n))
            links.append(Link("read_noise", "dynamic", (sigma,)))
        if self.full_well is not None:
            links.append(Link("full_well", "deterministic", (Parameter("full_well", self.full_well * n),)))
        if self.bits is not None and self.full_well is not None:
            step = Parameter("step", self.full_well / (2**self.bits - 1) * math.sqrt(n))
            links.append(Link("quantisation", "deterministic", (step,)))
        return tuple(links)
