"""Trials and front as labelled datasets, and as plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from photonic_acdc.search.front import pareto_front
from photonic_acdc.search.space import names
from photonic_acdc.search.study import Trial

if TYPE_CHECKING:
    import xarray as xr

#: What the figures of a trial are called, and their units.
FIGURES = {
    "layer": ("structured layer", "1"),
    "learning_rate": ("learning rate of Adam at the start", "1"),
    "a_multiplier": ("factor on the learning rate for A", "1"),
    "d_multiplier": ("factor on the learning rate for D", "1"),
    "stages": ("stages K", "1"),
    "sigma": ("deviation of the initial diagonals from 1", "1"),
    "permute": ("fixed permutations between stages: 1 for yes", "1"),
    "activation": ("activation of the stages", "1"),
    "init": ("start of AFDF", "1"),
    "phase_only": ("masks without magnitudes: 1 for yes", "1"),
    "bias": ("bias behind every D of AFDF: 1 for yes", "1"),
    "readout": ("what is read of AFDF", "1"),
    "hybrid_rank": ("rank beside the structured layer", "1"),
    "rank": ("rank", "1"),
    "blocks": ("number of blocks", "1"),
    "block": ("size of a block", "1"),
    "validation_error": ("error on the validation data", "1"),
    "parameters": ("trainable real numbers", "1"),
    "wall_time": ("time that the trial took", "s"),
    "on_front": ("whether the trial is Pareto-optimal", "1"),
    "trial": ("number of the trial, -1 for a reference", "1"),
    "test_error": ("error on the test data", "1"),
    "test_error_mean": ("error on the test data, mean over seeds", "1"),
    "test_error_sd": ("error on the test data, standard deviation over seeds", "1"),
    "point": ("point of the front, or reference", "1"),
    "seed": ("seed of the training", "1"),
}
_TEXT = ("activation", "init", "readout")


def trials_dataset(trials: Sequence[Trial], layers: Iterable[str]) -> xr.Dataset:
    """What each trial tried and what came of it, over ``trial``, with ``on_front``."""
    columns = _columns(trials, layers)
    on_front = pareto_front(columns["validation_error"], columns["parameters"])
    return _dataset("trial", {**columns, "on_front": on_front})


def front_dataset(
    trials: Sequence[Trial], errors: np.ndarray, seeds: Sequence[int], layers: Iterable[str]
) -> xr.Dataset:
    """What each point tried and what came of its tests, over ``point`` and ``seed``.

    Args:
        trials: of the front, and the references.
        errors: on the test data, ``[point, seed]``.
        seeds: of the trainings.
        layers: whose settings get a column.
    """
    # A deviation needs two seeds.
    deviation = errors.std(axis=1, ddof=1) if len(seeds) > 1 else np.full(len(errors), np.nan)
    columns = {**_columns(trials, layers), "test_error_mean": errors.mean(axis=1), "test_error_sd": deviation}
    dataset = _dataset("point", {**columns, "point": np.arange(len(trials)), "seed": np.asarray(seeds)})
    dataset["test_error"] = (("point", "seed"), errors, _attributes("test_error"))
    return dataset


def rows(trials: Sequence[Trial], front: xr.Dataset) -> list[dict[str, Any]]:
    """The points of a front as plain data; ``None`` for the deviation of one seed."""
    return [
        {
            "trial": trial.number,
            **trial.choices,
            "parameters": trial.parameters,
            "validation_error": trial.error,
            "test_error": float(mean),
            "test_error_sd": None if np.isnan(sd) else float(sd),
        }
        for trial, mean, sd in zip(trials, front["test_error_mean"].values, front["test_error_sd"].values, strict=True)
    ]


def _columns(trials: Sequence[Trial], layers: Iterable[str]) -> dict[str, np.ndarray]:
    """A column a figure; NaN, or an empty text, where a layer has no such setting."""
    columns = {
        "trial": np.array([trial.number for trial in trials]),
        "layer": np.array([trial.choices["layer"] for trial in trials], dtype=object),
    }
    for name in names(layers):
        absent, dtype = ("", object) if name in _TEXT else (np.nan, float)
        columns[name] = np.array([trial.choices.get(name, absent) for trial in trials], dtype=dtype)
    return {
        **columns,
        "validation_error": np.array([trial.error for trial in trials]),
        "parameters": np.array([trial.parameters for trial in trials]),
        "wall_time": np.array([trial.wall_s for trial in trials]),
    }


def _dataset(dimension: str, columns: dict[str, np.ndarray]) -> xr.Dataset:
    """Every column over ``dimension``, but for those that name an axis of their own."""
    import xarray as xr

    return xr.Dataset(
        {name: ("seed" if name == "seed" else dimension, values, _attributes(name)) for name, values in columns.items()}
    )


def _attributes(name: str) -> dict[str, str]:
    long_name, unit = FIGURES[name]
    return {"long_name": long_name, "units": unit}
