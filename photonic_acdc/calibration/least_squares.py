"""Weighted least squares of frames, in scales of the figures: steps, starts, and what the data determine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from photonic_acdc.calibration.expected import Expected, Whitening
from photonic_acdc.calibration.figures import Figure
from simulators.random import stream

#: Singular values below this share of the largest are zero to what a fit can tell.
THRESHOLD = 1e-6
#: So is a direction known to no better than this many of its scales: the frames are not linear over so far.
FARTHEST = 30.0
#: By how many of its standard deviations χ² may exceed its mean and be put down to noise.
EXPLAINED = 10.0
#: A direction of which one more mode a pixel leaves less than this share is seen by the simulator alone.
ARTEFACT = 0.5
#: Share of the largest below which a figure has no part in such a direction.
_FAINT = 1e-2
#: Readings a figure, and patterns at least, from which that is judged.
_JUDGED = 4
_JUDGED_PATTERNS = 4
#: A step that promises less than this of χ² (a tenth of a standard error) is the last.
_LAST = 0.01
#: Damping, of singular values squared, at which no step is left.
_STUCK = 1e15
#: Points that are looked at for every start that is made.
_SCANNED = 8


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a search has ended.

    Attributes:
        theta: figures in their scales, ``[p]``.
        residuals: whitened, ``[N]``.
        columns: the whitened Jacobian, ``[N, p]``, without what only the simulator sees.
        converged: whether the last step was below a tenth of a standard error in every direction.
        readings: that were data.
    """

    theta: Tensor
    residuals: Tensor
    columns: Tensor
    converged: bool
    readings: int

    @property
    def chi_squared(self) -> float:
        """Sum of the squared residuals."""
        return float(self.residuals @ self.residuals)


def determined(singular_values: Tensor) -> Tensor:
    """Which directions the data determine: singular values, in scales of the figures, above both limits."""
    return singular_values > max(THRESHOLD * float(singular_values[0]), 1 / FARTHEST)


def explained(chi_squared: float, freedom: int) -> bool:
    """Whether noise alone explains χ²."""
    return chi_squared <= freedom + EXPLAINED * (2 * freedom) ** 0.5


class LeastSquares:
    """Least squares of whitened residuals, by Levenberg and Marquardt's method.

    Args:
        expected: the frames of given figures.
        measured: ``[n, frames, y, x]``.
        kept: which readings are data.
        extra: further noise, rms.
        prior: inverse widths of what was known before, ``[p]``; None: nothing.
    """

    def __init__(self, expected: Expected, measured: Tensor, kept: Tensor, extra: float, prior: Tensor | None):
        self._expected, self._measured, self._kept, self._extra = expected, measured, kept, extra
        self._prior = prior
        self._readings = int(kept.sum())

    def search(self, figures: Sequence[Figure], starts: int, iterations: int) -> Minimum:
        """The lowest minimum from several starts: the nominal bench, then benches as they may be built.

        There are others: light that slips onto the next pixel does so on one side or the other, with a kink between.
        Directions that only the simulator sees are left alone, as they are at the nominal bench; those that are so at
        the minimum count in the end.
        """
        nominal = torch.zeros(len(figures), dtype=torch.float64)
        blind = self.artefacts(nominal)
        best = self._lowest(figures, starts, iterations, nominal, blind)
        if not blind.numel():  # they are a matter of which figures are sought, not of their values
            return best
        here = self.artefacts(best.theta)
        if here.shape != blind.shape:
            best = self.run(best.theta, iterations, here)
        return dataclasses.replace(best, columns=_without(here, best.columns))

    def _lowest(
        self, figures: Sequence[Figure], starts: int, iterations: int, nominal: Tensor, blind: Tensor
    ) -> Minimum:
        best = self.run(nominal, iterations, blind)
        drawn = torch.tensor([figure.spread is not None for figure in figures])
        if starts == 1 or not drawn.any():
            return best
        if explained(best.chi_squared, max(1, self._readings - len(figures))):
            return best
        points = [
            drawn * torch.from_numpy(stream(0, "calibrate", "start", realisation=k).standard_normal(len(figures)))
            for k in range(_SCANNED * (starts - 1))
        ]
        for point in sorted(points, key=self._cost)[: starts - 1]:
            other = self.run(point, iterations, blind)
            if other.chi_squared < best.chi_squared:
                best = other
            if explained(best.chi_squared, max(1, self._readings - len(figures))):
                break
        return best

    def artefacts(self, theta: Tensor) -> Tensor:
        r"""Directions in which the frames change only because a pixel has no more modes, orthonormal ``[p, m]``.

        A phase over the detector's pixels is none of a camera's business, but q modes a pixel lose some of its light:
        tilt and decentre seem to be told apart by that. With the whitened Jacobians J of q and J' of q + 1 modes, such
        directions are the right singular vectors v of J' with :math:`|J'v| < |J v|/2`.
        """
        modes = self._measured[0].numel()
        count = min(len(self._measured), max(_JUDGED_PATTERNS, math.ceil(_JUDGED * len(theta) / modes)))
        frames, jacobian, swing = self._expected.first(count).jacobian(theta)
        _, finer, _ = self._expected.finer(count).jacobian(theta)
        whiten = Whitening(self._expected.variance(frames, self._extra), self._kept[:count], swing)
        coarse = whiten(jacobian)
        _, fine, vt = torch.linalg.svd(whiten(finer), full_matrices=False)
        seen = torch.linalg.vector_norm(coarse @ vt.T, dim=0)
        found = vt[(seen > THRESHOLD * seen.max()) & (fine < ARTEFACT * seen)].T
        # What is left of J' in them turns them a little towards figures that have no part in it.
        found = found.masked_fill(found.abs() < _FAINT * found.abs().amax(0), 0.0) if found.numel() else found
        return torch.linalg.qr(found)[0]

    def run(self, theta: Tensor, iterations: int, blind: Tensor) -> Minimum:
        """The minimum that steps down from ``theta`` lead to, none of them along ``blind``."""
        damping = float("inf")
        white = columns = theta.new_zeros(0)
        for _ in range(iterations):
            frames, jacobian, swing = self._expected.jacobian(theta)
            whiten = self._whitening(frames, swing)
            white, columns = whiten(self._measured - frames), whiten(jacobian)
            residuals, slopes = self._with_prior(white, theta), self.with_prior(_without(blind, columns))
            u, s, vt = torch.linalg.svd(slopes, full_matrices=False)
            along = torch.where(determined(s), u.T @ residuals, torch.zeros_like(s))
            last = float(along @ along) < _LAST
            cost = float(residuals @ residuals)
            # As if all misfit were noise and the scales known before: far from the minimum, where the frames are not
            # linear, a direction they hardly show must not run away.
            damping = min(damping, cost / self._readings)
            while True:
                step = vt.T @ (along * s / (s**2 + (0.0 if last else damping)))
                # The weights stay: with weights of its own a step could pay by claiming more noise.
                tried = whiten(self._measured - self._expected(theta + step))
                found = self._with_prior(tried, theta + step)
                # A trial beyond what a device can be is not finite, and is refused like any other that is worse.
                if float(found @ found) <= cost * (1 + 1e-12):
                    theta, white, damping = theta + step, tried, damping / 10
                    break
                if last or damping > _STUCK:
                    # χ² is flat to rounding, or not smooth.
                    return Minimum(theta, white, columns, last, self._readings)
                damping *= 10
            if last:
                return Minimum(theta, white, columns, True, self._readings)
        return Minimum(theta, white, columns, False, self._readings)

    def with_prior(self, columns: Tensor) -> Tensor:
        """The Jacobian, with rows of what was known before."""
        return columns if self._prior is None else torch.cat([columns, torch.diag(self._prior)])

    def _with_prior(self, residuals: Tensor, theta: Tensor) -> Tensor:
        return residuals if self._prior is None else torch.cat([residuals, -self._prior * theta])

    def _whitening(self, frames: Tensor, swing: Tensor) -> Whitening:
        return Whitening(self._expected.variance(frames, self._extra), self._kept, swing)

    def _cost(self, theta: Tensor) -> float:
        """χ² of a point to start from, where it does not matter that the laser swings."""
        frames = self._expected(theta)
        white = self._whitening(frames, torch.zeros_like(frames))(self._measured - frames)
        return float(white @ white)


def _without(directions: Tensor, columns: Tensor) -> Tensor:
    """A Jacobian that does not see ``directions``."""
    return columns - (columns @ directions) @ directions.T
