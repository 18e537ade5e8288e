"""How far the levels of simulation differ on a given bench, plane by plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.cascade import Cascade
from simulators.errors import InputError
from simulators.pixel import Pixel
from simulators.random import State
from simulators.simulator import Command
from simulators.wave import Wave

if TYPE_CHECKING:
    import xarray as xr


@torch.no_grad()
def compare_levels(
    bench: Bench,
    commands: Sequence[Command],
    *,
    orders: Sequence[int] = (1, 2, 3),
    field: Tensor | None = None,
    state: State | None = None,
    samples: int = 4,
    seed: int = 0,
) -> xr.Dataset:
    r"""The field in every plane by ``Pixel`` of several orders, against ``Wave``.

    .. math:: \mathrm{NMSE} = \frac{\sum|E - E_W|^2}{\sum|E_W|^2}, \quad
        F = \frac{|\sum E^* E_W|^2}{\sum|E|^2\sum|E_W|^2}, \quad
        \mathrm{ENOB} = \frac{-10\log_{10}\mathrm{NMSE} - 1.76}{6.02}

    of the field projected on each macro-pixel, as a coherent readout sees it, over rows, pixels and realisations.

    Args:
        bench: the bench.
        commands: of its masks, which set the number of stages.
        orders: q of the ``Pixel`` simulators.
        field: mode amplitudes ``[R or 1, B, y, x]``; None: eight complex normal rows.
        state: figures and draws; None: nominal.
        samples: of ``Wave``, a macro-pixel.
        seed: of the random rows.

    Returns:
        Dataset over ``plane`` (behind every lens) and ``level``: ``nmse``, ``infidelity``, ``enob``.

    Raises:
        InputError: commands that do not fit the bench.
    """
    import xarray as xr

    if len(commands) < 2 or len(commands) % 2:
        raise InputError("commands", value=f"{len(commands)} masks", allowed="two a stage")
    stages = len(commands) // 2
    dtype = torch.complex64 if commands[0].phase.dtype == torch.float32 else torch.complex128
    if field is None:
        generator = torch.Generator().manual_seed(seed)
        field = torch.randn(1, 8, *bench.modes, generator=generator, dtype=dtype)
    figures = bench.nominal(stages, dtype=commands[0].phase.dtype) if state is None else state
    reference = _arriving(Wave(bench, stages, samples=samples, order=1), commands, field, figures)
    planes = list(reference)
    errors, infidelities = [], []
    for order in orders:
        found = _arriving(Pixel(bench, stages, order=order), commands, field, figures)
        errors.append([nmse(found[plane], reference[plane]) for plane in planes])
        infidelities.append([1 - fidelity(found[plane], reference[plane]) for plane in planes])
    dims = ("level", "plane")
    bits = [[enob(value) for value in row] for row in errors]
    return xr.Dataset(
        {
            "nmse": (dims, errors, {"long_name": "squared error of the field", "units": "1"}),
            "infidelity": (dims, infidelities, {"long_name": "1 - fidelity of the field", "units": "1"}),
            "enob": (dims, bits, {"long_name": "effective number of bits", "units": "bit"}),
        },
        coords={"level": [f"Pixel q = {order}" for order in orders], "plane": planes},
        attrs={"reference": f"Wave, {samples} samples a macro-pixel", "bench": bench.name, "stages": stages},
    )


def _arriving(simulator: Cascade, commands: Sequence[Command], field: Tensor, state: State) -> dict[str, Tensor]:
    """Fields behind every lens, one amplitude a macro-pixel."""
    planes: dict[str, Tensor] = {}

    def probe(address: str, seen: Tensor) -> None:
        if ".mask[" not in address:
            planes[address] = seen

    simulator(commands, field, state, probe=probe)
    sizes = [*simulator.command_shapes[1:], simulator.bench.modes]
    return {
        address: seen[..., :: seen.shape[-2] // y, :: seen.shape[-1] // x]
        for (address, seen), (y, x) in zip(planes.items(), sizes, strict=True)
    }


def nmse(found: Tensor, reference: Tensor) -> float:
    """Squared error relative to the reference; no constant is taken out."""
    return float((found - reference).abs().double().square().sum() / reference.abs().double().square().sum())


def fidelity(found: Tensor, reference: Tensor) -> float:
    """Squared normalised overlap: 1 where the two are equal up to a constant."""
    overlap = (found.conj() * reference).sum().abs().double() ** 2
    return float(overlap / (found.abs().double().square().sum() * reference.abs().double().square().sum()))


def enob(error: float) -> float:
    """Effective number of bits of a linear map with this NMSE."""
    return (-10 * math.log10(max(error, 1e-32)) - 1.76) / 6.02
