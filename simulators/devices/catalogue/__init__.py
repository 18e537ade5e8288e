"""The catalogue: one ``.toml`` a real device, every figure with its source and confidence.

Most figures are second-hand or nominal: they are defaults to edit, not promises. A user's own file has the same form.
:mod:`~simulators.devices.catalogue.figures` says them in words.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulators.devices.camera import Camera
from simulators.devices.free_space import FreeSpace
from simulators.devices.laser import Laser
from simulators.devices.lens import Lens
from simulators.devices.measured import with_paths
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.devices.photodiode import Photodiode
from simulators.devices.reference_arm import ReferenceArm
from simulators.errors import InputError, nearest
from simulators.spec import DeviceSpec, read_toml

KINDS: dict[str, type[DeviceSpec]] = {
    "laser": Laser,
    "phase_modulator": PhaseModulator,
    "amplitude_modulator": AmplitudeModulator,
    "lens": Lens,
    "free_space": FreeSpace,
    "camera": Camera,
    "photodiode": Photodiode,
    "reference_arm": ReferenceArm,
}


def catalogue() -> tuple[str, ...]:
    """The names of all devices that come with the package."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


def device_data(name: str) -> Mapping[str, Any]:
    """The plain data of a device by its catalogue name, or of a user's own ``.toml`` file.

    Raises:
        InputError: an unknown name (with the nearest ones), or a file that cannot be read or is no whole data sheet.
    """
    if name.endswith(".toml"):  # a user's own file: read each time, for it may have been edited
        data = {"name": Path(name).stem, **read_toml(name)}
        # Here, where the file is known: on a bench its errors would be put down to the bench's file.
        device_from(data, file=name)
        return with_paths(data, name)
    if name not in catalogue():
        parts = [known for known in catalogue() if name.lower() in known] if name else []
        allowed = f"did you mean {' or '.join(parts)}?" if 0 < len(parts) <= 5 else nearest(name, catalogue())
        raise InputError(f"device {name!r} is not in the catalogue", allowed=allowed)
    return _shipped(name)


@functools.cache
def _shipped(name: str) -> Mapping[str, Any]:
    return {"name": name, **read_toml(Path(__file__).parent / f"{name}.toml")}


def load_device(name: str) -> DeviceSpec:
    """A device by its catalogue name, or from a user's own ``.toml`` file. Raises as :func:`device_data`."""
    return device_from(device_data(name), file=name)


def device_from(data: Mapping[str, Any], *, file: str | None = None) -> DeviceSpec:
    """A device out of plain data with its ``kind``."""
    kind = data.get("kind")
    if kind not in KINDS:
        raise InputError(f"{file or 'device'}: kind", value=repr(kind), allowed=", ".join(KINDS))
    return KINDS[kind].from_dict(data, file=file)
