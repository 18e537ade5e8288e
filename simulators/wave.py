r"""``Wave``: samples of the field in every plane, masks resolved to their native pixels.

Only frequencies of a mask up to b_in + b_out, of the light that comes and of the light that can land on the next
aperture, matter. So a mask is drawn in full (native pixels, fringing, dead space), low-passed once a pattern, and
sampled a few times a macro-pixel:

.. math:: T(x_s) = \int h(x_s - x)\,t(x)\,dx, \quad \hat h(\nu) = 1 \text{ for } |\nu| \le b_{in} + b_{out},
    \; 0 \text{ from } s - b_{in} - b_{out} \text{ on}

which is exact for the light that goes on, at s samples a macro-pixel; the filter (a Kaiser window) sets the error.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from simulators.bases import Basis, pixel_modes
from simulators.bases import samples as sample_basis
from simulators.bench import Bench
from simulators.cascade import Cascade, unregistered
from simulators.devices.surface import Surface, plain_surface, surface_of
from simulators.errors import InputError, SamplingWarning
from simulators.fourier import along_axes, stepped
from simulators.masks import Diagonal, Mask, Written
from simulators.random import Shots, State
from simulators.simulator import Command


class Wave(Cascade):
    """A cascade of ``stages`` on ``bench``, ``samples`` samples a macro-pixel and axis.

    Args:
        bench: the template.
        stages: K.
        samples: s ≥ 2, a macro-pixel; enough for the light of the neighbouring planes, else a warning says how many.
        margin: macro-pixels of plane on either side of a mask, which its low-passed edges need.
        order: q, Legendre modes a mode and axis in which the field at the detector is given.
        flicker_nodes: as in :class:`~simulators.pixel.Pixel`.

    Raises:
        InputError: a figure out of range.

    Source: band-limited representation of masks; the paths are those of :mod:`simulators.paths`. Not modelled: light
    that leaves the paraxial region, reflections between elements.
    """

    def __init__(
        self,
        bench: Bench,
        stages: int,
        *,
        samples: int = 4,
        margin: int = 2,
        order: int = 3,
        flicker_nodes: int | None = None,
    ):
        for name, value, least in (("samples", samples, 2), ("margin", margin, 1), ("order", order, 1)):
            if value < least:
                raise InputError(name, value=value, allowed=f"at least {least}")
        self.samples, self.margin = samples, margin
        shapes = bench.command_shapes * stages
        planes = [(self._basis(bench, 0, y, order), self._basis(bench, 1, x, order)) for y, x in shapes]
        ends = pixel_modes(bench.modes[0], order), pixel_modes(bench.modes[1], order)
        inside = max(order, 6) if unregistered(bench) else 1  # a shifted box, to what the band-limited plane resolves
        entrance = pixel_modes(bench.modes[0], inside), pixel_modes(bench.modes[1], inside)
        super().__init__(
            bench, stages, [*planes, ends], entrance, order=order, flicker_nodes=flicker_nodes, drawing=False
        )  # pyright: ignore
        self.surfaces: list[Surface | None] = []
        self._limits: list[tuple[Tensor, Tensor]] = []
        for j, shape in enumerate(shapes):
            element = self._elements[f"stage[{j // 2}].mask[{j % 2}]"]
            place, steps = bench.stage[2 * (j % 2)], bench.native_steps(j) > 1
            surface = surface_of(element, place.macro_pixel, steps=steps, chequered=place.double_phase, nodes=4)
            if surface is None and j == 0 and inside > 1:
                surface = plain_surface(shape)
            if surface is not None and 0 not in bench.transformed_axes and (j > 0 or inside == 1):
                raise InputError(
                    "Wave: fringing, gaps or chequerboards on a bench of cylindrical lenses",
                    allowed="uniform macro-pixels: along the imaged axis nothing limits what they show",
                    remedy="Pixel(order=4)",
                )
            self.surfaces.append(surface)
            y, x = (self._limit(j, axis, surface, n) for axis, n in enumerate(shape))
            self._limits.append((y, x))

    def _basis(self, bench: Bench, axis: int, pixels: int, order: int) -> Basis:
        """Samples; along an axis that cylindrical lenses image, where nothing limits the band, modes of the rows."""
        if axis not in bench.transformed_axes:
            return pixel_modes(pixels, order)
        return sample_basis(pixels, self.samples, self.margin)

    def _limit(self, j: int, axis: int, surface: Surface | None, pixels: int) -> Tensor:
        """From the mask's nodes, or its uniform pixels, to what acts in the plane's basis.

        Of the first mask, behind which the input's field is known at its nodes, to the field in the basis.
        """
        basis = pixel_modes(pixels, 1) if surface is None else surface.basis(1, axis)
        plane = self.planes[j][axis]
        if not plane.is_sampled:
            modes = pixel_modes(pixels, plane.order) if surface is None else surface.basis(plane.order, axis)
            limit = modes.project() if j == 0 else basis.project()
        else:
            limit = low_pass(plane, basis, self._band(j, axis), self.margin)
            if j > 0:  # a value, not a sample's amplitude
                limit = limit / math.sqrt(plane.width)
        if surface is None:
            return limit.unflatten(-1, (pixels, -1)).sum(-1)
        curvature = self.bench.curvature(j)
        if curvature and plane.is_sampled:
            place = basis.positions
            phase = math.pi * curvature * (place**2 - stepped(place, pixels, surface.native) ** 2)
            limit = limit * torch.complex(phase.cos(), phase.sin())
        return limit

    def _band(self, j: int, axis: int) -> float:
        """b_in + b_out of plane j, in cycles a macro-pixel: half the widths of the planes next to it, as angles."""
        scales = self.bench.scales
        neighbours = [i for i in (j - 1, j + 1) if i >= 0]
        band = 0.0
        for i in neighbours:
            basis = self.planes[i][axis]
            band += basis.cells * basis.width / 2 / scales[min(i, j) % 2]
        if 2 * band > self.samples:
            warnings.warn(
                SamplingWarning(
                    f"plane {j} carries up to {band:.2f} cycles a macro-pixel, which {self.samples} samples a "
                    f"macro-pixel do not resolve: samples={math.ceil(2 * band + 1)} do"
                )
            )
        return band

    def masks(
        self, commands: Sequence[Command], state: State, moments: Tensor | None, shots: Shots | None
    ) -> list[Mask]:
        """See :class:`~simulators.cascade.Cascade`."""
        found: list[Mask] = []
        for j, command in enumerate(commands):
            shown = self.shown(j, command, state, moments, shots)
            limit = self._limits[j][0].to(shown), self._limits[j][1].to(shown)
            if j == 0:
                found.append(Written(shown, self._evaluate(self.surfaces[j], shown), limit))
            else:
                y, x = self.planes[j]
                found.append(Diagonal(along_axes(limit[0], shown, limit[1]), (y.order, x.order)))
        return found

    def means(self, commands: Sequence[Command], state: State) -> list[Tensor]:
        """What each macro-pixel of the masks shows on average, low-passed, ``[R or 1, 1, y, x]``; spherical lenses."""
        found = []
        for j, command in enumerate(commands):
            shown = self.shown(j, command, state, None, None)
            matrices = []
            for axis in (0, 1):
                plane, limit = self.planes[j][axis], self._limits[j][axis]
                amplitude = limit * math.sqrt(plane.width) if j > 0 else limit
                matrices.append((modes_of(plane, self.command_shapes[j][axis], 1).to(limit) @ amplitude).to(shown))
            found.append(along_axes(matrices[0], shown, matrices[1]))
        return found

    def _evaluate(self, surface: Surface | None, like: Tensor) -> tuple[Tensor, Tensor] | None:
        if surface is None:
            return None
        y, x = (surface.evaluate(axis, self.entrance[axis].order).to(like) for axis in (0, 1))
        return y, x

    def _modes(self, plane: int, field: Tensor) -> Tensor:
        y, x = self.planes[plane]
        shape = (*self.command_shapes, self.bench.modes)[plane]
        matrices = [
            modes_of(basis, n, self.order).to(field) if basis.is_sampled else torch.eye(basis.size).to(field)
            for basis, n in zip((y, x), shape, strict=True)
        ]
        return along_axes(matrices[0], field, matrices[1])


def low_pass(plane: Basis, surface: Basis, band: float, margin: float) -> Tensor:
    r"""From a function at the nodes of ``surface`` to band-limited samples of ``plane``, as sample amplitudes.

    A Kaiser-windowed sinc that cuts at half the sampling rate, its window as long as the margin.

    Args:
        plane: samples.
        surface: pixels, one function each; its nodes carry the function.
        band: cycles a pixel that must pass; the window is chosen so that they do.
        margin: half the window's length, in pixels.

    Returns:
        Float64 ``[samples, nodes]``.

    Source: Kaiser, IEEE ISCAS (1974), for the window's shape.
    """
    rate = 1 / plane.width
    transition = max(rate / 2 - band, 0.05 * rate)
    attenuation = 8 + 2.285 * 2 * margin * 2 * math.pi * 2 * transition
    beta = 0.1102 * (attenuation - 8.7) if attenuation > 50 else 0.5842 * max(attenuation - 21, 0.1) ** 0.4
    weights = surface.functions[0].repeat(surface.cells)
    distance = (plane.positions[:, None] - surface.positions).numpy()
    inside = np.abs(distance) < margin
    window = np.i0(beta * np.sqrt(np.clip(1 - (distance / margin) ** 2, 0, None))) / np.i0(beta)
    kernel = torch.from_numpy(rate * np.sinc(rate * distance) * window * inside)
    return kernel * weights * math.sqrt(plane.width)


def modes_of(plane: Basis, pixels: int, order: int) -> Tensor:
    """From sample amplitudes to Legendre modes of the pixels, float64 ``[pixels·order, samples]``."""
    modes = pixel_modes(pixels, order)
    rate = 1 / plane.width
    sinc = torch.sinc(rate * (modes.positions[:, None] - plane.positions)) * math.sqrt(rate)
    nodes = sinc.reshape(pixels, len(modes.nodes), -1)
    return (modes.functions @ nodes).reshape(pixels * order, -1)
