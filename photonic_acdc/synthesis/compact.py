r"""Any unitary matrix of N modes, N even, as 2N + 5 phase masks between lenses, in closed form.

The matrix is first nulled by a rectangular mesh of symmetric interferometers

.. math:: e^{i\sigma}\begin{pmatrix}\cos\delta & i\sin\delta\\ i\sin\delta & \cos\delta\end{pmatrix}

(Bell and Walmsley); in an order of the modes in which each column of the mesh couples mode j with mode j + N/2, a
column is a phase mask between two circulants, and those are phase masks between lenses.

Source: Girouard and Quesada, J. Opt. Soc. Am. B 43, A66 (2026), arXiv:2508.20010, compact form; mesh: Bell and
Walmsley, APL Photonics 6, 070804 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]


def compact_masks(unitary: Complexes) -> Complexes:
    """Phase masks of a cascade of 1-D lenses.

    Args:
        unitary: ``[B, N, N]``, N even ≥ 2; unitary is the caller's word.

    Returns:
        ``[B, 2N + 5, N]``, in the order of the light, of modulus 1.
    """
    n = unitary.shape[-1]
    k = np.arange(n)
    row = np.where(k % 2 == 0, k // 2, (n + k - 1) // 2)  # where the mesh's mode k lies
    turned = (-k) % n
    mesh = _nulled(unitary[:, turned][:, :, turned][:, row][:, :, row].conj())
    edge = _absorb_diagonal(mesh)
    _spread_edges(mesh, edge)

    half = n // 2
    lower = np.where(k < half, 1, 1j)  # G
    splitter = (1 - 1j * (-1.0) ** k) / np.sqrt(2)  # E: F* E F splits j and j + N/2 evenly, but for G on both sides
    shift = np.where(k % 2 == 1, 1, np.exp(2j * np.pi * k / n))  # H: moves the pairs on by half a step
    entrance, exit_ = (np.empty((len(unitary), n), dtype=complex) for _ in range(2))
    entrance[:, row], exit_[:, row] = np.exp(1j * mesh.entrance), np.exp(1j * mesh.exit)
    even, odd = mesh.columns(0), mesh.columns(1)
    ramp = np.where(k % 2 == 0, -1, 1) / n
    edges = np.exp(1j * edge[:, 1::2, None] * ramp)  # [B, N/2, N]

    def everywhere(mask: Complexes) -> Complexes:
        return np.broadcast_to(mask, (len(unitary), n))

    masks = [(entrance * lower)[:, turned], everywhere(splitter)]
    for layer in range(half):
        masks += [
            even[:, layer] * (lower if layer == 0 else 1),
            shift * edges[:, layer],
            odd[:, layer][:, turned],
            everywhere(shift),
        ]
    masks += [everywhere(lower), everywhere(splitter), (exit_ * lower)[:, turned]]
    return np.stack(masks, axis=1)


@dataclass(frozen=True)
class _Mesh:
    """Settings of the symmetric interferometers: cell (m, layer) couples modes m and m + 1."""

    delta: Reals  # [B, N, N], m, layer
    sigma: Reals  # [B, N, N]
    entrance: Reals  # [B, N]
    exit: Reals  # [B, N]
    diagonal: Reals  # [B, N], phases of what nulling left

    def columns(self, parity: int) -> Complexes:
        """Masks ``[B, N/2, N]`` of the layers of that parity: both arms of each interferometer."""
        batch, n, _ = self.delta.shape
        upper = np.arange(parity, n - 1, 2)
        phases = np.zeros((batch, n // 2, n))
        delta, sigma = (part[:, upper, parity::2].transpose(0, 2, 1) for part in (self.delta, self.sigma))
        place = (upper - parity) // 2
        phases[:, :, place], phases[:, :, place + n // 2] = sigma + delta, sigma - delta
        return np.exp(1j * phases)


def _nulled(v: Complexes) -> _Mesh:
    """Null ``v`` ``[B, N, N]`` below its diagonal, one antidiagonal after the other, from the right and from the left.

    Rows below, or columns left of, the entry to be nulled are null already and left out.
    """
    v = v.copy()
    batch, n, _ = v.shape
    delta, sigma = np.zeros((batch, n, n)), np.zeros((batch, n, n))
    entrance, exit_ = np.zeros((batch, n)), np.zeros((batch, n))
    for j in range(n - 1):
        if j % 2 == 0:
            r, c = n - 1, j
            turn = np.angle(v[:, r, c + 1]) - np.angle(v[:, r, c]) - np.pi / 2
            entrance[:, j] = turn
            v[:, :, c] *= np.exp(1j * turn)[:, None]
            for k in range(j + 1):
                left, right = v[:, : r + 1, c], v[:, : r + 1, c + 1]
                angle = np.arctan2(np.abs(left[:, -1]), np.abs(right[:, -1]))
                delta[:, j - k, k] = angle
                pair = _mixed(left, right, angle)
                if k < j:
                    turn = np.angle(v[:, r - 1, c - 1]) - np.angle(pair[0][:, -2]) + np.pi / 2
                    sigma[:, j - k, k] = turn
                    phasor = np.exp(1j * turn)[:, None]
                    pair = (pair[0] * phasor, pair[1] * phasor)
                v[:, : r + 1, c], v[:, : r + 1, c + 1] = pair
                r, c = r - 1, c - 1
        else:
            r, c = n - j - 1, 0
            turn = np.angle(v[:, r - 1, c]) - np.angle(v[:, r, c]) - np.pi / 2
            exit_[:, r] = turn
            v[:, r] *= np.exp(1j * turn)[:, None]
            for k in range(j + 1):
                above, below = v[:, r - 1, c:], v[:, r, c:]
                angle = np.arctan2(np.abs(below[:, 0]), np.abs(above[:, 0]))
                cell = (slice(None), n + k - j - 2, n - k - 1)
                delta[cell] = angle
                pair = _mixed(above, below, angle)
                if k < j:
                    turn = np.angle(v[:, r + 1, c + 1]) - np.angle(pair[1][:, 1]) + np.pi / 2
                    sigma[cell] = turn
                    phasor = np.exp(1j * turn)[:, None]
                    pair = (pair[0] * phasor, pair[1] * phasor)
                v[:, r - 1, c:], v[:, r, c:] = pair
                r, c = r + 1, c + 1
    return _Mesh(delta, sigma, entrance, exit_, -np.angle(np.diagonal(v, axis1=1, axis2=2)))


def _mixed(first: Complexes, second: Complexes, angle: Reals) -> tuple[Complexes, Complexes]:
    cosine, sine = np.cos(angle)[:, None], 1j * np.sin(angle)[:, None]
    return cosine * first + sine * second, sine * first + cosine * second


def _absorb_diagonal(mesh: _Mesh) -> Reals:
    """Move the phases left on the diagonal into the mesh, in place; phases at its lower edge are left, ``[B, N]``."""
    batch, n = mesh.diagonal.shape
    edge = np.zeros((batch, n))
    mesh.exit[:, 0] = mesh.diagonal[:, 0]
    for j in range(1, n):
        layer, phase = n - j, mesh.diagonal[:, j, None]
        mesh.sigma[:, j : n - 1 : 2, layer] += phase
        mesh.sigma[:, j + 1 : n - 1 : 2, layer - 1] -= phase
        if layer % 2:
            edge[:, layer] += phase[:, 0]
        else:
            edge[:, layer - 1] -= phase[:, 0]
    mesh.exit[:, n - 1] = edge[:, n - 1]
    edge[:, n - 1] = 0
    return edge


def _spread_edges(mesh: _Mesh, edge: Reals) -> None:
    """Make of the phase that odd layers have at the mesh's edge a ramp over all modes, in place."""
    n = edge.shape[1]
    for layer in range(1, n, 2):
        share = edge[:, layer, None] / n
        even, odd = np.arange(0, n - 1, 2), np.arange(1, n - 1, 2)
        mesh.sigma[:, even, layer - 1] += (even + 1) * share
        mesh.sigma[:, odd, layer] -= (odd + 1) * share
