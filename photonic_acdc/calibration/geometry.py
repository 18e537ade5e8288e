r"""What misalignment asks of the masks: the linear and quadratic phases it puts on every plane, and whole-pixel moves.

Along one axis, in macro-pixels of its two planes, the path behind plane j is (:class:`simulators.fourier.Path`)

.. math:: K_j(u, x) \propto e^{i\pi[\alpha X^2 - 2X(U - t)/M + \beta U^2]}, \quad X = x + c_{in},\; U = u + c_{out}

so what differs from the plain transform is a linear and a quadratic phase on either plane. Those of the path in front
and of the path behind add up on a mask, which can show their opposite, and on the detector, where only an
interferometric readout sees them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.bases import pixel_modes
from simulators.bench import Bench
from simulators.devices.camera import Camera
from simulators.devices.chain import Element
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.errors import InputError
from simulators.fourier import Path, centres
from simulators.paths import Paths
from simulators.random import State

#: Links of poses and of the beam whose phases the neighbouring masks can show.
ABSORBABLE = ("lateral", "axial", "tilt", "pointing")


@dataclass(frozen=True, eq=False)
class PlanePhases:
    """Linear and quadratic phases on the 2K masks and the detector, along y and x; float64.

    Attributes:
        ramp: rad a macro-pixel, ``[2K + 1, 2]``.
        curvature: rad a macro-pixel², ``[2K + 1, 2]``: the phase is ``ramp · n + curvature · n²``.
        scale: M of the paths as built, ``[2K, 2]``.
        slip: by how much the input lies beside the first mask's macro-pixels, in these, ``[2]``.
    """

    ramp: Tensor
    curvature: Tensor
    scale: Tensor
    slip: Tensor

    def phase(self, plane: int, pixels: tuple[int, int]) -> Tensor:
        """The phase at the centres of the macro-pixels of one plane, rad, ``[y, x]``."""
        y, x = (
            self.ramp[plane, axis] * n + self.curvature[plane, axis] * n**2
            for axis, n in enumerate(centres(count, device=self.ramp.device) for count in pixels)
        )
        return y[:, None] + x

    def residual(self, plane: int, pixels: tuple[int, int]) -> Tensor:
        r"""Share of the light that stepping these phases by macro-pixels leaves un-absorbed, scalar.

        .. math:: \frac{\langle g_y^2 + g_x^2\rangle}{12}

        the variance, over a macro-pixel, of a phase of slope g = ramp + 2 · curvature · n, mean over all of them.
        """
        slopes = [
            self.ramp[plane, axis] + 2 * self.curvature[plane, axis] * centres(count, device=self.ramp.device)
            for axis, count in enumerate(pixels)
        ]
        return sum(((slope**2).mean() / 12 for slope in slopes), torch.zeros_like(self.ramp[0, 0]))


class Geometry:
    """Where the planes of a cascade stand in one state.

    Args:
        bench: the template.
        stages: K.
        state: figures of one bench.

    Raises:
        InputError: figures of several realisations.
    """

    def __init__(self, bench: Bench, stages: int, state: State):
        self.bench, self.stages, self.state = bench, stages, state
        several = max(value.shape[0] for value in state.values())
        if several != 1:
            raise InputError("calibration: realisations in the state", value=several, allowed="one bench at a time")
        self.elements = {element.address: element for element in bench.elements(stages)}
        self.addresses = plane_addresses(stages)
        ends = [(pixel_modes(y, 1), pixel_modes(x, 1)) for y, x in plane_pixels(bench, stages)]
        self._paths = Paths(bench, stages, ends)

    def path(self, j: int, axis: int) -> Path:
        """The path behind plane j along one axis; figures ``[1, 1]``."""
        # The simulators' own reading of the state, so that both mean the same place.
        return self._paths.path(j, axis, self.state, self.device)

    @property
    def device(self) -> torch.device:
        """Of the figures."""
        return next(iter(self.state.values())).device

    def pitch(self, plane: int) -> float:
        """Of the macro-pixels of a plane, m."""
        return self.bench.stage[2 * (plane % 2)].pitch

    def step(self, plane: int) -> float | None:
        """Native pixel of the device in a plane, m: the finest move of what it shows or reads; None: it has none."""
        spec = self.elements[self.addresses[plane]].spec
        return spec.pixel_pitch if isinstance(spec, Camera | PhaseModulator | AmplitudeModulator) else None

    def figure(self, element: Element, links: tuple[str, ...], axis: int) -> Tensor:
        """Sum of figures of an element along one axis, scalar float64; 0 where none is on."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for link in links:
            if element.has(link):
                total = total + element.read(self.state, link).double()[..., axis].reshape(())
        return total

    def lateral(self, address: str, axis: int) -> Tensor:
        """Decentre of an element, m, scalar."""
        return self.figure(self.elements[address], ("lateral", "lateral_drift"), axis)

    def slip(self, axis: int) -> Tensor:
        """Of the input against the first mask, in macro-pixels, scalar."""
        return (self.lateral("input", axis) - self.lateral(self.addresses[0], axis)) / self.pitch(0)

    def half(self, j: int, axis: int, *, behind: bool) -> tuple[Tensor, Tensor]:
        """(ramp, curvature) that path j puts on the plane behind it, or in front of it; scalars.

        An axis that cylindrical lenses image has none: rows stay rows.
        """
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        if axis not in self.bench.transformed_axes:
            return zero, zero
        path = self.path(j, axis)
        alpha, beta, before, after, tilt = (
            zero if value is None else value.double().reshape(())
            for value in (path.bend_in, path.bend_out, path.offset_in, path.offset_out, path.tilt)
        )
        wave = 2 * math.pi / path.scale.double().reshape(())
        if behind:
            if j == 0:
                # What is left of the input on its own macro-pixels is centred half the slip beside them.
                before = before + self.slip(axis) / 2
            return 2 * math.pi * beta * after - wave * before, math.pi * beta
        return 2 * math.pi * alpha * before - wave * (after - tilt), math.pi * alpha

    def phases(self) -> PlanePhases:
        """Of all planes."""
        planes = 2 * self.stages + 1
        rows: list[list[tuple[Tensor, Tensor]]] = []
        for plane in range(planes):
            row = []
            for axis in (0, 1):
                parts = [self.half(plane, axis, behind=False)] if plane < planes - 1 else []
                parts += [self.half(plane - 1, axis, behind=True)] if plane else []
                ramps, curvatures = zip(*parts, strict=True)
                row.append((torch.stack(ramps).sum(), torch.stack(curvatures).sum()))
            rows.append(row)
        ramp, curvature = (torch.stack([torch.stack([cell[i] for cell in row]) for row in rows]) for i in (0, 1))
        scale = [[self.path(j, axis).scale.double().reshape(()) for axis in (0, 1)] for j in range(planes - 1)]
        slip = torch.stack([self.slip(axis) for axis in (0, 1)])
        return PlanePhases(ramp, curvature, torch.stack([torch.stack(row) for row in scale]), slip)

    def wanted_move(self, plane: int, axis: int) -> Tensor:
        """By how much a plane's pattern should move to meet the light, m, scalar: then no ramp is left in front of it.

        The first mask follows the input. A plane further on lies where the light of the one before goes: the ramp
        which its decentre puts on that mask vanishes.
        """
        if plane == 0:
            return self.slip(axis) * self.pitch(0)
        j = plane - 1
        if axis not in self.bench.transformed_axes:
            lens = self.lateral(f"stage[{j // 2}].lens[{j % 2}]", axis)
            return 2 * lens - self.lateral(self.addresses[j], axis) - self.lateral(self.addresses[plane], axis)
        ramp = self.half(j, axis, behind=False)[0]
        if j > 0:
            ramp = ramp + self.half(j - 1, axis, behind=True)[0]
        return ramp * self.path(j, axis).scale.double().reshape(()) / (2 * math.pi) * self.pitch(plane)


def plane_addresses(stages: int) -> list[str]:
    """Of the 2K masks and the detector."""
    return [f"stage[{j // 2}].mask[{j % 2}]" for j in range(2 * stages)] + ["detector"]


def plane_pixels(bench: Bench, stages: int) -> list[tuple[int, int]]:
    """Macro-pixels (y, x) of the 2K masks and the detector."""
    return [*bench.command_shapes * stages, bench.modes]


def plane_phases(bench: Bench, stages: int, state: State) -> PlanePhases:
    """Linear and quadratic phases that the misalignment in ``state`` puts on the masks and the detector.

    Args:
        bench: the template.
        stages: K.
        state: figures ``[1, 1, …]`` of one bench; differentiable.

    Raises:
        InputError: figures of several realisations.

    Source: Collins, J. Opt. Soc. Am. 60, 1168 (1970). Not modelled: distortion and aberrations of a lens, which no two
    masks absorb.
    """
    return Geometry(bench, stages, state).phases()


def register(bench: Bench, stages: int, state: State) -> tuple[State, Tensor]:
    """Move every zone's pattern, and the camera's window, by whole native pixels to where the light is.

    Plane after plane along the light: the first mask onto the input, every other one to where the mask before sends
    the light, so that no ramp of more than half a native pixel is left anywhere. Lenses stay where they are.

    Args:
        bench: the template.
        stages: K.
        state: figures ``[1, 1, …]`` of one bench.

    Returns:
        The state with other ``lateral`` figures of masks and detector, and the moves in native pixels (of the camera,
        its pixels), int64 ``[2K + 1, 2]``. What has no decentre on this bench, and photodiodes, stay.

    Raises:
        InputError: figures of several realisations.
    """
    found = dict(state)
    planes = plane_addresses(stages)
    moves = torch.zeros(len(planes), 2, dtype=torch.int64)
    geometry = Geometry(bench, stages, found)  # reads what is moved below
    for plane, address in enumerate(planes):
        step = geometry.step(plane)
        if step is None or not geometry.elements[address].has("lateral"):
            continue
        wanted = torch.stack([geometry.wanted_move(plane, axis) for axis in (0, 1)]).detach()
        count = torch.round(wanted / step)
        moves[plane] = count.long().cpu()
        key = f"{address}.lateral"
        found[key] = found[key] + (count * step).to(found[key])
    return found, moves
