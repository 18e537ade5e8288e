"""What optical components do to light: devices, benches of them, and simulators of a bench at several levels.

This package knows nothing of layers or training. Its names load on first use.

>>> import simulators as sim
>>> bench = sim.reference_bench(modes=(8, 8))
>>> cascade = sim.Pixel(bench, stages=2, order=3)

| module | holds |
|---|---|
| ``spec``, ``errors``, ``random`` | frozen specs with units, :class:`InputError`, keyed random streams |
| ``effects`` | what spoils light, one pure function each |
| ``devices`` | data sheets, the chain of effects of each device, the catalogue |
| ``bench``, ``reference`` | placed devices; addresses, effects, figures; the reference bench |
| ``fourier`` | the transform of a lens between planes of pixels |
| ``ideal``, ``pixel`` | the simulators; ``simulator`` is their protocol |
| ``detection`` | field → frames → numbers |
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_WHERE = {
    "AmplitudeModulator": "devices",
    "Bench": "bench",
    "Camera": "devices",
    "Command": "simulator",
    "EffectRef": "devices",
    "Ideal": "ideal",
    "InputError": "errors",
    "Laser": "devices",
    "Lens": "devices",
    "PhaseModulator": "devices",
    "Pixel": "pixel",
    "Placed": "bench",
    "Readout": "detection",
    "Realisations": "random",
    "SaturationWarning": "errors",
    "Shots": "random",
    "Simulator": "simulator",
    "State": "random",
    "catalogue": "devices",
    "load_device": "devices",
    "reference_bench": "reference",
}

__all__ = [
    "AmplitudeModulator",
    "Bench",
    "Camera",
    "Command",
    "EffectRef",
    "Ideal",
    "InputError",
    "Laser",
    "Lens",
    "PhaseModulator",
    "Pixel",
    "Placed",
    "Readout",
    "Realisations",
    "SaturationWarning",
    "Shots",
    "Simulator",
    "State",
    "catalogue",
    "effects",
    "load_device",
    "reference_bench",
]

if TYPE_CHECKING:
    from simulators import effects
    from simulators.bench import Bench, Placed
    from simulators.detection import Readout
    from simulators.devices import (
        AmplitudeModulator,
        Camera,
        EffectRef,
        Laser,
        Lens,
        PhaseModulator,
        catalogue,
        load_device,
    )
    from simulators.errors import InputError, SaturationWarning
    from simulators.ideal import Ideal
    from simulators.pixel import Pixel
    from simulators.random import Realisations, Shots, State
    from simulators.reference import reference_bench
    from simulators.simulator import Command, Simulator


def __getattr__(name: str):
    if name == "effects":
        return importlib.import_module("simulators.effects")
    if name in _WHERE:
        return getattr(importlib.import_module(f"simulators.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'simulators' has no attribute {name!r}")


def __dir__():
    return __all__
