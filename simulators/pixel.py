r"""``Pixel``: q orthonormal Legendre modes a pixel and axis, in both planes.

A piecewise-constant mask is diagonal in that basis, one with structure inside its pixels is a q²×q² matrix a pixel, a
lens is one small matrix an axis (:func:`simulators.fourier.path_matrix`). What is left out is structure finer than q
modes, so the error falls geometrically with q: q = 2 for training, q = 3 for judging. One sample a pixel (q = 1) is
wrong from two stages on: between stages nothing projects the field onto pixel boxes, and about a third of the light is
structure inside pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from simulators.bases import pixel_modes
from simulators.bench import Bench
from simulators.cascade import Cascade, unregistered
from simulators.devices.surface import Surface, surface_of
from simulators.effective import inside_pixels
from simulators.effective_mask import Effective
from simulators.errors import InputError
from simulators.masks import Blocks, Diagonal, Mask
from simulators.random import Shots, State
from simulators.simulator import Command


class Pixel(Cascade):
    """A cascade of ``stages`` on ``bench``, in ``order`` Legendre modes a pixel and axis.

    Args:
        bench: the template.
        stages: K; the cascade has 2K masks and 2K lenses.
        order: q ≥ 1.
        flicker_nodes: moments of the ripple over which intensities are averaged; None: one more than there are
            independent panels, at which terms up to third order of the ripple are exact for one panel.
        effective: of both panels of a stage, in place of the structure inside their macro-pixels; see
            :func:`simulators.effective.effective_masks`. None: in full.

    Raises:
        InputError: ``order`` or ``stages`` below 1.

    Source: the projection method for lens integrals; checked against brute-force integration in the tests. Not
    modelled: structure finer than q modes a pixel.
    """

    def __init__(
        self,
        bench: Bench,
        stages: int,
        *,
        order: int = 2,
        flicker_nodes: int | None = None,
        effective: tuple[Effective, Effective] | None = None,
    ):
        if effective is not None:
            bench = bench.without(*inside_pixels(bench))
        self.effective = effective
        if order < 1:
            raise InputError("order", value=order, allowed="at least 1 mode a pixel and axis")
        elements = {element.address: element for element in bench.elements(stages)}
        shapes = bench.command_shapes * stages
        self.surfaces: list[Surface | None] = [
            surface_of(
                elements[f"stage[{j // 2}].mask[{j % 2}]"],
                bench.stage[2 * (j % 2)].macro_pixel,
                chequered=bench.stage[2 * (j % 2)].double_phase,
                nodes=order + 1,
            )
            for j in range(2 * stages)
        ]
        structured = self.surfaces[0] is not None or elements["stage[0].mask[1]"].has("clocking")
        # The input is constant over each pixel: until the first lens there is mode 0 alone.
        first = max(order, 2) if structured or unregistered(bench) else 1
        orders = [first] + [order] * (2 * stages - 1)
        # A lensless stage draws its curvature with native pixels, which the integrals must resolve.
        parts = [bench.native_steps(j) for j in range(2 * stages)] + [1]
        planes = [
            (pixel_modes(y, q, part), pixel_modes(x, q, part))
            for (y, x), q, part in zip((*shapes, bench.modes), (*orders, order), parts, strict=True)
        ]
        super().__init__(bench, stages, planes, planes[0], order=order, flicker_nodes=flicker_nodes)

    def masks(
        self, commands: Sequence[Command], state: State, moments: Tensor | None, shots: Shots | None
    ) -> list[Mask]:
        """See :class:`~simulators.cascade.Cascade`."""
        found: list[Mask] = []
        for j, (command, surface) in enumerate(zip(commands, self.surfaces, strict=True)):
            shown = self.shown(j, command, state, moments, shots)
            order = self.planes[j][0].order
            found.append(Diagonal(shown, (order, order)) if surface is None else Blocks.of(shown, surface.basis(order)))
        return found

    def _modes(self, plane: int, field: Tensor) -> Tensor:
        return field
