"""A bench: one stage of placed devices, with its source, input device and detector; a template of a whole cascade.

A cascade of K stages repeats the stage. Every device has an address (``"stage[1].lens[0]"``), every effect a reference
(``"stage[1].lens[0].scale_error"``), and every figure that physics reads a place in the :data:`State`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from simulators import rules
from simulators.devices.camera import Camera
from simulators.devices.chain import EffectRef, Element
from simulators.devices.free_space import FreeSpace
from simulators.devices.laser import Laser
from simulators.devices.lens import Lens
from simulators.devices.photodiode import Photodiode
from simulators.devices.pose import Misalignment
from simulators.devices.reference_arm import ReferenceArm
from simulators.elements import elements_of, matches
from simulators.errors import InputError, nearest
from simulators.placed import Placed, named
from simulators.random import State
from simulators.spec import Fraction, Spec

#: How many stages patterns are checked against; a cascade may be longer.
_PATTERN_STAGES = 16


class Bench(Spec):
    """Source, input device, one stage (mask, lens, mask, lens), detector, and the modes they carry."""

    name: str = "bench"
    modes: tuple[int, int]  #: (y, x)
    source: Annotated[Laser, named]
    input: Placed  #: the device that writes x
    stage: tuple[Placed, Placed, Placed, Placed]
    detector: Annotated[Camera | Photodiode, Field(discriminator="kind"), named]
    reference_arm: Annotated[ReferenceArm, named] | None = None  #: what is wrong with the reference; None: nothing
    detector_misalignment: Misalignment | None = None  #: how far the camera may stand from its place
    reference_fill: Fraction = 0.5  #: share of full well or full scale that the reference of a coherent readout fills
    keep: tuple[str, ...] | None = None  #: patterns of effects that are on; None: all. See :meth:`only`
    drop: tuple[str, ...] = ()  #: patterns of effects that are off. See :meth:`without`

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rules.check(self)
        return self

    # --- geometry -------------------------------------------------------------------------------------------------

    @property
    def focal_lengths(self) -> tuple[float, float]:
        """Of the two lenses of the stage, m; of free space its length, which acts in the same place."""
        first, second = (
            place.device.distance if isinstance(place.device, FreeSpace) else _lens(place).focal_length
            for place in self.stage[1::2]
        )
        return first, second

    @property
    def transformed_axes(self) -> tuple[int, ...]:
        """0 (y) and 1 (x), or 1 alone where the lenses are cylindrical and image y."""
        lens = self.stage[1].device
        return (1,) if isinstance(lens, Lens) and lens.axes == "x" else (0, 1)

    @property
    def scales(self) -> tuple[float, float]:
        """Nominal M = λf/(p₁p₂) of the two lenses: pixels of one plane that a pixel of the other spreads over."""
        pitches = self.stage[0].pitch * self.stage[2].pitch
        first, second = self.focal_lengths
        return self.source.wavelength * first / pitches, self.source.wavelength * second / pitches

    @property
    def fourier_pixels(self) -> tuple[int, int]:
        """(y, x) macro-pixels of the Fourier-plane mask: M rounded up to an even number; rows where y is imaged."""
        pixels = 2 * math.ceil(max(self.scales) / 2 - 1e-9)
        return pixels if 0 in self.transformed_axes else self.modes[0], pixels

    @property
    def command_shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Macro-pixels (y, x) of the two masks of a stage."""
        return self.modes, self.fourier_pixels

    def native_steps(self, mask: int) -> int:
        """Steps a macro-pixel in which mask number ``mask`` draws the curvature of free space beside it; 1: none."""
        beside = [self.stage[1 + 2 * (path % 2)].device for path in (mask - 1, mask) if path >= 0]
        free = any(isinstance(device, FreeSpace) for device in beside)
        return self.stage[2 * (mask % 2)].macro_pixel if free else 1

    def curvature(self, mask: int) -> float:
        """α + β of the free space on both sides of mask number ``mask``, which it draws against, per pixel²."""
        pitch, total = self.stage[2 * (mask % 2)].pitch, 0.0
        for path in (mask - 1, mask):
            device = self.stage[1 + 2 * (path % 2)].device
            if path >= 0 and isinstance(device, FreeSpace):
                total += pitch**2 / (self.source.wavelength * device.distance)
        return total

    # --- elements, effects and their figures --------------------------------------------------------------------------

    def elements(self, stages: int) -> tuple[Element, ...]:
        """Every device of a cascade of ``stages`` at its address, with the links that are on."""
        return elements_of(self, stages)  # pyright: ignore[reportArgumentType]  # a frozen model is hashable

    def element(self, stages: int, address: str) -> Element:
        """One of :meth:`elements`; :class:`InputError` for an address that is not."""
        found = {element.address: element for element in self.elements(stages)}
        if address not in found:
            raise InputError(f"address {address!r} is no device of this bench", allowed=nearest(address, found))
        return found[address]

    def effects(self, stages: int) -> tuple[EffectRef, ...]:
        """Every effect that is on, in the order the light meets it."""
        return tuple(
            EffectRef(element.address, link.name, link.kind)
            for element in self.elements(stages)
            for link in element.links
        )

    def only(self, *patterns: str) -> Bench:
        """This bench with no effects but those that match; draws and addresses stay as they are.

        Args:
            patterns: effect references, ``*`` for anything: ``"*.flicker"``, ``"stage[1].*"``. None: ideal devices.

        Raises:
            InputError: a pattern that matches no effect of this bench.
        """
        self._check_patterns(patterns)
        return self.replace(keep=patterns)

    def without(self, *patterns: str) -> Bench:
        """This bench without the effects that match; draws and addresses stay as they are. Raises as :meth:`only`."""
        self._check_patterns(patterns)
        return self.replace(drop=self.drop + patterns)

    def with_levels(
        self, *, bits: int | None = None, levels: Sequence[float] | None = None, input_too: bool = True
    ) -> Bench:
        """This bench with other levels on both masks: 2^bits even ones, or any shares of the stroke; None: continuous.

        Args:
            bits: of the masks and the panels relayed onto them, and of the input panel.
            levels: of the masks, in place of ``bits``.
            input_too: whether the input panel has ``bits`` as well.

        Raises:
            InputError: bits that are not the panel's.
        """
        changes = {"bits": bits, "levels": None if levels is None else tuple(levels)}
        stage = list(self.stage)
        for i in (0, 2):
            stage[i] = stage[i].replace(device=stage[i].device.replace(**changes))
            companion = stage[i].companion
            if companion is not None and levels is None:
                stage[i] = stage[i].replace(companion=companion.replace(bits=bits))
        writer = self.input
        if bits is not None and input_too:
            writer = writer.replace(device=writer.device.replace(bits=bits))
        return self.replace(stage=tuple(stage), input=writer)

    def _check_patterns(self, patterns: tuple[str, ...]) -> None:
        known = [str(effect) for effect in self.replace(keep=None, drop=()).effects(_PATTERN_STAGES)]
        for pattern in patterns:
            if not any(matches(pattern, name) for name in known):
                # One stage, or each effect once, is enough to choose from: all places would fill pages.
                effects = self.replace(keep=None, drop=()).effects(1)
                hints = {str(effect) if "[" in pattern else f"*.{effect.name}" for effect in effects}
                raise InputError(f"effect pattern {pattern!r} matches nothing", allowed=nearest(pattern, hints))

    def nominal(
        self, stages: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
    ) -> State:
        """Every figure without error: ``{address: [1, 1, *shape]}``."""
        state: dict[str, Tensor] = {}
        for element in self.elements(stages):
            for address, _, parameter in element.figures():
                value = torch.tensor(parameter.nominal, dtype=dtype, device=device)
                state[f"{address}.{parameter.name}"] = value.expand(1, 1, *element.shape(parameter)).clone()
        return state

    def draw(
        self,
        stages: int,
        normal: Callable[[str, str, tuple[int, ...]], Tensor],
        *,
        prefix: str = "",
        time: float = 0.0,
    ) -> State:
        """Every figure with its static error: nominal + spread · ``normal(prefix + address, effect, shape)``.

        ``prefix`` tells apart two cascades on the same bench; zones of one panel keep the panel's draw. What drifts
        has moved for ``time`` seconds.
        """
        state: dict[str, Tensor] = dict(self.nominal(stages))
        drawn: set[str] = set()  # zones of one panel meet its figures again
        for element in self.elements(stages):
            drifting = {link.name for link in element.links if link.kind == "drift"}
            for address, effect, parameter in element.figures():
                key = f"{address}.{parameter.name}"
                spread = parameter.spread * (time if effect in drifting else 1.0)
                if spread and key not in drawn:
                    drawn.add(key)
                    place = address if address == element.panel else prefix + address
                    error = normal(place, effect, element.shape(parameter))
                    state[key] = state[key] + spread * error
        return state

    def photons_in(self, state: State) -> Tensor:
        """Photons that enter the bench in one exposure, behind the neutral-density filter, ``[R or 1, 1]``."""
        return state["source.power"] * state["detector.exposure"] * self.source.photons_per_joule()

    def rippling_panels(self, stages: int) -> tuple[str, ...]:
        """Addresses of the panels whose flicker is on, each once."""
        panels: dict[str, None] = {}
        for element in self.elements(stages):
            for link in element.links:
                if link.name == "flicker":
                    panels[element.home(link)] = None
        return tuple(panels)

    def transmission(self, stages: int, *, place: str = "") -> float:
        """Share of the power that the devices' own reflectances and transmissions pass, nominally.

        ``place``: only of addresses that begin so (``"input"``, ``"stage"``).
        """
        share = 1.0
        for element in self.elements(stages):
            if not element.address.startswith(place):
                continue
            for link in element.links:
                if link.name == "loss":
                    passed = link.parameters[0].nominal
                    assert isinstance(passed, float)
                    share *= passed
        return share


def _lens(place: Placed) -> Lens:
    assert isinstance(place.device, Lens)  # the rules have seen to it
    return place.device
