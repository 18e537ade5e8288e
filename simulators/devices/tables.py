"""Tables that a user has measured: two columns of numbers, in a ``.csv`` file or as arrays of an ``.npz`` file.

A ``.csv`` file may have a header of the columns' names, and comments after ``#``.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simulators.errors import InputError

#: A row's number in its file, and its two entries.
Row = tuple[int, float, float]


def table_file(figure: str, entry: Any, file: str | None) -> Path:
    """The table that a figure names: beside the file which says so, or else where its path leads.

    Args:
        figure: its name.
        entry: the path.
        file: of the bench or device that names it; None: none does.

    Raises:
        InputError: no path.
    """
    if not isinstance(entry, str | Path):
        raise InputError(figure, value=repr(entry), allowed='the name of a file, "my_lut.csv"')
    path = Path(entry)
    beside = Path(file).parent / path if file else path
    return beside if beside.exists() else path


def read_table(path: str | Path, columns: Mapping[str, str]) -> list[Row]:
    """The rows of a table, every entry a finite number.

    Args:
        path: ``.csv`` or ``.npz``.
        columns: the two names, each with its unit; empty: none.

    Raises:
        InputError: a file that cannot be read or is no such table, naming the file and the row.
    """
    path = Path(path)
    if path.suffix == ".csv":
        return _read_csv(path, columns)
    if path.suffix == ".npz":
        return _read_npz(path, columns)
    raise InputError(f"file {path}", value=path.suffix or "no suffix", allowed="a measured table, .csv or .npz")


def _read_csv(path: Path, columns: Mapping[str, str]) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    found = []
    for row, cells in enumerate(csv.reader(text.splitlines()), start=1):
        entries = [cell.strip() for cell in cells]
        if not any(entries) or entries[0].startswith("#"):
            continue
        if not found and [entry.lower() for entry in entries] == list(columns):
            continue
        if len(entries) != 2:
            allowed = " and ".join(f"{name} ({unit})" if unit else name for name, unit in columns.items())
            raise InputError(f"file {path}, row {row}", value=f"{len(entries)} columns", allowed=f"columns {allowed}")
        found.append((row, *(_number(path, row, *pair) for pair in zip(columns, entries, strict=True))))
    return found


def _read_npz(path: Path, columns: Mapping[str, str]) -> list[Row]:
    first, second = columns
    try:
        with np.load(path, allow_pickle=False) as arrays:
            given = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None
    if not {first, second} <= set(given):
        raise InputError(
            f"file {path}", value=f"arrays {', '.join(sorted(given)) or 'none'}", allowed=f"{first} and {second}"
        )
    a, b = given[first], given[second]
    if a.ndim != 1 or a.shape != b.shape or not all(np.isrealobj(column) for column in (a, b)):
        shapes = f"shapes {list(a.shape)} and {list(b.shape)}"
        raise InputError(f"file {path}", value=shapes, allowed=f"as many real {second}s as {first}s, along one axis")
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    return [(row, _number(path, row, first, x), _number(path, row, second, y)) for row, (x, y) in enumerate(pairs, 1)]


def _number(path: Path, row: int, column: str, entry: object) -> float:
    try:
        value = float(entry)  # pyright: ignore[reportArgumentType]  # what is no number raises
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"file {path}, row {row}: {column}", value=repr(entry), allowed="a finite number")
    return value


def _unreadable(path: Path, error: Exception) -> InputError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else "no such table"
    return InputError(f"file {path}", value=why, allowed="a readable measured table, .csv or .npz")
