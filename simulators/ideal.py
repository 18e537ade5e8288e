"""``Ideal``: N modes, unitary lenses, masks that show what they are told. The oracle of the other simulators."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from simulators.bench import Bench
from simulators.effects import flicker_nodes
from simulators.fourier import along_axes, centred_dft
from simulators.illumination import unit_light
from simulators.random import Shots, State
from simulators.simulator import Command, Probe, check_commands, check_field, dense_matrix


class Ideal:
    """A cascade on N modes in every plane: :math:`y = F\\,D_K\\,F\\,A_K \\cdots F\\,D_1\\,F\\,A_1\\,x`.

    F is the unitary DFT on the half-pixel-centred grid. No device of the bench acts; only its modes and its light
    (√photons) are used. Arguments as :class:`simulators.pixel.Pixel`.
    """

    order = 1
    varies = False

    def __init__(self, bench: Bench, stages: int):
        self.bench, self.stages = bench, stages
        self.command_shapes = (bench.modes,) * (2 * stages)
        self.moments = flicker_nodes(0)

    def illuminate(
        self, values: Tensor, state: State, *, shots: Shots | None = None, moments: Tensor | None = None
    ) -> Tensor:
        """``values`` on the laser's light, without the effects of a device, real or complex as they are."""
        return unit_light(self.bench, values, state)

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
        """The field at the detector, ``[R, B, y, x]``."""
        check_commands(commands, self.command_shapes)
        check_field(field, self.bench.modes)
        lens_y, lens_x = self._lens(commands[0].field())
        for j, command in enumerate(commands):
            field = field * command.field()
            if probe is not None:
                probe(f"stage[{j // 2}].mask[{j % 2}]", field)
            field = along_axes(lens_y, field, lens_x)
        if probe is not None:
            probe("detector", field)
        # Nothing ripples here: all moments are alike.
        return field if moments is None else field[None]

    def adjoint(
        self, commands: Sequence[Command], field: Tensor, state: State, *, moments: Tensor | None = None
    ) -> Tensor:
        """Conjugate transpose of :meth:`__call__`."""
        check_commands(commands, self.command_shapes)
        check_field(field, self.bench.modes)
        lens_y, lens_x = self._lens(commands[0].field())
        for command in reversed(commands):
            field = along_axes(lens_y.mH, field, lens_x.mH) * command.field().conj()
        return field

    def matrix(self, commands: Sequence[Command], state: State, *, moments: Tensor | None = None) -> Tensor:
        """Dense ``[1, N, N]``."""
        return dense_matrix(self, commands, state, moments)

    def _lens(self, like: Tensor) -> tuple[Tensor, Tensor]:
        y, x = self.bench.modes
        return (
            centred_dft(y, dtype=like.dtype, device=like.device),
            centred_dft(x, dtype=like.dtype, device=like.device),
        )
