"""How near phase masks come to a matrix, by their number, and by how much of the light they keep."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.layers.check import positive
from photonic_acdc.provenance import attributes
from photonic_acdc.synthesis.check import unitary_scale
from photonic_acdc.synthesis.counting import fewest_planes
from photonic_acdc.synthesis.fit import Progress, fit_phases
from photonic_acdc.synthesis.lenses import propagate
from photonic_acdc.transforms import dct
from simulators.errors import InputError, nearest
from simulators.mesh import haar
from simulators.random import check_seed, stream

if TYPE_CHECKING:
    import xarray as xr

#: Unitary matrices take N pixels and all of the light; the others N dark ports beside their N.
UNITARY_KINDS = ("haar", "dct")
KINDS = (*UNITARY_KINDS, "random", "trained")
#: Relative error at which a fit ends.
TOLERANCE = 1e-10
#: Relative error at which a matrix counts as reached.
REACHED = 1e-9
#: Epochs in which the classifiers are trained whose weights are taken.
EPOCHS = 10

Keep = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]
"""Called with the name of a part and what computes it; returns its figures, plain lists, perhaps of an earlier call."""


def planes_vs_error(
    kinds: Sequence[str] = KINDS,
    features: int = 16,
    planes: Sequence[int] | None = None,
    gains: Sequence[float] = (0.5, 0.7, 0.9, 1.0),
    targets: int = 5,
    starts: int = 2,
    iterations: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> xr.Dataset:
    r"""Least-squares fits of phase masks to matrices of several kinds, over their number and the gain.

    .. math:: \frac{\|A - T/g\|_F}{\|A\|_F}, \qquad g = \frac{\text{gain}}{\sigma_{max}}

    | kind | N × N matrices | pixels of a mask |
    |---|---|---|
    | ``"haar"`` | unitary, uniform by Haar's measure | N |
    | ``"dct"`` | the orthonormal DCT-II; every target is the same matrix from other random starts | N |
    | ``"random"`` | real, independent standard normal entries | 2N, N inputs and N outputs of which are dark |
    | ``"trained"`` | weights between the hidden layers of a perceptron 64-N-N-10 trained on digits | 2N, as above |

    Args:
        kinds: of matrices, each once.
        features: N ≥ 2.
        planes: numbers of masks; None: every other up to N - 2, and N - 1 to N + 4, around what counting allows.
        gains: shares of 1/σ_max, in (0, 1], of matrices that are not unitary; those that are lose nothing, gain 1.
        targets: matrices of a kind.
        starts: random ones at most; a target is started again only while it is not reached.
        iterations: steps at most of one start. Below the bound most fits use them all, and end near a minimum.
        seed: of matrices and starts.
        progress: called after every kind and number of masks.
        keep: see :data:`Keep`; None: everything is computed.

    Returns:
        Over (kind, gain, planes, target), NaN where a unitary matrix has no such gain: ``error``, ``efficiency`` (light
        that the input kept best by the masks keeps) and ``steps``; ``bound`` over (kind, gain), the number of masks
        that counting asks for (:func:`~photonic_acdc.synthesis.counting.fewest_planes`), and ``pixels`` of a kind.

    Raises:
        InputError: an option that cannot be, or no digits to train on.

    Source: fits as :mod:`photonic_acdc.synthesis.fit`; digits: Alpaydin and Kaynak, UCI repository (1998).
    Not modelled: devices.
    """
    kinds, counts, shares = check(kinds, features, planes, gains, targets, starts, iterations, seed)
    axis = sorted({gain for kind in kinds for gain in gains_of(kind, shares)})
    shape = (len(kinds), len(axis), len(counts), targets)
    found = {name: np.full(shape, np.nan) for name in ("error", "efficiency", "steps")}
    bound = np.full(shape[:2], np.nan)
    drawn = functools.cache(lambda kind: matrices(kind, features, targets, seed))
    for done, (k, m) in enumerate(itertools.product(range(len(kinds)), range(len(counts)))):
        kind, own = kinds[k], gains_of(kinds[k], shares)

        def fit(kind: str = kind, own: Sequence[float] = own, count: int = counts[m]) -> dict[str, Any]:
            return _fits(kind, drawn(kind), own, count, starts, iterations, seed)

        part = fit() if keep is None else keep(f"{kind}-{counts[m]}", fit)
        for i, gain in enumerate(own):
            at = axis.index(gain)
            bound[k, at] = bound_of(kind, features, gain)
            for name, values in found.items():
                values[k, at, m] = part[name][i]
        if progress is not None:
            progress(done + 1, len(kinds) * len(counts))
    origin = {"features": features, "starts": starts, "iterations": iterations, "seed": seed, "tolerance": TOLERANCE}
    return _dataset(found, bound, {"kind": kinds, "gain": axis, "planes": counts}, origin)


def matrices(kind: str, features: int, targets: int, seed: int) -> Tensor:
    """The first ``targets`` matrices of a kind, complex128 ``[targets, N, N]``.

    Raises:
        InputError: no digits to train on.
    """
    if kind == "dct":
        return dct(torch.eye(features, dtype=torch.float64)).mT.to(torch.complex128).repeat(targets, 1, 1)
    if kind == "trained":
        return torch.stack([_trained(features, seed, i) for i in range(targets)])
    streams = [stream(seed, "synthesis", kind, realisation=i) for i in range(targets)]
    if kind == "haar":
        return torch.stack([haar(features, generator) for generator in streams])
    drawn = [torch.from_numpy(generator.standard_normal((features, features))) for generator in streams]
    return torch.stack(drawn).to(torch.complex128)


def gains_of(kind: str, gains: Sequence[float]) -> tuple[float, ...]:
    """The gains at which a kind is fitted: phase masks without dark ports lose nothing."""
    return (1.0,) if kind in UNITARY_KINDS else tuple(gains)


def bound_of(kind: str, features: int, gain: float) -> int:
    """Masks that counting asks for; at gain 1 one input of a matrix loses nothing."""
    if kind in UNITARY_KINDS:
        return fewest_planes(features, features, features)
    return fewest_planes(features, features, 2 * features, lossless=int(gain == 1))


def reached(found: xr.Dataset) -> list[dict[str, Any]]:
    """A row a kind and gain: where the matrices are reached, that is with an error ≤ 1e-9.

    Args:
        found: of :func:`planes_vs_error`.

    Returns:
        ``bound``; ``planes``, the fewest masks with which the median error is so small, and ``planes_all``, with which
        every one is (None: none of those tried); ``steps``, the median of all starts with ``planes`` masks.
    """
    rows = []
    for kind in found["kind"].values:
        for gain in found["gain"].values:
            one = found.sel(kind=kind, gain=gain)
            if bool(one["error"].isnull().all()):
                continue
            median = one[["error", "steps"]].median("target")
            first = _first(median["error"])
            rows.append(
                {
                    "kind": str(kind),
                    "gain": float(gain),
                    "bound": int(one["bound"]),
                    "planes": first,
                    "planes_all": _first(one["error"].max("target")),
                    "steps": None if first is None else float(median["steps"].sel(planes=first)),
                }
            )
    return rows


def _first(error: xr.DataArray) -> int | None:
    good = error["planes"].values[error.values <= REACHED]
    return int(good[0]) if len(good) else None


def _fits(
    kind: str, matrix: Tensor, gains: Sequence[float], planes: int, starts: int, iterations: int, seed: int
) -> dict[str, Any]:
    """Figures ``[gains, targets]`` of one kind and number of masks."""
    grid = ((1 if kind in UNITARY_KINDS else 2) * matrix.shape[-1],)
    target = matrix.repeat(len(gains), 1, 1)
    shares = torch.tensor(gains, dtype=torch.float64).repeat_interleave(len(matrix))
    # All targets of a batch meet the same starts; where they are one matrix each must have its own.
    alone = kind == "dct"
    own = [int(stream(seed, "synthesis", "starts", realisation=i).integers(2**62)) for i in range(len(matrix))]
    parts = target.split(1 if alone else len(target))
    gain = (shares * unitary_scale(target)).split(1 if alone else len(target))
    fits = [
        fit_phases(
            part,
            grid,
            planes,
            gain=gain[i],
            starts=starts,
            iterations=iterations,
            tolerance=TOLERANCE,
            seed=own[i] if alone else seed,
        )
        for i, part in enumerate(parts)
    ]
    masks = torch.cat([one.masks for one in fits])
    fed = torch.eye(matrix.shape[-1], grid[0], dtype=masks.dtype)
    block = propagate(masks, fed, grid)[..., : matrix.shape[-1]]
    figures = {
        "error": torch.cat([one.error for one in fits]),
        "efficiency": torch.linalg.matrix_norm(block, ord=2).square(),
        "steps": torch.cat([one.iterations for one in fits]),
    }
    return {name: values.view(len(gains), -1).tolist() for name, values in figures.items()}


def _trained(features: int, seed: int, number: int) -> Tensor:
    """The square weights of one trained perceptron."""
    from photonic_acdc.data import load_data
    from photonic_acdc.training import train

    data = load_data("digits")
    drawn = int(stream(seed, "synthesis", "trained", realisation=number).integers(2**62))
    # nn.Linear draws from the global generator: keep the caller's as it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(drawn)
        layer = nn.Linear(features, features)
        inputs, outputs = nn.Linear(data.x.shape[1], features), nn.Linear(features, data.classes)
        model = nn.Sequential(inputs, nn.ReLU(), layer, nn.ReLU(), outputs)
    train(model, data, epochs=EPOCHS, seed=drawn)
    return layer.weight.detach().to(torch.complex128)


def check(
    kinds: Sequence[str],
    features: int,
    planes: Sequence[int] | None,
    gains: Sequence[float],
    targets: int,
    starts: int,
    iterations: int,
    seed: int,
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[float, ...]]:
    """Kinds, numbers of masks in order, and gains in order, of what :func:`planes_vs_error` is asked.

    Raises:
        InputError: an option that cannot be.
    """
    for name, value in (("features", features), ("targets", targets), ("starts", starts), ("iterations", iterations)):
        positive(name, value)
    if features < 2:
        raise InputError("features", value=features, allowed="at least 2: one mode has nothing to mix")
    check_seed(seed)
    if planes is None:
        planes = (*range(2, features - 1, 2), *range(max(features - 1, 1), features + 5))
    named: tuple[tuple[str, Sequence[Any]], ...] = (("kinds", kinds), ("planes", planes), ("gains", gains))
    for name, values in named:
        if isinstance(values, str) or not values or len(set(values)) != len(values):
            raise InputError(name, value=repr(values), allowed="at least one, each once")
    for kind in kinds:
        if kind not in KINDS:
            raise InputError("kinds", value=repr(kind), allowed=nearest(str(kind), KINDS))
    for count in planes:
        positive("planes", count)
    for gain in gains:
        if not 0 < gain <= 1:
            raise InputError("gains", value=repr(gain), allowed="shares of 1/σ_max, more than 0 and at most 1")
    return tuple(kinds), tuple(sorted(planes)), tuple(sorted(map(float, gains)))


def _dataset(
    found: dict[str, np.ndarray], bound: np.ndarray, axes: dict[str, Sequence[Any]], origin: dict[str, Any]
) -> xr.Dataset:
    import xarray as xr

    dims = ("kind", "gain", "planes", "target")
    long = {
        "error": "relative error of the matrix",
        "efficiency": "light that the input kept best keeps",
        "steps": "steps of the fit, all starts",
        "kind": "kind of matrix",
        "gain": "gain as a share of 1/σ_max",
        "planes": "phase masks",
        "target": "number of the matrix",
    }
    features = origin["features"]
    pixels = [(1 if kind in UNITARY_KINDS else 2) * features for kind in axes["kind"]]
    columns: dict[str, Any] = {
        name: (dims, values, {"long_name": long[name], "units": "1"}) for name, values in found.items()
    }
    columns["bound"] = (dims[:2], bound, {"long_name": "masks that counting asks for", "units": "1"})
    columns["pixels"] = (dims[:1], pixels, {"long_name": "pixels of a mask", "units": "1"})
    places = {**axes, "target": np.arange(next(iter(found.values())).shape[-1])}
    coords = {name: (name, list(places[name]), {"long_name": long[name], "units": "1"}) for name in dims}
    return xr.Dataset(columns, coords, attributes("Error of phase masks against their number", **origin))
