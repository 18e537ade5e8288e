"""AFDF: the complex ACDC layer, a cascade of diagonals and Fourier transforms."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import last_axis, positive, square
from photonic_acdc.transforms import dft, idft
from simulators.errors import InputError


class AFDF(nn.Module):
    r"""Cascade of K stages of complex diagonals A, D and unitary Fourier transforms F.

    .. math:: y = x \prod_{k=1}^{K} A_k\,F\,D_k\,F^{-1}

    O(K·N) parameters, O(K·N log N) work. K = N stages suffice for any matrix, to any accuracy (the paper's theorem).
    One stage is what two modulators and two lenses compute.

    Args:
        features: N ≥ 1, odd or even.
        stages: K ≥ 1.
        shape: (y, x) with y·x = N: the features lie on a grid and F is its 2-D transform, one lens. None: 1-D.
        phase_only: every diagonal has modulus 1, so that the layer is unitary.
        init: ``"random_phase"`` (phases uniform on the circle, modulus 1: an isometry at the start) or ``"identity"``
            (1 + 0.06·N(0, 1), complex).
        generator: of the initial values.
        device, dtype: of the parameters, real.

    Shapes: ``[..., N]`` real or complex → ``[..., N]`` complex.

    Raises:
        InputError: sizes that do not fit; input with another last axis.

    Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, sections 3 and 4; random-phase start:
    Trabelsi et al., arXiv:1705.09792, with modulus 1.
    """

    a_phase: nn.Parameter  #: [K, *grid], rad
    d_phase: nn.Parameter  #: [K, *grid], rad, frequency order of the FFT
    a_magnitude: nn.Parameter | None  #: [K, *grid]
    d_magnitude: nn.Parameter | None  #: [K, *grid]

    def __init__(
        self,
        features: int,
        stages: int = 1,
        *,
        shape: tuple[int, int] | None = None,
        phase_only: bool = False,
        init: Literal["random_phase", "identity"] = "random_phase",
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.features, self.stages = positive("AFDF: features", features), positive("AFDF: stages", stages)
        if shape is not None and math.prod(shape) != features:
            raise InputError("AFDF: shape", value=shape, allowed=f"a grid of {features} features")
        if init not in ("random_phase", "identity"):
            raise InputError("AFDF: init", value=repr(init), allowed="'random_phase' or 'identity'")
        self.shape, self.phase_only, self.init = shape, phase_only, init
        size = (stages, *self.grid)

        def empty() -> nn.Parameter:
            return nn.Parameter(torch.empty(size, device=device, dtype=dtype))

        self.a_phase, self.d_phase = empty(), empty()
        for name in ("a_magnitude", "d_magnitude"):
            self.register_parameter(name, None if phase_only else empty())
        self.reset_parameters(generator)

    @classmethod
    def like(cls, linear: nn.Linear, stages: int = 1, **options) -> Self:
        """A layer of the size, device and dtype of a square ``nn.Linear``; its weights are not copied."""
        weight = linear.weight
        return cls(square(linear, "AFDF"), stages, device=weight.device, dtype=weight.dtype, **options)

    @property
    def grid(self) -> tuple[int, ...]:
        """The axes F runs over: (N,) or (y, x)."""
        return self.shape if self.shape is not None else (self.features,)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values anew."""
        for phase, magnitude in ((self.a_phase, self.a_magnitude), (self.d_phase, self.d_magnitude)):
            if self.init == "random_phase":
                phase.uniform_(-math.pi, math.pi, generator=generator)
                if magnitude is not None:
                    magnitude.fill_(1.0)
                continue
            real = 1 + 0.06 * torch.empty_like(phase).normal_(generator=generator)
            imaginary = 0.06 * torch.empty_like(phase).normal_(generator=generator)
            phase.copy_(torch.atan2(imaginary, real))
            if magnitude is not None:
                magnitude.copy_(torch.hypot(real, imaginary))

    def diagonals(self) -> tuple[Tensor, Tensor]:
        """A and D, complex ``[K, *grid]``; D in the frequency order of the FFT."""
        return _polar(self.a_magnitude, self.a_phase), _polar(self.d_magnitude, self.d_phase)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``[..., N]`` through the cascade; complex ``[..., N]``."""
        last_axis(x, self.features, "AFDF")
        a, d = self.diagonals()
        dims = len(self.grid)
        field = x.reshape(*x.shape[:-1], *self.grid)
        for k in range(self.stages):
            field = idft(dft(field * a[k], dims) * d[k], dims)
        return field.reshape(x.shape)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        parts = [f"features={self.features}", f"stages={self.stages}"]
        parts += [f"shape={self.shape}"] if self.shape else []
        parts += ["phase_only=True"] if self.phase_only else []
        return ", ".join(parts)


def _polar(magnitude: Tensor | None, phase: Tensor) -> Tensor:
    shown = torch.complex(phase.cos(), phase.sin())
    return shown if magnitude is None else shown * magnitude
