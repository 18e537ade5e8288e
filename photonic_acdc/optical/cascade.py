"""An optical linear layer as a module: x is written, propagated, photographed and decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import last_axis
from photonic_acdc.layers.structured import crop, pad
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.optical.masks import Masks
from photonic_acdc.optical.noise import Noise
from simulators.bench import Bench
from simulators.detection import Kind, Readout
from simulators.errors import InputError
from simulators.random import Shots, State
from simulators.simulator import Command, Simulator

Build = Callable[[Bench, int], Simulator]


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
        self.x_max: Tensor
        self.register_buffer("x_max", torch.tensor(float(x_max)))
        self.bind(bench, build)

    def bind(self, bench: Bench, build: Build) -> None:
        """Put the same masks on another bench of the same sizes, or under another simulator."""
        self.bench, self.build = bench, build
        stages = self.stages
        # Two of each: the bench as it is, and with ideal devices for the noise mode "off".
        self._simulators = {True: build(bench, stages), False: build(bench.only(), stages)}
        self._readouts = {
            real: Readout(simulator.bench, stages, self.readout_kind, order=simulator.order)
            for real, simulator in self._simulators.items()
        }
        self._nominal: dict[tuple, State] = {}

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
        return self._simulators[True]

    @property
    def reference(self) -> Tensor:
        """A parameter, for dtype and device."""
        return next(self.masks.parameters())

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
        frames, readout = self._frames(x)
        light = cast(Masks, self.masks).orient(readout.decode(frames))
        real = self.noise.static != "none"
        passed = self.bench.transmission(self.stages) if real else 1.0
        photons = float(self.bench.photons_in(self._nominal_state())) * passed / self.features
        scale = self.gain() * self.x_max / photons**0.5
        scaled = light * (scale**2 if self.readout_kind == "intensity" else scale)
        return crop(scaled.reshape(*rows, self.features), self.out_features)

    def frames(self, x: Tensor) -> Tensor:
        """What the camera delivers for ``x``: ``[R, B, frames, y, x]``, digital numbers."""
        return self._frames(x)[0]

    def fields(self, x: Tensor) -> dict[str, Tensor]:
        """The field at every plane, address → ``[R, B, y·q, x·q]`` in √photons; the ripple at its mean."""
        simulator, state, shots, values = self._prepare(x)
        planes: dict[str, Tensor] = {}
        field = simulator.illuminate(values, state, shots=shots)
        planes["input"] = field
        simulator(self.commands(), field, state, probe=planes.__setitem__)
        return planes

    def _prepare(self, x: Tensor) -> tuple[Simulator, State, Shots | None, Tensor]:
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
        values = (rows / self.x_max).reshape(realisations, batch, *self.bench.modes)
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
            )
        state = noise.state if noise.state is not None else self._nominal_state()
        return self._simulators[noise.static != "none"], state, shots, values

    def _sample_rows(self, batch: int) -> tuple[int, ...]:
        """Identity of every row; a layer that sees several rows a sample (a convolution's pixels) numbers them on."""
        samples = self.noise.samples
        if samples is None:
            return tuple(range(batch))
        if batch % len(samples):
            raise InputError("noise: samples", value=f"{len(samples)} for {batch} rows", allowed="one a sample")
        each = batch // len(samples)
        return tuple(sample * each + i for sample in samples for i in range(each))

    def _frames(self, x: Tensor) -> tuple[Tensor, Readout]:
        simulator, state, shots, values = self._prepare(x)
        readout = self._readouts[self.noise.static != "none"]
        field = simulator.illuminate(values, state, shots=shots, moments=simulator.moments)
        fields = self._propagate(simulator, self.commands(), field, state, shots)
        if self.meter is not None:
            self._book(field, fields, values)
        if self.noise.dynamic != "drawn":
            fields = fields.mean(0, keepdim=True)
        return readout.frames(fields, state, shots), readout

    def _propagate(self, simulator: Simulator, commands, field: Tensor, state: State, shots: Shots | None) -> Tensor:
        """``[Q, R, B, …]``; where more rows than modes share one operator, through its matrix: a cascade is linear."""
        if field.shape[-3] <= self.features or (shots is not None and simulator.varies):
            return simulator(commands, field, state, moments=simulator.moments, shots=shots)
        matrix = simulator.matrix(commands, state, moments=simulator.moments)
        side = simulator.order
        out = field.flatten(-2) @ matrix.mT
        return out.unflatten(-1, (self.bench.modes[0] * side, self.bench.modes[1] * side))

    def _book(self, field: Tensor, fields: Tensor, values: Tensor) -> None:
        assert self.meter is not None
        real = self.noise.static != "none"
        passed = self.bench.transmission(self.stages, place="stage") if real else 1.0
        self.meter.shares.append(_power(fields) / (_power(field) * passed))
        self.meter.encoding.append((values.abs() ** 2).mean())

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
