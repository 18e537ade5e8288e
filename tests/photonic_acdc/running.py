"""What the tests of runs share: a small configuration, its data, and what lies in a folder."""

from pathlib import Path

import numpy as np

#: One stage on 4×4 modes, judged as little as it goes, under one thread and one seed.
TINY = """
seeds = [0]
[data]
source = "own.npz"
[model]
modes = [4, 4]
stages = 1
[training]
epochs = 2
batch_size = 8
threads = 1
order = 1
[evaluation]
realisations = 2
order = 2
budget_realisations = 1
photon_realisations = 1
front_weights = [0.1]
front_epochs = 1
front_realisations = 1
"""


def spots(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Three classes, each brightest at a place of its own; x ``[rows, 16]`` and y."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    return 0.4 * rng.random((rows, 16)) + 0.6 * np.eye(16)[5 * y], y


def spots_of_one_brightness(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`spots`, with the largest value, 1, in every row: on both sides of any split."""
    x, y = spots(rows)
    x[:, 15] = 1
    return x, y


def files(folder: Path) -> set[str]:
    """Every file below ``folder``, by its path from there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
