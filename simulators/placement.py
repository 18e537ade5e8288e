"""What the poses of a bench's elements make of the path between two planes.

Coordinates in every plane are those of its mask, so a mask's decentre, tilt and axial error act in the paths on either
side of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from simulators.bases import Basis, Plane, pixel_modes, shift_matrix
from simulators.bench import Bench
from simulators.devices.chain import Element
from simulators.devices.free_space import FreeSpace
from simulators.devices.lens import Lens
from simulators.fourier import Path
from simulators.random import State


class Placement:
    """Where the two planes of one path, and the device between them, stand in ``state``; lengths in metres.

    Args:
        bench: with the poses as designed.
        elements: its devices by address.
        j: number of the path, from 0.
        state: figures.
        device: of what is computed.
        drawing: see :class:`simulators.paths.Paths`.
    """

    def __init__(
        self,
        bench: Bench,
        elements: Mapping[str, Element],
        j: int,
        state: State,
        device: torch.device,
        *,
        drawing: bool,
    ):
        self._bench, self._elements, self._drawing = bench, elements, drawing
        self._j, self._state, self._device = j, state, device
        self._lens, self._source = elements[f"stage[{j // 2}].lens[{j % 2}]"], elements["source"]
        masks = (f"stage[{i // 2}].mask[{i % 2}]" for i in (j, j + 1))
        self._front, self._back = (elements.get(address, elements["detector"]) for address in masks)
        self._pitch_in, self._pitch_out = (bench.stage[2 * (i % 2)].pitch for i in (j, j + 1))

    def wavelength(self) -> Tensor:
        """λ, ``[R or 1, 1]``."""
        relative = self._figure(self._source, "wavelength_error", "wavelength")
        one = torch.ones(1, 1, dtype=torch.float64, device=self._device)
        return self._bench.source.wavelength * (one if relative is None else relative)

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
        assert isinstance(self._lens.spec, FreeSpace)
        assert path.bend_in is not None
        assert path.bend_out is not None
        reach = self._bench.source.wavelength * self._lens.spec.distance
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
        bench = self._bench
        if not self._drawing or lens_plane == "front" or bench.native_steps(self._j) == 1:
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
            written = self._axis(self._elements["input"], ("tilt", "tilt_drift"), axis)
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


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None:
        return b
    return a if b is None else a + b


def _minus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if b is None:
        return a
    return -b if a is None else a - b
