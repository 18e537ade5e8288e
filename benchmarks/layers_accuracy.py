"""Every layer of the library as the one hidden layer of a small classifier: test accuracy against parameters.

The network is: the layer, inputs → 64; an activation; a normalisation without parameters; a linear readout of ten
classes. Real layers have ReLU behind them, complex ones a detector: the intensity |z|², or the real part and ReLU.
``softmax`` is the readout alone. Stored numbers are counted, a complex one as two, the readout's 650 included.

| data set | rows | inputs |
|---|---|---|
| digits | 1,797, a fifth of them for the test | 64 pixels |
| mnist1d | 5,000, a fifth of them for the test | 40 samples; structures of N = 64 pad with zeros |

The split is fixed and stratified; seeds are of initial values and batches. All layers train alike: Adam, cosine decay,
batches of 128, 60 epochs, no weight decay; 5e-3 for the diagonals of ACDC and AFDF and 3e-3 for the rest; the last
epoch counts. Whether to normalise was chosen on a fifth of the training part (dense, ACDC 4, Monarch 8 and AFDF 4, two
seeds each: better in seven of eight cases); everything else is as it was first written down. The test part chose
nothing.

A number behind a name is the stages of a cascade, the rank, or the size or number of blocks. Cascades of several stages
of ACDC have fixed permutations between them, and ``relu`` where it says so; ``bias`` is added behind every D of an
AFDF, a reference wave that makes the intensity sense signs; ``CReLU`` and ``modReLU`` stand between stages.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from benchmarks.results import Kept, label_points, publish
from benchmarks.timing import row
from photonic_acdc import layers
from photonic_acdc.data import Dataset, load_data, split
from photonic_acdc.layers.compare import count

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

NAME = "layers_accuracy"
SETS = ("digits", "mnist1d")
HIDDEN = 64


def _real(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    return lambda n: nn.Sequential(make(n), nn.ReLU())


def _acdc(stages: int, **options) -> Callable[[int], nn.Module]:
    return _real(lambda n: layers.ACDC(n, stages, out_features=HIDDEN, **options))


def _afdf(stages: int, detector: Callable[[], nn.Module] = layers.Intensity, **options) -> Callable[[int], nn.Module]:
    return lambda n: nn.Sequential(layers.AFDF(n, stages, out_features=HIDDEN, **options), detector())


def _between(stages: int, activation: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    """AFDF stage by stage, an activation after each but the last, then the intensity."""

    def make(n: int) -> nn.Module:
        parts: list[nn.Module] = [layers.AFDF(n, out_features=HIDDEN)]
        for _ in range(stages - 1):
            parts += [activation(), layers.AFDF(HIDDEN)]
        return nn.Sequential(*parts, layers.Intensity())

    return make


def _hybrid(**options) -> Callable[[int], nn.Module]:
    return _real(lambda n: layers.Hybrid(layers.ACDC(n, 4, out_features=HIDDEN, permute=True), **options))


#: Name → (family, inputs → module with HIDDEN real outputs, activation included).
LAYERS: dict[str, tuple[str, Callable[[int], nn.Module] | None]] = {
    "softmax": ("reference", None),
    "dense": ("reference", _real(lambda n: nn.Linear(n, HIDDEN))),
    "LowRank 1": ("other", _real(lambda n: layers.LowRank(n, HIDDEN, rank=1))),
    "LowRank 4": ("other", _real(lambda n: layers.LowRank(n, HIDDEN, rank=4))),
    "Circulant": ("other", _real(lambda n: layers.Circulant(n, HIDDEN))),
    "BlockCirculant 8": ("other", _real(lambda n: layers.BlockCirculant(n, HIDDEN, block=8))),
    "Fastfood": ("other", _real(lambda n: layers.Fastfood(n, HIDDEN))),
    "AdaptiveFastfood": ("other", _real(lambda n: layers.AdaptiveFastfood(n, HIDDEN))),
    "TensorTrain 4": ("other", _real(lambda n: layers.TensorTrain(n, HIDDEN, rank=4))),
    "Monarch 8": ("other", _real(lambda n: layers.Monarch(n, HIDDEN, blocks=8))),
    "ACDC 1": ("ACDC", _acdc(1)),
    "ACDC 4": ("ACDC", _acdc(4, permute=True)),
    "ACDC 4 relu": ("ACDC", _acdc(4, permute=True, activation="relu")),
    "ACDC 12": ("ACDC", _acdc(12, permute=True)),
    "ACDC 12 relu": ("ACDC", _acdc(12, permute=True, activation="relu")),
    "AFDF 1": ("AFDF", _afdf(1)),
    "AFDF 4": ("AFDF", _afdf(4)),
    "AFDF 4 phases": ("AFDF", _afdf(4, phase_only=True)),
    "AFDF 1 bias": ("AFDF", _afdf(1, bias=True)),
    "AFDF 4 bias": ("AFDF", _afdf(4, bias=True)),
    "AFDF 4 real part": ("AFDF", _afdf(4, lambda: nn.Sequential(layers.Real(), nn.ReLU()))),
    "AFDF 4 CReLU": ("AFDF", _between(4, layers.CReLU)),
    "AFDF 4 modReLU": ("AFDF", _between(4, lambda: layers.ModReLU(HIDDEN))),
    "Hybrid rank 2": ("hybrid", _hybrid(rank=2)),
    "Hybrid 128 entries": ("hybrid", _hybrid(entries=128)),
}


@dataclass(frozen=True)
class Settings:
    """Of every training."""

    seeds: int = 5
    epochs: int = 60
    batch: int = 128
    rate: float = 3e-3
    diagonal_factor: float = 5 / 3
    test_fraction: float = 0.2
    rows: int | None = None  #: of each part at most; None: all


QUICK = Settings(seeds=1, epochs=2, rows=512)


_load = cache(load_data)  # mnist1d is made anew every time


def parts(source: str, settings: Settings) -> tuple[Dataset, Dataset]:
    """The (training, test) part of a data set, inputs shifted and scaled by two numbers of the training part."""
    train, test = split(_load(source), settings.test_fraction)
    train, test = (part.rows(slice(settings.rows)) for part in (train, test))
    mean, scale = train.x.mean(), train.x.std()
    train, test = (dataclasses.replace(part, x=(part.x - mean) / scale) for part in (train, test))
    return train, test


def network(make: Callable[[int], nn.Module] | None, inputs: int, classes: int) -> nn.Sequential:
    """Inputs ``[B, inputs]`` → logits ``[B, classes]``."""
    if make is None:
        return nn.Sequential(nn.Linear(inputs, classes))
    return nn.Sequential(make(inputs), nn.BatchNorm1d(HIDDEN, affine=False), nn.Linear(HIDDEN, classes))


def train(model: nn.Module, data: Dataset, settings: Settings, generator: torch.Generator) -> None:
    """Adam with cosine decay over full batches; the rows of each epoch are ordered once, and batches are slices."""
    structured = any(isinstance(module, layers.StructuredLinear) for module in model.modules())
    groups = model.parameters()
    if structured:
        factor = settings.diagonal_factor
        groups = layers.parameter_groups(model, lr=settings.rate, a=factor, d=factor)
    fused = not any(parameter.is_complex() for parameter in model.parameters())  # torch fuses for real ones alone
    optimiser = torch.optim.Adam(groups, lr=settings.rate, fused=fused)
    batches = len(data) // settings.batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * batches)
    model.train()
    for _ in range(settings.epochs):
        order = torch.randperm(len(data), generator=generator)[: batches * settings.batch]
        for x, y in zip(data.x[order].split(settings.batch), data.y[order].split(settings.batch), strict=True):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()
            schedule.step()


def run(layer: str, source: str, seed: int, settings: Settings) -> dict[str, float]:
    """One training: ``{accuracy, parameters, seconds}``."""
    training, test = parts(source, settings)
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws from the global generator alone
        torch.manual_seed(seed)
        model = network(LAYERS[layer][1], training.x.shape[1], training.classes)
    start = time.perf_counter()
    train(model, training, settings, torch.Generator().manual_seed(seed))
    seconds = time.perf_counter() - start
    model.eval()
    with torch.no_grad():
        accuracy = (model(test.x).argmax(-1) == test.y).double().mean()
    return {"accuracy": float(accuracy), "parameters": count(model), "seconds": seconds}


def measure(settings: Settings, kept: Kept) -> xr.Dataset:
    """``accuracy`` and ``seconds`` over (data, layer, seed); ``parameters`` and ``front`` over (data, layer)."""
    import numpy as np
    import xarray as xr

    from photonic_acdc.provenance import attributes
    from photonic_acdc.search.front import pareto_front

    names = list(LAYERS)
    shape = (len(SETS), len(names), settings.seeds)
    found = {"accuracy": np.zeros(shape), "seconds": np.zeros(shape), "parameters": np.zeros(shape)}
    for place in np.ndindex(*shape):
        source, layer, seed = SETS[place[0]], names[place[1]], place[2]
        piece = kept(f"{source} {layer} seed={seed}", partial(run, layer, source, seed, settings))
        for name, values in found.items():
            values[place] = piece[name]
    parameters = found["parameters"][..., 0].astype(int)
    error = 1 - found["accuracy"].mean(-1)
    fronts = np.stack([pareto_front(error[i], parameters[i]) for i in range(len(SETS))])
    dims = ("data", "layer", "seed")
    return xr.Dataset(
        {
            "accuracy": (dims, found["accuracy"], {"long_name": "share of the test part classified right"}),
            "seconds": (dims, found["seconds"], {"long_name": "time of training", "units": "s"}),
            "parameters": (dims[:2], parameters, {"long_name": "numbers learned, the readout's included"}),
            "front": (dims[:2], fronts, {"long_name": "no other layer has fewer parameters and a higher mean"}),
        },
        coords={
            "data": list(SETS),
            "layer": names,
            "seed": range(settings.seeds),
            "family": ("layer", [LAYERS[name][0] for name in names]),
        },
        attrs=attributes(
            "Accuracy of a hidden layer of each kind",
            **{name: value for name, value in dataclasses.asdict(settings).items() if value is not None},
        ),
    )


_LOOKS = {
    "reference": ("#000000", "s"),
    "other": ("#7F7F7F", "o"),
    "ACDC": ("#D55E00", "D"),
    "AFDF": ("#0072B2", "o"),
    "hybrid": ("#009E73", "^"),
}
_NAMES = {"other": "other structures", "hybrid": "hybrid: ACDC 4 and a correction"}


def draw(data: xr.Dataset) -> Figure:
    """Mean accuracy against parameters, bars of one standard deviation over seeds, the front as a staircase.

    Args:
        data: as :func:`measure` gives it.
    """
    import numpy as np
    from matplotlib.lines import Line2D

    from photonic_acdc.plots.canvas import new_figure

    figure = new_figure(15, 7)
    panels = figure.subplots(1, 2)
    colours = [_LOOKS[family][0] for family in data["family"].values]
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=_NAMES.get(family, family))
        for family, (colour, marker) in _LOOKS.items()
    ]
    handles.append(Line2D([], [], color="0.6", linewidth=1.2, label="Pareto front"))
    figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=len(handles))
    texts = []
    for ax, source in zip(panels, data["data"].values, strict=True):
        ax.spines[["top", "right"]].set_visible(False)
        one = data.sel(data=source)
        numbers = one["parameters"].values
        mean = 100 * one["accuracy"].mean("seed").values
        spread = 100 * one["accuracy"].std("seed").values
        # A layer far below the rest would press them together: it stands on the lower edge, its figure beside its name.
        low = np.sort(mean)[min(2, len(mean) - 1)]
        margin = 0.08 * (mean.max() - low) + spread.max() / 4
        below = mean < low - (mean.max() - low)
        floor = low - 2 * margin if below.any() else mean.min() - margin
        shown = np.where(below, floor + margin / 2, mean)
        front = np.flatnonzero(one["front"].values)
        front = front[np.argsort(numbers[front])]
        edge = [*numbers[front], 1.25 * numbers.max()]
        ax.step(edge, [*shown[front], shown[front[-1]]], where="post", color="0.6", linewidth=1.2, zorder=1)
        for i, family in enumerate(one["family"].values):
            colour, marker = _LOOKS[family]
            marker = "v" if below[i] else marker
            bar = None if below[i] else spread[i]
            ax.errorbar(numbers[i], shown[i], bar, color=colour, marker=marker, markersize=6, elinewidth=0.8, zorder=2)
        ax.set_xscale("log")
        ticks = [
            t for t in (400, 500, 700, 1000, 1500, 2000, 3000, 5000) if numbers.min() / 1.1 < t < 1.25 * numbers.max()
        ]
        ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
        ax.minorticks_off()
        ax.set_xlim(numbers.min() / 1.12, 1.25 * numbers.max())
        ax.set_ylim(floor, mean.max() + 2 * margin)
        ax.set_xlabel("parameters, the readout's included")
        ax.set_title(source)
        labels = [f"{name} ({mean[i]:.0f} %)" if below[i] else str(name) for i, name in enumerate(one["layer"].values)]
        texts.append((ax, labels, numbers, shown))
    panels[0].set_ylabel("test accuracy (%)")
    figure.draw_without_rendering()  # settles the layout: from here on places are pixels
    for ax, labels, x, y in texts:
        label_points(ax, labels, x, y, colours)
    return figure


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Rows of this benchmark: means over seeds."""
    torch.set_num_threads(1)
    settings = QUICK if quick else Settings()
    data = measure(settings, Kept(output, NAME, dataclasses.asdict(settings)))
    publish(output, NAME, data, draw)
    percent = 100 * data["accuracy"]
    mean, spread = percent.mean("seed"), percent.std("seed", ddof=min(1, settings.seeds - 1))
    found = []
    for source in SETS:
        for layer in data["layer"].values:
            here = {"data": source, "layer": layer}
            numbers = int(data["parameters"].sel(here))
            case = f"{source}, {layer}: {numbers} parameters, ± {float(spread.sel(here)):.1f}"
            found.append(row(case, float(mean.sel(here)), "%"))
    hard = data.sel(data="mnist1d")
    cascade = hard["family"].isin(["ACDC", "AFDF"])
    count = int((hard["front"] & cascade).sum())
    found.append(row("mnist1d: ACDC and AFDF on the front", count, "layers", at_least=1))
    means = mean.sel(data="mnist1d")
    best = str(means.where(cascade).idxmax("layer").item())
    lead = float(means.sel(layer=best) - means.where(~cascade).max("layer"))
    found.append(row(f"mnist1d: {best}, beside the best layer of other kinds", lead, "points"))
    return found
