"""Structured linear layers as ideal mathematics: no optics here. All stand in for ``nn.Linear``.

| file | layer |
|---|---|
| ``afdf`` | :class:`AFDF`, complex: diagonals and Fourier transforms; what a bench of lenses computes |
| ``acdc`` | :class:`ACDC`, real: diagonals and cosine transforms |
| ``circulant`` | :class:`Circulant`, :class:`BlockCirculant` |
| ``low_rank`` | :class:`LowRank` |
| ``fastfood`` | :class:`Fastfood`, :class:`AdaptiveFastfood` |
| ``tensor_train`` | :class:`TensorTrain` |
| ``monarch`` | :class:`Monarch` |
| ``hybrid`` | :class:`Hybrid`: any of these plus a low-rank or sparse correction |
| ``activations`` | such as :class:`Intensity`, :class:`Real`; :class:`Permutation`; :class:`First` |
| ``even`` | an ACDC cascade as an AFDF cascade of twice the features |
| ``replace``, ``compare`` | into a model in place of ``nn.Linear``, and what that changes |
| ``fit``, ``groups`` | least squares from a dense layer; the optimiser's groups |
| ``structured``, ``cascade``, ``kernels`` | what layers share; how cascades are computed |
"""

from photonic_acdc.layers.acdc import ACDC
from photonic_acdc.layers.activations import CReLU, First, Intensity, ModReLU, Permutation, Real
from photonic_acdc.layers.afdf import AFDF
from photonic_acdc.layers.circulant import BlockCirculant, Circulant
from photonic_acdc.layers.compare import Comparison, compare
from photonic_acdc.layers.even import EvenExtension, EvenPart
from photonic_acdc.layers.fastfood import AdaptiveFastfood, Fastfood
from photonic_acdc.layers.fit import fit
from photonic_acdc.layers.groups import parameter_groups
from photonic_acdc.layers.hybrid import Hybrid
from photonic_acdc.layers.low_rank import LowRank
from photonic_acdc.layers.monarch import Monarch
from photonic_acdc.layers.replace import replace_linear
from photonic_acdc.layers.structured import StructuredLinear
from photonic_acdc.layers.tensor_train import TensorTrain

__all__ = [
    "ACDC",
    "AFDF",
    "AdaptiveFastfood",
    "BlockCirculant",
    "CReLU",
    "Circulant",
    "Comparison",
    "EvenExtension",
    "EvenPart",
    "Fastfood",
    "First",
    "Hybrid",
    "Intensity",
    "LowRank",
    "ModReLU",
    "Monarch",
    "Permutation",
    "Real",
    "StructuredLinear",
    "TensorTrain",
    "compare",
    "fit",
    "parameter_groups",
    "replace_linear",
]
