r"""A rectangular mesh of Mach-Zehnder interferometers (MZIs): any unitary matrix of N waveguides, N columns deep.

Column c couples the pairs (m, m+1) with m ≡ c mod 2; all columns hold N(N-1)/2 MZIs, counted column by column from
mode 0 up. Light meets, on the upper arm, the external phase φ, a splitter, the internal phase θ, a splitter:

.. math:: T = S(a_2)\,\mathrm{diag}(e^{i\theta}, 1)\,S(a_1)\,\mathrm{diag}(e^{i\varphi}, 1), \qquad
    S(a) = \begin{pmatrix}\cos a & i\sin a\\ i\sin a & \cos a\end{pmatrix}, \qquad a = \pi/4 + \varepsilon

so that θ = 0 crosses and θ = π lets pass. Behind the last column every mode has a phase of its own.

Source: Clements et al., Optica 3, 1460 (2016). Not modelled: crosstalk between phase shifters, their levels and their
own loss, dispersion, reflections.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from simulators.errors import InputError
from simulators.random import State
from simulators.spec import Angle, NonNegative, Spec


class MeshPhases(NamedTuple):
    """What a mesh is told to show, rad, float64 or float32.

    Attributes:
        internal: θ, ``[cells]``.
        external: φ, ``[cells]``.
        output: behind the last column, ``[N]``.
    """

    internal: Tensor
    external: Tensor
    output: Tensor


class Mesh(Spec):
    """Data sheet of a rectangular mesh."""

    modes: Annotated[int, Field(ge=2, strict=True)]  #: N
    phase_error: Angle = 0.0  #: rad rms, static, independent a phase shifter
    splitter_error: Angle = 0.0  #: rad rms of ε, static, independent a splitter
    loss_dB: NonNegative = 0.0  #: of one MZI

    @property
    def cells(self) -> int:
        """MZIs, N(N-1)/2."""
        return self.modes * (self.modes - 1) // 2

    @property
    def parameters(self) -> int:
        """Phases, N²."""
        return 2 * self.cells + self.modes

    def nominal(self) -> State:
        """Every figure without static error, float64; the loss is what it is."""
        return self.draw(lambda address, effect, shape: torch.zeros(1, 1, *shape, dtype=torch.float64))

    def draw(self, normal: Callable[[str, str, tuple[int, ...]], Tensor]) -> State:
        """The state of meshes as built.

        Args:
            normal: (address, effect, shape) → standard normal ``[R, 1, *shape]``:
                :meth:`simulators.random.Realisations.normal`.

        Returns:
            ``mesh.internal``, ``mesh.external`` ``[R, 1, cells]`` and ``mesh.output`` ``[R, 1, N]``, errors of the
            phases, rad; ``mesh.splitter`` ``[R, 1, 2, cells]``, ε of the first and the second splitter, rad;
            ``mesh.loss_dB`` ``[1, 1]``.
        """
        phases = {"internal": self.cells, "external": self.cells, "output": self.modes}
        state = {
            f"mesh.{name}": self.phase_error * normal("mesh", f"{name}_phase_error", (count,))
            for name, count in phases.items()
        }
        state["mesh.splitter"] = self.splitter_error * normal("mesh", "splitter_error", (2, self.cells))
        state["mesh.loss_dB"] = torch.full((1, 1), self.loss_dB, dtype=torch.float64)
        return state


def propagate(mesh: Mesh, field: Tensor, phases: MeshPhases, state: State) -> Tensor:
    """Field behind the mesh.

    Every MZI dims both of its arms alike; a mode that meets none at the edge of a column is not dimmed.

    Args:
        mesh: the data sheet.
        field: complex, ``[R or 1, B, N]``, √photons.
        phases: in rad.
        state: of :meth:`Mesh.nominal` or :meth:`Mesh.draw`; any of its values may be another tensor, with a gradient.

    Returns:
        Complex ``[R, B, N]`` of the dtype of ``field``.

    Raises:
        InputError: a field that is real or of other modes, phases of another mesh, a negative loss.
    """
    _check(mesh, field, phases, state)
    straight, across = _columns(mesh, phases, state, field.real.dtype, field.device)
    partners = _partners(mesh.modes).to(field.device)
    for column in range(mesh.modes):
        swapped = field.index_select(-1, partners[column % 2])
        field = straight[..., column, :] * field + across[..., column, :] * swapped
    return field * _phasor((phases.output + state["mesh.output"].to(field.device)).to(field.real.dtype))


def transfer(mesh: Mesh, phases: MeshPhases, state: State) -> Tensor:
    """Matrix U of the mesh, complex ``[R, N, N]``: field out = U · field in. Arguments as of :func:`propagate`."""
    dtype = phases.internal.dtype.to_complex()
    units = torch.eye(mesh.modes, dtype=dtype, device=phases.internal.device)
    return propagate(mesh, units[None], phases, state).mT


def decompose(unitary: Tensor) -> MeshPhases:
    """The phases that make an ideal mesh a given unitary matrix, float64; θ lies in [0, π].

    Args:
        unitary: complex, ``[N, N]``.

    Raises:
        InputError: a matrix that is not square, or not unitary to 1e-6.

    Source: Clements et al., Optica 3, 1460 (2016).
    """
    if unitary.ndim != 2 or unitary.shape[0] != unitary.shape[1] or len(unitary) < 2:
        raise InputError("decompose: shape", value=tuple(unitary.shape), allowed="a square matrix, two modes or more")
    u = unitary.detach().cpu().to(torch.complex128).numpy().copy()
    n = len(u)
    off = float(np.abs(u @ u.conj().T - np.eye(n)).max())
    if not off < 1e-6:
        raise InputError("decompose: |U U† - 1|", value=f"up to {off:.2g}", allowed="a unitary matrix, to 1e-6")
    first: list[tuple[int, float, float]] = []  # (upper mode, θ, φ), in the order of the light
    last: list[tuple[int, float, float]] = []  # against it
    for i in range(1, n):
        for j in range(i):
            if i % 2:  # U T⁻¹ nulls an element by its right neighbour
                row, m = n - 1 - j, i - 1 - j
                theta = 2 * math.atan2(abs(u[row, m + 1]), abs(u[row, m]))
                phi = float(np.angle(-u[row, m] * u[row, m + 1].conj()))
                u[:, m : m + 2] = u[:, m : m + 2] @ _cell(theta, phi).conj().T
                first.append((m, theta, phi))
            else:  # T U nulls an element by its upper neighbour
                m, column = n - 1 + j - i, j
                theta = 2 * math.atan2(abs(u[m, column]), abs(u[m + 1, column]))
                phi = float(np.angle(u[m + 1, column] * u[m, column].conj()))
                u[m : m + 2] = _cell(theta, phi) @ u[m : m + 2]
                last.append((m, theta, phi))
    output = np.diag(u).copy()
    # T⁻¹(θ, φ) D = D' T(θ, φ'): the phases go through to the output, from the innermost MZI on.
    for m, theta, phi in reversed(last):
        above, below = output[m], output[m + 1]
        first.append((m, theta, float(np.angle(above * below.conj()))))
        output[m] = -np.exp(-1j * (theta + phi)) * below
        output[m + 1] = -np.exp(-1j * theta) * below
    phases = np.empty((2, n * (n - 1) // 2))
    ready = [0] * n  # the first column that each mode is free in
    numbers = _numbers(n)
    for m, theta, phi in first:
        column = max(ready[m], ready[m + 1])
        ready[m] = ready[m + 1] = column + 1
        phases[:, numbers[column, m]] = theta, phi
    internal, external = torch.from_numpy(phases)
    return MeshPhases(internal, external, torch.from_numpy(np.angle(output)))


def haar(modes: int, generator: np.random.Generator) -> Tensor:
    """A random unitary matrix, uniform by Haar's measure, complex128 ``[N, N]``.

    Source: Mezzadri, Notices of the AMS 54, 592 (2007).
    """
    q, r = np.linalg.qr(generator.standard_normal((modes, modes)) + 1j * generator.standard_normal((modes, modes)))
    diagonal = np.diag(r)
    return torch.from_numpy(q * (diagonal / np.abs(diagonal)))


# --- inside -----------------------------------------------------------------------------------------------------------


def _check(mesh: Mesh, field: Tensor, phases: MeshPhases, state: State) -> None:
    if not field.is_complex() or field.ndim != 3 or field.shape[-1] != mesh.modes:
        allowed = f"complex [R, B, {mesh.modes}]"
        raise InputError("mesh: field", value=f"{field.dtype} {tuple(field.shape)}", allowed=allowed)
    wanted = {"internal": mesh.cells, "external": mesh.cells, "output": mesh.modes}
    for name, count in wanted.items():
        if (shape := tuple(getattr(phases, name).shape)) != (count,):
            raise InputError(f"mesh: {name} phases", value=shape, allowed=f"({count},) for {mesh.modes} modes")
    if (state["mesh.loss_dB"] < 0).any():
        raise InputError("mesh: loss_dB", value=state["mesh.loss_dB"].min().item(), allowed="≥ 0: a mesh is passive")


def _columns(
    mesh: Mesh, phases: MeshPhases, state: State, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Of every column and mode, what stays in the mode and what comes from its partner, ``[R, 1, column, mode]``."""
    theta = _phasor((phases.internal + state["mesh.internal"].to(device)).to(dtype))
    phi = _phasor((phases.external + state["mesh.external"].to(device)).to(dtype))
    angle = (math.pi / 4 + state["mesh.splitter"]).to(device, dtype)
    (c1, c2), (s1, s2) = angle.cos().unbind(-2), angle.sin().unbind(-2)
    kept = (10 ** (-state["mesh.loss_dB"].to(device, dtype) / 20))[..., None]  # amplitude
    upper, lower = kept * phi * (theta * c1 * c2 - s1 * s2), kept * (c1 * c2 - theta * s1 * s2)
    down, up = 1j * kept * phi * (theta * c1 * s2 + s1 * c2), 1j * kept * (theta * s1 * c2 + c1 * s2)
    upper, lower, down, up = torch.broadcast_tensors(upper, lower, down, up)
    edge = torch.ones_like(upper[..., :1])
    table = _table(mesh.modes).to(device)
    straight = torch.cat([upper, lower, edge], -1).index_select(-1, table)
    across = torch.cat([up, down, torch.zeros_like(edge)], -1).index_select(-1, table)
    size = (mesh.modes, mesh.modes)
    return straight.unflatten(-1, size), across.unflatten(-1, size)


@functools.cache
def _numbers(modes: int) -> dict[tuple[int, int], int]:
    """(column, upper mode) → number of the MZI."""
    places = [(column, m) for column in range(modes) for m in range(column % 2, modes - 1, 2)]
    return {place: number for number, place in enumerate(places)}


@functools.cache
def _table(modes: int) -> Tensor:
    """For each column and mode, ``[N·N]``: its MZI as upper arm, as lower arm (+ cells), or none (2·cells)."""
    cells = modes * (modes - 1) // 2
    table = torch.full((modes, modes), 2 * cells)
    for (column, m), number in _numbers(modes).items():
        table[column, m], table[column, m + 1] = number, cells + number
    return table.flatten()


@functools.cache
def _partners(modes: int) -> Tensor:
    """The other arm of each mode in even and in odd columns, ``[2, N]``; itself at the edge."""
    partners = torch.arange(modes).repeat(2, 1)
    for parity in range(2):
        for m in range(parity, modes - 1, 2):
            partners[parity, m], partners[parity, m + 1] = m + 1, m
    return partners


def _cell(theta: float, phi: float) -> np.ndarray:
    """T of an ideal MZI."""
    s, c = math.sin(theta / 2), math.cos(theta / 2)
    turn = np.exp(1j * phi)
    return 1j * np.exp(0.5j * theta) * np.array([[turn * s, c], [turn * c, -s]])


def _phasor(angle: Tensor) -> Tensor:
    return torch.complex(angle.cos(), angle.sin())
