"""What a figure may be: the same sentence from every effect."""

from __future__ import annotations

import math

from torch import Tensor

from simulators.errors import InputError


def check_figure(
    quantity: str, value: Tensor | complex, low: float, high: float = math.inf, *, above: bool = False
) -> None:
    """Raise where a plain number is out of its limits; of a complex one its modulus counts.

    A figure that is a tensor comes out of a state, whose data sheet has been checked already: to look at its value
    would wait for an accelerator and break a compiled graph.

    Args:
        quantity: name of the figure.
        value: the figure.
        low: smallest value allowed.
        high: largest value allowed.
        above: ``low`` itself is not allowed.

    Raises:
        InputError: a number outside, or one that is none.
    """
    if isinstance(value, Tensor):
        return
    size = abs(value) if isinstance(value, complex) else value
    if (low < size if above else low <= size) and size <= high and not math.isinf(size):
        return
    least = f"more than {low:g}" if above else f"at least {low:g}"
    raise InputError(
        quantity,
        value=f"{value:g}",
        allowed=least if math.isinf(high) else f"{low:g} to {high:g}" + (f", {low:g} excluded" if above else ""),
    )
