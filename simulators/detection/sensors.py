"""What a detector makes of photons: electrons of a camera's wells, or the current of a photodiode, and their digits."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from simulators import effects
from simulators.bench import Bench
from simulators.devices.camera import Camera
from simulators.devices.chain import Element, pixelwise
from simulators.devices.photodiode import ELEMENTARY_CHARGE, Photodiode
from simulators.effects import adc
from simulators.effects.counting import black_level
from simulators.random import Shots, State


class Sensor(Protocol):
    """One detector of every mode: :meth:`collect`, then :meth:`digitise`; in between, a pair may be subtracted.

    Attributes:
        efficiency: nominal signal a photon.
        pedestal: nominal signal in the dark.
        digits: readings per unit of the signal, where the converter spans the whole range.
        full: nominal signal at the end of that range; None: there is no converter.

    Where the state has a ``detector.range`` r, the converter spans the share r of the range alone, by a gain 1/r
    before it: its end, its step and its noise are r times those of the data sheet, and there are 1/r times the digits.
    """

    efficiency: float
    pedestal: float
    digits: float
    full: float | None

    def collect(
        self, photons: Tensor, state: State, shots: Shots | None, *, frame: int, moment: int, split: int = 1
    ) -> Tensor:
        """Photons of one exposure → signal, with the noise of counting.

        Args:
            photons: expected, ``[R, B, y·split, x·split]``.
            state: figures and draws.
            shots: source of the noise; None: the expected signal.
            frame: number of the exposure of this detector.
            moment: number of the moment: two detectors lit at one moment share the fluctuation of the light.
            split: pixels of a mode and axis that are read one by one; 1: a mode is read as a whole.
        """
        ...

    def digitise(
        self, signal: Tensor, state: State, shots: Shots | None, *, frame: int, bipolar: bool = False
    ) -> Tensor:
        """Signal → readings; ``bipolar``: of a difference, which has a sign."""
        ...


def sensor_of(bench: Bench, stages: int, nominal: State) -> Sensor:
    """The detector of ``bench`` as a sensor; ``nominal``: the figures that a laboratory knows."""
    element = bench.element(stages, "detector")
    if isinstance(bench.detector, Photodiode):
        return PhotodiodeSensor(bench, bench.detector, element, nominal)
    return CameraSensor(bench, bench.detector, element, nominal)


def _count(electrons: Tensor, shots: Shots, frame: int) -> Tensor:
    """``electrons`` with shot noise, as √μ·ε or counted."""
    if not shots.draws("detector", "shot_noise"):
        return electrons
    shape = tuple(electrons.shape[-2:])
    if shots.differentiable:
        normal = shots.normal("detector", "shot_noise", shape, frame=frame).to(electrons)
        return effects.shot_noise(electrons, normal=normal)
    # One row of rates a realisation and sample, whatever was broadcast so far.
    rows = (len(shots.realisation), len(shots.sample), *shape)
    return effects.shot_noise(
        electrons.expand(rows), poisson=lambda rate: shots.poisson("detector", "shot_noise", rate, frame=frame)
    )


def _range(state: State) -> Tensor | None:
    """Share of the full range that the converter spans, ``[R or 1, 1, 1, 1]``; None: all of it."""
    share = state.get("detector.range")
    return None if share is None else pixelwise(share)


def _within(figure: Tensor, share: Tensor | None) -> Tensor:
    return figure if share is None else figure * share


def _digital(signal: Tensor, sensor: Sensor, state: State) -> Tensor:
    """Readings of ``signal`` by the gain in front of the converter."""
    readings, share = signal * sensor.digits, _range(state)
    return readings if share is None or sensor.full is None else readings / share


def _known(element: Element, nominal: State, link: str, otherwise: float) -> float:
    return element.read(nominal, link).item() if element.has(link) else otherwise


class CameraSensor:
    """A camera after EMVA 1288: the signal is electrons, summed over the window of a mode."""

    def __init__(self, bench: Bench, camera: Camera, element: Element, nominal: State):
        self._element = element
        exposure = element.read_base(nominal, "exposure").item()
        self.efficiency = _known(element, nominal, "quantum_efficiency", 1.0)
        dark = _known(element, nominal, "dark_current", 0.0) * exposure
        dark += (
            _known(element, nominal, "background", 0.0) * exposure * self.efficiency
        )  # a frame without signal has it
        self.pedestal = dark + _known(element, nominal, "black_level", 0.0)
        self.digits, self.full = 1.0, None
        if element.has("quantisation"):
            assert camera.bits is not None
            assert camera.full_well is not None
            self.digits = (2**camera.bits - 1) / camera.full_well
            self.full = camera.full_well * camera.pixels_per_mode(bench.stage[0].pitch)

    def collect(
        self, photons: Tensor, state: State, shots: Shots | None, *, frame: int, moment: int, split: int = 1
    ) -> Tensor:
        """Expected photons → electrons, rounded to digits. Of a split mode, each pixel has its share of the figures."""
        camera, pixels = self._element, split**2

        def figure(link: str, parameter: str | None = None) -> Tensor:
            return pixelwise(camera.read(state, link, parameter))

        def per_mode(link: str) -> Tensor:
            value = camera.read(state, link)
            return value if split == 1 else value.repeat_interleave(split, -2).repeat_interleave(split, -1)

        electrons = photons
        if camera.has("background"):
            exposure = camera.read_base(state, "exposure")
            stray = pixelwise(camera.read(state, "background") * exposure) / pixels
            electrons = effects.background(electrons, stray)
        if camera.has("quantum_efficiency"):
            electrons = electrons * figure("quantum_efficiency")
        if camera.has("gain_nonuniformity"):
            electrons = electrons * per_mode("gain_nonuniformity")
        if camera.has("dark_current"):
            exposure = camera.read_base(state, "exposure")
            electrons = electrons + pixelwise(camera.read(state, "dark_current") * exposure) / pixels
        if shots is not None:
            electrons = self._noise(electrons, state, shots, frame, split)
        if camera.has("offset_nonuniformity"):
            electrons = electrons + per_mode("offset_nonuniformity") / pixels
        if camera.has("black_level"):
            electrons = black_level(electrons, figure("black_level") / pixels)
        share = _range(state)
        if camera.has("full_well"):
            electrons = effects.saturate(electrons, _within(figure("full_well"), share) / pixels)
        if camera.has("quantisation"):
            electrons = effects.quantise(electrons, _within(figure("quantisation", "step"), share) / split)
        return electrons

    def _noise(self, electrons: Tensor, state: State, shots: Shots, frame: int, split: int) -> Tensor:
        camera = self._element
        if camera.has("shot_noise"):
            electrons = _count(electrons, shots, frame)
        if camera.has("read_noise"):
            # The window's is the root of its pixels' sum of squares.
            sigma = pixelwise(camera.read(state, "read_noise")) / split
            normal = shots.normal("detector", "read_noise", tuple(electrons.shape[-2:]), frame=frame).to(electrons)
            electrons = effects.read_noise(electrons, sigma, normal)
        return electrons

    def digitise(
        self, signal: Tensor, state: State, shots: Shots | None, *, frame: int, bipolar: bool = False
    ) -> Tensor:
        """Electrons → digital numbers: the wells' range and rounding have acted in each camera by itself."""
        return _digital(signal, self, state)


class PhotodiodeSensor:
    """Photodiode, transimpedance amplifier and converter: the signal is a current, A.

    A balanced pair is subtracted before its one amplifier and converter.
    """

    def __init__(self, bench: Bench, diode: Photodiode, element: Element, nominal: State):
        self._element = element
        self._unit = ELEMENTARY_CHARGE * bench.source.photons_per_joule()  #: A/W of an electron a photon
        exposure = element.read_base(nominal, "exposure").item()
        electrons = _known(element, nominal, "quantum_efficiency", 1.0)
        electrons *= _known(element, nominal, "responsivity", self._unit) / self._unit
        self.efficiency = electrons * ELEMENTARY_CHARGE / exposure
        self.pedestal = _known(element, nominal, "dark_current", 0.0)
        self.digits, self.full = 1.0, None
        if element.has("quantisation"):
            assert diode.bits is not None
            assert diode.full_scale is not None
            self.digits, self.full = (2**diode.bits - 1) / diode.full_scale, diode.full_scale

    def _bandwidth(self, state: State) -> Tensor:
        element = self._element
        if any(parameter.name == "bandwidth" for parameter in element.base):
            return pixelwise(element.read_base(state, "bandwidth"))
        return 0.5 / pixelwise(element.read_base(state, "exposure"))

    def collect(
        self, photons: Tensor, state: State, shots: Shots | None, *, frame: int, moment: int, split: int = 1
    ) -> Tensor:
        """Expected photons → current of the diodes, with laser and shot noise."""
        diode = self._element
        current = photons * (ELEMENTARY_CHARGE / pixelwise(diode.read_base(state, "exposure")))
        if diode.has("quantum_efficiency"):
            current = current * pixelwise(diode.read(state, "quantum_efficiency"))
        if diode.has("responsivity"):
            current = current * (pixelwise(diode.read(state, "responsivity")) / self._unit)
        if diode.has("gain_nonuniformity"):
            current = current * diode.read(state, "gain_nonuniformity")
        bandwidth = self._bandwidth(state)
        if shots is not None and diode.has("relative_intensity_noise"):
            # One laser lights all modes: one value a moment.
            normal = shots.normal("detector", "relative_intensity_noise", (), frame=moment).to(current)
            density = pixelwise(diode.read(state, "relative_intensity_noise"))
            current = adc.relative_intensity_noise(current, density, bandwidth, pixelwise(normal))
        if diode.has("dark_current"):
            current = current + pixelwise(diode.read(state, "dark_current"))
        if shots is not None and diode.has("shot_noise"):
            # Electrons counted in 1/(2B) have the variance 2qIB.
            charge = 2 * ELEMENTARY_CHARGE * bandwidth
            current = _count(current / charge, shots, frame) * charge
        return current

    def digitise(
        self, signal: Tensor, state: State, shots: Shots | None, *, frame: int, bipolar: bool = False
    ) -> Tensor:
        """Current → digits, or amperes without a converter: the amplifier's noise, the converter's range and levels."""
        diode, current = self._element, signal
        if shots is not None:
            bandwidth = self._bandwidth(state)
            for name, sigma in self._noises(state, bandwidth):
                normal = shots.normal("detector", name, tuple(current.shape[-2:]), frame=frame).to(current)
                current = current + sigma * normal
        share = _range(state)
        if diode.has("full_scale"):
            end = _within(pixelwise(diode.read(state, "full_scale")), share)
            current = adc.clip(current, end, bipolar=bipolar)
        if diode.has("quantisation"):
            current = effects.quantise(current, _within(pixelwise(diode.read(state, "quantisation", "step")), share))
        return _digital(current, self, state)

    def _noises(self, state: State, bandwidth: Tensor):
        """(effect, A rms) of what is added behind the diodes, by amplifier and converter."""
        diode = self._element

        def figure(link: str, parameter: str | None = None) -> Tensor:
            return pixelwise(diode.read(state, link, parameter))

        if diode.has("johnson_noise"):
            resistance = figure("johnson_noise", "feedback_resistance")
            yield "johnson_noise", adc.johnson_noise(resistance, figure("johnson_noise", "temperature"), bandwidth)
        if diode.has("voltage_noise"):
            yield (
                "voltage_noise",
                adc.voltage_noise(figure("voltage_noise"), figure("voltage_noise", "capacitance"), bandwidth),
            )
        if diode.has("converter_noise"):
            yield "converter_noise", _within(figure("converter_noise"), _range(state))
