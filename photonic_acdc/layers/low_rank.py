"""A product of two thin matrices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import positive
from photonic_acdc.layers.structured import StructuredLinear, output_bias
from simulators.errors import InputError


class LowRank(StructuredLinear):
    r"""A matrix of rank R at most, :math:`y = x\,U\,V + \text{bias}`.

    R·(in + out) parameters and the bias; twice as many additions and multiplications.

    Args:
        in_features: of the input, ≥ 1.
        out_features: of the output; None: as many.
        rank: R, 1 to min(in_features, out_features).
        bias: add one to the output.
        generator: of the initial values: U is N(0, 1/in), V is N(0, 1/R), which keep the variance.
        device, dtype: of the parameters.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; a rank that is too large; complex input; input with another last axis.

    Source: Denil, Shakibi, Dinh, Ranzato and de Freitas, arXiv:1306.0543; closed-form fit: Eckart and Young,
    Psychometrika 1, 211 (1936).
    """

    u: nn.Parameter  #: [in_features, R]
    v: nn.Parameter  #: [R, out_features]
    bias: nn.Parameter | None  #: [out_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        rank: int,
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features)
        self.rank = up_to("LowRank: rank", positive("LowRank: rank", rank), self)  #: R
        self.u = nn.Parameter(torch.empty(self.in_features, rank, device=device, dtype=dtype))
        self.v = nn.Parameter(torch.empty(rank, self.out_features, device=device, dtype=dtype))
        output_bias(self, self.out_features, bias, device, dtype)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        self.u.normal_(0.0, self.in_features**-0.5, generator=generator)
        self.v.normal_(0.0, self.rank**-0.5, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def flops(self) -> int:
        """A row: two dense products and the bias."""
        return 2 * (self.u.numel() + self.v.numel()) + (0 if self.bias is None else self.out_features)

    def _map(self, x: Tensor) -> Tensor:
        y = x @ self.u @ self.v
        return y if self.bias is None else y + self.bias

    def _project(self, matrix: Tensor) -> bool:
        """The truncated singular value decomposition."""
        u, v = truncated_svd(matrix, self.rank)
        self.u.copy_(u)
        self.v.copy_(v)
        return True

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{super().extra_repr()}, rank={self.rank}"


def up_to(name: str, rank: int, layer: StructuredLinear) -> int:
    """``rank`` if no larger than the rank of the layer's dense matrix, else :class:`InputError`."""
    largest = min(layer.in_features, layer.out_features)
    if rank > largest:
        raise InputError(name, value=rank, allowed=f"at most {largest} = min(in_features, out_features)")
    return rank


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """U ``[..., m, rank]`` and V ``[..., rank, n]``, of equal norm, whose product is nearest to ``[..., m, n]``."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    root = s[..., :rank].sqrt().to(u.dtype)
    return u[..., :rank] * root.unsqueeze(-2), root.unsqueeze(-1) * v[..., :rank, :]
