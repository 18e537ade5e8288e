"""The one error a user meets when an input is wrong, and the warnings for what still runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input, said in one sentence: which quantity, its value, what is allowed, what to try.

    The command line turns exactly this error into exit code 2, without a traceback.

    Args:
        quantity: what is wrong, in the user's terms (``"bench.toml: source.wavelength"``).
        value: what was given.
        allowed: the limit it breaks.
        remedy: what to try instead.
    """

    def __init__(self, quantity: str, *, value: object = None, allowed: str | None = None, remedy: str | None = None):
        self.quantity, self.value, self.allowed, self.remedy = quantity, value, allowed, remedy
        parts = [] if value is None else [f"got {value}"]
        if allowed is not None:
            parts.append(f"allowed: {allowed}")
        if remedy is not None:
            parts.append(f"try: {remedy}")
        super().__init__(f"{quantity}: {'; '.join(parts)}" if parts else quantity)

    def __reduce__(self):
        return _rebuild, (self.quantity, self.value, self.allowed, self.remedy)


def _rebuild(quantity: str, value: object, allowed: str | None, remedy: str | None) -> InputError:
    return InputError(quantity, value=value, allowed=allowed, remedy=remedy)


class SaturationWarning(UserWarning):
    """A device is driven beyond its range: the result is what the device does, but hardly what is meant."""


class VignettingWarning(UserWarning):
    """An aperture cuts the light: what falls beside it is lost, and what is left is blurred."""


class SamplingWarning(UserWarning):
    """A field is sampled too coarsely for what it carries: the result is degraded; the message gives the safe limit."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``"did you mean a, b?"`` or the list of what is known, for an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"one of {', '.join(known)}"
