"""A structured layer and what it misses: a low-rank and a sparse correction beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import natural
from photonic_acdc.layers.circulant import numpy_generator
from photonic_acdc.layers.fit import fit
from photonic_acdc.layers.low_rank import truncated_svd, up_to
from photonic_acdc.layers.structured import StructuredLinear
from simulators.errors import InputError

#: Rounds of the alternating fit at most; it ends where one gains less than a thousandth.
_ROUNDS, _GAIN = 30, 1e-3


class Hybrid(StructuredLinear):
    r"""A structured layer, a low-rank and a sparse matrix side by side.

    .. math:: y = f(x) + x\,U\,V + x\,E

    with E zero but for ``entries`` learned values at fixed distinct random places. R·(in + out) + entries numbers more
    than f has, complex where f is. It starts as f: U is random, V and the values are zero.

    Args:
        structured: f, any structured layer; becomes a part of this one.
        rank: R, 0 to min(in_features, out_features).
        entries: of E, 0 to in_features · out_features; not both 0.
        generator: of the places and of U, N(0, 1/in).

    Shapes: as ``structured``: ``[..., in_features]`` → ``[..., out_features]``.

    Raises:
        InputError: no structured layer; a rank or a number of entries that is too large, or none; input that
            ``structured`` refuses.

    Source: Zhou and Tao, GoDec, ICML 2011: low-rank and sparse parts by turns, which is how :func:`fit` fits it.
    """

    u: nn.Parameter | None  #: [in_features, R]
    v: nn.Parameter | None  #: [R, out_features]
    values: nn.Parameter | None  #: [entries]
    row: Tensor | None  #: [entries]
    column: Tensor | None  #: [entries]

    def __init__(
        self,
        structured: StructuredLinear,
        *,
        rank: int = 0,
        entries: int = 0,
        generator: torch.Generator | None = None,
    ):
        if not isinstance(structured, StructuredLinear):
            raise InputError("Hybrid: structured", value=repr(structured), allowed="a structured layer")
        super().__init__(structured.in_features, structured.out_features)
        self.structured = structured
        self.takes_complex, self.affine = structured.takes_complex, structured.affine
        self.rank = up_to("Hybrid: rank", natural("Hybrid: rank", rank), self)  #: R
        self.entries = natural("Hybrid: entries", entries)
        size = self.in_features * self.out_features
        if entries > size:
            allowed = f"at most {size} = in_features · out_features"
            raise InputError("Hybrid: entries", value=entries, allowed=allowed)
        if rank == entries == 0:
            raise InputError("Hybrid: rank and entries", value="0 and 0", allowed="at least one above 0")
        like = next(structured.parameters())
        real = like.real.dtype if like.is_complex() else like.dtype
        options = {"dtype": real.to_complex() if self.takes_complex else real, "device": like.device}

        def parameter(*size: int) -> nn.Parameter | None:
            return nn.Parameter(torch.empty(size, **options)) if all(size) else None

        self.register_parameter("u", parameter(self.in_features, rank))
        self.register_parameter("v", parameter(rank, self.out_features))
        self.register_parameter("values", parameter(entries))
        self.register_buffer("row", None)
        self.register_buffer("column", None)
        if entries:
            places = numpy_generator(generator).choice(size, entries, replace=False, shuffle=False)
            flat = torch.from_numpy(places).sort().values.to(like.device)
            self.row, self.column = flat // self.out_features, flat % self.out_features
        self._reset_correction(generator)

    @classmethod
    def like(cls, linear: nn.Linear, *, structured: Callable[[nn.Linear], StructuredLinear], **options) -> Self:
        """A layer of the sizes, device and dtype of an ``nn.Linear``; weights are not copied.

        >>> replace_linear(model, lambda linear: Hybrid.like(linear, structured=ACDC.like, rank=4))

        Args:
            linear: what to stand in for.
            structured: makes the structured layer of it, as ``ACDC.like`` does.
            options: ``rank``, ``entries``, ``generator``.
        """
        return cls(structured(linear), **options)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew, of the structured layer too; the places stay."""
        self.structured.reset_parameters(generator)
        self._reset_correction(generator)

    @torch.no_grad()
    def _reset_correction(self, generator: torch.Generator | None) -> None:
        if self.u is not None:
            self.u.normal_(0.0, self.in_features**-0.5, generator=generator)
        for zero in (self.v, self.values):
            if zero is not None:
                zero.zero_()

    def flops(self) -> int:
        """A row: the structured layer, the two thin products, the entries, and the sum of the parts."""
        products = self.rank * (self.in_features + self.out_features) + self.entries
        sums = self.out_features if self.rank else 0
        return self.structured.flops() + (8 * products + 2 * sums if self.takes_complex else 2 * products + sums)

    def _map(self, x: Tensor) -> Tensor:
        y = self.structured(x)
        x = x.to(y.dtype)
        if self.u is not None and self.v is not None:
            y = y + x @ self.u.to(y.dtype) @ self.v.to(y.dtype)
        if self.values is not None and self.row is not None and self.column is not None:
            values = self.values.to(y.dtype)
            if x.shape[:-1].numel() * self.entries <= self.in_features * self.out_features:
                y = y.index_add(-1, self.column, x.index_select(-1, self.row) * values)
            else:  # more products to store than the dense matrix has entries
                y = y + x @ self._sparse(values)
        return y

    def _sparse(self, values: Tensor) -> Tensor:
        """E ``[in_features, out_features]``."""
        assert self.row is not None
        assert self.column is not None
        return values.new_zeros(self.in_features, self.out_features).index_put((self.row, self.column), values)

    def _project(self, matrix: Tensor) -> bool:
        """Structured, sparse and low-rank part by turns, each the nearest to what the others leave.

        The sparse part moves to the largest entries. A structured layer without closed form is fitted once, first.
        Where all that ends worse than it started, nothing changes.
        """
        kept, start = copy.deepcopy(self.state_dict()), (matrix - self.matrix()).norm().item()
        zero = torch.zeros_like(self.structured.matrix())
        sparse, low, before, error = zero, zero, float("inf"), float("inf")
        fitting = any(p.requires_grad for p in self.structured.parameters())
        for _ in range(_ROUNDS):
            if fitting:
                target = matrix if before == float("inf") else matrix - sparse - low
                fitting = _fit_structured(self.structured, target)
            rest = matrix - self.structured.matrix()
            if self.values is not None:
                sparse = self._place(rest - low)
            if self.u is not None and self.v is not None:
                u, v = truncated_svd(rest - sparse, self.rank)
                self.u.copy_(u)
                self.v.copy_(v)
                low = u @ v
            error = (rest - sparse - low).norm().item()
            if error >= (1 - _GAIN) * before:
                break
            before = error
        if not error <= start:
            self.load_state_dict(kept)
        return True

    def _place(self, rest: Tensor) -> Tensor:
        """Move the entries to the largest of ``rest``; E."""
        assert self.values is not None
        assert self.row is not None
        assert self.column is not None
        flat = rest.abs().flatten().topk(self.entries).indices.sort().values
        self.row.copy_(flat // self.out_features)
        self.column.copy_(flat % self.out_features)
        self.values.copy_(rest.flatten()[flat])
        return self._sparse(self.values)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{super().extra_repr()}, rank={self.rank}, entries={self.entries}"


def _fit_structured(layer: StructuredLinear, matrix: Tensor) -> bool:
    """Whether it was in closed form; otherwise by descent, the offset kept."""
    if layer._project(matrix):
        return True
    offset = layer(matrix.new_zeros(layer.in_features))
    with torch.enable_grad():
        fit(layer, matrix.mT, offset)
    return False
