r"""From the field at the detector to frames, and back to numbers.

A camera does not measure |mean field|²: it integrates |E|² over the window of a mode, structure inside included.
Ripple of the panels is averaged as intensity, in every frame.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.detection.interference import Reference
from simulators.detection.off_axis import Fringes
from simulators.detection.sensors import sensor_of
from simulators.errors import InputError
from simulators.fourier import window_gram, window_mean
from simulators.random import Shots, State

Kind = Literal["intensity", "coherent", "homodyne", "off_axis"]

#: Exposures that one result takes; they divide the rate.
FRAMES_PER_RESULT: dict[Kind, int] = {"intensity": 1, "coherent": 4, "homodyne": 2, "off_axis": 1}


class Readout:
    r"""A detector behind the last lens, alone or with a reference wave r.

    ``"intensity"``: the detector alone, photons in the window of each mode.

    ``"coherent"``: four steps of π/2; the frames :math:`I_m = |E + i^m r|^2` give
    :math:`s = [(I_0 - I_2) + i(I_1 - I_3)]/(4r)`, the field projected on the window of the mode. A step of π/2 + δ adds
    a conjugate ghost of amplitude :math:`\sin 2\delta/(4\cos\tfrac{\delta}{2}) \approx \delta/2`; piston of σ rms a
    frame an error of power σ²/2, and of the reference's power one of r σ/2.

    ``"homodyne"``: a splitter and two detectors a mode, whose difference
    :math:`d = \tfrac12|E + i^m r|^2 - \tfrac12|E - i^m r|^2` is one quadrature, :math:`s = (d_0 + i d_1)/(2r)`.

    ``"off_axis"``: one frame of fringes, see :mod:`simulators.detection.off_axis`.

    With a strong reference and nothing but shot noise, the power ratio of signal to noise is the number of signal
    photons that all frames together detect (times the squared contrast of fringes).

    Args:
        bench: with the detector; with a reference arm where that has errors.
        stages: of the cascade.
        kind: of readout.
        order: q of the field's Legendre modes.

    Raises:
        InputError: an unknown kind; fringes that the camera cannot sample.

    Source: EMVA 1288 release 4.0 (camera); Creath, Prog. Opt. 26, 349 (1988) (four steps); Yuen and Chan, Opt. Lett. 8,
    177 (1983) (balanced homodyne). Not modelled: motion within an exposure; a monitor diode on the reference.
    """

    def __init__(self, bench: Bench, stages: int, kind: Kind = "intensity", *, order: int = 1):
        if kind not in FRAMES_PER_RESULT:
            allowed = [repr(known) for known in FRAMES_PER_RESULT]
            raise InputError("readout", value=repr(kind), allowed=f"{', '.join(allowed[:-1])} or {allowed[-1]}")
        self.bench, self.order = bench, order
        self.kind: Kind = kind
        window = bench.detector.window
        self._gram = None if window == 1 else window_gram(order, window)
        self._mean = window_mean(order, window)
        nominal = bench.nominal(stages)
        self._sensor = sensor_of(bench, stages, nominal)
        self._reference = Reference(bench, stages, nominal)
        self._fringes = Fringes(bench, order) if kind == "off_axis" else None

    @property
    def frames_per_result(self) -> int:
        """Exposures that one result takes."""
        return FRAMES_PER_RESULT[self.kind]

    # --- light -> frames --------------------------------------------------------------------------------------------

    def photons(self, field: Tensor) -> Tensor:
        """Photons in the window of each mode, ``[R, B, y·q, x·q]`` → ``[R, B, y, x]``."""
        power = field.real**2 + field.imag**2
        if self._gram is None:
            return self._per_mode(power).sum((-3, -1))
        modes = self._per_mode(field)
        gram = self._gram.to(field)
        seen = torch.einsum("...yaxb,ac,bd->...ycxd", modes, gram, gram)
        return (modes.conj() * seen).real.sum((-3, -1))

    def projection(self, field: Tensor) -> Tensor:
        """Field integrated over the window of each mode, √photons, ``[R, B, y, x]``."""
        mean = self._mean.to(field)
        return torch.einsum("...yaxb,a,b->...yx", self._per_mode(field), mean, mean)

    def exposures(self, fields: Tensor, state: State, shots: Shots | None = None) -> Tensor:
        """Expected photons of every exposure, mean over the moments: ``[Q, R, B, …]`` → ``[R, B, exposures, y, x]``.

        Balanced ports follow each other: +, - of one quadrature, +, - of the other. Off axis, y and x count the pixels.
        ``shots`` moves the reference; None: the expected frames.
        """
        if self._fringes is not None:
            wave = self._reference.wave(state, shots, fields.real, steps=0, frame=0)
            return self._fringes.frame(fields, wave)[:, :, None]
        light = self.photons(fields).mean(0)
        if self.kind == "intensity":
            return light[:, :, None]
        seen = self.projection(fields).mean(0)
        quadratures = (seen.real, seen.imag, -seen.real, -seen.imag)
        area = self.bench.detector.window**2
        frames = []
        for m in range(self.frames_per_result):
            wave = self._reference.wave(state, shots, light, steps=m, frame=m)
            steady = light + wave.power * area
            plus = steady + wave.fringe(quadratures[m], quadratures[(m + 1) % 4])
            if self.kind == "coherent":
                frames.append(plus)
            else:
                minus = steady + wave.fringe(quadratures[m + 2], quadratures[(m + 3) % 4])
                frames += [plus / 2, minus / 2]
        # An error of some of the frames only may bring in the axis of realisations.
        return torch.stack(torch.broadcast_tensors(*frames), dim=2)

    def frames(self, fields: Tensor, state: State, shots: Shots | None = None) -> Tensor:
        """What the detector delivers, ``[R, B, frames, y, x]``.

        Digital numbers; without a converter electrons of a camera, amperes of a photodiode. Off axis, y and x count the
        camera's pixels.

        Args:
            fields: at the detector, at every moment of the ripple, ``[Q, R, B, y·q, x·q]`` in √photons.
            state: figures and draws.
            shots: source of the noise; None: the expected frames.
        """
        photons = self.exposures(fields, state, shots).unbind(2)
        if self.kind == "homodyne":
            frames = [self._difference(photons[2 * m], photons[2 * m + 1], state, shots, m) for m in range(2)]
        else:
            split = 1 if self._fringes is None else self._fringes.pixels
            frames = []
            for m, light in enumerate(photons):
                signal = self._sensor.collect(light, state, shots, frame=m, moment=m, split=split)
                frames.append(self._sensor.digitise(signal, state, shots, frame=m))
        return torch.stack(frames, dim=2)

    def _difference(self, plus: Tensor, minus: Tensor, state: State, shots: Shots | None, frame: int) -> Tensor:
        """One reading of a balanced pair."""
        sensor = self._sensor
        first = sensor.collect(plus, state, shots, frame=2 * frame, moment=frame)
        second = sensor.collect(minus, state, shots, frame=2 * frame + 1, moment=frame)
        difference = first - second
        common = self._reference.imbalance(state, difference)
        if common is not None:
            difference = difference + common * (first + second)
        return sensor.digitise(difference, state, shots, frame=frame, bipolar=True)

    # --- frames -> numbers ------------------------------------------------------------------------------------------

    def full_range(self) -> float | None:
        """Nominal signal of a reading at the end of the converter's range, electrons or A; None: no converter."""
        full = self._sensor.full
        return full if full is None or self._fringes is None else full / self._fringes.pixels**2

    def decode(self, frames: Tensor, share: Tensor | None = None) -> Tensor:
        """Frames back to light, by the *nominal* figures of detector and reference, which are all a laboratory knows.

        Args:
            frames: of :meth:`frames`.
            share: of the full range that the converter spanned, if it was set (the state's ``detector.range``), scalar.

        Returns:
            ``"intensity"``: photons in the window, real ``[R, B, y, x]``. Else the mode's amplitude, the window's mean
            of the field, complex √photons.
        """
        sensor = self._sensor
        signal = frames / sensor.digits
        if share is not None and sensor.full is not None:
            signal = signal * share
        if self.kind == "intensity":
            return (signal[:, :, 0] - sensor.pedestal) / sensor.efficiency
        if self._fringes is not None:
            return self._fringes.demodulate(signal[:, :, 0], self._reference.beat * sensor.efficiency)
        if self.kind == "coherent":
            beat = 2 * self._reference.beat * sensor.efficiency
            real, imaginary = signal[:, :, 0] - signal[:, :, 2], signal[:, :, 1] - signal[:, :, 3]
        else:
            beat = self._reference.beat * sensor.efficiency
            real, imaginary = signal[:, :, 0], signal[:, :, 1]
        return torch.complex(real / beat, imaginary / beat) / self.bench.detector.window**2

    def _per_mode(self, field: Tensor) -> Tensor:
        """``[..., y·q, x·q]`` → ``[..., y, q, x, q]``."""
        y, x = self.bench.modes
        return field.reshape(*field.shape[:-2], y, self.order, x, self.order)
