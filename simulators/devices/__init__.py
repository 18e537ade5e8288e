"""Devices: one file a kind, each the frozen data sheet and the ordered chain of effects it applies to light.

| file | device | when its links act | left out so far |
|---|---|---|---|
| ``laser`` | :class:`Laser` | the light written into the first plane | profile, polarisation, linewidth |
| ``modulator`` | :class:`PhaseModulator`, :class:`AmplitudeModulator` | masks, input | fringing, flatness, settling |
| ``lens`` | :class:`Lens` | between two planes | aperture, aberration, misalignment |
| ``camera`` | :class:`Camera` | at the last plane | offset non-uniformity, cover glass |
| ``catalogue`` | real devices, a ``.toml`` each | | |
"""

from simulators.devices.camera import Camera
from simulators.devices.catalogue import catalogue, load_device
from simulators.devices.chain import EffectRef, Element, Link, Parameter
from simulators.devices.laser import Laser
from simulators.devices.lens import Lens
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator

__all__ = [
    "AmplitudeModulator",
    "Camera",
    "EffectRef",
    "Element",
    "Laser",
    "Lens",
    "Link",
    "Parameter",
    "PhaseModulator",
    "catalogue",
    "load_device",
]
