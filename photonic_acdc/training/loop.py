"""The training loop: an ideal model, or one through the devices of its bench."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from photonic_acdc.data.dataset import Dataset
from photonic_acdc.optical.ranges import power_of
from photonic_acdc.training.checkpoint import identity
from photonic_acdc.training.distributed import World, whole_batch_statistics
from photonic_acdc.training.history import TrainingResult
from photonic_acdc.training.method import Method
from photonic_acdc.training.objective import TRAINING_BENCHES, Loss, Objective
from photonic_acdc.training.optimisers import (
    Cosine,
    MakeOptimiser,
    MakeSchedule,
    Stepper,
    describe,
    groups,
    make_optimiser,
    make_schedule,
)
from photonic_acdc.training.progress import Progress, bar
from photonic_acdc.training.settings import check_classes, check_data, check_settings, name_of
from photonic_acdc.training.steps import Plan, Training
from simulators.errors import InputError

__all__ = ["TRAINING_BENCHES", "train"]


def train(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 1e-2,
    mask_rate: float = 1.0,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    loss: Loss | None = None,
    noise_mode: Literal["off", "mean", "sample"] = "off",
    realisations: int = 1,
    resample: Literal["step", "epoch"] = "step",
    light_weight: float = 0.0,
    power_weight: float = 0.0,
    seed: int = 0,
    methods: Sequence[Method] = (),
    optimiser: Literal["adamw"] | MakeOptimiser = "adamw",
    schedule: Literal["cosine"] | MakeSchedule | None = "cosine",
    clip: float | None = None,
    patience: int | None = None,
    monitor: Literal["loss", "accuracy"] = "loss",
    validation: Dataset | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    fresh: bool = False,
    progress: Progress | Literal["bar"] | None = None,
    world: World | None = None,
) -> TrainingResult:
    r"""Train with Adam and a cosine learning rate, or as told; through its bench, if the model has one.

    .. math:: L = \mathrm{CE}(f(x), y) - w \log \eta + v \log p

    with η the share of the devices' own light that reaches the detector (:class:`~photonic_acdc.optical.LightMeter`),
    and p the share of the laser's power that is used, where that is learned (``learn_ranges(model, "power")``).
    In ``"sample"`` every step sees benches never built before: static errors of realisations
    2³² + step·R … 2³² + step·R + R-1, shots keyed by the step and the row. Interrupted and started again with the same
    checkpoint, it ends bit-identically to never having stopped. Several processes of one torch process group train as
    one: each computes its part of every batch.

    A part that is in eval mode within a model in training mode, such as a normalisation with frozen statistics, stays
    in eval mode; of a model that is in eval mode itself, every part is put into training mode. At the end all of it is
    in eval mode: to train it once more with that part frozen, ``model.train()`` and the part's ``.eval()`` again.

    Args:
        model: maps ``[B, features]`` to logits ``[B, classes]``; optical cascades in it follow ``noise_mode``.
        data: to learn from.
        epochs: passes over the data.
        batch_size: rows a step; the last, shorter batch of an epoch is dropped, where there is a full one.
        learning_rate: at the start.
        mask_rate: factor on it for the masks of optical cascades, whose unit is the radian.
        weight_decay: decoupled, of the electronic weights alone: masks have none.
        label_smoothing: of the cross-entropy.
        loss: of outputs and targets, a mean over the rows; None: cross-entropy. With real targets there is no accuracy.
        noise_mode: ``"off"``, ``"mean"`` or ``"sample"``.
        realisations: R, virtual benches a step, which all see the batch.
        resample: new benches every ``"step"``, or the same R during an ``"epoch"``.
        light_weight: w.
        power_weight: v.
        seed: of the order of the data and of all draws.
        methods: ways of training more robustly, in the order they are called in.
        optimiser: ``"adamw"``, or a function of the groups of parameters (with ``lr`` and ``weight_decay``) that makes
            a torch optimiser.
        schedule: ``"cosine"``: to 0 along half a cosine; None: constant; or a function of the optimiser that makes a
            torch schedule, which moves on every step (``ReduceLROnPlateau``: every epoch, by the validation loss, or
            without one by the training loss).
        clip: largest norm of the gradient; None: any.
        patience: epochs without a better figure of the validation after which to stop; the model ends with the weights
            of its best epoch. None: all epochs, and the last weights.
        monitor: that figure.
        validation: evaluated after every epoch, without drawn noise; on the bench where a method has one.
        checkpoint: file that is written after every epoch and taken up if it exists; the one before it is kept. One of
            another training is refused; but a function is told from others by its name alone (a schedule also by what
            it makes at the start), so that of two lambdas of one place either goes on with the other's.
        checkpoint_every: steps between further checkpoints within an epoch.
        fresh: start over where there is a checkpoint, which is removed.
        progress: called after every epoch; ``"bar"``: a bar on standard error.
        world: processes that train together; None: those of torch's default process group, if there is one.

    Raises:
        InputError: a figure out of range; data that cannot be learnt from, or that do not fit the model; a checkpoint
            that is damaged or of another training; a loss or a parameter that is not finite, with the step and its
            layer, mask and stage (the checkpoint stays that of the last good step); several processes with a method
            that needs one.

    Not modelled: with several processes, what a method adds to the loss is taken as a mean over rows.
    """
    asked = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "mask_rate": mask_rate,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "noise_mode": noise_mode,
        "realisations": realisations,
        "resample": resample,
        "light_weight": light_weight,
        "power_weight": power_weight,
        "seed": seed,
        "clip": clip,
        "patience": patience,
        "monitor": monitor,
        "loss": name_of(loss),
        "optimiser": "adamw",
        "schedule": name_of(schedule),
    }
    check_settings(
        {**asked, "optimiser": optimiser, "schedule": schedule, "loss": loss, "checkpoint_every": checkpoint_every}
    )
    world = World.current() if world is None else world
    _check_all(data, validation, loss, patience, monitor, min(batch_size, len(data)), world)
    for method in methods:
        if method.one_process and world.size > 1:
            raise InputError(
                f"{type(method).__name__} in {world.size} processes",
                allowed="one process, which has all rows of a batch",
                remedy="the same without torchrun",
            )
    for method in methods:
        method.prepare(model)
    objective = Objective(
        loss,
        label_smoothing,
        noise_mode,
        realisations,
        resample,
        light_weight,
        power_weight,
        seed,
        tuple(methods),
        world,
    )
    if power_weight and not power_of(model).requires_grad:
        raise InputError(
            "power_weight: the model's laser power is not learned", remedy='learn_ranges(model, "power") first'
        )
    torch_optimiser = make_optimiser(model, optimiser, groups(model, learning_rate, weight_decay, mask_rate))
    follower = make_schedule(torch_optimiser, schedule if callable(schedule) else None)
    if optimiser != "adamw" or follower is not None:
        asked |= describe(torch_optimiser, follower)
    asked["methods"] = [dict(method.settings()) for method in methods]
    known = identity(asked, model, data)
    if validation is not None:
        known["validation"] = identity({}, nn.Identity(), validation)["data"]
    if any(other != known for other in world.all(known)):
        raise InputError("training: the processes", value="different settings, models or data", allowed="the same")
    path = None if checkpoint is None else Path(checkpoint)
    plan = Plan(data, epochs, batch_size, clip, validation, patience, monitor, path, checkpoint_every)
    cosine = Cosine(torch_optimiser, learning_rate, plan.steps) if schedule == "cosine" else None
    training = Training(model, objective, Stepper(torch_optimiser, follower, cosine), plan, known)
    with contextlib.ExitStack() as stack:
        if progress == "bar":
            training.on_step, progress = stack.enter_context(bar()) if world.leads else (None, None)
        training.on_epoch = progress if world.leads else None
        stack.enter_context(whole_batch_statistics(model, world))
        training.restore(fresh)
        training.run()
    return TrainingResult(model.eval(), training.state.history, training.best_epoch)


def _check_all(
    data: Dataset,
    validation: Dataset | None,
    loss: Loss | None,
    patience: int | None,
    monitor: str,
    batch: int,
    world: World,
) -> None:
    check_data(data, "training data", classes=loss is None)
    if loss is None:
        check_classes(data)
    if validation is not None:
        check_data(validation, "validation data", classes=loss is None)
    if patience is not None and validation is None:
        raise InputError("patience without validation data", remedy="validation=")
    if monitor == "accuracy" and validation is not None and validation.y.is_floating_point():
        raise InputError("monitor='accuracy'", allowed="'loss': the targets are no classes")
    if batch < world.size:
        raise InputError("batch_size", value=batch, allowed=f"a row at least for each of {world.size} processes")
