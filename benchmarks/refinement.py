"""Matrices on the reference bench: exact masks rounded, fitted masks rounded, and masks refined through the levels."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

import torch

import photonic_acdc as pa
import simulators as sim
from benchmarks.timing import row
from simulators.mesh import haar
from simulators.random import stream

#: Modes of the bench; the targets are Haar-random unitary matrices between them.
MODES = (3, 4)
BITS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
TARGETS = 10


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Medians over targets of the error of the matrix, NMSE in dB, and of the light that is left; a table in files."""
    torch.set_num_threads(1)
    n = math.prod(MODES)
    plans = [
        pa.synthesise(haar(n, stream(target, "benchmarks", "refinement")), shape=MODES)
        for target in range(2 if quick else TARGETS)
    ]
    found, table = [], ["| bits | exact masks, rounded | fitted, rounded | refined | light |", "|---|---|---|---|---|"]
    for bits in (6,) if quick else BITS:
        bench = sim.reference_bench(modes=MODES).with_levels(bits=bits)
        refined = [pa.refine(plan, bench) for plan in plans]
        exact, rounded, nmse, light = (
            median(10 * math.log10(getattr(each, name)) for each in refined)
            for name in ("exact", "rounded", "nmse", "light")
        )
        table.append(f"| {bits} | {exact:.1f} dB | {rounded:.1f} dB | {nmse:.1f} dB | {light:.1f} dB |")
        gained = median(10 * math.log10(each.exact / each.nmse) for each in refined)
        over = median(10 * math.log10(each.rounded / each.nmse) for each in refined)
        found += [
            row(f"{bits} bits: refined", nmse, "dB"),
            row(f"{bits} bits: refined below exact masks rounded", gained, "dB", at_least=6.0 if bits == 6 else None),
            row(f"{bits} bits: refined below fitted masks rounded", over, "dB"),
        ]
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "refinement.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    return found
