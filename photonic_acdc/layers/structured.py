"""What every structured layer shares: its sizes, its dense matrix, and how it stands in for ``nn.Linear``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import last_axis, positive, real
from simulators.errors import InputError


class StructuredLinear(nn.Module, ABC):
    """An affine map y = x W + c of rows, W ``[in_features, out_features]`` described by far fewer numbers than it has.

    A replacement for ``nn.Linear``: the same shapes, ``in_features``, ``out_features``, ``reset_parameters``. Square
    structures of N features serve other shapes by padding the input with zeros to N and cropping the output; each
    class says what its N is.

    Subclasses write ``_map`` (checked input → output), :meth:`reset_parameters` and :meth:`flops`, and, where there is
    a better way than descent, ``_project``. Complex parameters follow ``.to(torch.float64)`` with both their parts.
    """

    takes_complex: bool = False  #: whether complex input is allowed
    affine: bool = True  #: False with an activation inside: then there is no matrix

    def __init__(self, in_features: int, out_features: int | None = None):
        super().__init__()
        name = type(self).__name__
        self.in_features = positive(f"{name}: features", in_features)
        self.out_features = in_features if out_features is None else positive(f"{name}: out_features", out_features)

    @classmethod
    def like(cls, linear: nn.Linear, **options) -> Self:
        """A layer of the sizes, device and dtype of an ``nn.Linear``, with a bias if it has one; no weight is copied.

        Args:
            linear: what to stand in for.
            options: of the class.
        """
        weight = linear.weight
        options = {"bias": linear.bias is not None, "device": weight.device, "dtype": weight.dtype, **options}
        return cls(linear.in_features, out_features=linear.out_features, **options)

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""

    @abstractmethod
    def flops(self) -> int:
        """Real additions and multiplications a row, an FFT of N complex numbers counted as 5 N log2 N."""

    @abstractmethod
    def _map(self, x: Tensor) -> Tensor:
        """``[..., in_features]`` → ``[..., out_features]``, input checked."""

    def _project(self, matrix: Tensor) -> bool:
        """Set the parameters to the least-squares image of W ``[in_features, out_features]``; False: no closed form."""
        return False

    def _apply(self, fn, recurse=True):
        """As ``nn.Module`` does, which would leave only the real part of a complex parameter under a real dtype."""

        def apply(tensor: Tensor) -> Tensor:
            if not tensor.is_complex():
                return fn(tensor)
            parts = fn(torch.view_as_real(tensor))
            return fn(tensor) if parts.is_complex() else torch.view_as_complex(parts)

        return super()._apply(apply, recurse)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``[..., in_features]`` → ``[..., out_features]``."""
        name = type(self).__name__
        if not self.takes_complex:
            real(x, name)
        last_axis(x, self.in_features, name)
        if x.shape[:-1].numel():
            return self._map(x)
        # FFTs refuse an empty batch: a row of zeros goes through in its place.
        row = torch.cat([x.reshape(0, self.in_features), x.new_zeros(1, self.in_features)])
        return self._map(row)[:0].reshape(*x.shape[:-1], self.out_features)

    def matrix(self) -> Tensor:
        """W ``[in_features, out_features]`` of y = x W + c, differentiable.

        Raises:
            InputError: a layer with an activation inside.
        """
        return self._affine()[0]

    def _affine(self) -> tuple[Tensor, Tensor]:
        """W and c."""
        if not self.affine:
            raise InputError(f"{type(self).__name__} has an activation inside, so that no one matrix equals it")
        like = next(self.parameters())
        dtype = like.real.dtype if like.is_complex() else like.dtype
        rows = torch.eye(self.in_features, dtype=dtype, device=like.device)
        mapped = self(torch.cat([torch.zeros_like(rows[:1]), rows]))
        return mapped[1:] - mapped[0], mapped[0]

    @torch.no_grad()
    def collapse(self) -> nn.Linear:
        """The dense layer that equals this one: one matrix product, which wins for small N and many rows.

        Raises:
            InputError: a layer with an activation inside.
        """
        matrix, offset = self._affine()
        bias = bool(offset.abs().max() > 0)
        dense = nn.Linear(self.in_features, self.out_features, bias=bias, device=matrix.device, dtype=matrix.dtype)
        dense.weight.copy_(matrix.mT)
        if bias:
            dense.bias.copy_(offset)
        return dense

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def pad(x: Tensor, width: int) -> Tensor:
    """``x`` with zeros behind its last axis, up to ``width``; itself where it has that width."""
    missing = width - x.shape[-1]
    return nn.functional.pad(x, (0, missing)) if missing else x


def crop(x: Tensor, width: int) -> Tensor:
    """The first ``width`` entries of the last axis; ``x`` itself where it has that width."""
    return x if x.shape[-1] == width else x[..., :width]


def output_bias(layer: nn.Module, features: int, bias: bool, device, dtype) -> None:
    """Register ``bias`` ``[features]`` on ``layer``, or None."""
    layer.register_parameter("bias", nn.Parameter(torch.empty(features, device=device, dtype=dtype)) if bias else None)
