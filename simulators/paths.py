r"""The optics between the planes of a cascade: each lens or free path as an operator between the bases of its planes.

A path over two focal lengths is one matrix an axis. Where the lens's aperture clips the light or its wavefront errs,
the field is taken to the lens itself, multiplied by the pupil, and taken on: two matrices an axis. The lens's quadratic
phase and those of the two distances are joined analytically, so what is left in the pupil is sampled with ease:

.. math:: K(u, x) = e^{ik(x^2/d_1 + u^2/d_2)/2} \int P(\xi)\,
    e^{ik\xi^2(1/d_1 + 1/d_2 - 1/f)/2}\,e^{-ik\xi(x/d_1 + u/d_2)}\,d\xi

Coordinates in every plane are those of its mask, so a mask's decentre, tilt and axial error act in the paths on either
side of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from simulators import effects
from simulators.bases import Basis, Plane, samples
from simulators.bench import Bench
from simulators.devices.chain import Element, pixelwise, same
from simulators.devices.lens import FIGURE_TERMS, Lens
from simulators.fourier import Path, along_axes, path_matrix
from simulators.placement import Placement
from simulators.propagation.axis import learned
from simulators.random import State
from simulators.turning import turned
from simulators.zernike import zernike

#: By how many √(λf) the window in a lens's plane exceeds, on either side, the light that can reach the plane behind. It
#: fades out there: a hard edge would diffract. The error of the field is then 6e-6 of its power.
_FADE = 3.0
#: Samples are this much closer than needed where the aperture's edge cuts the light.
_EDGE_OVERSAMPLING = 3


@dataclass(frozen=True, eq=False)
class Crossing:
    """One path, ready to act on fields ``[R or 1, B, y, x]``.

    Attributes:
        front: (y, x) matrices to the plane behind, or to the lens where there is a pupil.
        pupil: complex transmission in the lens's plane, ``[R or 1, 1, S, S]``.
        back: (y, x) matrices from the lens on.
        turn_front: clocking between the planes' masks, angle ``[R or 1, 1]`` and the plane in front.
        turn_back: the same, applied in the plane behind.
        transmission: of power, ``[R or 1, 1]``.
    """

    front: tuple[Tensor, Tensor]
    pupil: Tensor | None = None
    back: tuple[Tensor, Tensor] | None = None
    turn_front: tuple[Tensor, Plane] | None = None
    turn_back: tuple[Tensor, Plane] | None = None
    transmission: Tensor | None = None

    def __call__(self, field: Tensor, book: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """The field behind; ``book`` is told what has just acted, and what is left of the field."""
        if book is None and self.transmission is not None:
            return self._dimmed()(field)
        if self.turn_front is not None:
            field = _booked(book, "spill", turned(field, *self.turn_front))
        field = _booked(book, "spill", along_axes(self.front[0], field, self.front[1]))
        if self.pupil is not None:
            assert self.back is not None
            field = _booked(book, "aperture", field * self.pupil)
            field = _booked(book, "spill", along_axes(self.back[0], field, self.back[1]))
        if self.turn_back is not None:
            field = _booked(book, "spill", turned(field, *self.turn_back))
        if self.transmission is not None:
            field = _booked(book, "transmission", effects.attenuate(field, pixelwise(self.transmission)))
        return field

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint (not the inverse)."""
        if self.transmission is not None:
            return self._dimmed().adjoint(field)
        if self.turn_back is not None:
            field = turned(field, *self.turn_back, adjoint=True)
        if self.pupil is not None:
            assert self.back is not None
            field = along_axes(self.back[0].mH, field, self.back[1].mH) * self.pupil.conj()
        field = along_axes(self.front[0].mH, field, self.front[1].mH)
        if self.turn_front is not None:
            field = turned(field, *self.turn_front, adjoint=True)
        return field

    def _dimmed(self) -> Crossing:
        """The same path with its loss in a matrix, which is smaller than the fields."""
        assert self.transmission is not None
        dimmed = effects.attenuate(self.front[0], pixelwise(self.transmission))
        return replace(self, front=(dimmed, self.front[1]), transmission=None)


class Paths:
    """All paths of a cascade of ``stages`` on ``bench`` between ``planes``.

    Args:
        bench: with the devices between the planes.
        stages: K.
        planes: 2K + 1 bases (y, x), the last one the detector's.
        drawing: the curvatures that masks draw against those of free space are part of the paths; else of the masks,
            and the paths have none but by errors.
    """

    def __init__(self, bench: Bench, stages: int, planes: Sequence[Plane], *, drawing: bool = True):
        self.bench, self.stages, self.planes, self.drawing = bench, stages, tuple(planes), drawing
        self._elements = {element.address: element for element in bench.elements(stages)}
        self._pitches = [bench.stage[2 * (j % 2)].pitch for j in range(2 * stages)] + [bench.stage[0].pitch]
        self._kept: dict[tuple, tuple[list[Tensor | None], Tensor]] = {}

    def __call__(self, state: State, dtype: torch.dtype, device: torch.device) -> list[Crossing]:
        """The crossings for ``state``, in the order of the light; matrices are kept while their figures stay."""
        return [self._crossing(j, state, dtype, device) for j in range(2 * self.stages)]

    def path(self, j: int, axis: int, state: State, device: torch.device) -> Path:
        """The figures of path ``j`` (of 2K) along ``axis`` (0: y, 1: x), over its whole distance."""
        return self._placement(j, state, device).path(axis)

    def _placement(self, j: int, state: State, device: torch.device) -> Placement:
        return Placement(self.bench, self._elements, j, state, device, drawing=self.drawing)

    def _crossing(self, j: int, state: State, dtype: torch.dtype, device: torch.device) -> Crossing:
        lens = self._elements[f"stage[{j // 2}].lens[{j % 2}]"]
        front, back = self.planes[j], self.planes[j + 1]
        place = self._placement(j, state, device)
        turn = place.turn()
        smaller = front[0].cells * front[1].cells <= back[0].cells * back[1].cells
        parts: dict = {
            "turn_front": (turn, front) if turn is not None and smaller else None,
            "turn_back": (turn, back) if turn is not None and not smaller else None,
            "transmission": lens.read(state, "loss", "transmission") if lens.has("loss") else None,
        }
        window = self._window(j)
        if window is None:
            y, x = self._matrices((j,), front, back, (place.path(0), place.path(1)), dtype)
            if isinstance(lens.spec, Lens) and lens.spec.axes == "x":
                y = place.image(front[0], back[0]).to(dtype)
            return Crossing((y, x), **parts)
        (to_y, on_y), (to_x, on_x) = (place.halves(axis, window.width) for axis in (0, 1))
        middle = (window.basis, window.basis)
        to = self._matrices((j, "to"), front, middle, (to_y, to_x), dtype)
        on = self._matrices((j, "on"), middle, back, (on_y, on_x), dtype)
        pupil = window.pupil(lens, state, place.wavelength(), device).to(dtype)
        return Crossing(to, pupil, on, **parts)

    def _matrices(
        self, key: tuple, front: Plane, back: Plane, paths: tuple[Path, Path], dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Along y and along x: one matrix where the axes are alike."""
        y = self._matrix((*key, 0), front[0], back[0], paths[0], dtype)
        figures = [_figures(path) for path in paths]
        square = front[0] is front[1] and back[0] is back[1]
        if square and not learned(*figures[0], *figures[1]) and all(map(_alike, *figures)):
            return y, y
        return y, self._matrix((*key, 1), front[1], back[1], paths[1], dtype)

    def _matrix(self, key: tuple, front: Basis, back: Basis, path: Path, dtype: torch.dtype) -> Tensor:
        figures = _figures(path)
        if torch.is_grad_enabled() and learned(*figures):
            return path_matrix(front, back, path).to(dtype)
        kept = self._kept.get((*key, dtype))
        if kept is not None and all(_alike(a, b) for a, b in zip(figures, kept[0], strict=True)):
            return kept[1]
        with torch.inference_mode(False), torch.no_grad():  # a kept matrix must be fit for training later
            matrix = path_matrix(front, back, path).to(dtype)
            self._kept[(*key, dtype)] = ([None if figure is None else figure.clone() for figure in figures], matrix)
        return matrix

    def _window(self, j: int) -> _Window | None:
        """The plane of lens j where the field must be taken there; None where one matrix an axis will do."""
        element = self._elements[f"stage[{j // 2}].lens[{j % 2}]"]
        lens = element.spec
        if not isinstance(lens, Lens) or lens.axes == "x":
            return None
        widths = [max(basis.cells * basis.width for basis in self.planes[i]) * self._pitches[i] for i in (j, j + 1)]
        light = sum(widths)
        reach = self.bench.source.wavelength * lens.focal_length
        wide = light + 2 * _FADE * math.sqrt(reach)
        clipped = lens.diameter < wide * math.sqrt(2)  # the corners of the light must pass, too
        if not (clipped or element.has("aberration") or element.has("figure_error")):
            return None
        wide = min(wide, lens.diameter * 1.05) if clipped else wide
        finest = reach / (wide + max(widths))
        width = finest / (_EDGE_OVERSAMPLING if clipped else 1)
        return _Window(samples(math.ceil(wide / width), 1), width, light, lens)


@dataclass(frozen=True, eq=False)
class _Window:
    """Samples in the plane of a lens."""

    basis: Basis
    width: float  #: m, of a sample
    light: float  #: m, of the region from which light can reach the plane behind
    lens: Lens

    def pupil(self, element: Element, state: State, wavelength: Tensor, device: torch.device) -> Tensor:
        """Aperture and wavefront error, complex ``[R or 1, 1, S, S]``."""
        x = self.basis.positions.to(device) * self.width
        radius = torch.sqrt(x[:, None] ** 2 + x**2)
        # A sample at the edge passes the share of it that lies inside.
        clear = ((self.lens.diameter / 2 - radius) / self.width + 0.5).clamp(0, 1)
        fade = self._fade(x)
        clear = clear * fade[:, None] * fade
        wave = torch.zeros(1, 1, 1, 1, dtype=torch.float64, device=device)
        unit = x / (self.lens.diameter / 2)
        for link, terms in (("aberration", self.lens.terms), ("figure_error", FIGURE_TERMS)):
            if element.has(link):
                shapes = torch.stack([zernike(noll, unit[:, None], unit[None, :]) for noll in terms])
                wave = wave + torch.einsum("...t,tyx->...yx", element.read(state, link).to(shapes), shapes)
        phase = 2 * math.pi * wave / pixelwise(wavelength)
        return torch.complex(phase.cos(), phase.sin()) * clear

    def _fade(self, x: Tensor) -> Tensor:
        """1 where the light passes, then smoothly to 0 at the window's edge: a hard edge would diffract."""
        edge = self.basis.cells * self.width / 2
        start = min(self.light / 2, edge)
        if edge - start < 2 * self.width:  # the real aperture ends it
            return torch.ones_like(x)
        t = ((x.abs() - start) / (edge - start)).clamp(0, 1)
        return 0.5 + 0.5 * torch.cos(math.pi * t)


def _booked(book: Callable[[str, Tensor], None] | None, cause: str, field: Tensor) -> Tensor:
    if book is not None:
        book(cause, field)
    return field


def _figures(path: Path) -> list[Tensor | None]:
    return [value for field in fields(path) if not isinstance(value := getattr(path, field.name), tuple)]


def _alike(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else same(a, b)
