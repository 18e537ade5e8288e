"""The order of the work, and its summary."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from photonic_acdc import plots
from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.data import Dataset, load_data, split
from photonic_acdc.plots.canvas import save
from photonic_acdc.provenance import attributes, versions
from photonic_acdc.runs.folder import RunFolder, write_dataset
from photonic_acdc.search.config import SearchConfig
from photonic_acdc.search.results import front_dataset, rows, trials_dataset
from photonic_acdc.search.space import check
from photonic_acdc.search.study import Report, Searching, require_optuna
from photonic_acdc.storage import write_json
from simulators.errors import InputError


def search(config: SearchConfig, directory: str | Path = "runs", *, report: Report | None = None) -> dict[str, Any]:
    """Search for layers of little error and few parameters; take up what an interrupted search left.

    Trials are judged on a validation part of the training data. Those on the Pareto front, and two references (a dense
    layer in the same place, and softmax regression), are then trained on all of it and judged on the test data.

    A trial is a function of the configuration and of its number: the sampler is seeded by the number, the trainings
    by the configuration. Killed at any moment, the same command loses the trial at work and no other, and ends with
    the same results.

    Args:
        config: of the search.
        directory: the folder is ``directory/NAME``: ``trials.nc``, ``front.nc``, ``front.png``, ``summary.json``, the
            resolved ``config.toml``, and Optuna's ``study.journal``.
        report: progress: what is at work, how much is done, of how much.

    Returns:
        The summary, as in ``summary.json``: ``results`` (a function of the configuration) and ``run`` (of the machine).

    Raises:
        InputError: Optuna is missing, a layer that cannot be built, data that cannot be split, or a folder that holds
            something else; nothing is written then.
    """
    started = time.monotonic()
    version = require_optuna().__version__
    data, settings = load_data(config.data.source), config.search
    training, test = split(data, config.data.test_fraction, config.data.split_seed)
    # Another seed: the two splits are to know nothing of each other.
    fitting, validation = split(training, settings.validation_fraction, config.data.split_seed + 1)
    if not fitting.x.std() > 0:
        raise InputError(f"{config.data.source}: x is the same throughout")
    check(settings, data.x.shape[1], data.classes)
    folder = RunFolder(Path(directory) / config.name, resolved(config, training, test), folders=("parts",))
    searching = Searching(settings, folder, training, test, fitting, validation, report or _silent)
    origin = {"data": data.name, "sampler": settings.sampler, "version_optuna": version}
    with one_thread():
        done = searching.trials()
        trials = trials_dataset(done, settings.layers).assign_attrs(attributes("Trials of a search", **origin))
        write_dataset(folder.path / "trials.nc", trials)
        best = sorted((done[i] for i in np.flatnonzero(trials["on_front"])), key=lambda trial: trial.parameters)
        references = searching.references()
        errors = searching.tests([*best, *references])
    seeds = range(settings.seed, settings.seed + settings.front_seeds)
    front = front_dataset([*best, *references], errors, seeds, settings.layers)
    front = front.assign_attrs(attributes("Pareto front of a search", **origin))
    write_dataset(folder.path / "front.nc", front)
    save(plots.pareto(trials, front), folder.path / "front.png")
    found = rows([*best, *references], front)
    results = {
        "front": found[: len(best)],
        "references": found[len(best) :],
        "trials": len(done),
        "seeds": list(seeds),
        "data": {"source": data.name, "train": len(fitting), "validation": len(validation), "test": len(test)},
    }
    machine = {"wall_s": round(time.monotonic() - started, 1), "versions": {**versions(), "optuna": version}}
    card = {"results": results, "run": machine}
    write_json(folder.path / "summary.json", card)
    return card


def resolved(config: SearchConfig, training: Dataset, test: Dataset) -> str:
    """The configuration with every default, and a fingerprint of the data: what decides the results."""
    digest = hashlib.sha256()
    for part in (training, test):
        digest.update(part.x.numpy().tobytes() + part.y.numpy().tobytes())
    header = f"# Resolved configuration of a search; fingerprint of the data: {digest.hexdigest()[:16]}\n"
    return header + tomli_w.dumps(config.to_dict())


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
