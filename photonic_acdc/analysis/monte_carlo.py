"""Accuracy over virtual benches, and against the light that goes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from photonic_acdc.analysis.tiles import evaluate, one_thread, tiles
from photonic_acdc.data.dataset import Dataset
from photonic_acdc.evaluating import evaluating
from photonic_acdc.optical.cascade import cascades
from photonic_acdc.optical.convert import rebind
from photonic_acdc.optical.noise import Mode
from photonic_acdc.provenance import attributes
from simulators.errors import InputError
from simulators.random import as_index

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[int, int], None]
"""Called as work goes on: tiles done, tiles in all."""


def monte_carlo(
    model: nn.Module,
    data: Dataset,
    *,
    realisations: int | Iterable[int] = 200,
    seed: int = 0,
    mode: Mode = "sample",
    exposure: int = 0,
    chunk: int = 16,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Evaluate a classifier on benches as built: static errors of each realisation, fresh shots for each sample.

    Args:
        model: with optical cascades; evaluated in eval mode and left as it was.
        data: samples; shots are keyed by their identity.
        realisations: how many, or which absolute numbers.
        seed: of all draws.
        mode: of the noise; ``"off"`` and ``"mean"`` know one realisation only.
        exposure: number of the pass over the data; another number, other shots.
        chunk: tiles between two calls of ``progress``; has no influence on any bit of the result.
        progress: called after every chunk.

    Returns:
        Dataset over ``realisation`` (and ``sample``): ``accuracy``, ``loss`` (mean cross-entropy, nat), ``correct``.

    Raises:
        InputError: no data, no realisation, no cascade in the model.
    """
    import xarray as xr

    if len(data) == 0:
        raise InputError("monte_carlo: the data set is empty")
    if chunk < 1:
        raise InputError("chunk", value=chunk, allowed="at least 1")
    index = as_index(realisations) if mode in ("frozen", "sample") else (0,)
    correct = np.empty((len(index), len(data)), dtype=bool)
    losses = np.empty((len(index), len(data)))
    todo = tiles(len(data), index)
    with evaluating(model), one_thread():
        for done, tile in enumerate(todo, start=1):
            logits = evaluate(model, data, tile, mode, seed, exposure)
            labels = data.y[tile.rows]
            row = index.index(tile.realisation)
            correct[row, tile.rows] = (logits.argmax(-1) == labels).numpy()
            entropy = torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
            losses[row, tile.rows] = entropy.numpy()
            if progress is not None and (done % chunk == 0 or done == len(todo)):
                progress(done, len(todo))
    return xr.Dataset(
        {
            "accuracy": ("realisation", correct.mean(1), {"long_name": "accuracy", "units": "1"}),
            "loss": ("realisation", losses.mean(1), {"long_name": "cross-entropy", "units": "nat"}),
            "correct": (("realisation", "sample"), correct, {"long_name": "correct", "units": "1"}),
        },
        coords={
            "realisation": (
                "realisation",
                list(index),
                {"long_name": "realisation of the bench", "units": "1"},
            ),
            "sample": ("sample", data.index.numpy(), {"long_name": "row of the data set", "units": "1"}),
        },
        attrs=attributes("Accuracy over virtual benches", seed=seed, mode=mode, data=data.name),
    )


def photon_sweep(
    model: nn.Module,
    data: Dataset,
    *,
    decades: Sequence[float] = (-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5),
    realisations: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Accuracy against the photons that enter the bench, by another neutral-density filter.

    The electronics know the new power; the camera's full well, read noise and digits stay what they are.

    Args:
        model: with optical cascades on one bench.
        data: samples.
        decades: powers relative to the bench's own, log10.
        realisations: benches a power.
        seed: of all draws, the same at every power.
        progress: called after every power.

    Returns:
        Dataset ``accuracy`` over ``photons_in`` and ``realisation``.
    """
    import xarray as xr

    bench = next(iter(cascades(model).values())).bench
    rows, photons = [], []
    for done, decade in enumerate(decades, start=1):
        density = bench.source.optical_density - decade
        power = bench.source.power
        if density < 0:
            # More than the filter can give back: a stronger laser.
            power, density = power * 10**-density, 0.0
        dimmed = bench.replace(source=bench.source.replace(power=power, optical_density=density))
        photons.append(float(dimmed.photons_in(dimmed.nominal(1))))
        found = monte_carlo(rebind(model, dimmed), data, realisations=realisations, seed=seed)
        rows.append(found["accuracy"])
        if progress is not None:
            progress(done, len(decades))
    joined = xr.concat(rows, xr.DataArray(photons, dims="photons_in", name="photons_in"))
    joined["photons_in"].attrs = {"long_name": "photons entering the bench an exposure", "units": "1"}
    return joined.to_dataset().assign_attrs(
        attributes("Accuracy against photons in", seed=seed, data=data.name, operating_point=photons_of(model))
    )


def photons_of(model: nn.Module) -> float:
    """Photons that enter the bench of a model in one exposure, nominally."""
    bench = next(iter(cascades(model).values())).bench
    return float(bench.photons_in(bench.nominal(1)))


def summary(accuracy) -> dict[str, float | int]:
    """``{mean, p05, n}`` of accuracies over all benches (and seeds)."""
    values = np.asarray(accuracy, dtype=float).ravel()
    if not len(values) or not all(map(math.isfinite, values)):
        raise InputError("summary: accuracies", value=f"{len(values)} values", allowed="finite ones, at least one")
    return {"mean": float(values.mean()), "p05": float(np.quantile(values, 0.05)), "n": len(values)}
