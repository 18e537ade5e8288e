"""Fixed tiles: numbers that do not depend on how the work is grouped.

Sums, products and kernels change in the last bit with batch size and thread count. So every evaluation is cut into
the same tiles, (one realisation) × (samples 512·j … 512·j + 511), each computed on one thread; whatever groups them
only groups whole tiles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from photonic_acdc.data.dataset import Dataset
from photonic_acdc.optical.noise import Mode
from photonic_acdc.optical.switches import noise

#: Samples a tile.
TILE = 512


@dataclass(frozen=True)
class Tile:
    """One realisation and one aligned block of rows."""

    realisation: int
    rows: slice


def tiles(samples: int, realisations: tuple[int, ...]) -> list[Tile]:
    """All tiles of an evaluation, realisation by realisation."""
    return [
        Tile(r, slice(start, min(start + TILE, samples))) for r in realisations for start in range(0, samples, TILE)
    ]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread within."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def evaluate(model: nn.Module, data: Dataset, tile: Tile, mode: Mode, seed: int, exposure: int = 0) -> Tensor:
    """Logits ``[rows, classes]`` of one tile; ``model`` in eval mode, within :func:`one_thread`."""
    rows = data.rows(tile.rows)
    with noise(
        model,
        mode,
        seed=seed,
        realisations=(tile.realisation,),
        samples=rows.index.tolist(),
        exposure=exposure,
        differentiable=False,
    ):
        return model(rows.x)
