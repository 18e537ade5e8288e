"""What may be synthesised: the matrix, and what is asked of its masks, said in the user's terms."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import positive
from simulators.errors import InputError

#: A matrix is unitary, up to a factor, where U*U differs from 1 by less.
UNITARY = 1e-10


def checked_matrix(matrix: Any) -> Tensor:
    """The matrix, or batch of them, in double precision: complex128 ``[..., out, in]``.

    Args:
        matrix: a tensor, an array, nested lists, or an ``nn.Linear``, of which the weight counts.

    Raises:
        InputError: naming what is wrong.
    """
    if isinstance(matrix, nn.Linear):
        matrix = matrix.weight
    if np.ma.isMaskedArray(matrix):
        raise InputError("matrix", value="a masked array", allowed="numbers throughout", remedy="matrix.filled(0)")
    if not isinstance(matrix, Tensor):
        try:
            array = np.asarray(matrix)
        except ValueError as error:
            raise InputError("matrix", value=str(error), allowed="rows of the same length") from None
        if array.dtype == object or array.dtype.kind not in "iufc":
            raise InputError("matrix", value=f"entries of {array.dtype}", allowed="real or complex numbers")
        matrix = torch.from_numpy(array.astype(np.complex128))
    if matrix.layout != torch.strided:
        raise InputError(
            "matrix", value=f"a tensor of layout {matrix.layout}", allowed="dense", remedy="matrix.to_dense()"
        )
    if matrix.dtype == torch.bool:
        raise InputError("matrix", value="entries of torch.bool", allowed="real or complex numbers")
    if matrix.ndim < 2 or 0 in matrix.shape:
        raise InputError("matrix: shape", value=tuple(matrix.shape), allowed="[..., out, in], none of them 0")
    # A copy: what is found belongs to the matrix as it was given.
    matrix = matrix.detach().to(torch.complex128, copy=True).resolve_conj()
    bad = (~(matrix.real.isfinite() & matrix.imag.isfinite())).nonzero()
    if len(bad):
        place = ", ".join(map(str, bad[0].tolist()))
        more = "" if len(bad) == 1 else f", as {len(bad)} entries"
        value = f"{matrix[tuple(bad[0])].item()}{more}"
        raise InputError(f"matrix[{place}]", value=value, allowed="finite numbers")
    zero = (matrix.abs().amax((-2, -1)) == 0).nonzero()
    if len(zero):
        which = "" if matrix.ndim == 2 else f"[{', '.join(map(str, zero[0].tolist()))}]"
        raise InputError(f"matrix{which}", value="zeros alone", allowed="a matrix to which an error can be relative")
    return matrix


def checked_shape(shape: Any) -> tuple[int, ...] | None:
    """A grid (y, x), a line (n,), or None."""
    if shape is None:
        return None
    sides = list(shape) if isinstance(shape, tuple | list) else [shape]
    try:
        if len(sides) in (1, 2):
            return tuple(whole("shape", side) for side in sides)
    except InputError:
        pass  # said of the whole shape
    raise InputError("shape", value=shape, allowed="(n,) or (y, x), whole numbers ≥ 1")


def checked_gain(gain: Any, matrix: Tensor) -> Tensor | None:
    """``gain`` for each matrix of a batch ``[B, out, in]``, at most 1/σ_max of every one."""
    if gain is None:
        return None
    if isinstance(gain, bool) or not isinstance(gain, numbers.Real) or not 0 < float(gain) < math.inf:
        raise InputError("gain", value=repr(gain), allowed="a number greater than 0")
    bound = unitary_scale(matrix)
    wanted = torch.full_like(bound, float(gain))
    if (wanted > bound * (1 + 1e-9)).any():
        digits = "g" if f"{gain:g}" != f"{bound.min().item():g}" else ".17g"
        raise InputError(
            "gain",
            value=f"{gain:{digits}}",
            allowed=f"at most 1/σ_max = {bound.min().item():{digits}}: passive masks amplify nothing",
            remedy="the rest of the gain in the electronics",
        )
    return torch.minimum(wanted, bound)  # rounding alone is beyond it


def whole(name: str, value: Any) -> int:
    """A whole number ≥ 1, of Python or NumPy."""
    try:
        return positive(name, value if isinstance(value, bool) else operator.index(value))
    except TypeError:
        return positive(name, value)


def unitary_scale(matrix: Tensor) -> Tensor:
    """1/σ_max, ``[B]``: of a multiple of a unitary matrix the factor that makes it one."""
    return 1 / torch.linalg.matrix_norm(matrix, ord=2)


def departure(matrix: Tensor, scale: Tensor) -> float:
    """Largest entry of |U*U - 1| of any matrix of the batch, scaled; infinite where it is not square."""
    if matrix.shape[-2] != matrix.shape[-1]:
        return math.inf
    scaled = matrix * scale[:, None, None]
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return (scaled.mH @ scaled - one).abs().max().item()
