"""Fastfood: random matrices, fixed or learned, from diagonals and Walsh–Hadamard transforms."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from photonic_acdc.layers.circulant import numpy_generator, random_signs
from photonic_acdc.layers.structured import StructuredLinear, crop, output_bias, pad
from simulators.errors import InputError

#: log2 of the largest dense Hadamard matrix that a transform is a Kronecker product of: fastest from N = 256 on.
_FACTOR = 6


def fwht(x: Tensor) -> Tensor:
    r"""Orthonormal Walsh–Hadamard transform over the last axis, natural (Hadamard) order; its own inverse.

    .. math:: y_j = N^{-1/2} \sum_i (-1)^{\mathrm{popcount}(i \,\&\, j)}\, x_i

    Computed as a Kronecker product of dense Hadamard matrices of at most 64 × 64: more operations than log2 N passes of
    butterflies, but far fewer passes over memory, and 4 to 7 times faster on a CPU.

    Args:
        x: floating-point or complex, ``[..., N]``, N a power of two.

    Returns:
        ``[..., N]``, dtype and device of ``x``.

    Raises:
        InputError: another length; whole numbers.
    """
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError("fwht: input dtype", value=x.dtype, allowed="a floating-point or complex tensor")
    n = x.shape[-1] if x.ndim else 0
    if n < 1 or n & (n - 1):
        near = [str(m) for m in (1 << n.bit_length() >> 1, 1 << n.bit_length()) if m]
        allowed = f"(..., N), N a power of two: 1, 2, 4, 8, …, here {' or '.join(near)}"
        raise InputError("fwht: shape of the input", value=tuple(x.shape), allowed=allowed, remedy="zeros appended")
    levels = n.bit_length() - 1
    parts = max(1, math.ceil(levels / _FACTOR))
    y, rest = x.reshape(-1, n), n
    for part in range(parts):
        size = levels // parts + (part < levels % parts)
        rest >>= size
        hadamard = _hadamard(size, x.dtype, x.device)
        # The last factor acts on adjacent entries: one large product; the others on entries `rest` apart.
        y = y.reshape(-1, 1 << size) @ hadamard if rest == 1 else hadamard @ y.reshape(-1, 1 << size, rest)
    return y.reshape(x.shape)


class _Fastfood(StructuredLinear):
    """What both kinds share: the map, by ``_diagonals``, and its random start."""

    bias: nn.Parameter | None
    order: Tensor  #: [N], Π

    def __init__(
        self,
        in_features: int,
        out_features: int | None,
        *,
        bias: bool,
        generator: torch.Generator | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ):
        super().__init__(in_features, out_features)
        self.features = 1 << (max(self.in_features, self.out_features) - 1).bit_length()  #: N, a power of two
        order = numpy_generator(generator).permutation(self.features)
        self.register_buffer("order", torch.from_numpy(order).to(device))
        output_bias(self, self.out_features, bias, device, dtype)

    @abstractmethod
    def _diagonals(self) -> tuple[Tensor, Tensor, Tensor]:
        """B ``[in]``, G ``[N]``, S ``[out]``."""

    def _map(self, x: Tensor) -> Tensor:
        b, g, s = self._diagonals()
        mixed = fwht(pad(x * b, self.features)).index_select(-1, self.order)
        y = crop(fwht(mixed * g), self.out_features) * s
        return y if self.bias is None else y + self.bias

    def _start(self, b: Tensor, g: Tensor, s: Tensor, generator: torch.Generator | None) -> None:
        """Signs, normal numbers, and the lengths that make the rows of the matrix as long as normal ones."""
        n = self.features
        b.copy_(random_signs(b, generator))
        g.normal_(generator=generator)
        lengths = numpy_generator(generator).chisquare(n, size=len(s)) ** 0.5
        s.copy_(torch.from_numpy(lengths).to(s) / g.norm())

    def flops(self) -> int:
        """A row: two transforms, counted as N log2 N additions each, and the diagonals."""
        n = self.features
        diagonals = self.in_features + n + self.out_features
        return round(2 * n * math.log2(n)) + diagonals + (0 if self.bias is None else self.out_features)


class Fastfood(_Fastfood):
    r"""A fixed random matrix, much like one of independent normal entries, with a learned scale.

    .. math:: y = \alpha\,x\,B\,H\,\Pi\,G\,H\,S + \text{bias}

    with H the orthonormal Walsh–Hadamard transform, B random signs, Π a random order, G normal numbers and
    S = diag(s_i/‖G‖), s_i of the χ distribution with N degrees of freedom. Of these nothing is learned, only α and the
    bias: 1 + out parameters. In the paper's terms α = √N/σ.

    Args:
        in_features: of the input, ≥ 1.
        out_features: of the output; None: as many. N is the next power of two; the input is padded with zeros, the
            output cropped.
        bias: add one to the output.
        generator: of B, Π, G and S, which state dicts keep.
        device, dtype: of parameters and buffers.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; complex input; input with another last axis.

    Source: Le, Sarlós and Smola, ICML 2013, arXiv:1408.3060.
    """

    scale: nn.Parameter  #: [], α; √(N/in_features) at the start, which keeps the variance
    b: Tensor  #: [in_features]
    g: Tensor  #: [N]
    s: Tensor  #: [out_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features, bias=bias, generator=generator, device=device, dtype=dtype)
        self.scale = nn.Parameter(torch.empty((), device=device, dtype=dtype))
        for name, size in (("b", self.in_features), ("g", self.features), ("s", self.out_features)):
            self.register_buffer(name, self.scale.new_empty(size))
        self._start(self.b, self.g, self.s, generator)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Scale and bias as at the start; the random matrix stays, and nothing is drawn."""
        self.scale.fill_((self.features / self.in_features) ** 0.5)
        if self.bias is not None:
            self.bias.zero_()

    def _diagonals(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.b, self.g, self.s * self.scale

    def _project(self, matrix: Tensor) -> bool:
        """α = ⟨V, W⟩/⟨V, V⟩ for the random matrix V."""
        self.scale.fill_(1.0)
        random = self.matrix()
        self.scale.copy_((random * matrix).sum() / random.square().sum())
        return True


class AdaptiveFastfood(_Fastfood):
    r"""Fastfood whose three diagonals are learned.

    .. math:: y = x\,B\,H\,\Pi\,G\,H\,S + \text{bias}

    with H the orthonormal Walsh–Hadamard transform and Π a fixed random order. in + N + out parameters (3·N where the
    sizes are powers of two) and the bias, O(N log N) work. It starts as :class:`Fastfood` does.

    Args:
        in_features: of the input, ≥ 1.
        out_features: of the output; None: as many. N is the next power of two; the input is padded with zeros, the
            output cropped.
        bias: add one to the output.
        generator: of Π and the initial values.
        device, dtype: of the parameters.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; complex input; input with another last axis.

    Source: Yang, Moczulski, Denil, de Freitas, Smola, Song and Wang, arXiv:1412.7149.
    """

    b: nn.Parameter  #: [in_features]
    g: nn.Parameter  #: [N]
    s: nn.Parameter  #: [out_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features, bias=bias, generator=generator, device=device, dtype=dtype)
        self.b = nn.Parameter(torch.empty(self.in_features, device=device, dtype=dtype))
        self.g = nn.Parameter(torch.empty(self.features, device=device, dtype=dtype))
        self.s = nn.Parameter(torch.empty(self.out_features, device=device, dtype=dtype))
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew; the order stays."""
        self._start(self.b, self.g, self.s, generator)
        self.s.mul_((self.features / self.in_features) ** 0.5)
        if self.bias is not None:
            self.bias.zero_()

    def _diagonals(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.b, self.g, self.s


@torch.compiler.assume_constant_result  # a compiled caller keeps the table instead of tracing how it is made
def _hadamard(levels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return _make_hadamard(levels, dtype, device)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # tables made in inference mode could not serve training later
def _make_hadamard(levels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal, symmetric, ``[2^levels, 2^levels]``."""
    h = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(levels):
        h = torch.cat([torch.cat([h, h], dim=1), torch.cat([h, -h], dim=1)])
    return (h * 2 ** (-levels / 2)).to(device=device, dtype=dtype)
