"""Checks that layers share."""

from __future__ import annotations

import torch
from torch import Tensor

from simulators.errors import InputError


def positive(name: str, value: int) -> int:
    """``value`` if it is a whole number ≥ 1, else :class:`InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(name, value=repr(value), allowed="a whole number ≥ 1")
    return value


def natural(name: str, value: int) -> int:
    """``value`` if it is a whole number ≥ 0, else :class:`InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(name, value=repr(value), allowed="a whole number ≥ 0")
    return value


def non_negative(name: str, value: float) -> float:
    """``value`` if it is finite and ≥ 0, else :class:`InputError`."""
    if not 0 <= value < float("inf"):
        raise InputError(name, value=repr(value), allowed="a finite number ≥ 0")
    return value


def divisor(name: str, value: int, of: int, what: str) -> int:
    """``value`` if it divides ``of``, else :class:`InputError` with the numbers that do."""
    positive(name, value)
    if of % value:
        fitting = ", ".join(str(n) for n in range(1, of + 1) if of % n == 0)
        raise InputError(name, value=value, allowed=f"a divisor of {what} = {of}: {fitting}")
    return value


def fft_dtype(layer: str, dtype: torch.dtype | None) -> None:
    """Raise :class:`InputError` unless parameters of ``dtype`` (None: the default) can go through an FFT."""
    if dtype not in (None, torch.float32, torch.float64):
        raise InputError(f"{layer}: dtype", value=dtype, allowed="torch.float32 or torch.float64, which FFTs know")


def last_axis(x: Tensor, features: int, layer: str) -> None:
    """Raise :class:`InputError` unless the last axis of ``x`` has ``features`` entries."""
    if x.shape[-1:] != (features,):
        raise InputError(f"{layer}: last axis of the input", value=tuple(x.shape), allowed=f"(..., {features})")


def real(x: Tensor, layer: str, remedy: str = "AFDF for complex input") -> None:
    """Raise :class:`InputError` unless ``x`` is real and floating-point."""
    if not x.is_floating_point():
        raise InputError(f"{layer}: input", value=x.dtype, allowed="a real floating-point tensor", remedy=remedy)
