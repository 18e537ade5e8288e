"""A bench as built: which of its misalignments the masks can absorb, and masks that do.

| file | holds |
|---|---|
| ``refit`` | :func:`refit`: register the zones by whole native pixels, then absorb what is left in the masks' phases |
| ``split`` | :func:`split_misalignment`: every figure, whether masks absorb it, and what is left |
| ``geometry`` | the phases that misalignment puts on the masks; :func:`register` |
| ``agreement`` | fidelity and error of the operator, as the readout sees it |
"""

from photonic_acdc.calibration.geometry import PlanePhases, plane_phases, register
from photonic_acdc.calibration.refit import Refit, refit
from photonic_acdc.calibration.split import split_misalignment

__all__ = ["PlanePhases", "Refit", "plane_phases", "refit", "register", "split_misalignment"]
