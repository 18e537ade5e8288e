"""One training of one choice, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from photonic_acdc.data import Dataset
from photonic_acdc.layers import parameter_groups
from photonic_acdc.search.config import SearchSettings
from photonic_acdc.search.space import REFERENCES, Choices, network
from simulators.random import stream


def judge(choices: Choices, training: Dataset, held_out: Dataset, settings: SearchSettings, seed: int) -> float:
    """Train the network of a choice and return its share of wrong answers on data that training has not seen.

    Adam on the cross-entropy, with the learning rates of the choice (A and D by their multipliers) falling to 0 along
    half a cosine. Features are shifted and scaled by the mean and the standard deviation of all training values. A
    training that diverges answers wrongly throughout.

    Args:
        choices: layer, learning rate, and the layer's settings.
        training: to learn from.
        held_out: to be judged on.
        settings: width, epochs and batch size.
        seed: of the initial values and of the order of the data.
    """
    mean, deviation = training.x.mean(), training.x.std()
    x, y = (training.x - mean) / deviation, training.y
    model = network(choices, x.shape[1], settings.width, training.classes, seed)
    optimiser = torch.optim.Adam(_groups(model, choices), lr=choices["learning_rate"])
    batches = max(1, len(y) // settings.batch_size)
    steps = settings.epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    for epoch in range(settings.epochs):
        order = torch.from_numpy(stream(seed, "search", "order", sample=epoch).permutation(len(y)))
        for i in range(batches):
            rows = order[i * settings.batch_size : (i + 1) * settings.batch_size]
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            if not loss.isfinite():
                return 1.0
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return _error(model.eval(), (held_out.x - mean) / deviation, held_out.y)


def _groups(model: nn.Module, choices: Choices) -> Iterable:
    """Diagonals at their own learning rates; references have none."""
    if choices["layer"] in REFERENCES:
        return model.parameters()
    return parameter_groups(
        model, lr=choices["learning_rate"], a=choices.get("a_multiplier", 1.0), d=choices.get("d_multiplier", 1.0)
    )


@torch.no_grad()
def _error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    logits = model(x)
    wrong = (logits.argmax(-1) != y) | ~logits.isfinite().all(-1)
    return wrong.double().mean().item()
