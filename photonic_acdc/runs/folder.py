"""The folder of a run: whole files only, and what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photonic_acdc.storage import atomic, write_text
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr


class RunFolder:
    """``runs/NAME``: claimed by one configuration; taken up again by the same.

    Args:
        path: of the folder.
        resolved: text of the resolved configuration, which is the run's identity.
        folders: made in it.

    Raises:
        InputError: the folder holds another run, or something that is no run.
    """

    def __init__(self, path: Path, resolved: str, folders: Sequence[str] = ("checkpoints", "parts", "masks", "plots")):
        self.path = path
        identity = path / "config.toml"
        if identity.exists():
            if identity.read_text(encoding="utf-8") != resolved:
                raise InputError(
                    f"folder {path} holds another run (its config.toml differs)",
                    remedy="another name in the configuration, another --directory, or remove the folder",
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


def _foreign(path: Path):
    """Entries that an interrupted start would not have left."""
    return (entry for entry in path.iterdir() if entry.name != ".config.part.toml")
