"""How far the levels of simulation differ, plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photonic_acdc.plots.canvas import axes

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

#: Colour and marker of each order of ``Pixel`` (Okabe and Ito).
_STYLES = (("#D55E00", "o"), ("#0072B2", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#E69F00", "v"))


def compare_levels(levels: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """1 - fidelity of the field in every plane, one line a level, against the reference.

    Args:
        levels: of :func:`simulators.compare_levels`.
        ax: to draw on; None: a new figure.
    """
    ax = axes(ax)
    places = range(levels.sizes["plane"])
    for (colour, marker), level in zip(_STYLES, levels["level"].values, strict=False):
        values = levels["infidelity"].sel(level=level).clip(min=1e-16)
        ax.plot(places, values, marker=marker, color=colour, label=str(level), markeredgecolor="white")
    ax.set_yscale("log")
    ax.set_xticks(list(places), [str(place + 1) for place in places])
    ax.set_xlabel("behind lens")
    ax.set_ylabel("1 - fidelity")
    ax.set_title(f"against {levels.attrs['reference']}", fontsize="medium")
    ax.legend(frameon=False)
    return ax
