"""Tensor train: a matrix as a chain of small cores, one for each pair of factors of its sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import positive
from photonic_acdc.layers.structured import StructuredLinear, output_bias
from simulators.errors import InputError

#: Sizes above this are cut into four factors, others into three.
_LARGE = 1024


class TensorTrain(StructuredLinear):
    r"""A matrix in tensor-train format.

    .. math:: W_{(i_1 \ldots i_d),(j_1 \ldots j_d)} = G_1[i_1, j_1]\,G_2[i_2, j_2] \cdots G_d[i_d, j_d]

    with in = m_1 ⋯ m_d, out = n_1 ⋯ n_d, the last index running fastest, and G_k[i, j] matrices of r_{k-1} × r_k,
    r_0 = r_d = 1. Σ r_{k-1}·m_k·n_k·r_k parameters and the bias.

    Without shapes, the sizes are cut into the most balanced factors, three, or four where one is above 1024: ascending
    for the input, descending for the output, so that the cores are of similar size. Any size will do, but a prime has
    no factors but 1 and itself: two primes give a low-rank matrix (:class:`~photonic_acdc.layers.LowRank`).

    Args:
        in_features: of the input, ≥ 1.
        out_features: of the output; None: as many.
        rank: r_1 … r_{d-1}, one number for all or one each; r_k ≤ r_{k-1}·m_k·n_k and ≤ r_{k+1}·m_{k+1}·n_{k+1}, above
            which it adds nothing.
        in_shape: (m_1, …, m_d), d ≥ 2, product in_features.
        out_shape: (n_1, …, n_d), product out_features.
        bias: add one to the output.
        generator: of the initial values: normal cores of one width, such that entries of W have the variance 1/in.
        device, dtype: of the parameters.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; shapes of another product or length; a rank that is too large, with the largest one;
            complex input; input with another last axis.

    Source: Novikov, Podoprikhin, Osokin and Vetrov, arXiv:1509.06569; closed-form fit: TT-SVD, at most √(d-1) times as
    far as the nearest, Oseledets, SIAM J. Sci. Comput. 33, 2295 (2011).
    """

    cores: nn.ParameterList  #: d of [r_{k-1}, m_k, n_k, r_k]
    bias: nn.Parameter | None  #: [out_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        rank: int | Sequence[int],
        in_shape: Sequence[int] | None = None,
        out_shape: Sequence[int] | None = None,
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features)
        shapes = _shapes(self.in_features, self.out_features, in_shape, out_shape)
        self.in_shape, self.out_shape = shapes
        self.ranks = _ranks(rank, *shapes)  #: (r_1, …, r_{d-1})
        bonds = pairwise((1, *self.ranks, 1))
        sizes = [(before, m, n, after) for (before, after), m, n in zip(bonds, *shapes, strict=True)]
        self.cores = nn.ParameterList(torch.empty(size, device=device, dtype=dtype) for size in sizes)
        output_bias(self, self.out_features, bias, device, dtype)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        deviation = (self.in_features * math.prod(self.ranks)) ** (-0.5 / len(self.cores))
        for core in self.cores:
            core.normal_(0.0, deviation, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def flops(self) -> int:
        """A row: one dense product a core, and the bias."""
        rest, done, products = self.in_features, 1, 0
        for core, m, n in zip(self.cores, self.in_shape, self.out_shape, strict=True):
            rest //= m
            products += 2 * rest * done * core.numel()
            done *= n
        return products + (0 if self.bias is None else self.out_features)

    def _map(self, x: Tensor) -> Tensor:
        rows = x.shape[:-1].numel()
        rest, done = self.in_features, 1
        y = x.reshape(rows, rest, done, 1)  # inputs to come, outputs made, rank
        for core in self.cores:
            r, m, n, s = core.shape
            rest //= m
            y = y.reshape(rows, m, rest, done, r).permute(0, 2, 3, 4, 1).reshape(rows * rest * done, r * m)
            done *= n
            y = (y @ core.reshape(r * m, n * s)).reshape(rows, rest, done, s)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def _project(self, matrix: Tensor) -> bool:
        """Cut off one core after the other by a truncated singular value decomposition, then balance their norms."""
        d = len(self.cores)
        pairs = [axis for k in range(d) for axis in (k, d + k)]
        rest = matrix.reshape(*self.in_shape, *self.out_shape).permute(pairs)
        found = []
        for core in self.cores[:-1]:
            r, m, n, s = core.shape
            u, singular, v = torch.linalg.svd(rest.reshape(r * m * n, -1), full_matrices=False)
            found.append(u[:, :s])
            rest = singular[:s, None] * v[:s]
        found.append(rest)
        norms = torch.stack([part.norm() for part in found])
        balance = norms.log().mean().exp() / norms if norms.all() else torch.ones_like(norms)
        for core, part, factor in zip(self.cores, found, balance, strict=True):
            core.copy_((part * factor).reshape(core.shape))
        return True

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{super().extra_repr()}, in_shape={self.in_shape}, out_shape={self.out_shape}, ranks={self.ranks}"


def balanced_factors(size: int, count: int) -> tuple[int, ...]:
    """``count`` factors of a size, ascending, of the smallest sum; a prime gives (1, …, 1, size)."""
    if count == 1:
        return (size,)
    found, smallest = [], 1
    while smallest**count <= size:
        if size % smallest == 0:
            found.append((smallest, *balanced_factors(size // smallest, count - 1)))
        smallest += 1
    return tuple(sorted(min(found, key=sum)))


def _shapes(
    rows: int, columns: int, in_shape: Sequence[int] | None, out_shape: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    given = in_shape if in_shape is not None else out_shape
    usual = 4 if max(rows, columns) > _LARGE else 3
    count = usual if given is None else max(2, len(given)) if isinstance(given, Sequence) else 2
    checked = []
    for name, shape, size, step in (("in", in_shape, rows, 1), ("out", out_shape, columns, -1)):
        suggestion = balanced_factors(size, count)[::step]
        shape = suggestion if shape is None else shape
        sides = tuple(shape) if isinstance(shape, Sequence) else ()
        whole = all(isinstance(side, int) and side > 0 for side in sides)
        if not whole or len(sides) != count or math.prod(sides) != size:
            allowed = f"{count} factors whose product is {name}_features = {size}"
            raise InputError(f"TensorTrain: {name}_shape", value=shape, allowed=allowed, remedy=str(suggestion))
        checked.append(sides)
    return checked[0], checked[1]


def _ranks(rank: int | Sequence[int], in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = [m * n for m, n in zip(in_shape, out_shape, strict=True)]
    shown = f"for the shapes {in_shape} and {out_shape}"
    if not isinstance(rank, Sequence):
        largest = min(sizes[0], sizes[-1])
        if positive("TensorTrain: rank", rank) > largest:
            raise InputError("TensorTrain: rank", value=rank, allowed=f"1 to {largest} {shown}")
        return (rank,) * (len(sizes) - 1)
    ranks = tuple(positive("TensorTrain: rank", r) for r in rank)
    if len(ranks) != len(sizes) - 1:
        raise InputError("TensorTrain: rank", value=ranks, allowed=f"one number, or {len(sizes) - 1} {shown}")
    bonds = (1, *ranks, 1)
    for k, r in enumerate(ranks):
        largest = min(bonds[k] * sizes[k], bonds[k + 2] * sizes[k + 1])
        if r > largest:
            allowed = f"1 to {largest} at place {k + 1} {shown} and these neighbours"
            raise InputError("TensorTrain: rank", value=ranks, allowed=allowed)
    return ranks
