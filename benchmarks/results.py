"""What benchmarks leave behind: finished pieces, a dataset, a figure; all whole or absent."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photonic_acdc.plots.canvas import save
from photonic_acdc.runs.folder import write_dataset
from photonic_acdc.storage import write_json
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  #: left, low, right, high


class Kept:
    """Pieces of a long benchmark: each computed once, so that an interrupted one continues.

    A piece is ``DIR/parts/NAME/KEY.json``; without a directory pieces are computed and not kept. Pieces of other
    settings are refused; a change of the code is not noticed: then remove the folder.

    Args:
        output: DIR, or None.
        name: of the benchmark.
        settings: what all pieces depend on, JSON-able.

    Raises:
        InputError: the folder holds pieces of other settings.
    """

    def __init__(self, output: Path | None, name: str, settings: dict[str, Any]):
        self.name, self.folder = name, None if output is None else output / "parts" / name
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        if not path.exists():
            write_json(path, settings)
        elif (found := json.loads(path.read_text(encoding="utf-8"))) != settings:
            differing = [key for key in {**found, **settings} if found.get(key) != settings.get(key)]
            raise InputError(
                f"pieces in {self.folder}",
                value=f"other settings ({', '.join(differing)})",
                allowed="pieces of the same settings",
                remedy="another --output, or remove this folder",
            )

    def __call__(self, key: str, compute: Callable[[], Any]) -> Any:
        """The piece ``key``, JSON-able; computed where it is not there, with a line on stderr."""
        path = None if self.folder is None else self.folder / f"{key}.json"
        if path is not None and path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        start = time.perf_counter()
        piece = compute()
        if path is not None:
            write_json(path, piece)
        print(f"{self.name}: {key} ({time.perf_counter() - start:.1f} s)", file=sys.stderr, flush=True)
        return piece


def publish(output: Path | None, name: str, dataset: xr.Dataset, draw: Callable[[xr.Dataset], Figure]) -> None:
    """Write ``DIR/NAME.nc`` and its picture ``DIR/NAME.png``; nothing without a directory."""
    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    write_dataset(output / f"{name}.nc", dataset)
    save(draw(dataset), output / f"{name}.png")


def label_points(
    ax: Axes, names: Sequence[str], x: Sequence[float], y: Sequence[float], colours: Sequence[str], size: float = 9
) -> None:
    """Write each name beside its point, where it covers least of the points and the names that are already there.

    Args:
        ax: drawn once before, so that its layout is settled.
        names, x, y, colours: one a point.
        size: of the letters, in points.
    """
    import numpy as np
    from matplotlib.patheffects import withStroke

    def overlap(one: Box, other: Box) -> float:
        width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
        return max(width, 0.0) * max(height, 0.0)

    points = ax.transData.transform(np.column_stack([x, y]))
    pixel = ax.figure.dpi / 72
    frame = ax.get_window_extent().extents
    taken: list[Box] = [(px - 5 * pixel, py - 5 * pixel, px + 5 * pixel, py + 5 * pixel) for px, py in points]
    angles = np.pi / 4 + np.arange(0, 2 * np.pi, np.pi / 8)  # above and right where nothing is in the way
    offsets = [(r * np.cos(t), r * np.sin(t)) for r in (8, 15, 24, 36, 50) for t in angles]
    for i in map(int, np.argsort(x)):
        text = ax.annotate(names[i], (x[i], y[i]), xytext=(0, 0), textcoords="offset points", fontsize=size)
        width, height = text.get_window_extent().width, text.get_window_extent().height
        boxes: list[Box] = []
        for dx, dy in offsets:
            left, low = points[i] + pixel * np.array([dx, dy])
            left -= width * (0.5 if abs(dx) < 1 else float(dx < 0))
            low -= height * (0.5 if abs(dy) < 1 else float(dy < 0))
            boxes.append((left, low, left + width, low + height))
        costs = [
            sum(overlap(box, other) for other in taken)
            + 3 * (width * height - overlap(box, frame))
            + 2 * pixel * np.hypot(*offset)
            for box, offset in zip(boxes, offsets, strict=True)
        ]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        text.remove()
        dx, dy = offsets[best]
        ax.annotate(
            names[i],
            (x[i], y[i]),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center" if abs(dx) < 1 else "left" if dx > 0 else "right",
            va="center" if abs(dy) < 1 else "bottom" if dy > 0 else "top",
            fontsize=size,
            color=colours[i],
            path_effects=[withStroke(linewidth=3, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": colours[i], "linewidth": 0.5} if np.hypot(dx, dy) > 12 else None,
        )
