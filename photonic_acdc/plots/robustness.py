"""How accuracy holds: over benches, with less light, and against the light that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from photonic_acdc.plots.canvas import COLOURS, NAMES, axes, percent

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


def accuracy_over_realisations(
    errors: xr.Dataset, *, summaries: Mapping[str, Mapping[str, float]], ax: Axes | None = None
) -> Axes:
    """Distribution of the accuracy over benches and seeds, a row a stage, its mean and 5th percentile marked.

    Args:
        errors: one variable a stage, over (``seed``, ``realisation``).
        summaries: stage → ``{mean, p05}``, to mark.
        ax: to draw on.
    """
    stages = [stage for stage in COLOURS if stage in summaries]
    ax = axes(ax, 8.5, 0.75 * len(stages) + 1.2)
    for row, stage in enumerate(reversed(stages)):
        values = np.sort(errors[stage].values.ravel())
        values = values[np.isfinite(values)]
        mark = summaries[stage]
        colour = COLOURS[stage]
        # Dots stacked evenly: every realisation is seen, no smoothing is invented.
        lift = np.zeros(len(values))
        for value in np.unique(values):
            same = np.flatnonzero(values == value)
            lift[same] = (np.arange(len(same)) - (len(same) - 1) / 2) / max(12, len(same)) * 0.6
        ax.plot(values, row + lift, ".", color=colour, alpha=0.35, markersize=3, markeredgewidth=0)
        ax.plot([mark["mean"]] * 2, [row - 0.36, row + 0.36], color=colour, linewidth=2)
        text = f"{mark['mean']:.1%}"
        if mark["p05"] < mark["mean"]:
            ax.plot([mark["p05"]] * 2, [row - 0.36, row + 0.36], color=colour, linewidth=1.2, linestyle=":")
            text += f"  (5th percentile {mark['p05']:.1%})"
        # Beside the bar, on the side with more room.
        left = mark["mean"] > 0.5
        ax.annotate(
            text,
            (mark["mean"], row + 0.38),
            ha="right" if left else "left",
            va="bottom",
            fontsize="small",
            color=colour,
        )
    ax.set_yticks(range(len(stages)), [NAMES[stage] for stage in reversed(stages)])
    ax.set_ylim(-0.6, len(stages) - 0.25)
    ax.set_xlabel("test accuracy (dot: a virtual bench; bar: mean; dotted: 5th percentile)", fontsize="small")
    percent(ax, "x")
    return ax


def accuracy_against_photons(sweep: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Accuracy against the photons that enter the bench in an exposure: median and the band of all benches.

    Args:
        sweep: ``accuracy`` over (``photons_in``, ``realisation``), as ``analysis.photon_sweep`` gives it.
        ax: to draw on.
    """
    ax = axes(ax)
    photons = sweep["photons_in"].values
    accuracy = sweep["accuracy"].transpose("photons_in", "realisation").values
    colour = COLOURS["noise_aware"]
    ax.fill_between(photons, accuracy.min(1), accuracy.max(1), color=colour, alpha=0.2, linewidth=0)
    ax.plot(photons, np.median(accuracy, axis=1), "o-", color=colour, markersize=4)
    ax.axvline(sweep.attrs["operating_point"], color="0.4", linestyle="--", linewidth=1)
    ax.annotate(
        "as trained ",
        (sweep.attrs["operating_point"], 0.03),
        xycoords=("data", "axes fraction"),
        ha="right",
        fontsize="small",
        color="0.3",
    )
    ax.set_xscale("log")
    ax.set_xlabel("photons entering the bench an exposure")
    ax.set_ylabel("test accuracy (median and range over benches)")
    percent(ax)
    return ax


def accuracy_against_light(front: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Accuracy against the share of light that is kept, a point a weight of the light in the loss.

    Args:
        front: ``accuracy`` over (``light_weight``, ``realisation``) and ``efficiency`` over ``light_weight``.
        ax: to draw on.
    """
    ax = axes(ax)
    colour = COLOURS["noise_aware"]
    accuracy = front["accuracy"].transpose("light_weight", "realisation").values
    for weight, values, x in zip(front["light_weight"].values, accuracy, front["efficiency"].values, strict=True):
        low, high = np.quantile(values, [0.05, 0.95])
        ax.plot([x, x], [low, high], color=colour, alpha=0.5)
        ax.plot(x, values.mean(), "o", color=colour, markersize=5)
        ax.annotate(f"w = {weight:g}", (x, values.mean()), xytext=(7, -3), textcoords="offset points", fontsize="small")
    ax.set_xscale("log")
    from matplotlib.ticker import LogLocator, NullLocator

    ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("light at the detector's modes, of what the devices themselves pass")
    ax.set_ylabel("test accuracy (mean, 5th to 95th percentile)")
    percent(ax, "x", decimals=0)
    percent(ax)
    return ax
