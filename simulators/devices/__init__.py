"""Devices: one file a kind, each the frozen data sheet and the ordered chain of effects it applies to light.

| file | device | when its links act | left out so far |
|---|---|---|---|
| ``laser`` | :class:`Laser` | the light written into the first plane | polarisation |
| ``modulator`` | :class:`PhaseModulator`, :class:`AmplitudeModulator` | masks, input | polarisation |
| ``show``, ``surface``, ``pieces`` | what a panel makes of its command, inside its pixels too | | |
| ``measured``, ``tables`` | a user's own measurements in the place of a panel's figures | | |
| ``lens`` | :class:`Lens` | between two planes | thickness |
| ``free_space`` | :class:`FreeSpace` | in place of a lens | |
| ``pose`` | :class:`Misalignment` | of every element | tilt of a lens |
| ``camera`` | :class:`Camera` | at the last plane | blooming, cover glass |
| ``photodiode`` | :class:`Photodiode` | at the last plane, one a mode | 1/f noise, crosstalk, avalanche gain |
| ``reference_arm`` | :class:`ReferenceArm` | the reference of an interferometric readout | motion within a frame |
| ``catalogue`` | real devices, a ``.toml`` each | | |
"""

from simulators.devices.camera import Camera
from simulators.devices.catalogue import catalogue, load_device
from simulators.devices.chain import EffectRef, Element, Link, Parameter
from simulators.devices.free_space import FreeSpace
from simulators.devices.laser import Laser
from simulators.devices.lens import Lens
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.devices.photodiode import Photodiode
from simulators.devices.pose import Misalignment
from simulators.devices.reference_arm import ReferenceArm

__all__ = [
    "AmplitudeModulator",
    "Camera",
    "EffectRef",
    "Element",
    "FreeSpace",
    "Laser",
    "Lens",
    "Link",
    "Misalignment",
    "Parameter",
    "PhaseModulator",
    "Photodiode",
    "ReferenceArm",
    "catalogue",
    "load_device",
]
