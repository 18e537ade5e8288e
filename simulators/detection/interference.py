r"""The reference wave of an interferometric readout, frame by frame, with what is wrong with it.

.. math:: I_k = |E|^2 + a^2 r^2 + 2 V a r\,\mathrm{Re}(E\,i^{-k} e^{-i\varphi})

with the visibility V, the drifting amplitude a and the phase error φ: step error, piston and wavefront. All effects are
of the arm's links, and with none of them on this is :math:`|E + i^k r|^2`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.devices.chain import pixelwise
from simulators.fourier import centres
from simulators.random import Shots, State


@dataclass(frozen=True)
class ReferenceWave:
    """The reference in one frame.

    Attributes:
        power: a²r², photons a mode, broadcasts against ``[R, B, y, x]``.
        beat: 2·V·a·r, √photons.
        phase: φ, rad; None: 0.
    """

    power: Tensor
    beat: Tensor
    phase: Tensor | None

    def fringe(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Beat with a field of these parts."""
        if self.phase is None:
            return self.beat * real
        return self.beat * (real * self.phase.cos() + imaginary * self.phase.sin())


class Reference:
    """The reference wave at the detector of ``bench``; ``nominal``: what decoding knows of it."""

    def __init__(self, bench: Bench, stages: int, nominal: State):
        self._detector = bench.element(stages, "detector")
        self._arm = None if bench.reference_arm is None else bench.element(stages, "reference_arm")
        self._wavenumber = 2 * math.pi / bench.source.wavelength
        self._places = tuple(centres(count) * bench.stage[0].pitch for count in bench.modes)
        contrast = self._contrast(nominal)
        #: Nominal 2·V·r, √photons.
        self.beat = 2 * self._detector.read_base(nominal, "reference").sqrt().item()
        if contrast is not None:
            self.beat *= contrast.item()

    def wave(self, state: State, shots: Shots | None, like: Tensor, *, steps: int, frame: int) -> ReferenceWave:
        """The reference in one frame, after so many ``steps`` of π/2; without ``shots`` what gives the expected frame.

        ``like``: real, for dtype and device.
        """
        power = pixelwise(self._detector.read_base(state, "reference")).to(like)
        beat = 2 * torch.sqrt(power)
        phase = self._phase(state, like, steps)
        contrast = self._contrast(state)
        if contrast is not None:
            beat = beat * pixelwise(contrast).to(like)
        arm = self._arm
        if arm is not None and arm.has("power_drift"):
            sigma = arm.read(state, "power_drift").to(like)
            if shots is None or not shots.draws("reference_arm", "power_drift"):
                power = power * pixelwise(1 + sigma**2 / 4)
            else:
                # Half of it in the amplitude, so that the power stays positive.
                amplitude = 1 + sigma / 2 * shots.normal("reference_arm", "power_drift", (), frame=frame).to(like)
                power, beat = power * pixelwise(amplitude**2), beat * pixelwise(amplitude)
        if arm is not None and arm.has("piston_drift"):
            sigma = arm.read(state, "piston_drift").to(like)
            if shots is None or not shots.draws("reference_arm", "piston_drift"):
                beat = beat * pixelwise(torch.exp(-(sigma**2) / 2))
            else:
                piston = sigma * shots.normal("reference_arm", "piston_drift", (), frame=frame).to(like)
                phase = pixelwise(piston) if phase is None else phase + pixelwise(piston)
        return ReferenceWave(power, beat, phase)

    def imbalance(self, state: State, like: Tensor) -> Tensor | None:
        """Common-mode gain c of a balanced pair: its ports weigh 1 + c and 1 - c. None: none."""
        if self._arm is None or not self._arm.has("common_mode"):
            return None
        return self._arm.read(state, "common_mode").to(like)

    def _contrast(self, state: State) -> Tensor | None:
        """V, ``[R, 1]``: visibility times the degree of coherence of a Lorentzian line. None: 1."""
        arm = self._arm
        if arm is None:
            return None
        visibility = arm.read(state, "visibility") if arm.has("visibility") else None
        if not arm.has("path_mismatch"):
            return visibility
        length = arm.read(state, "path_mismatch", "coherence_length")
        coherence = torch.exp(-arm.read(state, "path_mismatch") / length)
        return coherence if visibility is None else coherence * visibility

    def _phase(self, state: State, like: Tensor, steps: int) -> Tensor | None:
        arm = self._arm
        if arm is None:
            return None
        y, x = (place.to(like) for place in self._places)
        terms = []
        if arm.has("tilt"):
            tilt = arm.read(state, "tilt").to(like)[..., None, None]
            terms.append(self._wavenumber * (tilt[..., 0, :, :] * y[:, None] + tilt[..., 1, :, :] * x))
        if arm.has("curvature"):
            bend = pixelwise(arm.read(state, "curvature")).to(like)
            terms.append(self._wavenumber / 2 * bend * (y[:, None] ** 2 + x**2))
        if arm.has("step_error") and steps:
            terms.append(steps * pixelwise(arm.read(state, "step_error")).to(like))
        return sum(terms[1:], terms[0]) if terms else None
