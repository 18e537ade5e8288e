"""What is not finite, in the words of its layer, mask and stage."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.masks import NativeMasks
from simulators.errors import InputError

_REMEDY = "a smaller learning_rate"


@torch.no_grad()
def check_finite(model: nn.Module, parameters: list[nn.Parameter], step: int, epoch: int) -> None:
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
            f"training: {place(model, name, parameter)} is not finite after step {step} (epoch {epoch + 1})"
            f"{cause}: {count} of {size} values{others}",
            remedy=_REMEDY,
        )


@torch.no_grad()
def cause_of(model: nn.Module, evaluate: Callable[[], Any]) -> str | None:
    """Why the loss is not finite: a parameter, the first output on the way, or a buffer; None: all of these are.

    Args:
        model: as it is now.
        evaluate: computes the loss once more.
    """
    seen: list[str] = []

    def look(path: str) -> Callable[[nn.Module, tuple, Any], None]:
        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            if not seen and isinstance(output, Tensor) and not output.isfinite().all():
                plane = _broken_plane(module, inputs[0]) if isinstance(module, OpticalCascade) else "the output"
                seen.append(f"{plane} of {_layer(path, module)} is not finite")

        return hook

    handles = [module.register_forward_hook(look(path)) for path, module in model.named_modules()]
    try:
        evaluate()  # even where a parameter is to blame: processes that train together all do the same
    finally:
        for handle in handles:
            handle.remove()
    # Buffers last: what a batch normalisation has seen tells of what came before it.
    return _broken(model, model.named_parameters()) or (seen or [_broken(model, model.named_buffers())])[0]


def _broken(model: nn.Module, named: Iterable[tuple[str, Tensor]]) -> str | None:
    for name, values in named:
        if not values.isfinite().all():
            count = int((~values.isfinite()).sum())
            return f"{place(model, name, values)} is not finite: {count} of {values.numel()} values"
    return None


def _broken_plane(cascade: OpticalCascade, x: Tensor) -> str:
    """The first plane whose field is not finite, or what comes behind the last."""
    if not x.isfinite().all():
        return "the input"
    for address, field in cascade.fields(x).items():
        if not field.isfinite().all():
            found = re.fullmatch(r"stage\[(\d+)\]\.(mask|lens)\[(\d)\]", address)
            if found is None:
                return f"the field at the {address}"
            stage, kind, number = found.groups()
            which = f"mask {'AD'[int(number)]}" if kind == "mask" else f"lens {number}"
            return f"the field at {which} of stage {stage}"
    return "what is read at the detector"


def place(model: nn.Module, name: str, parameter: Tensor) -> str:
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
