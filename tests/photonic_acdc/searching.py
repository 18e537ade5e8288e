"""A small search, what it searches in, and how to read what it leaves: for the tests of the search."""

from pathlib import Path

import numpy as np
import xarray as xr

ROOT = Path(__file__).parents[2]

TINY = """
[data]
source = "own.npz"
test_fraction = 0.25
[search]
trials = 7
population = 3
epochs = 6
batch_size = 32
front_seeds = 2
width = 8
layers = ["acdc", "afdf", "circulant"]
stages = [1, 3]
seed = 1
"""


def write_own_data(folder: Path, rows: int = 240) -> None:
    """Three classes that overlap: errors are neither 0 nor all the same."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    np.savez(folder / "own.npz", x=rng.normal(size=(rows, 12)) + 1.2 * np.eye(12)[4 * y], y=y)


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
