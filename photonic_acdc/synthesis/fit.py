r"""Fewest phase masks: all phases of a cascade at once, by least squares, to the precision of the arithmetic.

.. math:: \min_\theta \frac{\|T(\theta)_{:out,:in} - g A\|_F^2}{\|g A\|_F^2}

The residual is fitted as it stands: an overlap :math:`1 - |\mathrm{tr}(A^\dagger T)|^2/N^2` is quadratic in the error,
and rounding stops it at 1e-8 of the matrix. The method is Levenberg and Marquardt's, which squares the error at every
step near the end; a step costs a Cholesky factor of the size of all M·n phases, (M·n)³/3. Unitary matrices by N + 2
masks take it about 10, 15, 18 and 22 steps for N = 4, 8, 16 and 32, where L-BFGS takes 45, 180, 570 and 1500 of its
cheaper ones and is half as fast; beyond N = 64 or so that turns. At gain 1/σ_max the block is at the border of what is
passive, where convergence is linear: some 50 steps.

Source: Marquardt, J. SIAM 11, 431 (1963); damping: Nielsen, "Damping parameter in Marquardt's method",
IMM-REP-1999-05, Technical University of Denmark (1999); phases of N + 2 masks: Pereira et al., Phys. Rev. A 111, 062603
(2025), arXiv:2002.01371.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from photonic_acdc.synthesis.lenses import Grid
from photonic_acdc.synthesis.phases import normal_equations, random_masks, residual

Progress = Callable[[int, int], None]
"""Called with (steps done, steps at most)."""

#: Entries of the normal matrices of one part of a batch, 128 MB; a target that needs more is a part of its own.
ENTRIES = 2**24


@dataclass(frozen=True)
class Fitted:
    """Masks found for each target.

    Attributes:
        masks: ``[B, M, n]`` complex128 of modulus 1, in the order of the light.
        error: ``[B]``, relative Frobenius error of the block read.
        iterations: ``[B]``, steps taken, of all starts.
    """

    masks: Tensor
    error: Tensor
    iterations: Tensor


def fit_phases(
    target: Tensor,
    grid: Grid,
    planes: int,
    *,
    gain: Tensor,
    starts: int = 4,
    iterations: int = 200,
    tolerance: float = 1e-10,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Phase masks whose cascade is ``gain * target`` between the features fed and read.

    With n = N features the target is unitary and gain 1. Any matrix is in reach with n ≥ out + in and
    gain · σ_max ≤ 1: features that are not read take what the matrix loses. One mask more than
    :func:`~photonic_acdc.synthesis.counting.fewest_planes` says is enough from nearly any start; where the count is
    met with nothing to spare, about every other start succeeds.

    Args:
        target: A, ``[B, out, in]`` complex128, not all zero; its device does the work.
        grid: n features, out and in of them at most.
        planes: M ≥ 1.
        gain: g, ``[B]``.
        starts: random starts at most; a target is started again only while it misses ``tolerance``.
        iterations: steps at most of one start.
        tolerance: relative Frobenius error at which a fit ends.
        seed: of the starts.
        progress: called after each step of the batch.

    Returns:
        The best start of each target, whether or not it is within ``tolerance``.
    """
    wanted = target * gain[:, None, None]
    first = random_masks(planes, grid, seed, 0).to(target.device)
    part = max(1, ENTRIES // first.numel() ** 2)
    parts = torch.arange(len(target), device=target.device).split(part)
    masks = first.repeat(len(target), 1, 1)
    error = torch.full((len(target),), torch.inf, dtype=torch.float64, device=target.device)
    taken = torch.zeros(len(target), dtype=torch.int64, device=target.device)
    total = starts * iterations * len(parts)
    for start in range(starts):
        begin = random_masks(planes, grid, seed, start).to(target.device)
        for j, members in enumerate(parts):
            done = (start * len(parts) + j) * iterations
            left = members[error[members] > tolerance]
            if len(left):
                step = None if progress is None else lambda i, done=done: progress(done + i, total)
                found = _descend(begin, wanted[left], grid, iterations, tolerance, step)
                better = found.error < error[left]
                masks[left[better]], error[left[better]] = found.masks[better], found.error[better]
                taken[left] += found.iterations
    if progress is not None:
        progress(total, total)
    return Fitted(masks, error, taken)


def _descend(
    begin: Tensor, target: Tensor, grid: Grid, iterations: int, tolerance: float, step: Callable[[int], None] | None
) -> Fitted:
    """One start ``[M, n]`` for targets ``[S, out, in]``; each has its own damping, and leaves when it is done."""
    masks = begin.repeat(len(target), 1, 1)
    norm = torch.linalg.matrix_norm(target).square()
    loss = residual(masks, target, grid).abs().square().sum((-2, -1))
    gradient, gram = normal_equations(masks, target, grid)
    damping = gram.diagonal(dim1=-2, dim2=-1).amax(-1)
    growth = torch.full_like(damping, 2.0)
    result = Fitted(masks.clone(), (loss / norm).sqrt(), torch.full_like(loss, iterations, dtype=torch.int64))
    active = torch.arange(len(target), device=target.device)
    for i in range(iterations):
        factor, failed = _damped_factor(gram, damping)
        move = -torch.cholesky_solve(gradient[..., None], factor)[..., 0]
        foreseen = (damping * move.square().sum(-1)) - (move * gradient).sum(-1)
        trial = masks * torch.polar(torch.ones_like(move), move).unflatten(-1, masks.shape[1:])
        trial_loss = residual(trial, target, grid).abs().square().sum((-2, -1))
        agreement = (loss - trial_loss) / foreseen
        down = (failed == 0) & (agreement > 0)
        softer = (1 - (2 * agreement - 1) ** 3).clamp(min=0.1)
        damping = damping * torch.where(down, softer, growth)
        growth = torch.where(down, 2.0, growth * 2)
        masks = torch.where(down[:, None, None], trial / trial.abs(), masks)
        loss = torch.where(down, trial_loss, loss)

        # Rounding hides a decrease that is foreseen smaller than this: a minimum, here or elsewhere.
        stuck = (failed == 0) & ~(foreseen > 1e-14 * loss)
        over = ((loss / norm).sqrt() <= tolerance) | stuck
        result.masks[active], result.error[active] = masks, (loss / norm).sqrt()
        result.iterations[active[over]] = i + 1
        if step is not None:
            step(i + 1)
        if bool(over.all()):
            break
        stay = ~over
        active, masks, target, norm, loss, down = (x[stay] for x in (active, masks, target, norm, loss, down))
        damping, growth, gradient, gram = (x[stay] for x in (damping, growth, gradient, gram))
        if bool(down.any()):
            gradient[down], gram[down] = normal_equations(masks[down], target[down], grid)
    return result


def _damped_factor(gram: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    damped = gram.clone()
    damped.diagonal(dim1=-2, dim2=-1).add_(damping[:, None])
    return torch.linalg.cholesky_ex(damped)
