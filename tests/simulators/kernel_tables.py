"""Tables of fringing kernels, and what they do by other means."""

from __future__ import annotations

import math

import numpy as np
import torch

from simulators.effects.kernel_table import half_maxima

#: Steep below, with a long tail above; its half maxima are at -0.25 and 1.
LOPSIDED = ((-0.5, 0.0), (0.0, 1.0), (2.0, 0.0))
STEPS = math.log(2) * 2  #: of the exponential kernel of unit width, per width


def places(*values):
    return torch.tensor(values, dtype=torch.float64)


def sampled(shape, reach, step):
    """A table of ``shape`` at every ``step`` widths from -reach to reach, 0 among them."""
    count = round(reach / step)
    x = np.arange(-count, count + 1) * step
    return tuple(zip(x.tolist(), shape(x).tolist(), strict=True))


def gaussian(x):
    return np.exp(-4 * math.log(2) * x**2)


def exponential(x):
    return np.exp(-STEPS * np.abs(x))


def drawn(seed, points=12):
    """A random table, at uneven positions, of small ends."""
    generator = np.random.default_rng(seed)
    x = np.sort(generator.uniform(-1.5, 2.5, points))
    h = generator.uniform(0.0, 3.0, points)
    h[[0, -1]] = generator.uniform(0, h[1:-1].max() / 2, 2)
    return tuple(zip(x.tolist(), h.tolist(), strict=True))


def crossings(points):
    """Where the table crosses half its maximum, by a fine search: the outermost two."""
    x, h = np.array(points).T
    fine = np.linspace(x[0], x[-1], 2_000_001)
    above = fine[np.interp(fine, x, h) >= h.max() / 2]
    return above[0], above[-1]


def convolved(phase, points, width, fine, pad=6):
    """``phase`` and the kernel on a fine grid, edge pixels repeated, by numpy.convolve along one axis after the other.

    np.convolve(a, h)[n] is Σ a[n-k] h[k]: h at positive places is felt at greater n.
    """
    low, high = half_maxima(points)
    x = (np.arange(2 * pad * fine + 1) - pad * fine) / fine
    table = np.array(points).T
    line = np.interp(x, table[0] * width / (high - low), table[1], left=0, right=0)
    line /= line.sum()

    def blurred(rows):
        long = np.pad(rows, ((0, 0), (2 * pad, 2 * pad)), mode="edge").repeat(fine, 1)
        full = np.stack([np.convolve(row, line, mode="valid") for row in long])
        return full[:, pad * fine : pad * fine + rows.shape[1] * fine]

    return blurred(blurred(phase).T.copy()).T
