"""What the two cascades, ACDC and AFDF, share: sizes, padding, and the choice of the kernel."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from photonic_acdc.layers.check import fft_dtype, positive
from photonic_acdc.layers.kernels import KERNELS, Kernel, choose
from photonic_acdc.layers.structured import StructuredLinear, crop, pad
from simulators.errors import InputError, nearest


class Cascade(StructuredLinear):
    """K stages on N = max(in, out) features: the input is padded with zeros to N, the output cropped.

    ``kernel`` says how it is computed (:mod:`photonic_acdc.layers.kernels`); it may be set at any time, changes no
    result beyond rounding, and is no part of the state.
    """

    def __init__(self, features: int, stages: int, out_features: int | None, dtype: torch.dtype | None):
        super().__init__(features, out_features)
        name = type(self).__name__
        self.stages = positive(f"{name}: stages", stages)
        fft_dtype(name, dtype)
        self.features = max(self.in_features, self.out_features)  #: N
        self._kernel: Kernel = "auto"

    @property
    def kernel(self) -> Kernel:
        """One of ``"auto"``, ``"plain"``, ``"fused"``, ``"reversible"`` (unitary cascades), ``"dense"``."""
        return self._kernel

    @kernel.setter
    def kernel(self, kernel: Kernel) -> None:
        name = type(self).__name__
        if kernel not in KERNELS:
            raise InputError(f"{name}: kernel", value=repr(kernel), allowed=nearest(str(kernel), KERNELS))
        if kernel == "reversible" and not self.unitary:
            raise InputError(f"{name}: kernel", value="'reversible'", allowed="AFDF with phase_only=True")
        if kernel == "dense" and not self.affine:
            raise InputError(f"{name}: kernel", value="'dense'", allowed="a cascade without activation")
        self._kernel = kernel

    @property
    def unitary(self) -> bool:
        """Whether every mask has modulus 1."""
        return False

    @abstractmethod
    def _run(self, rows: Tensor, kernel: Kernel) -> Tensor:
        """``[R, N]`` → ``[R, N]`` by a kernel other than auto and dense."""

    def _map(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)
        kernel = choose(self._kernel, len(rows), self.features, self.stages, affine=self.affine)
        if kernel == "dense":
            y = self._as_matrix(rows)
        else:
            y = crop(self._run(pad(rows, self.features), kernel), self.out_features)
        return y.reshape(*x.shape[:-1], self.out_features)

    def _as_matrix(self, rows: Tensor) -> Tensor:
        """Multiplied out: the unit rows, and a row of zeros for the offset, go through the cascade."""
        unit = torch.eye(self.in_features + 1, self.features, dtype=rows.dtype, device=rows.device)
        unit[self.in_features :] = 0
        mapped = crop(self._run(unit, "fused"), self.out_features)
        offset = mapped[-1]
        return torch.addmm(offset, rows.to(mapped.dtype), mapped[:-1] - offset)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        sizes = f"features={self.in_features}, stages={self.stages}"
        return sizes if self.in_features == self.out_features else f"{sizes}, out_features={self.out_features}"
