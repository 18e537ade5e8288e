"""AFDF: the complex ACDC layer, a cascade of diagonals and Fourier transforms."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from photonic_acdc.layers.cascade import Cascade
from photonic_acdc.layers.check import non_negative
from photonic_acdc.layers.kernels import Kernel, afdf
from simulators.errors import InputError


class AFDF(Cascade):
    r"""Cascade of K stages of complex diagonals A, D and unitary Fourier transforms F.

    .. math:: y = x \prod_{k=1}^{K} A_k\,F\,D_k\,F^{-1}, \qquad (\text{bias: } F D_k \to F D_k + b_k)

    4·K·N real parameters (2·K·N with phase-only masks), O(K·N log N) work. K = N stages suffice for any matrix, to any
    accuracy (the paper's theorem). One stage is what two modulators and two lenses compute.

    Args:
        features: of the input, ≥ 1.
        stages: K ≥ 1.
        out_features: of the output; None: as many. N = max(features, out_features), odd or even; the input is padded
            with zeros to N, the output cropped.
        shape: (y, x) with y·x = N: the features lie on a grid and F is its 2-D transform, one lens. None: 1-D.
        phase_only: every diagonal has modulus 1, so that the cascade is unitary.
        bias: add a complex b after each D. Light cannot: a layer for a bench has none.
        init: ``"random_phase"`` (phases uniform on the circle, modulus 1: an isometry at the start) or ``"identity"``
            (1 + sigma·N(0, 1), complex).
        sigma: of the ``"identity"`` start.
        generator: of the initial values.
        device, dtype: of the parameters, float32 or float64; the bias is complex of the same precision.

    Shapes: ``[..., features]`` real or complex → ``[..., out_features]`` complex.

    Raises:
        InputError: sizes that do not fit; input with another last axis.

    Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, sections 3 and 4; random-phase start:
    Trabelsi et al., arXiv:1705.09792, with modulus 1.
    """

    takes_complex = True

    a_phase: nn.Parameter  #: [K, *grid], rad
    d_phase: nn.Parameter  #: [K, *grid], rad, frequency order of the FFT
    a_magnitude: nn.Parameter | None  #: [K, *grid]
    d_magnitude: nn.Parameter | None  #: [K, *grid]
    bias: nn.Parameter | None  #: [K, *grid], complex

    def __init__(
        self,
        features: int,
        stages: int = 1,
        *,
        out_features: int | None = None,
        shape: tuple[int, int] | None = None,
        phase_only: bool = False,
        bias: bool = False,
        init: Literal["random_phase", "identity"] = "random_phase",
        sigma: float = 0.06,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(features, stages, out_features, dtype)
        if shape is not None and math.prod(shape) != self.features:
            raise InputError("AFDF: shape", value=shape, allowed=f"a grid (y, x) of {self.features} features")
        if init not in ("random_phase", "identity"):
            raise InputError("AFDF: init", value=repr(init), allowed="'random_phase' or 'identity'")
        self.shape, self.phase_only = shape, phase_only
        self.init, self.sigma = init, non_negative("AFDF: sigma", sigma)
        size = (stages, *self.grid)

        def empty() -> nn.Parameter:
            return nn.Parameter(torch.empty(size, device=device, dtype=dtype))

        self.a_phase, self.d_phase = empty(), empty()
        for name in ("a_magnitude", "d_magnitude"):
            self.register_parameter(name, None if phase_only else empty())
        offset = nn.Parameter(torch.empty_like(self.a_phase, dtype=self.a_phase.dtype.to_complex())) if bias else None
        self.register_parameter("bias", offset)
        self.reset_parameters(generator)

    @property
    def grid(self) -> tuple[int, ...]:
        """The axes F runs over: (N,) or (y, x)."""
        return self.shape if self.shape is not None else (self.features,)

    @property
    def unitary(self) -> bool:
        """Whether every mask has modulus 1."""
        return self.phase_only

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        for phase, magnitude in ((self.a_phase, self.a_magnitude), (self.d_phase, self.d_magnitude)):
            if self.init == "random_phase":
                phase.uniform_(-math.pi, math.pi, generator=generator)
                if magnitude is not None:
                    magnitude.fill_(1.0)
                continue
            real = 1 + self.sigma * torch.empty_like(phase).normal_(generator=generator)
            imaginary = self.sigma * torch.empty_like(phase).normal_(generator=generator)
            phase.copy_(torch.atan2(imaginary, real))
            if magnitude is not None:
                magnitude.copy_(torch.hypot(real, imaginary))
        if self.bias is not None:
            self.bias.zero_()

    def diagonals(self) -> tuple[Tensor, Tensor]:
        """A and D, complex ``[K, *grid]``; D in the frequency order of the FFT."""
        return _polar(self.a_magnitude, self.a_phase), _polar(self.d_magnitude, self.d_phase)

    def flops(self) -> int:
        """A row: per stage two complex diagonals, bias, and two complex FFTs."""
        n = self.features
        return round(self.stages * (10 * n * math.log2(n) + (14 if self.bias is not None else 12) * n))

    def _run(self, rows: Tensor, kernel: Kernel) -> Tensor:
        a, d = self.diagonals()
        dtype = torch.promote_types(rows.dtype, a.dtype)
        a, d = a.to(dtype), d.to(dtype)
        b = None if self.bias is None else self.bias.to(dtype)
        function = {"plain": afdf.plain, "fused": afdf.fused, "reversible": afdf.reversible}[kernel]
        return function(rows.to(dtype).reshape(-1, *self.grid), a, d, b).reshape(rows.shape)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        parts = [super().extra_repr()]
        parts += [f"shape={self.shape}"] if self.shape else []
        parts += ["phase_only=True"] if self.phase_only else []
        parts += ["bias=True"] if self.bias is not None else []
        return ", ".join(parts)


def _polar(magnitude: Tensor | None, phase: Tensor) -> Tensor:
    shown = torch.complex(phase.cos(), phase.sin())
    return shown if magnitude is None else shown * magnitude
