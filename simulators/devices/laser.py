"""A laser: how much light there is, of which colour, and how steady."""

from __future__ import annotations

from typing import Literal

from simulators.devices.chain import Link, Parameter
from simulators.spec import Angle, DeviceSpec, Length, NonNegative, Power

PLANCK = 6.62607015e-34  #: J s, exact (SI)
LIGHT_SPEED = 299792458.0  #: m/s, exact (SI)


class Laser(DeviceSpec):
    """A continuous-wave laser with a neutral-density filter.

    Without ``beam_radius`` its light is spread evenly over the modes, and all of it lands there. With it the beam is
    Gaussian, centred on the modes: they get what falls on them, each its own mean amplitude.

    Not modelled: polarisation; the beam's shape within one mode.
    """

    kind: Literal["laser"] = "laser"
    wavelength: Length  #: m
    power: Power  #: W, emitted
    optical_density: NonNegative = 0.0  #: of the neutral-density filter: power passes as 10^-OD
    intensity_noise: NonNegative | None = None  #: relative rms of the power from one exposure to the next; None: off
    wavelength_error: NonNegative | None = None  #: relative standard deviation of the wavelength as built; None: exact
    beam_radius: Length | None = None  #: m, 1/e² of the intensity, in the first plane; None: even light
    pointing: Angle | None = None  #: rad, standard deviation of the beam's direction, an axis; None: exact

    def base(self) -> tuple[Parameter, ...]:
        """Figures that are no error."""
        return (Parameter("power", self.power * 10**-self.optical_density),)

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.wavelength_error is not None:
            # Relative to the nominal one, as the scale of a lens is.
            links.append(Link("wavelength_error", "mismatch", (Parameter("wavelength", 1.0, self.wavelength_error),)))
        if self.beam_radius is not None:
            links.append(Link("profile", "deterministic", (Parameter("beam_radius", self.beam_radius),)))
        if self.pointing is not None:
            links.append(Link("pointing", "mismatch", (Parameter("pointing", 0.0, self.pointing, (2,)),)))
        if self.intensity_noise is not None:
            links.append(Link("intensity_noise", "dynamic", (Parameter("intensity_noise", self.intensity_noise),)))
        return tuple(links)

    def photons_per_joule(self) -> float:
        """1/(hν) in photons a joule."""
        return self.wavelength / (PLANCK * LIGHT_SPEED)
