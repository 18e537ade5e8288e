"""What differs between the settings something was made with and those it is asked for again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Differences that a message spells out; of more, it says how many.
SHOWN = 6


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """One phrase a key that differs, ``training.epochs was 10, is 20``; sequences of tables are gone through too."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            phrase
            for key in keys
            for phrase in _of_key(f"{name}.{key}" if name else str(key), old, new, key, key in old, key in new)
        ]
    if _tables(old) and _tables(new) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [phrase for i, (before, after) in pairs for phrase in differences(before, after, f"{name}[{i}]")]
    return [] if old == new else [f"{name} was {_short(old)}, is {_short(new)}"]


def _of_key(path: str, old: Mapping, new: Mapping, key: Any, before: bool, now: bool) -> list[str]:
    if before and now:
        return differences(old[key], new[key], path)
    return [
        f"{path} was {_short(old[key])}, is not there" if before else f"{path} was not there, is {_short(new[key])}"
    ]


def sentence(phrases: list[str]) -> str:
    """The phrases in one line, not too many."""
    more = len(phrases) - SHOWN
    return "; ".join(phrases[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
