r"""``Pixel``: q orthonormal Legendre modes a pixel and axis, in both planes.

A piecewise-constant mask is diagonal in that basis, a lens is one small matrix an axis
(:func:`simulators.fourier.lens_matrix`). What is left out is structure finer than q modes, so the error falls
geometrically with q: q = 2 for training, q = 3 for judging. One sample a pixel (q = 1) is wrong from two stages on:
between stages nothing projects the field onto pixel boxes, and about a third of the light is structure inside pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simulators import effects
from simulators.bench import Bench
from simulators.devices.chain import Element
from simulators.devices.modulator import lossy, show_amplitude, show_phase
from simulators.errors import InputError
from simulators.fourier import along_axes, lens_matrix
from simulators.random import Shots, State
from simulators.simulator import Command, Probe, check_commands, dense_matrix, write_input


class Pixel:
    """A cascade of ``stages`` on ``bench``, in ``order`` Legendre modes a pixel and axis.

    Args:
        bench: the template.
        stages: K; the cascade has 2K masks and 2K lenses.
        order: q ≥ 1.
        flicker_nodes: moments of the ripple over which intensities are averaged; None: one more than there are
            independent panels, at which terms up to third order of the ripple are exact for one panel.

    Raises:
        InputError: ``order`` or ``stages`` below 1.

    Source: the projection method for lens integrals; checked against brute-force integration in the tests. Not
    modelled: aperture and aberration of lenses, structure of the panel inside a macro-pixel, misalignment.
    """

    def __init__(self, bench: Bench, stages: int, *, order: int = 2, flicker_nodes: int | None = None):
        if order < 1:
            raise InputError("order", value=order, allowed="at least 1 mode a pixel and axis")
        self.bench, self.stages, self.order = bench, stages, order
        self._elements = {element.address: element for element in bench.elements(stages)}
        self.command_shapes = bench.command_shapes * stages
        panels = bench.rippling_panels(stages)
        self._panel = {address: i for i, address in enumerate(panels)}
        self.moments = effects.flicker_nodes(len(panels), flicker_nodes)
        self._last: dict[tuple, tuple[Tensor, Tensor]] = {}

    # --- the cascade ----------------------------------------------------------------------------------------------

    def illuminate(
        self, values: Tensor, state: State, *, shots: Shots | None = None, moments: Tensor | None = None
    ) -> Tensor:
        """See :class:`simulators.simulator.Simulator`."""
        writer = self._elements.get("input.phase")
        cosines = None if writer is None else self._cosines(writer, moments)
        return write_input(self.bench, self.stages, values, state, shots=shots, cosines=cosines)

    def __call__(
        self,
        commands: Sequence[Command],
        field: Tensor,
        state: State,
        *,
        moments: Tensor | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """The field at the detector, ``[(Q,) R, B, y·q, x·q]``. See :class:`simulators.simulator.Simulator`."""
        check_commands(commands, self.command_shapes)
        masks = self.transmissions(commands, state, moments)
        lenses = self._lenses(state, field.dtype, field.device)
        field = field if moments is None or field.ndim == 5 else field[None]
        for s in range(self.stages):
            for i in (0, 1):
                # The input is constant over each pixel: until the first lens there is mode 0 alone.
                mask = masks[2 * s + i]
                field = field * (mask if s == 0 and i == 0 else self._spread(mask))
                if probe is not None:
                    probe(f"stage[{s}].mask[{i}]", field)
                matrix_y, matrix_x = lenses[2 * s + i]
                if s == 0 and i == 0:
                    matrix_y, matrix_x = matrix_y[..., :: self.order], matrix_x[..., :: self.order]
                field = along_axes(matrix_y, field, matrix_x)
                field = lossy(self._elements[f"stage[{s}].lens[{i}]"], field, state)
        if probe is not None:
            probe("detector", field)
        return field

    def adjoint(
        self, commands: Sequence[Command], field: Tensor, state: State, *, moments: Tensor | None = None
    ) -> Tensor:
        """Conjugate transpose: from a field at the detector back to mode amplitudes ``[(Q,) R, B, y, x]``."""
        check_commands(commands, self.command_shapes)
        masks = self.transmissions(commands, state, moments)
        lenses = self._lenses(state, field.dtype, field.device)
        for s in reversed(range(self.stages)):
            for i in (1, 0):
                matrix_y, matrix_x = lenses[2 * s + i]
                field = lossy(self._elements[f"stage[{s}].lens[{i}]"], field, state)
                field = along_axes(matrix_y.mH, field, matrix_x.mH)
                if s == 0 and i == 0:
                    field = field[..., :: self.order, :: self.order] * masks[0].conj()
                else:
                    field = field * self._spread(masks[2 * s + i].conj())
        return field

    def matrix(self, commands: Sequence[Command], state: State, *, moments: Tensor | None = None) -> Tensor:
        """Dense ``[(Q,) R, N·q², N]``: mode amplitudes in, Legendre amplitudes at the detector out."""
        return dense_matrix(self, commands, state, moments)

    # --- masks and lenses -----------------------------------------------------------------------------------------

    def transmissions(self, commands: Sequence[Command], state: State, moments: Tensor | None = None) -> list[Tensor]:
        """What the masks show, complex ``[(Q,) R or 1, 1, y, x]`` each, in the order of the light."""
        return [
            self._mask(f"stage[{j // 2}].mask[{j % 2}]", command, state, moments) for j, command in enumerate(commands)
        ]

    def _mask(self, address: str, command: Command, state: State, moments: Tensor | None) -> Tensor:
        element = self._elements[address]
        shown = show_phase(element, command.phase, state, cosines=self._cosines(element, moments))
        while shown.ndim < 4:
            shown = shown[None]
        if command.amplitude is not None:
            panel = self._elements.get(f"{address}.amplitude")
            # Without a companion on the bench the amplitude is an ideal one.
            amplitude = command.amplitude if panel is None else show_amplitude(panel, command.amplitude, state)
            shown = shown * amplitude
        relay = self._elements.get(f"{address}.relay")
        return shown if relay is None else lossy(relay, shown, state)

    def _cosines(self, element: Element, moments: Tensor | None) -> Tensor | None:
        """Of the panel this element is a zone of, ``[Q, 1, 1, 1, 1]``; None where it does not ripple."""
        if moments is None or not element.has("flicker"):
            return None
        link = next(link for link in element.links if link.name == "flicker")
        return moments[:, self._panel[element.home(link)], None, None, None, None]

    def _lenses(self, state: State, dtype: torch.dtype, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """(y, x) matrices of every lens, ``[R or 1, 1, out, in]`` each."""
        scales = torch.stack(
            torch.broadcast_tensors(
                *(
                    self._elements[f"stage[{j // 2}].lens[{j % 2}]"].read_base(state, "scale").to(device).double()
                    * self.bench.scales[j % 2]
                    for j in range(2 * self.stages)
                )
            )
        )
        y, x = (
            self._kernels(modes, pixels, scales, dtype)
            for modes, pixels in zip(self.bench.modes, self.bench.fourier_pixels, strict=True)
        )
        # The kernel is symmetric, so a lens towards the modes is the transpose of one towards the panel.
        return [(y[j].mT, x[j].mT) if j % 2 else (y[j], x[j]) for j in range(2 * self.stages)]

    def _kernels(self, modes: int, pixels: int, scales: Tensor, dtype: torch.dtype) -> Tensor:
        """Lens matrices from modes to panel for ``scales [lenses, R or 1, 1]``; the last ones are kept."""
        key = (modes, dtype, scales.device)
        last = self._last.get(key)
        if last is not None and torch.equal(last[0], scales):
            return last[1]
        matrices = lens_matrix(modes, pixels, scales, order_in=self.order, order_out=self.order).to(dtype)
        if not matrices.requires_grad:
            self._last[key] = (scales, matrices)
        return matrices

    def _spread(self, mask: Tensor) -> Tensor:
        """One value a pixel for each of its q modes an axis."""
        if self.order == 1:
            return mask
        return mask.repeat_interleave(self.order, -2).repeat_interleave(self.order, -1)
