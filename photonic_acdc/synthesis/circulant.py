r"""A generic complex matrix as N diagonals and N - 1 circulants in turn, in closed form but for N - 1 roots.

.. math:: A = d_N\,C_{N-1}\,d_{N-1} \cdots C_1\,d_1, \qquad C_k = F^{-1} s_k F

With P the cyclic shift, (Px)ᵢ = xᵢ₋₁, any matrix is a polynomial in P with diagonal coefficients, A = Σⱼ Dⱼ Pʲ. Where
A(c) = Σⱼ cʲ Dⱼ Pʲ has a null vector x, a linear factor divides A exactly from the right:

.. math:: A = q(P)\,(P - R), \quad R = c\,(Px)/x, \qquad P - R = \mathrm{diag}(Px)\,(P - c)\,\mathrm{diag}(1/x)

and P - c is a circulant. N - 1 divisions leave a diagonal. It needs null vectors without zeros, which almost all
matrices have; what has too many zeros itself (permutations, triangles, blocks) has none and is refused. P may be any
shift that reaches all places.

Source: Huhtanen and Perämäki, J. Fourier Anal. Appl. 21, 1018 (2015); it is what makes N layers of an AFDF reach any
matrix (Moczulski et al., arXiv:1511.05946).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photonic_acdc.synthesis import lenses
from simulators.errors import InputError
from simulators.random import stream

Complexes = NDArray[np.complex128]
Reals = NDArray[np.float64]

TOLERANCE = 1e-10
"""Relative Frobenius error beyond which a factorisation is refused."""

_ROUNDING = 8 * np.finfo(float).eps
_ATTEMPTS = 3  # cyclic diagonals to begin at: a matrix that is not generic fails from most


class _NotGenericError(Exception):
    """A root or its null vector was not found."""


def circulant_masks(matrix: Tensor | Complexes | Reals) -> Tensor:
    r"""Masks of a cascade of forward 1-D lenses whose T is the matrix.

    Of the (N - 1)! orders in which roots may be divided out, each step takes the one whose null vector follows the
    last one's most evenly: that leaves the masks a smaller dynamic range. It is large all the same: of a Gaussian
    matrix made passive, the amplitude gain is about 10⁻⁴ at N = 8, 10⁻¹² at 16, 10⁻³⁰ at 32, times 1/σ_max.

    Args:
        matrix: ``[N, N]`` or ``[B, N, N]``, real or complex, finite.

    Returns:
        Complex128 ``[B, 2N - 1, N]`` (B = 1 of one matrix), in the order of the light, on the matrix's device: mask 1,
        3, … in the input plane, 2, 4, … in a Fourier plane. All masks of a cascade have the same peak.

    Raises:
        InputError: no such factorisation to a relative error of 1e-10: the matrix is not generic, or too large.

    Source: Huhtanen and Perämäki, J. Fourier Anal. Appl. 21, 1018 (2015). Not modelled: any limit on the dynamic
    range of a mask.
    """
    given = torch.as_tensor(np.ascontiguousarray(matrix) if isinstance(matrix, np.ndarray) else matrix)
    device, targets = given.device, given.detach().cpu().numpy().astype(complex)
    if targets.ndim == 2:
        targets = targets[None]
    masks = []
    for b, target in enumerate(targets):
        name = "matrix" if len(targets) == 1 else f"matrix {b + 1} of {len(targets)}"
        masks.append(_masks(target, name))
    return torch.stack(masks).to(device)


def _masks(target: Complexes, name: str) -> Tensor:
    n = len(target)
    scale = float(np.abs(target).max()) or 1.0
    scale *= float(np.linalg.norm(target / scale)) or 1.0
    wanted = target / scale
    ways = sorted((way for power in range(4) for way in _ways(wanted, power)), key=lambda way: way.stages)
    lit_rows, lit_columns = wanted.any(1), wanted.any(0)
    closest = np.inf
    for way in ways[:_ATTEMPTS]:
        try:
            diagonals, spectra = _alternate(way)
        except _NotGenericError:
            continue
        diagonals[-1] *= lit_rows
        diagonals[0] *= lit_columns
        masks = np.empty((2 * n - 1, n), dtype=complex)
        masks[0::2], masks[1::2] = diagonals, spectra
        forward = lenses.reverse_alternate_stages(torch.from_numpy(_balanced(masks)), (n,))
        error = _error(forward, wanted)
        if error <= TOLERANCE:
            return forward * scale ** (1 / (2 * n - 1))
        closest = min(closest, error) if np.isfinite(error) else closest
    raise InputError(
        f"{name}: it is not generic, and has no factorisation into {n} diagonals and {n - 1} circulants in closed form",
        value="a linear factor that does not exist" if closest == np.inf else f"relative error {closest:.0e} at best",
        allowed=f"a relative error ≤ {TOLERANCE:.0e}; it is missed where every cyclic diagonal has a zero "
        "(permutations, triangles, blocks), and by rounding where N is large",
        remedy='method="unitary" or method="svd"',
    )


def _balanced(masks: Complexes) -> Complexes:
    """The same cascade with the same peak in every mask: so neither they nor the product of all overflows."""
    peaks = np.abs(masks).max(-1, keepdims=True)
    if not (peaks > 0).all():
        return masks
    return masks / peaks * np.exp(np.mean(np.log(peaks)))


def _error(masks: Tensor, wanted: Complexes) -> float:
    """Frobenius error of forward masks, by FFTs and by dense products: rounding that counts shows as a difference."""
    n = len(wanted)
    dense = np.eye(n, dtype=complex)
    fourier = np.fft.fft(dense, norm="ortho")
    for j, mask in enumerate(masks.numpy()):
        dense = mask[:, None] * (fourier @ dense if j else dense)
    dense = dense if n % 2 else fourier @ (fourier @ dense)  # an odd number of pairs of lenses is read turned
    fast = lenses.operator(masks, (n,)).numpy()
    return max(float(np.linalg.norm(fast - wanted)), float(np.linalg.norm(dense - wanted)))


@dataclass(frozen=True)
class _Way:
    """A matrix as Fʳ p(P) Pˢ, of which the modes of p(P) Pˢ lie at a times their number."""

    power: int  # r of the unitary DFT
    bands: Complexes  # [m + 1, N], coefficients of p
    shift: int  # s
    margin: float  # what of the first and of the last coefficient is closest to 0
    multiple: int  # a, without a common divisor with N: of circulants it makes circulants

    @property
    def circulant(self) -> bool:
        return bool(np.abs(self.bands - self.bands[:, :1]).max() <= _ROUNDING * np.abs(self.bands).max())

    @property
    def polynomial_stages(self) -> int:
        """Circulants that p(P) Pˢ takes."""
        if self.circulant:
            return min(1, self.bands.shape[1] - 1)
        return max(len(self.bands) - 1, int(self.shift > 0))

    @property
    def stages(self) -> int:
        """Circulants it takes."""
        return self.polynomial_stages + (0, 1, 2, 1)[self.power]


def _ways(matrix: Complexes, power: int) -> list[_Way]:
    """Ways to write the matrix with Fʳ on the left, N - 1 circulants or fewer, most promising first.

    A generic matrix has those with r = 0, which differ in s; ends of p far from 0 are better, and they must be
    invertible. Of a matrix of few cyclic diagonals, or whose transform has few (the DFT itself, and a turn), p has a
    low degree. Where no two diagonals side by side are without zeros (a cosine transform of 9 modes), two that are a
    apart may be.
    """
    n = len(matrix)
    for _ in range(power):
        matrix = np.fft.ifft(matrix, axis=0, norm="ortho")
    matrix = _filled(matrix)
    for multiple in range(1, max(2, (n + 1) // 2)):
        order = multiple * np.arange(n) % n
        ways = _beginnings(matrix[order][:, order], power, multiple) if math.gcd(multiple, n) == 1 else []
        if ways:
            return ways
    return []


def _beginnings(matrix: Complexes, power: int, multiple: int) -> list[_Way]:
    """Those that differ in s."""
    n = len(matrix)
    bands = _bands(matrix)
    present = np.flatnonzero(bands.any(1))
    if len(present) == 0:
        return [_Way(power, bands[:1], 0, 0.0, multiple)]
    smallest = np.abs(bands).min(1)
    ways = []
    for at, shift in enumerate(present):
        last = present[at - 1]
        chosen = bands[(shift + np.arange((last - shift) % n + 1)) % n]
        ways.append(_Way(power, chosen, int(shift), min(smallest[shift], smallest[last]), multiple))
    ways.sort(key=lambda way: (way.stages, -way.margin))
    possible = (way for way in ways if way.margin > 0 or len(way.bands) == 1 or way.circulant)
    return [way for way in possible if way.stages < n]


def _filled(matrix: Complexes) -> Complexes:
    """The matrix without rounding errors at 0, and with something in rows and columns of zeros.

    The last and the first mask black those out whatever is there. They are filled on the cyclic diagonals only that
    the matrix has anyway, so that its degree in P stays.
    """
    n = len(matrix)
    clean = np.where(np.abs(matrix) > _ROUNDING * np.abs(matrix).max(), matrix, 0)
    if not clean.any():
        return clean
    i = np.arange(n)
    present = np.any(_bands(clean), axis=1)[(i[:, None] - i) % n]
    dark = present & ~(np.any(clean, axis=1)[:, None] & np.any(clean, axis=0))
    real, imaginary = stream(0, "synthesis", "circulant").standard_normal((2, n, n))
    size = np.sqrt(np.mean(np.abs(clean[clean != 0]) ** 2) / 2)
    return np.where(dark, size * (real + 1j * imaginary), clean)


def _bands(matrix: Complexes) -> Complexes:
    """Dⱼ[i] = A[i, i - j], ``[N, N]``: A = Σⱼ Dⱼ Pʲ."""
    i = np.arange(len(matrix))
    return matrix[i, (i - i[:, None]) % len(matrix)]


def _alternate(way: _Way) -> tuple[Complexes, Complexes]:
    """Diagonals ``[N, N]`` and spectra ``[N - 1, N]``; those not needed are 1."""
    n = way.bands.shape[1]
    diagonals, spectra = np.ones((n, n), dtype=complex), np.ones((n - 1, n), dtype=complex)
    k = np.arange(n)
    wave = np.exp(-2j * np.pi * k / n)  # the spectrum of P
    if way.circulant and n > 1:
        spectra[0] = np.fft.fft(way.bands[:, 0], n)
    else:
        with np.errstate(all="ignore"):  # what overflows is not finite, and dropped
            factors, diagonals[len(way.bands) - 1] = _linear_factors(way.bands)
        for j, (c, x) in enumerate(factors):
            diagonals[j] /= x
            diagonals[j + 1] *= np.roll(x, 1)
            spectra[j] = wave - c
    if way.shift:  # Pˢ goes to the left through the first diagonal into the first circulant
        diagonals[0] = np.roll(diagonals[0], -way.shift)
        spectra[0] *= wave**way.shift
    at = way.multiple * k % n
    diagonals[:, at], spectra = diagonals.copy(), spectra[:, at]  # what scales places inverts frequencies
    # A transform is a circulant between chirps (Bluestein), F³ the inverse one.
    chirp = np.exp(-1j * np.pi * ((k * (k + n)) % (2 * n)) / n)
    if way.power == 3:
        chirp = chirp.conj()
    for stage in range(way.polynomial_stages, way.stages):
        spectra[stage] = np.fft.fft(chirp.conj(), norm="ortho")
        diagonals[stage] *= chirp
        diagonals[stage + 1] *= chirp
    return diagonals, spectra


def _linear_factors(bands: Complexes) -> tuple[list[tuple[complex, Complexes]], Complexes]:
    """(c, x) of P - R, the rightmost first, and the diagonal that is left, ``[N]``.

    The first pass finds the roots, by Newton from a few places; they stay those of the quotient whichever is divided
    out first. The second knows what there is to choose from.
    """
    degree = len(bands) - 1
    roots = np.empty(degree, dtype=complex)
    rest = bands
    for k in range(degree):
        roots[k], x = _flattest(rest)
        rest = _divided(rest, _quotient(roots[k], x))
    factors: list[tuple[complex, Complexes]] = []
    rest, before = bands, np.zeros(bands.shape[1])  # log |Px| of the last
    for _ in range(degree):
        vectors = _inverse_iteration(rest, roots, _start(len(roots), bands.shape[1]), 2)
        logs = np.log(np.abs(vectors))
        logs -= logs.mean(1, keepdims=True)
        steepness = (before - logs).max(1)  # of the mask between the two: its peak over its geometric mean
        best = int(np.argmin(np.where(np.isfinite(steepness), steepness, np.inf)))
        root, x = _newton(rest, roots[best : best + 1], vectors[best : best + 1])
        if not len(root):
            raise _NotGenericError
        x = x[0] / np.exp(np.log(np.abs(x[0])).mean())
        factors.append((root[0], x))
        before = np.roll(np.log(np.abs(x)), 1)
        rest = _divided(rest, _quotient(root[0], x))
        roots = np.delete(roots, best)
    return factors, rest[0]


def _quotient(c: complex, x: Complexes) -> Complexes:
    """R of the factor that annihilates x."""
    return c * np.roll(x, 1) / x


def _start(count: int, n: int) -> Complexes:
    """Vectors ``[count, N]`` that are in no symmetry a matrix is likely to have."""
    return np.exp(1j * np.outer(1 + np.arange(count) / 7, np.arange(n) ** 2))


def _flattest(bands: Complexes) -> tuple[complex, Complexes]:
    """Of the roots found from a few places, the one whose null vector has the most even modulus."""
    n = bands.shape[1]
    # The product of all c^N is that of the first coefficient over the last: their mean, where none is close to 1.
    mean = float(np.exp(np.mean(np.log(np.abs(bands[0])) - np.log(np.abs(bands[-1]))) / (len(bands) - 1)))
    for starts, radius in ((6, 1.0), (12, 0.8), (12, 1.25), (12, mean)):
        # Null vectors of c and of c exp(2πi/N) are the same but for a ramp: a sector has all.
        c = radius * np.exp(2j * np.pi * (np.arange(starts) + 0.5) / (starts * n))
        found, x = _newton(bands, c, _inverse_iteration(bands, c, _start(starts, n), 3))
        if len(found):
            logs = np.log(np.abs(x))
            best = int(np.argmin(np.ptp(logs, axis=1)))
            return found[best], x[best]
    raise _NotGenericError


def _twisted(bands: Complexes, c: Complexes) -> tuple[Complexes, Complexes]:
    """A(c) and c A'(c), ``[S, N, N]``, at ``c`` ``[S]``."""
    j, i = np.arange(len(bands)), np.arange(bands.shape[1])
    values = (c[:, None] ** j)[..., None] * bands
    at, slope = np.zeros((2, len(c), len(i), len(i)), dtype=complex)
    columns = (i - j[:, None]) % len(i)
    at[:, i, columns], slope[:, i, columns] = values, values * j[:, None]
    return at, slope


def _solved(matrices: Complexes, sides: Complexes) -> Complexes:
    """Solutions ``[S, N]``; where a matrix is singular to the last digit, of one a rounding error beside it."""
    try:
        return np.linalg.solve(matrices, sides[..., None])[..., 0].astype(complex)
    except np.linalg.LinAlgError:
        nudge = _ROUNDING * np.abs(matrices).max((1, 2)) + np.finfo(float).tiny
        beside = matrices + nudge[:, None, None] * np.diag(_start(1, matrices.shape[1])[0])
        try:
            return np.linalg.solve(beside, sides[..., None])[..., 0].astype(complex)
        except np.linalg.LinAlgError as error:
            raise _NotGenericError from error


def _inverse_iteration(bands: Complexes, c: Complexes, x: Complexes, steps: int) -> Complexes:
    at, _ = _twisted(bands, c)
    for _ in range(steps):
        x = _solved(at, x)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def _newton(bands: Complexes, c: Complexes, x: Complexes) -> tuple[Complexes, Complexes]:
    """Those (c, x) with A(c) x = 0 to rounding that Newton's method reaches, on log c and x with xᴴ dx = 0."""
    n = bands.shape[1]
    log_c = np.log(c)
    bordered = np.zeros((len(c), n + 1, n + 1), dtype=complex)
    side = np.zeros((len(c), n + 1), dtype=complex)
    for _ in range(12):
        at, slope = _twisted(bands, np.exp(log_c))
        bordered[:, :n, :n], bordered[:, n, :n] = at, x.conj()
        bordered[:, :n, n] = (slope @ x[..., None])[..., 0]
        side[:, :n] = -(at @ x[..., None])[..., 0]
        step = _solved(bordered, side)
        size = np.abs(step[:, n])
        damping = 1 / np.maximum(1, 2 * size)
        x = x + damping[:, None] * step[:, :n]
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        log_c = log_c + damping * step[:, n]
        if (size[np.isfinite(size)] < 1e-13).all():
            break
    at, _ = _twisted(bands, np.exp(log_c))
    residual = np.linalg.norm((at @ x[..., None])[..., 0], axis=1) / np.linalg.norm(at, axis=(1, 2))
    # A null vector with a zero divides nothing; NaN compares false.
    reached = (residual < 1e-12) & (np.abs(x).min(1) > 1e-100)
    return np.exp(log_c[reached]), x[reached]


def _divided(bands: Complexes, r: Complexes) -> Complexes:
    """q ``[m, N]`` of A = q(P) (P - R): Dⱼ[i] = qⱼ₋₁[i] - qⱼ[i] R[i - j], m + 1 equations for m unknowns in each row.

    From either end alone, errors grow like a product of R or of 1/R; least squares, by rotations, takes both ends.
    """
    m = len(bands) - 1
    pivots = np.empty((m, bands.shape[1]))
    sides = np.empty((m, bands.shape[1]), dtype=complex)
    left, side = -r, bands[0]
    for j in range(m):
        pivots[j] = np.hypot(np.abs(left), 1)
        sides[j] = (left.conj() * side + bands[j + 1]) / pivots[j]
        side = (left * bands[j + 1] - side) / pivots[j]
        left = -left * np.roll(r, j + 1) / pivots[j]
    q = np.empty_like(sides)
    q[-1] = sides[-1] / pivots[-1]
    for j in range(m - 2, -1, -1):
        q[j] = (sides[j] + np.roll(r, j + 1) * q[j + 1] / pivots[j]) / pivots[j]
    return q
