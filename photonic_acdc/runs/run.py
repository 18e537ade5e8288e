"""The order of the work, and its summary."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w
import torch

from photonic_acdc.analysis import summary
from photonic_acdc.analysis.monte_carlo import photons_of
from photonic_acdc.config import RunConfig
from photonic_acdc.data import Dataset
from photonic_acdc.provenance import attributes, versions
from photonic_acdc.runs.folder import RunFolder, write_dataset
from photonic_acdc.runs.pictures import write_masks, write_pictures
from photonic_acdc.runs.stages import JUDGED, TRAINED, Report, Stages, load_split
from photonic_acdc.storage import save_tensors, write_json
from photonic_acdc.training.distributed import World
from simulators.spec import Spec

if TYPE_CHECKING:
    import xarray as xr


def run(
    config: RunConfig, directory: str | Path = "runs", *, report: Report | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Train, judge and picture a classifier on its bench; take up what an interrupted run left.

    The processes of a torch process group train together; then the first one judges and the others are done.

    Args:
        config: of the run.
        directory: the run's folder is ``directory/NAME``.
        report: progress: what is at work, how much is done, of how much.
        fresh: start over: what an earlier run of this name wrote is removed.

    Returns:
        The summary, as in ``summary.json``: ``results`` (a function of the configuration) and ``run`` (of the machine);
        empty in all processes but the first.

    Raises:
        InputError: data or bench that do not fit, or a folder that holds another run; nothing is written then.
    """
    started = time.monotonic()
    bench = config.make_bench()  # refuses what cannot be carried before anything is written
    training, test = load_split(config)
    world, path = World.current(), Path(directory) / config.name
    folder = world.first(lambda: RunFolder(path, resolved(config, training, test), fresh=fresh))
    told = _silent if report is None or not world.leads else report
    stages = Stages(config, folder, training, test, told, world)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.training.threads)
    try:
        if world.size > 1:
            stages.train_all()
            if not world.leads:
                return {}
            stages = dataclasses.replace(stages, world=World())
        judged = [stage for stage in JUDGED if stage != "ideal_on_bench" or _maps_exactly(config)]
        errors = _errors(stages, judged)
        write_dataset(folder.path / "errors.nc", errors)
        history = _history(stages)
        write_dataset(folder.path / "training.nc", history)
        best = stages.trained("noise_aware", config.seeds[0]).model
        save_tensors(
            folder.path / "model.safetensors",
            best.state_dict(),
            {"stage": "noise_aware", "seed": config.seeds[0], "config": config.to_dict()},
        )
        write_masks(folder.path, best, bench)
        results = _results(stages, errors, judged, best)
        write_pictures(stages, errors, history, results, best)
    finally:
        torch.set_num_threads(threads)
    report_card = {"results": results, "run": _machine(started)}
    write_json(folder.path / "summary.json", report_card)
    return report_card


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


def resolved(config: RunConfig, training: Dataset, test: Dataset) -> str:
    """The configuration with every default, and a fingerprint of data and bench: what decides the results."""
    return resolved_text(config, config.make_bench(), training, test)


def resolved_text(config: Spec, bench: Spec, training: Dataset, test: Dataset) -> str:
    """``config`` as the text of a file, below a fingerprint of what it names but does not hold."""
    digest = hashlib.sha256(json.dumps(bench.to_dict(), sort_keys=True).encode())
    for part in (training, test):
        digest.update(part.x.numpy().tobytes() + part.y.numpy().tobytes())
    return (
        f"# Resolved configuration; fingerprint of the data and the bench: {digest.hexdigest()[:16]}\n"
        + tomli_w.dumps(_plain(config))
    )


def _plain(spec: Spec) -> dict[str, Any]:
    """Plain data that a run configuration file may hold: the one dimensional figure gets its unit back."""
    data = spec.to_dict()
    bench = data.get("bench", {})
    if "exposure" in bench:
        bench["exposure"] = f"{bench['exposure']!r} s"
    return data


def _maps_exactly(config: RunConfig) -> bool:
    """Whether the ideal layer's complex masks can be shown: the reference bench has a form with amplitude panels."""
    return config.bench.file is None or all(config.make_bench().stage[i].modulation != "phase_only" for i in (0, 2))


def _errors(stages: Stages, judged: list[str]) -> xr.Dataset:
    """Accuracy of every stage over (seed, realisation); missing where a stage knows no realisations."""
    import xarray as xr

    seeds = stages.config.seeds
    over_seeds = _axis("seed", seeds, "seed of the training")
    columns = []
    for stage in judged:
        parts = [stages.accuracies(stage, seed)["accuracy"] for seed in seeds]
        column = xr.concat(parts, over_seeds).rename(stage)
        columns.append(column.assign_attrs(long_name=f"accuracy, {stage}", units="1"))
    return xr.merge(columns, join="outer", compat="no_conflicts").assign_attrs(
        attributes("Accuracy of every stage", data=stages.test.name, order=stages.config.evaluation.order)
    )


def _history(stages: Stages) -> xr.Dataset:
    """Training curves over (stage, seed, epoch)."""
    import xarray as xr

    seeds = stages.config.seeds
    over_seeds = _axis("seed", seeds, "seed of the training")
    rows = [xr.concat([stages.trained(stage, seed).dataset() for seed in seeds], over_seeds) for stage in TRAINED]
    return xr.concat(rows, _axis("stage", TRAINED, "what is trained")).assign_attrs(
        attributes("Training curves", data=stages.training.name)
    )


def _axis(name: str, values: Sequence[Any], long_name: str) -> xr.DataArray:
    """A new dimension to concatenate along."""
    import xarray as xr

    return xr.DataArray(list(values), dims=name, name=name, attrs={"long_name": long_name, "units": "1"})


def _results(stages: Stages, errors: xr.Dataset, judged: list[str], best) -> dict[str, Any]:
    config = stages.config
    accuracy = {}
    for stage in judged:
        values = errors[stage].values
        accuracy[stage] = summary(values[np.isfinite(values)])
    light = [stages.light("noise_aware", seed) for seed in config.seeds]
    optics = float(np.mean([entry["optics"] for entry in light]))
    bench = config.make_bench()
    drops = {
        name: accuracy[before]["mean"] - accuracy[after]["mean"]
        for name, before, after in (
            ("native", "native_off", "on_bench"),
            ("exact", "ideal", "ideal_on_bench"),
        )
        if after in accuracy
    }
    won = {
        name: accuracy["noise_aware"]["mean"] - accuracy[after]["mean"]
        for name, after in (("native", "on_bench"), ("exact", "ideal_on_bench"))
        if after in accuracy
    }
    return {
        "accuracy": accuracy,
        "drop": drops,
        "won_back": won,
        "efficiency": optics,
        "efficiency_db": 10 * float(np.log10(optics)),
        "light": {
            "encoding": light[0]["encoding"],
            "devices": bench.transmission(config.model.stages),
            "optics_by_seed": [entry["optics"] for entry in light],
        },
        "photons_in": photons_of(best),
        "order": config.evaluation.order,
        "seeds": list(config.seeds),
        "data": {"source": stages.test.name, "train": len(stages.training), "test": len(stages.test)},
    }


def _machine(started: float) -> dict[str, Any]:
    return {
        "wall_s": round(time.monotonic() - started, 1),
        "peak_memory_bytes": _peak_memory(),
        "versions": versions(),
    }


def _peak_memory() -> int | None:
    """Largest resident size of this process so far; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts KiB, macOS bytes.
    return peak if sys.platform == "darwin" else peak * 1024
