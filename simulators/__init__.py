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
| ``bases``, ``fourier`` | how a field is written along an axis, and a path between two planes as a matrix |
| ``grid``, ``propagation``, ``zernike`` | sampled light by itself: free space, Fourier transforms, a real lens |
| ``ideal``, ``pixel``, ``wave`` | the simulators; ``simulator`` is their protocol, ``cascade`` what two of them share |
| ``levels``, ``effective``, ``energy``, ``modulation`` | comparing simulators, a cheap one, energy, complex masks |
| ``detection`` | field → frames → numbers |
| ``mesh`` | a mesh of interferometers, the rival of masks and lenses |
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_WHERE = {
    "AmplitudeModulator": "devices",
    "AngularSpectrum": "propagation",
    "Bench": "bench",
    "Camera": "devices",
    "Collins": "propagation",
    "Command": "simulator",
    "EffectRef": "devices",
    "FourierTransform": "propagation",
    "FreeSpace": "devices",
    "Fresnel": "propagation",
    "FresnelTransform": "propagation",
    "Grid": "grid",
    "Ideal": "ideal",
    "InputError": "errors",
    "Laser": "devices",
    "Lens": "devices",
    "Mesh": "mesh",
    "MeshPhases": "mesh",
    "Misalignment": "devices",
    "PhaseModulator": "devices",
    "Photodiode": "devices",
    "Pixel": "pixel",
    "Placed": "placed",
    "Readout": "detection",
    "Realisations": "random",
    "ReferenceArm": "devices",
    "SamplingWarning": "errors",
    "SaturationWarning": "errors",
    "Shots": "random",
    "Simulator": "simulator",
    "State": "random",
    "TwoF": "propagation",
    "VignettingWarning": "errors",
    "Wave": "wave",
    "catalogue": "devices",
    "compare_levels": "levels",
    "compare_modulations": "modulation",
    "effective_masks": "effective",
    "energy_books": "energy",
    "free_space": "propagation",
    "load_device": "devices",
    "reference_bench": "reference",
    "wavefront": "zernike",
    "zernike_basis": "zernike",
}

__all__ = [
    "AmplitudeModulator",
    "AngularSpectrum",
    "Bench",
    "Camera",
    "Collins",
    "Command",
    "EffectRef",
    "FourierTransform",
    "FreeSpace",
    "Fresnel",
    "FresnelTransform",
    "Grid",
    "Ideal",
    "InputError",
    "Laser",
    "Lens",
    "Mesh",
    "MeshPhases",
    "Misalignment",
    "PhaseModulator",
    "Photodiode",
    "Pixel",
    "Placed",
    "Readout",
    "Realisations",
    "ReferenceArm",
    "SamplingWarning",
    "SaturationWarning",
    "Shots",
    "Simulator",
    "State",
    "TwoF",
    "VignettingWarning",
    "Wave",
    "catalogue",
    "compare_levels",
    "compare_modulations",
    "effective_masks",
    "effects",
    "energy_books",
    "free_space",
    "load_device",
    "reference_bench",
    "wavefront",
    "zernike_basis",
]

if TYPE_CHECKING:
    from simulators import effects
    from simulators.bench import Bench
    from simulators.detection import Readout
    from simulators.devices import (
        AmplitudeModulator,
        Camera,
        EffectRef,
        FreeSpace,
        Laser,
        Lens,
        Misalignment,
        PhaseModulator,
        Photodiode,
        ReferenceArm,
        catalogue,
        load_device,
    )
    from simulators.effective import effective_masks
    from simulators.energy import energy_books
    from simulators.errors import InputError, SamplingWarning, SaturationWarning, VignettingWarning
    from simulators.grid import Grid
    from simulators.ideal import Ideal
    from simulators.levels import compare_levels
    from simulators.mesh import Mesh, MeshPhases
    from simulators.modulation import compare_modulations
    from simulators.pixel import Pixel
    from simulators.placed import Placed
    from simulators.propagation import (
        AngularSpectrum,
        Collins,
        FourierTransform,
        Fresnel,
        FresnelTransform,
        TwoF,
        free_space,
    )
    from simulators.random import Realisations, Shots, State
    from simulators.reference import reference_bench
    from simulators.simulator import Command, Simulator
    from simulators.wave import Wave
    from simulators.zernike import wavefront, zernike_basis


def __getattr__(name: str):
    if name == "effects":
        return importlib.import_module("simulators.effects")
    if name in _WHERE:
        return getattr(importlib.import_module(f"simulators.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'simulators' has no attribute {name!r}")


def __dir__():
    return __all__
