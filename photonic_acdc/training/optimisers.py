"""What takes the steps: groups of parameters, the optimiser, its learning rates, and all of it as plain data."""

from __future__ import annotations

import inspect
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from photonic_acdc.optical.cascade import cascades
from simulators.errors import InputError

MakeOptimiser = Callable[[list[dict[str, Any]]], Optimizer]
MakeSchedule = Callable[[Optimizer], LRScheduler]


def groups(model: nn.Module, learning_rate: float, weight_decay: float, mask_rate: float) -> list[dict[str, Any]]:
    """Masks take steps of their own; electronic weight matrices decay, and nothing else does."""
    masks = {id(p) for cascade in cascades(model).values() for p in cascade.masks.parameters()}
    electronic = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))}

    def group(chosen: list[nn.Parameter], decay: float, factor: float) -> dict[str, Any]:
        return {"params": chosen, "weight_decay": decay, "factor": factor, "lr": learning_rate * factor}

    parameters = list(model.parameters())
    found = (
        group([p for p in parameters if id(p) in masks], 0.0, mask_rate),
        group([p for p in parameters if id(p) not in masks | electronic], 0.0, 1.0),
        group([p for p in parameters if id(p) in electronic], weight_decay, 1.0),
    )
    return [each for each in found if each["params"]]


def make_optimiser(model: nn.Module, made: Literal["adamw"] | MakeOptimiser, given: list[dict[str, Any]]) -> Optimizer:
    """AdamW, or what the caller makes of the groups.

    Raises:
        InputError: something else than an optimiser of the model's parameters.
    """
    optimiser = torch.optim.AdamW(given) if made == "adamw" else made(given)
    if not isinstance(optimiser, Optimizer):
        raise InputError("optimiser", value=type(optimiser).__name__, allowed="a function of groups → torch Optimizer")
    known = {id(p) for p in model.parameters()}
    if any(id(p) not in known for group in optimiser.param_groups for p in group["params"]):
        raise InputError(
            "optimiser: it has parameters that the model has not", remedy="those of the groups it is given"
        )
    return optimiser


def needs_closure(optimiser: Optimizer) -> bool:
    """Whether a step evaluates the loss several times, as L-BFGS does."""
    closure = inspect.signature(optimiser.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


class Cosine:
    """Learning rates along half a cosine, from where they are to 0."""

    def __init__(self, optimiser: Optimizer, learning_rate: float, steps: int):
        self._steps = steps
        self._rates = [
            (group, learning_rate if "factor" in group else group["lr"], group.get("factor", 1.0))
            for group in optimiser.param_groups
        ]

    def set(self, step: int) -> None:
        """The rates of this step."""
        for group, rate, factor in self._rates:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / self._steps)) * factor


def make_schedule(optimiser: Optimizer, made: MakeSchedule | None) -> LRScheduler | None:
    """The caller's schedule.

    Raises:
        InputError: something else than a schedule of this optimiser.
    """
    if made is None:
        return None
    schedule = made(optimiser)
    if not isinstance(schedule, LRScheduler) or schedule.optimizer is not optimiser:
        raise InputError(
            "schedule", value=type(schedule).__name__, allowed="a function of the optimiser → its torch LRScheduler"
        )
    return schedule


def follow(schedule: LRScheduler | None, epoch_loss: float | None = None) -> None:
    """One step further: after every step of the optimiser; one that looks at the loss, after every epoch."""
    if isinstance(schedule, ReduceLROnPlateau):
        if epoch_loss is not None:
            schedule.step(epoch_loss)
    elif schedule is not None and epoch_loss is None:
        schedule.step()


@dataclass(frozen=True)
class Stepper:
    """What takes the steps, and at which rates.

    Attributes:
        optimiser: of the model's parameters.
        schedule: the caller's, which moves on with every step or epoch.
        cosine: the rates as a function of the step.
    """

    optimiser: Optimizer
    schedule: LRScheduler | None = None
    cosine: Cosine | None = None

    def state(self, model: nn.Module) -> tuple[dict[str, Any], Any, dict[str, Tensor]]:
        """The optimiser's and the schedule's state as plain data, and the tensors in it."""
        tensors: dict[str, Tensor] = {}
        optimiser = optimiser_state(model, self.optimiser, tensors)
        schedule = None if self.schedule is None else pack(self.schedule.state_dict(), "schedule", tensors)
        return optimiser, schedule, tensors

    def load(
        self, model: nn.Module, optimiser: Mapping[str, Any], schedule: Any, tensors: Mapping[str, Tensor]
    ) -> None:
        """Take up what :meth:`state` gave."""
        load_optimiser_state(model, self.optimiser, optimiser, tensors)
        if self.schedule is not None:
            self.schedule.load_state_dict(unpack(schedule, tensors))


# --- as plain data ---------------------------------------------------------------------------------------------------


def describe(optimiser: Optimizer, schedule: LRScheduler | None) -> dict[str, Any]:
    """Kind and settings of both before the first step, JSON-able; those of every group as it is, not as it began."""
    each = [
        {**{k: v for k, v in group.items() if k != "params"}, "tensors": len(group["params"])}
        for group in optimiser.param_groups
    ]
    found: dict[str, Any] = {"optimiser": {"kind": type(optimiser).__name__, "groups": each}}
    if schedule is not None:
        found["schedule"] = {"kind": type(schedule).__name__, **schedule.state_dict()}

    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, Tensor) else type(value).__name__

    return json.loads(json.dumps(found, default=plain))


def optimiser_state(model: nn.Module, optimiser: Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """State by parameter name, and the settings of the groups; tensors go into ``tensors``."""
    state = {
        name: pack(dict(optimiser.state[parameter]), f"optimiser/{name}", tensors)
        for name, parameter in model.named_parameters()
        if parameter in optimiser.state
    }
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimiser.param_groups]
    return {"state": state, "groups": pack(settings, "optimiser-group", tensors)}


def load_optimiser_state(
    model: nn.Module, optimiser: Optimizer, data: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Take up what :func:`optimiser_state` gave."""
    optimiser.state.clear()
    for name, parameter in model.named_parameters():
        if name in data["state"]:
            slots = unpack(data["state"][name], tensors)
            # Counters of steps stay on the CPU, where optimisers keep them; the rest is where the parameter is.
            optimiser.state[parameter] = {
                slot: value if slot == "step" else _beside(value, parameter) for slot, value in slots.items()
            }
    for group, settings in zip(optimiser.param_groups, unpack(data["groups"], tensors), strict=True):
        group.update(settings)


def _beside(value: Any, parameter: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.to(parameter.device)
    return [_beside(item, parameter) for item in value] if isinstance(value, list) else value


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON-able data; tensors within go into ``tensors``.

    Raises:
        InputError: something that is neither a tensor nor plain data.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, (list, tuple)):
        items = [pack(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[pack(k, name, tensors), pack(v, f"{name}/{k}", tensors)] for k, v in value.items()]}
    raise InputError(
        f"{name}: {type(value).__name__}",
        allowed="tensors, numbers and text, which a checkpoint can hold",
        remedy="checkpoint=None, or another optimiser or schedule",
    )


def unpack(data: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What :func:`pack` was given."""
    if isinstance(data, list):
        return [unpack(item, tensors) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, held),) = data.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in held)
    pairs = {unpack(k, tensors): unpack(v, tensors) for k, v in held}
    return Counter(pairs) if kind == "counter" else pairs
