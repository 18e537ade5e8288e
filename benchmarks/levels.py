"""``Pixel`` and ``Wave`` on the reference bench: ideal devices, real ones, fringing at both ends of what is known."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import simulators as sim
from benchmarks.results import publish
from benchmarks.timing import row
from photonic_acdc.plots.canvas import axes, new_figure
from photonic_acdc.plots.levels import compare_levels as draw_levels
from photonic_acdc.provenance import attributes
from simulators.levels import nmse

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What ``Pixel`` must come to, 1 - F of the field that is read, with ideal devices.
_TARGETS = {1: None, 2: 5e-3, 3: 1e-3}
_FRINGES = (3e-6, 7e-6)
_MODES = (8, 8)


def benches() -> dict[str, sim.Bench]:
    """The reference bench with ideal devices, with its real ones, and with fringing of two widths."""
    real = sim.reference_bench(_MODES)
    found = {"ideal devices": real.only(), "its real devices": real}
    for width in _FRINGES:
        panel = real.stage[0].device.replace(crosstalk_fwhm=width)
        stage = [place.replace(device=panel) if j % 2 == 0 else place for j, place in enumerate(real.stage)]
        found[f"fringing of {width * 1e6:.0f} µm"] = real.replace(stage=tuple(stage))
    return found


def commands_for(bench: sim.Bench, stages: int, seed: int) -> list[sim.Command]:
    """Random phases."""
    generator = torch.Generator().manual_seed(seed)
    return [
        sim.Command(2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))
        for shape in bench.command_shapes * stages
    ]


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Rows of this benchmark."""
    import xarray as xr

    torch.set_num_threads(1)
    seeds = range(1 if quick else 3)
    found, parts = [], {}
    for name, bench in benches().items():
        for stages in (1, 2, 4):
            state = sim.Realisations(0, (0,)).draw(bench, stages)
            compared = [
                sim.compare_levels(bench, commands_for(bench, stages, seed), orders=tuple(_TARGETS), state=state)
                for seed in seeds
            ]
            worst = xr.concat(compared, "seed").max("seed", keep_attrs=True)
            if stages == 4:
                parts[name] = worst
            for order, target in _TARGETS.items():
                value = float(worst["infidelity"].sel(level=f"Pixel q = {order}", plane="detector"))
                limit = target if name == "ideal devices" else None
                found.append(row(f"1 - F, {name}, K = {stages}: Pixel q = {order}", value, "", limit))
    samples, errors = _convergence()
    for count, error in zip(samples, errors, strict=True):
        found.append(row(f"NMSE of Wave, {count} samples, ideal devices, K = 4", error, ""))
    dataset = xr.concat(list(parts.values()), "bench").assign_coords(bench=list(parts))
    dataset = dataset.assign(
        convergence=("samples", errors, {"long_name": "squared error of Wave against Pixel q = 7", "units": "1"})
    ).assign_coords(samples=samples)
    dataset.attrs |= attributes("Levels of simulation on the reference bench", modes=_MODES)
    publish(output, "levels", dataset, draw)
    return found


def _convergence() -> tuple[list[int], list[float]]:
    """NMSE of the field that is read, four stages of ideal devices, against ``Pixel`` of order 7."""
    bench, stages = benches()["ideal devices"], 4
    commands, state = commands_for(bench, stages, 0), bench.nominal(stages)
    field = torch.randn(1, 8, *_MODES, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    exact = sim.Pixel(bench, stages, order=7)(commands, field, state)[..., ::7, ::7]
    samples, errors = [2, 3, 4, 5, 6, 8], []
    for count in samples:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sim.SamplingWarning)  # two samples are too few: that is what is shown
            wave = sim.Wave(bench, stages, samples=count, margin=3, order=1)
        errors.append(nmse(wave(commands, field, state), exact))
    return samples, errors


def draw(dataset: xr.Dataset) -> Figure:
    """One panel a bench, and the convergence of ``Wave``."""
    figure = new_figure(11.0, 6.4)
    names = list(dataset["bench"].values)
    grid = figure.subplots(2, 3)
    limits = (1e-12, 1.0)
    for ax, name in zip(grid.flat, names, strict=False):
        part = dataset.sel(bench=name)
        draw_levels(part, ax=axes(ax))
        ax.set_title(str(name), fontsize="medium")
        ax.set_ylim(*limits)
        ax.get_legend().remove()
    _draw_convergence(axes(grid.flat[len(names)]), dataset)
    last = grid.flat[len(names) + 1]
    last.axis("off")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    last.legend(handles, labels, frameon=False, loc="center", title="against Wave, 4 samples")
    return figure


def _draw_convergence(ax: Axes, dataset: xr.Dataset) -> None:
    ax.plot(dataset["samples"], dataset["convergence"], marker="o", color="black")
    ax.set_yscale("log")
    ax.set_xlabel("samples a macro-pixel of Wave")
    ax.set_ylabel("NMSE, against Pixel q = 7")
    ax.set_title("ideal devices, four stages", fontsize="medium")
