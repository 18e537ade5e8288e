"""A model fitted to one bench, in the place of a real one, and what it is to be compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from photonic_acdc.optical import cascades, rebind
from photonic_acdc.optical.apparatus import SimulatedBench
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.training.physics_aware import PhysicsAware, TwinRefinement, physics_aware
from simulators.bench import Bench
from simulators.errors import InputError

#: Effects whose figures a twin fits, where the bench has them.
_FITTED = ("phase_error", "lut_residual", "scale_error")


@dataclass(frozen=True)
class OneBench:
    """One bench as built.

    Attributes:
        laboratory: of the seed.
        bench: the data sheet that it is drawn from.
        number: of the draw.
        epochs, learning_rate: of a fit.
        simulation: simulator and its options; empty: those of judging.
    """

    laboratory: Laboratory
    bench: Bench
    number: int
    epochs: int
    learning_rate: float
    simulation: dict[str, Any] = field(default_factory=dict)

    def fit(self, key: str, start: nn.Module, *, refine: bool = False, masks: bool = True) -> nn.Module:
        """``start`` trained on, forward on this bench, backward through the twin that it is bound to.

        Args:
            key: of the training.
            start: left as it is.
            refine: whether the twin's figures are fitted on the way.
            masks: whether masks learn, or the electronics alone.
        """
        model = rebind(start)
        twin = next(iter(cascades(model).values())).bench
        if not masks:
            for cascade in cascades(model).values():
                cascade.masks.requires_grad_(False)
        refinement = TwinRefinement(fitted_figures(twin)) if refine else None
        return self.laboratory.train(
            f"{key}-{self.number}",
            model,
            noise_mode="mean",
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            methods=[PhysicsAware(self._stand_in(calls=0), refine=refinement)],
        )

    def score(self, model: nn.Module) -> float:
        """Accuracy on this bench, with shots that no training has seen."""
        with physics_aware(model, self._stand_in(calls=2**33)):
            return self.laboratory.score(model)

    def _stand_in(self, calls: int) -> SimulatedBench:
        config = self.laboratory.config
        cascade = next(iter(cascades(self.laboratory.optical()).values()))
        made = SimulatedBench(
            self.bench,
            cascade.stages,
            seed=config.judging.seed,
            realisation=self.number,
            readout=cascade.readout_kind,
            **(self.simulation or {"order": config.judging.order}),
        )
        made.calls = calls
        return made


def fitted_figures(bench: Bench) -> tuple[str, ...]:
    """Patterns of the figures that a twin of ``bench`` can fit.

    Raises:
        InputError: there are none.
    """
    names = {effect.name for effect in bench.effects(1)}
    found = tuple(f"*.{name}" for name in _FITTED if name in names)
    if not found:
        raise InputError("bench: static errors that a twin can fit", value="none", allowed=" or ".join(_FITTED))
    return found
