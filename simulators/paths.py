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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from simulators import effects
from simulators.bases import Basis, pixel_modes, samples, shift_matrix
from simulators.bench import Bench
from simulators.devices.chain import Element, pixelwise, same
from simulators.devices.free_space import FreeSpace
from simulators.devices.lens import FIGURE_TERMS, Lens
from simulators.fourier import Path, along_axes, path_matrix
from simulators.random import State
from simulators.zernike import zernike

Plane = tuple[Basis, Basis]  #: (y, x)

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
        if self.turn_front is not None:
            field = _booked(book, "spill", turned(field, *self.turn_front))
        field = _booked(book, "spill", along_axes(self.front[0], field, self.front[1]))
        if self.pupil is not None:
            assert self.back is not None
            field = _booked(book, "aperture", field * self.pupil)
            field = _booked(book, "spill", along_axes(self.back[0], field, self.back[1]))
        if self.turn_back is not None:
            field = _booked(book, "spill", turned(field, *self.turn_back))
        return _booked(book, "transmission", self._lossy(field))

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint (not the inverse)."""
        field = self._lossy(field)
        if self.turn_back is not None:
            field = turned(field, *self.turn_back, adjoint=True)
        if self.pupil is not None:
            assert self.back is not None
            field = along_axes(self.back[0].mH, field, self.back[1].mH) * self.pupil.conj()
        field = along_axes(self.front[0].mH, field, self.front[1].mH)
        if self.turn_front is not None:
            field = turned(field, *self.turn_front, adjoint=True)
        return field

    def _lossy(self, field: Tensor) -> Tensor:
        return field if self.transmission is None else effects.attenuate(field, pixelwise(self.transmission))


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
        self._names = [f"stage[{j // 2}].mask[{j % 2}]" for j in range(2 * stages)] + ["detector"]
        self._pitches = [bench.stage[2 * (j % 2)].pitch for j in range(2 * stages)] + [bench.stage[0].pitch]
        self._kept: dict[tuple, tuple[list[Tensor | None], Tensor]] = {}

    def __call__(self, state: State, dtype: torch.dtype, device: torch.device) -> list[Crossing]:
        """The crossings for ``state``, in the order of the light; matrices are kept while their figures stay."""
        return [self._crossing(j, state, dtype, device) for j in range(2 * self.stages)]

    def path(self, j: int, axis: int, state: State, device: torch.device) -> Path:
        """The figures of path ``j`` (of 2K) along ``axis`` (0: y, 1: x), over its whole distance."""
        return _Place(self, j, state, device).path(axis)

    def _crossing(self, j: int, state: State, dtype: torch.dtype, device: torch.device) -> Crossing:
        lens = self._elements[f"stage[{j // 2}].lens[{j % 2}]"]
        front, back = self.planes[j], self.planes[j + 1]
        place = _Place(self, j, state, device)
        turn = place.turn()
        smaller = front[0].cells * front[1].cells <= back[0].cells * back[1].cells
        parts: dict = {
            "turn_front": (turn, front) if turn is not None and smaller else None,
            "turn_back": (turn, back) if turn is not None and not smaller else None,
            "transmission": lens.read(state, "loss", "transmission") if lens.has("loss") else None,
        }
        window = self._window(j)
        if window is None:
            matrices = [self._matrix((j, axis), front[axis], back[axis], place.path(axis), dtype) for axis in (0, 1)]
            if isinstance(lens.spec, Lens) and lens.spec.axes == "x":
                matrices[0] = place.image(front[0], back[0]).to(dtype)
            return Crossing((matrices[0], matrices[1]), **parts)
        halves = [place.halves(axis, window.width) for axis in (0, 1)]
        to = [self._matrix((j, axis, 0), front[axis], window.basis, halves[axis][0], dtype) for axis in (0, 1)]
        on = [self._matrix((j, axis, 1), window.basis, back[axis], halves[axis][1], dtype) for axis in (0, 1)]
        pupil = window.pupil(lens, state, place.wavelength(), device).to(dtype)
        return Crossing((to[0], to[1]), pupil, (on[0], on[1]), **parts)

    def _matrix(self, key: tuple, front: Basis, back: Basis, path: Path, dtype: torch.dtype) -> Tensor:
        figures = [value for field in fields(path) if not isinstance(value := getattr(path, field.name), tuple)]
        if learned(*figures):
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


class _Place:
    """Where the two planes of one path, and the device between them, stand in ``state``; lengths in metres."""

    def __init__(self, paths: Paths, j: int, state: State, device: torch.device):
        self._paths, self._j, self._state, self._device = paths, j, state, device
        self._lens = paths._elements[f"stage[{j // 2}].lens[{j % 2}]"]
        self._source = paths._elements["source"]
        self._front, self._back = (paths._elements[paths._names[i]] for i in (j, j + 1))
        self._pitch_in, self._pitch_out = paths._pitches[j], paths._pitches[j + 1]

    def wavelength(self) -> Tensor:
        """λ, ``[R or 1, 1]``."""
        relative = self._figure(self._source, "wavelength_error", "wavelength")
        one = torch.ones(1, 1, dtype=torch.float64, device=self._device)
        return self._paths.bench.source.wavelength * (one if relative is None else relative)

    def path(self, axis: int) -> Path:
        """Over the whole distance."""
        wavelength = self.wavelength()
        distance = self._reach()
        axial_in, axial_out = self._axial()
        bend_in = bend_out = None
        if isinstance(self._lens.spec, Lens):
            if axial_in is not None:
                assert axial_out is not None
                a, d = -axial_out / distance, -axial_in / distance
                distance = distance - axial_in * axial_out / distance
                bend_in, bend_out = a / (wavelength * distance), d / (wavelength * distance)
        else:
            if axial_in is not None:
                assert axial_out is not None
                distance = distance + axial_in + axial_out
            bend_in = bend_out = 1 / (wavelength * distance)
            return self._free(self._compose(axis, wavelength, distance, bend_in, bend_out, lens_plane=None))
        return self._compose(axis, wavelength, distance, bend_in, bend_out, lens_plane=None)

    def _free(self, path: Path) -> Path:
        """Of its curvatures what is not as designed: the masks draw against the rest.

        Behind the last path the reference wave has the curvature.
        """
        paths = self._paths
        assert isinstance(self._lens.spec, FreeSpace)
        assert path.bend_in is not None
        assert path.bend_out is not None
        reach = paths.bench.source.wavelength * self._lens.spec.distance
        return replace(
            path,
            bend_in=path.bend_in - self._pitch_in**2 / reach,
            bend_out=path.bend_out - self._pitch_out**2 / reach,
        )

    def halves(self, axis: int, width: float) -> tuple[Path, Path]:
        """To the lens, sampled every ``width``, and from it."""
        wavelength, focal_length = self.wavelength(), self._reach()
        axial_in, axial_out = self._axial()
        before = focal_length if axial_in is None else focal_length + axial_in
        after = focal_length if axial_out is None else focal_length + axial_out
        spread, gather = 1 / (wavelength * before), 1 / (wavelength * after)
        to = self._compose(axis, wavelength, before, spread, spread, lens_plane="back", width=width)
        # The lens's own curvature and that of the distance behind it, joined.
        left = gather - 1 / (wavelength * focal_length)
        on = self._compose(axis, wavelength, after, left, gather, lens_plane="front", width=width)
        return to, on

    def image(self, front: Basis, back: Basis) -> Tensor:
        """The imaged axis of a cylindrical lens: upside down, 1:1."""
        offsets = [o for o in (self._lateral(self._front, 0), self._lateral(self._back, 0)) if o is not None]
        lens = self._lateral(self._lens, 0)
        shift = torch.zeros(1, 1, dtype=torch.float64, device=self._device)
        for offset in offsets:
            shift = shift - offset / self._pitch_in
        if lens is not None:
            shift = shift + 2 * lens / self._pitch_in
        moved = shift_matrix(front, back, shift)
        # Seen from behind pixel n is pixel N-1-n, and odd functions change their sign.
        sign = torch.tensor([(-1.0) ** a for a in range(back.order)], dtype=torch.float64).repeat(back.cells)
        order = torch.arange(back.size).reshape(back.cells, back.order).flip(0).reshape(-1)
        return moved[..., order, :] * sign.to(moved)[:, None]

    def turn(self) -> Tensor | None:
        """Clocking of the mask in front against the one behind, rad."""
        front, back = self._figure(self._front, "clocking"), self._figure(self._back, "clocking")
        if front is None and back is None:
            return None
        return (0 if front is None else front) - (0 if back is None else back)  # pyright: ignore[reportReturnType]

    # --- figures out of the state -------------------------------------------------------------------------------------

    def _compose(
        self,
        axis: int,
        wavelength: Tensor,
        distance: Tensor,
        bend_in: Tensor | None,
        bend_out: Tensor | None,
        *,
        lens_plane: str | None,
        width: float = 1.0,
    ) -> Path:
        pitch_in = width if lens_plane == "front" else self._pitch_in
        pitch_out = width if lens_plane == "back" else self._pitch_out
        front, back = self._lateral(self._front, axis), self._lateral(self._back, axis)
        if isinstance(self._lens.spec, Lens):
            lens = self._lateral(self._lens, axis)
            offset_in = None if lens_plane == "front" else _minus(front, lens)
            offset_out = None if lens_plane == "back" else _minus(back, lens)
        else:
            # Free space has no axis of its own: each mask's drawn curvature moves with it, so the difference counts.
            offset_in, offset_out = _minus(front, back), _minus(back, front)
        tilt = None if lens_plane == "front" else self._beam_tilt(axis)
        squeeze = None
        if self._lens.has("distortion") and lens_plane != "back":
            squeeze = (pitch_out / distance) ** 2
        figures = (
            wavelength * distance / (pitch_in * pitch_out),
            None if bend_in is None else bend_in * pitch_in**2,
            None if bend_out is None else bend_out * pitch_out**2,
            None if offset_in is None else offset_in / pitch_in,
            None if offset_out is None else offset_out / pitch_out,
            None if tilt is None else tilt * distance / pitch_out,
            squeeze,
        )
        given = torch.broadcast_tensors(*(figure for figure in figures if figure is not None))
        values = iter(given)
        path = Path(*(None if figure is None else next(values) for figure in figures))  # pyright: ignore
        bench = self._paths.bench
        if not self._paths.drawing or lens_plane == "front" or bench.native_steps(self._j) == 1:
            return path
        return replace(path, drawn=(bench.curvature(self._j), bench.native_steps(self._j)))

    def _reach(self) -> Tensor:
        """Focal length, or the free distance, as built."""
        spec = self._lens.spec
        one = torch.ones(1, 1, dtype=torch.float64, device=self._device)
        if not isinstance(spec, Lens):
            assert isinstance(spec, FreeSpace)
            return spec.distance * one
        focal_length = spec.focal_length * self._lens.read_base(self._state, "scale").to(one)
        shift = self._figure(self._lens, "chromatic_shift")
        relative = self._figure(self._source, "wavelength_error", "wavelength")
        if shift is not None and relative is not None:
            focal_length = focal_length * (1 + shift * (relative - 1))
        return focal_length

    def _axial(self) -> tuple[Tensor | None, Tensor | None]:
        """By how much the distances in front of and behind the lens are too long."""
        front, lens, back = (self._figure(e, "axial") for e in (self._front, self._lens, self._back))
        if front is None and lens is None and back is None:
            return None, None
        zero = torch.zeros(1, 1, dtype=torch.float64, device=self._device)
        front, lens, back = (zero if value is None else value for value in (front, lens, back))
        return lens - front, back - lens

    def _lateral(self, element: Element, axis: int) -> Tensor | None:
        return self._axis(element, ("lateral", "lateral_drift"), axis)

    def _beam_tilt(self, axis: int) -> Tensor | None:
        """Direction of the beam behind the mask in front."""
        mirror = self._axis(self._front, ("tilt", "tilt_drift"), axis)
        tilt = None if mirror is None else 2 * mirror
        if self._j == 0:
            written = self._axis(self._paths._elements["input"], ("tilt", "tilt_drift"), axis)
            pointing = self._axis(self._source, ("pointing",), axis)
            tilt = _plus(_plus(tilt, None if written is None else 2 * written), pointing)
        return tilt

    def _axis(self, element: Element, links: tuple[str, ...], axis: int) -> Tensor | None:
        total = None
        for link in links:
            value = self._figure(element, link)
            total = _plus(total, None if value is None else value[..., axis])
        return total

    def _figure(self, element: Element, link: str, parameter: str | None = None) -> Tensor | None:
        if not element.has(link):
            return None
        return element.read(self._state, link, parameter).to(self._device).double()


def registration(
    bench: Bench, elements: Mapping[str, Element], state: State, device: torch.device, plane: Plane
) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
    """How the input lies on the first mask: (y, x) matrices that shift it there, and the angle by which it is turned.

    Args:
        bench: with the poses.
        elements: its devices by address.
        state: figures.
        device: of the result.
        plane: basis of the first mask's plane, of the input's pixels.
    """
    ends = ((elements["input"], 1), (elements["stage[0].mask[0]"], -1))

    def total(link: str, *index: int) -> Tensor:
        parts = [sign * element.read(state, link)[(..., *index)] for element, sign in ends if element.has(link)]
        zero = torch.zeros(1, 1, dtype=torch.float64, device=device)
        return sum((part.to(zero) for part in parts), zero)

    matrices = []
    for axis in (0, 1):
        shift = (total("lateral", axis) + total("lateral_drift", axis)) / bench.stage[0].pitch
        matrices.append(shift_matrix(pixel_modes(plane[axis].cells, 1), plane[axis], shift))
    angle = total("clocking") if any(element.has("clocking") for element, _ in ends) else None
    return (matrices[0], matrices[1]), angle


def turned(field: Tensor, angle: Tensor, plane: Plane, *, adjoint: bool = False) -> Tensor:
    """``field`` turned by ``angle`` (rad, ``[R or 1, 1]``) in its plane: three shears (Paeth, Graphics Interface 1986).

    Rows shift as a whole by what their centre does; within a pixel the difference is ``angle``/2 of a pixel.
    """
    half, whole = torch.tan(angle / 2), torch.sin(angle)
    # x' = x - y sin, to the first order: y is the axis from which x is shifted.
    steps = [(1, -half), (0, whole), (1, -half)]
    for axis, slope in steps:  # the same forth and back: the order is symmetric, each shear is undone by its adjoint
        field = _sheared(field, plane, axis, slope, adjoint)
    return field


def _sheared(field: Tensor, plane: Plane, axis: int, slope: Tensor, adjoint: bool) -> Tensor:
    along, across = plane[axis], plane[1 - axis]
    if axis == 0:
        field = field.mT
    shift = slope[..., None] * across.centres.to(slope)  # [R or 1, 1, cells across], in pixels
    if along.is_sampled:
        frequency = torch.fft.fftfreq(along.cells, d=along.width, dtype=torch.float64, device=field.device)
        phase = (2 * math.pi if adjoint else -2 * math.pi) * shift[..., None] * frequency
        field = torch.fft.ifft(torch.fft.fft(field) * torch.complex(phase.cos(), phase.sin()).to(field.dtype))
    else:
        matrix = shift_matrix(along, along, shift).to(field.dtype)  # [R or 1, 1, cells, size, size]
        matrix = matrix.mH if adjoint else matrix
        rows = field.unflatten(-2, (across.cells, across.order))
        field = (rows @ matrix.mT).flatten(-3, -2)
    return field.mT if axis == 0 else field


def _booked(book: Callable[[str, Tensor], None] | None, cause: str, field: Tensor) -> Tensor:
    if book is not None:
        book(cause, field)
    return field


def learned(*figures: Tensor | None) -> bool:
    """Whether a gradient is asked of any of them: then what was kept is of no use."""
    return torch.is_grad_enabled() and any(figure is not None and figure.requires_grad for figure in figures)


def _alike(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else same(a, b)


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None:
        return b
    return a if b is None else a + b


def _minus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if b is None:
        return a
    return -b if a is None else a - b
