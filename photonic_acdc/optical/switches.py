"""Switches for every cascade of a model: context managers that are undone on leaving."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.optical.noise import MODES, Dynamic, Mode, Noise, Static
from simulators.errors import InputError, nearest
from simulators.random import Realisations, State, as_index, check_seed

_PRESETS: dict[str, tuple[Static, Dynamic]] = {
    "off": ("none", "none"),
    "mean": ("nominal", "expected"),
    "frozen": ("drawn", "expected"),
    "sample": ("drawn", "drawn"),
}


@contextlib.contextmanager
def noise(
    model: nn.Module,
    mode: Mode,
    *,
    seed: int | None = None,
    realisations: int | Iterable[int] = 1,
    samples: Iterable[int] | None = None,
    exposure: int = 0,
    differentiable: bool | None = None,
    overrides: Mapping[str, Tensor] | None = None,
) -> Iterator[None]:
    """Switch the noise of every optical cascade within ``model``; nests, and is undone on leaving.

    With R realisations every batch has R·B rows, realisation by realisation (:func:`over_realisations`).

    Args:
        model: any module tree.
        mode: ``"off"``, ``"mean"``, ``"frozen"`` or ``"sample"``.
        seed: of all draws; needed by ``"frozen"`` and ``"sample"``.
        realisations: R, or the absolute numbers of the benches as built.
        samples: identity of each row of a batch; equal identities see equal shots.
        exposure: number of the pass: another number, other shots.
        differentiable: None: in training mode.
        overrides: figures to replace, by address, ``[R or 1, 1, …]``.

    Raises:
        InputError: an unknown mode; no seed where one is needed; no cascade in the model; an unknown address.
    """
    if mode not in _PRESETS:
        raise InputError("noise mode", value=repr(mode), allowed=", ".join(MODES))
    static, dynamic = _PRESETS[mode]
    if static == "drawn" and seed is None:
        raise InputError(f"noise mode {mode!r} draws random values and there is no seed", remedy="seed=0")
    index = as_index(realisations) if static == "drawn" else (0,)
    found = cascades(model)
    if not found:
        raise InputError("noise: the model has no optical cascade", remedy="to_optical(model, bench) first")
    draws = Realisations(check_seed(seed), index) if static == "drawn" else None
    before = [(cascade, cascade.noise) for cascade in found.values()]
    try:
        for cascade in found.values():
            cascade.noise = Noise(
                static=static,
                dynamic=dynamic,
                state=_state(cascade, draws, overrides or {}),
                seed=0 if seed is None else seed,
                realisations=index,
                samples=None if samples is None else tuple(int(i) for i in samples),
                exposure=exposure,
                differentiable=model.training if differentiable is None else differentiable,
            )
        yield
    finally:
        for cascade, previous in before:
            cascade.noise = previous


def _state(cascade: OpticalCascade, draws: Realisations | None, overrides: Mapping[str, Tensor]) -> State | None:
    if draws is None and not overrides:
        return None
    bench, stages = cascade.bench, cascade.stages
    state = dict(bench.nominal(stages) if draws is None else draws.draw(bench, stages, prefix=cascade.address))
    for address in overrides:
        if address not in state:
            raise InputError(f"override {address!r} is no figure of this bench", allowed=nearest(address, state))
    state.update(overrides)
    like = cascade.reference
    return {address: value.to(like) for address, value in state.items()}


def over_realisations(x: Tensor, realisations: int) -> Tensor:
    """``x [B, …]`` repeated for R realisations, ``[R·B, …]``; ``.unflatten(0, (R, B))`` of the output undoes it."""
    return torch.cat([x] * realisations)


@contextlib.contextmanager
def measure_light(model: nn.Module) -> Iterator[LightMeter]:
    """Record the light of every cascade in ``model``: ``with measure_light(model) as meter: model(x)``."""
    meter = LightMeter()
    found = list(cascades(model).values())
    before = [cascade.meter for cascade in found]
    try:
        for cascade in found:
            cascade.meter = meter
        yield meter
    finally:
        for cascade, previous in zip(found, before, strict=True):
            cascade.meter = previous
