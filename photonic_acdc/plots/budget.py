"""The error budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonic_acdc.plots.canvas import new_figure, percent

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_KINDS = {
    "deterministic": "#0072B2",
    "mismatch": "#D55E00",
    "process": "#CC79A7",
    "dynamic": "#009E73",
    "drift": "#E69F00",
    "history": "#56B4E9",
    "several": "0.4",
}


def error_budget(budget: xr.Dataset) -> Figure:
    """Two bars an effect: accuracy won when it is left out, and lost when it acts alone; coloured by kind.

    Args:
        budget: as ``analysis.error_budget`` gives it.
    """
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    order = np.argsort(np.maximum(budget["accuracy_gain"].values, budget["accuracy_lost"].values))
    effects = [str(name).replace("_", " ") for name in budget["effect"].values[order]]
    kinds = [str(kind) for kind in budget["kind"].values[order]]
    figure = new_figure(9.5, 0.27 * len(effects) + 1.5)
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, "accuracy_gain", "left out: accuracy won"),
        (right, "accuracy_lost", "alone: accuracy lost"),
    )
    for ax, name, label in panels:
        ax.spines[["top", "right"]].set_visible(False)
        ax.barh(
            effects,
            budget[name].values[order],
            xerr=budget[f"{name}_error"].values[order],
            color=[_KINDS[kind] for kind in kinds],
            height=0.7,
            error_kw={"linewidth": 0.8, "ecolor": "0.3"},
        )
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.set_xlabel(f"{label} (± standard error)")
        percent(ax, "x", decimals=1)
        ax.xaxis.set_major_locator(MaxNLocator(5))
    shown = [Patch(color=_KINDS[kind], label=kind) for kind in dict.fromkeys(reversed(kinds))]
    figure.legend(handles=shown, frameon=False, fontsize="small", loc="outside lower center", ncols=len(shown))
    figure.suptitle(
        f"All effects on: {budget.attrs['accuracy_all']:.1%}; none: {budget.attrs['accuracy_none']:.1%} "
        f"({budget.attrs['realisations']} benches)",
        fontsize="medium",
    )
    return figure
