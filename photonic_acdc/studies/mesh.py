"""A Fourier cascade beside a mesh of Mach-Zehnder interferometers, under static errors: where one overtakes the other.

Both classifiers are the same but for the optics: x → light → readout (intensity in the example) → normalisation → one
electronic layer.

| optics of N modes, K stages | phases | what light passes, at most |
|---|---|---|
| rectangular mesh: any unitary matrix | N² | 2N + 1 phase shifters, 2N splitters |
| cascade on the bench of the configuration | K(N + P), P pixels in the Fourier plane | 2K masks, no splitter |

At N = 64, K = 2 and P = 256 these are 4096 phases, 129 in a row, and 640 phases, 4 in a row. Every phase has an error
of the same rms; in the second panel every splitter has one of its angle as well, which a cascade, that has none, cannot
feel: its curves are those of the first panel. All else is ideal. *Trained on errors*: in training every step meets
errors drawn anew, of the kind and size it is judged under.

Fang et al. compare two networks of several layers on handwritten digits: one of meshes (GridNet, about 98 % without
errors) is overtaken by one of FFT-shaped meshes (FFTNet, about 95 %) under a small error of the components. Here the
data, the depth and the Fourier transform, which lenses make and no phase error spoils, are others: the question is the
same, the figures are not to be compared.

Source: Fang et al., Opt. Express 27, 14009 (2019); Clements et al., Optica 3, 1460 (2016).
"""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import About, Point
from photonic_acdc.training.loop import TRAINING_BENCHES
from simulators.bench import Bench
from simulators.errors import InputError
from simulators.mesh import Mesh, MeshPhases, decompose, haar, transfer
from simulators.random import Realisations, State, stream
from simulators.spec import Angle

ABOUT = About(
    "Mesh of interferometers and Fourier cascade under static errors",
    "error",
    "rms of every static error",
    units="rad",
    baseline="mesh, ideal-trained",
    panel="errors",
)
PHASES, SPLITTERS = "phases", "phases and splitters"


class Options(Base):
    """How large the errors are."""

    errors: Annotated[tuple[Angle, ...], Field(min_length=1)] = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3)  #: rad rms

    def quick(self) -> Self:
        """Every third."""
        return self.replace(errors=self.errors[::3])

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """Refuse what would act on the cascade alone."""
        for key, fair in (("mask_rate", 1.0), ("realisations", 1), ("light_weight", 0.0)):
            value = getattr(config.training, key)
            if value != fair:
                raise InputError(
                    f"training.{key}",
                    value=f"{value:g}",
                    allowed=f"{fair:g} in the study of a mesh, which has no such setting",
                )


class MeshLayer(nn.Module):
    """A mesh in the place of a cascade: real or complex ``[B, N]`` → complex ``[B, N]``, one matrix for all rows.

    In training every forward pass meets a mesh as built of its own, numbered from 2³² on, as benches are; in
    evaluation the one of :attr:`state`, at first the one without errors.

    Args:
        mesh: the data sheet; its errors are those of training.
        seed: of the start, a Haar-random matrix, and of the draws.
    """

    steps: Tensor  #: forward passes in training so far

    def __init__(self, mesh: Mesh, *, seed: int):
        super().__init__()
        self.mesh, self.seed = mesh, seed
        start = decompose(haar(mesh.modes, stream(seed, "mesh", "start")))
        self.internal, self.external, self.output = (nn.Parameter(phases.float()) for phases in start)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.state: State = mesh.nominal()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the modes, through the mesh."""
        state = self.state
        if self.training:
            state = self.mesh.draw(Realisations(self.seed, (TRAINING_BENCHES + int(self.steps),)).normal)
            self.steps += 1
        matrix = transfer(self.mesh, MeshPhases(self.internal, self.external, self.output), state)[0]
        return x.to(matrix.dtype) @ matrix.mT

    def extra_repr(self) -> str:
        """What ``print(model)`` shows, and a checkpoint goes by."""
        return f"{self.mesh!r}, seed={self.seed}"


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of mesh and cascade, trained without errors and on errors, at every rms."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    y, x = laboratory.config.model.modes
    mesh, cascade = _trained(laboratory, "mesh-ideal", Mesh(modes=y * x)), laboratory.ideal()
    found = []
    for error in options.errors:
        bench = with_phase_error(laboratory.bench, error)
        judged = {"cascade, ideal-trained": laboratory.accuracies(cascade, bench=bench)}
        if error:
            own = laboratory.train(f"cascade-{error:g}", laboratory.optical(bench), noise_mode="sample")
            judged["cascade, trained on errors"] = laboratory.accuracies(own)
        for panel, splitters in ((PHASES, 0.0), (SPLITTERS, error)):
            built = Mesh(modes=y * x, phase_error=error, splitter_error=splitters)
            judged["mesh, ideal-trained"] = _judged(laboratory, mesh, built)
            if error:
                own = _trained(laboratory, f"mesh-{panel.replace(' ', '-')}-{error:g}", built)
                judged["mesh, trained on errors"] = _judged(laboratory, own, built)
            found += [Point(method, error, accuracies, panel) for method, accuracies in judged.items()]
    return found


def with_phase_error(bench: Bench, error: float) -> Bench:
    """``bench`` with nothing but phase errors of that rms on every mask; with ideal devices for 0."""
    if error == 0:
        return bench.only()
    stage = [
        place if i % 2 else place.replace(device=place.device.replace(phase_error=error))
        for i, place in enumerate(bench.stage)
    ]
    return bench.replace(stage=tuple(stage)).only("*.phase_error")


def _trained(laboratory: Laboratory, key: str, mesh: Mesh) -> nn.Module:
    """The classifier with a mesh, trained on its errors."""
    model = laboratory.fresh()
    model[0] = MeshLayer(mesh, seed=laboratory.seed)
    # "off": the bench's noise switch has no hold on a mesh, which draws its errors itself.
    return laboratory.train(key, model, noise_mode="off")


@torch.no_grad()
def _judged(laboratory: Laboratory, model: nn.Module, mesh: Mesh) -> list[float]:
    """Accuracy on meshes as built that training has not seen, a number each."""
    judging, test = laboratory.config.judging, laboratory.test
    layer = next(module for module in model.modules() if isinstance(module, MeshLayer))
    model.eval()
    found = []
    for r in laboratory.benches():
        layer.state = mesh.draw(Realisations(judging.seed, (r,)).normal)
        found.append((model(test.x).argmax(-1) == test.y).double().mean().item())
    return found
