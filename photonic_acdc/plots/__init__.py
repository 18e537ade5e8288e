"""Pictures: a function each, that takes a dataset and an ``Axes``, draws, and computes nothing.

| file | pictures |
|---|---|
| ``training`` | :func:`training_curves` |
| ``robustness`` | :func:`accuracy_over_realisations`, :func:`accuracy_against_photons`, ``…_light`` |
| ``budget`` | :func:`error_budget` |
| ``pareto`` | :func:`pareto` |
| ``levels`` | :func:`compare_levels` |
| ``field`` | :func:`masks`, :func:`field_planes` |
| ``bench`` | :func:`layout` |
| ``studies`` | :func:`study` |
| ``synthesis`` | :func:`synthesis` |
| ``trade`` | :func:`planes_vs_error` |

Functions that fill a whole figure return the ``Figure``; the others return the ``Axes``. Nothing is shown or saved.
"""

from photonic_acdc.plots.bench import layout
from photonic_acdc.plots.budget import error_budget
from photonic_acdc.plots.field import field_planes, mask_image, masks
from photonic_acdc.plots.levels import compare_levels
from photonic_acdc.plots.pareto import pareto
from photonic_acdc.plots.robustness import (
    accuracy_against_light,
    accuracy_against_photons,
    accuracy_over_realisations,
)
from photonic_acdc.plots.studies import study
from photonic_acdc.plots.synthesis import synthesis
from photonic_acdc.plots.trade import planes_vs_error
from photonic_acdc.plots.training import training_curves

__all__ = [
    "accuracy_against_light",
    "accuracy_against_photons",
    "accuracy_over_realisations",
    "compare_levels",
    "error_budget",
    "field_planes",
    "layout",
    "mask_image",
    "masks",
    "pareto",
    "planes_vs_error",
    "study",
    "synthesis",
    "training_curves",
]
