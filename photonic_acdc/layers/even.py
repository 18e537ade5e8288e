"""A real cascade of N features as a complex one of 2N: what puts ACDC on a bench of lenses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from photonic_acdc.layers.afdf import AFDF
from photonic_acdc.layers.check import last_axis, positive
from photonic_acdc.layers.structured import pad
from simulators.errors import InputError

if TYPE_CHECKING:
    from photonic_acdc.layers.acdc import ACDC


class EvenExtension(nn.Module):
    """x → [x, flip x], after padding with zeros: ``[..., in_features]`` → ``[..., 2N]``.

    Args:
        in_features: of the input.
        features: N ≥ in_features; None: as many.

    Raises:
        InputError: sizes below 1 or that do not fit; input with another last axis.
    """

    def __init__(self, in_features: int, features: int | None = None):
        super().__init__()
        self.in_features = positive("EvenExtension: in_features", in_features)
        self.features = positive("EvenExtension: features", in_features if features is None else features)
        if self.features < in_features:
            raise InputError("EvenExtension: features", value=features, allowed=f"≥ in_features = {in_features}")

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``[..., in_features]``."""
        last_axis(x, self.in_features, "EvenExtension")
        x = pad(x, self.features)
        return torch.cat([x, x.flip(-1)], dim=-1)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"in_features={self.in_features}, features={self.features}"


class EvenPart(nn.Module):
    """The real part of the first entries: ``[..., 2N]`` → ``[..., out_features]``; undoes :class:`EvenExtension`."""

    def __init__(self, out_features: int):
        super().__init__()
        self.out_features = positive("EvenPart: out_features", out_features)

    def forward(self, z: Tensor) -> Tensor:
        """``z`` ``[..., 2N]``."""
        z = z[..., : self.out_features]
        return z.real if z.is_complex() else z

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"out_features={self.out_features}"


@torch.no_grad()
def acdc_as_afdf(layer: ACDC) -> nn.Sequential:
    """See :meth:`photonic_acdc.layers.ACDC.as_afdf`."""
    if layer.permutations is not None or not layer.affine:
        raise InputError(
            "ACDC.as_afdf: permutations or an activation between stages",
            allowed="a cascade without them",
            remedy="single-stage layers in an nn.Sequential, each converted",
        )
    n = layer.features
    a = torch.cat([layer.a, layer.a.flip(-1)], dim=-1)
    # D~_N has no cosine coefficient behind it: free; the even extension is dark there.
    free = torch.ones_like(layer.d[:, :1])
    d = torch.cat([layer.d, free, layer.d[:, 1:].flip(-1)], dim=-1)
    bias = layer.bias is not None and bool(layer.bias.any())
    twin = AFDF(2 * n, layer.stages, bias=bias, device=layer.a.device, dtype=layer.a.dtype)
    assert twin.a_magnitude is not None
    assert twin.d_magnitude is not None
    # A real number in polar form: its modulus may be negative, its phase is 0, and no sign is lost.
    twin.a_phase.zero_()
    twin.d_phase.zero_()
    twin.a_magnitude.copy_(a)
    twin.d_magnitude.copy_(d)
    if layer.bias is not None and twin.bias is not None:
        # Orthonormal: the spectrum of e is s_k e^{iπk/2N} C_k with s_0 = √2, else 1; zero at k = N.
        k = torch.arange(2 * n, dtype=torch.float64, device=layer.a.device)
        coefficients = torch.cat([layer.bias, torch.zeros_like(free), -layer.bias[:, 1:].flip(-1)], dim=-1)
        scale = torch.ones_like(k)
        scale[0] = math.sqrt(2)
        angle = math.pi * k / (2 * n)
        twin.bias.copy_(coefficients * torch.complex(scale * angle.cos(), scale * angle.sin()))
    return nn.Sequential(EvenExtension(layer.in_features, n), twin, EvenPart(layer.out_features))
