"""Studies: one question about training on devices each, answered with intervals, a dataset and a picture.

| file | holds |
|---|---|
| ``config`` | the configuration of a study: one TOML file |
| ``laboratory`` | trained models and judged accuracies, kept as they are done |
| ``results`` | points → dataset with intervals; which method beats the baseline |
| ``job`` | :func:`study`: the order of the work |
| ``bits``, ``misalignment``, ``photons``, ``reality_gap``, ``mesh``, ``unseen``, ``four_bits`` | a study each |
| ``planes_vs_error`` | a study without trainings on devices, with a configuration and a job of its own |

A study has ``Options`` (its table in the file, and what it refuses), ``ABOUT`` (what its axis is), and
``measure(laboratory)``, which gives the points of a seed; where verdicts a place are not enough, ``conclude(found)``.
"""

from photonic_acdc.studies.config import StudyConfig, load
from photonic_acdc.studies.job import study

__all__ = ["StudyConfig", "load", "study"]
