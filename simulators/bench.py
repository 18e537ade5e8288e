"""A bench: one stage of placed devices, with its source, input device and detector; a template of a whole cascade.

A cascade of K stages repeats the stage. Every device has an address (``"stage[1].lens[0]"``), every effect a reference
(``"stage[1].lens[0].scale_error"``), and every figure that physics reads a place in the :data:`State`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from torch import Tensor

from simulators.devices.camera import Camera
from simulators.devices.catalogue import device_data
from simulators.devices.chain import EffectRef, Element, Link, Parameter
from simulators.devices.laser import Laser
from simulators.devices.lens import Lens
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.errors import InputError, nearest
from simulators.random import State
from simulators.spec import Fraction, Spec

#: How many stages patterns are checked against; a cascade may be longer.
_PATTERN_STAGES = 16


def _from_catalogue(value: Any, info: ValidationInfo) -> Any:
    """A device may be named (``"hene_633"``), named and changed (``{catalogue = "hene_633", …}``), or given in full."""
    if isinstance(value, str):
        return dict(device_data(_beside(value, info)))
    if isinstance(value, Mapping) and "catalogue" in value:
        changes = {key: entry for key, entry in value.items() if key != "catalogue"}
        return {**device_data(_beside(str(value["catalogue"]), info)), **changes}
    return value


def _beside(name: str, info: ValidationInfo) -> str:
    """A user's device file is looked for beside the bench's file first."""
    if name.endswith(".toml") and info.context and info.context.get("file"):
        beside = Path(info.context["file"]).parent / name
        if beside.exists():
            return str(beside)
    return name


_named = BeforeValidator(_from_catalogue)
PlacedDevice = Annotated[PhaseModulator | AmplitudeModulator | Lens, Field(discriminator="kind"), _named]


class Placed(Spec):
    """A device at its place on the bench.

    A modulator shows one value a macro-pixel of ``macro_pixel`` × ``macro_pixel`` native pixels. With a ``companion``
    of the other kind, relayed onto it 1:1, a phase panel becomes a complex mask, an amplitude panel a complex input.
    """

    device: PlacedDevice
    macro_pixel: int = Field(default=1, ge=1)  #: native pixels a macro-pixel and axis
    panel: str | None = None  #: zones of one panel share its look-up table and its ripple
    companion: Annotated[PhaseModulator | AmplitudeModulator, Field(discriminator="kind"), _named] | None = None
    relay: Annotated[Lens, _named] | None = None  #: each of the two lenses that image this plane onto the next device

    @property
    def pitch(self) -> float:
        """Macro-pixel pitch, m; of a modulator."""
        if isinstance(self.device, Lens):
            raise TypeError("a lens has no pixels")
        return self.device.pixel_pitch * self.macro_pixel


class Bench(Spec):
    """Source, input device, one stage (mask, lens, mask, lens), detector, and the modes they carry."""

    name: str = "bench"
    modes: tuple[int, int]  #: (y, x)
    source: Annotated[Laser, _named]
    input: Placed  #: the device that writes x
    stage: tuple[Placed, Placed, Placed, Placed]
    detector: Annotated[Camera, _named]
    reference_fill: Fraction = 0.5  #: share of the full well that the reference of a coherent readout fills
    keep: tuple[str, ...] | None = None  #: patterns of effects that are on; None: all. See :meth:`only`
    drop: tuple[str, ...] = ()  #: patterns of effects that are off. See :meth:`without`

    # --- what the devices must satisfy --------------------------------------------------------------------------

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_kinds()
        wavelength = self.source.wavelength
        for role, device in self._devices():
            device.check_wavelength(wavelength, role)
        self._check_modes()
        self._check_panels()
        if self.detector.bits is not None and self.detector.full_well is None:
            raise InputError(
                "detector.bits", value=self.detector.bits, allowed="bits over a full well", remedy="full_well"
            )
        return self

    def _check_kinds(self) -> None:
        for i, (place, kind) in enumerate(zip(self.stage, ("mask", "lens", "mask", "lens"), strict=True)):
            wanted = Lens if kind == "lens" else PhaseModulator
            if not isinstance(place.device, wanted):
                raise InputError(f"stage[{i}].device", value=place.device.kind, allowed=f"a {kind}")
            if kind == "mask" and isinstance(place.companion, PhaseModulator):
                raise InputError(f"stage[{i}].companion", value="phase_modulator", allowed="an amplitude panel")
        if not isinstance(self.input.device, AmplitudeModulator):
            raise InputError("input.device", value=self.input.device.kind, allowed="an amplitude_modulator")
        if isinstance(self.input.companion, AmplitudeModulator):
            raise InputError("input.companion", value="amplitude_modulator", allowed="a phase panel")
        if not math.isclose(self.input.pitch, self.stage[0].pitch, rel_tol=1e-9):
            raise InputError(
                "input.macro_pixel: the macro-pixel that writes x",
                value=f"{self.input.pitch * 1e6:g} um",
                allowed=f"that of the first mask, {self.stage[0].pitch * 1e6:g} um, onto which it is imaged 1:1",
            )

    def _check_panels(self) -> None:
        panels: dict[str, PlacedDevice] = {}
        for i, place in enumerate((self.input, *self.stage)):
            if place.panel and panels.setdefault(place.panel, place.device) != place.device:
                raise InputError(
                    f"{'input' if i == 0 else f'stage[{i - 1}]'}.panel {place.panel!r}",
                    value=f"zones of {panels[place.panel].name} and {place.device.name}",
                    allowed="one device, with one set of figures, a panel",
                    remedy="another panel name",
                )

    def _devices(self):
        yield "source", self.source
        yield "input.device", self.input.device
        for i, place in enumerate(self.stage):
            yield f"stage[{i}].device", place.device
        for name, place in (("input", self.input), *((f"stage[{i}]", p) for i, p in enumerate(self.stage))):
            if place.companion:
                yield f"{name}.companion", place.companion
            if place.relay:
                yield f"{name}.relay", place.relay
        yield "detector", self.detector

    def _check_modes(self) -> None:
        largest = max(self.modes)
        if min(self.modes) < 1:
            raise InputError("modes", value=self.modes, allowed="at least one mode an axis")
        first, second = self.stage[0], self.stage[2]
        scale = min(self.scales)
        if scale < 2 * largest - 1 and largest > 1:
            product = self.source.wavelength / (first.pitch * second.pitch)
            raise InputError(
                f"modes: {self.modes[0]}x{self.modes[1]} modes need M ≥ 2N-1 = {2 * largest - 1}, but "
                f"M = λf/(p1·p2) = {scale:.2f} (λ = {self.source.wavelength * 1e9:g} nm, "
                f"f = {min(self.focal_lengths) * 1e3:g} mm, p1 = {first.pitch * 1e6:g} um, "
                f"p2 = {second.pitch * 1e6:g} um)",
                remedy=f"at most {max(1, math.floor((scale + 1) / 2))} modes an axis, "
                f"f ≥ {(2 * largest - 1) / product * 1e3:.0f} mm, or smaller macro-pixels",
            )
        for name, place, pixels in (
            ("input", self.input, self.modes),
            ("stage[0]", first, self.modes),
            ("stage[2]", second, self.fourier_pixels),
        ):
            device = place.device
            assert not isinstance(device, Lens)
            need = (pixels[0] * place.macro_pixel, pixels[1] * place.macro_pixel)
            if need[0] > device.resolution[0] or need[1] > device.resolution[1]:
                raise InputError(
                    f"{name}: a zone of {need[0]}x{need[1]} native pixels",
                    allowed=f"the {device.resolution[0]}x{device.resolution[1]} pixels of {device.name}",
                    remedy="fewer modes or smaller macro-pixels",
                )
        for i in (1, 3):
            lens = self.stage[i].device
            assert isinstance(lens, Lens)
            width = largest * first.pitch + max(self.fourier_pixels) * second.pitch
            if width > lens.diameter:
                raise InputError(
                    f"stage[{i}]: the light is up to N·p1 + P·p2 = {width * 1e3:.1f} mm wide at the lens",
                    allowed=f"its clear diameter, {lens.diameter * 1e3:.1f} mm ({lens.name})",
                    remedy="fewer modes, smaller macro-pixels, or a larger lens",
                )

    # --- geometry -------------------------------------------------------------------------------------------------

    @property
    def focal_lengths(self) -> tuple[float, float]:
        """Of the two lenses of the stage, m."""
        first, second = self.stage[1].device, self.stage[3].device
        assert isinstance(first, Lens)
        assert isinstance(second, Lens)
        return first.focal_length, second.focal_length

    @property
    def scales(self) -> tuple[float, float]:
        """Nominal M = λf/(p₁p₂) of the two lenses: pixels of one plane that a pixel of the other spreads over."""
        pitches = self.stage[0].pitch * self.stage[2].pitch
        first, second = self.focal_lengths
        return self.source.wavelength * first / pitches, self.source.wavelength * second / pitches

    @property
    def fourier_pixels(self) -> tuple[int, int]:
        """(y, x) macro-pixels of the Fourier-plane mask: M rounded up to an even number."""
        pixels = 2 * math.ceil(max(self.scales) / 2 - 1e-9)
        return pixels, pixels

    @property
    def command_shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Macro-pixels (y, x) of the two masks of a stage."""
        return self.modes, self.fourier_pixels

    # --- elements, effects and their figures --------------------------------------------------------------------------

    def elements(self, stages: int) -> tuple[Element, ...]:
        """Every device of a cascade of ``stages`` at its address, with the links that are on."""
        return _elements(self, stages)  # pyright: ignore[reportArgumentType]  # a frozen model is hashable

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

    def _check_patterns(self, patterns: tuple[str, ...]) -> None:
        known = [str(effect) for effect in self.replace(keep=None, drop=()).effects(_PATTERN_STAGES)]
        for pattern in patterns:
            if not any(_matches(pattern, name) for name in known):
                # One stage, or each effect once, is enough to choose from: all places would fill pages.
                effects = self.replace(keep=None, drop=()).effects(1)
                hints = {str(effect) if "[" in pattern else f"*.{effect.name}" for effect in effects}
                raise InputError(f"effect pattern {pattern!r} matches nothing", allowed=nearest(pattern, hints))

    def nominal(
        self, stages: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
    ) -> State:
        """Every figure without error: ``{address: [1, 1, *shape]}``."""
        return {
            f"{address}.{parameter.name}": torch.full(
                (1, 1, *element.shape(parameter)), parameter.nominal, dtype=dtype, device=device
            )
            for element in self.elements(stages)
            for address, _, parameter in element.figures()
        }

    def draw(self, stages: int, normal: Callable[[str, str, tuple[int, ...]], Tensor], *, prefix: str = "") -> State:
        """Every figure with its static error: nominal + spread · ``normal(prefix + address, effect, shape)``.

        ``prefix`` tells apart two cascades on the same bench; zones of one panel keep the panel's draw.
        """
        state: dict[str, Tensor] = dict(self.nominal(stages))
        drawn: set[str] = set()  # zones of one panel meet its figures again
        for element in self.elements(stages):
            for address, effect, parameter in element.figures():
                key = f"{address}.{parameter.name}"
                if parameter.spread and key not in drawn:
                    drawn.add(key)
                    place = address if address == element.panel else prefix + address
                    error = normal(place, effect, element.shape(parameter))
                    state[key] = state[key] + parameter.spread * error
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
                    share *= link.parameters[0].nominal
        return share


def _matches(pattern: str, name: str) -> bool:
    """Shell-like, with ``*`` alone special: addresses are full of brackets."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


@functools.lru_cache(maxsize=256)
def _elements(bench: Bench, stages: int) -> tuple[Element, ...]:
    if stages < 1:
        raise InputError("stages", value=stages, allowed="at least 1")

    def element(address, spec, links, pixels=(1, 1), base=(), panel=None) -> Element:
        on = tuple(link for link in links if _is_on(bench, f"{address}.{link.name}"))
        return Element(address, spec, pixels, on, tuple(base), panel)

    def modulators(address: str, place: Placed, pixels: tuple[int, int]):
        panel = f"panel[{place.panel}]" if place.panel else None
        device = place.device
        assert not isinstance(device, Lens)
        yield element(address, device, device.links(), pixels, panel=panel)
        if place.companion:
            name = "phase" if isinstance(place.companion, PhaseModulator) else "amplitude"
            yield element(f"{address}.{name}", place.companion, place.companion.links(), pixels)
        if place.relay:
            yield element(f"{address}.relay", place.relay, _relay_links(place.relay))

    found = [element("source", bench.source, bench.source.links(), base=bench.source.base())]
    found += modulators("input", bench.input, bench.modes)
    for s in range(stages):
        for i in (0, 1):
            mask, lens = bench.stage[2 * i], bench.stage[2 * i + 1].device
            assert isinstance(lens, Lens)
            found += modulators(f"stage[{s}].mask[{i}]", mask, bench.command_shapes[i])
            address = f"stage[{s}].lens[{i}]"
            on = _is_on(bench, f"{address}.scale_error")
            base = lens.base() if on else (Parameter("scale", 1.0),)
            found.append(element(address, lens, lens.links(), base=base))
    camera = bench.detector
    reference = Parameter("reference", _reference_photons(bench))
    found.append(
        element(
            "detector",
            camera,
            camera.links_for(bench.stage[0].pitch),
            bench.modes,
            base=(*camera.base(), reference),
        )
    )
    return tuple(found)


def _is_on(bench: Bench, name: str) -> bool:
    kept = bench.keep is None or any(_matches(pattern, name) for pattern in bench.keep)
    return kept and not any(_matches(pattern, name) for pattern in bench.drop)


def _relay_links(lens: Lens) -> tuple[Link, ...]:
    """A 1:1 relay is two such lenses; of its effects only the loss matters."""
    if lens.transmission is None:
        return ()
    return (Link("loss", "deterministic", (Parameter("transmission", lens.transmission**2),)),)


def _reference_photons(bench: Bench) -> float:
    """Reference photons a mode and frame for a coherent readout: its share of the full well."""
    camera = bench.detector
    power = bench.source.base()[0].nominal
    if camera.full_well is None:
        # Nothing limits it: as strong as all the light of the bench together.
        return power * camera.exposure * bench.source.photons_per_joule()
    electrons = bench.reference_fill * camera.full_well * camera.pixels_per_mode(bench.stage[0].pitch)
    return electrons / (camera.quantum_efficiency or 1.0) / camera.window**2
