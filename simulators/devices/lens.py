"""A lens: focal length, what it passes, how far it is off, and what it does to waves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulators.devices.chain import Link, Parameter
from simulators.spec import DeviceSpec, Fraction, Length, NonNegative, Number, Signed

#: Noll numbers of the figure errors drawn for a lens: astigmatism, coma, trefoil, spherical. Focus and tilt are poses.
FIGURE_TERMS = (5, 6, 7, 8, 9, 10, 11)


class Lens(DeviceSpec):
    """A lens used as a Fourier transformer over two focal lengths.

    Wavefront errors are polynomials over the lens's own aperture: a beam of width N·p₁ + P·p₂ crosses it at x + u, so
    field and pupil enter together.

    Not modelled: thickness, the wavefront's dependence on the field beyond that, polarisation.
    """

    kind: Literal["lens"] = "lens"
    focal_length: Length  #: m
    diameter: Length  #: m, clear
    axes: Literal["both", "x"] = "both"  #: "x": cylindrical, transforms x and images y, upside down, 1:1
    transmission: Fraction | None = None  #: of power, both surfaces; None: lossless
    scale_error: NonNegative | None = None  #: relative standard deviation of the focal length as built; None: exact
    chromatic_shift: Number | None = None  #: relative change of the focal length per relative change of wavelength
    zernike: tuple[tuple[Annotated[int, Field(ge=2, le=66)], Signed], ...] = ()  #: (Noll number, m rms of the wave)
    figure_error: Length | None = None  #: m rms of the wave, random low-order polynomials as built; None: exact
    distortion: Literal["f-tan"] | None = None  #: images angles at f·tan θ; None: at f·sin θ, as Fourier lenses do

    def base(self, *, scale: bool = False) -> tuple[Parameter, ...]:
        """Figures that are no error: the relative Fourier scale, where it is exact or its error is switched off."""
        return (Parameter("scale", 1.0),) if scale or self.scale_error is None else ()

    @property
    def terms(self) -> tuple[int, ...]:
        """Noll numbers of its wavefront's polynomials."""
        drawn = FIGURE_TERMS if self.figure_error is not None else ()
        return tuple(sorted({noll for noll, _ in self.zernike} | set(drawn)))

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.scale_error is not None:
            links.append(Link("scale_error", "mismatch", (Parameter("scale", 1.0, self.scale_error),)))
        if self.chromatic_shift is not None:
            links.append(
                Link("chromatic_shift", "deterministic", (Parameter("chromatic_shift", self.chromatic_shift),))
            )
        if self.zernike:
            nominal = tuple(dict(self.zernike).get(noll, 0.0) for noll in self.terms)
            shape = (len(nominal),)
            links.append(Link("aberration", "deterministic", (Parameter("aberration", nominal, 0.0, shape),)))
        if self.figure_error is not None:
            spread = self.figure_error / len(FIGURE_TERMS) ** 0.5
            shape = (len(FIGURE_TERMS),)
            links.append(Link("figure_error", "mismatch", (Parameter("figure_error", 0.0, spread, shape),)))
        if self.distortion is not None:
            links.append(Link("distortion", "deterministic"))
        if self.transmission is not None:
            links.append(Link("loss", "deterministic", (Parameter("transmission", self.transmission),)))
        return tuple(links)
