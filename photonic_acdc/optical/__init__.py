"""A layer bound to a bench: encoding, masks → commands, simulator, readout; and the noise switch.

| file | holds |
|---|---|
| ``cascade`` | :class:`OpticalCascade`, the module |
| ``masks`` | what it trains: physical masks (native) or the layer's own (exact) |
| ``convert`` | :func:`to_optical`, :func:`rebind`: put a model on a bench, or on another one |
| ``switches`` | :func:`noise`, :func:`measure_light`: for every cascade of a model |
| ``noise``, ``light`` | what they set: :class:`Noise`, :class:`LightMeter` |
| ``single_effects`` | the mode of every single effect |
| ``ranges``, ``learned_ranges`` | ranges as parameters, soft levels; how they enter the figures of a bench |
| ``apparatus`` | :class:`Apparatus`: a bench known only by what it does; :class:`SimulatedBench` |
"""

from photonic_acdc.optical.apparatus import Apparatus, SimulatedBench
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.convert import rebind, set_input_range, to_optical
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.optical.noise import Noise
from photonic_acdc.optical.ranges import (
    initialise_ranges,
    learn_ranges,
    power_of,
    range_parameters,
    soft_levels,
)
from photonic_acdc.optical.switches import measure_light, noise, over_realisations

__all__ = [
    "Apparatus",
    "LightMeter",
    "Noise",
    "OpticalCascade",
    "SimulatedBench",
    "cascades",
    "initialise_ranges",
    "learn_ranges",
    "measure_light",
    "noise",
    "over_realisations",
    "power_of",
    "range_parameters",
    "rebind",
    "set_input_range",
    "soft_levels",
    "to_optical",
]
