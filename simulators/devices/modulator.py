"""Spatial light modulators: the data sheet of a phase panel and of an amplitude panel, and what each does to light.

Time dependence exp(-iωt): extra optical path is *positive* phase.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from simulators import effects
from simulators.devices.chain import Element, Link, Parameter, pixelwise
from simulators.effects.lut import HARMONICS
from simulators.random import State
from simulators.spec import Angle, DeviceSpec, Fraction, Frequency, Length, NonNegative, Pixels, Positive, Power, Time


class Modulator(DeviceSpec):
    """What phase and amplitude panels have in common."""

    resolution: Pixels  #: (rows, columns)
    pixel_pitch: Length  #: m, centre to centre
    fill_factor: Fraction | None = None  #: areal; booked in ``reflectance``, not modelled by itself yet
    bits: int | None = Field(default=None, ge=1, le=16, strict=True)  #: grey levels are 2^bits; None: continuous
    reflectance: Fraction | None = None  #: of power, into the zeroth order; None: lossless
    frame_rate: Frequency | None = None  #: Hz
    settle_time: Time | None = None  #: s, 10-90 %
    electrical_power: Power | None = None  #: W, panel and driver


class PhaseModulator(Modulator):
    """A phase-only panel. Not modelled yet: fringing between pixels, flatness, temporal response."""

    kind: Literal["phase_modulator"] = "phase_modulator"
    stroke: Angle  #: rad, phase range of the 2^bits levels at the wavelength of use
    lut_residual: Angle | None = None  #: rad rms, what the look-up table leaves, one curve a panel
    flicker_depth: NonNegative | None = None  #: m of φ₀(1 + m cos θ), common to the panel
    phase_error: Angle | None = None  #: rad rms, static, independent a macro-pixel
    zero_order_leak: Fraction | None = None  #: field amplitude of the unmodulated share

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.bits is not None:
            links.append(Link("quantisation", "deterministic", (Parameter("stroke", self.stroke),)))
        if self.lut_residual is not None:
            coefficients = Parameter("lut_residual", 0.0, self.lut_residual, (2 * HARMONICS,))
            links.append(Link("lut_residual", "mismatch", (coefficients,), shared=True))
        if self.flicker_depth is not None:
            links.append(Link("flicker", "dynamic", (Parameter("flicker", self.flicker_depth),), shared=True))
        if self.phase_error is not None:
            links.append(Link("phase_error", "mismatch", (Parameter("phase_error", 0.0, self.phase_error, "pixels"),)))
        if self.zero_order_leak is not None:
            links.append(
                Link("zero_order_leak", "deterministic", (Parameter("zero_order_leak", self.zero_order_leak),))
            )
        return (*links, *_reflectance(self))


class AmplitudeModulator(Modulator):
    """A panel that sets the amplitude; bipolar where it also reaches negative ones (liquid crystal, polarisers)."""

    kind: Literal["amplitude_modulator"] = "amplitude_modulator"
    bipolar: bool = False  #: reaches [-1, 1] instead of [0, 1]
    extinction_ratio: Annotated[Positive, Field(ge=1)] | None = (
        None  #: bright over dark, of power; None: perfectly dark
    )

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.bits is not None:
            links.append(Link("quantisation", "deterministic"))
        if self.extinction_ratio is not None:
            floor = Parameter("extinction", self.extinction_ratio**-0.5)
            links.append(Link("extinction", "deterministic", (floor,)))
        return (*links, *_reflectance(self))


def _reflectance(device: Modulator) -> tuple[Link, ...]:
    if device.reflectance is None:
        return ()
    return (Link("loss", "deterministic", (Parameter("transmission", device.reflectance),)),)


def show_phase(element: Element, phase: Tensor, state: State, *, cosines: Tensor | None = None) -> Tensor:
    r"""Complex transmission of a phase panel commanded to ``phase``.

    .. math:: t = \sqrt{R}\,\bigl[(1-a)\,e^{i(\phi(1 + m\cos\theta) + \varepsilon)} + a\bigr],
        \quad \phi = Q(\phi_c) + \delta_{LUT}

    Args:
        element: the panel at its place, with the links that are on.
        phase: φ_c, rad, ``[..., y, x]``.
        state: figures and draws.
        cosines: cos θ of Q moments of the ripple, ``[Q, 1, 1, 1, 1]``; None: the ripple at its mean, no such axis.

    Returns:
        Complex ``[(Q,) R or 1, 1, y, x]``, |t| ≤ 1.
    """
    stroke: Tensor | float = 2 * math.pi
    if element.has("quantisation"):
        spec = element.spec
        assert isinstance(spec, PhaseModulator)
        assert spec.bits is not None
        stroke = pixelwise(element.read(state, "quantisation", "stroke"))
        phase = effects.quantise_phase(phase, spec.bits, stroke)
    else:
        phase = torch.remainder(phase, 2 * math.pi)
    if element.has("lut_residual"):
        phase = effects.lut_residual(phase, element.read(state, "lut_residual"), stroke)
    if element.has("flicker") and cosines is not None:
        phase = effects.flicker(phase, pixelwise(element.read(state, "flicker")), cosines.to(phase))
    if element.has("phase_error"):
        phase = phase + element.read(state, "phase_error")
    shown = torch.complex(phase.cos(), phase.sin())
    if element.has("zero_order_leak"):
        shown = effects.zero_order_leak(shown, pixelwise(element.read(state, "zero_order_leak")))
    return lossy(element, shown, state)


def show_amplitude(element: Element, amplitude: Tensor, state: State) -> Tensor:
    r"""Real transmission of an amplitude panel commanded to ``amplitude``: :math:`\sqrt R\,(a + (1-a) f)`, a quantised.

    Args:
        element: the panel at its place.
        amplitude: in [0, 1], or [-1, 1] if bipolar, ``[..., y, x]``.
        state: figures and draws.

    Returns:
        Real ``[R or 1, 1 or B, y, x]``.
    """
    spec = element.spec
    assert isinstance(spec, AmplitudeModulator)
    if element.has("quantisation"):
        assert spec.bits is not None
        # The levels start at the lowest amplitude: counted from 0 a bipolar panel would round 1 to above 1.
        low = -1.0 if spec.bipolar else 0.0
        amplitude = low + effects.quantise(amplitude - low, (1 - low) / (2**spec.bits - 1))
    if element.has("extinction"):
        amplitude = effects.extinction(amplitude, pixelwise(element.read(state, "extinction")))
    return lossy(element, amplitude, state)


def lossy(element: Element, field: Tensor, state: State) -> Tensor:
    """``field`` behind whatever share of the power this element passes."""
    if element.has("loss"):
        return effects.attenuate(field, pixelwise(element.read(state, "loss", "transmission")))
    return field
