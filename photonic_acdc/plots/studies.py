"""What a study found: accuracy of every method, with its interval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from photonic_acdc.plots.canvas import new_figure, percent

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and marker of the methods, the baseline first (Okabe and Ito).
_STYLES = (
    ("#D55E00", "o"),
    ("#0072B2", "s"),
    ("#009E73", "D"),
    ("#CC79A7", "^"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
)


def study(found: xr.Dataset) -> Figure:
    """Accuracy against what was varied, a line a method, a bar its 95 % interval over seeds; a little side by side.

    Args:
        found: of :func:`photonic_acdc.studies.study`, its ``study.nc``.
    """
    panels = [found.sel(panel=panel) for panel in found["panel"].values] if "panel" in found.dims else [found]
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure = new_figure(5.2 * columns + 1.6, 3.6 * lines + 0.4)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for ax, part in zip(axes, panels, strict=False):
        _draw(ax, part)
        if len(panels) > 1:
            ax.set_title(
                str(part["panel"].item()), fontsize="medium", pad=18 if json.loads(found.attrs["marks"]) else 6
            )
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for i, ax in enumerate(axes[: len(panels)]):
        if i % columns == 0:
            ax.set_ylabel("accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure


def _draw(ax: Axes, part: xr.Dataset) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    axis = part.attrs["axis"]
    places = part[axis].values
    named = places.dtype.kind in "UO"
    x = np.arange(len(places)) if named else places.astype(float)
    methods = [part.attrs["baseline"], *(m for m in part["training"].values if m != part.attrs["baseline"])]
    for i, ((colour, marker), method) in enumerate(zip(_STYLES, methods, strict=False)):
        one = part.sel(training=method)
        mean, width = one["mean"].values, one["half_width"].values
        known = np.isfinite(mean)
        style: dict[str, Any] = {"marker": marker, "color": colour, "label": str(method), "markeredgecolor": "white"}
        by = (0.12 if named else 0.05) * (i - (len(methods) - 1) / 2)
        beside = _beside(x, by, logarithmic=bool(part.attrs["logarithmic"]))
        # Names have no order that a line could follow.
        line = {"linestyle": "" if named else "-", "linewidth": 1.5, "elinewidth": 1.2, "capsize": 2}
        ax.errorbar(beside[known], mean[known], width[known], **line, **style)
    if named:
        names = [str(place) for place in places]
        long = max(map(len, names)) > 8
        slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if long else {}
        ax.set_xticks(x, names, **slanted)
    elif part.attrs["logarithmic"]:
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{place:g}" for place in x])
        ax.minorticks_off()
    marks = json.loads(part.attrs["marks"])
    for i, (at, text) in enumerate(marks):
        ax.axvline(at, color="0.6", linewidth=0.8, linestyle=":")
        side = "left" if 0 < i == len(marks) - 1 else "right"  # away from each other
        ax.annotate(text, (at, 1.01), xycoords=("data", "axes fraction"), va="bottom", ha=side, size="x-small")
    units = part[axis].attrs["units"]
    ax.set_xlabel(part[axis].attrs["long_name"] + ("" if units == "1" else f" ({units})"))
    percent(ax)


def _beside(x: np.ndarray, by: float, *, logarithmic: bool) -> np.ndarray:
    """Places moved by a share of the smallest distance, so that bars do not hide each other."""
    along = np.log(x) if logarithmic else x
    moved = along + by * (np.diff(along).min() if len(x) > 1 else 1.0)
    return np.exp(moved) if logarithmic else moved
