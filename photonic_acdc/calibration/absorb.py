"""One cascade on one bench as built: register, absorb in closed form or by least squares, and compare."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from photonic_acdc.calibration.agreement import Seen, fidelity, nmse, overlaps
from photonic_acdc.calibration.geometry import PlanePhases, plane_addresses, plane_phases, plane_pixels, register
from photonic_acdc.optical.cascade import OpticalCascade
from simulators.random import State
from simulators.simulator import Command

Method = Literal["closed form", "least squares"]
METHODS: tuple[Method, ...] = ("closed form", "least squares")

#: A strip of the input beside its macro-pixel spreads evenly over the next plane, the macro-pixel itself as sinc² over
#: ±1/2 of M, of which this is the mean: the strip weighs more.
SINC_SHARE = 0.774


@dataclass(frozen=True, eq=False)
class Absorbed:
    """One cascade, refitted."""

    addresses: list[str]  #: of the masks and the detector
    commands: list[Command]  #: float64
    readout_phase: Tensor | None  #: rad, ``[y, x]``, for the electronics of a coherent readout
    state: State  #: registered
    moves: Tensor  #: native pixels, ``[2K + 1, 2]``
    phases: PlanePhases  #: what registration has left
    residual: list[float]  #: a plane, share that steps of a macro-pixel leave
    slip: list[float]  #: of the input, macro-pixels, y and x
    expected: float  #: infidelity
    nmse: list[float]  #: before, registered, absorbed
    fidelity: list[float]  #: the same


@torch.no_grad()
def absorb(cascade: OpticalCascade, state: State, method: Method, iterations: int) -> Absorbed:
    """Register one cascade, absorb what is left in its masks' phases, and judge every step; see :func:`refit`.

    Args:
        cascade: not altered.
        state: figures of one bench, float64.
        method: of absorbing.
        iterations: of least squares.
    """
    bench, stages, device = cascade.bench, cascade.stages, cascade.reference.device
    pixels = plane_pixels(bench, stages)
    commands = [_double(command) for command in cascade.commands()]
    seen = Seen(cascade.simulator, cascade.readout_kind)
    nominal = bench.nominal(stages, device=device)
    wanted = seen(commands, nominal)
    before = seen(commands, state, plane_phases(bench, stages, state))
    registered, moves = register(bench, stages, state)
    phases = plane_phases(bench, stages, registered)
    moved = seen(commands, registered, phases)
    corrected = [
        dataclasses.replace(command, phase=command.phase - phases.phase(plane, pixels[plane]))
        for plane, command in enumerate(commands)
    ]
    absorbed = seen(corrected, registered, phases)
    readout_phase = phases.phase(2 * stages, pixels[-1]) if seen.sees_phases else None
    if method == "least squares":
        fitted = _least_squares(cascade, commands, corrected, nominal, registered, phases, iterations)
        other = seen(fitted, registered, phases)
        if nmse(other, wanted, sees_phases=False) < nmse(absorbed, wanted, sees_phases=False):
            corrected, absorbed = fitted, other
            if seen.sees_phases:
                readout_phase = overlaps(other, wanted).angle().reshape(pixels[-1])
    if readout_phase is not None:
        turn = readout_phase.reshape(-1, 1)
        absorbed = absorbed * torch.complex(turn.cos(), -turn.sin())
    residual = [float(phases.residual(plane, count)) for plane, count in enumerate(pixels)]
    slip = [float(value) for value in phases.slip]
    operators = (before, moved, absorbed)
    return Absorbed(
        addresses=plane_addresses(stages),
        commands=corrected,
        readout_phase=readout_phase,
        state=registered,
        moves=moves,
        phases=phases,
        residual=residual,
        slip=slip,
        expected=sum(residual if seen.sees_phases else residual[:-1]) + sum(part**2 for part in slip) / SINC_SHARE,
        nmse=[float(nmse(actual, wanted, sees_phases=seen.sees_phases)) for actual in operators],
        fidelity=[float(fidelity(actual, wanted, sees_phases=seen.sees_phases)) for actual in operators],
    )


def _least_squares(
    cascade: OpticalCascade,
    commands: list[Command],
    start: list[Command],
    nominal: State,
    state: State,
    phases: PlanePhases,
    iterations: int,
) -> list[Command]:
    """The phases of least error, a phase a mode read left free, on panels without levels.

    Not those of highest fidelity: the electronics' gain is set, and fidelity would be bought with light.
    """
    bench = cascade.bench
    if any(str(effect).startswith("stage") and effect.name == "quantisation" for effect in bench.effects(1)):
        # Levels have no slope that a line search could follow.
        bench = bench.without("stage*.quantisation")
    seen = Seen(cascade.build(bench, cascade.stages), cascade.readout_kind)
    wanted = seen(commands, nominal)
    found = [command.phase.clone().requires_grad_() for command in start]
    best = float("inf")
    kept = [command.phase for command in start]
    optimiser = torch.optim.LBFGS(found, max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")

    def error() -> float:
        nonlocal best, kept
        with torch.enable_grad():
            optimiser.zero_grad()
            shown = [dataclasses.replace(command, phase=phase) for command, phase in zip(start, found, strict=True)]
            loss = nmse(seen(shown, state, phases), wanted, sees_phases=False)
            loss.backward()
        value = float(loss.detach())
        if value < best:
            best, kept = value, [phase.detach().clone() for phase in found]
        return value

    optimiser.step(error)
    return [dataclasses.replace(command, phase=phase) for command, phase in zip(start, kept, strict=True)]


def _double(command: Command) -> Command:
    amplitude = None if command.amplitude is None else command.amplitude.detach().double()
    return Command(command.phase.detach().double(), amplitude)
