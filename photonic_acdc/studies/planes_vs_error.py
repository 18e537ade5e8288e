"""How near phase masks come to a matrix, by their number and by the gain: what synthesis costs.

Nothing is trained on devices here, so that this study has a configuration and a job of its own: ``Config``, ``run``.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import Field, StringConstraints

from photonic_acdc import plots
from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.config import Count, Seed
from photonic_acdc.data import load_data
from photonic_acdc.plots.canvas import save
from photonic_acdc.provenance import versions
from photonic_acdc.runs.folder import RunFolder, write_dataset
from photonic_acdc.storage import write_json
from photonic_acdc.synthesis import trade
from photonic_acdc.synthesis.fit import Progress
from simulators.spec import Spec, read_toml

Report = Callable[[str, int, int], None]


class Options(Spec):
    """Of :func:`photonic_acdc.synthesis.trade.planes_vs_error`."""

    kinds: tuple[str, ...] = trade.KINDS
    features: Annotated[int, Field(ge=2, strict=True)] = 16
    planes: tuple[Count, ...] | None = None  #: None: a range around what counting allows
    gains: tuple[float, ...] = (0.5, 0.7, 0.9, 1.0)
    targets: Count = 5
    starts: Count = 2
    iterations: Count = 100

    def quick(self) -> Self:
        """Smaller matrices, fewer of them, two gains."""
        features = min(self.features, 8)
        planes = None if self.planes is None or features < self.features else self.planes
        gains = tuple(sorted({min(self.gains), max(self.gains)}))
        return self.replace(features=features, planes=planes, gains=gains, targets=min(self.targets, 3))


class Config(Spec):
    """Everything that decides the results of this study."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    study: Literal["planes_vs_error"] = "planes_vs_error"
    seed: Seed = 0
    options: Options = Options()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a configuration; its own name is the file's, unless it says another.

        Raises:
            InputError: naming file, key, value and what is allowed.
        """
        path = Path(path)
        return cls.from_dict({"name": path.stem, **read_toml(path)}, file=str(path))

    def quick(self) -> Self:
        """A first look; its name says so."""
        return self.replace(name=f"{self.name}-quick", options=self.options.quick())

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of :func:`photonic_acdc.synthesis.trade.planes_vs_error`."""
        return {**{name: getattr(self.options, name) for name in Options.model_fields}, "seed": self.seed}


def run(
    config: Config, directory: str | Path, *, workers: int = 1, report: Report | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Fit all masks and picture their errors; take up what an interrupted study left. See :func:`studies.study`."""
    started = time.monotonic()
    trade.check(**config.settings)
    folder = RunFolder(Path(directory) / config.name, _resolved(config), folders=("parts",), fresh=fresh)
    _fill(config, folder, workers, report)
    found = trade.planes_vs_error(**config.settings, keep=folder.figures)
    write_dataset(folder.path / "study.nc", found)
    save(plots.planes_vs_error(found), folder.path / "study.png")
    machine = {"wall_s": round(time.monotonic() - started, 1), "versions": versions()}
    card = {"results": {"rows": trade.reached(found), "tolerance": trade.REACHED}, "run": machine}
    write_json(folder.path / "summary.json", card)
    return card


def _fill(config: Config, folder: RunFolder, workers: int, report: Report | None) -> None:
    """All parts into the folder."""
    # The kinds with dark ports first: they take longest.
    kinds = sorted(config.options.kinds, key=lambda kind: kind in trade.UNITARY_KINDS)
    each = len(trade.check(**config.settings)[1])

    def tell(done: int) -> None:
        if report is not None:
            report(f"study {config.name}", done, each * len(kinds))

    if workers == 1 or len(kinds) == 1:
        for i, kind in enumerate(kinds):
            _keep(config, folder, kind, lambda done, _, before=i * each: tell(before + done))
        return
    # Spawned: a forked process would share torch's threads.
    with ProcessPoolExecutor(min(workers, len(kinds)), multiprocessing.get_context("spawn")) as pool:
        pending = {pool.submit(_keep, config, folder, kind) for kind in kinds}
        while pending:
            finished, pending = wait(pending, timeout=1)
            for future in finished:
                future.result()
            tell(len(list((folder.path / "parts").glob("*.json"))))  # temporary names begin with a dot


def _keep(config: Config, folder: RunFolder, kind: str, progress: Progress | None = None) -> None:
    with one_thread():
        trade.planes_vs_error(**{**config.settings, "kinds": (kind,)}, progress=progress, keep=folder.figures)


def _resolved(config: Config) -> str:
    """The configuration with every default, and a fingerprint of the data, if there are any."""
    digest = hashlib.sha256()
    if "trained" in config.options.kinds:
        data = load_data("digits")
        digest.update(data.x.numpy().tobytes() + data.y.numpy().tobytes())
    header = f"# Resolved configuration of a study; fingerprint of the data: {digest.hexdigest()[:16]}\n"
    return header + tomli_w.dumps(config.to_dict())
