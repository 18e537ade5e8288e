"""Masks and fields: colour is phase, brightness is amplitude."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from photonic_acdc.plots.canvas import new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def masks(shown: Mapping[str, np.ndarray]) -> Figure:
    """All masks side by side, phase on a cyclic scale from -π to π.

    Args:
        shown: address → complex transmission ``[y, x]``.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    wheel = ListedColormap(_colours(np.exp(1j * np.linspace(-np.pi, np.pi, 256)), 1.0))
    figure = new_figure(2.3 * len(shown) + 0.8, 2.7)
    panels = np.atleast_1d(figure.subplots(1, len(shown)))
    for ax, (address, mask) in zip(panels, shown.items(), strict=True):
        ax.imshow(_colours(mask, np.abs(mask).max()), interpolation="nearest")
        ax.set_title(f"{address}\n{mask.shape[0]}×{mask.shape[1]}", fontsize="small")
        ax.set_xticks([])
        ax.set_yticks([])
    bar = figure.colorbar(
        ScalarMappable(Normalize(-np.pi, np.pi), wheel), ax=list(panels), shrink=0.8, label="phase (rad)"
    )
    bar.set_ticks([-np.pi, 0, np.pi], labels=["-π", "0", "π"])
    return figure


def mask_image(mask: np.ndarray) -> np.ndarray:
    """Phase of a mask as 8-bit grey, 0 … 255 over a full turn from 0: what a panel takes. ``[y, x]`` uint8."""
    turns = np.mod(np.angle(mask) / (2 * np.pi), 1.0)
    return (np.round(turns * 256).astype(int) % 256).astype(np.uint8)


def field_planes(planes: xr.Dataset) -> Figure:
    """The field at every plane, drawn to one scale, with its power below; colour is phase, brightness amplitude.

    Args:
        planes: as ``analysis.field_planes`` gives it.
    """
    names = list(planes.data_vars)
    columns = min(len(names), 6)
    rows = -(-len(names) // columns)
    figure = new_figure(2.2 * columns + 0.4, 2.5 * rows)
    panels = np.atleast_2d(figure.subplots(rows, columns, squeeze=False))
    widest = max(_half_width(planes[name]) for name in names)
    for ax in panels.flat[len(names) :]:
        ax.set_visible(False)
    for i, (ax, name) in enumerate(zip(panels.flat, names, strict=False)):
        plane = planes[name]
        half = _half_width(plane)
        field = plane.values
        # The brightest hundredth saturates, or one bright spot would leave the rest black.
        ax.imshow(
            _colours(field, np.quantile(np.abs(field), 0.99)),
            extent=(-half, half, half, -half),
            interpolation="nearest",
        )
        ax.set_facecolor("black")
        ax.set_xlim(-widest, widest)
        ax.set_ylim(widest, -widest)
        cell = float(plane[plane.dims[0]][1] - plane[plane.dims[0]][0])
        photons = float((np.abs(field) ** 2).sum()) * cell**2
        ax.set_title(f"{plane.attrs['long_name']}\n{photons:.2g} photons", fontsize="small")
        ax.set_yticks([])
        ax.set_xticks([-0.5, 0, 0.5] if i == 0 else [])
        if i == 0:
            ax.set_xlabel("mm", fontsize="small")
    return figure


def _half_width(plane: xr.DataArray) -> float:
    places = plane[plane.dims[1]].values
    return float(abs(places[0]) + (places[1] - places[0]) / 2) * 1e3


def _colours(field: np.ndarray, brightest: float) -> np.ndarray:
    """RGB: hue is the phase (red at 0, as of old in optics), value the amplitude."""
    from matplotlib.colors import hsv_to_rgb

    hue = np.mod(np.angle(field) / (2 * np.pi), 1.0)
    brightness = np.clip(np.abs(field) / (brightest or 1.0), 0, 1)
    return hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.85), brightness], axis=-1))
