r"""From the field at the detector to frames, and back to numbers.

A camera does not measure |mean field|²: it integrates |E|² over the window of a mode, structure inside included.
Ripple of the panels is averaged as intensity, in every frame.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simulators import effects
from simulators.bench import Bench
from simulators.devices.chain import pixelwise
from simulators.errors import InputError
from simulators.fourier import window_gram, window_mean
from simulators.random import Shots, State

Kind = Literal["intensity", "coherent"]


class Readout:
    r"""A camera behind the last lens, alone (``"intensity"``) or with a reference wave stepped by π/2 (``"coherent"``).

    The four frames :math:`I_m = |E + i^m r|^2` of a coherent readout give
    :math:`s = [(I_0 - I_2) + i(I_1 - I_3)]/(4r)`, the field projected on the window of the mode.

    Args:
        bench: with the camera.
        stages: of the cascade.
        kind: ``"intensity"`` or ``"coherent"``.
        order: q of the field's Legendre modes.

    Source: EMVA 1288 release 4.0 (camera); Creath, Prog. Opt. 26, 349 (1988) (four steps). Not modelled: step error,
    drift of the reference between frames, fringe visibility.
    """

    def __init__(self, bench: Bench, stages: int, kind: Kind = "intensity", *, order: int = 1):
        if kind not in ("intensity", "coherent"):
            raise InputError("readout", value=repr(kind), allowed="'intensity' or 'coherent'")
        self.bench, self.kind, self.order = bench, kind, order
        self._camera = bench.element(stages, "detector")
        window = bench.detector.window
        self._gram = None if window == 1 else window_gram(order, window)
        self._mean = window_mean(order, window)
        self._nominal = bench.nominal(stages)

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

    def exposures(self, fields: Tensor, state: State) -> Tensor:
        """Expected photons of every frame, averaged over the moments: ``[Q, R, B, …]`` → ``[R, B, frames, y, x]``."""
        light = self.photons(fields).mean(0)
        if self.kind == "intensity":
            return light[:, :, None]
        reference = pixelwise(self._camera.read_base(state, "reference")).to(light)
        seen = self.projection(fields).mean(0)
        beat = 2 * torch.sqrt(reference)
        steady = light + reference * self.bench.detector.window**2
        terms = (seen.real, seen.imag, -seen.real, -seen.imag)
        return torch.stack([steady + beat * term for term in terms], dim=2)

    def frames(self, fields: Tensor, state: State, shots: Shots | None = None) -> Tensor:
        """What the camera delivers, ``[R, B, frames, y, x]``: digital numbers, or electrons without a converter.

        Args:
            fields: at the detector, at every moment of the ripple, ``[Q, R, B, y·q, x·q]`` in √photons.
            state: figures and draws.
            shots: source of the noise; None: the expected frames.
        """
        photons = self.exposures(fields, state)
        frames = [self._expose(photons[:, :, m], state, shots, m) for m in range(photons.shape[2])]
        return torch.stack(frames, dim=2)

    def _expose(self, photons: Tensor, state: State, shots: Shots | None, frame: int) -> Tensor:
        camera = self._camera
        electrons = photons
        if camera.has("quantum_efficiency"):
            electrons = electrons * pixelwise(camera.read(state, "quantum_efficiency"))
        if camera.has("gain_nonuniformity"):
            electrons = electrons * camera.read(state, "gain_nonuniformity")
        if camera.has("dark_current"):
            exposure = camera.read_base(state, "exposure")
            electrons = electrons + pixelwise(camera.read(state, "dark_current") * exposure)
        if shots is not None:
            electrons = self._noise(electrons, state, shots, frame)
        if camera.has("full_well"):
            electrons = effects.saturate(electrons, pixelwise(camera.read(state, "full_well")))
        if camera.has("quantisation"):
            step = pixelwise(camera.read(state, "quantisation", "step"))
            electrons = effects.quantise(electrons, step)
        return electrons * self._digits_per_electron

    def _noise(self, electrons: Tensor, state: State, shots: Shots, frame: int) -> Tensor:
        camera = self._camera
        shape = tuple(electrons.shape[-2:])

        def normal(effect: str) -> Tensor:
            return shots.normal("detector", effect, shape, frame=frame).to(electrons)

        if camera.has("shot_noise"):
            if shots.differentiable:
                electrons = effects.shot_noise(electrons, normal=normal("shot_noise"))
            else:
                # One row of rates a realisation and sample, whatever was broadcast so far.
                rows = (len(shots.realisation), len(shots.sample), *shape)
                electrons = effects.shot_noise(
                    electrons.expand(rows),
                    poisson=lambda rate: shots.poisson("detector", "shot_noise", rate, frame=frame),
                )
        if camera.has("read_noise"):
            sigma = pixelwise(camera.read(state, "read_noise"))
            electrons = effects.read_noise(electrons, sigma, normal("read_noise"))
        return electrons

    # --- frames -> numbers ------------------------------------------------------------------------------------------

    def decode(self, frames: Tensor) -> Tensor:
        """Frames back to light, by the camera's *nominal* figures, which are all that a laboratory knows.

        Returns:
            ``"intensity"``: photons in the window, real ``[R, B, y, x]``. ``"coherent"``: the mode's amplitude, the
            window's mean of the field, complex √photons.
        """
        camera = self._camera
        electrons = frames / self._digits_per_electron
        efficiency = self._known("quantum_efficiency", 1.0)
        if self.kind == "intensity":
            if camera.has("dark_current"):
                dark = self._known("dark_current", 0.0) * camera.read_base(self._nominal, "exposure").item()
                electrons = electrons - dark
            return electrons[:, :, 0] / efficiency
        beat = 4 * camera.read_base(self._nominal, "reference").sqrt().item() * efficiency
        real = (electrons[:, :, 0] - electrons[:, :, 2]) / beat
        imaginary = (electrons[:, :, 1] - electrons[:, :, 3]) / beat
        return torch.complex(real, imaginary) / self.bench.detector.window**2

    def _known(self, link: str, otherwise: float) -> float:
        return self._camera.read(self._nominal, link).item() if self._camera.has(link) else otherwise

    @property
    def _digits_per_electron(self) -> float:
        camera = self.bench.detector
        if not self._camera.has("quantisation"):
            return 1.0
        assert camera.bits is not None
        assert camera.full_well is not None
        return (2**camera.bits - 1) / camera.full_well

    def _per_mode(self, field: Tensor) -> Tensor:
        """``[..., y·q, x·q]`` → ``[..., y, q, x, q]``."""
        y, x = self.bench.modes
        return field.reshape(*field.shape[:-2], y, self.order, x, self.order)
