"""Every figure of misalignment in a state: whether the masks can absorb it, and what it leaves if they do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from photonic_acdc.calibration.absorb import SINC_SHARE
from photonic_acdc.calibration.geometry import ABSORBABLE, Geometry, PlanePhases, plane_phases, plane_pixels
from photonic_acdc.provenance import attributes
from simulators.bench import Bench
from simulators.devices.chain import Element
from simulators.devices.lens import FIGURE_TERMS, Lens
from simulators.errors import InputError
from simulators.random import State
from simulators.zernike import zernike

if TYPE_CHECKING:
    import xarray as xr

_UNITS = {
    "lateral": "m",
    "axial": "m",
    "tilt": "rad",
    "pointing": "rad",
    "clocking": "rad",
    "lateral_drift": "m",
    "tilt_drift": "rad",
    "scale_error": "1",
    "wavelength_error": "1",
    "aberration": "m",
    "figure_error": "m",
    "distortion": "macro-pixels",
    "crosstalk": "m",
}
_SOURCES = {
    "absorbed": "Collins, J. Opt. Soc. Am. 60, 1168 (1970); variance g²/12 of a ramp over a macro-pixel",
    "slipped": "share of the input on the neighbouring macro-pixel, squared; registration alone reduces it",
    "imaged": "rows beside each other on an imaged axis; registration alone reduces it",
    "idle": "to first order it does nothing to the field",
    "scaled": "variance of the phase 2πε n k/M: (π²/36)(ε N P/M)² a path and axis",
    "turned": "variance of the phase 2πγ(n_y k_x - n_x k_y)/M: twice (π²/36)(γ N P/M)² a path",
    "drifted": "variance of the phases over the masks; nothing absorbs what moves after calibration",
    "distorted": "variance of the phase πs n k³/M of u = f tan θ against f sin θ",
    "aberrated": "variance of the wavefront at x + u (stationary phase) less its parts in x alone and in u alone",
    "crossed": "depends on the patterns shown; see Wave, and the error budget",
}


@dataclass(frozen=True)
class _Row:
    """One figure."""

    figure: str
    effect: str
    value: float
    absorbed_by: str
    ramp: float
    curvature: float
    rest: float
    source: str


@torch.no_grad()
def split_misalignment(bench: Bench, stages: int, state: State) -> xr.Dataset:
    r"""What each figure of misalignment alone does to the masks, and what masks that absorb it leave.

    Decentre, tilt, pointing and axial error put linear and quadratic phases on neighbouring masks, which show their
    opposite; macro-pixels leave :math:`\langle g^2\rangle/12` of a slope g, of the state as it is: move the zones first
    (:func:`~photonic_acdc.calibration.register`). Input and first mask beside each other, clocking, an error of scale,
    distortion, aberrations in field and pupil together, crosstalk, and whatever drifts afterwards, are never absorbed.

    Args:
        bench: the template.
        stages: K.
        state: figures ``[1, 1, …]`` of one bench as built.

    Returns:
        Dataset over ``figure`` (``"stage[0].mask[1].lateral[x]"``): ``value`` in ``unit``, ``absorbable``,
        ``absorbed_by`` (addresses), the largest ``ramp`` and ``curvature`` on a mask, and ``rest``, the share of the
        light that is left in the wrong place, to first order and for evenly lit masks, with its ``source``; NaN where
        no closed form has it.

    Raises:
        InputError: figures of several realisations; a bench without any such figure.
    """
    import xarray as xr

    geometry = Geometry(bench, stages, state)  # one realisation, or an InputError
    splitter = _Splitter(geometry)
    rows = [row for element in bench.elements(stages) for row in splitter.rows(element)]
    if not rows:
        raise InputError(
            "split_misalignment: misalignment on this bench",
            value="none",
            allowed=f"any of {', '.join(_UNITS)}",
            remedy="misalignment=Misalignment.as_built() on its elements",
        )
    columns = {
        "value": ([row.value for row in rows], "value, in its unit"),
        "absorbable": ([bool(row.absorbed_by) for row in rows], "whether masks absorb it"),
        "ramp": ([row.ramp for row in rows], "largest linear phase on a mask"),
        "curvature": ([row.curvature for row in rows], "largest quadratic phase on a mask"),
        "rest": ([row.rest for row in rows], "share of the light left in the wrong place"),
    }
    units = {"ramp": "rad/macro-pixel", "curvature": "rad/macro-pixel2"}
    labels = {
        "figure": ([row.figure for row in rows], "figure"),
        "unit": ([_UNITS[row.effect] for row in rows], "unit of the value"),
        "absorbed_by": ([row.absorbed_by for row in rows], "masks that absorb it"),
        "source": ([row.source for row in rows], "where the estimate comes from"),
    }
    return xr.Dataset(
        {
            name: ("figure", values, {"long_name": long, "units": units.get(name, "1")})
            for name, (values, long) in columns.items()
        },
        coords={name: ("figure", values, {"long_name": long, "units": "1"}) for name, (values, long) in labels.items()},
        attrs=attributes("Misalignment, figure by figure", bench=bench.name, stages=stages),
    )


class _Splitter:
    """Figures one at a time, every other one nominal."""

    def __init__(self, geometry: Geometry):
        self.geometry, self.bench, self.stages = geometry, geometry.bench, geometry.stages
        self.nominal = self.bench.nominal(self.stages, device=geometry.device)
        self.exact = plane_phases(self.bench, self.stages, self.nominal)
        self.pixels = plane_pixels(self.bench, self.stages)

    def rows(self, element: Element) -> Iterator[_Row]:
        """Of one element."""
        for link in element.links:
            if link.name not in _UNITS:
                continue
            if link.name in ("distortion", "aberration", "figure_error", "crosstalk"):
                yield _imperfect(self.geometry, element, link.name)
                continue
            parameter = link.parameters[0]
            key, figure = f"{element.home(link)}.{parameter.name}", f"{element.address}.{link.name}"
            error = self.geometry.state[key].double() - self.nominal[key]
            if link.name == "clocking":
                angle = float(error)
                yield _Row(
                    figure, link.name, angle, "", 0, 0, _turned(self.geometry, element, angle), _SOURCES["turned"]
                )
            elif parameter.shape == (2,):
                for axis in (0, 1):
                    one = torch.zeros_like(error)
                    one[..., axis] = 1
                    yield self._posed(link.name, f"{figure}[{'yx'[axis]}]", key, error[..., axis].reshape(()), one)
            else:
                yield self._posed(link.name, figure, key, error.reshape(()), torch.ones_like(error))

    def _posed(self, effect: str, figure: str, key: str, error: Tensor, one: Tensor) -> _Row:
        """A figure of a pose, of the beam, or of a scale; ``one`` is where it stands among its address's values."""
        found = self._phases(key, error * one)
        ramp, curvature = (float(part[:-1].abs().max()) for part in (found.ramp, found.curvature))
        relative = found.scale / self.exact.scale - 1
        rest = float(found.slip.square().sum()) / SINC_SHARE
        for j in range(2 * self.stages):
            rest += sum(_spread(self.geometry, j, axis, float(relative[j, axis])) for axis in (0, 1))
        masks, source = "", "scaled"
        if effect.endswith("_drift"):
            rest += sum(float(found.phase(j, self.pixels[j]).var(correction=0)) for j in range(2 * self.stages))
            source = "drifted"
        elif effect in ABSORBABLE:
            rest += sum(float(found.residual(j, self.pixels[j])) for j in range(2 * self.stages))
            # Which masks, whatever the figure's value: 0 as well.
            unit = self._phases(key, 1e-6 * one)
            moved = (unit.ramp[:-1].abs() + unit.curvature[:-1].abs()).sum(-1) > 0
            slipped = bool(unit.slip.abs().max() > 0)
            if not slipped:
                masks = ", ".join(name for name, hit in zip(self.geometry.addresses, moved, strict=False) if hit)
            source = "slipped" if slipped else "absorbed"
            if not slipped and not masks:
                rest, source = (math.nan, "imaged") if effect == "lateral" else (0.0, "idle")
        return _Row(figure, effect, float(error), masks, ramp, curvature, rest, _SOURCES[source])

    def _phases(self, key: str, change: Tensor) -> PlanePhases:
        return plane_phases(self.bench, self.stages, {**self.nominal, key: self.nominal[key] + change})


def _spread(geometry: Geometry, j: int, axis: int, relative: float) -> float:
    r"""Variance of the phase :math:`2\pi\varepsilon nk/M` over path j along one axis."""
    if axis not in geometry.bench.transformed_axes:
        return 0.0
    pixels = plane_pixels(geometry.bench, geometry.stages)
    scale = geometry.bench.scales[j % 2]
    return math.pi**2 / 36 * (relative * pixels[j][axis] * pixels[j + 1][axis] / scale) ** 2


def _turned(geometry: Geometry, element: Element, angle: float) -> float:
    """Both cross terms of every path beside the mask; of input and first mask the shift of rows against each other."""
    plane = geometry.addresses.index(element.address) if element.address in geometry.addresses else 0
    pixels, scales = plane_pixels(geometry.bench, geometry.stages), geometry.bench.scales
    total = 0.0
    for j in (plane - 1, plane):
        if 0 <= j < 2 * geometry.stages:
            # What is left of the input on its own macro-pixels has turned half as far as either of the two.
            turn = angle / 2 if plane == 0 else angle
            for axis in (0, 1):
                product = pixels[j][axis] * pixels[j + 1][1 - axis]
                total += math.pi**2 / 36 * (turn * product / scales[j % 2]) ** 2
    if plane == 0:
        total += sum(angle**2 * (count**2 - 1) / 12 for count in pixels[0]) / SINC_SHARE
    return total


def _imperfect(geometry: Geometry, element: Element, effect: str) -> _Row:
    """What a lens or a panel does that no pose does."""
    figure = f"{element.address}.{effect}"
    if effect == "crosstalk":
        width = float(getattr(element.spec, "crosstalk_fwhm", math.nan))
        return _Row(figure, effect, width, "", 0.0, 0.0, math.nan, _SOURCES["crossed"])
    j = geometry.addresses.index(element.address.replace("lens", "mask"))
    lens, pixels = element.spec, plane_pixels(geometry.bench, geometry.stages)
    assert isinstance(lens, Lens)
    if effect == "distortion":
        squeeze = (geometry.pitch(j + 1) / lens.focal_length) ** 2
        edge = max(pixels[j + 1]) / 2
        rest = sum(
            (math.pi * squeeze / geometry.bench.scales[j % 2]) ** 2 * (n**2 / 12) * (p**6 / 448)
            for axis, (n, p) in enumerate(zip(pixels[j], pixels[j + 1], strict=True))
            if axis in geometry.bench.transformed_axes
        )
        return _Row(figure, effect, squeeze * edge**3 / 2, "", 0.0, 0.0, rest, _SOURCES["distorted"])
    coefficients = element.read(geometry.state, effect).double().reshape(-1)
    terms = lens.terms if effect == "aberration" else FIGURE_TERMS
    phase = 2 * math.pi / geometry.bench.source.wavelength * _wavefront(geometry, j, lens, terms, coefficients)
    # [x, u]: what depends on x alone or on u alone are masks' phases.
    mixed = phase - phase.mean(0, keepdim=True) - phase.mean(1, keepdim=True) + phase.mean()
    rms = float(coefficients.square().sum().sqrt())
    return _Row(figure, effect, rms, "", 0.0, 0.0, float(mixed.square().mean()), _SOURCES["aberrated"])


def _wavefront(geometry: Geometry, j: int, lens: Lens, terms: tuple[int, ...], coefficients: Tensor) -> Tensor:
    """Wavefront error (m) met by light from every macro-pixel x of plane j to every one u of the next, ``[x, u]``."""
    pixels = plane_pixels(geometry.bench, geometry.stages)
    y, x = (
        (_places(pixels[j][axis], geometry.pitch(j))[:, None] + _places(pixels[j + 1][axis], geometry.pitch(j + 1)))
        / (lens.diameter / 2)
        for axis in (0, 1)
    )
    shape = y.shape[0], x.shape[0], y.shape[1], x.shape[1]  # y, x of plane j; y, x of the next
    y, x = (part.expand(shape) for part in (y[:, None, :, None], x[None, :, None, :]))
    total = torch.zeros(shape, dtype=torch.float64)
    for noll, coefficient in zip(terms, coefficients, strict=True):
        total = total + coefficient * zernike(noll, y, x)
    return total.flatten(2).flatten(0, 1)


def _places(count: int, pitch: float) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) - (count - 1) / 2) * pitch
