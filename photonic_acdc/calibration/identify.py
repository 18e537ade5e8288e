"""System identification: the figures of a bench out of frames it has delivered."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from photonic_acdc.calibration.calibrated import Calibration
from photonic_acdc.calibration.degeneracy import degeneracies
from photonic_acdc.calibration.expected import Expected
from photonic_acdc.calibration.figures import Figure, choose
from photonic_acdc.calibration.least_squares import LeastSquares, Minimum, determined
from photonic_acdc.calibration.patterns import Measurement
from simulators.bench import Bench
from simulators.detection.readout import FRAMES_PER_RESULT
from simulators.errors import InputError, SaturationWarning
from simulators.pixel import Pixel

#: More saturated readings than this are no measurement.
_MOST_SATURATED = 0.5


def calibrate(
    bench: Bench,
    frames: Measurement,
    *,
    stages: int | None = None,
    figures: Sequence[str] | None = None,
    relative_noise: float = 0.0,
    prior: bool = False,
    readout: Literal["intensity", "coherent"] = "intensity",
    simulator: Any = Pixel,
    starts: int = 4,
    iterations: int = 30,
    **options: Any,
) -> Calibration:
    r"""Find figures of a bench, such as γ, stroke, crosstalk, lens scale, decentre, leak and gain, from frames.

    .. math:: \hat\theta = \arg\min_\theta\,\bigl|C^{-1/2}(y - f(\theta))\bigr|^2
        \;\bigl[+ |(\theta - \theta_0)/s|^2\bigr], \quad
        \mathrm{cov}\,\hat\theta = \max(1, \chi^2_\nu)\,(J^T C^{-1} J)^+

    with the frames f that the simulator expects, mean over the moments of the panels' ripple, their noise C (photons,
    read noise, rounding, the laser's common fluctuation, and whatever ``relative_noise`` adds), and the Jacobian J by
    automatic differentiation (Levenberg and Marquardt's method). C follows the expected frames, not the measured ones,
    whose own noise would pull the fit towards the dark. The standard errors grow where χ² a degree of freedom exceeds 1
    and never shrink.

    Every figure is counted in its own scale (its spread, else a tenth of its nominal value, else 1). Directions whose
    singular value in :math:`C^{-1/2}J` is below 1e-6 of the largest, or below 1/30, are **not determined**: figures
    that take part stay at their nominal values along them, have an infinite standard error, and are reported with the
    combinations that are determined (:class:`~photonic_acdc.calibration.degeneracy.Degeneracy`). So are directions that
    frames show only because a simulated pixel has few modes: those of which one more mode a pixel leaves less than
    half. A camera knows only the product of laser power, efficiency and gain; a tilt τ of a mask and a decentre 2fτ of
    the next plane are one linear phase; and so on.

    Args:
        bench: as designed, with all effects that are to be found.
        frames: of :func:`measure`.
        stages: K, to be checked; None: as many as the patterns are of.
        figures: addresses of figures, or patterns (``"*.lateral"``, ``"detector.gain_nonuniformity"``); None: all that
            are drawn once a bench and not a pixel, and crosstalk, leak, efficiency and coupled amplitude.
        relative_noise: further noise of every reading, rms, as a share of the brightest reading.
        prior: take :attr:`Parameter.spread <simulators.devices.chain.Parameter>` s about θ₀ for known before; off by
            default: data alone. The scatter of estimates is then that of the posterior, over benches so drawn.
        readout: as the frames were taken.
        simulator: ``sim.Pixel`` or another class.
        starts: points the search may begin at: the nominal bench, and while noise alone does not explain χ² (ten
            standard deviations above its mean), benches drawn from the spreads. The lowest χ² counts.
        iterations: of each, at most.
        options: of the simulator, such as ``order=3``.

    Returns:
        Estimates, errors, what is not determined, and the state; see :class:`Calibration`.

    Raises:
        InputError: frames of another shape, or not finite; unknown figures; fewer readings than figures; more than half
            of the readings at full scale; a noise that is none.

    Warns:
        SaturationWarning: readings at full scale, which are left out.
        RuntimeWarning: no minimum within ``iterations``.

    Source: Marquardt, J. SIAM 11, 431 (1963); rank and covariance: Hansen, *Rank-Deficient and Discrete Ill-Posed
    Problems* (SIAM, 1998), ch. 3. Not modelled: static errors that are not among ``figures`` (phase errors a pixel
    raise χ² and bias the rest; they may be asked for); noise of panels from frame to frame, beyond the expected field;
    what the simulator leaves out. For frames of :class:`~simulators.Wave`, 8×8 modes with fringing of 5 µm and 1 % of
    noise, ``Pixel(order=2)`` finds the width 0.4 µm too small, the lens's scale 0.2 % and the efficiency 1 % off, many
    of their standard errors, ``order=3`` none of it; fit real frames with that.
    """
    patterns = frames.patterns
    if stages is not None and stages != patterns.stages:
        raise InputError("calibrate: stages", value=stages, allowed=f"{patterns.stages}, as the patterns are of")
    if not 0 <= relative_noise < 1:
        raise InputError("calibrate: relative_noise", value=relative_noise, allowed="0 to 1, 1 excluded")
    for name, number in (("starts", starts), ("iterations", iterations)):
        if number < 1:
            raise InputError(f"calibrate: {name}", value=number, allowed="at least 1")
    chosen = choose(bench, patterns.stages, figures)
    measured = _checked(bench, frames, readout, len(chosen))
    expected = Expected(bench, patterns, chosen, simulator=simulator, readout=readout, options=options)
    kept, saturated = _unsaturated(measured, expected.full_scale)
    extra = relative_noise * float(measured.abs().max())
    fit = LeastSquares(expected, measured, kept, extra, _prior(chosen) if prior else None)
    minimum = fit.search(chosen, starts, iterations)
    if not minimum.converged:
        warnings.warn(
            RuntimeWarning(
                "calibrate: no minimum was reached; see the singular values, or try more starts or iterations"
            )
        )
    return _result(chosen, expected, minimum, fit.with_prior(minimum.columns), saturated)


def _checked(bench: Bench, frames: Measurement, readout: str, unknowns: int) -> Tensor:
    if readout not in ("intensity", "coherent"):
        raise InputError("calibrate: readout", value=repr(readout), allowed="'intensity' or 'coherent'")
    patterns, seen = frames.patterns, frames.frames
    shapes = tuple(tuple(command.phase.shape[-2:]) for command in patterns.commands)
    if shapes != bench.command_shapes * patterns.stages:
        allowed = str(bench.command_shapes * patterns.stages)
        raise InputError("calibrate: masks of the patterns", value=shapes, allowed=allowed)
    wanted = (len(patterns), FRAMES_PER_RESULT[readout], *bench.modes)
    if tuple(seen.shape) != wanted:
        raise InputError("calibrate: frames", value=f"shape {list(seen.shape)}", allowed=str(list(wanted)))
    bad = ~torch.isfinite(seen)
    if bad.any():
        first = int(bad.flatten(1).any(1).nonzero()[0])
        raise InputError("calibrate: frames", value=f"not finite in pattern {first}", allowed="finite readings")
    if seen.numel() < unknowns:
        raise InputError(
            "calibrate: readings",
            value=seen.numel(),
            allowed=f"as many as figures, {unknowns}, or more",
            remedy="calibration_patterns(count=...)",
        )
    return seen.detach().double().cpu()


def _unsaturated(measured: Tensor, full_scale: float | None) -> tuple[Tensor, float]:
    """Which readings are data, and the share that is not."""
    if full_scale is None:
        return torch.ones_like(measured, dtype=torch.bool), 0.0
    kept = measured < full_scale * (1 - 1e-4)  # half a digit of 12 bits
    share = 1 - kept.double().mean().item()
    if share > _MOST_SATURATED:
        raise InputError(
            "calibrate: readings at full scale",
            value=f"{share:.0%}",
            allowed=f"at most {_MOST_SATURATED:.0%}",
            remedy="a shorter exposure",
        )
    if share > 0:
        warnings.warn(
            SaturationWarning(f"{share:.2%} of the readings are at full scale and are left out; shorten the exposure")
        )
    return kept, share


def _prior(figures: Sequence[Figure]) -> Tensor:
    """Inverse widths of the prior in the scales of the figures, ``[p]``; 0: none."""
    widths = [0.0 if figure.spread is None else figure.scale / figure.spread for figure in figures]
    return torch.tensor(widths, dtype=torch.float64)


def _result(
    figures: list[Figure], expected: Expected, minimum: Minimum, with_prior: Tensor, saturated: float
) -> Calibration:
    _, s, vt = torch.linalg.svd(minimum.columns, full_matrices=False)
    _, s_all, vt_all = torch.linalg.svd(with_prior, full_matrices=False)
    known, known_all = determined(s), determined(s_all)
    scales = torch.tensor([figure.scale for figure in figures], dtype=torch.float64)
    values = torch.tensor([figure.nominal for figure in figures], dtype=torch.float64) + scales * minimum.theta
    freedom = max(1, minimum.readings - int(known.sum()))
    growth = max(1.0, minimum.chi_squared / freedom)
    covariance = growth * (vt_all[known_all].T / s_all[known_all] ** 2) @ vt_all[known_all]
    found = degeneracies(vt[~known].T, covariance, figures, values)
    loose = {
        label for group in degeneracies(vt_all[~known_all].T, covariance, figures, values) for label in group.figures
    }
    free = torch.tensor([figure.label in loose for figure in figures])
    errors = (covariance.diagonal().clamp(min=0).sqrt() * scales).masked_fill(free, float("inf"))
    pairs = (covariance * scales[:, None] * scales).masked_fill(free[:, None] | free, float("nan"))
    state = expected.state(minimum.theta)
    return Calibration(
        figures=tuple(figures),
        values=values,
        standard_errors=errors,
        covariance=pairs,
        degeneracies=found,
        singular_values=s,
        chi_squared=minimum.chi_squared,
        degrees_of_freedom=freedom,
        saturated=saturated,
        converged=minimum.converged,
        state={address: state[address] for address in dict.fromkeys(figure.address for figure in figures)},
    )
