"""Masks fitted to a bench: through its pixels, misalignment, fringing and levels, to the matrix that they are for."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.layers.check import non_negative, positive
from photonic_acdc.optical.cascade import OpticalCascade
from photonic_acdc.optical.masks import ExactMasks, GivenMasks
from photonic_acdc.synthesis.machine import Fit, Machine, stages_for
from photonic_acdc.synthesis.plan import Synthesis
from simulators.bench import Bench
from simulators.errors import InputError
from simulators.pixel import Pixel
from simulators.random import Realisations, check_seed, stream
from simulators.simulator import Command

Start = Literal["flat", "exact"]
Progress = Callable[[int, int], None]

#: Masks that are flat but for this share of ±π: the light stays where the next mask is, and symmetry is broken.
_RIPPLE = 0.1
#: Shares of the pixels that stand on a level, round by round; those left are fitted anew each time.
_SETTLED = (0.5, 0.7, 0.8, 0.88, 0.93, 0.96, 0.98, 0.99, 1.0)


@dataclass(frozen=True, eq=False)
class Refined:
    """What :func:`refine` has found.

    Errors are NMSE, ‖T - c A‖² / ‖T‖² of the matrix T that the bench performs at the best constant c, a mean over the
    benches; over the inputs given where some were.

    Attributes:
        optic: the bench with the masks found, read coherently: x ``[..., in]`` → nearly A x.
        exact: NMSE of the masks of the synthesis, mapped onto the bench and shown by its panels.
        rounded: of masks fitted without regard to levels, then shown by the panels.
        nmse: of the masks found.
        light: (|c| σ_max)², a mean: light that the input most favoured by A keeps, losses of the devices included.
    """

    optic: nn.Module
    exact: float
    rounded: float
    nmse: float
    light: float

    def __str__(self) -> str:
        rounded, nmse, light = map(_decibels, (self.rounded, self.nmse, self.light))
        exact = "" if math.isnan(self.exact) else f", exact masks {_decibels(self.exact)}"
        return f"Refined: error {nmse} (rounded {rounded}{exact}), light {light}"


def refine(
    synthesis: Synthesis,
    bench: Bench,
    *,
    stages: int | None = None,
    start: Start = "flat",
    inputs: Any = None,
    seed: int | None = None,
    realisations: int = 1,
    iterations: int = 200,
    light_weight: float = 1e-3,
    simulator: Any = Pixel,
    progress: Progress | None = None,
    **options: Any,
) -> Refined:
    r"""Fit all masks of a bench to the matrix of ``synthesis``, through whatever its devices do to them.

    .. math:: \min_\theta \Bigl\langle \frac{\|T_r - c_r A\|^2}{\|T_r\|^2} - w \ln|c_r|^2 \Bigr\rangle_r

    over the phases (and, where the bench has the panels, amplitudes) of every macro-pixel, T_r being the matrix of
    bench r, c_r the constant of best agreement. First L-BFGS finds masks without levels. Then pixels are put on their
    nearest level, more of them each round, drawn at random, and those that are left make up for them; what comes out
    best of that, of plain rounding and of an ``"exact"`` start is kept.

    A cascade of closed form is long, and on real lenses every stage loses the light that falls beside the next mask:
    what N modes do in 2N + 5 planes on paper, a few stages of finer masks do on a bench, at more light.

    Args:
        synthesis: of one matrix, on any grid; its masks are the ``"exact"`` start, and what the result is compared to.
        bench: whose modes are at least the matrix's; where they are more, the first are fed and read.
        stages: K; None: a quarter more numbers that matter in the masks than in the matrix; with ``start="exact"``
            those of the synthesis.
        start: ``"flat"``: nearly flat masks; ``"exact"``: the synthesis's own, mapped; the grid is then the bench's.
        inputs: what the matrix is for, a tensor or array ``[n, in]``: T and A then stand for T S and A S with
            S S* = ⟨x x*⟩, so that errors count where the data are. None: all inputs alike.
        seed: of benches as built, and of the starts; None: the nominal bench.
        realisations: how many benches, fitted together; one: for that bench alone.
        iterations: of L-BFGS at most, before levels; two fifths of it in each of the rounds with levels.
        light_weight: w, of light against error.
        simulator: of :mod:`simulators`.
        progress: called after each round with (steps done, steps at most).
        options: of the simulator (``order=2``).

    Raises:
        InputError: a batch of matrices, a bench of fewer modes, a grid that is not the bench's (``"exact"``), a figure
            out of range.

    Source: L-BFGS: Liu and Nocedal, Math. Program. 45, 503 (1989). Not modelled: the input device and the detector,
    between which the matrix is, so that what is measured at the module with theirs on errs a little more; noise and
    ripple from frame to frame.
    """
    if not isinstance(synthesis, Synthesis) or not isinstance(bench, Bench):
        kinds = f"{type(synthesis).__name__} and {type(bench).__name__}"
        raise InputError("refine", value=kinds, allowed="a Synthesis and a Bench", remedy="synthesise(matrix) first")
    synthesis._one("refine")
    if start not in ("flat", "exact"):
        raise InputError("refine: start", value=repr(start), allowed="'flat' or 'exact'")
    for name, value in (("iterations", iterations), ("realisations", realisations)):
        positive(f"refine: {name}", value)
    non_negative("refine: light_weight", light_weight)
    matrix = synthesis.matrix.cpu()
    modes = bench.modes[0] * bench.modes[1]
    if max(matrix.shape) > modes:
        raise InputError("refine: modes of the bench", value=modes, allowed=f"at least {max(matrix.shape)}")
    if seed is None and realisations > 1:
        raise InputError("refine: realisations without a seed", value=realisations, allowed="1: the nominal bench")
    rows = None if inputs is None else _checked_inputs(inputs, matrix)
    if stages is None:
        stages = synthesis.stages if start == "exact" else stages_for(bench, *matrix.shape)
    positive("refine: stages", stages)
    build = functools.partial(simulator, **options)

    def machine(count: int) -> Machine:
        if seed is None:
            states = [bench.nominal(count)]
        else:
            states = [Realisations(check_seed(seed), (r,)).draw(bench, count) for r in range(realisations)]
        return Machine(bench, count, build, states, matrix, rows)

    mapped = _mapped(synthesis, bench)
    exact = math.nan if mapped is None else _mean(machine(synthesis.stages).fit(mapped).nmse)
    on_bench = machine(stages)
    if start == "exact":
        if mapped is None or stages != synthesis.stages:
            raise InputError(
                "refine: start='exact'",
                value=f"a grid of {synthesis.grid}, {stages} stages",
                allowed=f"the bench's modes {bench.modes}, and the {synthesis.stages} stages of the synthesis",
                remedy="start='flat'",
            )
        first = mapped
    else:
        first = _flat(on_bench, bench, 0 if seed is None else seed)
    search = _Search(on_bench, first, light_weight, progress, iterations)
    with one_thread(), torch.inference_mode(False):  # operations are small, and have gradients
        search.descend(iterations)
        candidates = [[_detached(command) for command in search.commands()]]
        if on_bench.has_levels:
            candidates.append(search.settle(0 if seed is None else seed, max(1, 2 * iterations // 5)))
        if start == "exact":
            candidates.append(first)
        fits = [on_bench.fit(commands) for commands in candidates]
    rounded = fits[0]
    best, found = min(zip(fits, candidates, strict=True), key=lambda pair: _mean(pair[0].nmse))
    optic = _installed(bench, stages, build, found, best, matrix.shape)
    return Refined(optic, exact, _mean(rounded.nmse), _mean(best.nmse), _mean(best.light))


class _Search:
    """Commands under way: free pixels, and those that stand on a level."""

    def __init__(
        self, machine: Machine, start: Sequence[Command], weight: float, progress: Progress | None, iterations: int
    ):
        self._machine, self._weight, self._progress = machine, weight, progress
        self._phases = [command.phase.detach().double().clone().requires_grad_() for command in start]
        # In [0, 1] by a sigmoid, whose ends no gradient leaves.
        self._openings = [
            None
            if command.amplitude is None
            else torch.logit(command.amplitude.detach().double().clamp(1e-3, 1 - 1e-3)).requires_grad_()
            for command in start
        ]
        self._fixed = [torch.zeros_like(phase, dtype=torch.bool) for phase in self._phases]
        self._standing = self.commands()
        self._done, self._total = 0, iterations
        if machine.has_levels:
            self._total += (len(_SETTLED) - 1) * max(1, 2 * iterations // 5)

    def commands(self) -> list[Command]:
        """As they are, with gradients where pixels are free."""
        found = [
            Command(phase, None if opening is None else torch.sigmoid(opening))
            for phase, opening in zip(self._phases, self._openings, strict=True)
        ]
        if not any(fixed.any() for fixed in self._fixed):
            return found
        return [
            Command(
                torch.where(fixed, stands.phase, free.phase),
                None
                if free.amplitude is None or stands.amplitude is None
                else torch.where(fixed, stands.amplitude, free.amplitude),
            )
            for fixed, stands, free in zip(self._fixed, self._standing, found, strict=True)
        ]

    def descend(self, iterations: int) -> None:
        """L-BFGS on the free pixels, on panels without levels; the best point seen is kept."""
        values = self._phases + [opening for opening in self._openings if opening is not None]
        best, kept = math.inf, [value.detach().clone() for value in values]
        optimiser = torch.optim.LBFGS(
            values, max_iter=iterations, max_eval=2 * iterations, history_size=20, line_search_fn="strong_wolfe"
        )

        def closure() -> float:
            nonlocal best, kept
            optimiser.zero_grad()
            fit = self._machine.fit(self.commands(), levels=False)
            loss = (fit.nmse - self._weight * fit.light.log()).mean()
            loss.backward()
            if loss < best:
                best, kept = loss.item(), [value.detach().clone() for value in values]
            return loss.item()

        with torch.enable_grad():
            optimiser.step(closure)
        with torch.no_grad():
            for value, last in zip(values, kept, strict=True):
                value.copy_(last)
        self._done += iterations
        if self._progress is not None:
            self._progress(self._done, self._total)

    def settle(self, seed: int, iterations: int) -> list[Command]:
        """Put pixels on levels, round by round, and fit those that are left."""
        sizes = [phase.numel() for phase in self._phases]
        order = torch.from_numpy(stream(seed, "synthesis", "refine", sample=1).permutation(sum(sizes)))
        for share in _SETTLED:
            chosen = torch.zeros(sum(sizes), dtype=torch.bool)
            chosen[order[: round(share * sum(sizes))]] = True
            with torch.no_grad():
                now = self.commands()
                for j, part in enumerate(chosen.split(sizes)):
                    part = part.reshape(self._phases[j].shape)
                    levelled, old = self._machine.levelled(j, now[j]), self._standing[j]
                    new = part & ~self._fixed[j]
                    self._standing[j] = Command(
                        torch.where(new, levelled.phase, old.phase),
                        None
                        if levelled.amplitude is None or old.amplitude is None
                        else torch.where(new, levelled.amplitude, old.amplitude),
                    )
                    self._fixed[j] = part
            if share < 1:
                self.descend(iterations)
        return [_detached(command) for command in self.commands()]


def _checked_inputs(inputs: Any, matrix: Tensor) -> Tensor:
    """Rows ``[n, in]``, complex128."""
    try:
        rows = torch.as_tensor(inputs).detach().cpu().to(torch.complex128)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError("refine: inputs", value=str(error), allowed="rows of numbers") from None
    size = matrix.shape[1]
    if rows.ndim != 2 or rows.shape[1] != size or not len(rows):
        raise InputError("refine: inputs", value=f"shape {tuple(rows.shape)}", allowed=f"rows [n, {size}]")
    if not rows.isfinite().all():
        raise InputError("refine: inputs", value="entries that are not finite", allowed="finite ones")
    largest = rows.abs().max()
    if not largest > 0 or not ((rows / largest) @ (matrix / matrix.abs().max()).mT).abs().max() > 1e-12:
        raise InputError("refine: inputs", value="only such as the matrix takes to 0", allowed="others among them")
    return rows


def _flat(machine: Machine, bench: Bench, seed: int) -> list[Command]:
    """Nearly flat masks, nearly open."""
    found = []
    for j, shape in enumerate(machine.command_shapes):
        drawn = stream(seed, "synthesis", "refine", exposure=j).uniform(-1, 1, shape)
        phase = torch.from_numpy(drawn) * (math.pi * _RIPPLE)
        dims = bench.stage[2 * (j % 2)].modulation != "phase_only"
        found.append(Command(phase, torch.full_like(phase, 0.95) if dims else None))
    return found


@torch.no_grad()
def _mapped(synthesis: Synthesis, bench: Bench) -> list[Command] | None:
    """The masks of the synthesis on the bench, of phases alone where it shows no others; None: another grid."""
    if synthesis.modes != bench.modes or bench.scales[0] != bench.scales[1]:
        return None
    layer = synthesis.to_layer()
    inner = layer[0] if isinstance(layer, nn.Sequential) else layer
    masks = ExactMasks(inner, bench, logical=False, phases_alone=True)  # pyright: ignore[reportArgumentType]
    return [_detached(command) for command in masks.commands()]


def _installed(
    bench: Bench, stages: int, build: Any, commands: Sequence[Command], fit: Fit, size: tuple[int, ...]
) -> nn.Module:
    """The masks as a module whose output is A x."""
    scale = fit.scale.mean()
    passed = bench.transmission(stages, place="stage")
    phase = scale.angle().expand(bench.modes)
    masks = GivenMasks(
        [_detached(command) for command in commands],
        gain=math.sqrt(passed) / scale.abs(),
        reversed_order=stages % 2 == 1,
        readout_phase=phase,
    )
    return OpticalCascade(bench, masks, build, readout="coherent", in_features=size[1], out_features=size[0])


def _detached(command: Command) -> Command:
    """A copy: what a search works on changes in place."""
    amplitude = None if command.amplitude is None else command.amplitude.detach().clone()
    return Command(command.phase.detach().clone(), amplitude)


def _decibels(share: float) -> str:
    return f"{10 * math.log10(share):.1f} dB" if share > 0 else "0"


def _mean(values: Tensor) -> float:
    return values.mean().item()
