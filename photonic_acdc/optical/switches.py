"""Switches for every cascade of a model: context managers that are undone on leaving."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.optical.noise import MODES, PRESETS, Mode
from photonic_acdc.optical.single_effects import effect_names, modes_of, static_errors, switched_noise
from simulators.elements import matches
from simulators.errors import InputError, nearest
from simulators.random import Realisations, State, as_index, check_seed


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
    effects: Mapping[str, Mode] | None = None,
    scale: Mapping[str, float] | None = None,
    time: float = 0.0,
    overrides: Mapping[str, Tensor] | None = None,
) -> Iterator[None]:
    """Switch the noise of every optical cascade within ``model``; nests, and is undone on leaving.

    With R realisations every batch has R·B rows, realisation by realisation (:func:`over_realisations`). Whatever is
    switched off or left at its expectation, all other draws stay as they are.

    >>> with noise(optic, "mean", seed=0, effects={"stage[*].mask[1].flicker": "sample"}):  # that flicker alone
    ...     optic(x)

    Args:
        model: any module tree.
        mode: ``"off"``, ``"mean"``, ``"frozen"`` or ``"sample"``; of every effect that ``effects`` does not name.
        seed: of all draws; needed where anything is drawn.
        realisations: R, or the absolute numbers of the benches as built.
        samples: identity of each row of a batch; equal identities see equal shots.
        exposure: number of the pass: another number, other shots.
        differentiable: None: in training mode.
        effects: pattern of effects → their mode, of several that match the last; ``*`` for anything, and with several
            cascades the cascade's address before it.
        scale: pattern → factor on the spread of static errors; those of several that match multiply.
        time: seconds since calibration, for what drifts.
        overrides: figures to replace, by address, ``[R or 1, 1, …]`` or what broadcasts to it.

    Raises:
        InputError: an unknown mode; no seed where one is needed; no cascade in the model; an unknown address, a figure
            of another shape or that is not finite; a pattern that matches no effect; zones of one panel that would
            differ in an error they share.
    """
    _known(mode, "noise mode")
    chosen: dict[str, Mode] = dict(effects or {})
    for pattern, single in chosen.items():
        _known(single, f"noise mode of {pattern!r}")
    found = cascades(model)
    if not found:
        raise InputError("noise: the model has no optical cascade", remedy="to_optical(model, bench) first")
    modes = {name: modes_of(cascade, mode, chosen) for name, cascade in found.items()}
    _check_patterns("effects", chosen, found)
    _check_patterns("scale", scale or {}, found)
    for pattern, factor in (scale or {}).items():
        if not 0 <= factor < math.inf:
            raise InputError(f"noise: scale of {pattern!r}", value=factor, allowed="a factor ≥ 0")
    drawn = {single for table in modes.values() for single in table.values()} | {mode}
    if seed is None and drawn & {"frozen", "sample"}:
        raise InputError(f"noise mode {mode!r} draws random values and there is no seed", remedy="seed=0")
    index = as_index(realisations) if drawn & {"frozen", "sample"} else (0,)
    draws = Realisations(check_seed(seed), index, time) if seed is not None else None
    before = [(cascade, cascade.noise) for cascade in found.values()]
    try:
        for name, cascade in found.items():
            switched = switched_noise(mode, modes[name], cascade.bench.effects(cascade.stages))
            errors = None
            if scale and switched.static != "drawn":
                raise InputError(
                    f"noise mode {mode!r} with scale=", allowed="'frozen' or 'sample': nothing static is drawn here"
                )
            if draws is not None and switched.static == "drawn":
                errors = static_errors(cascade, draws, modes[name], scale or {})
            cascade.noise = dataclasses.replace(
                switched,
                state=_state(cascade, errors, overrides or {}, len(index)),
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


def _known(mode: str, what: str) -> None:
    if mode not in PRESETS:
        raise InputError(what, value=repr(mode), allowed=", ".join(MODES))


def _check_patterns(what: str, patterns: Iterable[str], found: Mapping[str, OpticalCascade]) -> None:
    """Raise for a pattern that matches no effect of any cascade."""
    for pattern in patterns:
        names = [name for cascade in found.values() for name in effect_names(cascade)]
        if not any(matches(pattern, name) for pair in names for name in pair):
            hints = {single if "[" in pattern else f"*.{single.rpartition('.')[2]}" for single, _ in names}
            raise InputError(f"{what}: pattern {pattern!r} matches no effect", allowed=nearest(pattern, hints))


def replacing(state: State, overrides: Mapping[str, Tensor], realisations: int = 1) -> State:
    """``overrides`` as figures in the place of those of ``state``, in their shapes ``[R or 1, 1, …]``.

    Raises:
        InputError: an unknown address; a figure that is no tensor, of another shape, or not finite.
    """
    figures: dict[str, Tensor] = {}
    for address, value in overrides.items():
        if address not in state:
            raise InputError(f"override {address!r} is no figure of this bench", allowed=nearest(address, state))
        if not isinstance(value, Tensor) or value.is_complex():
            kind = "complex values" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"override {address!r}", value=kind, allowed="a real tensor")
        shape = state[address].shape[2:]
        several = len(value) if value.ndim == 2 + len(shape) and value.shape[1] == 1 else 1
        if several not in (1, realisations):
            allowed = "of one bench" + (f", or of the {realisations} that are drawn" if realisations > 1 else "")
            raise InputError(f"override {address!r}", value=f"figures of {several} benches", allowed=allowed)
        try:
            figures[address] = value.expand(several, 1, *shape)
        except RuntimeError:
            wanted = ", ".join([f"{realisations} or 1" if realisations > 1 else "1", "1", *map(str, shape)])
            raise InputError(
                f"override {address!r}", value=f"shape {list(value.shape)}", allowed=f"what broadcasts to [{wanted}]"
            ) from None
        if not value.detach().isfinite().all():
            raise InputError(f"override {address!r}", value="values that are not finite", allowed="finite values")
    return figures


def _state(
    cascade: OpticalCascade, errors: State | None, overrides: Mapping[str, Tensor], realisations: int
) -> State | None:
    if errors is None and not overrides:
        return None
    state = dict(cascade.bench.nominal(cascade.stages) if errors is None else errors)
    state.update(replacing(state, overrides, realisations))
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
