"""The models of a run and how they are judged; each a function of the configuration and the seed alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from photonic_acdc.analysis import error_budget, monte_carlo, photon_sweep
from photonic_acdc.config import RunConfig
from photonic_acdc.data import Dataset, load_data, split
from photonic_acdc.layers import AFDF, Intensity
from photonic_acdc.optical import measure_light, noise, rebind, to_optical
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.training import TrainingResult, train
from photonic_acdc.training.distributed import World
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

Report = Callable[[str, int, int], None]
"""Progress: what is at work, how much is done, of how much."""

TRAINED = ("ideal", "native_off", "noise_aware")
JUDGED = ("ideal", "ideal_on_bench", "native_off", "on_bench", "noise_aware")


def load_split(config: RunConfig) -> tuple[Dataset, Dataset]:
    """Train and test data, scaled by the largest |x| of the training data, which is what the input device writes.

    Raises:
        InputError: features that do not fit the modes; data as in :func:`photonic_acdc.data.load_data`.
    """
    data = load_data(config.data.source)
    y, x = config.model.modes
    if data.x.shape[1] != y * x:
        raise InputError(
            f"model.modes: {y}x{x} = {y * x} modes",
            allowed=f"as many as {config.data.source} has features, {data.x.shape[1]}",
        )
    training, test = split(data, config.data.test_fraction, config.data.split_seed)
    largest = training.x.abs().max()
    if not largest > 0:
        raise InputError(f"{config.data.source}: x is zero throughout")

    def scaled(part: Dataset) -> Dataset:
        return Dataset(part.x / largest, part.y, part.index, part.name)

    return scaled(training), scaled(test)


@dataclass(frozen=True)
class Stages:
    """Trains and judges; what is done already comes from the folder."""

    config: RunConfig
    folder: RunFolder
    training: Dataset
    test: Dataset
    report: Report
    world: World = field(default_factory=World)  #: processes that train together

    # --- models -------------------------------------------------------------------------------------------------

    def fresh(self, seed: int) -> nn.Sequential:
        """The ideal classifier, untrained: AFDF, intensity, normalisation, one linear layer."""
        y, x = self.config.model.modes
        # nn.Linear draws from the global generator: keep the caller's as it is.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(
                AFDF(y * x, self.config.model.stages, shape=(y, x)),
                Intensity(),
                nn.BatchNorm1d(y * x),
                nn.Linear(y * x, self.training.classes),
            )

    def optical(self, seed: int) -> nn.Module:
        """The same network on the bench, with physical masks, untrained."""
        generator = torch.Generator().manual_seed(seed)
        bench = self.config.make_bench()
        return to_optical(self.fresh(seed), bench, generator=generator, order=self.config.training.order)

    def trained(self, stage: str, seed: int) -> TrainingResult:
        """One of :data:`TRAINED`."""
        settings = self.config.training
        ideal = stage == "ideal"
        name = f"{stage}-seed{seed}"
        return train(
            self.fresh(seed) if ideal else self.optical(seed),
            self.training,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            mask_rate=settings.mask_rate,
            weight_decay=settings.weight_decay,
            label_smoothing=settings.label_smoothing,
            noise_mode="sample" if stage == "noise_aware" else "off",
            realisations=settings.realisations,
            light_weight=0.0 if ideal else settings.light_weight,
            seed=seed,
            checkpoint=self.folder.checkpoint(name),
            progress=lambda done, total, _: self.report(f"train {name}", done, total),
            world=self.world,
        )

    def train_all(self) -> None:
        """Every training of the run: what several processes do together, before one of them judges."""
        for seed in self.config.seeds:
            for stage in TRAINED:
                self.trained(stage, seed)
        for weight in self.config.evaluation.front_weights:
            self.fine_tuned(weight, self.config.seeds[0])

    def judge(self, model: nn.Module) -> nn.Module:
        """A trained optical model under the finer simulator."""
        return rebind(model, order=self.config.evaluation.order)

    # --- judgements -----------------------------------------------------------------------------------------------

    def accuracies(self, stage: str, seed: int) -> xr.Dataset:
        """Accuracy over realisations of one of :data:`JUDGED`; stages without devices have one realisation."""
        return self.folder.dataset(f"{stage}-seed{seed}", lambda: self._accuracies(stage, seed))

    def _accuracies(self, stage: str, seed: int) -> xr.Dataset:
        if stage == "ideal":
            return self._electronic(self.trained("ideal", seed).model)
        if stage == "ideal_on_bench":
            bench = self.config.make_bench(complex_masks=True)
            model = to_optical(
                self.trained("ideal", seed).model, bench, mapping="exact", order=self.config.evaluation.order
            )
            return self._over_benches(model, f"judge {stage}-seed{seed}")
        trained = "native_off" if stage == "on_bench" else stage
        model = self.judge(self.trained(trained, seed).model)
        if stage == "native_off":
            return monte_carlo(model, self.test, mode="off")
        return self._over_benches(model, f"judge {stage}-seed{seed}")

    def _over_benches(self, model: nn.Module, what: str) -> xr.Dataset:
        settings = self.config.evaluation
        return monte_carlo(
            model,
            self.test,
            realisations=settings.realisations,
            seed=settings.seed,
            progress=lambda done, total: self.report(what, done, total),
        )

    def _electronic(self, model: nn.Module) -> xr.Dataset:
        """Accuracy of a model without optics, in the form of :func:`monte_carlo`."""
        import xarray as xr

        with torch.no_grad():
            correct = (model.eval()(self.test.x).argmax(-1) == self.test.y).numpy()
        return xr.Dataset(
            {
                "accuracy": ("realisation", [correct.mean()], {"long_name": "accuracy", "units": "1"}),
                "correct": (("realisation", "sample"), correct[None], {"long_name": "correct", "units": "1"}),
            },
            coords={
                "realisation": ("realisation", [0], {"long_name": "realisation of the bench", "units": "1"}),
                "sample": ("sample", self.test.index.numpy(), {"long_name": "row of the data set", "units": "1"}),
            },
        )

    def light(self, stage: str, seed: int) -> dict[str, float]:
        """Shares of the light under ``"mean"``: at the detector's modes, and written by the input."""
        return self.folder.figures(f"light-{stage}-seed{seed}", lambda: self._light(stage, seed))

    def _light(self, stage: str, seed: int) -> dict[str, float]:
        return self.light_of(self.judge(self.trained(stage, seed).model))

    @torch.no_grad()
    def light_of(self, model: nn.Module) -> dict[str, float]:
        """As :meth:`light`, of any model."""
        with noise(model.eval(), "mean"), measure_light(model) as meter:
            model(self.test.x)
        return {"optics": meter.efficiency().item(), "encoding": meter.encoding[0].item()}

    def budget(self, seed: int) -> xr.Dataset:
        """Error budget of the noise-aware model."""
        return self.folder.dataset(
            f"budget-seed{seed}",
            lambda: error_budget(
                self.judge(self.trained("noise_aware", seed).model),
                self.test,
                realisations=self.config.evaluation.budget_realisations,
                seed=self.config.evaluation.seed,
                progress=lambda done, total: self.report("error budget", done, total),
            ),
        )

    def photons(self, seed: int) -> xr.Dataset:
        """Accuracy of the noise-aware model against photons in."""
        return self.folder.dataset(
            f"photons-seed{seed}",
            lambda: photon_sweep(
                self.judge(self.trained("noise_aware", seed).model),
                self.test,
                realisations=self.config.evaluation.photon_realisations,
                seed=self.config.evaluation.seed,
                progress=lambda done, total: self.report("accuracy against photons", done, total),
            ),
        )

    def front(self, seed: int) -> xr.Dataset:
        """Accuracy against light kept: the noise-aware model fine-tuned with other weights of the light."""
        import xarray as xr

        settings = self.config.evaluation
        points = [
            self.folder.dataset(f"front-{weight!r}-seed{seed}", lambda weight=weight: self._front_point(weight, seed))
            for weight in settings.front_weights
        ]
        weights = xr.DataArray(
            list(settings.front_weights),
            dims="light_weight",
            name="light_weight",
            attrs={"long_name": "weight of the light in the loss", "units": "1"},
        )
        return xr.concat(points, weights)

    def fine_tuned(self, weight: float, seed: int) -> nn.Module:
        """The noise-aware model, moved along the front by another weight of the light."""
        settings, training = self.config.evaluation, self.config.training
        model = self.trained("noise_aware", seed).model
        name = f"front-{weight!r}-seed{seed}"
        train(
            model,
            self.training,
            epochs=settings.front_epochs,
            batch_size=training.batch_size,
            # A third of the rate: the masks are to move along the front, not to start again.
            learning_rate=training.learning_rate / 3,
            mask_rate=training.mask_rate,
            weight_decay=training.weight_decay,
            label_smoothing=training.label_smoothing,
            noise_mode="sample",
            realisations=training.realisations,
            light_weight=weight,
            seed=seed + 1_000_000,
            checkpoint=self.folder.checkpoint(name),
            progress=lambda done, total, _: self.report(f"front w={weight:g}", done, total),
            world=self.world,
        )
        return model

    def _front_point(self, weight: float, seed: int) -> xr.Dataset:
        settings = self.config.evaluation
        judged = self.judge(self.fine_tuned(weight, seed))
        found = monte_carlo(judged, self.test, realisations=settings.front_realisations, seed=settings.seed)
        found["efficiency"] = ((), self.light_of(judged)["optics"], {"long_name": "light kept", "units": "1"})
        return found[["accuracy", "efficiency"]]
