"""The noise switch: ``off | mean | frozen | sample``, one for training and evaluation.

| mode | static errors | dynamic effects |
|---|---|---|
| ``off`` | ideal devices: no effect at all, quantisation included | none |
| ``mean`` | nominal | as the expected field |
| ``frozen`` | realisation r | as the expected field |
| ``sample`` | realisation r | drawn anew a sample and exposure |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simulators.errors import InputError
from simulators.random import Realisations, State, as_index, check_seed

Mode = Literal["off", "mean", "frozen", "sample"]
MODES: tuple[Mode, ...] = ("off", "mean", "frozen", "sample")


@dataclass(frozen=True, eq=False)
class Noise:
    """What one cascade is to simulate; a plain attribute of it, never part of its state dict.

    Attributes:
        static: ``"none"`` (ideal devices), ``"nominal"`` or ``"drawn"``.
        dynamic: ``"none"``, ``"expected"`` or ``"drawn"``.
        state: figures of the devices where static errors are drawn or overridden; None: nominal.
        seed: of the shots.
        realisations: absolute numbers of the R benches.
        samples: identities of the rows of a batch; None: 0, 1, 2, ….
        exposure: number of the pass.
        differentiable: noise with a gradient (training) instead of counts.
    """

    static: Literal["none", "nominal", "drawn"] = "nominal"
    dynamic: Literal["none", "expected", "drawn"] = "expected"
    state: State | None = None
    seed: int = 0
    realisations: tuple[int, ...] = (0,)
    samples: tuple[int, ...] | None = None
    exposure: int = 0
    differentiable: bool = False


_PRESETS = {
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
    from photonic_acdc.optical.convert import cascades

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
                static=static,  # type: ignore[arg-type]
                dynamic=dynamic,  # type: ignore[arg-type]
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


def _state(cascade, draws: Realisations | None, overrides: Mapping[str, Tensor]) -> State | None:
    if draws is None and not overrides:
        return None
    bench, stages = cascade.bench, cascade.stages
    state = dict(bench.nominal(stages) if draws is None else draws.draw(bench, stages, prefix=cascade.address))
    for address in overrides:
        if address not in state:
            from simulators.errors import nearest

            raise InputError(f"override {address!r} is no figure of this bench", allowed=nearest(address, state))
    state.update(overrides)
    like = cascade.reference
    return {address: value.to(like) for address, value in state.items()}


def over_realisations(x: Tensor, realisations: int) -> Tensor:
    """``x [B, …]`` repeated for R realisations, ``[R·B, …]``; ``.unflatten(0, (R, B))`` of the output undoes it."""
    return torch.cat([x] * realisations)
