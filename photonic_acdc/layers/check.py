"""Checks that layers share."""

from __future__ import annotations

from torch import Tensor, nn

from simulators.errors import InputError


def positive(name: str, value: int) -> int:
    """``value`` if it is a whole number ≥ 1, else :class:`InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(name, value=repr(value), allowed="a whole number ≥ 1")
    return value


def last_axis(x: Tensor, features: int, layer: str) -> None:
    """Raise :class:`InputError` unless the last axis of ``x`` has ``features`` entries."""
    if x.shape[-1:] != (features,):
        raise InputError(f"{layer}: last axis of the input", value=tuple(x.shape), allowed=f"(..., {features})")


def square(linear: nn.Linear, layer: str) -> int:
    """Features of a square ``nn.Linear``, else :class:`InputError`."""
    if linear.in_features != linear.out_features:
        raise InputError(
            f"{layer}.like: in_features and out_features",
            value=f"{linear.in_features} and {linear.out_features}",
            allowed="equal ones",
            remedy="pad the input or crop the output to a square layer",
        )
    return linear.in_features
