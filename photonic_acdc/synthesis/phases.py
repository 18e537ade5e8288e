r"""Derivatives of a cascade with respect to its phases, from the light of the inputs and of the outputs at each mask.

With a, the field of input i before mask k, and b, what output o takes of the field behind it, the block read is

.. math:: T_{oi} = \sum_p b_{op}\,m_{kp}\,a_{ip} \quad\text{for any } k, \qquad
    \frac{\partial T_{oi}}{\partial\theta_{kp}} = i\,b_{op}\,m_{kp}\,a_{ip},\quad m_{kp} = e^{i\theta_{kp}}

A column of this Jacobian is an outer product, so that :math:`J^\dagger J` is the elementwise product of two small Gram
matrices, of the b and of the m·a, and J itself is never needed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from photonic_acdc.synthesis.lenses import Grid, lens, read, size
from simulators.random import stream


def random_masks(planes: int, grid: Grid, seed: int, start: int) -> Tensor:
    """Masks ``[M, n]`` of independent uniform phases; the same for every target, whatever its batch."""
    drawn = stream(seed, "synthesis", "phases", realisation=start).uniform(0, 2 * math.pi, (planes, size(grid)))
    return torch.polar(torch.ones(planes, size(grid), dtype=torch.float64), torch.from_numpy(drawn))


def forward_fields(masks: Tensor, inputs: int, grid: Grid) -> tuple[Tensor, Tensor]:
    """Light fed into each of the first features.

    Args:
        masks: ``[S, M, n]``.
        inputs: how many features are fed, one after the other.
        grid: of the lenses.

    Returns:
        The field before each mask, ``[S, M, inputs, n]``, and as it is read, ``[S, inputs, n]``.
    """
    items, count, n = masks.shape
    before = [torch.eye(inputs, n, dtype=masks.dtype, device=masks.device).expand(items, inputs, n)]
    for k in range(count - 1):
        before.append(lens(before[-1] * masks[:, k, None], grid))
    output = before[-1] * masks[:, -1, None]
    return torch.stack(before, dim=1), read(output if count % 2 else lens(output, grid), count, grid)


def backward_fields(masks: Tensor, rows: Tensor, grid: Grid) -> Tensor:
    """What ``rows`` ``[S, r, n]`` of what is read are of the field behind each mask, ``[S, M, r, n]``.

    No conjugate is taken anywhere: mask and lens are symmetric, and light runs back through them as it runs forward.
    """
    count = masks.shape[1]
    rows = read(rows, count, grid)
    behind = [rows if count % 2 else lens(rows, grid)]
    for k in range(count - 1, 0, -1):
        behind.append(lens(behind[-1] * masks[:, k, None], grid))
    return torch.stack(behind[::-1], dim=1)


def residual(masks: Tensor, target: Tensor, grid: Grid) -> Tensor:
    """T − target over the ports fed and read, ``[S, out, in]``."""
    out, inputs = target.shape[-2:]
    return forward_fields(masks, inputs, grid)[1][..., :out].mT - target


def normal_equations(masks: Tensor, target: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    r"""First and second order of :math:`\tfrac12\|T - A\|_F^2`, over the phases mask by mask, P = M·n of them.

    Args:
        masks: ``[S, M, n]``.
        target: A, ``[S, out, in]``.
        grid: of the lenses.

    Returns:
        :math:`\mathrm{Re}\,J^\dagger(T - A)`, ``[S, P]``, the gradient, and :math:`\mathrm{Re}\,J^\dagger J`,
        ``[S, P, P]``, of which only the lower triangle, and n × n blocks on the diagonal, are filled in.
    """
    out, inputs = target.shape[-2:]
    before, output = forward_fields(masks, inputs, grid)
    off = output[..., :out].mT - target
    ports = torch.eye(out, masks.shape[-1], dtype=masks.dtype, device=masks.device).expand(len(masks), -1, -1)
    b = _by_phase(backward_fields(masks, ports, grid))
    a = _by_phase(before * masks[..., None, :])
    gradient = (b.conj() * (off @ a.conj())).sum(1).imag  # Re(-i z) = Im z
    count, n = masks.shape[-2:]
    gram = gradient.new_zeros(len(masks), count * n, count * n)
    for k in range(count):  # by masks: complex products of all phases at once would take four times the memory
        rows, columns = slice(k * n, (k + 1) * n), slice((k + 1) * n)
        product = (b[..., rows].mH @ b[..., columns]) * (a[..., rows].mH @ a[..., columns])
        gram[:, rows, columns] = product.real
    return gradient, gram


def _by_phase(fields: Tensor) -> Tensor:
    """``[S, M, r, n]`` as ``[S, r, M·n]``."""
    return fields.transpose(1, 2).flatten(2)
