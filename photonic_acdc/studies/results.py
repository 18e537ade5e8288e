"""Points of a study → a dataset with intervals, and who beats the baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photonic_acdc.provenance import attributes

if TYPE_CHECKING:
    import xarray as xr

#: Two-sided coverage of all intervals.
COVERAGE = 0.95


@dataclass(frozen=True)
class About:
    """What a study shows.

    Attributes:
        title: of the dataset.
        axis: name of the dimension that is varied, with ``long_name`` and ``units`` of its values.
        long_name, units: of the axis.
        baseline: the method that the others are to beat.
        logarithmic: whether the axis is drawn so.
        panel: name of a second dimension, drawn as a panel each; None: there is none.
        marks: places on the axis that deserve a line, and what it says.
    """

    title: str
    axis: str
    long_name: str
    units: str = "1"
    baseline: str = "ideal-trained"
    logarithmic: bool = False
    panel: str | None = None
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Point:
    """What one training was judged to be at one place.

    Attributes:
        method: how it was trained.
        at: value of the axis, a number or a name.
        accuracies: one a bench.
        panel: value of the second dimension.
    """

    method: str
    at: float | str
    accuracies: Sequence[float]
    panel: str = ""


def dataset(about: About, points: dict[int, list[Point]], **origin: Any) -> xr.Dataset:
    """Points by seed as a dataset over (panel,) training, axis and seed.

    Returns:
        ``accuracy`` (mean over benches) and ``low`` (its 5th percentile), NaN where a method was not tried;
        ``mean`` and ``half_width`` over seeds (t-interval of 95 %); ``gain`` over the baseline on the same seeds, and
        its ``gain_half_width``. Every seed has benches of its own: the intervals are those of trainings and of benches.
    """
    import xarray as xr

    some = next(iter(points.values()))
    panels, methods = list(dict.fromkeys(p.panel for p in some)), list(dict.fromkeys(p.method for p in some))
    places = list(dict.fromkeys(p.at for p in some))
    if not isinstance(places[0], str):
        places = sorted(places)
    shape = (len(panels), len(methods), len(places), len(points))
    accuracy, low = np.full(shape, np.nan), np.full(shape, np.nan)
    for s, found in enumerate(points.values()):
        for point in found:
            at = panels.index(point.panel), methods.index(point.method), places.index(point.at), s
            accuracy[at], low[at] = np.mean(point.accuracies), np.quantile(point.accuracies, 0.05)
    dims, reduced = ("panel", "training", about.axis, "seed"), ("panel", "training", about.axis)
    columns = {
        "accuracy": (dims, accuracy, "accuracy, mean over benches"),
        "low": (dims, low, "5th percentile over benches"),
        "mean": (reduced, accuracy.mean(-1), "accuracy, mean over seeds"),
        "half_width": (reduced, half_width(accuracy), "half of its 95 % interval"),
    }
    found = xr.Dataset(
        {name: (axes, values, {"long_name": long, "units": "1"}) for name, (axes, values, long) in columns.items()},
        coords={
            "panel": ("panel", panels, {"long_name": about.panel or "panel", "units": "1"}),
            "training": ("training", methods, {"long_name": "how it was trained", "units": "1"}),
            about.axis: (about.axis, places, {"long_name": about.long_name, "units": about.units}),
            "seed": ("seed", list(points), {"long_name": "seed of the training", "units": "1"}),
        },
        attrs=attributes(
            about.title,
            axis=about.axis,
            logarithmic=int(about.logarithmic),
            marks=json.dumps(about.marks),
            **origin,
        ),
    )
    return against(found if about.panel else found.squeeze("panel", drop=True), about.baseline)


def against(found: xr.Dataset, baseline: str) -> xr.Dataset:
    """``found`` with every ``gain`` over ``baseline``, seed by seed, and its ``gain_half_width``."""
    gain = found["accuracy"] - found["accuracy"].sel(training=baseline, drop=True)
    reduced = gain.dims[:-1]
    columns = {
        "gain": (gain.mean("seed", skipna=False).values, f"gain over {baseline}"),
        "gain_half_width": (half_width(gain.values), "half of its 95 % interval"),
    }
    return found.assign(
        {name: (reduced, values, {"long_name": long, "units": "1"}) for name, (values, long) in columns.items()}
    ).assign_attrs(baseline=baseline)


def half_width(values: np.ndarray) -> np.ndarray:
    r"""Half of the interval of the mean along the last axis, :math:`t_{n-1}\,s/\sqrt n`; Student (1908)."""
    from scipy.stats import t

    n = values.shape[-1]
    return t.ppf((1 + COVERAGE) / 2, n - 1) * values.std(-1, ddof=1) / np.sqrt(n)


def rows(found: xr.Dataset) -> list[dict[str, Any]]:
    """A row a method and place: figures, and ``"better"``, ``"worse"`` or ``"no different"`` than the baseline.

    Verdicts are each at 95 %, uncorrected for how many there are.
    """
    axis, out = found.attrs["axis"], []
    stacked = found[["mean", "half_width", "gain", "gain_half_width"]]
    for panel in found["panel"].values if "panel" in found.dims else [None]:
        part = stacked if panel is None else stacked.sel(panel=panel)
        for place in found[axis].values:
            for method in found["training"].values:
                one = part.sel({"training": method, axis: place})
                if np.isnan(one["mean"]):
                    continue
                figures = {name: float(one[name]) for name in stacked.data_vars}
                gain, width = figures["gain"], figures["gain_half_width"]
                verdict = "better" if gain > width else "worse" if gain < -width else "no different"
                if np.isnan(gain):
                    verdict = "without the baseline"
                row = {axis: place.item(), "training": str(method), **figures}
                row["verdict"] = "baseline" if method == found.attrs["baseline"] else verdict
                out.append(row if panel is None else {"panel": str(panel), **row})
    return out


def conclusions(found: xr.Dataset) -> list[str]:
    """A sentence a method: where it beats the baseline by more than the interval, and where not."""
    axis, baseline = found.attrs["axis"], found.attrs["baseline"]
    sentences = []
    for method in dict.fromkeys(row["training"] for row in rows(found)):
        if method == baseline:
            continue
        own = [row for row in rows(found) if row["training"] == method]
        places: dict[str, list[str]] = {}
        for row in own:
            place = f"{row[axis]:g}" if isinstance(row[axis], float) else str(row[axis])
            places.setdefault(row["verdict"], []).append(f"{row['panel']}: {place}" if "panel" in row else place)
        parts = [f"{verdict} at {len(at)} of {len(own)} ({'; '.join(at)})" for verdict, at in places.items()]
        sentences.append(f"{method} against {baseline}: {', '.join(parts)}.")
    return sentences
