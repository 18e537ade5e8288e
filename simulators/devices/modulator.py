"""Spatial light modulators: the data sheet of a phase panel and of an amplitude panel.

What they do to light is in :mod:`simulators.devices.show`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from simulators.devices.chain import Link, Parameter
from simulators.devices.measured import check_width, completed, with_tables
from simulators.effects.crosstalk import Kernel, KernelName
from simulators.effects.kernel_table import check_points
from simulators.effects.lut import HARMONICS
from simulators.effects.settling import residual_after
from simulators.errors import InputError
from simulators.spec import (
    Angle,
    DeviceSpec,
    Fraction,
    Frequency,
    Length,
    NonNegative,
    Number,
    Pixels,
    Positive,
    Power,
    Time,
)

#: Noll numbers of a panel's bow: focus and astigmatism, coma, spherical.
FLATNESS_TERMS = (4, 5, 6, 7, 8, 11)

FillModel = Literal["throughput", "aperture", "dead_space"]


def _kernel(value: Any) -> Any:
    """A shape by its name, or its points (position in widths, response)."""
    if isinstance(value, list | tuple):
        try:
            points = tuple((float(position), float(response)) for position, response in value)
        except (TypeError, ValueError):
            raise InputError("points", value=repr(value), allowed="pairs of position and response") from None
        check_points(points, table="points")
        return points
    if value not in get_args(KernelName):
        names = ", ".join(repr(name) for name in get_args(KernelName))
        allowed = f'{names}, or the name of a file, "my_kernel.csv"'
        raise PydanticCustomError("literal_error", "{expected}", {"expected": allowed})
    return value


class Modulator(DeviceSpec):
    """What phase and amplitude panels have in common."""

    resolution: Pixels  #: (rows, columns)
    pixel_pitch: Length  #: m, centre to centre
    fill_factor: Fraction | None = None  #: areal; acts by ``fill_model``
    fill_model: FillModel | None = None  #: how the gaps act; None: they are booked in ``reflectance``
    bits: int | None = Field(default=None, ge=1, le=16, strict=True)  #: grey levels are 2^bits; None: continuous
    reflectance: Fraction | None = None  #: of power, into the zeroth order; None: lossless
    frame_rate: Frequency | None = None  #: Hz
    settle_time: Time | None = None  #: s, 10-90 %
    settle_wait: Time | None = None  #: s, between the new frame and its exposure; None: it has settled
    electrical_power: Power | None = None  #: W, panel and driver

    @model_validator(mode="after")
    def _figures_belong_together(self) -> Self:
        if self.fill_model is not None and self.fill_factor is None:
            raise InputError("fill_model", value=repr(self.fill_model), allowed="with a fill_factor")
        if self.settle_wait is not None and self.settle_time is None:
            raise InputError("settle_wait", value=f"{self.settle_wait:g} s", allowed="with a settle_time")
        return self

    def _reflectance(self) -> tuple[Link, ...]:
        if self.reflectance is None:
            return ()
        return (Link("loss", "deterministic", (Parameter("transmission", self.reflectance),)),)


class PhaseModulator(Modulator):
    r"""A phase-only panel.

    A measured look-up table takes the place of the data sheet's ``stroke``, ``levels`` and ``bits``:
    ``response = "my_lut.csv"``, columns ``level`` and ``phase`` (rad), monotone. Commands then go to the grey level
    whose *measured* phase is nearest on the circle, as in a laboratory that drives its panel by the table. With
    ``bits`` the table goes from 0 to 2^bits - 1 and is read at each of them, linear between its points; without, at
    its own levels. The file is read once, here; the spec keeps what it says. A ``stroke`` or ``levels`` among the
    changes to a device is refused beside a table, be it the device's own. What the table still errs by is
    ``gamma_error``, ``lut_residual``, ``stroke_error``.

    A measured fringing kernel takes the place of a named shape: ``crosstalk_kernel = "my_kernel.csv"``, columns
    ``position`` (m) and ``response`` (any unit, not negative), linear between its points and zero beyond them. The
    phase is convolved with it along both axes, :math:`\phi(x) = \int h(x - x')\,\phi_c(x')\,dx'` with h of unit
    integral: position 0 is where a point of the panel is driven, and what the kernel holds at positive positions is
    felt towards greater x and y. A measured step's derivative, about the edge of the pixel, is such a table. Its own
    full width at half maximum becomes ``crosstalk_fwhm``, in place of a catalogue's; with one given beside it, it is
    stretched about 0 to that width. This file too is read once: the spec keeps points (position in widths, response),
    which may be given themselves, with a width. A kernel without a width would do nothing, and is refused.
    """

    kind: Literal["phase_modulator"] = "phase_modulator"
    stroke: Angle  #: rad, phase range of the 2^bits levels at the wavelength of use
    levels: tuple[Fraction, ...] | None = None  #: shares of the stroke that can be shown, where they are not even
    response: str | None = None  #: file of a measured table, read into ``stroke`` and ``levels``; then None again
    stroke_error: NonNegative | None = None  #: relative standard deviation of the stroke, one a panel
    gamma_error: NonNegative | None = None  #: standard deviation of γ in S (φ/S)^γ about 1, one a panel
    lut_residual: Angle | None = None  #: rad rms, what the look-up table leaves, one curve a panel
    flicker_depth: NonNegative | None = None  #: m of φ₀(1 + m cos θ), common to the panel
    phase_noise: Angle | None = None  #: rad rms, independent a macro-pixel and frame
    crosstalk_fwhm: Length | None = None  #: m, full width at half maximum of the fringing field
    crosstalk_kernel: Annotated[Kernel, BeforeValidator(_kernel)] = "gaussian"  #: shape of the fringing field
    phase_error: Angle | None = None  #: rad rms, static, independent a macro-pixel
    correlation_length: Length | None = None  #: m, of the static error (Gaussian); None: none
    flatness: Angle | None = None  #: rad rms over a zone, static low-order bow
    amplitude_coupling: Fraction | None = None  #: c of |t| = 1 - c (1 - cos φ)/2
    dead_reflection: Number = 0.0  #: field reflected by the gaps between pixels, -1 to 1, for ``"dead_space"``
    zero_order_leak: Fraction | None = None  #: field amplitude of the unmodulated share

    @model_validator(mode="before")
    @classmethod
    def _measured(cls, data: Any, info: ValidationInfo) -> Any:
        """Read measured tables into figures, with their source."""
        file = info.context.get("file") if info.context else None
        return with_tables(data, file) if isinstance(data, Mapping) else data

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked as anew.

        A measured kernel brings its own width; without a width (None) the kernel is gone as well.
        """
        return super().replace(**completed(changes, {name: getattr(self, name) for name in type(self).model_fields}))

    @model_validator(mode="after")
    def _levels_and_gaps(self) -> Self:
        if self.levels is not None:
            if self.bits is not None:
                raise InputError("levels", value=f"{len(self.levels)} levels and bits", allowed="one of the two")
            if len(set(self.levels)) < 2:
                raise InputError("levels", value=self.levels, allowed="two different ones or more")
        if abs(self.dead_reflection) > 1:
            raise InputError("dead_reflection", value=self.dead_reflection, allowed="-1 to 1")
        if self.crosstalk_kernel != type(self).model_fields["crosstalk_kernel"].default:
            check_width(self.crosstalk_kernel, self.crosstalk_fwhm)
        return self

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.bits is not None or self.levels is not None:
            links.append(Link("quantisation", "deterministic", (Parameter("stroke", self.stroke),)))
        if self.stroke_error is not None:
            stroke = Parameter("stroke_error", 0.0, self.stroke_error)
            links.append(Link("stroke_error", "mismatch", (stroke,), shared=True))
        if self.gamma_error is not None:
            gamma = Parameter("gamma", 1.0, self.gamma_error)
            links.append(Link("gamma_error", "mismatch", (gamma,), shared=True))
        if self.lut_residual is not None:
            coefficients = Parameter("lut_residual", 0.0, self.lut_residual, (2 * HARMONICS,))
            links.append(Link("lut_residual", "mismatch", (coefficients,), shared=True))
        if self.flicker_depth is not None:
            links.append(Link("flicker", "dynamic", (Parameter("flicker", self.flicker_depth),), shared=True))
        if self.crosstalk_fwhm is not None:
            links.append(Link("crosstalk", "process", (Parameter("crosstalk", self.crosstalk_fwhm),), shared=True))
        if self.phase_noise is not None:
            links.append(Link("phase_noise", "dynamic", (Parameter("phase_noise", self.phase_noise),)))
        if self.phase_error is not None:
            links.append(Link("phase_error", "mismatch", (Parameter("phase_error", 0.0, self.phase_error, "pixels"),)))
        if self.flatness is not None:
            spread = self.flatness / len(FLATNESS_TERMS) ** 0.5
            bow = Parameter("flatness", 0.0, spread, (len(FLATNESS_TERMS),))
            links.append(Link("flatness", "mismatch", (bow,)))
        if self.amplitude_coupling is not None:
            coupling = Parameter("amplitude_coupling", self.amplitude_coupling)
            links.append(Link("amplitude_coupling", "process", (coupling,), shared=True))
        links += self._fill()
        if self.zero_order_leak is not None:
            links.append(
                Link("zero_order_leak", "deterministic", (Parameter("zero_order_leak", self.zero_order_leak),))
            )
        return (*links, *self._reflectance())

    def _fill(self) -> tuple[Link, ...]:
        if self.fill_model is None:
            return ()
        assert self.fill_factor is not None
        return (Link("fill", "deterministic", (Parameter("fill", self.fill_factor),)),)


class AmplitudeModulator(Modulator):
    """A panel that sets the amplitude; bipolar where it also reaches negative ones (liquid crystal, polarisers)."""

    kind: Literal["amplitude_modulator"] = "amplitude_modulator"
    bipolar: bool = False  #: reaches [-1, 1] instead of [0, 1]
    extinction_ratio: Annotated[Positive, Field(ge=1)] | None = (
        None  #: bright over dark, of power; None: perfectly dark
    )

    @model_validator(mode="after")
    def _gaps_only_dim(self) -> Self:
        if self.fill_model not in (None, "throughput"):
            raise InputError("fill_model", value=repr(self.fill_model), allowed="'throughput' for an amplitude panel")
        return self

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.bits is not None:
            links.append(Link("quantisation", "deterministic"))
        if self.settle_time is not None and self.settle_wait is not None:
            residual = residual_after(self.settle_time, self.settle_wait)
            links.append(Link("settling", "history", (Parameter("settling", residual),)))
        if self.extinction_ratio is not None:
            floor = Parameter("extinction", self.extinction_ratio**-0.5)
            links.append(Link("extinction", "deterministic", (floor,)))
        if self.fill_model is not None:
            assert self.fill_factor is not None
            links.append(Link("fill", "deterministic", (Parameter("fill", self.fill_factor),)))
        return (*links, *self._reflectance())
