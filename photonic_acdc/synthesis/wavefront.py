r"""Wavefront matching: one mask after the other takes the phases at which forward and backward light agree best.

.. math:: t = \mathrm{tr}(A^\dagger T) = \sum_p m_{kp}\,c_{kp} \quad\text{for any } k, \qquad
    m_{kp} = \bar c_{kp} / |c_{kp}|

Each mask is at its optimum given the others, so that t is real and never falls. Steps are cheap and need no settings,
yet the end is slow where masks are few: for N = 32 and after 100 sweeps, N + 2 masks miss the matrix by 3e-2, 2N masks
by 3e-8.

Source: Hashimoto et al., Opt. Lett. 30, 2620 (2005); Fontaine et al., Nat. Commun. 10, 1865 (2019).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from photonic_acdc.synthesis.lenses import Grid, lens
from photonic_acdc.synthesis.phases import backward_fields

#: t growing by less than this share in a sweep is rounding.
STILL = 1e-15

SMALLEST = torch.finfo(torch.float64).tiny


def match_wavefronts(
    masks: Tensor, target: Tensor, grid: Grid, *, sweeps: int, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Phase masks that raise the overlap of a cascade with ``target``, from given ones.

    Only the inputs fed and the outputs read are matched. For a unitary target the overlap is largest at the target.
    For any other it is largest at the unitary factor of its polar decomposition, all of whose singular values are 1:
    the masks are then a start and not a result.

    Args:
        masks: ``[S, M, n]`` complex128 of modulus 1, to start from.
        target: A, ``[S, out, in]``.
        grid: of n features.
        sweeps: through all masks, in the order of the light, at most; fewer where the overlap of every target is still.
        progress: called with (sweeps done, sweeps at most).

    Returns:
        ``[S, M, n]``, of modulus 1.
    """
    count, n = masks.shape[-2:]
    out, inputs = target.shape[-2:]
    masks = masks.clone()
    fed = torch.eye(inputs, n, dtype=masks.dtype, device=masks.device)
    wanted = fed.new_zeros(len(masks), inputs, n)
    wanted[..., :out] = target.mH  # row i: what output o counts for the light of input i
    before = torch.zeros(len(masks), dtype=torch.float64, device=masks.device)
    for sweep in range(sweeps):
        behind = backward_fields(masks, wanted, grid)  # stays right in a sweep: masks further on change after
        field, overlap = fed, before
        for k in range(count):
            match = (field * behind[:, k]).sum(1)
            share = match.abs()
            # A pixel that no light passes keeps its phase.
            masks[:, k] = torch.where(share > 0, match.conj() / share.clamp(min=SMALLEST), masks[:, k])
            overlap = share.sum(-1)
            if k < count - 1:
                field = lens(field * masks[:, k, None], grid)
        if progress is not None:
            progress(sweep + 1, sweeps)
        if bool((overlap - before <= STILL * overlap).all()):
            break
        before = overlap
    return masks
