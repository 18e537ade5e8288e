"""A synthesised matrix beside the one wanted, and the masks that perform it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonic_acdc.plots.canvas import new_figure
from photonic_acdc.plots.field import _colours
from simulators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from photonic_acdc.synthesis import Synthesis

#: Masks of a grid that are drawn; those of a line are rows of one image, all of them.
TILES = 60
#: Matrices longer than this against their width are stretched.
_LONGEST = 4


def synthesis(found: Synthesis) -> Figure:
    """Moduli of the matrix wanted, of the one performed and of their difference; the masks in the order of the light.

    Colour of a mask is its phase, brightness its amplitude. Masks of a line are the rows of one image.

    Raises:
        InputError: a batch of matrices.
    """
    if found.matrix.ndim != 2:
        raise InputError("plots.synthesis", value=f"{found.gain.numel()} matrices", allowed="one: synthesis[i]")
    masks = found.masks.cpu().numpy()
    across, down, height = 0, 0, float(np.clip(0.045 * len(masks), 2.2, 6.0))
    if len(found.grid) == 2:
        y, x = found.grid
        across = min(len(masks), TILES, int(np.clip(round(12 * y / x), 6, 15)))
        down = -(-min(len(masks), TILES) // across)
        height = down * (9.6 / across * min(y / x, 2) + 0.25) + 0.4
    rows, columns = found.matrix.shape
    wide = rows < columns <= _LONGEST * rows
    above = 1.0 + 2.5 * (rows / columns if wide else 1.0)
    figure = new_figure(10.8, above + height)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[above, height])[:, 0]
    _moduli(upper, found.matrix.cpu().numpy(), found.reconstruct().cpu().numpy())
    kind = "phase masks" if found.phase_only else "masks"
    gain = found.gain.item()
    decibels = round(20 * np.log10(gain), 1) + 0.0  # no -0.0
    figure.suptitle(
        f"{rows}×{columns} matrix by {found.method}: {found.planes} {kind} of {'×'.join(map(str, found.grid))} pixels, "
        f"relative error {found.error.item():.1e}, gain {gain:.3g} ({decibels:.1f} dB)",
        fontsize="medium",
    )
    if len(found.grid) == 2:
        _tiles(lower, masks, down, across)
    else:
        _strips(lower, masks)
    return figure


def _moduli(figure: SubFigure, wanted: np.ndarray, performed: np.ndarray) -> None:
    """Three images; the difference on a logarithmic scale of its own, in whole decades."""
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    difference = np.abs(wanted - performed)
    common = Normalize(0, np.abs(wanted).max())
    rows, columns = wanted.shape
    aspect = "equal" if max(rows, columns) <= _LONGEST * min(rows, columns) else "auto"
    largest = difference.max()
    if largest > 0:  # three decades at most: single entries may be exact
        lowest = max(difference[difference > 0].min(), largest * 1e-3)
        low, high = np.floor(np.log10(lowest)), np.ceil(np.log10(largest))
        own: Normalize = LogNorm(10**low, 10 ** max(high, low + 1), clip=True)
        difference = difference.clip(10**low)
    else:
        own = Normalize(0, 1)
    parts = (
        ("wanted, |A|", np.abs(wanted), common),
        ("performed, |T| / g", np.abs(performed), common),
        ("difference, |A - T / g|", difference, own),
    )
    panels = figure.subplots(1, 3)
    panels[0].set_ylabel("output", fontsize="small")
    for ax, (title, values, norm) in zip(panels, parts, strict=True):
        image = ax.imshow(values, norm=norm, interpolation="nearest", aspect=aspect)
        ax.set_title(title, fontsize="small")
        ax.set_xlabel("input", fontsize="small")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        ax.tick_params(labelsize="small")
        figure.colorbar(image, ax=ax, shrink=0.8).ax.tick_params(labelsize="small")


def _strips(figure: SubFigure, masks: np.ndarray) -> None:
    """Masks ``[M, n]`` as the rows of one image."""
    from matplotlib.ticker import MaxNLocator

    ax = figure.subplots()
    count, pixels = masks.shape
    # Half a pixel beyond the outermost; masks are counted from 1, pixels from 0.
    extent = (-0.5, pixels - 0.5, count + 0.5, 0.5)
    ax.imshow(_colours(masks, 1.0), interpolation="nearest", aspect="auto", extent=extent)
    ax.set_title("masks" + _brightness(masks), fontsize="small")
    ax.set_xlabel("pixel", fontsize="small")
    ax.set_ylabel("mask, first to last", fontsize="small")
    ax.tick_params(labelsize="small")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    _wheel(figure, [ax])


def _tiles(figure: SubFigure, masks: np.ndarray, down: int, across: int) -> None:
    """The first masks ``[M, y, x]``, an image each."""
    panels = figure.subplots(down, across, squeeze=False)
    shown = min(len(masks), TILES)
    for number, ax in enumerate(panels.flat):
        ax.set_visible(number < shown)
        if number < shown:
            ax.imshow(_colours(masks[number], 1.0), interpolation="nearest")
            ax.set_title(str(number + 1), fontsize="x-small", pad=2)
        ax.set_xticks([])
        ax.set_yticks([])
    title = "masks" if shown == len(masks) else f"the first {shown} of {len(masks)} masks"
    figure.suptitle(title + _brightness(masks), fontsize="small")
    _wheel(figure, list(panels.flat))


def _brightness(masks: np.ndarray) -> str:
    return "; brightness is amplitude" if np.abs(masks).min() < 1 - 1e-3 else ""


def _wheel(figure: SubFigure, panels: list) -> None:
    """The scale of phases, about as tall in every picture."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    wheel = ListedColormap(_colours(np.exp(1j * np.linspace(-np.pi, np.pi, 256)), 1.0))
    shrink = min(1.0, 2.2 / (figure.bbox.height / figure.dpi))
    bar = figure.colorbar(ScalarMappable(Normalize(-np.pi, np.pi), wheel), ax=panels, shrink=shrink, aspect=15)
    bar.set_label("phase (rad)", fontsize="small")
    bar.set_ticks([-np.pi, 0, np.pi], labels=["-π", "0", "π"])
