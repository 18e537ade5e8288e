"""Structured linear layers as ideal mathematics: no optics here.

| file | layer |
|---|---|
| ``afdf`` | :class:`AFDF`, complex: diagonals and Fourier transforms; what a bench of lenses computes |
| ``acdc`` | :class:`ACDC`, real: diagonals and cosine transforms |
| ``activations`` | :class:`Intensity`: modulus squared, what a camera reads |
"""

from photonic_acdc.layers.acdc import ACDC
from photonic_acdc.layers.activations import Intensity
from photonic_acdc.layers.afdf import AFDF

__all__ = ["ACDC", "AFDF", "Intensity"]
