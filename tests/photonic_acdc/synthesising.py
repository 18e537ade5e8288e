"""Matrices to synthesise, and what their masks do by products of matrices."""

from __future__ import annotations

import numpy as np
import torch

from photonic_acdc.synthesis import Synthesis
from simulators.mesh import haar
from simulators.random import stream


def random_matrix(rows, columns=None, *, real=False, seed=0):
    drawn = stream(seed, "tests", "matrix").standard_normal((2, rows, columns or rows))
    return torch.from_numpy(drawn[0] if real else drawn[0] + 1j * drawn[1])


def unitary(n, seed=0):
    return haar(n, stream(seed, "tests", "haar"))


def dense_product(found: Synthesis) -> torch.Tensor:
    """What the masks do, by dense transforms built here, as seen by a readout that knows how many lenses there are."""
    grid = found.grid
    # Whole turns are taken out as integers: the phase of 255² · 2π/256 would be known to 13 digits alone.
    turns = [np.outer(np.arange(m), np.arange(m)) % m / m for m in grid]
    transforms = [np.exp(-2j * np.pi * turn) / np.sqrt(len(turn)) for turn in turns]
    fourier = transforms[0] if len(grid) == 1 else np.kron(*transforms)
    masks = found.masks.reshape(found.planes, -1).numpy()
    whole = np.eye(found.features, dtype=complex)
    lenses = 2 * (found.planes // 2)
    for j, mask in enumerate(masks):
        whole = mask[:, None] * whole
        if j < lenses:
            whole = fourier @ whole
    if lenses // 2 % 2:  # two lenses turn the image: k lies at -k
        whole = fourier @ fourier @ whole
    rows, columns = found.matrix.shape
    return torch.from_numpy(whole)[:rows, :columns] / found.gain


def error(found: Synthesis) -> float:
    difference = dense_product(found) - found.matrix
    return (torch.linalg.norm(difference) / torch.linalg.norm(found.matrix)).item()
