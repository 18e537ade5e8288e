"""The inside of a mask's pixels: nodes at which fringing and gaps are resolved, for either simulator."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from simulators import effects
from simulators.bases import Basis, legendre
from simulators.devices.chain import Element, same
from simulators.devices.modulator import PhaseModulator
from simulators.devices.pieces import Fringe, native_pieces, pieces
from simulators.effects.crosstalk import Kernel
from simulators.random import State


class Surface:
    """Quadrature nodes in every macro-pixel of a panel, closer where its phase or its aperture changes.

    Args:
        shape: (y, x) macro-pixels.
        native: native pixels a macro-pixel and axis.
        pitch: of the macro-pixel, m.
        fringe: fringing kernel and its nominal width, in native pixels if ``chequered``, else in macro-pixels; None:
            phases change at once.
        fill: linear share of a native pixel that is open, where gaps are resolved; None: they are not.
        steps: what is shown changes from native pixel to native pixel.
        chequered: what is shown is given a native pixel, not a macro-pixel.
        nodes: in each smooth piece of a pixel; one more than modes a pixel, from 3 on, integrate the field to 1e-6 of
            its power, with fringing of nominal width (``"super_gaussian"``: 3e-5).
    """

    def __init__(
        self,
        shape: tuple[int, int],
        native: int,
        pitch: float,
        *,
        fringe: Fringe | None = None,
        fill: float | None = None,
        steps: bool = False,
        chequered: bool = False,
        nodes: int = 3,
    ):
        self.shape, self.native, self.pitch, self.fill, self.chequered = shape, native, pitch, fill, chequered
        edges = native_pieces(native, fringe, fill, nodes) if chequered else pieces(native, fringe, fill, steps, nodes)
        points, weights = np.polynomial.legendre.leggauss(nodes)
        low, high = np.array(edges[:-1])[:, None], np.array(edges[1:])[:, None]
        self.nodes = torch.from_numpy(((high + low) / 2 + (high - low) / 2 * points).reshape(-1))
        self.weights = torch.from_numpy(((high - low) / 2 * weights).reshape(-1))
        self._kept: tuple[Tensor, tuple[Tensor, Tensor]] | None = None  # of one panel, whose kernel does not change

    @functools.cached_property
    def _bases(self) -> dict[tuple[int, int], Basis]:
        return {}

    def basis(self, order: int, axis: int = 0) -> Basis:
        """Legendre modes of the panel's pixels, known at these nodes."""
        key = (order, self.shape[axis])
        if key not in self._bases:
            values = torch.from_numpy(legendre(order, self.nodes.numpy()))
            self._bases[key] = Basis(self.shape[axis], 1.0, self.nodes, values * self.weights, values)
        return self._bases[key]

    def evaluate(self, axis: int, order: int) -> Tensor:
        """From ``order`` modes a pixel to the nodes, ``[pixels·nodes, pixels·order]``."""
        return self.basis(order, axis).evaluate()

    def spread(self, values: Tensor) -> Tensor:
        """One value a pixel ``[..., y, x]`` at every node, ``[..., y·nodes, x·nodes]``."""
        count = len(self.nodes)
        return values.repeat_interleave(count, -2).repeat_interleave(count, -1)

    def mean(self, values: Tensor) -> Tensor:
        """Pixel means of values at the nodes."""
        count, weights = len(self.nodes), self.weights.to(values)
        nodes = values.unflatten(-1, (-1, count)).unflatten(-3, (-1, count))
        return torch.einsum("...ynxm,n,m->...yx", nodes, weights, weights)

    def smoothed(self, phase: Tensor, element: Element, state: State) -> Tensor:
        """The phase at the nodes, blurred by the fringing field where it is on."""
        if not element.has("crosstalk"):
            count = len(self.nodes) // (self.native if self.chequered else 1)
            return phase.repeat_interleave(count, -2).repeat_interleave(count, -1)
        spec = element.spec
        assert isinstance(spec, PhaseModulator)
        width = element.read(state, "crosstalk")
        y, x = self._blurs(width, spec.crosstalk_kernel)
        return y.to(phase) @ phase @ x.to(phase).mT

    def _blurs(self, width: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled() and width.requires_grad:
            return self._blur(width, kernel)
        if self._kept is None or not same(self._kept[0], width):
            with torch.inference_mode(False), torch.no_grad():  # what is kept must be fit for training later
                self._kept = (width.clone(), self._blur(width, kernel))
        return self._kept[1]

    def _blur(self, width: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
        finer = self.native if self.chequered else 1
        places = (self.basis(1, axis).positions.to(width.device) for axis in (0, 1))
        y, x = (
            effects.smoothed_boxes(place * finer, pixels * finer, kernel, width / self.pitch * finer)
            for place, pixels in zip(places, self.shape, strict=True)
        )
        return y, x

    @property
    def board(self) -> Tensor:
        """+1 and -1 on the native pixels of a chequerboard, ``[y·native, x·native]``."""
        y, x = (torch.arange(n * self.native) for n in self.shape)
        return 1.0 - 2.0 * ((y[:, None] + x) % 2)

    def apertures(self) -> Tensor:
        """1 in the open part of the native pixels, 0 in the gaps, at the nodes ``[y·nodes, x·nodes]``."""
        assert self.fill is not None
        open_ = effects.pixel_aperture((self.nodes + 0.5) * self.native, self.fill)
        y, x = open_.repeat(self.shape[0]), open_.repeat(self.shape[1])
        return y[:, None] * x


def surface_of(
    element: Element, native: int, *, steps: bool = False, chequered: bool = False, nodes: int = 3
) -> Surface | None:
    """The surface a phase panel needs, None where each of its macro-pixels is uniform.

    Args:
        element: the panel at its place.
        native: native pixels a macro-pixel and axis.
        steps: see :class:`Surface`.
        chequered: see :class:`Surface`.
        nodes: see :class:`Surface`.
    """
    spec, pitch = element.spec, element.pitch
    assert isinstance(spec, PhaseModulator)
    assert pitch is not None
    resolved = element.has("fill") and spec.fill_model != "throughput"
    if not (element.has("crosstalk") or resolved or steps or chequered):
        return None
    fringe = _fringe(spec, pitch / native if chequered else pitch) if element.has("crosstalk") else None
    fill = spec.fill_factor**0.5 if resolved and spec.fill_factor else None
    return Surface(
        element.pixels, native, pitch, fringe=fringe, fill=fill, steps=steps, chequered=chequered, nodes=nodes
    )


def _fringe(spec: PhaseModulator, pitch: float) -> Fringe | None:
    """The nominal fringing kernel of pixels ``pitch`` wide."""
    return None if spec.crosstalk_fwhm is None else (spec.crosstalk_kernel, spec.crosstalk_fwhm / pitch)


def plain_surface(shape: tuple[int, int]) -> Surface:
    """Uniform macro-pixels, on nodes all the same, for light that is not uniform over them."""
    return Surface(shape, 1, 1.0, nodes=16)
