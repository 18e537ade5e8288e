"""The order of a study's work, and its summary."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from photonic_acdc import plots
from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.plots.canvas import save
from photonic_acdc.provenance import versions
from photonic_acdc.runs.folder import RunFolder, write_dataset
from photonic_acdc.runs.run import resolved_text
from photonic_acdc.runs.stages import load_split
from photonic_acdc.storage import write_json
from photonic_acdc.studies.config import StudyConfig, module_of
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import Point, conclusions, dataset, rows
from simulators.errors import InputError

Report = Callable[[str, int, int], None]


def study(
    config: Any,
    directory: str | Path = "runs",
    *,
    workers: int = 1,
    report: Report | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Train and judge all that a study compares, and picture it; take up what an interrupted one left.

    Args:
        config: of the study, as :func:`load` reads it.
        directory: the folder is ``directory/NAME``: ``study.nc``, ``study.png``, ``summary.json``, the resolved
            ``config.toml``, and the trainings.
        workers: processes, a seed each, or what else a study is divided into; they have no influence on any result.
        report: progress: what is at work, how much is done, of how much.
        fresh: start over: what an earlier study of this name wrote is removed.

    Returns:
        The summary, as in ``summary.json``: ``results`` (a row a method and place, and conclusions) and ``run`` (of the
        machine).

    Raises:
        InputError: data or bench that do not fit, or a folder that holds another study; nothing is written then.
    """
    started = time.monotonic()
    if workers < 1:
        raise InputError("workers", value=workers, allowed="at least 1")
    module = module_of(config.study)
    if not isinstance(config, StudyConfig):
        return module.run(config, directory, workers=workers, report=report, fresh=fresh)
    bench = config.make_bench()
    config.options.check(config, bench)
    training, test = load_split(config.as_run())
    # All that can be refused has been: from here on something is written.
    text = resolved_text(config, bench, training, test)
    folder = RunFolder(Path(directory) / config.name, text, folders=("checkpoints", "parts"), fresh=fresh)
    points: dict[int, list[Point]] = {}
    for seed, found in _measured([Laboratory(config, folder, seed) for seed in config.seeds], workers):
        points[seed] = found
        if report is not None:
            report(f"study {config.name}", len(points), len(config.seeds))
    ordered = {seed: points[seed] for seed in config.seeds}
    found = dataset(module.ABOUT, ordered, data=test.name, study=config.study, realisations=config.judging.realisations)
    write_dataset(folder.path / "study.nc", found)
    save(plots.study(found), folder.path / "study.png")
    machine = {"wall_s": round(time.monotonic() - started, 1), "versions": versions()}
    conclude = getattr(module, "conclude", conclusions)
    card = {"results": {"rows": rows(found), "conclusions": conclude(found)}, "run": machine}
    write_json(folder.path / "summary.json", card)
    return card


def _measured(laboratories: list[Laboratory], workers: int) -> Iterable[tuple[int, list[Point]]]:
    """Points of every seed, as they are done."""
    if workers == 1:
        for laboratory in laboratories:
            yield laboratory.seed, _points(laboratory)
        return
    # Spawned: a forked process would share torch's threads.
    with ProcessPoolExecutor(min(workers, len(laboratories)), multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_points, laboratory): laboratory.seed for laboratory in laboratories}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _points(laboratory: Laboratory) -> list[Point]:
    with one_thread():
        kept = laboratory.folder.figures(f"seed{laboratory.seed}", lambda: {"points": _plain(laboratory)})
    return [Point(**point) for point in kept["points"]]


def _plain(laboratory: Laboratory) -> list[dict[str, Any]]:
    return [dataclasses.asdict(point) for point in module_of(laboratory.config.study).measure(laboratory)]
