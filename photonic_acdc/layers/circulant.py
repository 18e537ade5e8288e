"""Circulant and block-circulant layers: convolutions in a circle, by real Fourier transforms."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import fft_dtype, positive
from photonic_acdc.layers.structured import StructuredLinear, crop, output_bias, pad
from simulators.errors import InputError


class Circulant(StructuredLinear):
    r"""A circulant matrix behind a fixed flip of signs.

    .. math:: y = x\,S\,C + \text{bias}, \qquad C_{ij} = c_{(j-i) \bmod N}, \quad S = \mathrm{diag}(\pm 1)

    c is the first row of C. N parameters and the bias, O(N log N) work: one real FFT forth and one back.

    Args:
        in_features: of the input, ≥ 1.
        out_features: of the output; None: as many. N = max(in_features, out_features), odd or even; the input is padded
            with zeros to N, the output cropped.
        bias: add one to the output.
        signs: flip the signs of the input by S, drawn once; without it, S = 1.
        generator: of the signs and the initial values: c is N(0, 1/in_features), which keeps the variance.
        device, dtype: of the parameters, float32 or float64.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; a dtype that FFTs do not know; complex input; input with another last axis.

    Source: Cheng, Yu, Feris, Kumar, Choudhary and Chang, arXiv:1502.03436.
    """

    c: nn.Parameter  #: [N]
    bias: nn.Parameter | None  #: [out_features]
    signs: Tensor | None  #: [in_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        bias: bool = True,
        signs: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features)
        fft_dtype("Circulant", dtype)
        self.features = max(self.in_features, self.out_features)  #: N
        self.c = nn.Parameter(torch.empty(self.features, device=device, dtype=dtype))
        output_bias(self, self.out_features, bias, device, dtype)
        self.register_buffer("signs", random_signs(self.c.new_empty(in_features), generator) if signs else None)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew; the signs stay."""
        self.c.normal_(0.0, self.in_features**-0.5, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def flops(self) -> int:
        """A row: two real FFTs, a product of half-spectra, signs and bias."""
        n = self.features
        transforms = 2 * 2.5 * n * math.log2(n) + 6 * (n // 2 + 1)
        signs = 0 if self.signs is None else self.in_features
        return round(transforms + signs + (0 if self.bias is None else self.out_features))

    def _map(self, x: Tensor) -> Tensor:
        x = x if self.signs is None else x * self.signs
        y = _convolve(pad(x, self.features).unsqueeze(-2), self.c[None, None])
        y = crop(y.squeeze(-2), self.out_features)
        return y if self.bias is None else y + self.bias

    def _project(self, matrix: Tensor) -> bool:
        """The mean of every wrapped diagonal, signs undone."""
        flipped = matrix if self.signs is None else self.signs[:, None] * matrix
        self.c.copy_(_wrapped_means(flipped, self.features)[0, 0])
        return True


class BlockCirculant(StructuredLinear):
    r"""A matrix of circulant blocks.

    .. math:: y_j = \sum_{i=1}^{P} x_i\,C_{ij} + \text{bias}_j, \qquad (C_{ij})_{kl} = c_{ij,\,(l-k) \bmod B}

    with x cut into P = ⌈in/B⌉ and y into Q = ⌈out/B⌉ pieces of B. P·Q·B parameters and the bias: in·out/B where B
    divides both sizes.

    Args:
        in_features: of the input, ≥ 1; padded with zeros to P·B.
        out_features: of the output; None: as many; cropped from Q·B.
        block: B, from 1 (a dense matrix) to max(in_features, out_features) (one circulant matrix).
        bias: add one to the output.
        generator: of the initial values: c is N(0, 1/in_features), which keeps the variance.
        device, dtype: of the parameters, float32 or float64.

    Shapes: real ``[..., in_features]`` → real ``[..., out_features]``.

    Raises:
        InputError: sizes below 1; a block that is too large; a dtype that FFTs do not know; complex input; input with
            another last axis.

    Source: Ding et al., CirCNN, arXiv:1708.08917.
    """

    c: nn.Parameter  #: [P, Q, B], first rows of the blocks
    bias: nn.Parameter | None  #: [out_features]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        block: int,
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features)
        fft_dtype("BlockCirculant", dtype)
        largest = max(self.in_features, self.out_features)
        if positive("BlockCirculant: block", block) > largest:
            allowed = f"1 to {largest} = max(in_features, out_features)"
            raise InputError("BlockCirculant: block", value=block, allowed=allowed)
        self.block = block  #: B
        size = (math.ceil(self.in_features / block), math.ceil(self.out_features / block), block)
        self.c = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        output_bias(self, self.out_features, bias, device, dtype)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        self.c.normal_(0.0, self.in_features**-0.5, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def flops(self) -> int:
        """A row: P + Q real FFTs of B, P·Q products of half-spectra and their sums, bias."""
        rows, columns, block = self.c.shape
        transforms = (rows + columns) * 2.5 * block * math.log2(block)
        products = (block // 2 + 1) * columns * (8 * rows - 2)
        return round(transforms + products + (0 if self.bias is None else self.out_features))

    def _map(self, x: Tensor) -> Tensor:
        rows, _, block = self.c.shape
        pieces = pad(x, rows * block).unflatten(-1, (rows, block))
        y = crop(_convolve(pieces, self.c).flatten(-2), self.out_features)
        return y if self.bias is None else y + self.bias

    def _project(self, matrix: Tensor) -> bool:
        """The mean of every wrapped diagonal of every block."""
        self.c.copy_(_wrapped_means(matrix, self.block))
        return True

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{super().extra_repr()}, block={self.block}"


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """Seeded by a torch generator (None: the global one): for laws that torch draws by no generator."""
    device = "cpu" if generator is None else generator.device
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator, device=device)))


def random_signs(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """±1, of the shape, device and dtype of ``like``."""
    drawn = numpy_generator(generator).integers(0, 2, size=tuple(like.shape)) * 2 - 1
    return torch.from_numpy(drawn).to(like)


def _convolve(x: Tensor, c: Tensor) -> Tensor:
    """Σ_p of the circular convolutions of ``x`` ``[..., P, B]`` with ``c`` ``[P, Q, B]``: ``[..., Q, B]``."""
    p, q, block = c.shape
    rows = x.reshape(-1, p, block).to(torch.promote_types(x.dtype, c.dtype))
    spectrum, factor = torch.fft.rfft(rows), torch.fft.rfft(c)
    product = spectrum * factor[0] if p == 1 else torch.einsum("rpf,pqf->rqf", spectrum, factor)
    return torch.fft.irfft(product, n=block).reshape(*x.shape[:-2], q, block)


def _wrapped_means(matrix: Tensor, block: int) -> Tensor:
    """Least-squares c ``[P, Q, B]`` of a matrix ``[in, out]``; 0 where cropping leaves nothing of a diagonal."""

    def diagonals(dense: Tensor) -> Tensor:
        """``[P, Q, B, B]``: entry (i, k) is entry (i, i + k) of the block."""
        dense = nn.functional.pad(dense, (0, -dense.shape[1] % block, 0, -dense.shape[0] % block))
        blocks = dense.unflatten(1, (-1, block)).unflatten(0, (-1, block)).transpose(1, 2)
        return blocks.gather(-1, shift.expand(blocks.shape))

    i = torch.arange(block, device=matrix.device)
    shift = (i[:, None] + i) % block
    present = diagonals(torch.ones_like(matrix)).sum(-2)
    return diagonals(matrix).sum(-2) / present.clamp(min=1)
