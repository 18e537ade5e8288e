"""Element-wise functions of complex amplitudes, a fixed permutation, and the first features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import last_axis, positive
from simulators.errors import InputError


class Intensity(nn.Module):
    """Modulus squared, |z|²: what a camera reads. Complex ``[...]`` → real ``[...]``."""

    def forward(self, z: Tensor) -> Tensor:
        """|z|², without the cost of a square root."""
        return z.real**2 + z.imag**2 if z.is_complex() else z**2


class Real(nn.Module):
    """Real part, one quadrature: what a homodyne receiver reads. Complex ``[...]`` → real ``[...]``."""

    def forward(self, z: Tensor) -> Tensor:
        """Re z; real input as it is."""
        return z.real if z.is_complex() else z


class CReLU(nn.Module):
    """ReLU of the real and of the imaginary part: ReLU(Re z) + i ReLU(Im z). ``[...]`` → ``[...]``.

    Source: Trabelsi et al., arXiv:1705.09792, section 3.4.
    """

    def forward(self, z: Tensor) -> Tensor:
        """Complex ``[...]``; real input gets the ordinary ReLU."""
        return torch.complex(z.real.relu(), z.imag.relu()) if z.is_complex() else z.relu()


class ModReLU(nn.Module):
    r"""ReLU of the modulus with a learned threshold; phases pass: :math:`z\,\mathrm{ReLU}(|z| + b)\,/\,|z|`, 0 at 0.

    Args:
        features: N, one real ``bias`` b each, 0 at the start.
        device, dtype: of the parameter, real.

    Shapes: ``[..., N]`` → ``[..., N]``.

    Raises:
        InputError: features below 1; input with another last axis.

    Source: Arjovsky, Shah and Bengio, arXiv:1511.06464, equation 8.
    """

    bias: nn.Parameter  #: [N]

    def __init__(self, features: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.features = positive("ModReLU: features", features)
        self.bias = nn.Parameter(torch.zeros(features, device=device, dtype=dtype))

    def forward(self, z: Tensor) -> Tensor:
        """``z`` ``[..., N]``, complex or real."""
        last_axis(z, self.features, "ModReLU")
        modulus = z.abs()
        # The double where keeps 0/0 out of the value and out of the gradient.
        dark = modulus == 0
        factor = (modulus + self.bias).relu() / torch.where(dark, 1, modulus)
        return z * torch.where(dark, 0, factor)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"features={self.features}"


class Permutation(nn.Module):
    """A fixed random order of the features, y = x[..., order]; makes adjacent cascades incoherent.

    Args:
        features: N.
        generator: of the order, a buffer that state dicts keep.

    Shapes: ``[..., N]`` → ``[..., N]``.

    Raises:
        InputError: features below 1; input with another last axis.

    Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, section 6.2.
    """

    order: Tensor  #: [N]

    def __init__(self, features: int, generator: torch.Generator | None = None):
        super().__init__()
        self.features = positive("Permutation: features", features)
        self.register_buffer("order", torch.randperm(features, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``[..., N]``, its entries in the fixed order."""
        last_axis(x, self.features, "Permutation")
        return x.index_select(-1, self.order)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"features={self.features}"


class First(nn.Module):
    """The first entries of the features: ``[..., N]`` → ``[..., features]``.

    Args:
        features: how many.

    Raises:
        InputError: features below 1; input with fewer.
    """

    def __init__(self, features: int):
        super().__init__()
        self.features = positive("First: features", features)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``[..., N]``, N ≥ features."""
        if x.shape[-1] < self.features:
            raise InputError("First: last axis of the input", value=tuple(x.shape), allowed=f"≥ {self.features}")
        return x[..., : self.features]

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"features={self.features}"
