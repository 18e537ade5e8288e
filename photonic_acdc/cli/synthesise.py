"""``photonic-acdc synthesise``: a matrix in a file becomes masks in a folder.

A folder belongs to one matrix and one set of options, which ``settings.json`` holds; ``report.json``, written last,
says that it is finished. Nothing is written before the masks are found.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from photonic_acdc import plots
from photonic_acdc.cli.matrix_file import read_matrix
from photonic_acdc.layers.check import positive
from photonic_acdc.plots.canvas import save, save_grey
from photonic_acdc.provenance import versions
from photonic_acdc.runs.pictures import shown_masks, write_masks
from photonic_acdc.storage import atomic, write_json
from photonic_acdc.synthesis import Refined, Synthesis, refine, synthesise
from photonic_acdc.synthesis.check import checked_matrix
from photonic_acdc.synthesis.plan import PHASE_ONLY
from photonic_acdc.synthesis.synthesise import METHODS
from photonic_acdc.training.differences import differences, sentence
from simulators.bench import Bench
from simulators.errors import InputError, nearest
from simulators.pixel import Pixel
from simulators.reference import reference_bench

Report = Callable[[str, int, int], None]

#: Masks of a bench that its picture shows, side by side.
_DRAWN = 40
#: How the synthesis speaks of its arguments, and how the command does.
_WORDS = (
    (r"method='(\w+)'", r"--method \1"),
    (r"shape=\((\d+), (\d+)\)", r"--shape \1x\2"),
    (r"shape=None", "no --shape"),
    (r"planes=(\d+)", r"--planes \1"),
    (r"phase_only=True", "--phase-only"),
    (r"strict=False", "--no-strict"),
)
_OPTIONS = ("method", "shape", "gain", "planes", "tolerance", "starts", "iterations", "seed")


@dataclass(frozen=True)
class OnBench:
    """What ``--bench`` and the options beside it ask for."""

    bench: str | None = None  #: "reference", or a .toml file; None: no bench
    bits: int | None = None  #: None: the bench's
    stages: int | None = None  #: None: as many as needed
    realisations: int | None = None  #: benches as built, drawn by the seed; None: the nominal bench

    def make(self, matrix: np.ndarray, shape: tuple[int, ...] | None) -> Bench | None:
        """The bench, with room for the matrix; a reference bench has the grid asked for, or one nearly square."""
        for name in ("bits", "stages", "realisations"):
            value = getattr(self, name)
            if value is not None and self.bench is None:
                raise InputError(f"--{name} without --bench", value=value, remedy="--bench reference")
            if value is not None:
                positive(f"--{name}", value)
        if self.bench is None:
            return None
        needed = max(matrix.shape)
        if self.bench == "reference":
            y = math.isqrt(needed - 1) + 1
            modes = (shape[0], shape[1]) if shape is not None and len(shape) == 2 else (y, -(-needed // y))
            with _said(lambda error: f"--bench {error.quantity.replace('_bench', '', 1)}"):
                bench = reference_bench(modes)
        else:
            if not Path(self.bench).exists() and not Path(self.bench).suffix:
                allowed = f"'reference', or a .toml file; {nearest(self.bench, ['reference'])}"
                raise InputError("--bench", value=repr(self.bench), allowed=allowed)
            bench = Bench.load(self.bench)
        if self.bits is not None:
            with _said(lambda _: "--bits"):
                bench = bench.with_levels(bits=self.bits)
        if math.prod(bench.modes) < needed:
            y, x = bench.modes
            raise InputError(f"--bench {self.bench}: modes", value=f"{y}x{x}", allowed=f"at least {needed}")
        with _said(lambda error: f"--bench {self.bench}: {error.quantity}"):
            Pixel(bench, 2)
        return bench


def run(
    file: Path,
    place: tuple[Path, str | None],
    options: dict[str, Any],
    on_bench: OnBench,
    *,
    fresh: bool,
    report: Report,
) -> tuple[dict[str, Any], Path, bool]:
    """Find masks for the matrix in ``file``, and write them, pictures and a report to ``place``, (directory, name).

    Options are those of :func:`~photonic_acdc.synthesis.synthesise`, the shape as text; iterations may be None.

    Returns:
        The report, the folder, and whether all of it had been there before.

    Raises:
        InputError: anything that cannot be; nothing is then written.
    """
    started, (directory, name) = time.monotonic(), place
    if options["method"] not in METHODS:
        raise InputError("--method", value=repr(options["method"]), allowed=nearest(options["method"], METHODS))
    chosen = {**options, "shape": parse_shape(options["shape"])}
    with _in_options(file):
        matrix = checked_matrix(read_matrix(file)).numpy()
    bench = on_bench.make(matrix, chosen["shape"])
    settings: dict[str, Any] = {
        "command": "synthesise",
        "matrix": f"{'x'.join(map(str, matrix.shape))}, sha256 {sha256(matrix.tobytes()).hexdigest()[:16]}",
        **options,
        "bench": None,
    }
    if bench is not None:
        described = json.dumps(bench.to_dict(), sort_keys=True).encode()
        settings["bench"] = {**asdict(on_bench), "bench": f"{bench.name}, sha256 {sha256(described).hexdigest()[:16]}"}
    folder = _Folder(directory, file.stem if name is None else name, settings, fresh=fresh)
    card = folder.report()
    if card is not None:
        return card, folder.path, True
    found, iterations = folder.synthesis(), options["iterations"]
    if found is None:
        if iterations is None:
            del chosen["iterations"]
        with _in_options(file):
            found = synthesise(matrix, **chosen, progress=lambda done, total: report("masks", done, total))
    folder.claim()
    found.save(folder.path / "synthesis.safetensors")
    results = _figures(found)
    if bench is not None:
        effort: dict[str, Any] = {} if iterations is None else {"iterations": iterations}
        if on_bench.realisations is not None:
            effort |= {"realisations": on_bench.realisations, "seed": options["seed"]}
        effort["progress"] = lambda done, total: report("masks on the bench", done, total)
        refined = refine(found, bench, stages=on_bench.stages, **effort)
        results["bench"] = _bench_figures(refined, bench)
        _write_bench(folder.path / "bench", refined, bench)
    _write(folder.path, found)
    machine = {"wall_s": round(time.monotonic() - started, 1), "versions": versions()}
    card = {"name": folder.path.name, "settings": settings, "results": results, "run": machine}
    write_json(folder.path / "report.json", card)
    return card, folder.path, False


# --- what is asked --------------------------------------------------------------------------------------------------


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """(y, x) of ``"8x9"``, (n,) of ``"12"``, None of None.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,5}([xX×][1-9]\d{0,5})?", text.strip(), re.ASCII):
        allowed = "such as 8x9 (rows x columns, spherical lenses) or 12 (cylindrical)"
        raise InputError("--shape", value=repr(text), allowed=allowed)
    return tuple(int(side) for side in re.split("[xX×]", text.strip()))


@contextlib.contextmanager
def _in_options(file: Path) -> Iterator[None]:
    """What is said of arguments is said of options; the matrix is that of a file."""

    def quantity(error: InputError) -> str:
        first = re.split(r"[\s:\[]", error.quantity, maxsplit=1)[0]
        if first in _OPTIONS:
            return f"--{error.quantity}"
        named = error.quantity.removeprefix("synthesise: ")
        return f"{file}: {named}" if first in ("matrix", "synthesise") else named

    with _said(quantity):
        yield


@contextlib.contextmanager
def _said(quantity: Callable[[InputError], str]) -> Iterator[None]:
    """The same error of another quantity, in the words of the command line."""
    try:
        yield
    except InputError as error:
        raise InputError(
            _worded(quantity(error)),
            value=None if error.value is None else _worded(str(error.value)),
            allowed=None if error.allowed is None else _worded(error.allowed),
            remedy=None if error.remedy is None else _worded(error.remedy),
        ) from None


def _worded(text: str) -> str:
    for pattern, said in _WORDS:
        text = re.sub(pattern, said, text)
    return text


# --- where it goes --------------------------------------------------------------------------------------------------

_PLACE = "a place where it can be made"
#: What the command writes, the settings aside.
_FILES = ("report.json", "synthesis.safetensors", "synthesis.png", "masks.npz", "masks/mask*.png")
_FILES += ("bench/masks.npz", "bench/masks.png", "bench/masks/stage*_mask*.png")


class _Folder:
    """``directory/name``: of one matrix and set of options; a bench may be added later."""

    def __init__(self, directory: Path, name: str, settings: dict[str, Any], *, fresh: bool):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
            raise InputError("--name", value=repr(name), allowed="letters, digits, and . _ - between them")
        self.path, self._settings = directory / name, settings
        there = _read_json(self.path / "settings.json")
        self._kept = not fresh and (there == settings or there == {**settings, "bench": None})
        if there is None:
            self._room()
        elif not isinstance(there, dict) or there.get("command") != "synthesise":
            raise InputError(f"{self.path} holds no synthesis", remedy="another --name or --directory")
        elif not fresh and not self._kept:
            changed = sentence(differences(there, settings))
            ways = "another --name or --directory, or --fresh to start it over"
            raise InputError(f"folder {self.path} holds another synthesis ({changed})", remedy=ways)
        self._same = self._kept and there == settings

    def _room(self) -> None:
        path = self.path
        foreign = path.is_dir() and any(entry.name != ".settings.part.json" for entry in path.iterdir())
        if foreign or (path.exists() and not path.is_dir()):
            raise InputError(f"{path} exists and holds no synthesis", remedy="another --name or --directory")
        if not next(place for place in (path, *path.absolute().parents) if place.exists()).is_dir():
            raise InputError(f"folder {path}", value="a file on the way", allowed=_PLACE)

    def report(self) -> dict[str, Any] | None:
        """Of a call that was finished."""
        return _read_json(self.path / "report.json") if self._same else None

    def synthesis(self) -> Synthesis | None:
        """Masks that an earlier call has found."""
        file = self.path / "synthesis.safetensors"
        return Synthesis.load(file) if self._kept and file.exists() else None

    def claim(self) -> None:
        """Make the folder, and leave nothing in it that belongs to other settings."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"folder {self.path}", value=error.strerror, allowed=_PLACE) from None
        for pattern in _FILES[: 1 if self._kept else None]:  # the report first: without it nothing is finished
            for file in self.path.glob(pattern):
                file.unlink()
        write_json(self.path / "settings.json", self._settings)
        (self.path / "masks").mkdir(exist_ok=True)


def _read_json(path: Path) -> Any:
    """None: no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"file {path}", value=str(error), allowed="what this command has written") from None


# --- what comes out -------------------------------------------------------------------------------------------------


def _figures(found: Synthesis) -> dict[str, Any]:
    gain, dynamic = found.gain.item(), found.dynamic_range.item()
    return {
        "method": found.method,
        "reason": found.reason,
        "error": found.error.item(),
        "gain": gain,
        "gain_db": 20 * math.log10(gain),
        "efficiency": found.efficiency.item(),
        "efficiency_db": found.efficiency_dB.item(),
        "planes": found.planes,
        "grid": list(found.grid),
        "turned": found.planes // 2 % 2 == 1,  # two lenses turn the image: feature k is read at -k
        "phase_only": found.phase_only,
        "dynamic_range": dynamic if math.isfinite(dynamic) else None,
        "bench": None,
    }


def _bench_figures(refined: Refined, bench: Bench) -> dict[str, Any]:
    return {
        "modes": list(bench.modes),
        "stages": len(shown_masks(refined.optic)) // 2,
        "exact_nmse_db": _decibels(refined.exact),
        "rounded_nmse_db": _decibels(refined.rounded),
        "nmse_db": _decibels(refined.nmse),
        "light": refined.light,
        "light_db": _decibels(refined.light),
    }


def _decibels(share: float) -> float | None:
    return 10 * math.log10(share) if share > 0 else None  # of NaN too


def _write(path: Path, found: Synthesis) -> None:
    """Masks as arrays and as panels take them, and the picture."""
    masks = found.masks.cpu().numpy()
    digits = max(2, len(str(len(masks))))
    named: dict[str, Any] = {f"mask{j:0{digits}d}": mask for j, mask in enumerate(masks, start=1)}
    with atomic(path / "masks.npz") as temporary:
        np.savez(temporary, **named, gain=found.gain.cpu().numpy())
    for name, mask in named.items():
        image = np.atleast_2d(mask)
        save_grey(plots.mask_image(image), path / "masks" / f"{name}.png")
        if np.abs(np.abs(image) - 1).max() > PHASE_ONLY:
            grey = np.round(255 * np.abs(image).clip(0, 1)).astype(np.uint8)
            save_grey(grey, path / "masks" / f"{name}_amplitude.png")
    save(plots.synthesis(found), path / "synthesis.png")


def _write_bench(path: Path, refined: Refined, bench: Bench) -> None:
    (path / "masks").mkdir(parents=True, exist_ok=True)
    write_masks(path, refined.optic, bench)
    drawn = list(shown_masks(refined.optic).items())[:_DRAWN]
    save(plots.masks(dict(drawn)), path / "masks.png")
