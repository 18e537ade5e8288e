"""A labelled data set, and its stratified split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simulators.errors import InputError
from simulators.random import stream


@dataclass(frozen=True, eq=False)
class Dataset:
    """Feature rows and their classes.

    Attributes:
        x: float32 ``[n, features]``.
        y: int64 ``[n]``, 0 … classes-1.
        index: int64 ``[n]``, number of each row in the set it comes from: the identity that shots are keyed by.
        name: of the source.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    name: str

    def __len__(self) -> int:
        return len(self.y)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1

    def rows(self, chosen) -> Dataset:
        """A subset, by positions or a slice; rows keep their identity."""
        return Dataset(self.x[chosen], self.y[chosen], self.index[chosen], self.name)


def make_dataset(x: np.ndarray, y: np.ndarray, name: str) -> Dataset:
    """Check arrays of features and labels and number the classes.

    Args:
        x: real, ``[n, …]``; further axes are flattened.
        y: whole numbers or strings, ``[n]``.
        name: to speak of in errors.

    Raises:
        InputError: lengths that differ, values that are not finite or not numbers, fewer than two classes.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim < 2 or not np.issubdtype(x.dtype, np.number) or np.iscomplexobj(x):
        raise InputError(f"{name}: x", value=f"{x.dtype} {x.shape}", allowed="real numbers [n, features]")
    if y.ndim != 1 or len(x) != len(y):
        raise InputError(f"{name}: x and y", value=f"{len(x)} rows and labels {y.shape}", allowed="one label a row")
    if not x.size:
        raise InputError(f"{name}: x", value=f"no values {x.shape}", allowed="real numbers [n, features]")
    with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
        flat = np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float32)
    bad = ~np.isfinite(flat).all(axis=1)
    if bad.any():
        raise InputError(
            f"{name}: x has values that are not finite in {bad.sum()} of {len(x)} rows (first: row {bad.argmax()})",
            remedy="drop or fill these rows",
        )
    whole = y.dtype.kind in "biuUST" or (y.dtype.kind == "f" and (np.isfinite(y) & (y == np.round(y))).all())
    if not whole:
        raise InputError(f"{name}: y", value=y.dtype, allowed="class labels: whole numbers or strings")
    classes, numbers = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"{name}: y", value=f"{len(classes)} class", allowed="at least two classes")
    labels = torch.from_numpy(numbers.astype(np.int64))
    return Dataset(torch.from_numpy(flat), labels, torch.arange(len(flat)), name)


def split(data: Dataset, test_fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """A stratified (train, test) split: the same for the same seed, on every machine.

    Raises:
        InputError: a class with fewer than two rows, or a fraction that leaves a class without a row on a side.
    """
    if not 0 < test_fraction < 1:
        raise InputError("test_fraction", value=test_fraction, allowed="between 0 and 1")
    # The file's name without its folder: the same file elsewhere is split the same.
    generator = stream(seed, Path(data.name).name, "split")
    labels = data.y.numpy()
    test: list[np.ndarray] = []
    for label in range(data.classes):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = round(test_fraction * len(rows))
        if not 0 < count < len(rows):
            raise InputError(
                f"{data.name}: class {label} has {len(rows)} rows",
                allowed="enough for both sides of the split",
                remedy="another test_fraction, or without this class",
            )
        test.append(rows[:count])
    chosen = np.sort(np.concatenate(test))
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    return data.rows(torch.from_numpy(rest)), data.rows(torch.from_numpy(chosen))
