"""Which kernel computes a cascade."""

from __future__ import annotations

import math
from typing import Literal

import torch

Kernel = Literal["auto", "plain", "fused", "reversible", "dense"]
KERNELS: tuple[Kernel, ...] = ("auto", "plain", "fused", "reversible", "dense")

#: Features for which a matrix product costs as much as one transform's log2 N, beside the products around it.
_DENSE_COST = 9.0
_STAGE_COST = 3.0


def choose(kernel: Kernel, rows: int, features: int, stages: int, *, affine: bool) -> Kernel:
    """The kernel that computes; what ``"auto"`` stands for is decided by the sizes.

    A stage of R rows costs about R·N·(log2 N + 3) units; a matrix R·N·N/9, after the N rows it is multiplied out from
    (``benchmarks/layers_speed.py`` measures the crossing).

    Args:
        kernel: asked for.
        rows: R.
        features: N.
        stages: K.
        affine: whether the cascade is one matrix.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return "plain"
    if kernel != "auto":
        return kernel
    cascade = stages * (math.log2(features) + _STAGE_COST)
    if affine and rows * (cascade - features / _DENSE_COST) > 1.5 * features * cascade:
        return "dense"
    return "fused"
