"""Learned ranges of every cascade of a model: what is written, shown, lit and digitised as full scale.

| range | is | acts as |
|---|---|---|
| ``"input"`` | largest modulus of x that the input device writes, ``x_max`` | clip and rounding of x: LSQ |
| ``"converter"`` | share ≤ 1 of the detector's range that its converter spans | clip and rounding of the signal: LSQ |
| ``"stroke"`` | factor on the stroke of a phase panel, one for all its zones | steps between the phase levels |
| ``"power"`` | share ≤ 1 of the laser's power | photons, for losses that count them |

They are parameters of the cascades, in the state dict, and known to the electronics, which decode by them.

Source: Esser et al., ICLR 2020 (arXiv:1902.08153), for steps that are learned; Choi et al., arXiv:1805.06085, for
ranges that clip. Not modelled: how far the driver of a panel can stretch its stroke.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.evaluating import evaluating
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.learned_ranges import LearnedRanges, SoftLevels, panels_of
from photonic_acdc.optical.noise import Mode
from photonic_acdc.optical.switches import noise
from simulators.errors import InputError
from simulators.random import check_seed

RANGES = ("input", "converter", "stroke", "power")

_CONTINUOUS, _LEVELLED = "phase panels that are continuous", "at least one phase panel with levels"


def learn_ranges(model: nn.Module, *names: str) -> list[nn.Parameter]:
    """Make ranges of every cascade in ``model`` parameters, at their present values; learned ones stay as they are.

    >>> ranges = pa.learn_ranges(optic, "input", "converter")
    >>> pa.initialise_ranges(optic, train.x)
    >>> optimiser.add_param_group({"params": ranges, "lr": 1e-3})

    Args:
        model: any module tree.
        names: ``"input"``, ``"converter"``, ``"stroke"``, ``"power"``.

    Returns:
        The new parameters. That of the input has the unit of x; the others are logarithms of factors, 0 at first.

    Raises:
        InputError: an unknown name or none; no cascade; a bench that has no such range.
    """
    unknown = [name for name in names if name not in RANGES]
    if unknown or not names:
        value = repr(unknown[0]) if unknown else "no range"
        raise InputError("learn_ranges", value=value, allowed=", ".join(repr(name) for name in RANGES))
    found = _found(model, "learn_ranges")
    for cascade in found:
        for name in names:
            _check(cascade, name)
    return [parameter for cascade in found for parameter in _learn(cascade, names)]


def range_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The learned ranges of every cascade in ``model``, apart from its masks: for an optimiser's groups."""
    found: list[nn.Parameter] = []
    for cascade in cascades(model).values():
        if isinstance(cascade.x_max, nn.Parameter):
            found.append(cascade.x_max)
        if cascade.ranges is not None:
            found += cascade.ranges.parameters()
    return found


@torch.no_grad()
def initialise_ranges(model: nn.Module, x: Tensor, *, percentile: float = 99.9) -> None:
    """Set the learned ranges of input and converter from what each cascade meets while ``x`` passes nominal devices.

    The readings are those of a converter without rounding.

    Args:
        model: with learned ranges (:func:`learn_ranges`).
        x: inputs of the model, typical ones.
        percentile: of |input|, and of what the detector reads; what lies above is clipped.

    Raises:
        InputError: a percentile out of (0, 100]; neither of the two ranges learned; a percentile that is 0.
    """
    if not 0 < percentile <= 100:
        raise InputError("percentile", value=percentile, allowed="greater than 0, at most 100")
    found = _found(model, "initialise_ranges")
    converters = [cascade for cascade in found if _converter(cascade) is not None]
    if not converters and not any(isinstance(cascade.x_max, nn.Parameter) for cascade in found):
        raise InputError(
            "initialise_ranges: neither input nor converter is learned", remedy='learn_ranges(model, "input")'
        )

    if any(cascade.full_range() is None for cascade in converters):
        raise InputError("initialise_ranges: the converter is switched off on this bench", remedy="the whole bench")

    def measure(cascade: OpticalCascade, inputs: tuple) -> None:
        if isinstance(cascade.x_max, nn.Parameter):
            cascade.x_max.fill_(_percentile(inputs[0], percentile, "inputs of a cascade"))
        converter = _converter(cascade)
        if converter is not None:
            converter.zero_()  # the whole range, to see what it holds
            full = cascade.full_range()
            assert full is not None
            share = _percentile(cascade.frames(inputs[0]), percentile, "readings of a detector") / full
            converter.fill_(min(0.0, math.log(share)))

    handles = [cascade.register_forward_pre_hook(measure) for cascade in found]
    # Digits over the whole range may be too coarse to see what a part of it holds.
    exact: dict[str, Mode] = {} if not converters else {"detector.quantisation": "off"}
    try:
        with evaluating(model), noise(model, "mean", effects=exact):
            model(x)
    finally:
        for handle in handles:
            handle.remove()


def power_of(model: nn.Module) -> Tensor:
    """Mean share of the lasers' power that the cascades in ``model`` use, scalar, differentiable; 1 if not learned."""
    found = _found(model, "power_of")
    shares = [None if cascade.ranges is None else cascade.ranges.power_share() for cascade in found]
    like = found[0].reference
    return torch.stack([like.new_ones(()) if share is None else share.to(like) for share in shares]).mean()


def soft_levels(
    model: nn.Module, temperature: float | None, *, seed: int | None = None
) -> contextlib.AbstractContextManager[object]:
    """Let every phase panel in ``model`` show phases between its levels, from now on or for a ``with`` block.

    >>> with pa.soft_levels(optic, 0.01):
    ...     loss = objective(optic(x), y)

    Args:
        model: any module tree.
        temperature: T of :func:`simulators.effects.quantisation.soft_levels`, rad²; None: the nearest level,
            straight-through.
        seed: of random assignments (Gumbel), new ones with every exposure of the noise switch; None: none.

    Returns:
        A context that sets back what was before, if it is entered.

    Raises:
        InputError: a temperature that is not positive; a seed without one; no cascade in the model; no phase panel
            that has levels.
    """
    if temperature is not None and not 0 < temperature < math.inf:
        raise InputError("temperature", value=temperature, allowed="greater than 0 rad², finite, or None")
    if seed is not None and temperature is None:
        raise InputError("soft_levels: a seed and no temperature", allowed="random assignments at a temperature")
    soft = None if temperature is None else SoftLevels(temperature, None if seed is None else check_seed(seed))
    found = _found(model, "soft_levels")
    if soft is not None and not any(panels_of(cascade.bench, cascade.stages) for cascade in found):
        raise InputError("soft_levels", value=_CONTINUOUS, allowed=_LEVELLED, remedy="bits= of the panel")
    undo = contextlib.ExitStack()
    for cascade in found:
        undo.callback(setattr, cascade, "soft", cascade.soft)
        cascade.soft = soft
    return undo


def _found(model: nn.Module, who: str) -> list[OpticalCascade]:
    found = list(cascades(model).values())
    if not found:
        raise InputError(f"{who}: the model has no optical cascade", remedy="to_optical(model, bench) first")
    return found


def _check(cascade: OpticalCascade, name: str) -> None:
    """Raise where the bench has no such range."""
    bench = cascade.bench
    if name == "converter":
        whole = bench.replace(keep=None, drop=())
        if not whole.element(cascade.stages, "detector").has("quantisation"):
            raise InputError(
                'learn_ranges: "converter"',
                value=f"{bench.detector.name}, whose readings are continuous",
                allowed="a detector with bits over a full well or a full scale",
                remedy="bits= of the detector",
            )
    if name == "stroke" and not panels_of(bench, cascade.stages):
        raise InputError(
            'learn_ranges: "stroke"',
            value=_CONTINUOUS,
            allowed=_LEVELLED,
            remedy="bits= of the panel",
        )


def _learn(cascade: OpticalCascade, names: tuple[str, ...]) -> list[nn.Parameter]:
    like, new = cascade.reference, []
    for name in dict.fromkeys(names):
        if name == "input":
            if isinstance(cascade.x_max, nn.Parameter):
                continue
            value = cascade.x_max
            del cascade.x_max
            cascade.x_max = nn.Parameter(value)
            new.append(cascade.x_max)
            continue
        if cascade.ranges is None:
            cascade.ranges = LearnedRanges()
        if getattr(cascade.ranges, name) is None:
            shape = (len(panels_of(cascade.bench, cascade.stages)),) if name == "stroke" else ()
            new.append(nn.Parameter(like.new_zeros(shape)))
            setattr(cascade.ranges, name, new[-1])
    return new


def _converter(cascade: OpticalCascade) -> nn.Parameter | None:
    return None if cascade.ranges is None else cascade.ranges.converter


def _percentile(values: Tensor, percentile: float, what: str) -> float:
    found = float(np.percentile(values.abs().double().cpu().numpy(), percentile))
    if not found > 0:
        raise InputError(
            f"initialise_ranges: the {percentile:g} % percentile of the {what}", value=found, allowed="> 0"
        )
    return found
