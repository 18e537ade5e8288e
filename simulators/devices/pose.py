"""Where an element stands, against where it should: decentre, axial shift, tilt, clocking, and how these drift."""

from __future__ import annotations

from pydantic import ConfigDict

from simulators.devices.chain import Link, Parameter
from simulators.spec import Angle, AngularSpeed, Length, Spec, Speed


class Misalignment(Spec):
    """Standard deviations of an element's place over benches as built; None: exact, that effect is absent.

    Lateral errors are along y and x, in metres of the element's own plane; tilt is that of a reflecting element about
    its two axes, and turns the beam by twice as much; clocking is a turn about the optical axis. Of a lens lateral and
    axial errors act; tilt and clocking of a thin spherical lens do nothing to first order and are not modelled.
    """

    model_config = ConfigDict(frozen=True)

    lateral: Length | None = None  #: m, an axis
    axial: Length | None = None  #: m, positive downstream
    tilt: Angle | None = None  #: rad, an axis
    clocking: Angle | None = None  #: rad
    lateral_drift: Speed | None = None  #: m/s, an axis, constant in time; "0.5 um / hour"
    tilt_drift: AngularSpeed | None = None  #: rad/s, an axis; "3 urad / hour"

    @classmethod
    def as_built(cls) -> Misalignment:
        """An element put down with care: 25 µm, 100 µm, 100 µrad, 2 mrad. Nominal figures, to be edited."""
        return cls(lateral=25e-6, axial=100e-6, tilt=100e-6, clocking=2e-3)

    @classmethod
    def calibrated(cls) -> Misalignment:
        """What registration leaves: 1 µm, 20 µm, 5 µrad, 0.1 mrad. Nominal figures, to be edited."""
        return cls(lateral=1e-6, axial=20e-6, tilt=5e-6, clocking=1e-4)

    @classmethod
    def drifting(cls) -> Misalignment:
        """Calibrated, then left alone: 0.5 µm and 3 µrad an hour on top. Nominal figures, to be edited."""
        return cls.calibrated().replace(lateral_drift=0.5e-6 / 3600, tilt_drift=3e-6 / 3600)

    def links(self, *, lens: bool = False) -> tuple[Link, ...]:
        """The effects that are on."""
        two = (2,)
        found = [
            ("lateral", "mismatch", self.lateral, two),
            ("axial", "mismatch", self.axial, ()),
            ("tilt", "mismatch", None if lens else self.tilt, two),
            ("clocking", "mismatch", None if lens else self.clocking, ()),
            ("lateral_drift", "drift", self.lateral_drift, two),
            ("tilt_drift", "drift", None if lens else self.tilt_drift, two),
        ]
        return tuple(
            Link(name, kind, (Parameter(name, 0.0, spread, shape),))  # pyright: ignore[reportArgumentType]
            for name, kind, spread, shape in found
            if spread is not None
        )
