"""Frozen specs: what a thing is, checked once at the edge, in SI floats ever after.

A spec is a pydantic model that cannot be changed, hashed and pickled at will. Its figures are annotated with unit
types (:data:`Length`, :data:`Time`, …): a file must write them with a unit (``"8 um"``), Python may pass SI floats.
Every figure of a device may carry where it comes from: ``{ value = "8 um", source = "…", confidence = "datasheet" }``.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from simulators.errors import InputError, nearest

Confidence = Literal["datasheet", "secondary", "nominal", "measured", "user"]


# --- units -----------------------------------------------------------------------------------------------------------


@functools.cache
def _registry():
    import pint  # 0.3 s: only when a string with a unit is read

    registry = pint.UnitRegistry(cache_folder=None)
    registry.define("pixel = [] = px")  # pint's own px is a length, 1/96 inch
    registry.define("electron_count = [] = electrons")
    return registry


@functools.cache
def parse_quantity(text: str, unit: str) -> float:
    """The SI value of ``text`` (``"8 um"``) in ``unit`` (``"m"``).

    Raises:
        PydanticCustomError: no unit, an unknown unit, or one of another dimension.
    """
    import pint

    registry = _registry()
    try:
        quantity = registry.parse_expression(text)
    except Exception as error:  # pint raises tokenizer, syntax and its own errors alike
        raise PydanticCustomError("unit", "{text}, which cannot be read as a quantity", {"text": repr(text)}) from error
    if not isinstance(quantity, registry.Quantity):
        if unit:
            raise PydanticCustomError("unit", "{text}, which has no unit", {"text": repr(text)})
        return float(quantity)
    if unit and quantity.unitless:  # else pint would take "2" for radians
        raise PydanticCustomError("unit", "{text}, which has no unit", {"text": repr(text)})
    try:
        return float(quantity.to(unit or "dimensionless").magnitude)
    except pint.DimensionalityError as error:
        raise PydanticCustomError(
            "unit",
            "{text}, which has dimension {dimension}",
            {"text": repr(text), "dimension": str(quantity.dimensionality)},
        ) from error


def _reader(unit: str, example: str):
    def read(value: Any, info: ValidationInfo) -> Any:
        allowed = f"a number{' with a unit' if unit else ''}, such as {example!r}"
        if isinstance(value, bool):
            raise PydanticCustomError(
                "unit", "{why}; allowed: {allowed}", {"why": f"{value!r}, not a number", "allowed": allowed}
            )
        if isinstance(value, str):
            try:
                value = parse_quantity(value, unit)
            except PydanticCustomError as error:
                raise PydanticCustomError(
                    "unit", "{why}; allowed: {allowed}", {"why": error.message(), "allowed": allowed}
                ) from error
        elif unit and isinstance(value, (int, float)) and _from_file(info):
            raise PydanticCustomError(
                "unit", "{why}; allowed: {allowed}", {"why": f"{value!r}, which has no unit", "allowed": allowed}
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise PydanticCustomError(
                "unit", "{why}; allowed: {allowed}", {"why": f"{value!r}, not finite", "allowed": allowed}
            )
        return value

    return read


def _from_file(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("file"))


def _unit(unit: str, example: str) -> BeforeValidator:
    return BeforeValidator(_reader(unit, example))


Length = Annotated[float, _unit("m", "8 um"), Field(gt=0)]  #: metres, positive
Time = Annotated[float, _unit("s", "10 ms"), Field(gt=0)]  #: seconds, positive
Frequency = Annotated[float, _unit("Hz", "60 Hz"), Field(gt=0)]  #: hertz, positive
Rate = Annotated[float, _unit("1/s", "5 / s"), Field(ge=0)]  #: events a second, not negative
Angle = Annotated[float, _unit("rad", "0.1 rad"), Field(ge=0)]  #: radians, not negative
Speed = Annotated[float, _unit("m/s", "0.5 um / hour"), Field(ge=0)]  #: metres a second, not negative
AngularSpeed = Annotated[float, _unit("rad/s", "3 urad / hour"), Field(ge=0)]  #: radians a second, not negative
Power = Annotated[float, _unit("W", "1 mW"), Field(gt=0)]  #: watts, positive
Current = Annotated[float, _unit("A", "2 nA"), Field(ge=0)]  #: amperes, not negative
Resistance = Annotated[float, _unit("ohm", "1 Mohm"), Field(gt=0)]  #: ohms, positive
Capacitance = Annotated[float, _unit("F", "10 pF"), Field(gt=0)]  #: farads, positive
Temperature = Annotated[float, _unit("K", "293 K"), Field(gt=0)]  #: kelvins, positive
Responsivity = Annotated[float, _unit("A/W", "0.45 A/W"), Field(gt=0)]  #: amperes a watt, positive
VoltageNoise = Annotated[float, _unit("V/Hz**0.5", "5 nV/Hz**0.5"), Field(gt=0)]  #: volts a root hertz, positive
PowerNoise = Annotated[float, _unit("1/Hz", "1e-15 / Hz"), Field(gt=0)]  #: relative power squared a hertz, positive
Tilt = Annotated[float, _unit("rad", "50 urad")]  #: radians, either sign
Curvature = Annotated[float, _unit("1/m", "0.2 / m")]  #: reciprocal metres, either sign
Number = Annotated[float, _unit("", "0.5")]  #: dimensionless, finite
Fraction = Annotated[float, _unit("", "0.95"), Field(ge=0, le=1)]  #: dimensionless, 0 to 1
Signed = Annotated[float, _unit("m", "20 nm")]  #: metres, either sign
NonNegative = Annotated[float, _unit("", "0.01"), Field(ge=0)]  #: dimensionless, not negative
Pixels = tuple[Annotated[int, Field(ge=1, strict=True)], Annotated[int, Field(ge=1, strict=True)]]  #: (y, x)
Positive = Annotated[float, _unit("", "200"), Field(gt=0)]  #: dimensionless, positive


# --- specs -----------------------------------------------------------------------------------------------------------


class _SpecMeta(type(BaseModel)):
    """Turns pydantic's list of errors into one :class:`InputError` where a spec is built in Python."""

    def __call__(cls, *args: Any, **kwargs: Any):
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            raise describe(error, cls.__name__) from None


class Spec(BaseModel, metaclass=_SpecMeta):
    """Base of every spec: frozen, hashable, picklable, unknown keys refused with the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            kind = cls.model_fields.get("kind")
            if kind is not None and data.get("kind", kind.default) != kind.default:
                raise PydanticCustomError(
                    "key", "kind {kind}; allowed: {wanted}", {"kind": repr(data["kind"]), "wanted": repr(kind.default)}
                )
            for key in data:
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "key",
                        "unknown key {key}; {hint}",
                        {"key": repr(key), "hint": nearest(str(key), cls.model_fields)},
                    )
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, file: str | None = None) -> Self:
        """Build from plain data, as read from a file.

        Args:
            data: nested mappings.
            file: name to speak of in errors; with it, a dimensional figure without a unit is refused.

        Raises:
            InputError: anything the spec does not allow, naming file, key, value and what is allowed.
        """
        try:
            return cls.model_validate(data, context={"file": file})
        except ValidationError as error:
            raise describe(error, file or cls.__name__) from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a TOML file. Raises :class:`InputError` as :meth:`from_dict`, and where there is no such file."""
        return cls.from_dict(read_toml(path), file=str(path))

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked as anew."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**fields, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain nested data: SI floats, no None, round-trips through the constructor."""
        return self.model_dump(mode="json", exclude_none=True)


class Provenance(Spec):
    """Where one figure of a device comes from and how far to trust it."""

    figure: str
    source: str
    confidence: Confidence


class DeviceSpec(Spec):
    """A data sheet: figures, each with its source and confidence."""

    name: str
    vendor: str | None = None
    notes: str | None = None
    wavelength_range: tuple[Length, Length] | None = None  #: m, where the device may be used; None: anywhere
    provenance: tuple[Provenance, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _take_provenance(cls, data: Any) -> Any:
        """Split ``{value, source, confidence}`` into the figure and its provenance."""
        if not isinstance(data, Mapping):
            return data
        given = data.get("provenance", ())
        if not isinstance(given, (list, tuple)):
            raise PydanticCustomError("provenance", "provenance must be a list of figure, source, confidence", {})
        figures, provenance = {}, list(given)
        for key, entry in data.items():
            if isinstance(entry, Mapping) and "value" in entry:
                extra = set(entry) - {"value", "source", "confidence"}
                if extra or not {"source", "confidence"} <= set(entry):
                    raise PydanticCustomError(
                        "provenance",
                        "figure {key} needs exactly value, source and confidence; it has {has}",
                        {"key": repr(key), "has": ", ".join(sorted(entry))},
                    )
                figures[key] = entry["value"]
                provenance.append({"figure": key, "source": entry["source"], "confidence": entry["confidence"]})
            else:
                figures[key] = entry
        if provenance:
            figures["provenance"] = tuple(provenance)
        return figures

    @model_validator(mode="after")
    def _ordered_range(self) -> Self:
        if self.wavelength_range and self.wavelength_range[0] >= self.wavelength_range[1]:
            raise PydanticCustomError("range", "wavelength_range must run from the shorter to the longer", {})
        return self

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked as anew; a changed figure leaves its old source behind."""
        if "provenance" not in changes:
            kept = tuple(entry for entry in self.provenance if entry.figure not in changes)
            changes = {**changes, "provenance": kept}
        return super().replace(**changes)

    @property
    def kind_name(self) -> str:
        """Its kind in words: ``"phase modulator"``."""
        return str(getattr(self, "kind", "device")).replace("_", " ")

    def source_of(self, figure: str) -> Provenance:
        """The provenance of one figure; a figure given by the user says so."""
        for entry in self.provenance:
            if entry.figure == figure:
                return entry
        return Provenance(figure=figure, source="given by the user", confidence="user")

    def check_wavelength(self, wavelength: float, role: str) -> None:
        """Raise :class:`InputError` where the device does not work at ``wavelength`` (m)."""
        if self.wavelength_range is None:
            return
        low, high = self.wavelength_range
        if not low <= wavelength <= high:
            raise InputError(
                f"{role} ({self.name}) at the source's wavelength",
                value=f"{wavelength * 1e9:.1f} nm",
                allowed=f"{low * 1e9:.0f} to {high * 1e9:.0f} nm",
                remedy="another device, or a source within this range",
            )


# --- reading and complaining -----------------------------------------------------------------------------------------


def read_toml(path: str | Path) -> dict[str, Any]:
    """The contents of a TOML file, or an :class:`InputError` that says where it cannot be read."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"file {path}", value=error.strerror or str(error), allowed="a readable TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"file {path}", value=str(error), allowed="valid TOML") from None


def describe(error: ValidationError, where: str) -> InputError:
    """One sentence out of pydantic's error list: the first problem in full, the others by their keys."""
    problems = error.errors(include_url=False)
    first, others = problems[0], problems[1:]
    key = _dotted(first["loc"])
    quantity, value, allowed, remedy = _wording(first)
    quantity = ": ".join(part for part in (where, key, quantity) if part)
    also = sorted({_dotted(problem["loc"]) for problem in others} - {key})
    if also:
        more = f" (and also wrong: {', '.join(also)})"
        if remedy is not None:
            remedy += more
        elif allowed is not None:
            allowed += more
        else:
            quantity += more
    return InputError(quantity, value=value, allowed=allowed, remedy=remedy)


_PHRASES = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
}


def _wording(problem: Any) -> tuple[str, str | None, str | None, str | None]:
    """(what is wrong, value, allowed, remedy) of one of pydantic's errors, as :class:`InputError` takes them."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "missing":
        return "missing; it must be given", None, None, None
    if kind in _PHRASES:
        return "", repr(problem["input"]), _PHRASES[kind].format(**context), None
    if kind == "union_tag_invalid":
        return "kind", repr(context["tag"]), context["expected_tags"], None
    if kind == "unit":
        return "", context["why"], context["allowed"], None
    if kind == "value_error" and isinstance(context.get("error"), InputError):
        inner = context["error"]
        return inner.quantity, inner.value, inner.allowed, inner.remedy
    if kind in ("key", "provenance", "range", "value_error"):
        return problem["msg"].removeprefix("Value error, "), None, None, None
    message = problem["msg"]
    return "", f"{problem['input']!r}; {message[0].lower()}{message[1:]}", None, None


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def choices(literal: Any) -> tuple[str, ...]:
    """The values of a ``Literal`` type."""
    return get_args(literal)
