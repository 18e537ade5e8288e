"""A bench that is only known by what it does: panels in, frames out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.detection import Kind, Readout
from simulators.errors import InputError
from simulators.pixel import Pixel
from simulators.random import Realisations, Shots, State, check_seed
from simulators.simulator import Command


class Apparatus(Protocol):
    """A bench as a laboratory has it: one callable that shows, exposes and reads.

    Any function of this form will do; :class:`SimulatedBench` is one.
    """

    def __call__(self, commands: Sequence[Command], values: Tensor) -> Tensor:
        """Show ``commands`` on the masks, write ``values`` one after the other, and read the detector.

        Args:
            commands: wanted phase (and amplitude) of the 2K masks, as :meth:`OpticalCascade.commands` gives them.
            values: x/x_max ``[B, y, x]``, shares of what the input device writes as fully open.

        Returns:
            ``[B, frames, y, x]``, digital numbers, as :meth:`OpticalCascade.frames` gives them for one realisation.
        """
        ...


class SimulatedBench:
    """One virtual bench as built, in the place of a real one: its errors are drawn, and kept to itself.

    Args:
        bench: as designed, with all its effects.
        stages: K.
        seed: of its static errors and of its shots.
        realisation: its number; training counts its own from 2³².
        simulator: ``sim.Pixel``, ``sim.Wave``; with ``options`` such as ``order=3``.
        readout: a kind of :class:`~simulators.Readout`.
        address: prefix of its zones, that of the cascade it stands for.
        noisy: whether frames differ from one exposure to the next; else each is the expected one, ripple averaged as
            intensity as a camera does. What a panel's noise from frame to frame scatters is left out of it, and so is
            settling.
        time: seconds since it was calibrated, for what drifts; may be set at any time by :meth:`wait`.

    Attributes:
        exposed: frames taken so far.
        calls: exposures so far; each has shots of its own, so that who goes on from a checkpoint sets it.
    """

    def __init__(
        self,
        bench: Bench,
        stages: int,
        *,
        seed: int,
        realisation: int = 0,
        simulator: Any = Pixel,
        readout: Kind = "intensity",
        address: str = "",
        noisy: bool = True,
        time: float = 0.0,
        **options: Any,
    ):
        self._simulator_of, self._options = simulator, options
        self._simulator = simulator(bench, stages, **options)
        self._readout = Readout(bench, stages, readout, order=self._simulator.order)
        self.bench, self.stages = bench, stages
        self._seed, self._realisation, self._address, self._noisy = check_seed(seed), realisation, address, noisy
        self.exposed, self.calls = 0, 0
        self.wait(time)

    def settings(self) -> dict[str, Any]:
        """What decides its frames, but for :attr:`calls`: JSON-able, and alike for benches that are."""
        return {
            "apparatus": type(self).__name__,
            "stages": int(self.stages),
            "seed": self._seed,
            "realisation": int(self._realisation),
            "simulator": getattr(self._simulator_of, "__qualname__", repr(self._simulator_of)),
            "options": {name: _plain(value) for name, value in self._options.items()},
            "readout": self._readout.kind,
            "address": self._address,
            "noisy": bool(self._noisy),
            "time": self._time,
            "bench": self.bench.to_dict(),
        }

    def wait(self, time: float) -> None:
        """Move to ``time`` seconds after calibration: what drifts has moved on."""
        self._time = float(time)
        draws = Realisations(self._seed, (self._realisation,), time)
        self._state: State = draws.draw(self.bench, self.stages, prefix=self._address)

    @torch.no_grad()
    def __call__(self, commands: Sequence[Command], values: Tensor) -> Tensor:
        """See :class:`Apparatus`; every call is another exposure, with other shots."""
        y, x = self.bench.modes
        if values.ndim != 3 or tuple(values.shape[1:]) != (y, x):
            raise InputError("values", value=f"shape {list(values.shape)}", allowed=f"[B, {y}, {x}]")
        shots = None
        if self._noisy:
            rows = tuple(range(len(values)))
            shots = Shots(self._seed, (self._realisation,), rows, self.calls, prefix=self._address)
        like = values.real if values.is_complex() else values
        state = {address: figure.to(like) for address, figure in self._state.items()}
        simulator, moments = self._simulator, self._simulator.moments
        field = simulator.illuminate(values[None], state, shots=shots, moments=moments)
        fields = simulator(commands, field, state, moments=moments, shots=shots)
        frames = self._readout.frames(fields, state, shots)[0]
        self.calls += 1
        self.exposed += frames.shape[0] * frames.shape[1]
        return frames


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


@torch.no_grad()
def measure(apparatus: Apparatus, commands: Sequence[Command], values: Tensor) -> Tensor:
    """Frames of ``apparatus`` for values ``[1, B, y, x]``: ``[1, B, frames, y, x]``, without a gradient.

    Raises:
        InputError: several realisations, where there is one bench; frames that are no finite numbers.
    """
    if len(values) != 1:
        raise InputError(
            "apparatus: realisations", value=len(values), allowed="1: it is one bench", remedy="realisations=1"
        )
    shown = [
        Command(command.phase.detach(), None if command.amplitude is None else command.amplitude.detach())
        for command in commands
    ]
    frames = apparatus(shown, values[0].detach())
    if not isinstance(frames, Tensor) or not frames.isfinite().all():
        what = "values that are not finite" if isinstance(frames, Tensor) else type(frames).__name__
        raise InputError(
            "apparatus: its frames", value=what, allowed="a tensor [rows, frames, y, x] of digital numbers"
        )
    if frames.ndim != 4 or len(frames) != values.shape[1]:
        raise InputError(
            "apparatus: its frames", value=f"shape {list(frames.shape)}", allowed=f"[{values.shape[1]}, frames, y, x]"
        )
    return frames[None].to(values.real if values.is_complex() else values)
