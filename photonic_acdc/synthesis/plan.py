"""Masks that perform a matrix: :class:`Synthesis`, what every method returns."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from photonic_acdc.layers import AFDF, First
from photonic_acdc.storage import load_tensors, save_tensors
from photonic_acdc.synthesis.lenses import Grid, operator, propagate, reverse_alternate_stages, size
from simulators.errors import InputError

#: Masks nearer to modulus 1 than this show phase alone.
PHASE_ONLY = 1e-12


class SynthesisWarning(UserWarning):
    """Masks that miss the matrix by more than was tolerated, returned because ``strict=False`` asked for them."""


@dataclass(frozen=True, eq=False)
class Synthesis:
    r"""Masks in the order of the light, with a forward lens behind each, that perform a matrix.

    .. math:: T = m_M\,F\,m_{M-1} \cdots F\,m_1, \qquad T_{j<out,\,k<in} \approx g\,A

    with one more lens at the end where M is even. F is the unitary DFT, index from 0; features of a grid are its
    pixels, row by row, of which the first are fed and read. Two lenses turn the image: behind an odd number of pairs
    feature k is read at -k. Leading axes ``[...]`` are those of a batch of matrices.

    Attributes:
        matrix: A, complex128 ``[..., out, in]``, y = A x.
        masks: complex128 ``[..., M, *grid]``, none above 1.
        gain: g, float64 ``[...]``, of the amplitude; at most 1/σ_max of the matrix.
        method: that found them.
        reason: why that method, in a sentence.
    """

    matrix: Tensor
    masks: Tensor
    gain: Tensor
    method: str
    reason: str = ""

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """(n,) on cylindrical lenses, (y, x) on spherical ones."""
        return tuple(self.masks.shape[self.matrix.ndim - 1 :])

    @property
    def modes(self) -> tuple[int, int]:
        """The grid as a bench has it: a line is one row."""
        return (self.grid[0], self.grid[1]) if len(self.grid) == 2 else (1, self.grid[0])

    @property
    def features(self) -> int:
        """n, pixels of every mask."""
        return size(self.grid)

    @property
    def planes(self) -> int:
        """M, masks."""
        return self.masks.shape[self.matrix.ndim - 2]

    @property
    def stages(self) -> int:
        """K, whole stages of mask, lens, mask, lens that hold the masks."""
        return math.ceil(self.planes / 2)

    @property
    def phase_only(self) -> bool:
        """Whether every mask has modulus 1, to 1e-12."""
        return bool((self.masks.abs() - 1).abs().max() <= PHASE_ONLY)

    @property
    def lines(self) -> Tensor:
        """The masks with the features of a grid in one axis, ``[..., M, n]``."""
        return self.masks.flatten(-len(self.grid))

    def __len__(self) -> int:
        """Matrices of a batch."""
        if self.matrix.ndim == 2:
            raise TypeError("a synthesis of one matrix has no length")
        return len(self.matrix)

    def __getitem__(self, index: int) -> Self:
        """One matrix of a batch."""
        if self.matrix.ndim == 2:
            raise InputError("synthesis[index]", value="a synthesis of one matrix", allowed="that of a batch")
        parts = (self.matrix[index], self.masks[index], self.gain[index])
        return type(self)(*parts, self.method, self.reason)

    # --- what it does -----------------------------------------------------------------------------------------------

    def operator(self) -> Tensor:
        """T of the masks, all modes, ``[..., n, n]``: a passive machine's."""
        return operator(self.lines, self.grid)

    def reconstruct(self) -> Tensor:
        """The matrix that the masks perform, T/g between the modes fed and read, ``[..., out, in]``."""
        rows, columns = self.matrix.shape[-2:]
        fed = torch.eye(self.features, dtype=self.masks.dtype, device=self.masks.device)[:columns]
        block = propagate(self.lines, fed, self.grid)[..., :rows].mT
        return block / self.gain[..., None, None]

    @functools.cached_property
    def error(self) -> Tensor:
        """‖A - T/g‖ / ‖A‖, Frobenius, ``[...]``."""
        return relative_error(self.reconstruct(), self.matrix)

    @functools.cached_property
    def efficiency(self) -> Tensor:
        """(g σ_max)², ``[...]``: light that the input most favoured by the matrix keeps; no passive machine has > 1."""
        return (self.gain * torch.linalg.matrix_norm(self.matrix, ord=2)) ** 2

    @property
    def efficiency_dB(self) -> Tensor:
        """The same in decibels of power, ≤ 0."""
        return 10 * self.efficiency.log10()

    @property
    def dynamic_range(self) -> Tensor:
        """Amplitude of the brightest over that of the darkest pixel of a mask, the largest of all masks, ``[...]``.

        Infinite where a pixel is dark.
        """
        amplitudes = self.lines.abs()
        return (amplitudes.amax(-1) / amplitudes.amin(-1)).amax(-1)

    def __str__(self) -> str:
        rows, columns = self.matrix.shape[-2:]
        many = "" if self.matrix.ndim == 2 else f"{self.gain.numel()} matrices, the worst of them: "
        kind = ("phase mask" if self.phase_only else "mask") + ("s" if self.planes > 1 else "")
        kept = min(0.0, round(self.efficiency_dB.min().item(), 1)) + 0.0
        return (
            f"Synthesis of {many}{rows}x{columns} by {self.method}: {self.planes} {kind} of "
            f"{'x'.join(map(str, self.grid))}, error {self.error.max().item():.1e}, "
            f"gain {self.gain.min().item():.3g} ({kept:.1f} dB of the passive bound)"
        )

    # --- where it goes ----------------------------------------------------------------------------------------------

    def to_layer(self) -> nn.Module:
        """A trainable cascade that equals the matrix, in double precision: x ``[..., in]`` → A x ``[..., out]``.

        An :class:`~photonic_acdc.layers.AFDF` of K stages; where its modes are more than the matrix needs, followed by
        :class:`~photonic_acdc.layers.First`. Phase masks of gain 1 make a phase-only layer; else its last mask carries
        1/g, which a bench puts into the electronics.

        Raises:
            InputError: a batch of matrices.
        """
        self._one("to_layer")
        masks = reverse_alternate_stages(self._whole_stages(), self.grid)
        rows, columns = self.matrix.shape
        unscaled = self.phase_only and abs(self.gain.item() - 1) <= PHASE_ONLY
        layer = AFDF(
            columns,
            self.stages,
            out_features=rows if self.features == max(rows, columns) else self.features,
            shape=self.grid if len(self.grid) == 2 else None,
            phase_only=unscaled,
            device=masks.device,
            dtype=torch.float64,
        )
        with torch.no_grad():
            for part, start in (("a", 0), ("d", 1)):
                chosen = masks[start::2].unflatten(-1, self.grid)
                getattr(layer, f"{part}_phase").copy_(chosen.angle())
                if not unscaled:
                    getattr(layer, f"{part}_magnitude").copy_(chosen.abs())
            if layer.a_magnitude is not None:
                layer.a_magnitude[-1] /= self.gain
        return layer if layer.out_features == rows else nn.Sequential(layer, First(rows))

    def to_bench(self, bench: Any, simulator: Any = None, **options: Any) -> nn.Module:
        """The masks on a bench, mapped exactly and read coherently: :func:`photonic_acdc.to_optical` of the layer.

        The exact mapping of one stage is exact; of more it is where :func:`~photonic_acdc.synthesis.refine` starts.

        Args:
            bench: whose modes are the grid; with complex masks, unless the simulator is ``Ideal``.
            simulator: of :mod:`simulators`; None: ``Pixel``.
            options: of :func:`photonic_acdc.to_optical`.

        Raises:
            InputError: a batch of matrices, a grid that is not the bench's, a bench that cannot show the masks.
        """
        from photonic_acdc.optical import to_optical
        from simulators.pixel import Pixel

        options = {"mapping": "exact", "readout": "coherent", **options}
        return to_optical(self.to_layer(), bench, Pixel if simulator is None else simulator, **options)

    def _whole_stages(self) -> Tensor:
        """The masks ``[2K, n]``: a last one that shows nothing where they are odd in number."""
        masks = self.lines
        return masks if len(masks) % 2 == 0 else torch.cat([masks, torch.ones_like(masks[:1])])

    def _one(self, what: str) -> None:
        if self.matrix.ndim != 2:
            allowed = "one matrix: synthesis[i] of a batch"
            raise InputError(what, value=f"{self.gain.numel()} matrices", allowed=allowed)

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        tensors = {"matrix": self.matrix, "masks": self.masks, "gain": self.gain}
        save_tensors(path, tensors, {"synthesis": 1, "method": self.method, "reason": self.reason})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: no such file, or not of a synthesis.
        """
        tensors, data = load_tensors(path)
        if not isinstance(data, dict) or data.get("synthesis") != 1 or set(tensors) != {"matrix", "masks", "gain"}:
            raise InputError(f"file {path}", allowed="a file written by Synthesis.save")
        return cls(**tensors, method=data["method"], reason=data["reason"])


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """‖wanted - found‖ / ‖wanted‖, Frobenius, ``[...]``."""
    size = wanted.abs().amax(
        (-2, -1), keepdim=True
    )  # squares of very large or small entries leave the numbers there are
    return torch.linalg.matrix_norm((wanted - found) / size) / torch.linalg.matrix_norm(wanted / size)
