"""Photodiodes with transimpedance amplifiers and converters, one a mode: photons in, digits of a current out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.devices.chain import Link, Parameter
from simulators.effects.adc import converter_noise
from simulators.errors import InputError
from simulators.spec import (
    Capacitance,
    Current,
    DeviceSpec,
    Fraction,
    Frequency,
    Length,
    NonNegative,
    Pixels,
    Positive,
    PowerNoise,
    Resistance,
    Responsivity,
    Temperature,
    Time,
    VoltageNoise,
)

ELEMENTARY_CHARGE = 1.602176634e-19  #: C, exact (SI)


class Photodiode(DeviceSpec):
    r"""An array of photodiodes, one a mode, each with a transimpedance amplifier and an analogue-to-digital converter.

    The noise of one sample, as a current:

    .. math:: i_n^2 = 2q(I + I_d)B + \frac{4 k T B}{R_f} + \frac{(2\pi e_n C)^2 B^3}{3} + \mathrm{RIN}\,I^2 B

    The amplifier works in the noise bandwidth B, which is 1/(2t) for a sample that is the mean over the exposure t;
    then the first term is that of counting electrons. The noise of the laser is the same in all modes at a time.

    Not modelled: the amplifier's gain peaking and settling, 1/f noise, crosstalk between channels, avalanche gain.

    Source: Graeme, *Photodiode Amplifiers*, ch. 5 (1996); IEEE Std 1241 (effective number of bits).
    """

    kind: Literal["photodiode"] = "photodiode"
    resolution: Pixels  #: diodes (rows, columns)
    pixel_pitch: Length  #: m, of the diodes
    exposure: Time = 1e-3  #: s, over which a sample is the mean
    window: Annotated[Fraction, Field(gt=0)] = 1.0  #: share of a mode's width that a diode collects
    quantum_efficiency: Annotated[Fraction, Field(gt=0)] | None = None  #: electrons a photon; None: 1
    responsivity: Responsivity | None = None  #: A/W, in place of the quantum efficiency
    gain_nonuniformity: NonNegative | None = None  #: relative rms from channel to channel
    relative_intensity_noise: PowerNoise | None = None  #: 1/Hz, of the light; -150 dBc/Hz is 1e-15 / Hz
    dark_current: Current | None = None  #: A
    shot_noise: bool = True  #: whether counting is a Poisson process
    bandwidth: Frequency | None = None  #: Hz, noise bandwidth of the amplifier; None: 1/(2·exposure)
    feedback_resistance: Resistance | None = None  #: ohm
    temperature: Temperature | None = None  #: K, of that resistor, which makes its Johnson noise
    voltage_noise: VoltageNoise | None = None  #: V/√Hz, of the amplifier's input
    capacitance: Capacitance | None = None  #: F, of diode and input together
    full_scale: Current | None = None  #: A, where the converter's range ends; of a balanced pair on either side of zero
    bits: int | None = Field(default=None, ge=1, le=24, strict=True)  #: over full scale; a balanced pair has a sign too
    effective_bits: Positive | None = None  #: ENOB = (SINAD - 1.76 dB)/6.02 dB, rounding included
    frame_rate: Frequency | None = None  #: Hz, samples a second and channel
    electrical_power: NonNegative | None = None  #: W, of all channels

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.responsivity is not None and self.quantum_efficiency is not None:
            raise InputError("responsivity", value=f"{self.responsivity:g} A/W", allowed="it or quantum_efficiency")
        if (self.voltage_noise is None) != (self.capacitance is None):
            raise InputError("voltage_noise", allowed="with the capacitance it drives, or neither of them")
        if (self.feedback_resistance is None) != (self.temperature is None):
            raise InputError("feedback_resistance", allowed="with its temperature, or neither of them")
        if self.full_scale is not None and not self.full_scale > 0:
            raise InputError("full_scale", value=self.full_scale, allowed="greater than 0")
        for name in ("bits", "effective_bits"):
            if getattr(self, name) is not None and self.full_scale is None:
                raise InputError(name, value=getattr(self, name), allowed="bits over a full scale", remedy="full_scale")
        if self.bits is not None and self.effective_bits is not None and self.effective_bits > self.bits:
            raise InputError("effective_bits", value=self.effective_bits, allowed=f"at most the {self.bits} bits")
        return self

    def base(self) -> tuple[Parameter, ...]:
        """Figures that are no error."""
        exposure = Parameter("exposure", self.exposure)
        return (exposure,) if self.bandwidth is None else (exposure, Parameter("bandwidth", self.bandwidth))

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        links = []
        if self.quantum_efficiency is not None:
            efficiency = Parameter("quantum_efficiency", self.quantum_efficiency)
            links.append(Link("quantum_efficiency", "deterministic", (efficiency,)))
        if self.responsivity is not None:
            links.append(Link("responsivity", "deterministic", (Parameter("responsivity", self.responsivity),)))
        if self.gain_nonuniformity is not None:
            gain = Parameter("gain_nonuniformity", 1.0, self.gain_nonuniformity, "pixels")
            links.append(Link("gain_nonuniformity", "mismatch", (gain,)))
        if self.relative_intensity_noise is not None:
            noise = Parameter("relative_intensity_noise", self.relative_intensity_noise)
            links.append(Link("relative_intensity_noise", "dynamic", (noise,)))
        if self.dark_current is not None:
            links.append(Link("dark_current", "dynamic", (Parameter("dark_current", self.dark_current),)))
        if self.shot_noise:
            links.append(Link("shot_noise", "dynamic"))
        if self.feedback_resistance is not None and self.temperature is not None:
            figures = (
                Parameter("feedback_resistance", self.feedback_resistance),
                Parameter("temperature", self.temperature),
            )
            links.append(Link("johnson_noise", "dynamic", figures))
        if self.voltage_noise is not None and self.capacitance is not None:
            figures = (Parameter("voltage_noise", self.voltage_noise), Parameter("capacitance", self.capacitance))
            links.append(Link("voltage_noise", "dynamic", figures))
        if self.effective_bits is not None and self.full_scale is not None:
            sigma = converter_noise(self.full_scale, self.effective_bits, self.bits)
            links.append(Link("converter_noise", "dynamic", (Parameter("converter_noise", sigma),)))
        if self.full_scale is not None:
            links.append(Link("full_scale", "deterministic", (Parameter("full_scale", self.full_scale),)))
        if self.bits is not None and self.full_scale is not None:
            step = Parameter("step", self.full_scale / (2**self.bits - 1))
            links.append(Link("quantisation", "deterministic", (step,)))
        return tuple(links)

    def electrons_per_photon(self, photons_per_joule: float) -> float:
        """η, given or from the responsivity: R hν/q."""
        if self.responsivity is not None:
            return self.responsivity / (ELEMENTARY_CHARGE * photons_per_joule)
        return self.quantum_efficiency or 1.0

    def reference_photons(self, fill: float, photons_per_joule: float) -> float | None:
        """Photons a mode and sample that drive a channel to the share ``fill`` of full scale; None: no limit."""
        if self.full_scale is None:
            return None
        electrons = fill * self.full_scale * self.exposure / ELEMENTARY_CHARGE
        return electrons / self.electrons_per_photon(photons_per_joule) / self.window**2

    def check_modes(self, modes: tuple[int, int]) -> None:
        """Raise :class:`InputError` where there are more modes (y, x) than diodes."""
        if modes[0] > self.resolution[0] or modes[1] > self.resolution[1]:
            raise InputError(
                f"detector: {modes[0]}x{modes[1]} modes, each on a diode of its own",
                allowed=f"the {self.resolution[0]}x{self.resolution[1]} diodes of {self.name}",
                remedy="fewer modes, or a larger array",
            )

    def check_responsivity(self, wavelength: float, photons_per_joule: float) -> None:
        """Raise :class:`InputError` where a photon of ``wavelength`` (m) would free more than one electron."""
        efficiency = self.electrons_per_photon(photons_per_joule)
        if efficiency > 1:
            raise InputError(
                f"detector.responsivity at {wavelength * 1e9:.0f} nm",
                value=f"{self.responsivity:g} A/W, {efficiency:.2f} electrons a photon",
                allowed=f"at most {ELEMENTARY_CHARGE * photons_per_joule:.3f} A/W, one electron a photon",
            )
