"""The ordered chain of effects a device applies: each link named and typed, with the figures it reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simulators.random import State

Kind = Literal["deterministic", "process", "mismatch", "dynamic", "drift", "history"]
"""How it is drawn: never, once for all devices of a kind, once an instance, each exposure, slowly, by history."""


@dataclass(frozen=True)
class Parameter:
    """One figure in the state: ``nominal + spread · ε``.

    Attributes:
        name: last part of its address.
        nominal: SI value without error; several values for a figure with an axis.
        spread: standard deviation over realisations, in the same unit, of a drift a second; 0: it is not drawn.
        shape: ``"pixels"`` for one value a pixel, or a fixed shape.
    """

    name: str
    nominal: float | tuple[float, ...]
    spread: float = 0.0
    shape: tuple[int, ...] | Literal["pixels"] = ()


@dataclass(frozen=True)
class Link:
    """One effect of a device.

    Attributes:
        name: of the effect, the last part of its reference (``"stage[0].mask[1].flicker"``).
        kind: how it is drawn.
        parameters: the figures it brings into the state.
        shared: one draw for all zones of a panel.
    """

    name: str
    kind: Kind
    parameters: tuple[Parameter, ...] = ()
    shared: bool = False


@dataclass(frozen=True)
class EffectRef:
    """One effect at one place: the axis of every error budget and switch."""

    address: str
    name: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.address}.{self.name}"


@dataclass(frozen=True)
class Element:
    """A device at its place in the cascade, with the links that are on.

    Attributes:
        address: ``"stage[1].lens[0]"``.
        spec: the device.
        pixels: (y, x) of the plane it sits in.
        panel: address of the panel it is a zone of, where it shares one.
        links: in the order they act.
        base: figures that are no error (laser power, exposure, lens scale).
        pitch: of its macro-pixels, m; of a device with pixels.
    """

    address: str
    spec: object
    pixels: tuple[int, int]
    links: tuple[Link, ...]
    base: tuple[Parameter, ...] = ()
    panel: str | None = None
    pitch: float | None = None

    def has(self, link: str) -> bool:
        """Whether this effect is on here."""
        return any(entry.name == link for entry in self.links)

    def home(self, link: Link) -> str:
        """The address under which a link keeps its figures."""
        return self.panel if link.shared and self.panel else self.address

    def read(self, state: State, link: str, parameter: str | None = None) -> Tensor:
        """A figure of a link (by default the one of the link's own name) out of the state."""
        entry = next(entry for entry in self.links if entry.name == link)
        return state[f"{self.home(entry)}.{parameter or link}"]

    def read_base(self, state: State, parameter: str) -> Tensor:
        """A base figure out of the state."""
        return state[f"{self.address}.{parameter}"]

    def figures(self) -> Iterable[tuple[str, str, Parameter]]:
        """(address, effect, parameter) of everything this element keeps in the state."""
        for parameter in self.base:
            yield self.address, "base", parameter
        for link in self.links:
            for parameter in link.parameters:
                yield self.home(link), link.name, parameter

    def shape(self, parameter: Parameter) -> tuple[int, ...]:
        """The shape of one figure, without realisation and batch."""
        return self.pixels if parameter.shape == "pixels" else parameter.shape


def pixelwise(value: Tensor) -> Tensor:
    """A scalar figure ``[R, 1]`` as ``[R, 1, 1, 1]``, so that it broadcasts against ``[R, B, y, x]``."""
    return value[..., None, None]


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two figures are alike in shape, place and value, so that what was computed of one serves the other."""
    return a.shape == b.shape and a.device == b.device and torch.equal(a, b)
