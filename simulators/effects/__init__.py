"""What spoils light: pure functions of tensors, differentiable and batched over realisations.

They know no spec and draw nothing: figures and random values are handed to them.

| file | effect |
|---|---|
| ``quantisation`` | phase levels over the stroke, amplitude levels, camera digits |
| ``lut`` | the residual of a panel's phase look-up table |
| ``flicker`` | the periodic ripple of a digitally driven liquid crystal |
| ``leak`` | light that a phase panel does not modulate |
| ``extinction`` | light that an amplitude panel does not block |
| ``loss`` | reflectance and transmission |
| ``counting`` | photo-electrons: shot noise, read noise, full well |
"""

from simulators.effects.counting import read_noise, saturate, shot_noise
from simulators.effects.extinction import extinction
from simulators.effects.flicker import flicker, flicker_nodes
from simulators.effects.leak import zero_order_leak
from simulators.effects.loss import attenuate
from simulators.effects.lut import lut_residual
from simulators.effects.quantisation import quantise, quantise_phase, straight_through

__all__ = [
    "attenuate",
    "extinction",
    "flicker",
    "flicker_nodes",
    "lut_residual",
    "quantise",
    "quantise_phase",
    "read_noise",
    "saturate",
    "shot_noise",
    "straight_through",
    "zero_order_leak",
]
