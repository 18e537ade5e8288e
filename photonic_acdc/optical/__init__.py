"""A layer bound to a bench: encoding, masks → commands, simulator, readout; and the noise switch.

| file | holds |
|---|---|
| ``cascade`` | :class:`OpticalCascade`, the module |
| ``masks`` | what it trains: physical masks (native) or the layer's own (exact) |
| ``convert`` | :func:`to_optical`, :func:`rebind`: put a model on a bench, or on another one |
| ``switches`` | :func:`noise`, :func:`measure_light`: for every cascade of a model |
| ``noise``, ``light`` | what they set: :class:`Noise`, :class:`LightMeter` |
"""

from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.convert import rebind, set_input_range, to_optical
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.optical.noise import Noise
from photonic_acdc.optical.switches import measure_light, noise, over_realisations

__all__ = [
    "LightMeter",
    "Noise",
    "OpticalCascade",
    "cascades",
    "measure_light",
    "noise",
    "over_realisations",
    "rebind",
    "set_input_range",
    "to_optical",
]
