"""A training step of the reference network (digits, K = 2, q = 2): every effect sampled, against ideal devices."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Literal

import torch
from torch import nn

import photonic_acdc as pa
import simulators as sim
from benchmarks.timing import paired, row


def rows(*, quick: bool = False) -> list[dict]:
    """Rows of this benchmark."""
    torch.set_num_threads(1)
    model = nn.Sequential(
        pa.layers.AFDF(64, 2, shape=(8, 8)), pa.layers.Intensity(), nn.BatchNorm1d(64), nn.Linear(64, 10)
    )
    optic = pa.to_optical(model, sim.reference_bench(), order=2)
    x, y = torch.rand(64, 64), torch.randint(10, (64,))
    steps = itertools.count()

    def step(mode: Literal["off", "mean", "sample"]) -> None:
        number = next(steps)
        with pa.noise(optic, mode, seed=0, realisations=[number], exposure=number, differentiable=True):
            nn.functional.cross_entropy(optic(x), y).backward()

    candidates = {"off": partial(step, "off"), "mean": partial(step, "mean"), "sample": partial(step, "sample")}
    times = paired(candidates, 10 if quick else 60)
    return [
        row("training step, off", 1e3 * times["off"], "ms"),
        row("training step, mean / off", times["mean"] / times["off"], "x"),
        row("training step, sample / off", times["sample"] / times["off"], "x", 3.0),
    ]
