"""How many phase masks a matrix takes, by counting real numbers."""

from __future__ import annotations

import itertools


def fewest_planes(out: int, in_: int, n: int, *, lossless: int = 0) -> int:
    r"""Masks below which no generic matrix of that kind can be reached.

    With M phase masks and a lens between any two, the phases that matter are those of the pixels lit and read, less
    the one common to a mask, of which the cascade shows only the sum of all:

    .. math:: F = \begin{cases} in + (M-2)\,n + out - (M-1) & M\ \text{odd}\\
        in + (M-1)\,n - (M-1) & M\ \text{even}\end{cases}

    for M > 1 (M even: the lens at the end takes all pixels of the last mask to the outputs read), and min(in, out) for
    M = 1. The block of ``out`` rows and ``in`` columns of a unitary matrix of n modes, u of whose singular values are
    1, fixes all n² real numbers of that matrix but those of its completions: an isometry, of the in - u inputs that
    lose light, into n - out outputs, and a unitary matrix of n - in modes for the rest:

    .. math:: D = n^2 - (n - in)^2 - 2(in - u)(n - out) + (in - u)^2
        = 2\,out\,in + 2u\,(n - out - in) + u^2

    At least out + in - n inputs lose nothing. A unitary matrix of N = n modes, F = N + (M - 1)(N - 1), D = N²: N + 1
    masks. N × N blocks of 2N modes, D = 2N²: N + 2 masks for N even, N + 1 for N odd. Where F = D, as for a unitary
    matrix, some starts of a fit succeed; with phases to spare nearly all do.

    Args:
        out: features read.
        in_: features fed.
        n: features of a mask, at least as many as either.
        lossless: u, singular values of gain · A that are 1.

    Returns:
        The smallest M of which F ≥ D.

    Where u > out + in - n, one mask fewer may come near: a block is off by no more than the square of the light that
    leaks where none should.

    Source: for unitary matrices, Saygin et al., Phys. Rev. Lett. 124, 010501 (2020).
    Not modelled: two or three masks between few ports. Only one mask then lies between two lenses, and a block shows
    of it the sums of indices alone (in 1-D a Hankel matrix between two diagonal ones): fewer phases than counted.
    """
    lossless = max(lossless, out + in_ - n)
    fixed = 2 * out * in_ + 2 * lossless * (n - out - in_) + lossless**2
    return next(planes for planes in itertools.count(1) if _free(out, in_, n, planes) >= fixed)


def _free(out: int, in_: int, n: int, planes: int) -> int:
    if planes == 1:
        return min(out, in_)
    ends = in_ + out + (planes - 2) * n if planes % 2 else in_ + (planes - 1) * n
    return ends - (planes - 1)
