"""`Pixel`, forward: one field through the reference bench, by order; and against the batched product it avoids."""

from __future__ import annotations

import torch

import simulators as sim
from benchmarks.timing import paired, row
from simulators.fourier import along_axes, lens_matrix


def rows(*, quick: bool = False) -> list[dict]:
    """Rows of this benchmark."""
    torch.set_num_threads(2)
    repetitions = 5 if quick else 30
    bench, stages, batch = sim.reference_bench().only(), 2, 64
    state = bench.nominal(stages, dtype=torch.float32)
    commands = [sim.Command(torch.rand(shape)) for shape in bench.command_shapes * stages]
    field = torch.randn(1, batch, 8, 8, dtype=torch.complex64)
    simulators = {q: sim.Pixel(bench, stages, order=q) for q in (1, 2, 3)}
    with torch.no_grad():
        times = paired({str(q): (lambda s=s: s(commands, field, state)) for q, s in simulators.items()}, repetitions)
        found = [
            row(f"Pixel order {q}, K = {stages}, 8x8 modes, {batch} rows", 1e6 * t / batch, "us/row")
            for q, t in times.items()
        ]
        lens = lens_matrix(8, 16, torch.tensor([[15.45]]), order_in=2, order_out=2).to(torch.complex64)
        wide = torch.randn(1, batch, 16, 16, dtype=torch.complex64)
        pair = paired(
            {"folded": lambda: along_axes(lens, wide, lens), "batched": lambda: lens @ wide @ lens.mT}, repetitions * 5
        )
    found.append(row("lens on 64 fields: folded product / batched product", pair["folded"] / pair["batched"], "x", 1.0))
    return found
