"""Optical linear layers: train them, run them on simulated benches of real devices, see which device errs how.

Names load on first use; ``simulators`` holds the devices and knows nothing of this package.

>>> import photonic_acdc as pa, simulators as sim
>>> layer = pa.layers.AFDF(64, stages=2, shape=(8, 8))
>>> optic = pa.to_optical(layer, sim.reference_bench(modes=(8, 8)))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_WHERE = {
    "InputError": "simulators.errors",
    "OpticalCascade": "photonic_acdc.optical",
    "SimulatedBench": "photonic_acdc.optical",
    "calibrate": "photonic_acdc.calibration",
    "calibration_patterns": "photonic_acdc.calibration",
    "cascades": "photonic_acdc.optical",
    "diagnose": "photonic_acdc.analysis",
    "initialise_ranges": "photonic_acdc.optical",
    "learn_ranges": "photonic_acdc.optical",
    "load_tensors": "photonic_acdc.storage",
    "measure_light": "photonic_acdc.optical",
    "noise": "photonic_acdc.optical",
    "over_realisations": "photonic_acdc.optical",
    "parameter_groups": "photonic_acdc.layers",
    "physics_aware": "photonic_acdc.training",
    "power_of": "photonic_acdc.optical",
    "program": "photonic_acdc.calibration",
    "range_parameters": "photonic_acdc.optical",
    "rebind": "photonic_acdc.optical",
    "recalibrate": "photonic_acdc.calibration",
    "refine": "photonic_acdc.synthesis",
    "refit": "photonic_acdc.calibration",
    "replace_linear": "photonic_acdc.layers",
    "run": "photonic_acdc.runs",
    "save_tensors": "photonic_acdc.storage",
    "set_input_range": "photonic_acdc.optical",
    "soft_levels": "photonic_acdc.optical",
    "synthesise": "photonic_acdc.synthesis",
    "to_optical": "photonic_acdc.optical",
    "train": "photonic_acdc.training",
}
_PACKAGES = (
    "analysis",
    "calibration",
    "data",
    "layers",
    "layout",
    "plots",
    "search",
    "studies",
    "synthesis",
    "training",
    "transforms",
)

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "OpticalCascade",
    "SimulatedBench",
    "analysis",
    "calibrate",
    "calibration",
    "calibration_patterns",
    "cascades",
    "data",
    "diagnose",
    "initialise_ranges",
    "layers",
    "layout",
    "learn_ranges",
    "load_tensors",
    "measure_light",
    "noise",
    "over_realisations",
    "parameter_groups",
    "physics_aware",
    "plots",
    "power_of",
    "program",
    "range_parameters",
    "rebind",
    "recalibrate",
    "refine",
    "refit",
    "replace_linear",
    "run",
    "save_tensors",
    "search",
    "set_input_range",
    "soft_levels",
    "studies",
    "synthesis",
    "synthesise",
    "to_optical",
    "train",
    "training",
    "transforms",
]

if TYPE_CHECKING:
    from photonic_acdc import (
        analysis,
        calibration,
        data,
        layers,
        layout,
        plots,
        search,
        studies,
        synthesis,
        training,
        transforms,
    )
    from photonic_acdc.analysis import diagnose
    from photonic_acdc.calibration import calibrate, calibration_patterns, program, recalibrate, refit
    from photonic_acdc.layers import parameter_groups, replace_linear
    from photonic_acdc.optical import (
        OpticalCascade,
        SimulatedBench,
        cascades,
        initialise_ranges,
        learn_ranges,
        measure_light,
        noise,
        over_realisations,
        power_of,
        range_parameters,
        rebind,
        set_input_range,
        soft_levels,
        to_optical,
    )
    from photonic_acdc.runs import run
    from photonic_acdc.storage import load_tensors, save_tensors
    from photonic_acdc.synthesis import refine, synthesise
    from photonic_acdc.training import physics_aware, train
    from simulators.errors import InputError


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"photonic_acdc.{name}")
    raise AttributeError(f"module 'photonic_acdc' has no attribute {name!r}")


def __dir__():
    return __all__
