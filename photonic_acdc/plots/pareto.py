"""Error against number of parameters: what a search tried, and what is worth having."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photonic_acdc.plots.canvas import axes, new_figure, percent

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and marker of each structured layer; colours of Okabe and Ito, with those of Tol where they end.
LAYERS = {
    "acdc": ("#0072B2", "o", "ACDC"),
    "afdf": ("#D55E00", "s", "AFDF"),
    "hybrid": ("#009E73", "D", "ACDC + low rank"),
    "low_rank": ("#CC79A7", "^", "low rank"),
    "circulant": ("#E69F00", "v", "circulant"),
    "monarch": ("#56B4E9", "p", "Monarch"),
    "block_circulant": ("#999933", "<", "block circulant"),
    "tensor_train": ("#882255", ">", "tensor train"),
    "fastfood": ("#332288", "X", "Fastfood"),
    "adaptive_fastfood": ("#AA4499", "*", "adaptive Fastfood"),
}
#: Colour, marker and name of what a front is compared with.
REFERENCES = {"dense": ("#000000", "H", "dense"), "softmax": ("#666666", "H", "softmax")}


def pareto(trials: xr.Dataset, front: xr.Dataset | None = None) -> Figure:
    """Error against number of parameters: all trials and their front on validation data; the front again on test data.

    Args:
        trials: ``trials.nc`` of a search: ``layer``, ``validation_error``, ``parameters``, ``on_front`` over ``trial``.
        front: ``front.nc``: ``layer``, ``parameters``, ``test_error_mean``, ``test_error_sd`` over ``point``.
            None: no tests.
    """
    figure = new_figure(7.2, 5.0)
    ax = axes(figure.subplots())
    shown = set(trials["layer"].values)
    for layer, (colour, marker, _) in LAYERS.items():
        tried = trials.isel(trial=trials["layer"].values == layer)
        ax.plot(tried["parameters"], tried["validation_error"], marker, color=colour, alpha=0.3, markeredgewidth=0)
    best = trials.isel(trial=trials["on_front"].values).sortby("parameters")
    ax.step(best["parameters"], best["validation_error"], where="post", color="0.45", linewidth=1.2, zorder=1)
    if front is not None:
        shown |= set(front["layer"].values)
        for point in front["point"].values:
            _tested(ax, front.sel(point=point))
    _legend(figure, ax, shown, tested=front is not None)
    ax.set_xscale("log")
    ax.margins(x=0.1)  # room for the names of the references
    _whole_numbers(ax)
    ax.set_xlabel("trainable parameters of the network")
    ax.set_ylabel("error")
    percent(ax)
    return figure


def _tested(ax: Axes, point: xr.Dataset) -> None:
    """One point of the front, or a reference, with its name beside it."""
    layer, x, y = point["layer"].item(), point["parameters"].item(), point["test_error_mean"].item()
    colour, marker, name = {**LAYERS, **REFERENCES}[layer]
    ax.errorbar(x, y, point["test_error_sd"].item(), fmt="none", color=colour, capsize=3, linewidth=1.2)
    ax.plot(x, y, marker, color=colour, markersize=9, markeredgecolor="white", markeredgewidth=0.6)
    if layer in REFERENCES:
        ax.annotate(name, (x, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize="small")


def _legend(figure: Figure, ax: Axes, shown: set[str], tested: bool) -> None:
    """Layers by colour and marker, below the meaning of what is faint and what is full."""
    grey = "0.45"
    meanings: list[Any] = [
        ax.plot([], [], "o", color=grey, alpha=0.4, markeredgewidth=0, label="a trial, on validation data")[0],
        ax.plot([], [], color=grey, linewidth=1.2, label="their front")[0],
    ]
    if tested:
        meanings.append(
            ax.errorbar([], [], [], fmt="o", color=grey, markersize=9, capsize=3, label="tested, mean ± sd")
        )
    layers = [
        ax.plot([], [], marker, color=colour, markersize=7, markeredgecolor="white", label=name)[0]
        for layer, (colour, marker, name) in LAYERS.items()
        if layer in shown
    ]
    style = {"frameon": False, "fontsize": "small"}
    figure.legend(handles=layers, loc="outside lower center", ncols=min(len(layers), 6), **style)
    figure.legend(handles=meanings, loc="outside upper center", ncols=3, **style)


def _whole_numbers(ax: Axes) -> None:
    """Ticks at 1, 2 and 5 of each decade, written out."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
