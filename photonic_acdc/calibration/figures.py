"""Which figures of a bench a calibration looks for: single numbers out of its state, each with its unit and scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from simulators.bench import Bench
from simulators.devices.chain import Element, Parameter
from simulators.elements import matches
from simulators.errors import InputError, nearest

#: Figures that no bench draws, yet every laboratory wants to know.
_WANTED = ("crosstalk", "zero_order_leak", "quantum_efficiency", "amplitude_coupling")
#: Figures that expected frames have no slope in, or none that means anything.
_UNFIT = {
    "stroke": "the levels a panel is addressed with; stroke_error is what it makes of them",
    "step": "the converter's rounding",
    "full_well": "readings at full scale are left out",
    "full_scale": "readings at full scale are left out",
    "reference": "set by the laboratory",
    "settling": "it is a matter of history",
}
#: Effects that differ from frame to frame, and still change the mean frame as simulated.
_RIPPLE = ("flicker",)
_UNITS = {
    **dict.fromkeys(("lateral", "axial", "crosstalk", "aberration", "figure_error", "beam_radius"), "m"),
    **dict.fromkeys(("tilt", "clocking", "pointing", "lut_residual", "phase_error", "flatness"), "rad"),
    **dict.fromkeys(("lateral_drift",), "m"),
    **dict.fromkeys(("tilt_drift",), "rad"),
    **dict.fromkeys(("dark_current", "background"), "1/s"),
    **dict.fromkeys(("black_level", "offset_nonuniformity"), "electrons"),
    "power": "W",
    "exposure": "s",
}


@dataclass(frozen=True)
class Figure:
    """One number to be found.

    Attributes:
        address: of the figure in the state.
        place: of the number within the figure, flattened.
        label: address, with the axis or place where there are several.
        unit: SI.
        nominal: value without error.
        spread: standard deviation over benches as built; None: it is not drawn.
        scale: in which it is counted: the spread, else a tenth of its nominal value, else 1.
    """

    address: str
    place: int
    label: str
    unit: str
    nominal: float
    spread: float | None
    scale: float


def choose(bench: Bench, stages: int, wanted: Sequence[str] | None) -> list[Figure]:
    """The figures of ``bench`` that match any of ``wanted``, in the order of the light.

    Args:
        bench: the template.
        stages: K.
        wanted: addresses or patterns of figures, ``"stage[0].mask[1].lateral"``, ``"*.lateral[y]"``; None: all that
            are drawn once a bench and not a pixel, and crosstalk, leak, efficiency and coupled amplitude.

    Raises:
        InputError: a name that matches no figure, or one that frames say nothing of.
    """
    known: dict[str, tuple[Element, str, Parameter]] = {}
    for element in bench.elements(stages):
        kinds: dict[str, str] = {link.name: link.kind for link in element.links}
        for address, effect, parameter in element.figures():
            known.setdefault(f"{address}.{parameter.name}", (element, kinds.get(effect, "base"), parameter))
    if wanted is None:
        chosen = [
            figure
            for key, (element, kind, parameter) in known.items()
            if _by_default(kind, parameter)
            for figure in _numbers(key, element, parameter)
        ]
        if not chosen:
            raise InputError("calibrate: figures", value="none on this bench is uncertain", remedy="figures=[...]")
        return chosen
    numbers = {
        figure.label: figure
        for key, (element, _, parameter) in known.items()
        for figure in _numbers(key, element, parameter)
    }
    found: dict[str, None] = {}
    for pattern in wanted:
        hits = [name for name, figure in numbers.items() if matches(pattern, name) or matches(pattern, figure.address)]
        if not hits:
            raise InputError(f"calibrate: figure {pattern!r} is none of this bench", allowed=nearest(pattern, known))
        found.update(dict.fromkeys(hits))
    for name in found:
        address = numbers[name].address
        _, kind, parameter = known[address]
        why = _UNFIT.get(parameter.name)
        if kind == "dynamic" and parameter.name not in _RIPPLE:
            why = "noise from frame to frame"
        if why is not None:
            raise InputError(f"calibrate: figure {address!r} cannot be found from mean frames", value=why)
    return [figure for name, figure in numbers.items() if name in found]


def _by_default(kind: str, parameter: Parameter) -> bool:
    if parameter.name in _WANTED:
        return True
    return kind in ("mismatch", "process") and parameter.spread > 0 and parameter.shape != "pixels"


def _numbers(key: str, element: Element, parameter: Parameter) -> Iterator[Figure]:
    shape = element.shape(parameter)
    count = math.prod(shape)
    nominal = torch.tensor(parameter.nominal, dtype=torch.float64).expand(shape).reshape(-1).tolist()
    axis = shape == (2,)
    for place in range(count):
        if not shape:
            label = key
        elif axis:
            label = f"{key}[{'yx'[place]}]"
        elif len(shape) == 1:
            label = f"{key}[{place}]"
        else:
            label = f"{key}[{place // shape[1]},{place % shape[1]}]"
        value = nominal[place]
        spread = parameter.spread or None
        scale = spread or 0.1 * abs(value) or 1.0
        yield Figure(key, place, label, _UNITS.get(parameter.name, "1"), value, spread, scale)
