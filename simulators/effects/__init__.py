"""What spoils light: pure functions of tensors, differentiable and batched over realisations.

They know no spec and draw nothing: figures and random values are handed to them.

| file | effect |
|---|---|
| ``quantisation``, ``level_tables`` | phase levels, even or not; amplitude levels; tables of piston mirrors |
| ``lut`` | how a panel's phase follows its drive: residual of a look-up table, bent or measured response |
| ``settling`` | a panel that still shows some of the frame before |
| ``flicker`` | the periodic ripple of a digitally driven liquid crystal |
| ``crosstalk``, ``kernel_table`` | fringing between neighbouring pixels, by a kernel with a name or a table of one |
| ``fill_factor`` | gaps between pixels, in three models |
| ``static_maps`` | a panel's bow, and errors that neighbours share |
| ``coupling`` | amplitude that changes with the phase |
| ``leak`` | light that a phase panel does not modulate |
| ``extinction`` | light that an amplitude panel does not block |
| ``loss`` | reflectance and transmission |
| ``profile`` | how a laser beam lights the modes |
| ``stray`` | ghosts, background, depolarised light, orders of a neighbouring zone |
| ``polarisation`` | polarisers and wave plates |
| ``limits`` | what a figure may be |
| ``counting``, ``adc`` | photo-electrons and digits: shot noise, read noise, full well, converters |
"""

from simulators.effects.adc import clip, converter_noise, johnson_noise, relative_intensity_noise, voltage_noise
from simulators.effects.counting import black_level, read_noise, saturate, shot_noise
from simulators.effects.coupling import coupled_amplitude, measured_amplitude
from simulators.effects.crosstalk import crosstalk, smoothed_boxes
from simulators.effects.extinction import extinction
from simulators.effects.fill_factor import fill, pixel_aperture
from simulators.effects.flicker import flicker, flicker_nodes, flicker_pairs
from simulators.effects.leak import zero_order_leak
from simulators.effects.level_tables import PLM_P47, PLM_P67
from simulators.effects.loss import attenuate
from simulators.effects.lut import gamma_response, lut_residual, measured_response
from simulators.effects.polarisation import polariser, rotation, wave_plate
from simulators.effects.profile import gaussian_profile
from simulators.effects.quantisation import (
    even_levels,
    learned_step_quantise,
    nearest_level,
    quantise,
    quantise_phase,
    quantise_to,
    scale_gradient,
    soft_levels,
    straight_through,
)
from simulators.effects.settling import residual_after, settle
from simulators.effects.static_maps import correlated, flatness
from simulators.effects.stray import background, depolarise, ghost, zone_order_share

__all__ = [
    "PLM_P47",
    "PLM_P67",
    "attenuate",
    "background",
    "black_level",
    "clip",
    "converter_noise",
    "correlated",
    "coupled_amplitude",
    "crosstalk",
    "depolarise",
    "even_levels",
    "extinction",
    "fill",
    "flatness",
    "flicker",
    "flicker_nodes",
    "flicker_pairs",
    "gamma_response",
    "gaussian_profile",
    "ghost",
    "johnson_noise",
    "learned_step_quantise",
    "lut_residual",
    "measured_amplitude",
    "measured_response",
    "nearest_level",
    "pixel_aperture",
    "polariser",
    "quantise",
    "quantise_phase",
    "quantise_to",
    "read_noise",
    "relative_intensity_noise",
    "residual_after",
    "rotation",
    "saturate",
    "scale_gradient",
    "settle",
    "shot_noise",
    "smoothed_boxes",
    "soft_levels",
    "straight_through",
    "voltage_noise",
    "wave_plate",
    "zero_order_leak",
    "zone_order_share",
]
