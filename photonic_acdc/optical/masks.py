r"""What an optical cascade trains, and how it becomes commands for the modulators.

*Native*: the physical masks themselves. *Exact*: the layer's logical masks, mapped to physical ones on every call.
*Given*: what a calibration has found.

**The exact mapping.** On pixel boxes, lens · D · lens is a Hankel matrix T[l, n] = t[n + l], with t = B D Bᵀ
(:func:`simulators.fourier.two_lens_taps`). The layer's stage F⁻¹ diag(d) F is circulant with taps c = F⁻¹d/√N, which is
Hankel up to an index flip. So D = pinv(B) t pinv(B)ᵀ. After every stage the field lies flipped; instead of turning it
back, every other stage's masks are reversed, and the readout reverses the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from photonic_acdc.layers.afdf import AFDF
from simulators.bench import Bench
from simulators.errors import InputError
from simulators.fourier import centres, two_lens_taps
from simulators.simulator import Command


class Masks(Protocol):
    """The trainable side of a cascade."""

    stages: int

    def commands(self) -> list[Command]:
        """What each mask is told to show, in the order of the light; derived anew on every call."""
        ...

    def gain(self) -> Tensor:
        """Electronic amplitude gain that restores what passive masks cannot give, ≥ 0, scalar."""
        ...

    def orient(self, modes: Tensor) -> Tensor:
        """Modes at the detector ``[..., y, x]`` in the layer's order; real (photons) or complex."""
        ...


class NativeMasks(nn.Module):
    """Physical masks: a phase, and where the bench has the panels an amplitude, for every macro-pixel.

    Args:
        bench: with the sizes of the masks.
        stages: K.
        generator: of the initial phases.
        spread: the phases start uniform over ±π·spread.
        device, dtype: of the parameters, real.
    """

    def __init__(
        self,
        bench: Bench,
        stages: int,
        *,
        generator: torch.Generator | None = None,
        spread: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.stages = stages
        shapes = bench.command_shapes * stages
        self.phases = nn.ParameterList(
            torch.empty(shape, device=device, dtype=dtype).uniform_(
                -torch.pi * spread, torch.pi * spread, generator=generator
            )
            for shape in shapes
        )
        # sigmoid(3) = 0.95: nearly open, with a gradient.
        self.openings = nn.ParameterList(
            torch.full(shapes[j], 3.0, device=device, dtype=dtype)
            for j in range(2 * stages)
            if bench.stage[2 * (j % 2)].modulation != "phase_only"
        )
        self._complex = tuple(bench.stage[2 * (j % 2)].modulation != "phase_only" for j in range(2 * stages))

    def commands(self) -> list[Command]:
        """See :class:`Masks`."""
        openings = iter(self.openings)
        return [
            Command(phase, torch.sigmoid(next(openings)) if is_complex else None)
            for phase, is_complex in zip(self.phases, self._complex, strict=True)
        ]

    def gain(self) -> Tensor:
        """1: what the masks are is what they do."""
        return torch.ones((), dtype=self.phases[0].dtype, device=self.phases[0].device)

    def orient(self, modes: Tensor) -> Tensor:
        """As they lie: physical masks have no order of their own."""
        return modes


class ExactMasks(nn.Module):
    """The masks of an :class:`~photonic_acdc.layers.AFDF`, mapped to the bench on every call.

    Exact for one stage read coherently; for more it is a start, because no plane projects the field onto pixel boxes.

    Args:
        layer: its parameters are used, not copied.
        bench: whose masks must be complex, except for ``logical``.
        logical: for ``Ideal``, whose Fourier plane has N modes: masks are relabelled, not mapped.
        phases_alone: let a bench without amplitude panels show the phases of the masks, which is no longer exact.

    Raises:
        InputError: a bench without amplitude panels, or whose two lenses differ.
    """

    def __init__(self, layer: AFDF, bench: Bench, *, logical: bool, phases_alone: bool = False):
        super().__init__()
        self.layer, self.stages, self._modes, self._logical = layer, layer.stages, bench.modes, logical
        self._inverse: tuple[Tensor, Tensor] | None = None
        self._complex = (True, True)
        if logical:
            return
        self._complex = tuple(bench.stage[i].modulation != "phase_only" for i in (0, 2))
        if not (all(self._complex) or phases_alone):
            raise InputError(
                'mapping="exact" needs complex masks, and this bench shows phase alone',
                remedy="an amplitude panel as stage[].companion (reference_bench(complex_masks=True)), "
                'or mapping="native"',
            )
        if bench.scales[0] != bench.scales[1]:
            raise InputError(
                'mapping="exact": the two lenses of a stage',
                value=f"M = {bench.scales[0]:.3f} and {bench.scales[1]:.3f}",
                allowed="equal M = λf/(p1·p2)",
            )
        # The taps of the simulator's own kernel: one function for the mapping and for the lens.
        inverses = [
            torch.linalg.pinv(two_lens_taps(modes, pixels, bench.scales[0], window=bench.detector.window))
            for modes, pixels in zip(bench.modes, bench.fourier_pixels, strict=True)
        ]
        self._inverse = (inverses[0], inverses[1])

    def commands(self) -> list[Command]:
        """See :class:`Masks`."""
        return [
            Command(torch.angle(mask / peak), mask.abs() / peak if self._complex[j % 2] else None)
            for j, (mask, peak) in enumerate((mask, mask.abs().max()) for mask in self._masks())
        ]

    def gain(self) -> Tensor:
        """Product of the masks' peaks: each is shown at most fully open."""
        peaks = torch.stack([mask.abs().max() for mask in self._masks()])
        return peaks.prod()

    def orient(self, modes: Tensor) -> Tensor:
        """Undo the flip of an odd number of stages; in ``Ideal`` also the half-sample phase."""
        if self.stages % 2:
            modes = modes.flip(-2, -1)
        if self._logical and modes.is_complex():
            modes = modes * self._half_sample(modes).conj()
        return modes

    def _masks(self) -> list[Tensor]:
        """Complex masks as the light meets them, not yet passive."""
        a, d = (part.reshape(-1, *self._modes) for part in self.layer.diagonals())
        masks = []
        for s in range(self.stages):
            entrance = a[s].flip(-2, -1) if s % 2 else a[s]
            if self._logical and s == 0:
                entrance = entrance * self._half_sample(entrance)
            masks += [entrance, self._logical_fourier(d[s], s) if self._logical else self._mapped(d[s], s)]
        return masks

    def _logical_fourier(self, d: Tensor, stage: int) -> Tensor:
        """DC on the axis; reversed in every other stage."""
        shifted = torch.fft.fftshift(d, dim=(-2, -1))
        return shifted.flip(-2, -1) if stage % 2 else shifted

    def _half_sample(self, like: Tensor) -> Tensor:
        r"""Phase :math:`e^{2\pi i\delta n_c/N}` that moves an even N's spectrum by half a sample onto the axis."""
        phase = torch.zeros((), dtype=torch.float64, device=like.device)
        for axis, n in enumerate(self._modes):
            delta = n // 2 - (n - 1) / 2
            ramp = centres(n, device=like.device) * (2 * torch.pi * delta / n)
            phase = phase + (ramp[:, None] if axis == 0 else ramp)
        return torch.complex(phase.cos(), phase.sin()).to(like.dtype)

    def _mapped(self, d: Tensor, stage: int) -> Tensor:
        """The physical Fourier-plane mask of logical diagonal ``d``."""
        assert self._inverse is not None
        taps = torch.fft.ifft2(d)
        # T must have T[l, n] = c[n - l] reversed or not, by the parity of the flips so far.
        sign = 1 if stage % 2 else -1
        lags = [sign * torch.arange(-(n - 1), n, device=d.device) % n for n in self._modes]
        wanted = taps[lags[0][:, None], lags[1]]
        inverse_y, inverse_x = (inverse.to(d) for inverse in self._inverse)
        return inverse_y @ wanted @ inverse_x.mT


class GivenMasks(nn.Module):
    """Commands as they are given: the phases are parameters; amplitudes, gain and order are kept as they are.

    Args:
        commands: of the 2K masks, copied.
        gain: electronic amplitude gain, scalar.
        reversed_order: whether the modes lie flipped at the detector.
        readout_phase: phase that the electronics take out of each mode at the detector, rad, ``[y, x]``; counts of
            photons have none. None: none.

    Raises:
        InputError: an odd number of commands.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        *,
        gain: Tensor,
        reversed_order: bool = False,
        readout_phase: Tensor | None = None,
    ):
        super().__init__()
        if not commands or len(commands) % 2:
            raise InputError("GivenMasks: commands", value=len(commands), allowed="two masks a stage")
        self.stages, self.reversed_order = len(commands) // 2, reversed_order
        self.phases = nn.ParameterList(command.phase.detach().clone() for command in commands)
        self._names = tuple(
            None if command.amplitude is None else f"amplitude{j}" for j, command in enumerate(commands)
        )
        for name, command in zip(self._names, commands, strict=True):
            if name is not None:
                assert command.amplitude is not None
                self.register_buffer(name, command.amplitude.detach().clone())
        self.readout_phase: Tensor | None
        self._gain: Tensor
        self.register_buffer("_gain", gain.detach().clone())
        self.register_buffer("readout_phase", None if readout_phase is None else readout_phase.detach().clone())

    def commands(self) -> list[Command]:
        """See :class:`Masks`."""
        return [
            Command(phase, None if name is None else self.get_buffer(name))
            for phase, name in zip(self.phases, self._names, strict=True)
        ]

    def gain(self) -> Tensor:
        """As given."""
        return self._gain

    def orient(self, modes: Tensor) -> Tensor:
        """Take the readout phase out of complex modes, then turn them back."""
        if self.readout_phase is not None and modes.is_complex():
            phase = self.readout_phase
            modes = modes * torch.complex(phase.cos(), -phase.sin()).to(modes.dtype)
        return modes.flip(-2, -1) if self.reversed_order else modes
