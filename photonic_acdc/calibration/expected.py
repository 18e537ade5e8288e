"""The frames expected of a bench of given figures, how they change with the figures, and how they scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from photonic_acdc.calibration.figures import Figure
from photonic_acdc.calibration.patterns import Patterns
from simulators.bench import Bench
from simulators.detection import Readout
from simulators.detection.readout import Kind
from simulators.detection.sensors import sensor_of
from simulators.devices.camera import Camera
from simulators.errors import InputError
from simulators.random import State
from simulators.simulator import Command, Simulator

#: Patterns that are simulated together: more only cost memory.
_ROWS = 16


class Expected:
    r"""Expected frames :math:`f(\theta)` of all patterns, mean over the moments of the ripple, and their scatter.

    Rounding and range of the converter are left out: rounding counts as noise, and readings at full scale are no data.

    Args:
        bench: as designed.
        patterns: what was shown.
        figures: what θ counts: each in its own scale, from its nominal value.
        simulator: ``sim.Pixel`` or another class.
        readout: ``"intensity"`` or ``"coherent"``.
        options: of the simulator.
    """

    def __init__(
        self,
        bench: Bench,
        patterns: Patterns,
        figures: Sequence[Figure],
        *,
        simulator: Any,
        readout: Kind,
        options: dict[str, Any],
    ):
        stages = patterns.stages
        self._build, self._options = simulator, options
        self._readout_kind: Kind = readout
        self._simulator: Simulator = simulator(bench, stages, **options)
        self._nominal: State = bench.nominal(stages)
        detector = bench.element(stages, "detector")
        limits = [f"detector.{name}" for name in ("quantisation", "full_well", "full_scale") if detector.has(name)]
        open_bench = bench.without(*limits) if limits else bench
        self._readout = Readout(open_bench, stages, readout, order=self._simulator.order)
        self._bench, self._detector = bench, detector
        source = bench.element(stages, "source")
        noisy = source.has("intensity_noise")
        #: relative rms of the power from pattern to pattern
        self._laser_noise = float(source.read(self._nominal, "intensity_noise")) if noisy else 0.0
        self._digits = sensor_of(bench, stages, self._nominal).digits
        self._patterns, self._figures = patterns, figures
        self._offset = torch.tensor([figure.nominal for figure in figures], dtype=torch.float64)
        self._scale = torch.tensor([figure.scale for figure in figures], dtype=torch.float64)

    @property
    def full_scale(self) -> float | None:
        """Largest reading, digital numbers; None: bottomless."""
        for name in ("full_well", "full_scale"):
            if self._detector.has(name):
                return float(self._detector.read(self._nominal, name)) * self._digits
        return None

    def finer(self, patterns: int) -> Expected:
        """The same of the first ``patterns`` alone, with one more mode a pixel and axis."""
        return self._other(patterns, {**self._options, "order": self._simulator.order + 1})

    def first(self, patterns: int) -> Expected:
        """The same of the first ``patterns`` alone."""
        return self._other(patterns, self._options)

    def _other(self, patterns: int, options: dict[str, Any]) -> Expected:
        return Expected(
            self._bench,
            self._patterns.first(patterns),
            self._figures,
            simulator=self._build,
            readout=self._readout_kind,
            options=options,
        )

    def state(self, theta: Tensor) -> State:
        """The figures of the bench with those of θ ``[p]`` in their places, differentiable.

        A last entry beyond p is a relative excess of the laser's power.
        """
        state = dict(self._nominal)
        values = self._offset + self._scale * theta[: len(self._figures)]
        for address in dict.fromkeys(figure.address for figure in self._figures):
            rows = [row for row, figure in enumerate(self._figures) if figure.address == address]
            places = torch.tensor([self._figures[row].place for row in rows])
            flat = state[address].reshape(-1).index_copy(0, places, values[rows])
            state[address] = flat.reshape(state[address].shape)
        if len(theta) > len(self._figures):
            state["source.power"] = state["source.power"] * (1 + theta[-1])
        return state

    def _frames(self, theta: Tensor, rows: slice) -> Tensor:
        simulator, state = self._simulator, self.state(theta)
        commands = [
            Command(each.phase[rows], None if each.amplitude is None else each.amplitude[rows])
            for each in self._patterns.commands
        ]
        moments = simulator.moments
        field = simulator.illuminate(self._patterns.values[None, rows], state, moments=moments)
        fields = simulator(commands, field, state, moments=moments)
        return self._readout.frames(fields, state)[0] * self._digits

    def _blocks(self) -> list[slice]:
        return [slice(first, first + _ROWS) for first in range(0, len(self._patterns), _ROWS)]

    @torch.no_grad()
    def __call__(self, theta: Tensor) -> Tensor:
        """f(θ), ``[n, frames, y, x]``."""
        return torch.cat([self._frames(theta, rows) for rows in self._blocks()])

    @torch.enable_grad()
    def jacobian(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""f(θ), its derivatives ``[n, frames, y, x, p]``, and how it swings with the laser's power, the shape of f.

        The swing is :math:`\rho\,\partial f/\partial\ln\Phi`, with the relative rms ρ of the power.

        There are many readings and few figures, so columns are wanted; the simulators keep their kernels unless a
        backward pass is asked for. :math:`g(u) = J^T u` is linear in u, so that a second backward pass through the
        first one gives :math:`\partial g_k/\partial u`, column k of J.
        """
        frames, columns = [], []
        start = torch.cat([theta.detach(), theta.new_zeros(1)]) if self._laser_noise else theta.detach().clone()
        for rows in self._blocks():
            leaf = start.clone().requires_grad_()
            seen = self._frames(leaf, rows)
            frames.append(seen.detach())
            if not seen.requires_grad:  # no figure acts on any reading
                columns.append(torch.zeros(*seen.shape, len(start), dtype=seen.dtype))
                continue
            dual = torch.zeros_like(seen, requires_grad=True)
            (backward,) = torch.autograd.grad(seen, leaf, dual, create_graph=True)
            found = [torch.autograd.grad(part, dual, retain_graph=True)[0] for part in backward]
            columns.append(torch.stack(found, -1))
        seen, slopes = torch.cat(frames), torch.cat(columns)
        swing = self._laser_noise * slopes[..., -1] if self._laser_noise else torch.zeros_like(seen)
        return seen, slopes[..., : len(theta)], swing

    def variance(self, frames: Tensor, extra: float) -> Tensor:
        r"""Variance of each reading, digital numbers², the shape of ``frames``.

        .. math:: \sigma^2 = d^2\,\bigl(\mu + \sigma_r^2 + s^2/12\bigr) + \sigma_x^2

        with d digits an electron, μ expected electrons, read noise σ_r, rounding step s, and further noise σ_x.

        Args:
            frames: expected.
            extra: σ_x.

        Raises:
            InputError: readings without any noise, or of a photodiode without ``extra``.
        """
        detector, bench, digits = self._detector, self._bench, self._digits
        total = torch.full_like(frames, extra**2)
        if isinstance(bench.detector, Camera):
            floor = 0.0
            if detector.has("shot_noise"):
                dark = detector.read(self._nominal, "black_level") if detector.has("black_level") else 0.0
                total = total + digits**2 * (frames / digits - dark).clamp(min=0)
            if detector.has("read_noise"):
                floor += float(detector.read(self._nominal, "read_noise")) ** 2
            if detector.has("quantisation"):
                floor += float(detector.read(self._nominal, "quantisation", "step")) ** 2 / 12
            total = total + digits**2 * floor
        elif extra == 0:
            raise InputError(
                "calibrate: noise of a photodiode",
                value="not given",
                allowed="relative_noise > 0, of its amplifier and laser",
            )
        if not (total > 0).all():
            raise InputError("calibrate: noise of the frames", value="none", remedy="relative_noise=0.001")
        return total


class Whitening:
    r"""Takes readings to residuals of unit variance that do not depend on each other.

    One laser lights a whole pattern: its readings swing together by s, :math:`C = D + s s^T`, so that with
    :math:`u = D^{-1/2} s`

    .. math:: C^{-1/2} = \Bigl[1 - \bigl(1 - (1 + |u|^2)^{-1/2}\bigr)\frac{u u^T}{|u|^2}\Bigr] D^{-1/2}

    Args:
        variance: D, ``[n, frames, y, x]``.
        kept: which readings are data, the same shape.
        swing: s, the same shape.
    """

    def __init__(self, variance: Tensor, kept: Tensor, swing: Tensor):
        self._weight = (kept / variance.sqrt()).flatten(1)
        u = self._weight * swing.flatten(1)
        power = (u**2).sum(-1, keepdim=True)
        self._unit = u / power.clamp(min=1e-300).sqrt()
        self._less = 1 - torch.rsqrt(1 + power)

    def __call__(self, values: Tensor) -> Tensor:
        """``[n, frames, y, x]`` → ``[N]``, or with a last axis p ``[N, p]``."""
        columns = values.reshape(*self._weight.shape, -1)
        white = columns * self._weight[..., None]
        along = (self._unit[..., None] * white).sum(1, keepdim=True)
        white = white - self._less[..., None] * self._unit[..., None] * along
        return white.flatten(0, 1) if values.ndim == 5 else white.flatten()
