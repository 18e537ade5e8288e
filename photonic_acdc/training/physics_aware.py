r"""Physics-aware training: forward on the bench itself, backward through its twin.

The frames come from an :class:`~photonic_acdc.optical.Apparatus`, a real bench or a finer simulator, and the gradient
is that of the twin, the simulator that the model is bound to:

.. math:: f = f_{twin}(\theta, x) + \mathrm{stopgrad}\bigl[f_{bench}(\theta, x) - f_{twin}(\theta, x)\bigr].

Source: Wright et al., Nature 601, 549 (2022). Where the twin is wrong its gradient is; so it may be refined on the way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from photonic_acdc.optical.apparatus import Apparatus, SimulatedBench
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.switches import noise
from photonic_acdc.training.method import Method
from photonic_acdc.training.settings import name_of
from photonic_acdc.training.twin import Twin
from simulators.errors import InputError
from simulators.simulator import Command

#: Exposures of a simulated bench that validate are numbered from here, so that none is one of training.
JUDGING_EXPOSURES = 2**32

Apparatuses = Apparatus | Mapping[str, Apparatus]
"""Of a model's one cascade, or of every cascade by its name in the module tree."""


@contextlib.contextmanager
def physics_aware(model: nn.Module, apparatus: Apparatuses) -> Iterator[None]:
    """Within, every optical cascade's frames are those of its apparatus; undone on leaving.

    >>> with physics_aware(optic, bench):
    ...     loss = criterion(optic(x), y)  # measured
    >>> loss.backward()  # through the twin

    Args:
        model: with optical cascades; x_max, masks and electronics are its own.
        apparatus: what takes the frames.

    Raises:
        InputError: no cascade, or not one apparatus for each.
    """
    found = _assigned(model, apparatus)
    before = [(cascade, cascade.apparatus) for cascade, _ in found]
    try:
        for cascade, each in found:
            cascade.apparatus = each
        yield
    finally:
        for cascade, previous in before:
            cascade.apparatus = previous


def _assigned(model: nn.Module, apparatus: Apparatuses) -> list[tuple[OpticalCascade, Apparatus]]:
    found = cascades(model)
    if not found:
        raise InputError("physics_aware: the model has no optical cascade", remedy="to_optical(model, bench) first")
    if not isinstance(apparatus, Mapping):
        if len(found) > 1:
            raise InputError(
                "physics_aware: one apparatus",
                value=f"for {len(found)} cascades",
                allowed="one each, by name",
                remedy="{" + ", ".join(f"{name!r}: …" for name in found) + "}",
            )
        apparatus = dict.fromkeys(found, apparatus)
    if set(apparatus) != set(found):
        raise InputError("physics_aware: apparatus of", value=sorted(apparatus), allowed=str(sorted(found)))
    return [(cascade, apparatus[name]) for name, cascade in found.items()]


class TwinRefinement:
    r"""How the twin's figures keep being fitted while a model is trained: one step of Adam a training step on

    .. math:: \frac{1}{2\sigma^2}\,\langle (f_{twin} - f_{bench})^2\rangle + \frac{1}{2n}\sum\varepsilon^2

    with σ a share of the frames' rms, ε the figures' errors in units of their spread, and n the values fitted before
    the data outweigh the data sheet.

    Args:
        figures: patterns of the effects that are fitted.
        learning_rate: of ε.
        noise: σ over the rms of the frames.
        rows: n.

    Source: dual adaptive training fits a twin beside the task: Zheng et al., Nat. Mach. Intell. 5, 1119 (2023).
    """

    def __init__(
        self,
        figures: Sequence[str] = ("*.phase_error", "*.lut_residual", "*.scale_error"),
        *,
        learning_rate: float = 0.05,
        noise: float = 0.02,
        rows: float = 1e4,
    ):
        for name, value in (("learning_rate", learning_rate), ("noise", noise), ("rows", rows)):
            if not 0 < value < math.inf:
                raise InputError(f"TwinRefinement: {name}", value=value, allowed="greater than 0")
        self.figures, self.learning_rate, self.noise, self.rows = tuple(figures), learning_rate, noise, rows


@dataclasses.dataclass
class _Recorder:
    """An apparatus that remembers its last exposure."""

    apparatus: Apparatus
    last: tuple[list[Command], Tensor, Tensor] | None = None

    def __call__(self, commands: Sequence[Command], values: Tensor) -> Tensor:
        frames = self.apparatus(commands, values)
        # Copies: by the time the twin is fitted, the optimiser has moved the masks in place.
        shown = [
            Command(command.phase.clone(), None if command.amplitude is None else command.amplitude.clone())
            for command in commands
        ]
        self.last = shown, values, frames
        return frames


class PhysicsAware(Method):
    """Physics-aware training as a method of :func:`~photonic_acdc.training.train`, with ``noise_mode="mean"``.

    Validation is measured on the bench too, and costs frames; a ``SimulatedBench`` has other shots for it, so that
    training goes as it would without. In one process alone: each of several would expose a bench, and fit a twin,
    of its own.

    Args:
        apparatus: see :func:`physics_aware`.
        refine: fits the twin on the way; None: it stays nominal.

    Attributes:
        twins: by the cascade's name, once training has begun; empty without ``refine``.
    """

    one_process = True

    def __init__(self, apparatus: Apparatuses, *, refine: TwinRefinement | None = None):
        self._apparatus, self._refine = apparatus, refine
        self._recorders: dict[str, _Recorder] = {}
        self.twins: dict[str, Twin] = {}
        self._optimisers: dict[str, torch.optim.Adam] = {}

    def settings(self) -> Mapping[str, Any]:
        """See :class:`Method`; all that makes a simulated bench what it is, and of another apparatus its name."""
        refine = None if self._refine is None else {**vars(self._refine), "figures": list(self._refine.figures)}
        given = self._apparatus
        told = {name: _told(each) for name, each in given.items()} if isinstance(given, Mapping) else _told(given)
        return {**super().settings(), "refine": refine, "apparatus": told}

    def prepare(self, model: nn.Module) -> None:
        """Record the exposures of every apparatus, and make a twin of every cascade that is to be refined."""
        given = {id(cascade): apparatus for cascade, apparatus in _assigned(model, self._apparatus)}
        found = cascades(model)
        self._recorders = {name: _Recorder(given[id(cascade)]) for name, cascade in found.items()}
        if self._refine is not None:
            self.twins = {name: Twin(cascade, self._refine.figures) for name, cascade in found.items()}
            self._optimisers = {
                name: torch.optim.Adam(twin.parameters(), lr=self._refine.learning_rate)
                for name, twin in self.twins.items()
            }

    @contextlib.contextmanager
    def forward(self, model: nn.Module) -> Iterator[None]:
        """Frames from the apparatus, gradients through the twin as it has been fitted so far."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(physics_aware(model, self._recorders))
            for name, twin in self.twins.items():
                stack.enter_context(_fitted(cascades(model)[name], twin))
            yield

    @contextlib.contextmanager
    def judging(self, model: nn.Module) -> Iterator[None]:
        """Frames from the apparatus; the twin learns nothing from them, and training's shots go on after them."""
        given = [apparatus for _, apparatus in _assigned(model, self._apparatus)]
        simulated = {id(each): each for each in given if isinstance(each, SimulatedBench)}.values()
        calls = [each.calls for each in simulated]
        try:
            for each in simulated:
                each.calls += JUDGING_EXPOSURES  # from where training is: every validation has others
            with physics_aware(model, self._apparatus):
                yield
        finally:
            for each, before in zip(simulated, calls, strict=True):
                each.calls = before

    def after(self, model: nn.Module) -> None:
        """One step of every twin, on the exposure of this step."""
        if self._refine is None:
            return
        for name, cascade in cascades(model).items():
            last = self._recorders[name].last
            if last is None:
                continue
            commands, values, measured = last
            twin, optimiser = self.twins[name], self._optimisers[name]
            with noise(model, "mean"), _fitted(cascade, twin, gradient=True):
                frames = cascade.expose(values[None], commands)[0]
            variance = (self._refine.noise**2) * measured.square().mean()
            misfit = (frames - measured.to(frames)).square().mean() / variance
            optimiser.zero_grad()
            ((misfit + twin.surprise() / self._refine.rows) / 2).backward()
            optimiser.step()

    def state(self) -> Mapping[str, Tensor]:
        """The twins' errors, what Adam knows of them, and how far a simulated bench is in its shots."""
        found = {}
        for name, recorder in self._recorders.items():
            if isinstance(recorder.apparatus, SimulatedBench):
                found[f"{name}/calls"] = torch.tensor(recorder.apparatus.calls)
        for name, twin in self.twins.items():
            for i, error in enumerate(twin.errors):
                found[f"{name}/{i}/error"] = error.detach()
                for slot, value in self._optimisers[name].state.get(error, {}).items():
                    found[f"{name}/{i}/{slot}"] = value
        return found

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See :class:`Method`."""
        for name, recorder in self._recorders.items():
            if isinstance(recorder.apparatus, SimulatedBench):
                recorder.apparatus.calls = int(state[f"{name}/calls"])
        for name, twin in self.twins.items():
            for i, error in enumerate(twin.errors):
                prefix = f"{name}/{i}/"
                slots = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                with torch.no_grad():
                    error.copy_(slots.pop("error"))
                if slots:
                    moved = {k: v if k == "step" else v.to(error.device) for k, v in slots.items()}
                    self._optimisers[name].state[error] = moved


def _told(apparatus: Apparatus) -> Any:
    return apparatus.settings() if isinstance(apparatus, SimulatedBench) else name_of(apparatus)


@contextlib.contextmanager
def _fitted(cascade: OpticalCascade, twin: Twin, *, gradient: bool = False) -> Iterator[None]:
    """Within, the cascade's figures are the twin's."""
    before = cascade.noise
    state = before.state
    if state is None:
        like = cascade.reference
        state = cascade.bench.nominal(cascade.stages, dtype=like.dtype, device=like.device)
    figures = twin.overrides()
    if not gradient:
        figures = {address: value.detach() for address, value in figures.items()}
    cascade.noise = dataclasses.replace(before, state={**state, **figures})
    try:
        yield
    finally:
        cascade.noise = before
