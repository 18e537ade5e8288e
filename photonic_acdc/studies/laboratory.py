"""What the trainings of a study share: the data, the model of a seed, and the benches on which it is judged."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from photonic_acdc.analysis import monte_carlo
from photonic_acdc.data import Dataset
from photonic_acdc.layers import AFDF, Intensity, Real
from photonic_acdc.optical import rebind, to_optical
from photonic_acdc.optical.noise import Mode
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.runs.stages import load_split
from photonic_acdc.studies.config import StudyConfig
from photonic_acdc.training import train
from simulators.bench import Bench


@dataclass(frozen=True)
class Laboratory:
    """Where the models of one seed are trained and judged.

    Attributes:
        config: of the study.
        folder: where trainings are kept.
        seed: of the trainings, one of the configured.
    """

    config: StudyConfig
    folder: RunFolder
    seed: int

    @functools.cached_property
    def _split(self) -> tuple[Dataset, Dataset]:
        offset = self.config.data.offset
        training, test = (
            dataclasses.replace(part, x=(part.x + offset) / (1 + offset)) for part in load_split(self.config.as_run())
        )
        return training, test

    @property
    def training(self) -> Dataset:
        """To learn from."""
        return self._split[0]

    @property
    def test(self) -> Dataset:
        """To judge by."""
        return self._split[1]

    @functools.cached_property
    def bench(self) -> Bench:
        """As configured."""
        return self.config.make_bench()

    def benches(self, count: int | None = None) -> range:
        """Numbers of the first benches as built on which the models of this seed are judged, and no other seed's."""
        own = self.config.judging.realisations
        first = own * self.config.seeds.index(self.seed)
        return range(first, first + (own if count is None else count))

    # --- models -------------------------------------------------------------------------------------------------

    def fresh(self) -> nn.Sequential:
        """The ideal classifier, untrained."""
        y, x = self.config.model.modes
        readout = Intensity() if self.config.model.readout == "intensity" else Real()
        # nn.Linear draws from the global generator: keep the caller's as it is.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            hidden, width = self.config.model.hidden, y * x
            electronic = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
            return nn.Sequential(
                AFDF(width, self.config.model.stages, shape=(y, x)),
                readout,
                nn.BatchNorm1d(width),
                *electronic,
                nn.Linear(hidden or width, self.training.classes),
            )

    def optical(self, bench: Bench | None = None, **options: Any) -> nn.Module:
        """The classifier on ``bench`` (None: the configured one), with physical masks, untrained."""
        generator = torch.Generator().manual_seed(self.seed)
        options = {"order": self.config.training.order} | options
        return to_optical(self.fresh(), self.bench if bench is None else bench, generator=generator, **options)

    def train(self, key: str, model: nn.Module, **changes: Any) -> nn.Module:
        """``model`` trained by the configured settings but for ``changes``; taken up if it was interrupted."""
        settings = self.config.training
        result = train(
            model,
            self.training,
            **{
                "epochs": settings.epochs,
                "batch_size": settings.batch_size,
                "learning_rate": settings.learning_rate,
                "mask_rate": settings.mask_rate,
                "weight_decay": settings.weight_decay,
                "label_smoothing": settings.label_smoothing,
                "realisations": settings.realisations,
                "light_weight": settings.light_weight,
                "seed": self.seed,
            }
            | changes,
            checkpoint=self.folder.checkpoint(f"{key}-seed{self.seed}"),
        )
        return result.model

    def ideal(self, bench: Bench | None = None) -> nn.Module:
        """Trained with ideal devices: the baseline of every study. Put on ``bench`` afterwards."""
        return rebind(self.train("ideal", self.optical(), noise_mode="off"), bench)

    # --- judgements -----------------------------------------------------------------------------------------------

    def accuracies(
        self,
        model: nn.Module,
        *,
        mode: Mode = "sample",
        bench: Bench | None = None,
        benches: range | None = None,
        **options: Any,
    ) -> list[float]:
        """Accuracy on every unseen bench of ``benches``; under the judging simulator unless ``options`` say else."""
        judging = self.config.judging
        chosen = self.benches() if benches is None else benches
        judged = rebind(model, bench, **(options or {"order": judging.order}))
        found = monte_carlo(judged, self.test, realisations=chosen, seed=judging.seed, mode=mode)
        return found["accuracy"].values.tolist()

    @torch.no_grad()
    def score(self, model: nn.Module) -> float:
        """Accuracy on the test data under whatever is switched on."""
        return (model.eval()(self.test.x).argmax(-1) == self.test.y).double().mean().item()
