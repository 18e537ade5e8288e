"""How well the operator of a bench as built agrees with the nominal one, as the readout sees it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from photonic_acdc.calibration.geometry import PlanePhases
from simulators.bases import pixel_modes
from simulators.detection import Readout
from simulators.detection.readout import Kind
from simulators.fourier import along_axes
from simulators.random import State
from simulators.simulator import Command, Simulator


class Seen:
    """A cascade's operator as its readout sees it: fields projected on the windows of the modes at the detector.

    Args:
        simulator: of the cascade.
        kind: of readout. A bare camera sees no phases: those that misalignment puts on its plane are taken out of the
            field before it is projected, and each mode's own phase is free. An interferometric readout sees them.
    """

    def __init__(self, simulator: Simulator, kind: Kind):
        self.simulator = simulator
        self.sees_phases = kind != "intensity"
        self._readout = Readout(simulator.bench, simulator.stages, order=simulator.order)

    def __call__(self, commands: Sequence[Command], state: State, phases: PlanePhases | None = None) -> Tensor:
        """Complex ``[N, N]``, mode out, mode in.

        Args:
            commands: of the masks.
            state: figures of one bench.
            phases: on the planes; None: there are none.
        """
        # One field a mode of the input: [1, N, y·q, x·q].
        side = self.simulator.order
        y, x = self.simulator.bench.modes
        fields = self.simulator.matrix(commands, state).mT.unflatten(-1, (y * side, x * side))
        if phases is not None and not self.sees_phases:
            flat_y, flat_x = (
                _taken_out(phases.ramp[-1, axis], phases.curvature[-1, axis], count, side).to(fields)
                for axis, count in enumerate((y, x))
            )
            fields = along_axes(flat_y, fields, flat_x)
        return self._readout.projection(fields)[0].flatten(-2).mT


def _taken_out(ramp: Tensor, curvature: Tensor, pixels: int, order: int) -> Tensor:
    """The opposite of a linear and quadratic phase, in Legendre modes of one axis, ``[pixels·q, pixels·q]``."""
    basis = pixel_modes(pixels, order)
    u = basis.positions.to(ramp)
    phase = ramp * u + curvature * u**2
    opposite = torch.complex(phase.cos(), -phase.sin())
    return basis.project().to(opposite) @ (opposite[:, None] * basis.evaluate().to(opposite))


def overlaps(actual: Tensor, wanted: Tensor) -> Tensor:
    """⟨wanted, actual⟩ of every mode read, complex ``[N]``."""
    return (wanted.conj() * actual).sum(-1)


def fidelity(actual: Tensor, wanted: Tensor, *, sees_phases: bool) -> Tensor:
    r"""Agreement of two operators up to a constant, and where no phases are seen up to one phase a mode read.

    .. math:: F = \frac{|\sum_l\langle W_l, A_l\rangle|^2}{\|A\|^2\|W\|^2} \quad\text{or}\quad
        \frac{(\sum_l |\langle W_l, A_l\rangle|)^2}{\|A\|^2\|W\|^2}

    Args:
        actual: A, ``[N, N]``, mode out l, mode in.
        wanted: W.
        sees_phases: whether the readout tells the phases of the modes from each other: the first form.

    Returns:
        Real scalar in [0, 1], differentiable.
    """
    return _agreement(actual, wanted, sees_phases) ** 2 / (_power(actual) * _power(wanted))


def nmse(actual: Tensor, wanted: Tensor, *, sees_phases: bool) -> Tensor:
    r"""Squared error relative to the operator wanted; light that is lost counts, phases as in :func:`fidelity`.

    .. math:: \min_\theta \frac{\sum_l\|e^{-i\theta_l}A_l - W_l\|^2}{\|W\|^2}

    with one θ for all modes, or one each. Arguments as :func:`fidelity`.

    Returns:
        Real scalar ≥ 0, differentiable.
    """
    return 1 + (_power(actual) - 2 * _agreement(actual, wanted, sees_phases)) / _power(wanted)


def _agreement(actual: Tensor, wanted: Tensor, sees_phases: bool) -> Tensor:
    each = overlaps(actual, wanted)
    return each.sum().abs() if sees_phases else each.abs().sum()


def _power(values: Tensor) -> Tensor:
    return (values.real**2 + values.imag**2).sum()
