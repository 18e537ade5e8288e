"""A bench written out: every device of a cascade at its address, with the effects that are on."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from simulators.devices.chain import Element, Link, Parameter
from simulators.devices.free_space import FreeSpace
from simulators.devices.lens import Lens
from simulators.devices.modulator import PhaseModulator
from simulators.devices.photodiode import Photodiode
from simulators.devices.pose import Misalignment
from simulators.errors import InputError
from simulators.placed import Placed

if TYPE_CHECKING:
    from simulators.bench import Bench


def matches(pattern: str, name: str) -> bool:
    """Shell-like, with ``*`` alone special: addresses are full of brackets."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


@functools.lru_cache(maxsize=256)
def elements_of(bench: Bench, stages: int) -> tuple[Element, ...]:
    """Every device of a cascade of ``stages`` on ``bench``, in the order the light meets them."""
    if stages < 1:
        raise InputError("stages", value=stages, allowed="at least 1")

    def element(address, spec, links, pixels=(1, 1), base=(), panel=None, pitch=None) -> Element:
        on = tuple(link for link in links if _is_on(bench, f"{address}.{link.name}"))
        return Element(address, spec, pixels, on, tuple(base), panel, pitch)

    def modulators(address: str, place: Placed, pixels: tuple[int, int]):
        panel = f"panel[{place.panel}]" if place.panel else None
        device = place.device
        assert not isinstance(device, Lens | FreeSpace)
        pitch = place.pitch
        # The input is imaged onto the first mask: an axial error would blur it, which is not modelled.
        pose = tuple(link for link in _pose(place.misalignment) if address != "input" or link.name != "axial")
        links = (*pose, *device.links())
        yield element(address, device, links, pixels, panel=panel, pitch=pitch)
        if place.companion:
            name = "phase" if isinstance(place.companion, PhaseModulator) else "amplitude"
            links = place.companion.links()
            if address == "input":  # what acts inside the pixels of a panel that writes x is not modelled
                links = tuple(link for link in links if link.name not in ("crosstalk", "fill"))
            yield element(f"{address}.{name}", place.companion, links, pixels, pitch=pitch)
        if place.relay:
            yield element(f"{address}.relay", place.relay, _relay_links(place.relay))

    found = [element("source", bench.source, bench.source.links(), base=bench.source.base())]
    found += modulators("input", bench.input, bench.modes)
    for s in range(stages):
        for i in (0, 1):
            mask, place = bench.stage[2 * i], bench.stage[2 * i + 1]
            lens = place.device
            assert isinstance(lens, Lens | FreeSpace)
            found += modulators(f"stage[{s}].mask[{i}]", mask, bench.command_shapes[i])
            address = f"stage[{s}].lens[{i}]"
            pose = None if isinstance(lens, FreeSpace) else place.misalignment  # there is nothing to misplace
            links = (*_pose(pose, lens=True), *lens.links())
            base = lens.base(scale=not _is_on(bench, f"{address}.scale_error"))
            found.append(element(address, lens, links, base=base))
    if bench.reference_arm is not None:
        arm = bench.reference_arm
        found.append(element("reference_arm", arm, arm.links(), bench.modes))
    detector = bench.detector
    reference = Parameter("reference", _reference_photons(bench))
    readings = detector.links() if isinstance(detector, Photodiode) else detector.links_for(bench.stage[0].pitch)
    found.append(
        element(
            "detector",
            detector,
            # How the camera is tilted does nothing to what falls on it.
            (*(link for link in _pose(bench.detector_misalignment) if "tilt" not in link.name), *readings),
            bench.modes,
            base=(*detector.base(), reference),
        )
    )
    return tuple(found)


def _pose(misalignment: Misalignment | None, *, lens: bool = False) -> tuple[Link, ...]:
    return () if misalignment is None else misalignment.links(lens=lens)


def _is_on(bench: Bench, name: str) -> bool:
    kept = bench.keep is None or any(matches(pattern, name) for pattern in bench.keep)
    return kept and not any(matches(pattern, name) for pattern in bench.drop)


def _relay_links(lens: Lens) -> tuple[Link, ...]:
    """A 1:1 relay is two such lenses; of its effects only the loss matters."""
    if lens.transmission is None:
        return ()
    return (Link("loss", "deterministic", (Parameter("transmission", lens.transmission**2),)),)


def _reference_photons(bench: Bench) -> float:
    """Reference photons a mode and frame for a coherent readout: its share of the full well, or of full scale."""
    detector, per_joule = bench.detector, bench.source.photons_per_joule()
    if isinstance(detector, Photodiode):
        photons = detector.reference_photons(bench.reference_fill, per_joule)
    else:
        photons = detector.reference_photons(bench.reference_fill, bench.stage[0].pitch)
    if photons is None:
        # Nothing limits it: as strong as all the light of the bench together.
        return bench.source.power * 10**-bench.source.optical_density * detector.exposure * per_joule
    return photons
