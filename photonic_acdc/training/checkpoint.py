"""The state of a training run in one file: enough to go on as if it had never stopped.

Two files are kept, ``NAME.safetensors`` and, from the time before, ``NAME.previous.safetensors``; the first is whole at
any moment. Tensors and JSON, no pickle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from photonic_acdc.data.dataset import Dataset
from photonic_acdc.optical.cascade import cascades
from photonic_acdc.storage import atomic, load_tensors, save_tensors
from photonic_acdc.training.differences import differences, sentence
from simulators.errors import InputError

_FORMAT = 2
_PARTS: dict[str, type | tuple[type, ...]] = {
    "identity": dict,
    "machine": dict,
    "step": int,
    "epoch": int,
    "history": list,
    "sums": dict,
    "optimiser": dict,
    "schedule": (dict, type(None)),
    "best": (dict, type(None)),
}


@dataclass
class Snapshot:
    """A training between two steps.

    Attributes:
        identity: what the training is of (:func:`identity`).
        model: its parameters and buffers.
        optimiser: its state and settings, packed; tensors of it in ``tensors``.
        schedule: state of the learning rates' schedule, packed, where there is one.
        methods: what each method has learnt.
        step: steps done.
        epoch: whole epochs done.
        history: their figures.
        sums: of the figures of the epoch that is under way.
        best: with early stopping, the best epoch and its figure.
        best_model: its parameters and buffers.
        processes: that train together.
        tensors: of ``optimiser`` and ``schedule``, by name.
    """

    identity: dict[str, Any]
    model: Mapping[str, Tensor]
    optimiser: dict[str, Any]
    schedule: Any = None
    methods: Sequence[Mapping[str, Tensor]] = ()
    step: int = 0
    epoch: int = 0
    history: list[dict] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    best_model: Mapping[str, Tensor] = field(default_factory=dict)
    processes: int = 1
    tensors: dict[str, Tensor] = field(default_factory=dict)


def identity(settings: dict[str, Any], model: nn.Module, data: Dataset) -> dict[str, Any]:
    """What a checkpoint belongs to, as plain data: the settings, the model and what of it is frozen, benches, data.

    What is frozen has a key only where something is.
    """
    digest = hashlib.sha256()
    for part in (data.x, data.y, data.index):
        digest.update(part.cpu().numpy().tobytes())
    found = cascades(model)
    frozen = {
        "frozen": [name for name, parameter in model.named_parameters() if not parameter.requires_grad],
        "eval_mode": [name for name, part in model.named_modules() if model.training and not part.training],
    }
    soft = {name or "the model": vars(cascade.soft) for name, cascade in found.items() if cascade.soft is not None}
    return {
        **settings,
        **({"soft_levels": soft} if soft else {}),
        **{key: names for key, names in frozen.items() if names},
        "model": repr(model).splitlines(),
        "parameters": {name: list(value.shape) for name, value in model.state_dict().items()},
        "bench": {name or "the model": cascade.bench.to_dict() for name, cascade in found.items()},
        "data": {"rows": len(data), "features": list(data.x.shape[1:]), "fingerprint": digest.hexdigest()[:16]},
    }


def previous(path: Path) -> Path:
    """Where the checkpoint before the current one is."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_checkpoint(path: Path, state: Snapshot) -> None:
    """Write the checkpoint, whole or not at all; the one it replaces is kept as :func:`previous`.

    Raises:
        InputError: it cannot be written; what is there stays.
    """
    tensors = {f"model/{name}": value for name, value in state.model.items()}
    tensors |= {f"best/{name}": value for name, value in state.best_model.items()}
    tensors |= {f"state/{name}": value for name, value in state.tensors.items()}
    for i, learnt in enumerate(state.methods):
        tensors |= {f"method/{i}/{name}": value for name, value in learnt.items()}
    data = {
        "format": _FORMAT,
        "identity": state.identity,
        "machine": _machine(state.processes),
        "step": state.step,
        "epoch": state.epoch,
        "history": state.history,
        "sums": state.sums,
        "optimiser": state.optimiser,
        "schedule": state.schedule,
        "best": state.best,
    }
    try:
        if path.exists():
            _keep(path)
        save_tensors(path, tensors, data)
    except OSError as error:
        kept = f"; that of an earlier step is kept in {path.name}" if path.exists() else ""
        raise InputError(
            f"checkpoint {path} of step {state.step} could not be written ({error.strerror or error}){kept}",
            remedy="room on the disk, then the same again",
        ) from error


def _keep(path: Path) -> None:
    """The current file under the previous name as well: at no moment is there none of that name."""
    with atomic(previous(path)) as temporary:
        temporary.unlink(missing_ok=True)  # of a process that was struck: a link to what must not be written over
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)


def remove_checkpoint(path: Path) -> None:
    """Remove both files, if they are there."""
    for file in (path, previous(path)):
        file.unlink(missing_ok=True)


def load_checkpoint(path: Path, wanted: dict[str, Any], steps: int) -> Snapshot | None:
    """What :func:`save_checkpoint` wrote; None where there is nothing. Neither model nor file is touched.

    Args:
        path: of the current file; where it is missing, the previous one is taken.
        wanted: identity of the training that is to go on.
        steps: of the whole training.

    Raises:
        InputError: a file that is damaged or something else; a checkpoint of another training, with what differs.
    """
    file = path if path.exists() else previous(path)
    if not file.exists():
        return None
    tensors, data = _read(file)
    old = data["identity"]
    changed = differences(old, wanted)
    if changed:
        raise InputError(
            f"checkpoint {file} is of another training run: {sentence(_telling(changed))}",
            remedy="fresh=True (photonic-acdc run --fresh) to start over, the settings it has, or another path",
        )
    machine, now = data["machine"], _machine(1)
    other = {k: v for k, v in machine.items() if k in now and k != "processes" and now[k] != v}
    if other and data["step"] < steps:
        said = sentence(differences(machine, {**machine, **{k: now[k] for k in other}}))
        warnings.warn(f"checkpoint {file} was written elsewhere ({said}): last bits may differ", stacklevel=2)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

    methods = [part(f"method/{i}/") for i in range(len(wanted.get("methods", ())))]
    kept = {name: data[name] for name in ("identity", "step", "epoch", "history", "sums", "optimiser", "schedule")}
    found = Snapshot(model=part("model/"), methods=methods, best=data["best"], best_model=part("best/"), **kept)
    found.tensors, found.processes = part("state/"), machine.get("processes", 1)
    shapes = {name: list(value.shape) for name, value in found.model.items()}
    if shapes != old["parameters"]:
        raise InputError(f"checkpoint {file}: {sentence(differences(old['parameters'], shapes, 'parameters'))}")
    return found


def _telling(changed: list[str]) -> list[str]:
    """Without the lines of a model's description where its parameters' shapes say it."""
    shapes = [phrase for phrase in changed if phrase.startswith("parameters.")]
    return shapes + [p for p in changed if p not in shapes and not (shapes and p.startswith("model "))]


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and data of a checkpoint.

    Raises:
        InputError: no checkpoint, with its name and what can be done.
    """
    remedy = f"remove or move {file.name} to start over, or fresh=True (photonic-acdc run --fresh)"
    if file.exists() and not file.stem.endswith(".previous") and previous(file).exists():
        remedy = f"remove or move {file.name}: training then goes on from {previous(file).name}"
    try:
        tensors, data = load_tensors(file)
    except InputError as error:
        raise InputError(error.quantity, value=error.value, allowed=error.allowed, remedy=remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:  # what a forged header may cause
        value = f"{type(error).__name__} in its header"
        raise InputError(f"file {file}", value=value, allowed="a checkpoint of train()", remedy=remedy) from None
    whole = isinstance(data, dict) and data.get("format") == _FORMAT
    if not whole or not all(name in data and isinstance(data[name], kind) for name, kind in _PARTS.items()):
        raise InputError(f"file {file}", value="something else", allowed="a checkpoint of train()", remedy=remedy)
    # Memory of torch's own, aligned: the last bit of a dot product depends on it.
    return {name: tensor.clone() for name, tensor in tensors.items()}, data


def _machine(processes: int) -> dict[str, Any]:
    """What decides the last bits."""
    return {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "processes": processes,
    }
