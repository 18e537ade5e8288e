"""Learning rates and weight decay for models with structured layers, as the groups of a ``torch.optim`` optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import nn

from photonic_acdc.layers.cascade import Cascade
from photonic_acdc.layers.check import non_negative
from photonic_acdc.layers.compare import count
from photonic_acdc.layers.structured import StructuredLinear
from simulators.errors import InputError

Kind = Literal["a", "d", "structured", "weights", "others"]
KINDS: tuple[Kind, ...] = ("a", "d", "structured", "weights", "others")


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    a: float = 24.0,
    d: float = 12.0,
    weight_decay: float = 0.0,
    diagonal_decay: float | Literal["ratio"] = 0.0,
) -> list[dict[str, Any]]:
    """The trainable parameters of a model, each once, in groups with learning rates and weight decays of their own.

    >>> optimiser = torch.optim.SGD(parameter_groups(model, lr=0.1, weight_decay=5e-4), momentum=0.65)

    | name | what | learning rate | weight decay |
    |---|---|---|---|
    | ``a`` | diagonals A of ACDC and AFDF, phases and magnitudes | lr · a | diagonal_decay |
    | ``d`` | diagonals D, and the biases added right after them | lr · d | diagonal_decay, biases 0 |
    | ``structured`` | parameters of the other structured layers | lr | diagonal_decay, biases 0 |
    | ``weights`` | matrices and kernels called weight, elsewhere | lr | weight_decay |
    | ``others`` | biases, normalisations, what else there is | lr | 0 |

    The factors 24 and 12 are for SGD; with Adam, whose steps do not scale with the gradient, 2 to 10 are enough.
    Groups without parameters are left out; where a group needs several weight decays, it is cut and its names say so.

    Args:
        model: with structured layers.
        lr: base learning rate.
        a, d: factors on it for A and D.
        weight_decay: of dense weights.
        diagonal_decay: of structured layers. ``"ratio"``: weight_decay times the layer's
            parameters / (in_features · out_features).

    Raises:
        InputError: a rate or decay below 0 or not finite; a model without structured layers or trainable parameters.

    Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, section 6.2: factors, no decay of A and D (of
    biases it says nothing; they learn as D does); ``"ratio"``: Gray, Crowley and Storkey, arXiv:1906.00859.
    """
    for name, value in (("lr", lr), ("a", a), ("d", d), ("weight_decay", weight_decay)):
        non_negative(f"parameter_groups: {name}", value)
    if diagonal_decay != "ratio":
        if isinstance(diagonal_decay, str):
            raise InputError("parameter_groups: diagonal_decay", value=repr(diagonal_decay), allowed="≥ 0, or 'ratio'")
        non_negative("parameter_groups: diagonal_decay", diagonal_decay)
    if not any(isinstance(module, StructuredLinear) for module in model.modules()):
        raise InputError(
            "parameter_groups: the model has no structured layer", remedy="replace_linear first, or model.parameters()"
        )
    rates = {"a": lr * a, "d": lr * d}
    groups: dict[tuple[Kind, float], dict[str, Any]] = {}
    seen: set[nn.Parameter] = set()
    for owner, module, name, parameter in _walk(model):
        if parameter in seen or not parameter.requires_grad:
            continue
        seen.add(parameter)
        kind = _kind(owner, module, name, parameter)
        decay = weight_decay if kind == "weights" else 0.0
        if owner is not None and name.rpartition(".")[2] != "bias":
            full = owner.in_features * owner.out_features
            decay = weight_decay * count(owner) / full if diagonal_decay == "ratio" else diagonal_decay
        empty = {"name": kind, "params": [], "lr": rates.get(kind, lr), "weight_decay": decay}
        groups.setdefault((kind, decay), empty)["params"].append(parameter)
    if not groups:
        raise InputError("parameter_groups: the model has no trainable parameters")
    keys = sorted(groups, key=lambda key: (KINDS.index(key[0]), key[1]))
    for kind, decay in keys:
        if sum(kind == other for other, _ in keys) > 1:
            groups[kind, decay]["name"] = f"{kind}, decay {decay:g}"
    return [groups[key] for key in keys]


def _walk(
    model: nn.Module, prefix: str = "", owner: StructuredLinear | None = None
) -> Iterator[tuple[StructuredLinear | None, nn.Module, str, nn.Parameter]]:
    """Every parameter with the innermost structured layer it is of, the module that holds it and its name."""
    owner = model if isinstance(model, StructuredLinear) else owner
    for name, parameter in model._parameters.items():
        if parameter is not None:
            yield owner, model, prefix + name, parameter
    for name, child in model._modules.items():
        if child is not None:
            yield from _walk(child, f"{prefix}{name}.", owner)


def _kind(owner: StructuredLinear | None, module: nn.Module, name: str, parameter: nn.Parameter) -> Kind:
    leaf = name.rpartition(".")[2]
    if isinstance(module, Cascade):
        return "a" if leaf.startswith("a") else "d"
    if owner is not None:
        return "structured"
    norm = isinstance(module, (nn.LayerNorm, nn.RMSNorm))
    return "weights" if "weight" in name and parameter.ndim > 1 and not norm else "others"
