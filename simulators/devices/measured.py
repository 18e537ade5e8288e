"""Measured tables in the place of data-sheet figures: what grey levels show, and how a panel fringes.

| figure | columns | read into |
|---|---|---|
| ``response`` | ``level``, ``phase`` (rad) | ``stroke`` and ``levels`` |
| ``crosstalk_kernel`` | ``position`` (m), ``response`` | its points, and ``crosstalk_fwhm`` where that is not given |
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from simulators.devices.tables import read_table, table_file
from simulators.effects.crosstalk import KernelName
from simulators.effects.kernel_table import Points, check_points, half_maxima
from simulators.effects.lut import measured_response
from simulators.errors import InputError

#: The widest fringing field that can be meant, m: a mistaken unit of positions is far beyond it.
_WIDEST = 1e-3


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
    rows = read_table(path, {"level": "", "phase": "rad"})
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
        InputError: as of :func:`read_response`; a table that does not reach all levels, or goes beyond them.
    """
    levels, phases = read_response(path)
    table = torch.tensor(levels, dtype=torch.float64), torch.tensor(phases, dtype=torch.float64)
    drive = table[0]
    if bits is not None:
        value, top = f"{levels[0]:g} to {levels[-1]:g}", 2**bits - 1
        if levels[0] > 0 or levels[-1] < top:
            raise InputError(f"file {path}: levels", value=value, allowed=f"all from 0 to {top}")
        if levels[0] < 0 or levels[-1] > top:
            raise InputError(
                f"file {path}: levels",
                value=value,
                allowed=f"0 to {top}, those of a panel of {bits} bits",
                remedy="the bits of the panel that was measured, or a table of the levels in use, counted from 0",
            )
        drive = torch.arange(2**bits, dtype=torch.float64)
    shown = measured_response(drive, *table)
    stroke = float(shown[-1] - shown[0])
    if stroke <= 0:
        raise InputError(f"file {path}: phase", value="the same at all levels", allowed="a phase that rises")
    # Rounding must not lift the last share above 1.
    return stroke, tuple(((shown - shown[0]) / stroke).clamp(0, 1).tolist())


def read_kernel(path: str | Path) -> tuple[float, Points]:
    """Full width at half maximum (m) of a measured fringing kernel, and its shape.

    Args:
        path: ``.csv`` or ``.npz``.

    Returns:
        The width between the outermost half maxima, and the points of the kernel: positions in such widths about 0,
        as in the file, and responses in shares of the greatest.

    Raises:
        InputError: a file that cannot be read or is no kernel (:func:`simulators.effects.kernel_table.check_points`),
            naming the file and the row, or positions that cannot be in metres.
    """
    path = Path(path)
    rows = read_table(path, {"position": "m", "response": ""})
    points = tuple((position, response) for _, position, response in rows)
    check_points(points, table=f"file {path}", rows=[row for row, _, _ in rows])
    low, high = half_maxima(points)
    width, peak = high - low, max(response for _, response in points)
    if width > _WIDEST:
        raise InputError(
            f"file {path}: full width at half maximum",
            value=f"{width:g} m",
            allowed=f"at most {_WIDEST:g} m",
            remedy="positions in metres",
        )
    return width, tuple((position / width, response / peak) for position, response in points)


def with_tables(data: Mapping[str, Any], file: str | None) -> dict[str, Any]:
    """A phase panel's data with its measured tables read into figures; whatever was known of these gives way.

    Args:
        data: as given, figures with or without their provenance.
        file: that the data are from, or None.

    Raises:
        InputError: as of :func:`shown_phases` and :func:`read_kernel`, or a name of a file that is none.
    """
    found = dict(data)
    # Numbers without a unit are what no file may write: these were read from tables in radians and metres.
    if found.get("response") is not None:
        path = table_file("response", _plain(found["response"]), file)
        stroke, levels = shown_phases(path, _plain(found.get("bits")))
        found = _put(found, {"stroke": f"{stroke!r} rad", "levels": levels}, path, "response", "bits")
    if names_kernel_file(found):
        path = table_file("crosstalk_kernel", _plain(found["crosstalk_kernel"]), file)
        width, points = read_kernel(path)
        read: dict[str, Any] = {"crosstalk_kernel": points}
        if _plain(found.get("crosstalk_fwhm")) is None:
            read["crosstalk_fwhm"] = f"{width!r} m"
        found = _put(found, read, path, "crosstalk_kernel")
    return found


def with_paths(data: Mapping[str, Any], file: str) -> dict[str, Any]:
    """A device's data whose measured tables are found from anywhere, not from beside its ``file`` alone."""
    found = dict(data)
    for figure, named in (
        ("response", data.get("response") is not None),
        ("crosstalk_kernel", names_kernel_file(data)),
    ):
        if named:
            path = str(table_file(figure, _plain(data[figure]), file).resolve())
            given = data[figure]
            found[figure] = {**given, "value": path} if isinstance(given, Mapping) else path
    return found


def names_kernel_file(data: Mapping[str, Any]) -> bool:
    """Whether the fringing kernel in a panel's data is that of a file, not a shape by its name."""
    entry = _plain(data.get("crosstalk_kernel"))
    return isinstance(entry, Path) or (isinstance(entry, str) and Path(entry).suffix != "")


def completed(changes: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to a device, with what they imply.

    A measured kernel without a width leaves the known one behind; no width (None) leaves the known kernel behind.

    Args:
        changes: figures that are given anew.
        known: all figures of the device before.

    Raises:
        InputError: of a phase panel, a change that would do nothing: a stroke or levels where a measured table says
            what is shown, or the shape of a kernel that has no width.
    """
    if known.get("kind") == "phase_modulator":
        _check_changes(changes, known)
    if names_kernel_file(changes):
        return {**changes, "crosstalk_fwhm": changes.get("crosstalk_fwhm")}
    if "crosstalk_kernel" in known and "crosstalk_fwhm" in changes and changes["crosstalk_fwhm"] is None:
        return {"crosstalk_kernel": "gaussian", **changes}
    return {**changes}


def _check_changes(changes: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    table = _plain({**known, **changes}.get("response"))
    for figure in ("stroke", "levels"):
        if table is not None and _plain(changes.get(figure)) is not None:
            raise InputError(
                figure,
                value=f"a change beside response = {Path(str(table)).name!r}",
                allowed="one of the two: the table says what is shown",
                remedy=f"no {figure}, or a device without a response",
            )
    kernel = _plain(changes.get("crosstalk_kernel"))
    if isinstance(kernel, str) and kernel in get_args(KernelName) and "crosstalk_fwhm" not in changes:
        # A file's own width goes with its file.
        check_width(kernel, _plain(known.get("crosstalk_fwhm")))


def check_width(kernel: str | Points, width: object) -> None:
    """Raise :class:`InputError` where a fringing kernel has no width, and so would do nothing."""
    if width is None:
        shape = repr(kernel) if isinstance(kernel, str) else f"a table of {len(kernel)} points"
        raise InputError(
            "crosstalk_kernel",
            value=f"{shape} without crosstalk_fwhm",
            allowed="with the full width at half maximum of the fringing field",
            remedy='crosstalk_fwhm = "5 um", or no crosstalk_kernel where there is no fringing',
        )


def _put(data: Mapping[str, Any], read: Mapping[str, Any], path: Path, figure: str, *gone: str) -> dict[str, Any]:
    """``data`` with the figures read from the table that ``figure`` named, and their source in place of any other."""
    given = data[figure] if isinstance(data[figure], Mapping) else {}
    source = {
        "source": given.get("source", f"measured table {path.name}"),
        "confidence": given.get("confidence", "measured"),
    }
    replaced = {figure, *read, *gone}
    kept = [known for known in data.get("provenance", ()) if _figure(known) not in replaced]
    kept += [{"figure": name, **source} for name in read]
    rest = {key: value for key, value in data.items() if key not in replaced}
    return {**rest, **read, "provenance": tuple(kept)}


def _plain(entry: Any) -> Any:
    """A figure without its provenance."""
    return entry.get("value") if isinstance(entry, Mapping) else entry


def _figure(provenance: Any) -> Any:
    return provenance.get("figure") if isinstance(provenance, Mapping) else provenance.figure
