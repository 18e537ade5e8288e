"""ACDC: a cascade of real diagonals and cosine transforms."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from photonic_acdc.layers.cascade import Cascade
from photonic_acdc.layers.check import non_negative
from photonic_acdc.layers.kernels import Kernel, acdc
from simulators.errors import InputError, nearest

#: Element-wise functions that may stand between stages.
ACTIVATIONS = {
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}
Activation = Literal["relu", "gelu", "silu", "tanh"]


class ACDC(Cascade):
    r"""Cascade of K stages of real diagonals A, D and orthonormal cosine transforms C.

    .. math:: y = x \prod_{k=1}^{K} A_k\,C\,D_k\,C^{-1}, \qquad (\text{bias: } C D_k \to C D_k + b_k)

    with, between stages, an activation and then a fixed permutation where they are asked for. 2·K·N parameters (3·K·N
    with bias), O(K·N log N) work. No theorem says that it reaches every matrix; the complex
    :class:`~photonic_acdc.layers.AFDF` does.

    Args:
        features: of the input, ≥ 1.
        stages: K ≥ 1.
        out_features: of the output; None: as many. N = max(features, out_features), odd or even; the input is padded
            with zeros to N, the output cropped.
        bias: add b after each D.
        sigma: the diagonals start as N(1, sigma²); near the identity, or a deep cascade dies.
        permute: a fixed random order of the features after each stage but the last; without one, depth helps little.
        activation: after each stage but the last: ``"relu"``, ``"gelu"``, ``"silu"``, ``"tanh"`` or None.
        generator: of the permutations and the initial values.
        device, dtype: of the parameters, float32 or float64.

    Shapes: real ``[..., features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; complex input; input with another last axis.

    Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, sections 2 and 6.
    """

    a: nn.Parameter  #: [K, N]
    d: nn.Parameter  #: [K, N]
    bias: nn.Parameter | None  #: [K, N]
    permutations: Tensor | None  #: [K-1, N]

    def __init__(
        self,
        features: int,
        stages: int = 1,
        *,
        out_features: int | None = None,
        bias: bool = True,
        sigma: float = 0.061,
        permute: bool = False,
        activation: Activation | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(features, stages, out_features, dtype)
        if activation is not None and activation not in ACTIVATIONS:
            raise InputError(
                "ACDC: activation", value=repr(activation), allowed=f"None, or {nearest(str(activation), ACTIVATIONS)}"
            )
        self.sigma, self.activation = non_negative("ACDC: sigma", sigma), activation
        self.affine = activation is None or stages == 1
        size = (stages, self.features)
        self.a = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.d = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.register_parameter("bias", nn.Parameter(torch.empty(size, device=device, dtype=dtype)) if bias else None)
        orders = None
        if permute and stages > 1:
            drawn = [torch.randperm(self.features, generator=generator) for _ in range(stages - 1)]
            orders = torch.stack(drawn).to(device)
        self.register_buffer("permutations", orders)
        self._orders: tuple[Tensor, int | None, tuple[Tensor, Tensor]] | None = None
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew; the permutations stay."""
        for diagonal in (self.a, self.d):
            diagonal.normal_(1.0, self.sigma, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def flops(self) -> int:
        """A row: per stage the two diagonals, bias, and two real FFTs with their twiddles."""
        n = self.features
        transforms = 2 * (2.5 * n * math.log2(n) + 3 * n)
        return round(self.stages * (transforms + (3 if self.bias is not None else 2) * n))

    def _run(self, rows: Tensor, kernel: Kernel) -> Tensor:
        activation = None if self.activation is None else ACTIVATIONS[self.activation]
        dtype = torch.promote_types(rows.dtype, self.a.dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        x, a, d = rows.to(dtype), self.a.to(dtype), self.d.to(dtype)
        if kernel == "plain":
            return acdc.plain(x, a, d, bias, self.permutations, activation)
        return acdc.fused(x, a, d, bias, self._makhoul_orders(), activation)

    def _makhoul_orders(self) -> tuple[Tensor, Tensor] | None:
        """The permutations as the fused kernel takes them; made again when they have been loaded, moved or changed."""
        orders = self.permutations
        if orders is None:
            return None
        version = None if orders.is_inference() else orders._version
        if self._orders is None or self._orders[0] is not orders or self._orders[1] != version:
            self._orders = orders, version, acdc.makhoul_orders(orders)
        return self._orders[2]

    def as_afdf(self) -> nn.Sequential:
        r"""The same map on light: an AFDF cascade of 2N modes between an even extension and its inverse.

        The even extension e = [u, flip u] has the spectrum :math:`2 e^{iπk/2N} C_k(u)`, so that the real mask
        D~_k = D~_{2N-k} = D_k acts on e as D acts on the cosine coefficients of u, and A~ = [a, flip a] keeps e even.
        Parameters are copied.

        Returns:
            ``nn.Sequential(EvenExtension, AFDF, EvenPart)``; real ``[..., features]`` → real ``[..., out_features]``.

        Raises:
            InputError: permutations or an activation between stages; take such a cascade apart into single stages.
        """
        from photonic_acdc.layers.even import acdc_as_afdf

        return acdc_as_afdf(self)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        parts = [super().extra_repr(), f"bias={self.bias is not None}"]
        parts += ["permute=True"] if self.permutations is not None else []
        parts += [f"activation={self.activation!r}"] if self.activation else []
        return ", ".join(parts)
