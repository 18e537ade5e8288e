"""Choosing a structured layer: a resumable study of error against number of parameters, and its Pareto front.

| file | holds |
|---|---|
| ``config`` | :class:`SearchConfig`: what to try and how to judge it, a TOML file |
| ``space`` | layers, their settings, and the network that a choice stands for |
| ``candidate`` | one training of one choice |
| ``front`` | :func:`pareto_front` |
| ``journal`` | the study's file, kept a whole trial at a time |
| ``study`` | trials, references, and tests of the front |
| ``results`` | both as datasets and rows |
| ``job`` | :func:`search`: the order of the work, and its summary |
"""

from photonic_acdc.search.config import SearchConfig, SearchSettings
from photonic_acdc.search.front import pareto_front
from photonic_acdc.search.job import search
from photonic_acdc.search.space import LAYERS

__all__ = ["LAYERS", "SearchConfig", "SearchSettings", "pareto_front", "search"]
