"""A first layout: the bench unfolded along its axis, to scale, with a device list."""

from __future__ import annotations

from dataclasses import dataclass

from photonic_acdc.layers.check import positive
from simulators.bench import Bench, Placed
from simulators.devices import FreeSpace, Lens, Photodiode
from simulators.errors import InputError
from simulators.spec import DeviceSpec


@dataclass(frozen=True)
class Station:
    """One device on the unfolded axis.

    Attributes:
        label: what it is.
        kind: of the device.
        z: position along the axis, m, from the laser's filter.
        half_width: of the light that it passes, m.
        half_aperture: of the device itself, m.
    """

    label: str
    kind: str
    z: float
    half_width: float
    half_aperture: float


@dataclass(frozen=True)
class Device:
    """A line of the device list."""

    name: str
    vendor: str
    kind: str
    quantity: int
    role: str


@dataclass(frozen=True)
class Layout:
    """Stations in the order of the light, and what to buy.

    Attributes:
        bench: it was made from.
        stages: K.
        stations: in the order of the light.
        dimensions: (from z, to z, label) of the distances to mark, m.
        devices: the device list.
    """

    bench: Bench
    stages: int
    stations: tuple[Station, ...]
    dimensions: tuple[tuple[float, float, str], ...]
    devices: tuple[Device, ...]

    @property
    def length(self) -> float:
        """Of the unfolded axis, m."""
        return self.stations[-1].z

    def table(self) -> str:
        """The device list as Markdown."""
        lines = ["| quantity | device | vendor | kind | role |", "|---|---|---|---|---|"]
        lines += [f"| {d.quantity} | {d.name} | {d.vendor} | {d.kind} | {d.role} |" for d in self.devices]
        return "\n".join(lines)


def design(bench: Bench, *, modes: tuple[int, int] | None = None, stages: int = 1) -> Layout:
    """The unfolded layout of a cascade of ``stages`` on ``bench``.

    Reflective panels are drawn as if light went through them; a shared panel is one device with a zone a mask. A relay
    is a 4f of two lenses; every Fourier lens stands one focal length from the planes it connects.

    Args:
        bench: the template of a stage.
        modes: must be the bench's, where given.
        stages: K.

    Raises:
        InputError: fewer than one stage; modes that are not the bench's.

    Not modelled: folding, mounts, beam splitters, the expander in front of the input.
    """
    positive("stages", stages)
    if modes is not None and tuple(modes) != bench.modes:
        raise InputError("layout: modes", value=modes, allowed=f"the bench's, {bench.modes}")
    narrow = max(bench.modes) * bench.stage[0].pitch / 2
    wide = max(bench.fourier_pixels) * bench.stage[2].pitch / 2
    stations: list[Station] = []
    dimensions: list[tuple[float, float, str]] = []
    z = 0.0

    def put(label: str, device: DeviceSpec, width: float, aperture: float) -> None:
        stations.append(Station(label, device.kind_name, z, width, aperture))

    def panel(label: str, place: Placed, width: float) -> None:
        assert not isinstance(place.device, Lens | FreeSpace)
        put(label, place.device, width, min(place.device.resolution) * place.device.pixel_pitch / 2)

    def relay(place: Placed, width: float) -> None:
        nonlocal z
        if place.relay is None:
            return
        f, start = place.relay.focal_length, z
        for step, label in ((f, "relay"), (2 * f, "relay")):
            z += step
            put(label, place.relay, width, place.relay.diameter / 2)
        z += f
        dimensions.append((start, z, f"1:1 relay, 4f = {4 * f * 1e3:.0f} mm"))

    put("laser and filter", bench.source, narrow, narrow)
    z += 0.1
    panel("input x", bench.input, narrow)
    relay(bench.input, narrow)
    for s in range(stages):
        for i in (0, 1):
            place, lens = bench.stage[2 * i], bench.stage[2 * i + 1].device
            assert isinstance(lens, Lens | FreeSpace)
            width = wide if i else narrow
            panel(f"mask {'AD'[i]}{s + 1}", place, width)
            relay(place, width)
            if isinstance(lens, FreeSpace):
                dimensions.append((z, z + lens.distance, f"z = {lens.distance * 1e3:.0f} mm"))
                z += lens.distance
                continue
            start, f = z, lens.focal_length
            z += f
            put(f"lens {2 * s + i + 1}", lens, narrow + wide, lens.diameter / 2)
            z += f
            dimensions.append((start, z, f"2f = {2 * f * 1e3:.0f} mm"))
    camera = bench.detector
    sensor = narrow if isinstance(camera, Photodiode) else min(camera.resolution) * camera.pixel_pitch / 2
    put(camera.kind_name, camera, narrow, sensor)
    return Layout(bench, stages, tuple(stations), tuple(dimensions), _devices(bench, stages))


def _devices(bench: Bench, stages: int) -> tuple[Device, ...]:
    rows: dict[tuple, tuple[DeviceSpec, int, str]] = {}

    def add(device: DeviceSpec, quantity: int, role: str, shared: str | None = None) -> None:
        key = (device.name, shared) if shared else (device.name, role)
        have = rows.get(key)
        if have is None:
            rows[key] = (device, 1 if shared else quantity, role)
        elif not shared:
            rows[key] = (device, have[1] + quantity, role)

    add(bench.source, 1, f"light, with a filter of density {bench.source.optical_density:g}")
    add(bench.input.device, 1, "writes x")
    if bench.input.companion:
        add(bench.input.companion, 1, "writes the phase of x")
    if bench.input.relay:
        add(bench.input.relay, 2, "relays the input onto the first mask")
    for i, kind in ((0, "A"), (2, "D")):
        place = bench.stage[i]
        zones = f"panel of the masks, {2 * stages} zones" if place.panel else f"masks {kind}"
        add(place.device, stages, zones, place.panel)
        if place.companion:
            add(place.companion, stages, "amplitudes of the masks")
        if place.relay:
            add(place.relay, 2 * stages, "relays amplitude onto phase panels")
        add(bench.stage[i + 1].device, stages, "Fourier lenses")
    add(bench.detector, 1, "reads y")
    return tuple(
        Device(device.name, device.vendor or "-", device.kind_name, quantity, role)
        for device, quantity, role in rows.values()
    )
