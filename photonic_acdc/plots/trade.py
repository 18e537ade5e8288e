"""What masks cost: the error of a synthesis against their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonic_acdc.plots.canvas import new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and marker of the gains (Okabe and Ito); those of full gain are black.
_STYLES = (("#0072B2", "s"), ("#009E73", "D"), ("#E69F00", "v"), ("#CC79A7", "^"), ("#56B4E9", "P"))
_FULL = ("#000000", "o")
_TITLES = {
    "haar": "Haar-random unitary",
    "dct": "DCT-II, from several starts",
    "random": "real Gaussian entries",
    "trained": "trained weights",
}


def planes_vs_error(found: xr.Dataset) -> Figure:
    """Error against the number of masks, a panel a kind of matrix, a line a gain: the median, and the range around it.

    The dotted line is the number that counting asks for; in the shaded part fits have ended.

    Args:
        found: of :func:`photonic_acdc.synthesis.trade.planes_vs_error`.
    """
    kinds = found["kind"].values
    columns = min(len(kinds), 2)
    lines = -(-len(kinds) // columns)
    figure = new_figure(4.4 * columns + 1.8, 3.1 * lines + 0.4)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    styles = dict(zip(found["gain"].values[found["gain"].values < 1], _STYLES * 9, strict=False))
    handles = {}
    for i, (ax, kind) in enumerate(zip(axes, kinds, strict=False)):
        one = found.sel(kind=kind)
        _draw(ax, one, styles)
        pixels, features = int(one["pixels"]), found.attrs["features"]
        title = f"{_TITLES[str(kind)]}, {features}×{features}, masks of {pixels} pixels"
        ax.set_title(title, fontsize="small", pad=16)
        if i % columns == 0:
            ax.set_ylabel(found["error"].attrs["long_name"])
        if i + columns >= len(kinds):
            ax.set_xlabel(found["planes"].attrs["long_name"])
            ax.tick_params(labelbottom=True)
        drawn, names = ax.get_legend_handles_labels()
        handles.update(zip(names, drawn, strict=True))
    for ax in axes[len(kinds) :]:
        ax.set_visible(False)
    names = sorted(handles)
    figure.legend(
        [handles[name] for name in names],
        names,
        title=r"gain · $\sigma_{\max}$",
        title_fontsize="small",
        loc="outside right center",
        frameon=False,
        fontsize="small",
    )
    return figure


def _draw(ax: Axes, one: xr.Dataset, styles: dict[float, tuple[str, str]]) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.spines[["top", "right"]].set_visible(False)
    planes = one["planes"].values
    tried = [gain for gain in one["gain"].values if not bool(one["error"].sel(gain=gain).isnull().all())]
    for gain in tried:
        error = one["error"].sel(gain=gain).clip(min=1e-16)  # 0 has no logarithm
        colour, marker = styles.get(gain, _FULL)
        ax.fill_between(planes, error.min("target"), error.max("target"), color=colour, alpha=0.12, linewidth=0)
        median = error.median("target")
        style = {"color": colour, "marker": marker, "markersize": 5, "markeredgecolor": "white", "linewidth": 1.3}
        ax.plot(planes, median, label=f"{gain:g}", **style)
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    # A step may lead far below where fits end, or not: there is no more in it.
    end = one.attrs["tolerance"]
    ax.axhspan(1e-17, end, color="0.95", zorder=0)
    ax.text(planes[0], end / 3, f"fits end at {end:.0e}", size="x-small", color="0.35", va="top")
    ax.set_ylim(1e-16, 3)
    for bound in np.unique([float(one["bound"].sel(gain=gain)) for gain in tried]):
        ax.axvline(bound, color="0.4", linewidth=0.9, linestyle=":")
        text = f"{bound:g} by counting"
        ax.annotate(text, (bound, 1.01), xycoords=("data", "axes fraction"), ha="center", va="bottom", size="x-small")
