"""Measured tables in the place of data-sheet figures: the phase that each grey level of a panel shows.

A table has two columns, ``level`` and ``phase`` (rad): a ``.csv`` file with or without a header, or a ``.npz`` file
with arrays of these names.
"""

from __future__ import annotations

import csv
import itertools
import math
import zipfile
from pathlib import Path

import numpy as np
import torch

from simulators.effects.lut import measured_response
from simulators.errors import InputError

_COLUMNS = ("level", "phase")
_ALLOWED = "columns level and phase (rad)"


def read_response(path: str | Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Levels and phases (rad) of a measured table, checked.

    Args:
        path: ``.csv`` or ``.npz``.

    Returns:
        Levels, strictly ascending, and phases, nowhere descending and not all alike; two points or more.

    Raises:
        InputError: a file that cannot be read or is no such table, naming the file and the row.
    """
    path = Path(path)
    if path.suffix == ".csv":
        rows = _read_csv(path)
    elif path.suffix == ".npz":
        rows = _read_npz(path)
    else:
        raise InputError(f"file {path}", value=path.suffix or "no suffix", allowed="a measured table, .csv or .npz")
    if len(rows) < 2:
        raise InputError(f"file {path}", value=f"{len(rows)} rows", allowed="two points or more")
    for (_, low, below), (row, level, phase) in itertools.pairwise(rows):
        if level <= low:
            raise InputError(
                f"file {path}, row {row}: level", value=f"{level:g} after {low:g}", allowed="ascending levels"
            )
        if phase < below:
            raise InputError(
                f"file {path}, row {row}: phase",
                value=f"{phase:g} rad after {below:g} rad",
                allowed="phases that do not descend",
                remedy="unwrapped phases, of the other sign where the panel's falls",
            )
    levels, phases = (tuple(row[column] for row in rows) for column in (1, 2))
    if phases[-1] == phases[0]:
        raise InputError(f"file {path}: phase", value=f"{phases[0]:g} rad throughout", allowed="a phase that rises")
    return levels, phases


def shown_phases(path: str | Path, bits: int | None) -> tuple[float, tuple[float, ...]]:
    r"""Stroke, and the shares of it that the grey levels of a panel show, by a measured table.

    .. math:: S = \phi(g_{max}) - \phi(g_{min}), \quad r_g = \bigl(\phi(g) - \phi(g_{min})\bigr)/S

    linear between the points of the table (:func:`simulators.effects.measured_response`). A phase common to all levels
    is that of the whole panel, and left out.

    Args:
        path: the table.
        bits: grey levels are 0 … 2^bits - 1; None: those of the table.

    Returns:
        S in rad, and r ascending from 0 to 1.

    Raises:
        InputError: as of :func:`read_response`; a table that does not reach all levels.
    """
    levels, phases = read_response(path)
    table = torch.tensor(levels, dtype=torch.float64), torch.tensor(phases, dtype=torch.float64)
    drive = table[0]
    if bits is not None:
        if levels[0] > 0 or levels[-1] < 2**bits - 1:
            raise InputError(
                f"file {path}: levels", value=f"{levels[0]:g} to {levels[-1]:g}", allowed=f"all from 0 to {2**bits - 1}"
            )
        drive = torch.arange(2**bits, dtype=torch.float64)
    shown = measured_response(drive, *table)
    stroke = float(shown[-1] - shown[0])
    if stroke <= 0:
        raise InputError(f"file {path}: phase", value="the same at all levels", allowed="a phase that rises")
    # Rounding must not lift the last share above 1.
    return stroke, tuple(((shown - shown[0]) / stroke).clamp(0, 1).tolist())


def _read_csv(path: Path) -> list[tuple[int, float, float]]:
    """(row in the file, level, phase)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    found = []
    for row, cells in enumerate(csv.reader(text.splitlines()), start=1):
        entries = [cell.strip() for cell in cells]
        if not any(entries) or entries[0].startswith("#"):
            continue
        if not found and tuple(entry.lower() for entry in entries) == _COLUMNS:
            continue
        if len(entries) != 2:
            raise InputError(f"file {path}, row {row}", value=f"{len(entries)} columns", allowed=_ALLOWED)
        found.append((row, *(_number(path, row, *pair) for pair in zip(_COLUMNS, entries, strict=True))))
    return found


def _read_npz(path: Path) -> list[tuple[int, float, float]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None
    if not set(_COLUMNS) <= set(columns):
        raise InputError(
            f"file {path}", value=f"arrays {', '.join(sorted(columns)) or 'none'}", allowed="level and phase"
        )
    level, phase = (columns[name] for name in _COLUMNS)
    if level.ndim != 1 or level.shape != phase.shape or not all(np.isrealobj(c) for c in (level, phase)):
        shapes = f"shapes {list(level.shape)} and {list(phase.shape)}"
        raise InputError(f"file {path}", value=shapes, allowed="as many real phases as levels, along one axis")
    pairs = zip(level.tolist(), phase.tolist(), strict=True)
    return [
        (row, _number(path, row, "level", a), _number(path, row, "phase", b)) for row, (a, b) in enumerate(pairs, 1)
    ]


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
