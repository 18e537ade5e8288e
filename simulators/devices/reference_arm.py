"""The reference arm of an interferometric readout: what is wrong with its wave, in each frame and over the modes."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.devices.chain import Link, Parameter
from simulators.errors import InputError
from simulators.spec import Angle, Curvature, DeviceSpec, Fraction, Length, NonNegative, Tilt

#: Phase that tilt and curvature may turn the reference by across one mode, rad: the fringe there then loses < 10 %.
LARGEST_TURN = math.pi / 2


class ReferenceArm(DeviceSpec):
    """A local oscillator, split off the laser, that interferes with the light at the detector.

    Its phase is stepped between frames by a moving mirror; in off-axis holography it comes in at an angle instead.
    Decoding knows the contrast of the fringes, and neither the step's error nor the wavefront: a fixed wavefront turns
    each mode by a fixed phase, which training or calibration takes up.

    Not modelled: drift correlated from frame to frame, motion within a frame, the wavefront's change within a mode.
    """

    kind: Literal["reference_arm"] = "reference_arm"
    step_error: Angle | None = None  #: rad rms over arms as built, of each step of π/2; None: exact
    piston_drift: Angle | None = None  #: rad rms, of the path between the arms from frame to frame; None: still
    power_drift: NonNegative | None = None  #: relative rms of the reference's power from frame to frame; None: steady
    visibility: Annotated[Fraction, Field(gt=0)] | None = None  #: contrast, polarisation and overlap; None: 1
    path_mismatch: Length | None = None  #: m, optical path between the arms; None: equal arms
    coherence_length: Length | None = None  #: m, c/(πΔν) of a Lorentzian line Δν wide
    tilt: tuple[Tilt, Tilt] | None = None  #: rad (y, x) against the optical axis; None: none
    curvature: Curvature | None = None  #: 1/m, of a wavefront that diverges from the arm; None: plane
    common_mode_rejection_dB: NonNegative | None = None  #: 20 lg of difference to common gain of balanced ports
    angle: Angle | None = None  #: rad, in x, off-axis holography's; None: a fringe of four camera pixels

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.path_mismatch is not None and self.coherence_length is None:
            raise InputError(
                "path_mismatch",
                value=f"{self.path_mismatch * 1e3:g} mm",
                allowed="a mismatch beside the coherence length of the light",
                remedy="coherence_length = c/(π·linewidth)",
            )
        return self

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.tilt is not None:
            links.append(Link("tilt", "deterministic", (Parameter("tilt", self.tilt, 0.0, (2,)),)))
        if self.curvature is not None:
            links.append(Link("curvature", "deterministic", (Parameter("curvature", self.curvature),)))
        if self.step_error is not None:
            links.append(Link("step_error", "mismatch", (Parameter("step_error", 0.0, self.step_error),)))
        if self.piston_drift is not None:
            links.append(Link("piston_drift", "dynamic", (Parameter("piston_drift", self.piston_drift),)))
        if self.power_drift is not None:
            links.append(Link("power_drift", "dynamic", (Parameter("power_drift", self.power_drift),)))
        if self.visibility is not None:
            links.append(Link("visibility", "deterministic", (Parameter("visibility", self.visibility),)))
        if self.path_mismatch is not None and self.coherence_length is not None:
            figures = (
                Parameter("path_mismatch", self.path_mismatch),
                Parameter("coherence_length", self.coherence_length),
            )
            links.append(Link("path_mismatch", "deterministic", figures))
        if self.common_mode_rejection_dB is not None:
            # A data sheet bounds its size; sign and value differ from pair to pair.
            spread = 10 ** (-self.common_mode_rejection_dB / 20)
            links.append(Link("common_mode", "mismatch", (Parameter("common_mode", 0.0, spread, "pixels"),)))
        return tuple(links)

    def check_wavefront(self, wavelength: float, mode_pitch: float, modes: tuple[int, int]) -> None:
        """Raise :class:`InputError` where tilt and curvature turn the reference too far across one mode.

        Args:
            wavelength: m.
            mode_pitch: m.
            modes: (y, x).
        """
        tilt, bend = self.tilt or (0.0, 0.0), abs(self.curvature or 0.0)
        slope = max(abs(t) + bend * n / 2 * mode_pitch for t, n in zip(tilt, modes, strict=True))
        turn = 2 * math.pi / wavelength * slope * mode_pitch
        if turn > LARGEST_TURN:
            raise InputError(
                "reference_arm: tilt and curvature turn the reference across one mode",
                value=f"{turn:.2f} rad",
                allowed=f"at most π/2, a slope of {LARGEST_TURN / turn * slope * 1e6:.0f} urad",
                remedy="an aligned arm, or a fringe on purpose: readout 'off_axis' with reference_arm.angle",
            )
