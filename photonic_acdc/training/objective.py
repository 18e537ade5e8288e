"""One step's loss: the task, the light, and what methods add, on the benches of the step."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from photonic_acdc.evaluating import evaluating
from photonic_acdc.optical.cascade import cascades
from photonic_acdc.optical.ranges import power_of
from photonic_acdc.optical.switches import measure_light, noise, over_realisations
from photonic_acdc.training.distributed import World
from photonic_acdc.training.method import Method
from simulators.errors import InputError

#: Benches seen in training are numbered from here, so that no evaluation meets one of them under the same seed.
TRAINING_BENCHES = 2**32

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of outputs and targets, a mean over the rows."""


@dataclass(frozen=True)
class Moment:
    """Where in a training a step is.

    Attributes:
        step: number of the step, from 0.
        epoch: number of the epoch, from 0.
        done: share of the training that is over, 0 … 1.
        rows: of the batch, those that this process has.
        batch: rows of the whole batch.
    """

    step: int
    epoch: int
    done: float
    rows: range
    batch: int


@dataclass(frozen=True)
class Objective:
    """Computes the loss of a step, and its figures.

    Attributes:
        loss: None: cross-entropy.
        label_smoothing: of the cross-entropy.
        noise_mode: ``"off"``, ``"mean"`` or ``"sample"``.
        realisations: R, virtual benches a step.
        resample: whether they are new every step, or every epoch.
        light_weight: w of the light's logarithm.
        power_weight: that of the laser's learned power.
        seed: of all draws.
        methods: what adds to it.
        world: the processes that share a batch.
    """

    loss: Loss | None
    label_smoothing: float
    noise_mode: Literal["off", "mean", "sample"]
    realisations: int
    resample: Literal["step", "epoch"]
    light_weight: float
    power_weight: float
    seed: int
    methods: Sequence[Method] = ()
    world: World = field(default_factory=World)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of these rows with its graph, and figures without."""
        optical = bool(cascades(model))
        count = self.realisations if optical and self.noise_mode == "sample" else 1
        if count > 1:
            x, y = over_realisations(x, count), over_realisations(y, count)
        efficiency = torch.ones(())
        with contextlib.ExitStack() as stack:
            stack.enter_context(_own_randomness(x, self.seed, moment.step, self.world.rank))
            meter = None
            if optical:
                stack.enter_context(self._noise(model, count, moment))
                meter = stack.enter_context(measure_light(model))
                if self.world.size > 1:
                    meter.whole = lambda values: self.world.total(values * (len(moment.rows) / moment.batch))
            for method in self.methods:
                stack.enter_context(method.forward(model))
            logits = model(x)
            if meter is not None:
                efficiency = meter.efficiency()
            loss = self.task(logits, y)
            figures = {}
            if self.light_weight:
                loss = loss - self.light_weight * efficiency.log()
            if self.power_weight:
                power = power_of(model)
                loss = loss + self.power_weight * power.log()
                figures["power"] = power.detach()
            penalties = [method.penalty(model, x, y, logits) for method in self.methods]
            added = [penalty for penalty in penalties if penalty is not None]
            if added:
                figures["penalty"] = torch.stack([penalty.detach().reshape(()) for penalty in added]).sum()
                for penalty in added:
                    loss = loss + penalty
        figures = {"loss": loss.detach(), **figures}
        if optical:
            figures["efficiency"] = efficiency.detach()
        if classifies(logits, y):
            figures["accuracy"] = (logits.detach().argmax(-1) == y).double().mean()
        return loss, figures

    def task(self, logits: Tensor, y: Tensor) -> Tensor:
        """Loss of the outputs alone."""
        if self.loss is not None:
            return self.loss(logits, y)
        return nn.functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing)

    def _noise(self, model: nn.Module, count: int, moment: Moment):
        first = TRAINING_BENCHES + (moment.epoch if self.resample == "epoch" else moment.step) * count
        scale: dict[str, float] = {}
        for method in self.methods:
            for pattern, factor in method.scale(moment.done).items():
                scale[pattern] = scale.get(pattern, 1.0) * factor
        return noise(
            model,
            self.noise_mode,
            seed=self.seed,
            realisations=range(first, first + count),
            samples=moment.rows,
            exposure=moment.step,
            differentiable=True,
            scale=scale or None,
        )


def classifies(logits: Tensor, y: Tensor) -> bool:
    """Whether outputs are classes' and targets their numbers, so that there is an accuracy."""
    return not y.is_floating_point() and y.ndim == 1 and logits.ndim == 2 and logits.shape[1] > 1


def check_outputs(logits: Tensor, y: Tensor, labels: Tensor) -> None:
    """Raise :class:`InputError` where cross-entropy cannot be taken; ``labels`` are all that will come."""
    if logits.ndim != 2 or logits.is_complex() or len(logits) != len(y):
        kind = "complex " if logits.is_complex() else ""
        raise InputError(
            "training: the model's output",
            value=f"{kind}{list(logits.shape)} for {len(y)} rows",
            allowed="real logits [rows, classes]",
            remedy="another last layer, or loss=",
        )
    if int(labels.max()) >= logits.shape[1]:
        raise InputError(
            f"training: label {int(labels.max())}",
            allowed=f"0 … {logits.shape[1] - 1}: the model has {logits.shape[1]} outputs",
            remedy="a last layer of as many outputs as there are classes",
        )


@contextlib.contextmanager
def _own_randomness(x: Tensor, seed: int, step: int, rank: int) -> Iterator[None]:
    """Within, torch's global generator (dropout, say) is keyed by seed and step; the caller's is left as it was."""
    digest = hashlib.blake2b(f"{seed}\0train\0torch\0{step}\0{rank}".encode(), digest_size=7).digest()
    number, generator = int.from_bytes(digest, "big"), torch.default_generator
    before = generator.get_state()
    on_gpu = x.device if x.device.type == "cuda" else None
    before_gpu = None if on_gpu is None else torch.cuda.get_rng_state(on_gpu)
    try:
        generator.manual_seed(number)
        if on_gpu is not None:
            torch.cuda.manual_seed(number)
        yield
    finally:
        generator.set_state(before)
        if on_gpu is not None and before_gpu is not None:
            torch.cuda.set_rng_state(before_gpu, on_gpu)


@torch.no_grad()
def validate(objective: Objective, model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """Loss and accuracy without drawn noise, in eval mode, on what the methods judge by."""
    mode = "off" if objective.noise_mode == "off" else "mean"
    with contextlib.ExitStack() as stack:
        stack.enter_context(evaluating(model))
        if cascades(model):
            stack.enter_context(noise(model, mode))
        for method in objective.methods:
            stack.enter_context(method.judging(model))
        logits = model(x)
    found = {"validation_loss": objective.task(logits, y).item()}
    if classifies(logits, y):
        found["validation_accuracy"] = (logits.argmax(-1) == y).double().mean().item()
    return found
