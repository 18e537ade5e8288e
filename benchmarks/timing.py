"""Paired timing: the candidates take turns, so that a busy machine slows them alike; medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from simulators.errors import InputError

Key = TypeVar("Key")


def paired(candidates: Mapping[Key, Callable[[], object]], repetitions: int) -> dict[Key, float]:
    """Median seconds of each candidate over ``repetitions`` rounds, after one round to warm up."""
    times: dict[Key, list[float]] = {name: [] for name in candidates}
    for round_ in range(repetitions + 1):
        for name, work in candidates.items():
            start = time.perf_counter()
            work()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def row(
    case: str, measured: float, unit: str, target: float | None = None, *, at_least: float | None = None
) -> dict[str, Any]:
    """One line of a benchmark; ``target`` is an upper bound, ``at_least`` a lower one, kept as the target."""
    if at_least is not None:
        if target is not None:
            raise InputError(f"row {case!r}", value="both bounds", allowed="target or at_least")
        return {
            "case": case,
            "measured": float(measured),
            "target": at_least,
            "unit": unit,
            "met": bool(measured >= at_least),
        }
    met = None if target is None else bool(measured <= target)
    return {"case": case, "measured": float(measured), "target": target, "unit": unit, "met": met}
