"""A bench as built: its figures from frames, what misalignment the masks can absorb, and masks that do.

| file | holds |
|---|---|
| ``refit`` | :func:`refit`: register the zones by whole native pixels, then absorb what is left in the masks' phases |
| ``program`` | :func:`program`, :func:`recalibrate`: masks fitted to one bench by its frames alone |
| ``split`` | :func:`split_misalignment`: every figure, whether masks absorb it, and what is left |
| ``geometry`` | the phases that misalignment puts on the masks; :func:`register` |
| ``agreement`` | fidelity and error of the operator, as the readout sees it |
| ``patterns`` | :func:`calibration_patterns` to show, :func:`measure` to show them |
| ``identify`` | :func:`calibrate`: the figures of a bench from its frames |
| ``figures``, ``expected`` | which numbers are sought; the frames expected of them, their slopes and their noise |
| ``least_squares`` | the search for them, and what data determine |
| ``calibrated``, ``degeneracy`` | :class:`Calibration`, what was found; what the frames cannot tell apart |
"""

from photonic_acdc.calibration.calibrated import Calibration
from photonic_acdc.calibration.degeneracy import Degeneracy
from photonic_acdc.calibration.geometry import PlanePhases, plane_phases, register
from photonic_acdc.calibration.identify import calibrate
from photonic_acdc.calibration.patterns import Measurement, Patterns, calibration_patterns, measure
from photonic_acdc.calibration.program import Programmed, program, recalibrate
from photonic_acdc.calibration.refit import Refit, refit
from photonic_acdc.calibration.split import split_misalignment

__all__ = [
    "Calibration",
    "Degeneracy",
    "Measurement",
    "Patterns",
    "PlanePhases",
    "Programmed",
    "Refit",
    "calibrate",
    "calibration_patterns",
    "measure",
    "plane_phases",
    "program",
    "recalibrate",
    "refit",
    "register",
    "split_misalignment",
]
