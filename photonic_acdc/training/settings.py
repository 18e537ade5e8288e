"""What a training may be asked for, and what data it can learn from."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from photonic_acdc.data.dataset import Dataset
from simulators.errors import InputError
from simulators.random import check_seed

_CHOICES = {"noise_mode": ("off", "mean", "sample"), "resample": ("step", "epoch"), "monitor": ("loss", "accuracy")}
_COUNTS = ("epochs", "batch_size", "realisations")
_OPTIONAL_COUNTS = ("patience", "checkpoint_every")
_RATES = ("learning_rate", "mask_rate", "weight_decay", "light_weight", "power_weight", "label_smoothing")


def check_settings(settings: dict[str, Any]) -> None:
    """Raise :class:`InputError` for a figure out of its range."""
    for name, allowed in _CHOICES.items():
        if settings[name] not in allowed:
            raise InputError(name, value=repr(settings[name]), allowed=f"{', '.join(allowed[:-1])} or {allowed[-1]}")
    for name in _COUNTS + _OPTIONAL_COUNTS:
        value = settings[name]
        if value is None and name in _OPTIONAL_COUNTS:
            continue
        if not isinstance(value, int) or value < 1:
            raise InputError(name, value=value, allowed="a whole number ≥ 1")
    for name in _RATES:
        if not (math.isfinite(settings[name]) and settings[name] >= 0):
            raise InputError(name, value=settings[name], allowed="finite and ≥ 0")
    if settings["label_smoothing"] > 1:
        raise InputError("label_smoothing", value=settings["label_smoothing"], allowed="at most 1")
    if settings["label_smoothing"] and settings["loss"] is not None:
        raise InputError("label_smoothing beside loss=", allowed="with the cross-entropy only")
    if settings["clip"] is not None and not 0 < settings["clip"] < math.inf:
        raise InputError("clip", value=settings["clip"], allowed="a norm above 0, or None")
    if settings["optimiser"] != "adamw" and not callable(settings["optimiser"]):
        raise InputError("optimiser", value=repr(settings["optimiser"]), allowed="'adamw', or a function of the groups")
    if settings["schedule"] not in ("cosine", None) and not callable(settings["schedule"]):
        raise InputError("schedule", value=repr(settings["schedule"]), allowed="'cosine', None, or a function")
    check_seed(settings["seed"])


def check_data(data: Dataset, what: str, *, classes: bool) -> None:
    """Raise :class:`InputError` for data that nothing can be learnt from.

    Args:
        data: to look at.
        what: it is, for the message.
        classes: whether y must be numbers of classes, more than one of them.
    """
    if len(data.x) != len(data.y) or not len(data.y):
        raise InputError(f"{what}: x and y", value=f"{len(data.x)} and {len(data.y)} rows", allowed="one target a row")
    for name, values in (("x", data.x), ("y", data.y)):
        bad = _bad_rows(values)
        if bad:
            raise InputError(
                f"{what}: {name} is not finite in {len(bad)} of {len(values)} rows (first: row {bad[0]})",
                remedy="drop or fill these rows",
            )
    if not classes:
        return
    if data.y.is_floating_point() or data.y.ndim != 1 or int(data.y.min()) < 0:
        value = f"{str(data.y.dtype).removeprefix('torch.')} {list(data.y.shape)}"
        raise InputError(f"{what}: y", value=value, allowed="whole numbers ≥ 0 [n]", remedy="loss= for other targets")


def check_classes(data: Dataset) -> None:
    """Raise :class:`InputError` where all labels are one: there is nothing to tell apart."""
    if int(data.y.min()) == int(data.y.max()):
        raise InputError("training data: y", value="1 class", allowed="at least two classes")


def _bad_rows(values: Tensor) -> list[int]:
    finite = values.isfinite()
    return (~finite.reshape(len(finite), -1).all(1)).nonzero().flatten().tolist()


def name_of(function: Any) -> str | None:
    """How a function that decides the result is told from others in a checkpoint."""
    if function is None or isinstance(function, str):
        return function
    return getattr(function, "__qualname__", None) or repr(type(function).__qualname__)
