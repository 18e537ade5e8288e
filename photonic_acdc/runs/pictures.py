"""What a run shows: masks as a panel takes them, and the plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from photonic_acdc import layout, plots
from photonic_acdc.analysis import field_planes
from photonic_acdc.optical import cascades, noise
from photonic_acdc.plots.canvas import save, save_grey
from photonic_acdc.runs.stages import Stages
from photonic_acdc.storage import atomic, write_text
from simulators.bench import Bench

if TYPE_CHECKING:
    import xarray as xr


@torch.no_grad()
def shown_masks(model: nn.Module) -> dict[str, np.ndarray]:
    """Address → wanted complex transmission of every mask of the model's one cascade."""
    cascade = next(iter(cascades(model).values()))
    commands = cascade.commands()
    return {f"stage[{j // 2}].mask[{j % 2}]": command.field().numpy() for j, command in enumerate(commands)}


def write_masks(path: Path, model: nn.Module, bench: Bench) -> None:
    """``masks.npz``, and one grey PNG a mask in native pixels, 256 levels a turn of phase."""
    shown = shown_masks(model)
    names = {address: address.replace("[", "").replace("]", "").replace(".", "_") for address in shown}
    with atomic(path / "masks.npz") as temporary:
        arrays: dict[str, Any] = {names[address]: mask for address, mask in shown.items()}
        np.savez(temporary, **arrays)
    for address, mask in shown.items():
        native = bench.stage[2 * int(address[-2])].macro_pixel
        grey = np.kron(plots.mask_image(mask), np.ones((native, native), dtype=np.uint8))
        save_grey(grey, path / "masks" / f"{names[address]}.png")


def write_pictures(
    stages: Stages, errors: xr.Dataset, history: xr.Dataset, results: dict[str, Any], model: nn.Module
) -> None:
    """Every plot of the run, and the layout with its device list."""
    folder, config = stages.folder.path / "plots", stages.config
    seed = config.seeds[0]
    save(plots.training_curves(history), folder / "training.png")
    save(plots.accuracy_over_realisations(errors, summaries=results["accuracy"]), folder / "accuracy.png")
    save(plots.accuracy_against_photons(stages.photons(seed)), folder / "photons.png")
    if config.evaluation.front_weights:
        save(plots.accuracy_against_light(stages.front(seed)), folder / "light.png")
    save(plots.error_budget(stages.budget(seed)), folder / "budget.png")
    save(plots.masks(shown_masks(model)), folder / "masks.png")
    judged = stages.judge(model)
    with noise(judged, "mean"):
        planes = field_planes(judged, stages.test.x[0])
    save(plots.field_planes(planes), folder / "planes.png")
    plan = layout.design(config.make_bench(), stages=config.model.stages)
    save(plots.layout(plan), stages.folder.path / "layout.png")
    write_text(stages.folder.path / "devices.md", plan.table() + "\n")
