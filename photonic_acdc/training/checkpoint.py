"""The state of a training run in one file: enough to go on as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from photonic_acdc.storage import load_tensors, save_tensors
from simulators.errors import InputError


def save_checkpoint(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, epoch: int, history: list[dict], key: str
) -> None:
    """Model, optimiser state by parameter name, epochs done, history and the key of the run, atomically."""
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    scalars: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        for slot, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimiser/{name}/{slot}"] = value
            else:
                scalars[f"{name}/{slot}"] = value
    rates = [group["lr"] for group in optimiser.param_groups]
    data = {"epoch": epoch, "history": history, "key": key, "scalars": scalars, "learning_rates": rates}
    save_tensors(path, tensors, data)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, key: str) -> tuple[int, list[dict]]:
    """Restore what :func:`save_checkpoint` wrote; returns the epochs done and the history.

    Raises:
        InputError: a checkpoint of another run (its key differs).
    """
    tensors, data = load_tensors(path)
    if not isinstance(data, dict) or data.get("key") != key:
        raise InputError(f"checkpoint {path} is of another training run", remedy="another path, or remove the file")
    model.load_state_dict({name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")})
    for name, parameter in model.named_parameters():
        prefix = f"optimiser/{name}/"
        slots: dict[str, Any] = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        slots |= {k.removeprefix(f"{name}/"): v for k, v in data["scalars"].items() if k.startswith(f"{name}/")}
        if slots:
            optimiser.state[parameter] = slots
    for group, rate in zip(optimiser.param_groups, data["learning_rates"], strict=True):
        group["lr"] = rate
    return data["epoch"], data["history"]
