"""A lens: focal length, what it passes, and how far it is off."""

from __future__ import annotations

from typing import Literal

from simulators.devices.chain import Link, Parameter
from simulators.spec import DeviceSpec, Fraction, Length, NonNegative


class Lens(DeviceSpec):
    """A spherical lens used as a Fourier transformer over two focal lengths.

    Not modelled yet: its aperture, aberration and distortion.
    """

    kind: Literal["lens"] = "lens"
    focal_length: Length  #: m
    diameter: Length  #: m, clear
    transmission: Fraction | None = None  #: of power, both surfaces; None: lossless
    scale_error: NonNegative | None = None  #: relative standard deviation of the focal length as built; None: exact

    def base(self) -> tuple[Parameter, ...]:
        """Figures that are no error: the Fourier scale, relative to the nominal λf/(p₁p₂)."""
        return () if self.scale_error is not None else (Parameter("scale", 1.0),)

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.scale_error is not None:
            links.append(Link("scale_error", "mismatch", (Parameter("scale", 1.0, self.scale_error),)))
        if self.transmission is not None:
            links.append(Link("loss", "deterministic", (Parameter("transmission", self.transmission),)))
        return tuple(links)
