"""What a search computes: trials, references, and tests of what is worth it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photonic_acdc.data import Dataset
from photonic_acdc.layers.compare import count
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.search.candidate import judge
from photonic_acdc.search.config import SearchSettings
from photonic_acdc.search.space import REFERENCES, Choices, draw, network
from simulators.errors import InputError
from simulators.random import stream

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

Report = Callable[[str, int, int], None]
"""Progress: what is at work, how much is done, of how much."""

#: Learning rates that a reference is offered, evenly over the logarithm of the range of the trials.
REFERENCE_RATES = 3


@dataclass(frozen=True)
class Trial:
    """What was tried, and what came of it.

    Attributes:
        number: of the trial; -1 for a reference.
        choices: layer, learning rate, and the layer's settings.
        error: share of wrong answers on the validation data.
        parameters: trainable real numbers of the network.
        wall_s: seconds it took.
    """

    number: int
    choices: Choices
    error: float
    parameters: int
    wall_s: float


@dataclass(frozen=True)
class Searching:
    """Trains and judges; what is done already comes from the folder.

    Attributes:
        settings: of the search.
        folder: where what is done is kept.
        training, test: what the front is trained on, and judged on.
        fitting, validation: the two parts of ``training`` that trials are trained on, and judged on.
        report: progress.
    """

    settings: SearchSettings
    folder: RunFolder
    training: Dataset
    test: Dataset
    fitting: Dataset
    validation: Dataset
    report: Report

    def trials(self) -> list[Trial]:
        """All trials, by number."""
        optuna = require_optuna()
        from photonic_acdc.search.journal import Journal

        with _quiet():
            journal = Journal(self.folder.path / "study.journal")
            storage = optuna.storages.JournalStorage(journal)
            study = optuna.create_study(
                storage=storage, study_name="search", directions=["minimize", "minimize"], load_if_exists=True
            )
            known = {_key(trial.user_attrs["choices"]): trial.values for trial in study.trials}
            total = self.settings.trials
            for number in range(len(study.trials), total):
                self.report("trials", number, total)
                study.sampler = self._sampler(number)
                self._try(study, known)
                journal.keep()
            self.report("trials", total, total)
            return [
                Trial(t.number, t.user_attrs["choices"], t.values[0], int(t.values[1]), t.user_attrs["wall_s"])
                for t in study.trials
            ]

    def _sampler(self, number: int) -> BaseSampler:
        """Seeded by the trial's number, so that a search taken up goes on as an undisturbed one."""
        samplers, settings = require_optuna().samplers, self.settings
        seed = int(stream(settings.seed, "search", "sampler", sample=number).integers(2**32))
        if settings.sampler == "nsga2":
            return samplers.NSGAIISampler(population_size=settings.population, seed=seed)
        return samplers.TPESampler(n_startup_trials=settings.population, seed=seed)

    def _try(self, study: Study, known: dict[str, list[float]]) -> None:
        """One more trial; what was tried before is not trained again."""
        started = time.monotonic()
        trial = study.ask()
        choices = draw(trial, self.settings)
        key = _key(choices)
        if key not in known:
            known[key] = [self._validated(choices), float(self._parameters(choices))]
        trial.set_user_attr("choices", choices)
        trial.set_user_attr("wall_s", round(time.monotonic() - started, 3))
        study.tell(trial, known[key])

    def _validated(self, choices: Choices) -> float:
        seeds = range(self.settings.seed, self.settings.seed + self.settings.repeats)
        errors = [judge(choices, self.fitting, self.validation, self.settings, seed) for seed in seeds]
        return float(np.mean(errors))

    def _parameters(self, choices: Choices) -> int:
        features, classes = self.training.x.shape[1], self.training.classes
        return count(network(choices, features, self.settings.width, classes, seed=0))

    def references(self) -> list[Trial]:
        """Each of :data:`~photonic_acdc.search.space.REFERENCES` at the best of :data:`REFERENCE_RATES` rates."""
        rates = np.geomspace(*self.settings.learning_rate, REFERENCE_RATES)
        tried = [{"layer": layer, "learning_rate": float(rate)} for layer in REFERENCES for rate in rates]
        done = []
        for i, choices in enumerate(tried):
            self.report("references", i, len(tried))
            name = f"reference-{choices['layer']}-{i % REFERENCE_RATES}"
            figures = self.folder.figures(name, lambda choices=choices: self._timed(choices))
            done.append(Trial(-1, choices, figures["error"], self._parameters(choices), figures["wall_s"]))
        self.report("references", len(tried), len(tried))
        return [min((t for t in done if t.choices["layer"] == layer), key=lambda t: t.error) for layer in REFERENCES]

    def _timed(self, choices: Choices) -> dict[str, float]:
        started = time.monotonic()
        return {"error": self._validated(choices), "wall_s": round(time.monotonic() - started, 3)}

    def tests(self, trials: list[Trial]) -> np.ndarray:
        """Error on the test data after training on all training data, ``[trial, seed]``."""
        errors = np.empty((len(trials), self.settings.front_seeds))
        for i, trial in enumerate(trials):
            for j in range(self.settings.front_seeds):
                self.report("tests of the front", i * self.settings.front_seeds + j, errors.size)
                errors[i, j] = self._tested(trial, self.settings.seed + j)
        self.report("tests of the front", errors.size, errors.size)
        return errors

    def _tested(self, trial: Trial, seed: int) -> float:
        what = trial.choices["layer"] if trial.number < 0 else f"trial{trial.number}"
        return self.folder.figures(
            f"test-{what}-seed{seed}",
            lambda: {"error": judge(trial.choices, self.training, self.test, self.settings, seed)},
        )["error"]


def require_optuna():
    """The package ``optuna``, or an :class:`InputError` that says how to get it."""
    try:
        import optuna
    except ImportError:
        raise InputError("a search needs the package optuna", remedy='pip install "photonic-acdc[search]"') from None
    return optuna


def _key(choices: Choices) -> str:
    return json.dumps(choices, sort_keys=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's own running commentary."""
    logging = require_optuna().logging
    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(level)
