"""Training curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photonic_acdc.plots.canvas import COLOURS, NAMES, new_figure, percent

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def training_curves(training: xr.Dataset) -> Figure:
    """Loss, accuracy and light against epochs, one colour a stage; a thin line a seed.

    Args:
        training: ``loss``, ``accuracy`` and ``efficiency`` over (``stage``, ``seed``, ``epoch``).
    """
    panels = [
        ("loss", "training loss (nat)"),
        ("accuracy", "training accuracy"),
        ("efficiency", "light at the detector's modes"),
    ]
    figure = new_figure(10.5, 3.4)
    for ax, (name, label) in zip(figure.subplots(1, 3), panels, strict=True):
        ax.spines[["top", "right"]].set_visible(False)
        for stage in training["stage"].values:
            curves = training[name].sel(stage=stage).dropna("seed", how="all")
            for i, seed in enumerate(curves["seed"].values):
                curve = curves.sel(seed=seed).dropna("epoch")
                ax.plot(
                    curve["epoch"],
                    curve,
                    color=COLOURS[str(stage)],
                    linewidth=1.2,
                    alpha=0.8,
                    label=_LABELS.get(str(stage), NAMES[str(stage)]) if i == 0 else None,
                )
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        if name == "accuracy":
            ax.set_ylim(None, 1.005)
            percent(ax)
        if name == "efficiency":
            percent(ax)
            ax.set_ylim(0, None)
        if name == "loss":
            ax.legend(frameon=False, fontsize="small")
    return figure


_LABELS = {"ideal": "ideal layer", "native_off": "bench, ideal devices", "noise_aware": "bench, real devices"}
