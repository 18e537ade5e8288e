"""What a replaced layer changes: parameters, FLOPs, distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from photonic_acdc.evaluating import evaluating
from photonic_acdc.layers.fit import Affine
from photonic_acdc.layers.structured import StructuredLinear
from simulators.errors import InputError


@dataclass(frozen=True)
class Replaced:
    """One layer, before and after.

    Attributes:
        name: in the module tree.
        before, after: class names.
        parameters_before, parameters_after: real numbers; a complex parameter counts twice.
        flops_before, flops_after: real additions and multiplications a row, element-wise functions apart; None where
            a part of the new layer does not say.
        error: ‖W - Ŵ‖ / ‖W‖ between the two layers' matrices; None where the new one has none.
    """

    name: str
    before: str
    after: str
    parameters_before: int
    parameters_after: int
    flops_before: int
    flops_after: int | None
    error: float | None


@dataclass(frozen=True)
class Comparison:
    """What :func:`replace_linear` changed; ``print`` shows it as a table.

    Attributes:
        rows: the replaced layers.
        parameters_before, parameters_after: of the whole models.
    """

    rows: tuple[Replaced, ...]
    parameters_before: int
    parameters_after: int

    @property
    def flops_before(self) -> int:
        """Of the replaced layers, a row."""
        return sum(row.flops_before for row in self.rows)

    @property
    def flops_after(self) -> int | None:
        """Of what stands in their place; None where one is not known."""
        known = [row.flops_after for row in self.rows if row.flops_after is not None]
        return sum(known) if len(known) == len(self.rows) else None

    @property
    def compression(self) -> float:
        """Parameters of the whole model after / before."""
        return self.parameters_after / self.parameters_before

    def __str__(self) -> str:
        head = ["layer", "before", "after", "parameters", "FLOPs a row", "error"]
        lines = [
            [
                row.name or "itself",
                row.before,
                row.after,
                _change(row.parameters_before, row.parameters_after),
                _change(row.flops_before, row.flops_after),
                "–" if row.error is None else f"{row.error:.3g}",
            ]
            for row in self.rows
        ]
        flops = _change(self.flops_before, self.flops_after)
        total = ["whole model", "", "", _change(self.parameters_before, self.parameters_after), flops, ""]
        table = [head, *lines, total]
        columns = list(zip(*table, strict=True))
        aligned = [
            [f"{cell:{'<' if i < 3 else '>'}{max(map(len, column))}}" for cell in column]
            for i, column in enumerate(columns)
        ]
        return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


@torch.no_grad()
def compare(before: nn.Module, after: nn.Module) -> Comparison:
    """What stands in ``after`` where ``before`` has an ``nn.Linear``: parameters, FLOPs and distance.

    Args:
        before: the dense model.
        after: made of it by :func:`replace_linear`; trained since or not.

    Raises:
        InputError: ``after`` lacks a layer of ``before``.
    """
    rows = []
    for name, linear in before.named_modules():
        if not isinstance(linear, nn.Linear):
            continue
        try:
            layer = after.get_submodule(name)
        except AttributeError as error:
            raise InputError(
                f"compare: {called(name)}", value="missing in the second model", allowed="the same tree"
            ) from error
        if isinstance(layer, nn.Linear):
            continue
        flops = _flops(linear)
        assert flops is not None
        rows.append(
            Replaced(
                name=name,
                before=type(linear).__name__,
                after=one_line(layer),
                parameters_before=count(linear),
                parameters_after=count(layer),
                flops_before=flops,
                flops_after=_flops(layer),
                error=_distance(linear, layer),
            )
        )
    return Comparison(tuple(rows), count(before), count(after))


def count(module: nn.Module) -> int:
    """Real numbers in the parameters; a complex one is two."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters())


def _flops(module: nn.Module) -> int | None:
    """Of a row; element-wise functions, which have no parameters, count as free."""
    if isinstance(module, StructuredLinear):
        return module.flops()
    if isinstance(module, nn.Linear):
        return module.out_features * (2 * module.in_features + (module.bias is not None))
    if module._parameters:
        return None
    parts = [_flops(child) for child in module._modules.values() if child is not None]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _distance(linear: nn.Linear, layer: nn.Module) -> float | None:
    weight = linear.weight.detach().double().mT
    with evaluating(layer):
        twin = Affine(layer, linear.in_features, linear.out_features)
        if not twin.is_affine():
            return None
        return ((weight - twin()[0]).norm() / weight.norm()).item()


def one_line(module: nn.Module) -> str:
    """The class, or the classes of a chain."""
    name = type(module).__name__
    if isinstance(module, nn.Sequential):
        return f"{name}({', '.join(one_line(child) for child in module)})"
    return name


def _change(before: int, after: int | None) -> str:
    if after is None:
        return f"{before:,} → ?"
    ratio = f" (÷{before / after:.3g})" if 0 < after <= before else f" (×{after / before:.3g})" if before else ""
    return f"{before:,} → {after:,}{ratio}"


def called(name: str) -> str:
    """What to call a layer in an error message."""
    return f"layer {name}" if name else "the layer"
