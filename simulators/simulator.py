"""What every simulator offers, and what they share: writing the input, the moments of the ripple, the dense matrix."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from simulators import effects
from simulators.bench import Bench
from simulators.devices.chain import pixelwise
from simulators.devices.modulator import AmplitudeModulator, show_amplitude, show_phase
from simulators.errors import InputError, SaturationWarning
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

    def __call__(
        self,
        commands: Sequence[Command],
        field: Tensor,
        state: State,
        *,
        moments: Tensor | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """The field at the detector."""
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


def unit_light(bench: Bench, values: Tensor, state: State) -> Tensor:
    """The laser's light spread evenly over the modes, times ``values``; no device acts yet."""
    share = torch.sqrt(bench.photons_in(state) / (bench.modes[0] * bench.modes[1]))
    return values * pixelwise(share)


def write_input(
    bench: Bench, stages: int, values: Tensor, state: State, *, shots: Shots | None, cosines: Tensor | None
) -> Tensor:
    """The field behind the input device of ``bench``: intensity noise, levels, extinction, loss of panel and relay.

    Raises:
        InputError: values the device cannot write (complex or negative ones on a panel without the means).
    """
    source, device = bench.element(stages, "source"), bench.element(stages, "input")
    companion = bench.input.companion
    largest = values.detach().abs().max() if values.numel() else torch.tensor(0.0)
    if largest > 1 + 1e-6:
        share = (values.detach().abs() > 1 + 1e-6).double().mean().item()
        warnings.warn(
            SaturationWarning(
                f"{share:.2%} of the inputs exceed the input device's range (up to {largest:.3g} of x_max): "
                "they are written as x_max; set x_max from the data it will see"
            )
        )
    if companion is not None:
        # A floor keeps the angle's gradient finite at 0, where the phase does not matter.
        written = values if values.is_complex() else values.to(_complex(values.dtype))
        amplitude = torch.sqrt(written.real**2 + written.imag**2 + 1e-24).clamp(max=1)
        phase = torch.angle(written + 1e-12)
        phase_element = bench.element(stages, "input.phase")
        field = show_amplitude(device, amplitude, state) * show_phase(phase_element, phase, state, cosines=cosines)
    else:
        if values.is_complex():
            raise InputError(
                "the input device writes real values only, and x is complex",
                remedy="a phase panel as input.companion (reference_bench(complex_input=True))",
            )
        panel = bench.input.device
        assert isinstance(panel, AmplitudeModulator)  # the bench has seen to it
        if not panel.bipolar and (values.detach() < 0).any():
            raise InputError(
                "the input device writes amplitudes only, and x has negative values",
                value=f"{values.min().item():g}",
                allowed="x ≥ 0",
                remedy="a bipolar panel, or a phase panel as input.companion",
            )
        amplitude = show_amplitude(device, values.clamp(min=-1, max=1), state)
        field = amplitude.to(_complex(values.dtype))
    if bench.input.relay is not None:
        relay = bench.element(stages, "input.relay")
        if relay.has("loss"):
            field = effects.attenuate(field, pixelwise(relay.read(state, "loss", "transmission")))
    field = unit_light(bench, field, state)
    if source.has("intensity_noise") and shots is not None:
        noise = shots.normal("source", "intensity_noise", ()).to(field.real)
        power = 1 + source.read(state, "intensity_noise") * noise
        field = field * torch.sqrt(power.clamp(min=0))[..., None, None]
    return field


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex64 if dtype == torch.float32 else torch.complex128
