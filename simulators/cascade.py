"""What ``Pixel`` and ``Wave`` share: masks and paths in turn, forth, back, and as a matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from simulators import effects
from simulators.bases import Plane
from simulators.bench import Bench
from simulators.devices.chain import Element
from simulators.devices.show import show
from simulators.devices.surface import Surface
from simulators.effective_mask import Effective
from simulators.fourier import along_axes
from simulators.illumination import write_input
from simulators.masks import Mask
from simulators.paths import Crossing, Paths
from simulators.placement import registration
from simulators.random import Shots, State
from simulators.simulator import Command, Probe, check_commands, check_field, dense_matrix
from simulators.turning import turned


class Cascade(ABC):
    """Masks and paths of K stages, in the bases that a subclass chooses for each plane.

    Args:
        bench: the template.
        stages: K.
        planes: bases (y, x) of the 2K masks' planes and of the detector.
        entrance: Legendre modes in which the first mask takes the input: one constant a pixel, or more where mask and
            input do not lie on each other pixel by pixel.
        order: q, Legendre modes a mode and axis at the detector.
        flicker_nodes: moments of the ripple over which intensities are averaged; None: one more than panels.
        drawing: see :class:`~simulators.paths.Paths`.
    """

    surfaces: list[Surface | None]  #: nodes inside the pixels of each mask; None: they are uniform
    effective: tuple[Effective, Effective] | None = None  #: what uniform pixels show on average, of both panels

    def __init__(
        self,
        bench: Bench,
        stages: int,
        planes: Sequence[Plane],
        entrance: Plane,
        *,
        order: int,
        flicker_nodes: int | None = None,
        drawing: bool = True,
    ):
        self.bench, self.stages, self.order = bench, stages, order
        self.planes, self.entrance = tuple(planes), entrance
        self.command_shapes = bench.command_shapes * stages
        self._elements = {element.address: element for element in bench.elements(stages)}
        self.varies = any(element.has("phase_noise") for element in self._elements.values())
        panels = bench.rippling_panels(stages)
        self._panel = {address: i for i, address in enumerate(panels)}
        self.moments = effects.flicker_nodes(len(panels), flicker_nodes)
        self._paths = Paths(bench, stages, self.planes, drawing=drawing)

    # --- the cascade ----------------------------------------------------------------------------------------------

    def illuminate(
        self, values: Tensor, state: State, *, shots: Shots | None = None, moments: Tensor | None = None
    ) -> Tensor:
        """See :class:`simulators.simulator.Simulator`."""
        writer = self._elements.get("input.phase")
        cosines = None if writer is None else self.cosines(writer, moments, shots)
        return write_input(self.bench, self.stages, values, state, shots=shots, cosines=cosines)

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
        """The field at the detector, ``[(Q,) R, B, y·q, x·q]``. See :class:`simulators.simulator.Simulator`."""
        check_commands(commands, self.command_shapes)
        check_field(field, self.bench.modes)
        state = self._figures(state, field)
        masks = self.masks(commands, state, moments, shots)
        crossings = self.crossings(state, field)
        field = field if moments is None or field.ndim == 5 else field[None]
        field = self.enter(field, state)
        for j, (mask, crossing) in enumerate(zip(masks, crossings, strict=True)):
            field = mask(field)
            if probe is not None:
                probe(f"stage[{j // 2}].mask[{j % 2}]", self._modes(j, field))
            field = crossing(field)
            if probe is not None and j < len(masks) - 1:
                probe(f"stage[{j // 2}].lens[{j % 2}]", self._modes(j + 1, field))
        if probe is not None:
            probe("detector", field)
        return field

    def adjoint(
        self, commands: Sequence[Command], field: Tensor, state: State, *, moments: Tensor | None = None
    ) -> Tensor:
        """Conjugate transpose: from a field at the detector back to mode amplitudes ``[(Q,) R, B, y, x]``."""
        check_commands(commands, self.command_shapes)
        check_field(field, self.bench.modes, self.order)
        state = self._figures(state, field)
        field = field if moments is None or field.ndim == 5 else field[None]
        masks = self.masks(commands, state, moments, None)
        crossings = self.crossings(state, field)
        for mask, crossing in zip(reversed(masks), reversed(crossings), strict=True):
            field = mask.adjoint(crossing.adjoint(field))
        return self.leave(field, state)

    @staticmethod
    def _figures(state: State, like: Tensor) -> State:
        """Figures in the precision of a field: draws are double."""
        real = torch.float32 if like.dtype in (torch.complex64, torch.float32) else torch.float64
        return {address: value.to(real) for address, value in state.items()}

    def matrix(self, commands: Sequence[Command], state: State, *, moments: Tensor | None = None) -> Tensor:
        """Dense ``[(Q,) R, N·q², N]``: mode amplitudes in, Legendre amplitudes at the detector out."""
        return dense_matrix(self, commands, state, moments)

    def crossings(self, state: State, like: Tensor) -> list[Crossing]:
        """The paths, as operators of the dtype and on the device of ``like``."""
        return self._paths(state, like.dtype, like.device)

    @abstractmethod
    def masks(
        self, commands: Sequence[Command], state: State, moments: Tensor | None, shots: Shots | None
    ) -> list[Mask]:
        """What the masks do, in the order of the light."""

    @abstractmethod
    def _modes(self, plane: int, field: Tensor) -> Tensor:
        """A field in ``plane`` as Legendre modes of its pixels, for a probe."""

    # --- the first plane ------------------------------------------------------------------------------------------

    def enter(self, field: Tensor, state: State) -> Tensor:
        """The input, one constant a pixel, in the basis in which the first mask takes it."""
        if self.entrance[0].order == 1:
            return field
        shifts, angle = self._registration(state, field)
        field = along_axes(shifts[0], field, shifts[1])
        return field if angle is None else turned(field, angle, self.entrance)

    def leave(self, field: Tensor, state: State) -> Tensor:
        """The adjoint of :meth:`enter`."""
        if self.entrance[0].order == 1:
            return field
        shifts, angle = self._registration(state, field)
        if angle is not None:
            field = turned(field, angle, self.entrance, adjoint=True)
        return along_axes(shifts[0].mH, field, shifts[1].mH)

    def _registration(self, state: State, like: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        (y, x), angle = registration(self.bench, self._elements, state, like.device, self.entrance)
        return (y.to(like.dtype), x.to(like.dtype)), angle

    def shown(self, j: int, command: Command, state: State, moments: Tensor | None, shots: Shots | None) -> Tensor:
        """What mask ``j`` makes of its command, at the nodes of its surface or a value a macro-pixel."""
        element = self._elements[f"stage[{j // 2}].mask[{j % 2}]"]
        return show(
            self._elements,
            element,
            command.phase,
            command.amplitude,
            state,
            cosines=self.cosines(element, moments, shots),
            shots=shots,
            surface=self.surfaces[j],
            effective=self.effective[j % 2] if self.effective else None,
        )

    def cosines(self, element: Element, moments: Tensor | None, shots: Shots | None = None) -> Tensor | None:
        """Of the panel this element is a zone of, ``[Q, 1, 1, 1, 1]``; None where it does not ripple.

        ``moments`` with two columns a panel have those of ripple at its expectation second
        (:func:`simulators.effects.flicker_pairs`).
        """
        if moments is None or not element.has("flicker"):
            return None
        link = next(link for link in element.links if link.name == "flicker")
        column, panels = self._panel[element.home(link)], len(self._panel)
        if shots is not None and moments.shape[1] == 2 * panels and not shots.draws(element.address, "flicker"):
            column += panels
        return moments[:, column, None, None, None, None]


def unregistered(bench: Bench) -> bool:
    """Whether input and first mask may lie shifted or turned on each other."""
    elements = {element.address: element for element in bench.elements(1)}
    ends = (elements["input"], elements["stage[0].mask[0]"])
    return any(end.has(name) for end in ends for name in ("lateral", "lateral_drift", "clocking"))
