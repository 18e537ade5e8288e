"""ACDC: a cascade of real diagonals and cosine transforms."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import last_axis, positive, square
from photonic_acdc.transforms import dct, idct
from simulators.errors import InputError


class ACDC(nn.Module):
    r"""Cascade of K stages of real diagonals A, D and orthonormal cosine transforms C.

    .. math:: y = x \prod_{k=1}^{K} A_k\,C\,D_k\,C^{-1}, \qquad (\text{bias: } C D_k \to C D_k + b_k)

    2·K·N parameters, O(K·N log N) work. No theorem says that it reaches every matrix; the complex :class:`AFDF` does.

    Args:
        features: N ≥ 1, odd or even.
        stages: K ≥ 1.
        bias: add b after each D.
        sigma: the diagonals start as N(1, sigma²); near the identity, or a deep cascade dies.
        generator: of the initial values.
        device, dtype: of the parameters.

    Shapes: real ``[..., N]`` → real ``[..., N]``.

    Raises:
        InputError: sizes below 1; complex input; input with another last axis.

    Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, sections 2 and 6.
    """

    a: nn.Parameter  #: [K, N]
    d: nn.Parameter  #: [K, N]
    bias: nn.Parameter | None  #: [K, N]

    def __init__(
        self,
        features: int,
        stages: int = 1,
        *,
        bias: bool = True,
        sigma: float = 0.061,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.features, self.stages = positive("ACDC: features", features), positive("ACDC: stages", stages)
        if not sigma >= 0:
            raise InputError("ACDC: sigma", value=sigma, allowed="≥ 0")
        self.sigma = sigma
        size = (stages, features)
        self.a = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.d = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.register_parameter("bias", nn.Parameter(torch.empty(size, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters(generator)

    @classmethod
    def like(cls, linear: nn.Linear, stages: int = 1, **options) -> Self:
        """A layer of the size, bias, device and dtype of a square ``nn.Linear``; its weights are not copied."""
        weight = linear.weight
        options = {"bias": linear.bias is not None, **options}
        return cls(square(linear, "ACDC"), stages, device=weight.device, dtype=weight.dtype, **options)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        for diagonal in (self.a, self.d):
            diagonal.normal_(1.0, self.sigma, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``[..., N]`` through the cascade."""
        if x.is_complex():
            raise InputError("ACDC: input", value=x.dtype, allowed="real", remedy="AFDF for complex input")
        last_axis(x, self.features, "ACDC")
        for k in range(self.stages):
            spectrum = dct(x * self.a[k]) * self.d[k]
            if self.bias is not None:
                spectrum = spectrum + self.bias[k]
            x = idct(spectrum)
        return x

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"features={self.features}, stages={self.stages}, bias={self.bias is not None}"
