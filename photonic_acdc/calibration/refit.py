"""Masks for a bench as built: move the zones by whole native pixels, then let the phases absorb what is left."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.calibration.absorb import METHODS, Absorbed, Method, absorb
from photonic_acdc.calibration.geometry import ABSORBABLE
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.masks import ExactMasks, GivenMasks, Masks, NativeMasks
from photonic_acdc.optical.switches import noise
from photonic_acdc.provenance import attributes
from simulators.errors import InputError
from simulators.ideal import Ideal
from simulators.random import State, check_seed
from simulators.simulator import Command

if TYPE_CHECKING:
    import xarray as xr

STEPS = ("before", "registered", "absorbed")


@dataclass(frozen=True, eq=False)
class Refit:
    """What :func:`refit` has found.

    Attributes:
        optic: a copy of the model with other masks.
        states: figures of the registered bench of every cascade, by its name in the model.
        report: per ``cascade``: ``nmse`` and ``fidelity`` of the operator over ``step``; over ``plane`` (the masks and
            the detector) and ``axis`` the ``shift`` in native pixels, the ``ramp`` and ``curvature`` absorbed, and the
            ``residual`` share g²/12 that macro-pixels leave; ``slip`` of the input against the first mask;
            ``expected``, the infidelity that residual and slip add up to.
        seed: of the bench, and of the shots on it; 0 where its state was given.
        realisation: its number.
    """

    optic: nn.Module
    states: Mapping[str, State]
    report: xr.Dataset
    seed: int
    realisation: int

    @contextlib.contextmanager
    def on_bench(
        self,
        mode: Literal["frozen", "sample"] = "frozen",
        *,
        optic: nn.Module | None = None,
        samples: Iterable[int] | None = None,
        exposure: int = 0,
        differentiable: bool | None = None,
    ) -> Iterator[None]:
        """Put the refitted optic on the registered bench: ``with found.on_bench(): found.optic(x)``.

        Args:
            mode: of :func:`photonic_acdc.noise`, as are ``samples``, ``exposure`` and ``differentiable``.
            optic: another form of it, such as ``rebind(found.optic, order=3)``; None: the one here.

        Raises:
            InputError: a mode that knows no bench as built; other cascades than those refitted.
        """
        optic = self.optic if optic is None else optic
        if mode not in ("frozen", "sample"):
            raise InputError("on_bench: mode", value=repr(mode), allowed="'frozen' or 'sample'")
        found = cascades(optic)
        if set(found) != set(self.states):
            raise InputError("on_bench: cascades", value=sorted(found), allowed=str(sorted(self.states)))
        with noise(
            optic,
            mode,
            seed=self.seed,
            realisations=(self.realisation,),
            samples=samples,
            exposure=exposure,
            differentiable=differentiable,
        ):
            for name, cascade in found.items():
                state = {address: value.to(cascade.reference) for address, value in self.states[name].items()}
                cascade.noise = dataclasses.replace(cascade.noise, state=state)
            yield

    def __str__(self) -> str:
        lines = [f"Refit ({self.report.attrs['method']}) of realisation {self.realisation} of seed {self.seed}"]
        for name in self.report["cascade"].values:
            row = self.report.sel(cascade=name)
            steps = ", ".join(f"{step} {1 - float(row['fidelity'].sel(step=step)):.1e}" for step in STEPS)
            lines.append(
                f"  {name or 'cascade'}: infidelity {steps} (expected {float(row['expected']):.1e}); "
                f"zones moved by up to {int(np.nanmax(np.abs(row['shift'].values)))} native pixels"
            )
        return "\n".join(lines)


def refit(
    optic: nn.Module,
    *,
    seed: int | None = None,
    realisation: int = 0,
    state: Mapping[str, Tensor] | None = None,
    method: Method = "closed form",
    iterations: int = 50,
) -> Refit:
    r"""Masks for one bench as built, that make of it again what they were made for; ``optic`` is not altered.

    First every zone's pattern, and the camera's window, moves by whole native pixels to where the light is
    (:func:`register`). Then each mask shows the opposite of the linear and quadratic phases that misalignment puts on
    it,

    .. math:: \phi_n \leftarrow \phi_n - g n - h n^2

    at its macro-pixels' centres n, which leaves :math:`\langle(g + 2hn)^2\rangle/12` of the light. The detector's own
    phases mean nothing to a bare camera; from a coherent readout the electronics take them out, mode by mode.

    ``"closed form"`` does that. ``"least squares"`` goes on from there to the phases of least error of the operator
    against that of the nominal bench, light that is lost included (L-BFGS), and so also absorbs what it can of every
    other static error. It leaves the panels' levels out of account, and gives way to the closed form where that turns
    out better with them.

    Native masks of a bare camera are corrected in their parameters; any others become
    :class:`~photonic_acdc.optical.masks.GivenMasks`. A zone without a ``lateral`` error on this bench stays in place.

    Args:
        optic: any module tree with optical cascades; all are refitted.
        seed: of the bench as built, as for :func:`photonic_acdc.noise`.
        realisation: number of the bench.
        state: figures in place of those drawn, by address ``[1, 1, …]``, of every cascade; without a seed all others
            are nominal.
        method: ``"closed form"`` or ``"least squares"``.
        iterations: of least squares.

    Returns:
        The refitted copy, the registered bench, and a report; see :class:`Refit`.

    Raises:
        InputError: no cascade; no bench given, or figures not of one; a bench whose masks have nothing to absorb; an
            unknown method.

    Source: phases of a misaligned transform: Collins, J. Opt. Soc. Am. 60, 1168 (1970). L-BFGS: Liu and Nocedal, Math.
    Program. 45, 503 (1989). Not modelled: the measurement of the figures, which are taken as known.
    """
    if method not in METHODS:
        raise InputError("refit: method", value=repr(method), allowed=" or ".join(map(repr, METHODS)))
    if iterations < 1:
        raise InputError("refit: iterations", value=iterations, allowed="at least 1")
    found = cascades(optic)
    if not found:
        raise InputError("refit: the model has no optical cascade", remedy="to_optical(model, bench) first")
    if seed is None and state is None:
        raise InputError("refit: which bench as built", value="neither seed nor state", remedy="seed=0")
    for cascade in found.values():
        _check(cascade, method)
    as_built = _states(optic, seed, realisation, state)
    copied = copy.deepcopy(optic)
    done: dict[str, Absorbed] = {}
    for name, cascade in found.items():
        done[name] = absorb(cascade, as_built[name], method, iterations)
        _install(cascades(copied)[name], done[name])
    bench = {"realisation": realisation} if seed is None else {"seed": seed, "realisation": realisation}
    report = _report(done, method=method, **bench)
    states = {name: part.state for name, part in done.items()}
    return Refit(copied, states, report, 0 if seed is None else check_seed(seed), realisation)


def _check(cascade: OpticalCascade, method: Method) -> None:
    if isinstance(cascade.simulator, Ideal):
        raise InputError(
            "refit: a cascade on Ideal, where nothing is misaligned", remedy="rebind(optic, simulator=Pixel)"
        )
    effects = cascade.bench.effects(cascade.stages)
    if any(effect.name in ABSORBABLE for effect in effects):
        return
    static = any(effect.kind in ("mismatch", "process") and effect.address != "detector" for effect in effects)
    if method == "least squares" and static:
        return
    raise InputError(
        "refit: misalignment on this bench",
        value="none, so that there is nothing to refit",
        allowed=f"any of {', '.join(ABSORBABLE)}",
        remedy="misalignment=Misalignment.as_built() on its elements"
        + (', or method="least squares" for its other static errors' if static else ""),
    )


def _states(
    optic: nn.Module, seed: int | None, realisation: int, given: Mapping[str, Tensor] | None
) -> dict[str, State]:
    """The figures of every cascade as the noise switch draws them, float64."""
    # One draw for all: the optic refitted is the optic judged under the same switch.
    switch = (
        noise(optic, "mean", overrides=given)
        if seed is None
        else noise(optic, "frozen", seed=seed, realisations=(realisation,), overrides=given)
    )
    states: dict[str, State] = {}
    with switch:
        for name, cascade in cascades(optic).items():
            found = cascade.noise.state
            # No figure was replaced: all are nominal.
            found = cascade.bench.nominal(cascade.stages) if found is None else found
            states[name] = {address: value.double() for address, value in found.items()}
    return states


@torch.no_grad()
def _install(cascade: OpticalCascade, done: Absorbed) -> None:
    """Put the refitted masks into a cascade of the copy."""
    masks, like = cascade.masks, cascade.reference
    if isinstance(masks, NativeMasks) and done.readout_phase is None:
        for phase, command in zip(masks.phases, done.commands, strict=True):
            phase.copy_(command.phase)
        return
    readout_phase, turned = done.readout_phase, isinstance(masks, ExactMasks) and masks.stages % 2 == 1
    if isinstance(masks, GivenMasks):
        turned = masks.reversed_order
        if masks.readout_phase is not None and readout_phase is not None:
            readout_phase = readout_phase + masks.readout_phase
    given: Masks = GivenMasks(
        [
            Command(command.phase.to(like), None if command.amplitude is None else command.amplitude.to(like))
            for command in done.commands
        ],
        gain=cascade.gain(),
        reversed_order=turned,
        readout_phase=None if readout_phase is None else readout_phase.to(like),
    )
    assert isinstance(given, nn.Module)
    cascade.masks = given


def _report(done: Mapping[str, Absorbed], **figures: str | int) -> xr.Dataset:
    import xarray as xr

    longest = max((part.addresses for part in done.values()), key=len)
    shape = (len(done), len(longest), 2)
    shift, ramp, curvature = (np.full(shape, np.nan) for _ in range(3))
    residual = np.full(shape[:2], np.nan)
    for row, part in enumerate(done.values()):
        places = [longest.index(address) for address in part.addresses]
        shift[row, places] = part.moves.numpy()
        ramp[row, places] = part.phases.ramp.cpu().numpy()
        curvature[row, places] = part.phases.curvature.cpu().numpy()
        residual[row, places] = part.residual
    per_plane = ("cascade", "plane", "axis")
    parts = list(done.values())
    columns = {
        "nmse": (("cascade", "step"), [part.nmse for part in parts], "NMSE of the operator", "1"),
        "fidelity": (("cascade", "step"), [part.fidelity for part in parts], "fidelity of the operator", "1"),
        "shift": (per_plane, shift, "move of the pattern or the window", "native pixels"),
        "ramp": (per_plane, ramp, "linear phase absorbed", "rad/macro-pixel"),
        "curvature": (per_plane, curvature, "quadratic phase absorbed", "rad/macro-pixel2"),
        "residual": (per_plane[:2], residual, "share of the light that macro-pixels leave un-absorbed", "1"),
        "slip": (("cascade", "axis"), [part.slip for part in parts], "input beside the first mask", "macro-pixels"),
        "expected": ("cascade", [part.expected for part in parts], "infidelity expected of residual and slip", "1"),
    }
    coords = {
        "cascade": (list(done), "cascade"),
        "step": (list(STEPS), "step of the refit"),
        "plane": (longest, "plane"),
        "axis": (["y", "x"], "axis"),
    }
    return xr.Dataset(
        {
            name: (dims, values, {"long_name": long, "units": units})
            for name, (dims, values, long, units) in columns.items()
        },
        coords={name: (name, values, {"long_name": long, "units": "1"}) for name, (values, long) in coords.items()},
        attrs=attributes("Refit of a bench as built", **figures),
    )
