"""Which device causes which part of the error: leave one effect out, and one effect alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import nn

from photonic_acdc.analysis.monte_carlo import Progress, monte_carlo
from photonic_acdc.data.dataset import Dataset
from photonic_acdc.optical.cascade import cascades
from photonic_acdc.optical.convert import rebind
from photonic_acdc.provenance import attributes
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from simulators.bench import Bench


def error_budget(
    model: nn.Module,
    data: Dataset,
    *,
    by: Literal["name", "element", "each"] = "name",
    realisations: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """What each effect of the bench costs, on the same benches and the same shots.

    Removing one effect leaves every other draw as it is, so differences are paired. Effects interact: the parts need
    not add up to the whole.

    Args:
        model: with optical cascades on one bench.
        data: samples.
        by: ``"name"``: an effect wherever it acts; ``"element"``: all effects of a device; ``"each"``: one by one.
        realisations: benches.
        seed: of all draws.
        progress: called after every evaluation.

    Returns:
        Dataset over ``effect``: ``accuracy_gain`` and ``loss_saved`` when it is left out (± standard error over
        realisations), ``accuracy_lost`` and ``loss_added`` when it acts alone on ideal devices, ``kind``. The
        attributes hold the accuracies with all effects and with none.

    Raises:
        InputError: ``by`` unknown; a bench without effects.
    """
    import xarray as xr

    bench, stages = bench_of(model)
    groups = effect_groups(bench, stages, by)

    def run(changed: Bench) -> xr.Dataset:
        return monte_carlo(rebind(model, changed), data, realisations=realisations, seed=seed)

    total = 2 + 2 * len(groups)
    everything, nothing = run(bench), run(bench.only())
    columns: dict[str, list] = {name: [] for name in _LONG}
    for done, (patterns, _) in enumerate(groups.values(), start=1):
        for without, (gain, saved) in ((True, _LEFT_OUT), (False, _ALONE)):
            found = run(bench.without(*patterns) if without else bench.only(*patterns))
            base = everything if without else nothing
            sign = 1 if without else -1
            accuracy = sign * (found["accuracy"].values - base["accuracy"].values)
            loss = -sign * (found["loss"].values - base["loss"].values)
            for name, values in ((gain, accuracy), (saved, loss)):
                columns[name].append(values.mean())
                columns[f"{name}_error"].append(_standard_error(values))
        if progress is not None:
            progress(2 + 2 * done, total)
    return xr.Dataset(
        {name: ("effect", columns[name], {"long_name": long, "units": unit}) for name, (long, unit) in _LONG.items()},
        coords={
            "effect": ("effect", list(groups), {"long_name": "effect", "units": "1"}),
            "kind": ("effect", [kind for _, kind in groups.values()], {"long_name": "kind", "units": "1"}),
        },
        attrs=attributes(
            "Error budget",
            seed=seed,
            realisations=realisations,
            data=data.name,
            accuracy_all=float(everything["accuracy"].mean()),
            accuracy_none=float(nothing["accuracy"].mean()),
            loss_all=float(everything["loss"].mean()),
            loss_none=float(nothing["loss"].mean()),
        ),
    )


_LEFT_OUT = ("accuracy_gain", "loss_saved")
_ALONE = ("accuracy_lost", "loss_added")
_LONG = {
    "accuracy_gain": ("accuracy won when left out", "1"),
    "accuracy_gain_error": ("its standard error", "1"),
    "loss_saved": ("cross-entropy saved when left out", "nat"),
    "loss_saved_error": ("its standard error", "nat"),
    "accuracy_lost": ("accuracy lost when alone", "1"),
    "accuracy_lost_error": ("its standard error", "1"),
    "loss_added": ("cross-entropy added when alone", "nat"),
    "loss_added_error": ("its standard error", "nat"),
}


def bench_of(model: nn.Module) -> tuple[Bench, int]:
    """The bench of a model, and the stages of its deepest cascade."""
    found = list(cascades(model).values())
    if not found:
        raise InputError("error_budget: the model has no optical cascade")
    return found[0].bench, max(cascade.stages for cascade in found)


def effect_groups(bench: Bench, stages: int, by: str) -> dict[str, tuple[tuple[str, ...], str]]:
    """Label → (patterns, kind)."""
    if by not in ("name", "element", "each"):
        raise InputError("error_budget: by", value=repr(by), allowed="'name', 'element' or 'each'")
    groups: dict[str, tuple[list[str], set[str]]] = {}
    for effect in bench.effects(stages):
        device = "detector" if effect.address == "detector" else effect.address.split(".")[-1].split("[")[0]
        label = {"name": f"{device}: {effect.name}", "element": effect.address, "each": str(effect)}[by]
        patterns, kinds = groups.setdefault(label, ([], set()))
        patterns.append(str(effect))
        kinds.add(effect.kind)
    if not groups:
        raise InputError("error_budget: this bench has no effect that is on")
    return {
        label: (tuple(patterns), kinds.pop() if len(kinds) == 1 else "several")
        for label, (patterns, kinds) in groups.items()
    }


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
