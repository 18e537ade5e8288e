"""What every simulator offers: its protocol, its commands, and its dense matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.errors import InputError
from simulators.random import Shots, State

Probe = Callable[[str, Tensor], None]
"""Sees the field at every plane: ``probe(address, field)``."""


@dataclass(frozen=True)
class Command:
    """What one mask is told to show: wanted phase and amplitude a macro-pixel.

    Attributes:
        phase: rad, ``[..., y, x]``.
        amplitude: in [0, 1], the same shape; None: the mask shows phase alone.
    """

    phase: Tensor
    amplitude: Tensor | None = None

    def field(self) -> Tensor:
        """The wanted complex transmission."""
        wanted = torch.complex(self.phase.cos(), self.phase.sin())
        return wanted if self.amplitude is None else wanted * self.amplitude


class Simulator(Protocol):
    """Built once per (bench, stages); kernels are held inside.

    Fields into a simulator are mode amplitudes ``[R or 1, B, y, x]`` in √photons, out of it ``[R, B, y·q, x·q]`` with q
    orthonormal functions a mode and axis (q = :attr:`order`), so that |·|² summed over a mode is its photons.

    ``moments`` are cosines ``[Q, panels]`` of the ripple of each panel (:attr:`moments` has those to average over); the
    result then has a leading axis Q, or 1 where nothing ripples. None: every ripple at its mean, and no such axis.
    """

    bench: Bench
    stages: int
    order: int
    command_shapes: tuple[tuple[int, int], ...]
    moments: Tensor
    varies: bool  #: whether shots change what the masks do

    def __call__(
        self,
        commands: Sequence[Command],
        field: Tensor,
        state: State,
        *,
        moments: Tensor | None = None,
        shots: Shots | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """The field at the detector; ``shots`` draw what masks do differently from frame to frame."""
        ...

    def adjoint(
        self, commands: Sequence[Command], field: Tensor, state: State, *, moments: Tensor | None = None
    ) -> Tensor:
        """The adjoint (not the inverse) of :meth:`__call__` in ``field``."""
        ...

    def matrix(self, commands: Sequence[Command], state: State, *, moments: Tensor | None = None) -> Tensor:
        """Dense ``[(Q,) R, out, in]`` of :meth:`__call__`."""
        ...

    def illuminate(
        self, values: Tensor, state: State, *, shots: Shots | None = None, moments: Tensor | None = None
    ) -> Tensor:
        """Write ``values`` ``[R or 1, B, y, x]`` (|values| ≤ 1) onto the laser's light: the field, in √photons."""
        ...


def dense_matrix(simulator: Simulator, commands: Sequence[Command], state: State, moments: Tensor | None) -> Tensor:
    """``[(Q,) R, out, in]`` by sending every basis vector through."""
    y, x = simulator.bench.modes
    reference = commands[0].phase
    dtype = torch.complex64 if reference.dtype == torch.float32 else torch.complex128
    basis = torch.eye(y * x, dtype=dtype, device=reference.device).reshape(1, y * x, y, x)
    return simulator(commands, basis, state, moments=moments).flatten(-2).mT


def check_commands(commands: Sequence[Command], shapes: Sequence[tuple[int, int]]) -> None:
    """Raise :class:`InputError` unless there is one command a mask, of the mask's size."""
    found = tuple(tuple(command.phase.shape[-2:]) for command in commands)
    if found != tuple(shapes):
        raise InputError("commands", value=f"masks of {found}", allowed=f"masks of {tuple(shapes)}")


def check_field(field: Tensor, modes: tuple[int, int], order: int = 1) -> None:
    """Raise :class:`InputError` unless ``field`` is ``[R or 1, B, y·q, x·q]`` of the bench's modes."""
    wanted = (modes[0] * order, modes[1] * order)
    if field.ndim < 4 or tuple(field.shape[-2:]) != wanted:
        raise InputError("field", value=f"shape {tuple(field.shape)}", allowed=f"[R or 1, B, {wanted[0]}, {wanted[1]}]")
