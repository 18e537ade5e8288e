"""The main job: train a classifier through a simulated bench, judge it over many, and leave files and pictures.

| file | holds |
|---|---|
| ``run`` | :func:`run`: the order of the work, and its summary |
| ``folder`` | the run's folder: whose it is, what is done, parts that survive an interruption |
| ``stages`` | the trained models and their evaluations, each a function of the configuration alone |
| ``pictures`` | what the run shows |
"""

from photonic_acdc.runs.run import run

__all__ = ["run"]
