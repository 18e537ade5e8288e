"""What a mask does to a field: in Legendre modes of its pixels, in samples, or on the way from one to the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from simulators.bases import Basis
from simulators.fourier import along_axes


class Mask(Protocol):
    """A linear operator on fields ``[(Q,) R or 1, B, y, x]``."""

    def __call__(self, field: Tensor) -> Tensor:
        """The field behind the mask."""
        ...

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint (not the inverse)."""
        ...


@dataclass(frozen=True, eq=False)
class Diagonal:
    """One value a cell, the same for each of its functions.

    Attributes:
        values: complex transmission ``[(Q,) R or 1, B or 1, y, x]``.
        order: functions a cell, along y and x.
    """

    values: Tensor
    order: tuple[int, int] = (1, 1)

    def __call__(self, field: Tensor) -> Tensor:
        """See :class:`Mask`."""
        return field * self._spread(self.values)

    def adjoint(self, field: Tensor) -> Tensor:
        """See :class:`Mask`."""
        return field * self._spread(self.values.conj())

    def _spread(self, values: Tensor) -> Tensor:
        for axis, count in zip((-2, -1), self.order, strict=True):
            if count > 1:
                values = values.repeat_interleave(count, axis)
        return values


@dataclass(frozen=True, eq=False)
class Blocks:
    r"""Structure within pixels: a q²×q² matrix a pixel, :math:`T_{(ab),(cd)} = \iint P_a P_c\,t\,P_b P_d`.

    Being the compression of a multiplication by t, |t| ≤ 1, it is passive.

    Attributes:
        values: ``[(Q,) R or 1, B or 1, y, x, q², q²]``; out, in; within each y's order runs slower.
        order: q.
    """

    values: Tensor
    order: int

    @classmethod
    def of(cls, transmission: Tensor, basis: Basis) -> Blocks:
        """The blocks of a transmission at the nodes of ``basis`` (the same along both axes).

        Args:
            transmission: complex ``[..., y·nodes, x·nodes]``.
            basis: Legendre modes, with nodes that resolve the transmission.
        """
        q, n = basis.order, len(basis.nodes)
        # P_a P_c w at the nodes, [n, a·c].
        pairs = (basis.functions[:, None] * basis.values[None, :]).reshape(q * q, n).T.to(transmission)
        nodes = transmission.unflatten(-1, (-1, n)).unflatten(-3, (-1, n))  # [..., y, n, x, n]
        half = (nodes @ pairs).transpose(-3, -2)  # [..., y, x, n, bd]
        blocks = (pairs.mT @ half).unflatten(-1, (q, q)).unflatten(-3, (q, q))  # [..., y, x, a, c, b, d]
        blocks = blocks.transpose(-3, -2)  # [..., y, x, a, b, c, d]
        return cls(blocks.reshape(*blocks.shape[:-4], q * q, q * q), q)

    def __call__(self, field: Tensor) -> Tensor:
        """See :class:`Mask`."""
        return self._apply(self.values, field)

    def adjoint(self, field: Tensor) -> Tensor:
        """See :class:`Mask`."""
        return self._apply(self.values.mH, field)

    def _apply(self, blocks: Tensor, field: Tensor) -> Tensor:
        q = self.order
        cells = field.unflatten(-1, (-1, q)).unflatten(-3, (-1, q))  # [..., R, B, y, a, x, b]
        if blocks.shape[-5] > 1:  # masks that differ from row to row
            inside = cells.transpose(-3, -2).flatten(-2)[..., None]
            out = (blocks @ inside).squeeze(-1).unflatten(-1, (q, q)).transpose(-3, -2)
            return out.flatten(-4, -3).flatten(-2)
        # One product a pixel for the whole batch; rows run within a pixel, else autograd copies ten times as long.
        inside = cells.permute(*range(cells.ndim - 5), -4, -2, -5, -3, -1).flatten(-2)
        out = inside @ blocks.squeeze(-5).mT
        out = out.unflatten(-1, (q, q)).permute(*range(cells.ndim - 5), -3, -5, -2, -4, -1)
        return out.flatten(-4, -3).flatten(-2)


@dataclass(frozen=True, eq=False)
class Written:
    """The first mask of a sampled simulator: from the input's pixel modes, through the mask, to samples.

    Attributes:
        values: transmission at the nodes ``[(Q,) R or 1, B or 1, y, x]``.
        evaluate: (y, x) matrices from the input's modes to the nodes; None: values and input are uniform a pixel.
        limit: (y, x) matrices from the nodes to band-limited samples.
    """

    values: Tensor
    evaluate: tuple[Tensor, Tensor] | None
    limit: tuple[Tensor, Tensor]

    def __call__(self, field: Tensor) -> Tensor:
        """See :class:`Mask`."""
        if self.evaluate is not None:
            field = along_axes(self.evaluate[0], field, self.evaluate[1])
        field = field * self.values
        return along_axes(self.limit[0], field, self.limit[1])

    def adjoint(self, field: Tensor) -> Tensor:
        """See :class:`Mask`."""
        field = along_axes(self.limit[0].mH, field, self.limit[1].mH) * self.values.conj()
        return field if self.evaluate is None else along_axes(self.evaluate[0].mH, field, self.evaluate[1].mH)
