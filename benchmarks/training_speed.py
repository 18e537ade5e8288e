"""A training step of the reference network (digits, K = 2, q = 2): every effect sampled, against ideal devices."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

import photonic_acdc as pa
import simulators as sim
from benchmarks.timing import paired, row

Mode = Literal["off", "mean", "sample"]


def rows(*, quick: bool = False) -> list[dict]:
    """Rows of this benchmark."""
    torch.set_num_threads(1)
    model = nn.Sequential(
        pa.layers.AFDF(64, 2, shape=(8, 8)), pa.layers.Intensity(), nn.BatchNorm1d(64), nn.Linear(64, 10)
    )
    optic = pa.to_optical(model, sim.reference_bench(), order=2)
    x, y = torch.rand(64, 64), torch.randint(10, (64,))
    steps = itertools.count()

    def loss(mode: Mode) -> Tensor:
        number = next(steps)
        with pa.noise(optic, mode, seed=0, realisations=[number], exposure=number, differentiable=True):
            return nn.functional.cross_entropy(optic(x), y)

    def step(mode: Mode) -> None:
        loss(mode).backward()

    times = paired({mode: partial(step, mode) for mode in ("off", "mean", "sample")}, 10 if quick else 60)
    memory = {mode: _kept(partial(loss, mode)) for mode in ("off", "sample")}
    return [
        row("training step, off", 1e3 * times["off"], "ms"),
        row("training step, mean / off", times["mean"] / times["off"], "x"),
        row("training step, sample / off", times["sample"] / times["off"], "x", 3.0),
        row("kept for the backward pass, off", memory["off"] / 1e6, "MB"),
        row("kept for the backward pass, sample / off", memory["sample"] / memory["off"], "x", 2.0),
    ]


def _kept(forward) -> int:
    """Bytes that a forward pass keeps for its backward pass, shared storage once: what a step's memory grows with."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result  # until here the graph, hence every storage, was alive
    return sum(storages.values())
