"""From the field at the detector to frames, and back to numbers.

| file | holds |
|---|---|
| ``readout`` | :class:`Readout`: the window of a mode, the frames of each kind of readout, and their decoding |
| ``sensors`` | photons → readings: a camera, or photodiodes with amplifier and converter |
| ``interference`` | the reference wave and what is wrong with it |
| ``off_axis`` | one frame with fringes: the pixels within a mode |
"""

from simulators.detection.readout import Kind, Readout

__all__ = ["Kind", "Readout"]
