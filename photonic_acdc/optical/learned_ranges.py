"""What a cascade learns about the ranges of its devices, and how that enters the figures of its bench."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulators.bench import Bench
from simulators.devices.chain import Element
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.effects.quantisation import scale_gradient
from simulators.errors import InputError
from simulators.random import State, stream


@dataclass(frozen=True)
class SoftLevels:
    """Phase panels between their levels, a plain attribute of a cascade, as its noise is.

    Attributes:
        temperature: T of :func:`simulators.effects.quantisation.soft_levels`, rad².
        seed: of random assignments, another one every exposure; None: the mean over the levels.
    """

    temperature: float
    seed: int | None = None


class LearnedRanges(nn.Module):
    """Ranges as parameters, each the logarithm of a factor, so that no step makes one negative; None: not learned.

    Attributes:
        converter: of the share r ≤ 1 of the detector's range that its converter spans, scalar.
        stroke: of the factor on the stroke of each phase panel, ``[panels]`` as of :func:`panels_of`.
        power: of the share ≤ 1 of the laser's power, scalar.
    """

    converter: nn.Parameter | None
    stroke: nn.Parameter | None
    power: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        for name in ("converter", "stroke", "power"):
            self.register_parameter(name, None)

    def converter_share(self, bench: Bench) -> Tensor | None:
        """r, its gradient scaled as LSQ does for the N·Q digits of a frame."""
        if self.converter is None:
            return None
        digits = 2 ** (bench.detector.bits or 1) - 1
        return scale_gradient(_share(self.converter), _lsq(math.prod(bench.modes), digits))

    def power_share(self) -> Tensor | None:
        """The laser's power, in units of the bench's."""
        return None if self.power is None else _share(self.power)

    def figures(self, state: State, bench: Bench, stages: int) -> State:
        """``state`` with the learned ranges in it; effects that are off stay off.

        Raises:
            InputError: another number of phase panels than that of the bench they were learned on.
        """
        if self.converter is None and self.stroke is None and self.power is None:
            return state
        changed = dict(state)
        power, converter = self.power_share(), self.converter_share(bench)
        if power is not None:
            changed["source.power"] = state["source.power"] * power
        if converter is not None:
            changed["detector.range"] = converter.reshape(1, 1)
        if self.stroke is not None:
            panels = panels_of(bench, stages)
            if len(panels) != len(self.stroke):
                raise InputError(
                    "learned strokes",
                    value=f"of {len(self.stroke)} phase panels",
                    allowed=f"the {len(panels)} phase panels of bench {bench.name!r} that have levels",
                )
            for factor, zones in zip(self.stroke.exp(), panels, strict=True):
                for zone in zones:
                    key = f"{zone.address}.stroke"
                    if key in state:
                        pixels = sum(math.prod(each.pixels) for each in zones)
                        changed[key] = state[key] * scale_gradient(factor, _lsq(pixels, _levels(zone) - 1))
        return changed


def has_levels(element: Element) -> bool:
    """Whether it is a zone of a phase panel whose levels act."""
    return isinstance(element.spec, PhaseModulator) and element.has("quantisation")


def panels_of(bench: Bench, stages: int) -> tuple[tuple[Element, ...], ...]:
    """Zones of each phase panel with levels, in the order of the light, whether or not the levels act."""
    return _panels_of(bench, stages)  # pyright: ignore[reportArgumentType]  # a frozen model is hashable


@functools.lru_cache(maxsize=64)
def _panels_of(bench: Bench, stages: int) -> tuple[tuple[Element, ...], ...]:
    panels: dict[str, list[Element]] = {}
    for element in bench.replace(keep=None, drop=()).elements(stages):
        if has_levels(element):
            panels.setdefault(element.panel or element.address, []).append(element)
    return tuple(tuple(zones) for zones in panels.values())


def input_range(x_max: Tensor, bench: Bench, features: int) -> Tensor:
    """x_max as it acts: a learned one with its gradient scaled as LSQ does.

    Raises:
        InputError: a learned one that is no longer positive.
    """
    if not isinstance(x_max, nn.Parameter):
        return x_max
    if not 0 < x_max.item() < math.inf:
        raise InputError(
            "x_max, a learned range",
            value=f"{x_max.item():g}",
            allowed="greater than 0, and finite",
            remedy="a smaller learning rate for the ranges: x_max has the unit of x",
        )
    panel = bench.input.device
    assert isinstance(panel, AmplitudeModulator)  # the bench has seen to it
    steps = (2 ** (panel.bits or 1) - 1) / (2 if panel.bipolar else 1)
    return scale_gradient(x_max, _lsq(features, steps))


def clipped(values: Tensor) -> Tensor:
    """Values beyond a modulus of 1 at 1: a learned range means to cut what lies beyond."""
    if values.is_complex():
        return values / values.abs().clamp(min=1)
    return values.clamp(-1, 1)


def softened(state: State, soft: SoftLevels, bench: Bench, stages: int, *, prefix: str, exposure: int) -> State:
    """``state`` with the temperature of the phase panels, and the Gumbel values of random assignments."""
    changed = dict(state)
    like = state["source.power"]
    for zone in (zone for zones in panels_of(bench, stages) for zone in zones):
        changed[f"{zone.address}.temperature"] = torch.full_like(like, soft.temperature)
        if soft.seed is not None:
            draws = stream(soft.seed, prefix + zone.address, "gumbel", exposure=exposure)
            values = draws.gumbel(size=(1, 1, *_pixels(zone, bench), _levels(zone)))
            changed[f"{zone.address}.gumbel"] = torch.from_numpy(values).to(like)
    return changed


def _pixels(zone: Element, bench: Bench) -> tuple[int, int]:
    """Pixels that are told a phase of their own: native ones where two phases share a macro-pixel."""
    for i in (0, 1):
        place = bench.stage[2 * i]
        if place.double_phase and zone.address.endswith(f".mask[{i}]"):
            return zone.pixels[0] * place.macro_pixel, zone.pixels[1] * place.macro_pixel
    return zone.pixels


def _levels(zone: Element) -> int:
    spec = zone.spec
    assert isinstance(spec, PhaseModulator)
    return 2**spec.bits if spec.bits is not None else len(spec.levels or ())


def _lsq(count: int, levels: float) -> float:
    """1/√(N·Q) of Esser et al., arXiv:1902.08153, section 2.2."""
    return 1 / math.sqrt(count * levels)


class _AtMostZero(torch.autograd.Function):
    """min(θ, 0), whose gradient at the end is lost only where it would push on."""

    @staticmethod
    def forward(value: Tensor) -> Tensor:
        return value.clamp(max=0)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (value,) = ctx.saved_tensors
        # A step goes against the gradient: a positive one leads back into the range.
        return torch.where((value < 0) | (gradient > 0), gradient, 0.0)


def _share(logarithm: Tensor) -> Tensor:
    share = _AtMostZero.apply(logarithm)
    assert isinstance(share, Tensor)
    return share.exp()
