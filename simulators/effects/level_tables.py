"""Displacements of the mirrors of TI's phase light modulators, as shares of the largest one.

Source: Texas Instruments, ``ti-plm`` (MIT licence), calibration data of the 0.67" and the 0.47" device.
"""

from __future__ import annotations

PLM_P67 = (
    *(0.0, 0.0107, 0.0219, 0.0450, 0.0598, 0.0775, 0.1206, 0.1850),
    *(0.3655, 0.3955, 0.4510, 0.5244, 0.6393, 0.7116, 0.8502, 1.0),
)
PLM_P47 = (
    *(0.0, 0.0126, 0.0259, 0.0495, 0.071, 0.0878, 0.1382, 0.2153),
    *(0.3274, 0.361, 0.4204, 0.5046, 0.5916, 0.673, 0.8254, 1.0),
)
