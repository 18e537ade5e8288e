"""Structured layers in place of the dense ones of any model, and what that changes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from photonic_acdc.evaluating import evaluating
from photonic_acdc.layers.compare import Comparison, called, compare, one_line
from photonic_acdc.layers.fit import fit as fit_layer
from simulators.errors import InputError, nearest

Make = Callable[[nn.Linear], nn.Module]
Where = str | Sequence[str] | type[nn.Linear] | Callable[[str, nn.Linear], bool]

#: Names listed in an error message, at most.
_LISTED = 20


def replace_linear(
    module: nn.Module,
    make: Make,
    where: Where | None = None,
    *,
    fit: bool = False,
    report: Callable[[Comparison], object] | None = None,
) -> nn.Module:
    """A copy of a model with other layers in place of its ``nn.Linear`` layers; the model itself is not altered.

    >>> model = replace_linear(cnn, lambda linear: ACDC.like(linear, stages=12), "classifier.*", report=print)

    A layer used in several places stays one layer. What hangs on a replaced layer (hooks, a weight shared with another
    layer) is not carried over. The output projection of ``nn.MultiheadAttention`` is read by its weight, not called,
    and cannot be replaced.

    Args:
        module: any model, or one ``nn.Linear``.
        make: the new layer for an old one: ``ACDC.like``, or a function of the ``nn.Linear``. It maps
            ``[..., in_features]`` to ``[..., out_features]``.
        where: which layers. None: all (but projections of attention); a pattern of names, ``"fc*"``, or a list of
            them; a subclass of ``nn.Linear``; a function (name, linear) → bool.
        fit: bring every new layer as near to the old one's weights as it comes (:func:`fit`); otherwise it starts as
            ``make`` made it.
        report: called with the :class:`Comparison` of the two models: parameters, FLOPs, errors. ``print`` shows it.

    Returns:
        The copy; for one ``nn.Linear`` what stands in its place.

    Raises:
        InputError: nothing to replace, with the layers there are; a layer without weights yet, with parametrizations,
            or of attention; a ``make`` whose layer maps to another size; a layer that cannot be fitted.
    """
    if not callable(make):
        raise InputError("replace_linear: make", value=repr(make), allowed="a function of an nn.Linear")
    names = _choose(module, where)
    model = copy.deepcopy(module)
    swaps: dict[nn.Module, nn.Module] = {}
    for name in names:
        linear = cast(nn.Linear, model.get_submodule(name))
        made = make(linear)
        _check(made, linear, name)
        if fit:
            try:
                fit_layer(made, linear.weight, linear.bias)
            except InputError as error:
                raise InputError(f"replace_linear: {called(name)}: {error}") from error
        swaps[linear] = made.train(linear.training)
    for parent in list(model.modules()):
        for key, child in list(parent._modules.items()):
            if child in swaps:
                setattr(parent, key, swaps[child])
    model = swaps.get(model, model)
    _leave_fast_path(model)
    if report is not None:
        report(compare(module, model))
    return model


def _choose(module: nn.Module, where: Where | None) -> list[str]:
    """The first names of the layers that ``where`` means."""
    named = [(n, m) for n, m in module.named_modules(remove_duplicate=False) if isinstance(m, nn.Linear)]
    projections = {m.out_proj for m in module.modules() if isinstance(m, nn.MultiheadAttention)}
    if where is None:
        named = [(name, linear) for name, linear in named if linear not in projections]
    if not named:
        raise InputError("replace_linear: the model has no nn.Linear, projections of attention apart")
    chosen: dict[nn.Linear, str] = {}
    for name, linear in named:
        if linear not in chosen and _means(where, name, linear):
            chosen[linear] = name
    patterns = [where] if isinstance(where, str) else where if isinstance(where, (list, tuple)) else []
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name, _ in named):
            raise _nothing(repr(pattern), [name for name, _ in named], pattern)
    if not chosen:
        raise _nothing(getattr(where, "__name__", repr(where)), [name for name, _ in named])
    for linear, name in chosen.items():
        if linear in projections:
            raise InputError(
                f"replace_linear: {called(name)}",
                value="the output projection of nn.MultiheadAttention, which reads its weight",
                allowed="layers that are called",
                remedy="a `where` that leaves it out",
            )
        if isinstance(linear, nn.LazyLinear):
            raise InputError(
                f"replace_linear: {called(name)}",
                value="nn.LazyLinear without weights",
                allowed="layers whose sizes are known",
                remedy="one pass of data through the model first",
            )
        if parametrize.is_parametrized(linear):
            raise InputError(
                f"replace_linear: {called(name)}",
                value=f"parametrizations of {', '.join(cast(nn.ModuleDict, linear.parametrizations))}",
                allowed="plain weights",
                remedy="torch.nn.utils.parametrize.remove_parametrizations first",
            )
    return list(chosen.values())


def _means(where: Where | None, name: str, linear: nn.Linear) -> bool:
    if where is None:
        return True
    if isinstance(where, str):
        return fnmatchcase(name, where)
    if isinstance(where, (list, tuple)) and all(isinstance(pattern, str) for pattern in where):
        return any(fnmatchcase(name, pattern) for pattern in where)
    if isinstance(where, type) and issubclass(where, nn.Linear):
        return isinstance(linear, where)
    if callable(where) and not isinstance(where, type):
        return bool(where(name, linear))
    raise InputError(
        "replace_linear: where",
        value=repr(where),
        allowed="None, a pattern of names or a list of them, a subclass of nn.Linear, or a function (name, linear)",
    )


def _nothing(shown: str, names: list[str], pattern: str | None = None) -> InputError:
    known = [name or "the model itself" for name in names]
    listed = ", ".join(known[:_LISTED]) + (f" and {len(known) - _LISTED} more" if len(known) > _LISTED else "")
    bare = re.sub(r"[*?\[\]!]", "", pattern or "")
    hint = nearest(bare, names) if bare else ""
    return InputError(
        "replace_linear: where",
        value=f"{shown}, which matches no nn.Linear",
        allowed=listed,
        remedy=hint if hint.startswith("did") else None,
    )


@torch.no_grad()
def _check(made: nn.Module, linear: nn.Linear, name: str) -> None:
    """Send two rows through the new layer."""
    if not isinstance(made, nn.Module):
        raise InputError(f"replace_linear: make for {called(name)}", value=repr(made), allowed="an nn.Module")
    shown, sizes = one_line(made), f"[..., {linear.in_features}] to [..., {linear.out_features}]"
    rows = torch.zeros(2, linear.in_features, device=linear.weight.device, dtype=linear.weight.dtype)
    try:
        with evaluating(made):
            y = made(rows)
    except Exception as error:
        raise InputError(
            f"replace_linear: make for {called(name)}", value=shown, allowed=f"a module that maps {sizes} ({error})"
        ) from error
    size = tuple(y.shape[1:]) if isinstance(y, Tensor) else type(y).__name__
    if size != (linear.out_features,):
        raise InputError(
            f"replace_linear: make for {called(name)}",
            value=f"{shown}, whose rows come out as {size}",
            allowed=f"a module that maps {sizes}",
        )


def _leave_fast_path(model: nn.Module) -> None:
    """PyTorch's transformer layers read ``linear1.weight`` in eval mode, unless their activation is one of its own."""
    for layer in model.modules():
        if isinstance(layer, nn.TransformerEncoderLayer) and not _dense(layer):
            layer.activation_relu_or_gelu = 0
        if isinstance(layer, nn.TransformerEncoder) and not all(map(_dense, layer.layers)):
            layer.use_nested_tensor = False


def _dense(layer: nn.Module) -> bool:
    return isinstance(layer.linear1, nn.Linear) and isinstance(layer.linear2, nn.Linear)
