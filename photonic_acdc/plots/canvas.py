"""Axes, colours and saving that all pictures share. No global style is touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from photonic_acdc.storage import atomic

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: One colour a stage of the story, distinguishable in print and to the colour-blind (Okabe and Ito).
COLOURS = {
    "ideal": "#000000",
    "native_off": "#0072B2",
    "on_bench": "#D55E00",
    "ideal_on_bench": "#CC79A7",
    "noise_aware": "#009E73",
}
NAMES = {
    "ideal": "ideal layer",
    "native_off": "bench of ideal devices",
    "on_bench": "real devices, untouched",
    "ideal_on_bench": "ideal layer mapped to real devices",
    "noise_aware": "trained through the devices",
}


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """A figure without any window or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes(ax: Axes | None, width: float = 6.4, height: float = 4.0) -> Axes:
    """``ax``, or the axes of a new figure, without the upper and right spines."""
    ax = ax if ax is not None else new_figure(width, height).subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save(picture: Axes | Figure, path: str | Path, dpi: int = 150) -> None:
    """Write a picture as a file, whole or not at all; the format follows the name."""
    from matplotlib.axes import Axes as AxesClass

    figure = picture.get_figure(root=True) if isinstance(picture, AxesClass) else picture
    assert figure is not None
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def save_grey(image: np.ndarray, path: str | Path) -> None:
    """Write an 8-bit grey image ``[y, x]`` pixel by pixel, whole or not at all."""
    from PIL import Image  # comes with matplotlib

    with atomic(path) as temporary:
        Image.fromarray(image).save(temporary)


def percent(ax: Axes, axis: str = "y", decimals: int | None = None) -> None:
    """Tick labels of a share as per cent."""
    from matplotlib.ticker import PercentFormatter

    getattr(ax, f"{axis}axis").set_major_formatter(PercentFormatter(1.0, decimals=decimals))
