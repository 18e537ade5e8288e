"""The figures of a device in words: each with its unit, its source, and how far to trust it."""

from __future__ import annotations

import math
import types
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from simulators.devices.camera import Camera
from simulators.devices.free_space import FreeSpace
from simulators.devices.laser import Laser
from simulators.devices.lens import Lens
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.devices.photodiode import Photodiode
from simulators.devices.reference_arm import ReferenceArm
from simulators.spec import (
    Angle,
    AngularSpeed,
    Capacitance,
    Confidence,
    Current,
    Curvature,
    DeviceSpec,
    Frequency,
    Length,
    Power,
    PowerNoise,
    Rate,
    Resistance,
    Responsivity,
    Signed,
    Speed,
    Temperature,
    Tilt,
    Time,
    VoltageNoise,
)

#: From the best known to what only its user can judge.
CONFIDENCES: tuple[Confidence, ...] = ("measured", "datasheet", "secondary", "nominal", "user")

#: What is no figure: it needs no source.
METADATA = ("name", "kind", "vendor", "notes", "provenance")

_ALIASES: tuple[tuple[Any, str], ...] = (
    (Length, "m"),
    (Signed, "m"),
    (Time, "s"),
    (Frequency, "Hz"),
    (Rate, "/s"),
    (Angle, "rad"),
    (Tilt, "rad"),
    (Speed, "m/s"),
    (AngularSpeed, "rad/s"),
    (Power, "W"),
    (Current, "A"),
    (Resistance, "ohm"),
    (Capacitance, "F"),
    (Temperature, "K"),
    (Responsivity, "A/W"),
    (VoltageNoise, "V/√Hz"),
    (PowerNoise, "/Hz"),
    (Curvature, "/m"),
)
#: The mark that reads a quantity in its unit, and that unit.
_UNITS: Mapping[Any, str] = {get_args(alias)[1]: unit for alias, unit in _ALIASES}

#: Pure numbers that count something.
_COUNTED = {
    "bits": "bit",
    "effective_bits": "bit",
    "full_well": "electrons",
    "read_noise": "electrons",
    "offset_nonuniformity": "electrons",
    "black_level": "electrons",
    "dark_current": "electrons/s",
    "electrical_power": "W",
    "common_mode_rejection_dB": "dB",
}

#: Defaults that say nothing without the figure they go with.
_COMPANIONS = {"crosstalk_kernel": "crosstalk_fwhm", "dead_reflection": "fill_model"}

_PREFIXED = ("m", "s", "Hz", "W", "A", "ohm", "F", "V/√Hz", "m/s", "rad/s")
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


@dataclass(frozen=True)
class Figure:
    """One figure of a device.

    Attributes:
        name: of the field.
        text: value and unit (``"8 um"``).
        confidence: how far to trust it; None: a default of the kind, such as an exposure, that is no datum.
        source: where it comes from.
    """

    name: str
    text: str
    confidence: Confidence | None
    source: str


def figures(device: DeviceSpec) -> tuple[Figure, ...]:
    """Every figure of a device that is set, in the order of its data sheet."""
    known = {entry.figure: entry for entry in device.provenance}
    found = []
    for name in type(device).model_fields:
        value = getattr(device, name)
        if name in METADATA or value is None or value == ():
            continue
        if name in _COMPANIONS and getattr(device, _COMPANIONS[name]) is None:
            continue
        text = in_words(name, value, unit_of(type(device), name))
        if name in known or name in device.model_fields_set:
            origin = device.source_of(name)
            found.append(Figure(name, text, origin.confidence, origin.source))
        else:
            found.append(Figure(name, text, None, "default of its kind, to be set on the bench"))
    return tuple(found)


def unit_of(kind: type[DeviceSpec], figure: str) -> str:
    """The SI unit of a figure of a kind of device, or what a pure number counts; empty for a mere ratio."""
    units = {_UNITS[mark] for mark in _marks(get_type_hints(kind, include_extras=True)[figure]) if mark in _UNITS}
    (unit,) = units or {""}
    if unit in ("", "/s"):
        return _COUNTED.get(figure, unit)
    return unit


def _marks(hint: Any) -> list[Any]:
    """Everything hashable that annotates a type, down to the members of its unions and tuples."""
    if get_origin(hint) is Annotated:
        return [mark for mark in hint.__metadata__ if mark.__hash__ is not None] + _marks(hint.__origin__)
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return [mark for member in get_args(hint) for mark in _marks(member)]
    return []


def in_words(figure: str, value: Any, unit: str) -> str:
    """A value with its unit, without the noise of binary fractions: ``"8 um"``, ``"1080 x 1920 (rows x columns)"``."""
    if figure == "resolution":
        return f"{value[0]} x {value[1]} (rows x columns)"
    if figure == "wavelength_range":
        return " to ".join(f"{each * 1e9:.6g} nm" for each in value)
    if figure == "zernike":
        return ", ".join(f"Z{noll} {quantity(rms, unit)}" for noll, rms in value)
    if figure == "crosstalk_kernel" and isinstance(value, tuple):
        return f"table of {len(value)} points"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(in_words("", each, unit) for each in value)
    return quantity(value, unit) if isinstance(value, int | float) else str(value)


def quantity(value: float, unit: str) -> str:
    """A number with its unit and, where the unit takes one, the prefix that leaves 1 to 999 before the point."""
    power = 0
    if unit in _PREFIXED and value:
        # Rounded first: 999.9999999 nm is 1 um.
        power = 3 * math.floor(math.log10(float(f"{abs(value):.6g}")) / 3 + 1e-12)
        power = min(max(power, min(_PREFIXES)), max(_PREFIXES))
    number = f"{value / 10**power:.6g}"
    return f"{number} {_PREFIXES[power]}{unit}" if unit else number


def key_figures(device: DeviceSpec) -> str:
    """What one asks first of a device, in a few words."""
    parts: list[str] = []
    if isinstance(device, Laser):
        parts = [quantity(device.power, "W")]
    elif isinstance(device, Lens):
        parts = [f"f = {quantity(device.focal_length, 'm')}", f"{quantity(device.diameter, 'm')} wide"]
        parts += ["x only"] if device.axes == "x" else []
    elif isinstance(device, PhaseModulator | AmplitudeModulator | Camera | Photodiode):
        rows, columns = device.resolution
        parts = [f"{columns}x{rows}", quantity(device.pixel_pitch, "m")]
        if isinstance(device, PhaseModulator) and device.levels is not None:
            parts += [f"{len(device.levels)} levels"]
        elif device.bits is not None:
            parts += [f"{device.bits} bit"]
        parts += [quantity(device.frame_rate, "Hz")] if device.frame_rate is not None else []
    elif isinstance(device, FreeSpace):
        parts = [f"z = {quantity(device.distance, 'm')}"]
    elif isinstance(device, ReferenceArm):
        parts = [] if device.visibility is None else [f"visibility {device.visibility:g}"]
    return ", ".join(parts)


def wavelengths(device: DeviceSpec) -> str:
    """Where it may be used, or what it emits, in nm."""
    if isinstance(device, Laser):
        return f"{device.wavelength * 1e9:.6g}"
    if device.wavelength_range is None:
        return "any"
    low, high = device.wavelength_range
    return f"{low * 1e9:.0f}-{high * 1e9:.0f}"


def effects_of(device: DeviceSpec) -> tuple[str, ...]:
    """The names of the effects it applies to light, in the order they act."""
    if isinstance(device, Camera):
        return tuple(link.name for link in device.links_for(device.pixel_pitch))
    assert isinstance(
        device, Laser | Lens | PhaseModulator | AmplitudeModulator | FreeSpace | Photodiode | ReferenceArm
    )
    return tuple(link.name for link in device.links())


def confidence(device: DeviceSpec) -> str:
    """How many of its figures are known how well: ``"4 secondary, 9 nominal"``."""
    counts = Counter(entry.confidence for entry in figures(device))
    return ", ".join(f"{counts[each]} {each}" for each in CONFIDENCES if counts[each])
