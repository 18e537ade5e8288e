"""The training loop: an ideal model, or one through the devices of its bench."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from photonic_acdc.data.dataset import Dataset
from photonic_acdc.optical.cascade import cascades
from photonic_acdc.optical.masks import NativeMasks
from photonic_acdc.optical.switches import measure_light, noise, over_realisations
from photonic_acdc.training.checkpoint import load_checkpoint, save_checkpoint
from simulators.errors import InputError
from simulators.random import check_seed, stream

if TYPE_CHECKING:
    import xarray as xr

#: Benches seen in training are numbered from here, so that no evaluation meets one of them under the same seed.
TRAINING_BENCHES = 2**32

Progress = Callable[[int, int, dict], None]
"""Called after every epoch: epochs done, epochs in all, the epoch's figures."""


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves behind.

    Attributes:
        model: the trained module, in eval mode; the one that was given, changed in place.
        history: figures an epoch.
    """

    model: nn.Module
    history: list[dict]

    def dataset(self) -> xr.Dataset:
        """The history as an ``xarray.Dataset`` over ``epoch``."""
        import xarray as xr

        return xr.Dataset(
            {
                name: (
                    "epoch",
                    [float(row[name]) for row in self.history],
                    {"long_name": long, "units": unit},
                )
                for name, (long, unit) in _FIGURES.items()
                if name in self.history[0]
            },
            coords={"epoch": ("epoch", range(1, len(self.history) + 1), {"long_name": "epoch", "units": "1"})},
        )


_FIGURES = {
    "loss": ("training loss", "1"),
    "accuracy": ("training accuracy", "1"),
    "validation_accuracy": ("validation accuracy", "1"),
    "efficiency": ("light at the detector's modes", "1"),
    "learning_rate": ("learning rate", "1"),
}


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
    noise_mode: Literal["off", "mean", "sample"] = "off",
    realisations: int = 1,
    light_weight: float = 0.0,
    seed: int = 0,
    validation: Dataset | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    r"""Train a classifier with Adam and a cosine learning rate; through its bench, if it has one.

    .. math:: L = \mathrm{CE}(f(x), y) - w \log \eta

    with η the share of the devices' own light that reaches the detector (:class:`~photonic_acdc.optical.LightMeter`).
    In ``"sample"`` every step sees benches never built before: static errors of realisations
    2³² + step·R … 2³² + step·R + R-1, shots keyed by the step and the row. Interrupted and started again with the same
    checkpoint, it ends bit-identically to never having stopped.

    Args:
        model: maps ``[B, features]`` to logits ``[B, classes]``; optical cascades in it follow ``noise_mode``.
        data: to learn from.
        epochs: passes over the data.
        batch_size: rows a step; the last, shorter batch of an epoch is dropped, where there is a full one.
        learning_rate: of Adam, at the start; falls to 0 along half a cosine.
        mask_rate: factor on it for the masks of optical cascades, whose unit is the radian.
        weight_decay: decoupled, of the electronic weights alone: masks have none.
        label_smoothing: of the cross-entropy.
        noise_mode: ``"off"``, ``"mean"`` or ``"sample"``.
        realisations: R, virtual benches a step.
        light_weight: w.
        seed: of the order of the data and of all draws.
        validation: evaluated without noise after every epoch.
        checkpoint: file that is written after every epoch and taken up if it exists.
        progress: called after every epoch.

    Raises:
        InputError: a figure out of range; a foreign checkpoint; a loss or a parameter that is not finite, with the step
            and, of a parameter, its layer, mask and stage. The checkpoint stays that of the last whole epoch.
    """
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "mask_rate": mask_rate,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "noise_mode": noise_mode,
        "realisations": realisations,
        "light_weight": light_weight,
        "seed": seed,
    }
    _check(settings)
    optical = bool(cascades(model))
    optimiser = torch.optim.AdamW(_groups(model, weight_decay, mask_rate), lr=learning_rate)
    path = Path(checkpoint) if checkpoint is not None else None
    key = _key(settings, model, data)
    done, history = 0, []
    if path is not None and path.exists():
        done, history = load_checkpoint(path, model, optimiser, key)
    batches = max(1, len(data) // batch_size)
    parameters = [p for p in model.parameters() if p.requires_grad and p.numel()]
    for epoch in range(done, epochs):
        model.train()
        order = torch.from_numpy(stream(seed, "train", "order", sample=epoch).permutation(len(data)))
        sums = {"loss": 0.0, "accuracy": 0.0, "efficiency": 0.0}
        for i in range(batches):
            step = epoch * batches + i
            rate = learning_rate * 0.5 * (1 + math.cos(math.pi * step / (epochs * batches)))
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            rows = order[i * batch_size : (i + 1) * batch_size]
            objective = _Objective(model, optical, settings)
            figures = objective(data.x[rows], data.y[rows], step)
            if not math.isfinite(figures["loss"]):
                raise InputError(
                    f"training: the loss is {figures['loss']} at step {step} (epoch {epoch + 1})",
                    remedy="a smaller learning_rate",
                )
            optimiser.zero_grad()
            objective.loss.backward()
            optimiser.step()
            _check_finite(model, parameters, step, epoch)
            for name in sums:
                sums[name] += figures[name] / batches
        row = {**sums, "learning_rate": optimiser.param_groups[-1]["lr"]}
        if not optical:
            del row["efficiency"]
        if validation is not None:
            row["validation_accuracy"] = _accuracy(model, validation, noise_mode, optical)
        history.append(row)
        if path is not None:
            save_checkpoint(path, model, optimiser, epoch + 1, history, key)
        if progress is not None:
            progress(epoch + 1, epochs, row)
    return TrainingResult(model.eval(), history)


def _key(settings: dict, model: nn.Module, data: Dataset) -> str:
    """What a checkpoint belongs to: the settings, the model and its benches, and the data."""
    benches = [cascade.bench.to_dict() for cascade in cascades(model).values()]
    digest = hashlib.sha256(json.dumps([settings, repr(model), benches]).encode())
    for part in (data.x, data.y, data.index):
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()[:16]


class _Objective:
    """One step's loss, with its graph, and its figures."""

    def __init__(self, model: nn.Module, optical: bool, settings: dict):
        self._model, self._optical, self._settings = model, optical, settings
        self.loss: Tensor

    def __call__(self, x: Tensor, y: Tensor, step: int) -> dict[str, float]:
        settings = self._settings
        efficiency = torch.ones(())
        if self._optical:
            count = settings["realisations"] if settings["noise_mode"] == "sample" else 1
            index = range(TRAINING_BENCHES + step * count, TRAINING_BENCHES + (step + 1) * count)
            with (
                noise(
                    self._model,
                    settings["noise_mode"],
                    seed=settings["seed"],
                    realisations=index,
                    samples=range(len(x)),
                    exposure=step,
                    differentiable=True,
                ),
                measure_light(self._model) as meter,
            ):
                logits = self._model(over_realisations(x, count))
            y = over_realisations(y, count)
            efficiency = meter.efficiency()
        else:
            logits = self._model(x)
        cross_entropy = nn.functional.cross_entropy(logits, y, label_smoothing=settings["label_smoothing"])
        self.loss = cross_entropy
        if settings["light_weight"]:
            self.loss = self.loss - settings["light_weight"] * efficiency.log()
        hits = (logits.detach().argmax(-1) == y).double().mean().item()
        return {"loss": self.loss.item(), "accuracy": hits, "efficiency": efficiency.item()}


def _groups(model: nn.Module, weight_decay: float, mask_rate: float) -> list[dict]:
    """Masks take larger steps; electronic weight matrices decay; masks, biases and normalisations do not."""
    masks = {id(p) for cascade in cascades(model).values() for p in cascade.parameters()}
    electronic = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))}
    groups = (
        {
            "params": [p for p in model.parameters() if id(p) in masks],
            "weight_decay": 0.0,
            "factor": mask_rate,
        },
        {
            "params": [p for p in model.parameters() if id(p) not in masks | electronic],
            "weight_decay": 0.0,
            "factor": 1.0,
        },
        {
            "params": [p for p in model.parameters() if id(p) in electronic],
            "weight_decay": weight_decay,
            "factor": 1.0,
        },
    )
    return [group for group in groups if group["params"]]


@torch.no_grad()
def _check_finite(model: nn.Module, parameters: list[nn.Parameter], step: int, epoch: int) -> None:
    """Raise :class:`InputError` that names the first parameter which the step has made infinite or NaN."""
    # One reduction for all: of a step's time, a test each would take several per cent.
    if not parameters or math.isfinite(torch.cat([p.reshape(-1) for p in parameters]).abs().max().item()):
        return
    broken = {n: p for n, p in model.named_parameters() if p.requires_grad and not p.isfinite().all()}
    for name, parameter in broken.items():
        count, size = int((~parameter.isfinite()).sum()), parameter.numel()
        spoilt = parameter.grad is not None and not bool(parameter.grad.isfinite().all())
        cause = ", after a gradient that was not" if spoilt else ""
        others = f"; so are {len(broken) - 1} more parameters" if len(broken) > 1 else ""
        raise InputError(
            f"training: {_place(model, name, parameter)} is not finite after step {step} (epoch {epoch + 1})"
            f"{cause}: {count} of {size} values{others}",
            remedy="a smaller learning_rate",
        )


def _place(model: nn.Module, name: str, parameter: Tensor) -> str:
    """A parameter in the words of its layer, stages from 0: ``layer 0 (AFDF): a_phase of stage 3``."""
    for at, cascade in cascades(model).items():
        if isinstance(masks := cascade.masks, NativeMasks):
            shown = [j for j in range(2 * masks.stages) if cascade.bench.stage[2 * (j % 2)].modulation != "phase_only"]
            for kind, each, planes in (
                ("phase", masks.phases, range(2 * masks.stages)),
                ("opening", masks.openings, shown),
            ):
                for mask, j in zip(each, planes, strict=True):
                    if mask is parameter:
                        return f"{_layer(at, cascade)}: {kind} of mask {'AD'[j % 2]} of stage {j // 2}"
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    stages = getattr(module, "stages", None)
    if parameter.shape[:1] != (stages,):
        return f"{_layer(path, module)}: {leaf}"
    broken = [str(k) for k, row in enumerate(parameter) if not row.isfinite().all()]
    return f"{_layer(path, module)}: {leaf} of stage{'s' * (len(broken) > 1)} {', '.join(broken)}"


def _layer(path: str, module: nn.Module) -> str:
    return f"layer {path} ({type(module).__name__})" if path else type(module).__name__


@torch.no_grad()
def _accuracy(model: nn.Module, data: Dataset, noise_mode: str, optical: bool) -> float:
    model.eval()
    if not optical:
        return (model(data.x).argmax(-1) == data.y).double().mean().item()
    with noise(model, "off" if noise_mode == "off" else "mean"):
        return (model(data.x).argmax(-1) == data.y).double().mean().item()


def _check(settings: dict) -> None:
    if settings["noise_mode"] not in ("off", "mean", "sample"):
        raise InputError("noise_mode", value=repr(settings["noise_mode"]), allowed="off, mean or sample")
    for name in ("epochs", "batch_size", "realisations"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise InputError(name, value=settings[name], allowed="a whole number ≥ 1")
    for name in ("learning_rate", "mask_rate", "weight_decay", "light_weight", "label_smoothing"):
        if not (math.isfinite(settings[name]) and settings[name] >= 0):
            raise InputError(name, value=settings[name], allowed="finite and ≥ 0")
    if settings["label_smoothing"] > 1:
        raise InputError("label_smoothing", value=settings["label_smoothing"], allowed="at most 1")
    check_seed(settings["seed"])
