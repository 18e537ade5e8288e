"""`Pixel`, forward: fields through the reference bench, by order; directly, and through the cascade's dense matrix."""

from __future__ import annotations

import torch

import simulators as sim
from benchmarks.timing import paired, row
from simulators.fourier import along_axes, lens_matrix


def rows(*, quick: bool = False) -> list[dict]:
    """Rows of this benchmark."""
    torch.set_num_threads(1)
    repetitions = 5 if quick else 30
    bench, stages = sim.reference_bench().only(), 2
    state = bench.nominal(stages, dtype=torch.float32)
    commands = [sim.Command(torch.rand(shape)) for shape in bench.command_shapes * stages]
    field = torch.randn(1, 512, 8, 8, dtype=torch.complex64)
    simulators = {q: sim.Pixel(bench, stages, order=q) for q in (1, 2, 3)}
    found = []
    with torch.no_grad():
        for q, simulator in simulators.items():
            times = paired(
                {
                    "direct": lambda s=simulator: s(commands, field, state),
                    "matrix": lambda s=simulator: field.flatten(-2) @ s.matrix(commands, state).mT,
                },
                repetitions,
            )
            case = f"Pixel order {q}, K = {stages}, 8x8 modes, 512 rows"
            found.append(row(f"{case}: direct", 1e6 * times["direct"] / 512, "us/row"))
            found.append(row(f"{case}: matrix / direct", times["matrix"] / times["direct"], "x", 1.0))
        lens = lens_matrix(8, 16, torch.tensor([[15.45]]), order_in=2, order_out=2).to(torch.complex64)
        wide = torch.randn(1, 64, 16, 16, dtype=torch.complex64)
        pair = paired(
            {
                "products": lambda: along_axes(lens, wide, lens),
                "einsum": lambda: torch.einsum("rsij,rbjk,rslk->rbil", lens, wide, lens),
            },
            repetitions * 5,
        )
    found.append(row("a lens on 64 fields: two products / one einsum", pair["products"] / pair["einsum"], "x", 1.0))
    return found
