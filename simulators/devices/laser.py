"""A laser: how much light there is, of which colour, and how steady."""

from __future__ import annotations

from typing import Literal

from simulators.devices.chain import Link, Parameter
from simulators.spec import DeviceSpec, Length, NonNegative, Power

PLANCK = 6.62607015e-34  #: J s, exact (SI)
LIGHT_SPEED = 299792458.0  #: m/s, exact (SI)


class Laser(DeviceSpec):
    """A continuous-wave laser with a neutral-density filter, spread evenly over the modes.

    Not modelled: the beam's profile, polarisation, linewidth.
    """

    kind: Literal["laser"] = "laser"
    wavelength: Length  #: m
    power: Power  #: W, emitted
    optical_density: NonNegative = 0.0  #: of the neutral-density filter: power passes as 10^-OD
    intensity_noise: NonNegative | None = None  #: relative rms of the power from one exposure to the next; None: off

    def base(self) -> tuple[Parameter, ...]:
        """Figures that are no error."""
        return (Parameter("power", self.power * 10**-self.optical_density),)

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        if self.intensity_noise is None:
            return ()
        return (Link("intensity_noise", "dynamic", (Parameter("intensity_noise", self.intensity_noise),)),)

    def photons_per_joule(self) -> float:
        """1/(hν) in photons a joule."""
        return self.wavelength / (PLANCK * LIGHT_SPEED)
