"""Paired timing: the candidates take turns, so that a busy machine slows them alike; medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def paired(candidates: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each candidate over ``repetitions`` rounds, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(repetitions + 1):
        for name, work in candidates.items():
            start = time.perf_counter()
            work()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def row(case: str, measured: float, unit: str, target: float | None = None) -> dict:
    """One line of a benchmark; a target is an upper bound."""
    met = None if target is None else measured <= target
    return {"case": case, "measured": measured, "target": target, "unit": unit, "met": met}
