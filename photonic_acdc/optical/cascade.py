"""An optical linear layer as a module: x is written, propagated, photographed and decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import last_axis
from photonic_acdc.layers.structured import crop, pad
from photonic_acdc.optical.apparatus import Apparatus, measure
from photonic_acdc.optical.learned_ranges import (
    LearnedRanges,
    SoftLevels,
    clipped,
    has_levels,
    input_range,
    softened,
)
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.optical.masks import Masks
from photonic_acdc.optical.noise import Noise
from simulators.bench import Bench
from simulators.detection import Kind, Readout
from simulators.effects import flicker_pairs
from simulators.errors import InputError
from simulators.random import Shots, State
from simulators.simulator import Command, Simulator

Build = Callable[[Bench, int], Simulator]


#: Simulators that a cascade keeps for effects switched one by one; the oldest gives way.
_KEPT = 8


@dataclass(frozen=True, eq=False)
class _Bound:
    """A bench with the effects that act, and what was built of it."""

    bench: Bench
    simulator: Simulator
    readout: Readout
    levels: bool  #: whether a phase panel shows levels


class OpticalCascade(nn.Module):
    r"""A cascade of K stages on a bench.

    .. math:: \hat y = \frac{g\,x_{max}}{\sqrt{\Phi T/N}}\,\mathrm{decode}\bigl[\mathrm{frames}(
        \mathcal{E}\,\tfrac{\sqrt{\Phi/N}}{x_{max}}\,x)\bigr]

    with Φ photons in an exposure, T the nominal transmission of the devices, N modes and g the electronic gain, so that
    for ideal devices and an exact mapping ŷ is the layer's output (coherent) or its squared modulus (intensity).

    Args:
        bench: the bench, with all its effects.
        masks: the trainable side, of K stages.
        build: makes a simulator of (bench, stages).
        readout: a kind of :class:`~simulators.Readout`; all but ``"intensity"`` read the complex field.
        x_max: |x| that the input device writes as fully open.
        address: prefix of this cascade's zones; cascades of different addresses have different static errors.
        in_features, out_features: modes that are written and read, the first ones; None: all N.

    Shapes: ``[R·B, in_features]`` → ``[R·B, out_features]``, real (intensity) or complex (coherent); R of the noise
    switch, else 1.
    """

    def __init__(
        self,
        bench: Bench,
        masks: Masks,
        build: Build,
        *,
        readout: Kind = "coherent",
        x_max: float = 1.0,
        address: str = "",
        in_features: int | None = None,
        out_features: int | None = None,
    ):
        super().__init__()
        modes = bench.modes[0] * bench.modes[1]
        self.in_features = modes if in_features is None else in_features
        self.out_features = modes if out_features is None else out_features
        if not x_max > 0:
            raise InputError("x_max", value=x_max, allowed="greater than 0")
        self.masks = cast(nn.Module, masks)
        self.readout_kind: Kind = readout
        self.address = address
        self.noise = Noise()
        self.meter: LightMeter | None = None
        self.apparatus: Apparatus | None = None  #: takes the frames in the simulator's place, which keeps the gradient
        self.ranges: LearnedRanges | None = None  #: see :mod:`photonic_acdc.optical.ranges`; x_max may be learned too
        self.soft: SoftLevels | None = None
        self.x_max: Tensor
        self.register_buffer("x_max", torch.tensor(float(x_max)))
        self.bind(bench, build)

    def bind(self, bench: Bench, build: Build) -> None:
        """Put the same masks on another bench of the same sizes, or under another simulator."""
        self.bench, self.build = bench, build
        # The bench as it is, and with ideal devices for the noise mode "off"; others when single effects are switched.
        self._bounds: dict[tuple[str, ...] | None, _Bound] = {
            None: self._bound(bench),
            (): self._bound(bench.only()),
        }
        self._nominal: dict[tuple, State] = {}

    def _bound(self, bench: Bench) -> _Bound:
        simulator = self.build(bench, self.stages)
        readout = Readout(bench, self.stages, self.readout_kind, order=simulator.order)
        return _Bound(bench, simulator, readout, any(map(has_levels, bench.elements(self.stages))))

    def _acting(self) -> _Bound:
        """What the noise switch lets act."""
        noise = self.noise
        on = () if noise.on is None and noise.static == "none" else noise.on
        if on not in self._bounds:
            assert on is not None
            self._bounds[on] = self._bound(self.bench.only(*on))
            if len(self._bounds) > 2 + _KEPT:
                del self._bounds[list(self._bounds)[2]]
        return self._bounds[on]

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def stages(self) -> int:
        """K."""
        return cast(Masks, self.masks).stages

    @property
    def features(self) -> int:
        """N, modes of the bench."""
        return self.bench.modes[0] * self.bench.modes[1]

    @property
    def simulator(self) -> Simulator:
        """Of the bench with its effects."""
        return self._bounds[None].simulator

    @property
    def reference(self) -> Tensor:
        """A parameter, for dtype and device."""
        return next(self.masks.parameters())

    @property
    def shows_levels(self) -> bool:
        """Whether a phase panel shows levels under what the noise switch lets act; ideal devices are continuous."""
        return self._acting().levels

    def commands(self) -> list[Command]:
        """What a laboratory puts on its panels, in the order of the light; derived anew on every call."""
        return cast(Masks, self.masks).commands()

    def gain(self) -> Tensor:
        """Electronic amplitude gain behind the passive masks."""
        return cast(Masks, self.masks).gain()

    # --- what it does -----------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """The decoded output for ``x``; leading axes beyond one are rows too."""
        return self._measure(x)  # pyright: ignore[reportCallIssue, reportArgumentType, reportReturnType]  # a decorator

    @torch.compiler.disable  # the specs' bookkeeping is no tensor program; what surrounds the cascade still compiles
    def _measure(self, x: Tensor) -> Tensor:
        rows = x.shape[:-1]
        frames, acting = self._frames(x)
        learned = self.ranges
        share = None if learned is None else learned.converter_share(self.bench)
        light = cast(Masks, self.masks).orient(acting.readout.decode(frames, share))
        passed = acting.bench.transmission(self.stages)
        photons = float(self.bench.photons_in(self._nominal_state())) * passed / self.features
        scale = self.gain() * input_range(self.x_max, self.bench, self.in_features) / photons**0.5
        power = None if learned is None else learned.power_share()
        if power is not None:
            scale = scale / power.sqrt()
        scaled = light * (scale**2 if self.readout_kind == "intensity" else scale)
        return crop(scaled.reshape(*rows, self.features), self.out_features)

    def frames(self, x: Tensor) -> Tensor:
        """What the camera delivers for ``x``: ``[R, B, frames, y, x]``, digital numbers."""
        return self._frames(x)[0]

    def full_range(self) -> float | None:
        """Nominal signal of a reading at the end of the converter's range, electrons or A; None: no converter."""
        return self._bounds[None].readout.full_range()

    def fields(self, x: Tensor) -> dict[str, Tensor]:
        """The field at every plane, address → ``[R, B, y·q, x·q]`` in √photons; the ripple at its mean."""
        acting, state, shots, values = self._prepare(x)
        simulator = acting.simulator
        planes: dict[str, Tensor] = {}
        field = simulator.illuminate(values, state, shots=shots)
        planes["input"] = field
        simulator(self.commands(), field, state, shots=shots, probe=planes.__setitem__)
        return planes

    def _prepare(self, x: Tensor) -> tuple[_Bound, State, Shots | None, Tensor]:
        last_axis(x, self.in_features, "OpticalCascade")
        noise = self.noise
        realisations = len(noise.realisations)
        rows = pad(x, self.features).reshape(-1, self.features)
        if len(rows) % realisations:
            raise InputError(
                "OpticalCascade: rows of the batch",
                value=len(rows),
                allowed=f"a multiple of the {realisations} realisations",
                remedy="over_realisations(x, R)",
            )
        batch = len(rows) // realisations
        x_max = input_range(self.x_max, self.bench, self.in_features)
        values = (rows / x_max).reshape(realisations, batch, *self.bench.modes)
        if isinstance(self.x_max, nn.Parameter):
            values = clipped(values)
        values = values.to(self._complex if x.is_complex() else self.reference.dtype)
        shots = None
        if noise.dynamic == "drawn":
            shots = Shots(
                noise.seed,
                noise.realisations,
                self._sample_rows(batch),
                noise.exposure,
                noise.differentiable,
                prefix=self.address,
                expected=noise.expected,
            )
        return self._acting(), self.figures(), shots, values

    def figures(self) -> State:
        """What the physics reads: nominal figures or those of the noise switch, with learned ranges and soft levels."""
        noise = self.noise
        state = noise.state if noise.state is not None else self._nominal_state()
        if self.ranges is not None:
            state = self.ranges.figures(state, self.bench, self.stages)
        if self.soft is not None:
            state = softened(state, self.soft, self.bench, self.stages, prefix=self.address, exposure=noise.exposure)
        return state

    def _sample_rows(self, batch: int) -> tuple[int, ...]:
        """Identity of every row; a layer that sees several rows a sample (a convolution's pixels) numbers them on."""
        samples = self.noise.samples
        if samples is None:
            return tuple(range(batch))
        if batch % len(samples):
            raise InputError("noise: samples", value=f"{len(samples)} for {batch} rows", allowed="one a sample")
        each = batch // len(samples)
        return tuple(sample * each + i for sample in samples for i in range(each))

    def _frames(self, x: Tensor) -> tuple[Tensor, _Bound]:
        acting, state, shots, values = self._prepare(x)
        commands = self.commands()
        if self.apparatus is None:
            return self._exposed(acting, commands, values, state, shots), acting
        if self.noise.static == "none":
            raise InputError(
                "an apparatus within noise mode 'off'", allowed="'mean': its frames are no ideal bench's", value="off"
            )
        measured = measure(self.apparatus, commands, values)
        if self.meter is None and not torch.is_grad_enabled():
            return measured, acting
        twin = self._exposed(acting, commands, values, state, shots)
        if twin.shape != measured.shape:
            raise InputError(
                "apparatus: its frames",
                value=f"shape {list(measured.shape[1:])}",
                allowed=f"{list(twin.shape[1:])}, [rows, frames, y, x] as the twin's",
            )
        # The difference is exactly 0: what is decoded is what was measured, to the bit.
        return measured + (twin - twin.detach()), acting

    def expose(self, values: Tensor, commands: Sequence[Command] | None = None) -> Tensor:
        """Frames of shares of x_max as they are written, ``[R, B, y, x]`` → ``[R, B, frames, y, x]``.

        ``commands``: None: the masks'. An apparatus is left aside: the simulator answers, under the noise switch
        without its shots.
        """
        commands = self.commands() if commands is None else commands
        return self._exposed(self._acting(), commands, values, self.figures(), None)

    def _exposed(
        self, acting: _Bound, commands: Sequence[Command], values: Tensor, state: State, shots: Shots | None
    ) -> Tensor:
        simulator, moments = acting.simulator, acting.simulator.moments
        ripple = self._ripple(acting.bench) if shots is not None else "expected"
        if ripple == "mixed":
            moments = flicker_pairs(moments)
        field = simulator.illuminate(values, state, shots=shots, moments=moments)
        fields = self._propagate(simulator, commands, field, state, shots, moments)
        if self.meter is not None:
            self._book(acting.bench, field, fields, values)
        if ripple == "expected":
            fields = fields.mean(0, keepdim=True)
        elif ripple == "mixed":
            fields = fields.unflatten(0, (len(simulator.moments), -1)).mean(1)
        return acting.readout.frames(fields, state, shots)

    def _ripple(self, bench: Bench) -> Literal["drawn", "expected", "mixed"]:
        """Whether the panels' ripple is averaged as intensity, as the field, or some of it so and some so."""
        if not self.noise.expected:
            return "drawn"
        still = [
            str(effect) in self.noise.expected for effect in bench.effects(self.stages) if effect.name == "flicker"
        ]
        return "expected" if all(still) else "mixed" if any(still) else "drawn"

    def _propagate(
        self, simulator: Simulator, commands, field: Tensor, state: State, shots: Shots | None, moments: Tensor
    ) -> Tensor:
        """``[Q, R, B, …]``; where more rows than modes share one operator, through its matrix: a cascade is linear."""
        mixed = moments.shape != simulator.moments.shape
        if field.shape[-3] <= self.features or mixed or (shots is not None and simulator.varies):
            return simulator(commands, field, state, moments=moments, shots=shots)
        matrix = simulator.matrix(commands, state, moments=moments)
        side = simulator.order
        out = field.flatten(-2).to(matrix.dtype) @ matrix.mT  # Ideal leaves a real input real
        return out.unflatten(-1, (self.bench.modes[0] * side, self.bench.modes[1] * side))

    def _book(self, bench: Bench, field: Tensor, fields: Tensor, values: Tensor) -> None:
        assert self.meter is not None
        passed = bench.transmission(self.stages, place="stage")
        self.meter.book(_power(fields), _power(field) * passed, (values.abs() ** 2).mean())

    def _nominal_state(self) -> State:
        like = self.reference
        key = (like.dtype, like.device)
        if key not in self._nominal:
            self._nominal[key] = self.bench.nominal(self.stages, dtype=like.dtype, device=like.device)
        return self._nominal[key]

    @property
    def _complex(self) -> torch.dtype:
        return torch.complex128 if self.reference.dtype == torch.float64 else torch.complex64

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        y, x = self.bench.modes
        return (
            f"bench={self.bench.name!r}, modes={y}x{x}, stages={self.stages}, readout={self.readout_kind!r}, "
            f"simulator={type(self.simulator).__name__}(order={self.simulator.order})"
        )


def _power(field: Tensor) -> Tensor:
    """Mean photons a row."""
    return (field.real**2 + field.imag**2).sum((-2, -1)).mean()


def cascades(model: nn.Module) -> dict[str, OpticalCascade]:
    """Every optical cascade within ``model``, by its name in the module tree."""
    return {name: module for name, module in model.named_modules() if isinstance(module, OpticalCascade)}
