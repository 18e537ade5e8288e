"""Monarch: two block-diagonal matrices with a transposition between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import divisor
from photonic_acdc.layers.low_rank import truncated_svd
from photonic_acdc.layers.structured import StructuredLinear, output_bias


class Monarch(StructuredLinear):
    r"""Two block-diagonal matrices of B blocks each, with a transposition after each.

    .. math:: y_{cj} = \sum_{k=1}^{B} L_{j,kc} \sum_{a=1}^{p} R_{k,aj}\,x_{ka} + \text{bias}_{cj}

    for x laid out as B × p and y as q × B, p = in/B and q = out/B: M = P L Pᵀ R of the paper, transposed for rows.
    For fixed k and j this is a p × q matrix of rank one, so that the nearest Monarch matrix is known in closed form.
    B·(in + out) parameters and the bias; rank B² at most, so that B ≥ √min(in, out) leaves it full. The paper's square
    case is in = out = B².

    Args:
        in_features: of the input, ≥ 1.
        out_features: of the output; None: as many.
        blocks: B, a divisor of both.
        bias: add one to the output.
        generator: of the initial values: R is N(0, 1/p), L is N(0, 1/B), which keep the variance.
        device, dtype: of the parameters.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; blocks that do not divide them; complex input; input with another last axis.

    Source: Dao et al., arXiv:2204.00595, which also gives the closed-form fit.
    """

    right: nn.Parameter  #: [B, p, B], R
    left: nn.Parameter  #: [B, B, q], L
    bias: nn.Parameter | None  #: [out_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        blocks: int,
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features)
        for name, size in (("in_features", self.in_features), ("out_features", self.out_features)):
            divisor("Monarch: blocks", blocks, size, name)
        self.blocks = blocks  #: B
        p, q = self.in_features // blocks, self.out_features // blocks
        self.right = nn.Parameter(torch.empty(blocks, p, blocks, device=device, dtype=dtype))
        self.left = nn.Parameter(torch.empty(blocks, blocks, q, device=device, dtype=dtype))
        output_bias(self, self.out_features, bias, device, dtype)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        self.right.normal_(0.0, self.right.shape[1] ** -0.5, generator=generator)
        self.left.normal_(0.0, self.blocks**-0.5, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def flops(self) -> int:
        """A row: two products with dense blocks, and the bias."""
        return 2 * (self.right.numel() + self.left.numel()) + (0 if self.bias is None else self.out_features)

    def _map(self, x: Tensor) -> Tensor:
        hidden = torch.einsum("...ka,kaj->...kj", x.unflatten(-1, (self.blocks, -1)), self.right)
        y = torch.einsum("...kj,jkc->...cj", hidden, self.left).flatten(-2)
        return y if self.bias is None else y + self.bias

    def _project(self, matrix: Tensor) -> bool:
        """The leading singular pair of every p × q slice, which are independent of each other."""
        slices = matrix.unflatten(0, (self.blocks, -1)).unflatten(-1, (-1, self.blocks))
        right, left = truncated_svd(slices.permute(0, 3, 1, 2), 1)
        self.right.copy_(right.squeeze(-1).transpose(1, 2))
        self.left.copy_(left.squeeze(-2).transpose(0, 1))
        return True

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{super().extra_repr()}, blocks={self.blocks}"
