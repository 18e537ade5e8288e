r"""Which effects training can compensate, and which it cannot.

Three questions for the gradient of the loss in the masks, an effect at a time, all others at their mean (the checks of
arXiv:2605.09416): does its *expectation* under the effect point where the gradient without it points; is its *variance*
bounded; does the loss depend on the effect at all. And one for the optics: how much of what the effect does to the
outputs could the masks undo? With the outputs' change δ and their Jacobian J in the masks,

.. math:: \text{absorbed} = 1 - \min_v \lVert\delta + J v\rVert^2 / \lVert\delta\rVert^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.analysis.budget import bench_of, effect_groups
from photonic_acdc.analysis.monte_carlo import Progress
from photonic_acdc.data.dataset import Dataset
from photonic_acdc.evaluating import evaluating
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.noise import Mode
from photonic_acdc.optical.switches import noise
from photonic_acdc.provenance import attributes
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

Verdict = Literal["negligible", "learnt", "refit", "normalise", "robustness", "noisy gradient"]

#: What each verdict advises.
ADVICE: dict[Verdict, str] = {
    "negligible": "changes the outputs too little to matter",
    "learnt": "the same in every frame of every bench: training through it absorbs what masks can",
    "refit": "masks fitted to one bench absorb most of it; training for all benches can only lower the sensitivity",
    "normalise": "common to all modes: training cannot remove it, a monitor photodiode can",
    "robustness": "masks cannot absorb it; training lowers the sensitivity to it",
    "noisy gradient": "the gradient under it is mostly noise: more realisations a step, or a smaller learning rate",
}

_NEGLIGIBLE = 1e-5  #: relative power of the outputs' change
_COMMON = 0.9  #: share of the change that is one factor a row
_ABSORBED = 0.5  #: share of the change that masks undo
_CONSISTENT = 0.8  #: cosine of the gradients
_NOISY = 10.0  #: variance over squared mean of the gradient


@dataclass(frozen=True)
class _Found:
    """The figures of one effect."""

    output_error: float
    loss_added: float
    consistency: float
    variance: float
    absorbed: float
    common: float
    steady: bool  #: whether every draw changes the outputs alike


@dataclass(frozen=True, eq=False)
class _Pass:
    """Outputs of the cascade ``[rows, features]``, the loss, and its gradient in the masks."""

    outputs: Tensor
    loss: float
    gradient: Tensor


def diagnose(
    model: nn.Module,
    data: Dataset,
    *,
    realisations: int = 8,
    rows: int = 32,
    seed: int = 0,
    time: float = 0.0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Tell for every effect of the bench whether training can compensate it; :func:`table` prints the result.

    Args:
        model: a classifier with one optical cascade, as trained; evaluated in eval mode and left as it was.
        data: the first ``rows`` of it are used; outputs of all modes should outnumber the mask values.
        realisations: draws an effect.
        rows: of the data.
        seed: of all draws.
        time: seconds since calibration, at which what drifts is looked at; 0: drift is left out.
        progress: called after every effect.

    Returns:
        Dataset over ``effect``: ``kind``; ``output_error`` (relative power of the change of the cascade's outputs);
        ``loss_added`` (nat); ``consistency`` (cosine between the mean gradient under the effect and that without);
        ``variance`` (of the gradient over draws, over its squared mean); ``absorbed`` (NaN for what differs from shot
        to shot, which no mask can undo); ``common`` (share of the change that is one factor a row); ``verdict``, a key
        of :data:`ADVICE`.

    Raises:
        InputError: no cascade or more than one; fewer than two realisations; no data.
    """
    import xarray as xr

    bench, stages = bench_of(model)
    found = list(cascades(model).values())
    if len(found) != 1:
        raise InputError("diagnose: cascades in the model", value=len(found), allowed="one")
    if realisations < 2:
        raise InputError("diagnose: realisations", value=realisations, allowed="at least 2, for a variance")
    if not 1 <= rows <= len(data):
        raise InputError("diagnose: rows", value=rows, allowed=f"1 to {len(data)}, the rows of the data")
    groups = {
        label: found for label, found in effect_groups(bench, stages, "name").items() if time or found[1] != "drift"
    }
    with evaluating(model):
        probe = _Probe(model, found[0], data.rows(slice(0, rows)), seed, time)
        columns = []
        for done, (patterns, kind) in enumerate(groups.values(), start=1):
            columns.append(probe(patterns, kind, realisations))
            if progress is not None:
                progress(done, len(groups))
    verdicts = [_verdict(row, kind) for row, (_, kind) in zip(columns, groups.values(), strict=True)]
    named = {
        "output_error": ("relative power of the outputs' change", "1"),
        "loss_added": ("cross-entropy added", "nat"),
        "consistency": ("cosine of the mean gradient and the one without the effect", "1"),
        "variance": ("variance of the gradient over its squared mean", "1"),
        "absorbed": ("share of the change that the masks can undo", "1"),
        "common": ("share of the change that is one factor a row", "1"),
    }
    return xr.Dataset(
        {
            name: ("effect", [getattr(row, name) for row in columns], {"long_name": long, "units": unit})
            for name, (long, unit) in named.items()
        }
        | {"verdict": ("effect", verdicts, {"long_name": "what training can do", "units": "1"})},
        coords={
            "effect": ("effect", list(groups), {"long_name": "effect", "units": "1"}),
            "kind": ("effect", [kind for _, kind in groups.values()], {"long_name": "kind", "units": "1"}),
        },
        attrs=attributes("What training can compensate", seed=seed, realisations=realisations, data=data.name),
    )


def table(diagnosis: xr.Dataset) -> str:
    """The result of :func:`diagnose` as a table in Markdown, worst effect first, with the advice below."""
    ordered = diagnosis.sortby("output_error", ascending=False)
    lines = [
        "| effect | kind | output error | loss added | gradient cosine | variance | absorbed | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for i in range(ordered.sizes["effect"]):
        row = ordered.isel(effect=i)
        absorbed = float(row["absorbed"])
        lines.append(
            f"| {row['effect'].item()} | {row['kind'].item()} | {float(row['output_error']):.1e} "
            f"| {float(row['loss_added']):+.3f} | {float(row['consistency']):.2f} | {float(row['variance']):.2g} "
            f"| {'–' if np.isnan(absorbed) else f'{absorbed:.0%}'} | {row['verdict'].item()} |"
        )
    met = dict.fromkeys(ordered["verdict"].values.tolist())
    return "\n".join([*lines, "", *(f"*{verdict}*: {ADVICE[verdict]}." for verdict in met)])


class _Probe:
    """A model under one effect at a time."""

    def __init__(self, model: nn.Module, cascade: OpticalCascade, data: Dataset, seed: int, time: float):
        self._model, self._cascade, self._data, self._seed, self._time = model, cascade, data, seed, time
        self._parameters = [p for p in cascade.masks.parameters() if p.requires_grad]
        self._mean = self._pass("mean", {}, 0)
        self._span = self._mask_span()

    def __call__(self, patterns: tuple[str, ...], kind: str, realisations: int) -> _Found:
        """Figures of the effects that match, all others at their mean."""
        if kind == "deterministic":  # what never changes is compared with its absence
            passes, without = [self._mean], self._pass("mean", dict.fromkeys(patterns, "off"), 0)
        else:
            passes = [self._pass("mean", dict.fromkeys(patterns, "sample"), r) for r in range(realisations)]
            without = self._mean
        changes = [one.outputs - without.outputs for one in passes]
        gradients = torch.stack([one.gradient for one in passes])
        mean = gradients.mean(0)
        spread = gradients.var(0).sum() if len(passes) > 1 else torch.zeros(())
        # The squared mean of R draws is too large by a share 1/R of their variance.
        signal = (mean.square().sum() - spread / len(passes)).clamp(min=0)
        steady = all(torch.equal(change, changes[0]) for change in changes)
        shots = kind in ("dynamic", "history") and not steady
        power = without.outputs.square().sum()
        return _Found(
            output_error=float(np.mean([(change.square().sum() / power).item() for change in changes])),
            loss_added=float(np.mean([one.loss for one in passes]) - without.loss),
            consistency=torch.cosine_similarity(mean, without.gradient, dim=0).item(),
            variance=(spread / signal).item() if spread > 0 else 0.0,
            absorbed=float("nan") if shots else float(np.mean([self._absorbed(change) for change in changes])),
            common=float(np.mean([self._common(change) for change in changes])),
            steady=steady,
        )

    def _pass(self, mode: Mode, effects: dict[str, Mode], draw: int) -> _Pass:
        outputs: list[Tensor] = []
        handle = self._cascade.register_forward_hook(lambda *seen: outputs.append(seen[-1]))
        try:
            with noise(
                self._model,
                mode,
                seed=self._seed,
                realisations=(draw,),
                samples=self._data.index.tolist(),
                exposure=draw,
                differentiable=True,
                effects=effects,
                time=self._time,
            ):
                logits = self._model(self._data.x)
        finally:
            handle.remove()
        loss = nn.functional.cross_entropy(logits, self._data.y)
        gradient = torch.autograd.grad(loss, self._parameters)
        flat = torch.cat([part.reshape(-1) for part in gradient]).double()
        return _Pass(_real(outputs[0].detach()).double(), loss.item(), flat)

    def _mask_span(self) -> Tensor:
        """An orthonormal basis ``[outputs, rank]`` of what small changes of the masks do to the outputs."""
        seen: list[Tensor] = []
        handle = self._cascade.register_forward_hook(lambda *call: seen.append(call[-1]))
        try:
            with noise(self._model, "mean", differentiable=True):
                self._model(self._data.x)
        finally:
            handle.remove()
        outputs = _real(seen[0]).reshape(-1)
        rows = [
            torch.cat([part.reshape(-1) for part in torch.autograd.grad(value, self._parameters, retain_graph=True)])
            for value in outputs
        ]
        left, values, _ = torch.linalg.svd(torch.stack(rows).double(), full_matrices=False)
        return left[:, values > 1e-6 * values[0]]

    def _absorbed(self, change: Tensor) -> float:
        flat = change.reshape(-1)
        power = flat.square().sum()
        return float((self._span.mT @ flat).square().sum() / power) if power > 0 else 0.0

    def _common(self, change: Tensor) -> float:
        """Share of a change that scales each row as a whole."""
        outputs = self._mean.outputs
        along = (change * outputs).sum(-1).square() / outputs.square().sum(-1)
        power = change.square().sum()
        return float(along.sum() / power) if power > 0 else 0.0


def _real(values: Tensor) -> Tensor:
    """Complex outputs as twice as many real ones."""
    return torch.view_as_real(values).flatten(-2) if values.is_complex() else values


def _verdict(row: _Found, kind: str) -> Verdict:
    if row.output_error < _NEGLIGIBLE:
        return "negligible"
    if row.steady:
        return "learnt"
    if row.common > _COMMON:
        return "normalise"
    if kind in ("mismatch", "process", "drift") and row.absorbed > _ABSORBED:
        return "refit"
    if row.variance > _NOISY or row.consistency < _CONSISTENT:
        return "noisy gradient"
    return "robustness"
