"""What the devices of a bench must satisfy together, each rule with its inequality and a way out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulators.devices.free_space import FreeSpace
from simulators.devices.lens import Lens
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.devices.photodiode import Photodiode
from simulators.errors import InputError, VignettingWarning
from simulators.placed import PlacedDevice
from simulators.spec import DeviceSpec

if TYPE_CHECKING:
    from simulators.bench import Bench

#: Native pixels a macro-pixel that draw the curvature of a lensless stage well enough.
_LENSLESS_PIXELS = 4


def check(bench: Bench) -> None:
    """Raise :class:`InputError` for the first rule that ``bench`` breaks; warn where the physics still runs."""
    _kinds(bench)
    for role, device in _devices(bench):
        device.check_wavelength(bench.source.wavelength, role)
    _scales(bench)
    _zones(bench)
    _apertures(bench)
    _panels(bench)
    _detector(bench)


def _kinds(bench: Bench) -> None:
    for i, (place, kind) in enumerate(zip(bench.stage, ("mask", "lens", "mask", "lens"), strict=True)):
        wanted = Lens | FreeSpace if kind == "lens" else PhaseModulator
        if not isinstance(place.device, wanted):
            raise InputError(f"stage[{i}].device", value=place.device.kind, allowed=f"a {kind}")
        if place.modulation == "two_phase" and place.companion != place.device:
            raise InputError(
                f"stage[{i}].companion: the second phase panel",
                value=place.companion.name if place.companion else None,
                allowed=f"the same device as the first, {place.device.name}",
            )
        if place.double_phase and (kind == "lens" or place.companion is not None):
            raise InputError(f"stage[{i}].double_phase", value=True, allowed="for a phase panel without a companion")
        if place.double_phase and (place.macro_pixel < 2 or place.macro_pixel % 2):
            raise InputError(
                f"stage[{i}].macro_pixel: a chequerboard of both phases inside each macro-pixel",
                value=place.macro_pixel,
                allowed="an even number of native pixels, so that its orders clear the zone",
            )
    if not isinstance(bench.input.device, AmplitudeModulator):
        raise InputError("input.device", value=bench.input.device.kind, allowed="an amplitude_modulator")
    if bench.input.double_phase:
        raise InputError("input.double_phase", value=True, allowed="for masks")
    if isinstance(bench.input.companion, AmplitudeModulator):
        raise InputError("input.companion", value="amplitude_modulator", allowed="a phase panel")
    if not math.isclose(bench.input.pitch, bench.stage[0].pitch, rel_tol=1e-9):
        raise InputError(
            "input.macro_pixel: the macro-pixel that writes x",
            value=f"{bench.input.pitch * 1e6:g} um",
            allowed=f"that of the first mask, {bench.stage[0].pitch * 1e6:g} um, onto which it is imaged 1:1",
        )
    axes = [place.device.axes if isinstance(place.device, Lens) else "both" for place in bench.stage[1::2]]
    if axes[0] != axes[1]:
        raise InputError("stage: axes of the two lenses", value=f"{axes[0]} and {axes[1]}", allowed="the same")
    if axes[0] == "x":
        places = (bench.input, bench.stage[0], bench.stage[2])
        clocked = [place.misalignment is not None and place.misalignment.clocking is not None for place in places]
        if any(clocked):
            raise InputError(
                "misalignment.clocking with cylindrical lenses",
                allowed="no clocking: rows that mix are not modelled",
                remedy="spherical lenses, or clocking left out",
            )


def _scales(bench: Bench) -> None:
    """M ≥ 2N - 1: only then has the Fourier plane a pixel for every tap of a filter."""
    if min(bench.modes) < 1:
        raise InputError("modes", value=bench.modes, allowed="at least one mode an axis")
    first, second = bench.stage[0], bench.stage[2]
    largest = max(bench.modes[axis] for axis in bench.transformed_axes)
    scale = min(bench.scales)
    if scale >= 2 * largest - 1 or largest == 1:
        return
    product = bench.source.wavelength / (first.pitch * second.pitch)
    raise InputError(
        f"modes: {bench.modes[0]}x{bench.modes[1]} modes need M ≥ 2N-1 = {2 * largest - 1}, but "
        f"M = λf/(p1·p2) = {scale:.2f} (λ = {bench.source.wavelength * 1e9:g} nm, "
        f"f = {min(bench.focal_lengths) * 1e3:g} mm, p1 = {first.pitch * 1e6:g} um, "
        f"p2 = {second.pitch * 1e6:g} um)",
        remedy=f"at most {max(1, math.floor((scale + 1) / 2))} modes an axis, "
        f"f ≥ {(2 * largest - 1) / product * 1e3:.0f} mm, or smaller macro-pixels",
    )


def _zones(bench: Bench) -> None:
    """Every zone fits its panel; a lensless stage has native pixels enough to draw its curvature."""
    places = (
        ("input", bench.input, bench.modes),
        ("stage[0]", bench.stage[0], bench.modes),
        ("stage[2]", bench.stage[2], bench.fourier_pixels),
    )
    for name, place, pixels in places:
        device = place.device
        assert isinstance(device, PhaseModulator | AmplitudeModulator)
        need = (pixels[0] * place.macro_pixel, pixels[1] * place.macro_pixel)
        if need[0] > device.resolution[0] or need[1] > device.resolution[1]:
            raise InputError(
                f"{name}: a zone of {need[0]}x{need[1]} native pixels",
                allowed=f"the {device.resolution[0]}x{device.resolution[1]} pixels of {device.name}",
                remedy="fewer modes or smaller macro-pixels",
            )
    for i in (1, 3):
        if not isinstance(bench.stage[i].device, FreeSpace):
            continue
        for j in (0, 2):
            if bench.stage[j].macro_pixel < _LENSLESS_PIXELS:
                raise InputError(
                    f"stage[{j}].macro_pixel: a lensless stage draws its curvature with native pixels",
                    value=bench.stage[j].macro_pixel,
                    allowed=f"at least {_LENSLESS_PIXELS} native pixels a macro-pixel and axis",
                    remedy="larger macro-pixels, or a lens",
                )


def _apertures(bench: Bench) -> None:
    first, second = bench.stage[0], bench.stage[2]
    for i in (1, 3):
        lens = bench.stage[i].device
        if not isinstance(lens, Lens):
            continue
        if lens.axes == "x":
            _cylinder(i, lens, bench.modes[1] * first.pitch + bench.fourier_pixels[1] * second.pitch)
            continue
        if lens.diameter < max(first.pitch, second.pitch):
            raise InputError(
                f"stage[{i}].device.diameter",
                value=f"{lens.diameter * 1e6:g} um",
                allowed=f"more than a macro-pixel, {max(first.pitch, second.pitch) * 1e6:g} um",
            )
        width = max(bench.modes) * first.pitch + max(bench.fourier_pixels) * second.pitch
        if width > lens.diameter:
            warnings.warn(
                VignettingWarning(
                    f"stage[{i}]: the light is up to N·p1 + P·p2 = {width * 1e3:.2f} mm wide at the lens, whose clear "
                    f"diameter is {lens.diameter * 1e3:.2f} mm ({lens.name}): what falls beside it is lost; try fewer "
                    "modes, smaller macro-pixels, or a larger lens"
                )
            )


def _cylinder(i: int, lens: Lens, width: float) -> None:
    """What the imaged axis would need a model of its own for."""
    if lens.zernike or lens.figure_error is not None:
        raise InputError(
            f"stage[{i}].device: wavefront errors of a cylindrical lens",
            allowed="none: they are not modelled",
            remedy="zernike=() and figure_error=None, or spherical lenses",
        )
    if width > lens.diameter:
        raise InputError(
            f"stage[{i}].device.diameter",
            value=f"{lens.diameter * 1e3:.2f} mm",
            allowed=f"at least N·p1 + P·p2 = {width * 1e3:.2f} mm: what a cylindrical lens cuts is not modelled",
        )


def _panels(bench: Bench) -> None:
    panels: dict[str, PlacedDevice] = {}
    for i, place in enumerate((bench.input, *bench.stage)):
        if place.panel and panels.setdefault(place.panel, place.device) != place.device:
            raise InputError(
                f"{'input' if i == 0 else f'stage[{i - 1}]'}.panel {place.panel!r}",
                value=f"zones of {panels[place.panel].name} and {place.device.name}",
                allowed="one device, with one set of figures, a panel",
                remedy="another panel name",
            )


def _detector(bench: Bench) -> None:
    detector, wavelength, pitch = bench.detector, bench.source.wavelength, bench.stage[0].pitch
    if isinstance(detector, Photodiode):
        detector.check_modes(bench.modes)
        detector.check_responsivity(wavelength, bench.source.photons_per_joule())
    elif detector.bits is not None and detector.full_well is None:
        raise InputError("detector.bits", value=detector.bits, allowed="bits over a full well", remedy="full_well")
    if bench.reference_arm is not None:
        bench.reference_arm.check_wavefront(wavelength, pitch, bench.modes)


def _devices(bench: Bench) -> Iterator[tuple[str, DeviceSpec]]:
    yield "source", bench.source
    yield "input.device", bench.input.device
    for i, place in enumerate(bench.stage):
        yield f"stage[{i}].device", place.device
    for name, place in (("input", bench.input), *((f"stage[{i}]", p) for i, p in enumerate(bench.stage))):
        if place.companion:
            yield f"{name}.companion", place.companion
        if place.relay:
            yield f"{name}.relay", place.relay
    if bench.reference_arm:
        yield "reference_arm", bench.reference_arm
    yield "detector", bench.detector
