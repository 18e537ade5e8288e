"""The folder of a run: whole files only, and what is done is not done again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photonic_acdc.storage import atomic, write_text
from photonic_acdc.training.differences import differences, sentence
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr


class RunFolder:
    """``runs/NAME``: claimed by one configuration; taken up again by the same.

    Args:
        path: of the folder.
        resolved: text of the resolved configuration, which is the run's identity.
        folders: made in it.
        fresh: start a run over: what this program wrote is removed, and nothing else.

    Raises:
        InputError: the folder holds another run, or something that is no run.
    """

    def __init__(
        self,
        path: Path,
        resolved: str,
        folders: Sequence[str] = ("checkpoints", "parts", "masks", "plots"),
        *,
        fresh: bool = False,
    ):
        self.path = path
        identity = path / "config.toml"
        if identity.exists():
            there = identity.read_text(encoding="utf-8")
            if fresh and _same_kind(there, resolved):
                for file in _written(path):
                    file.unlink()
                # Last of all: until then the folder is the old run's, of which some is missing.
                write_text(identity, resolved)
            elif there != resolved:
                changed = _changes(there, resolved)
                ways = "another name in the configuration, another --directory, "
                ways += "--fresh to start it over, or remove the folder" if changed else "or remove the folder"
                raise InputError(
                    f"folder {path} holds another run (its config.toml differs)",
                    remedy=f"{ways} ({sentence(changed)})" if changed else ways,
                )
        elif path.exists() and (not path.is_dir() or any(_foreign(path))):
            raise InputError(f"{path} exists and is no run of this program", remedy="another name or --directory")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"folder {path}", value=error.strerror, allowed="a place where it can be made") from None
        if not identity.exists():
            write_text(identity, resolved)
        for name in folders:
            (path / name).mkdir(exist_ok=True)

    def checkpoint(self, name: str) -> Path:
        """Where a training keeps its state."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def dataset(self, name: str, make: Callable[[], xr.Dataset]) -> xr.Dataset:
        """The dataset of a finished part, or the one that ``make`` computes, kept for the next time."""
        path = self.path / "parts" / f"{name}.nc"
        if not path.exists():
            write_dataset(path, make())
        return read_dataset(path)

    def figures(self, name: str, make: Callable[[], dict]) -> dict:
        """As :meth:`dataset`, for a few numbers."""
        path = self.path / "parts" / f"{name}.json"
        if not path.exists():
            write_text(path, json.dumps(make()))
        return json.loads(path.read_text(encoding="utf-8"))


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write netCDF4, whole or not at all."""
    with atomic(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")


def read_dataset(path: Path) -> xr.Dataset:
    """Read netCDF4 into memory and close the file."""
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()


#: What a run writes into its folder.
_FILES = (
    "checkpoints/*.safetensors",
    "parts/*.nc",
    "parts/*.json",
    "masks/stage*_mask*.png",
    "plots/*.png",
    "model.safetensors",
    "training.nc",
    "errors.nc",
    "masks.npz",
    "layout.png",
    "devices.md",
    "study.nc",
    "study.png",
    "summary.json",
)


def _written(path: Path) -> Iterator[Path]:
    """Files of a run, and those temporary ones that it has left where it was struck."""
    for pattern in _FILES:
        folder, _, name = pattern.rpartition("/")
        stem, dot, suffix = name.rpartition(".")
        yield from (path / folder).glob(name)
        yield from (path / folder).glob(f".{stem}.part{dot}{suffix}")


def _settings(text: str) -> dict | None:
    """A resolved configuration, with the fingerprint of its header; None: something else."""
    header, _, body = text.partition("\n")
    if not header.startswith("# Resolved configuration"):
        return None
    try:
        return {**tomllib.loads(body), "fingerprint of data and bench": header.rpartition(": ")[2]}
    except tomllib.TOMLDecodeError:
        return None


def _same_kind(there: str, resolved: str) -> bool:
    """Whether both are configurations of this program, of the same command."""
    old, new = _settings(there), _settings(resolved)
    if old is None or new is None or "name" not in old:
        return False
    return all((table in old) == (table in new) for table in ("search", "study"))


def _changes(there: str, resolved: str) -> list[str]:
    """What differs between two configurations of one command; of others, nothing that could be told."""
    if not _same_kind(there, resolved):
        return []
    old, new = _settings(there), _settings(resolved)
    assert old is not None
    assert new is not None
    return differences(old, new)


def _foreign(path: Path):
    """Entries that an interrupted start would not have left."""
    return (entry for entry in path.iterdir() if entry.name != ".config.part.toml")
