"""Labelled data for the main job: bundled sets by name, or a user's own ``.npz``."""

from photonic_acdc.data.dataset import Dataset, split
from photonic_acdc.data.sources import SOURCES, load_data

__all__ = ["SOURCES", "Dataset", "load_data", "split"]
