"""Zernike polynomials in Noll's order, wavefronts made of them, and Seidel's third-order terms.

Coordinates are those of the unit disc, y and x apart, of any shapes that broadcast; outside the disc the polynomials
go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from simulators.errors import InputError, nearest


def noll_indices(noll: int) -> tuple[int, int]:
    """Radial degree n and azimuthal order m of a Noll number; m < 0 stands for sine.

    Args:
        noll: j ≥ 1.

    Returns:
        (n, m): 1 → (0, 0), 2 → (1, 1), 3 → (1, -1), 4 → (2, 0), 5 → (2, -2), …

    Raises:
        InputError: j < 1.

    Source: Noll, J. Opt. Soc. Am. 66, 207 (1976).
    """
    if noll < 1:
        raise InputError("Noll number", value=noll, allowed="1 (piston), 2, 3, …")
    n = (math.isqrt(8 * noll - 7) - 1) // 2
    place = noll - n * (n + 1) // 2 - 1  # 0 … n within the row of degree n
    m = 2 * ((place + 1) // 2) if n % 2 == 0 else 2 * (place // 2) + 1
    return n, m if noll % 2 == 0 else -m


def zernike(noll: int, y: Tensor, x: Tensor) -> Tensor:
    r"""Zernike polynomial of mean square 1 over the unit disc.

    .. math:: Z_j = \sqrt{(n+1)(2-\delta_{m0})}\;R_n^m(r)\,
        \begin{cases}\cos m\theta & j \text{ even}\\ \sin m\theta & j \text{ odd}\end{cases}, \quad
        R_n^m = r^m P^{(0,m)}_{(n-m)/2}(2r^2-1)

    with x = r cos θ, y = r sin θ, P the Jacobi polynomial: its recurrence loses no digits at high degree.

    Args:
        noll: j ≥ 1, Noll's number.
        y: row coordinate, in radii of the disc.
        x: column coordinate, in radii of the disc.

    Returns:
        The values, in the shape y and x broadcast to.

    Raises:
        InputError: j < 1.

    Source: Noll, J. Opt. Soc. Am. 66, 207 (1976).
    """
    n, signed = noll_indices(noll)
    m = abs(signed)
    y, x = torch.broadcast_tensors(y, x)
    cosine, sine = torch.ones_like(x), torch.zeros_like(x)  # r^m cos mθ, r^m sin mθ
    for _ in range(m):
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine
    t = 2 * (x * x + y * y) - 1
    previous, radial = torch.zeros_like(t), torch.ones_like(t)
    for k in range(1, (n - m) // 2 + 1):
        if k == 1:  # the general step divides by m, which may be 0
            previous, radial = radial, 1 + (m + 2) * (t - 1) / 2
            continue
        s = 2 * k + m
        ahead = (s - 1) * (s * (s - 2) * t - m * m) * radial - 2 * (k - 1) * (k + m - 1) * s * previous
        previous, radial = radial, ahead / (2 * k * (k + m) * (s - 2))
    return math.sqrt((n + 1) * (2 if m else 1)) * radial * (sine if signed < 0 else cosine)


def zernike_basis(count: int, y: Tensor, x: Tensor) -> Tensor:
    """The first ``count`` polynomials, Noll numbers 1 to ``count``, ``[count, ...]``."""
    return torch.stack([zernike(noll, y, x) for noll in range(1, count + 1)])


def wavefront(coefficients: Mapping[int, float | Tensor], y: Tensor, x: Tensor) -> Tensor:
    r"""Wavefront error of a sum of Zernike polynomials, in waves.

    .. math:: W = \sum_j c_j Z_j, \quad \text{rms over the disc} = \sqrt{\textstyle\sum_{j>1} c_j^2}

    Args:
        coefficients: Noll number → c_j, rms waves over the disc; a tensor broadcasts against y and x.
        y: row coordinate, in radii of the disc.
        x: column coordinate, in radii of the disc.

    Returns:
        W in waves: extra optical path, so the field takes on :math:`e^{2\pi i W}`.

    Raises:
        InputError: a Noll number below 1.

    Source: Noll, J. Opt. Soc. Am. 66, 207 (1976).
    """
    total = torch.zeros_like(x + y)
    for noll, coefficient in coefficients.items():
        total = total + coefficient * zernike(noll, y, x)
    return total


#: Seidel's terms: name → powers of (h·h, h·p, p·p).
SEIDEL_TERMS = {
    "defocus": (0, 0, 1),
    "spherical": (0, 0, 2),
    "coma": (0, 1, 1),
    "astigmatism": (0, 2, 0),
    "field_curvature": (1, 0, 1),
    "distortion": (1, 1, 0),
}


def seidel(
    coefficients: Mapping[str, float | Tensor], y: Tensor, x: Tensor, *, field: tuple[float, float] = (0.0, 1.0)
) -> Tensor:
    r"""Wavefront error of a rotationally symmetric lens to third order, in waves.

    .. math:: W = W_{020}\,p^2 + W_{040}\,p^4 + W_{131}(h\!\cdot\!p)\,p^2 + W_{222}(h\!\cdot\!p)^2
        + W_{220}\,h^2p^2 + W_{311}\,h^2(h\!\cdot\!p)

    in this order defocus, spherical, coma, astigmatism, field curvature, distortion.

    Args:
        coefficients: name → W, peak waves at the edge of pupil and field.
        y: pupil row coordinate, in radii of the pupil.
        x: pupil column coordinate, in radii of the pupil.
        field: h = (y, x), the field point relative to the edge of the field.

    Returns:
        W in waves, extra optical path.

    Raises:
        InputError: a name that is none of Seidel's.

    Source: Welford, *Aberrations of Optical Systems*, ch. 7. Not modelled: fifth order and above.
    """
    row, column = field
    total = torch.zeros_like(x + y)
    along, square, height = row * y + column * x, y * y + x * x, row**2 + column**2
    for name, coefficient in coefficients.items():
        if name not in SEIDEL_TERMS:
            raise InputError("Seidel term", value=name, allowed=nearest(name, SEIDEL_TERMS))
        hh, hp, pp = SEIDEL_TERMS[name]
        total = total + coefficient * height**hh * along**hp * square**pp
    return total
