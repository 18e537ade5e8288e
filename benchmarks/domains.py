"""Structured layers beyond pictures: speech, outlines of leaves and text; dense beside ACDC, AFDF and Hybrid.

| domain | data | network |
|---|---|---|
| speakers | JapaneseVowels: nine speakers, 12 channels × 29 steps | 348 → 512 → 512 → 9 |
| leaves | OSULeaf: six species, outlines of 427 steps | 427 → 512 → 512 → 6 |
| text | docstrings of Python's standard library: the byte after 32, each embedded in 32 numbers | 1024 → 1024 → 256 |

All layers but the last are replaced; each is followed by a batch normalisation and a ReLU. An AFDF layer is complex:
its real part is read, as a homodyne receiver does. In training, outlines of leaves begin at a random point.

All methods share data, batches and schedule (:func:`benchmarks.fc_replacement.learn`). The factor on the learning rate
of the replaced layers is chosen on held-out training data (:func:`choose_factor`), from the same list for all. The test
parts are those of the published sets; of text, modules that training never saw. Text is seen for a fifth of a pass:
figures there say how fast a layer learns as much as how well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.corpora import Series, docstrings, time_series, windows
from benchmarks.fc_replacement import FACTORS, deviation, learn, mark
from benchmarks.results import Kept, publish
from benchmarks.timing import row
from photonic_acdc.layers import ACDC, AFDF, Hybrid, Real
from photonic_acdc.layers.compare import count
from photonic_acdc.plots.canvas import new_figure
from photonic_acdc.provenance import attributes

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

NAME = "domains"
SEEDS, STAGES, RANK = 3, 4, 8
CONTEXT, EMBEDDING = 32, 32
STRIDE = 8  #: of the test text's windows, one in so many is judged
FEWER = 5.0  #: target: times fewer parameters in the replaced layers

METHODS: dict[str, Callable[[int, int], nn.Module]] = {
    "dense": nn.Linear,
    "ACDC": lambda i, o: ACDC(i, STAGES, out_features=o, permute=True),
    "AFDF": lambda i, o: nn.Sequential(AFDF(i, STAGES, out_features=o, bias=True), Real()),
    "Hybrid": lambda i, o: Hybrid(ACDC(i, STAGES, out_features=o, permute=True), rank=RANK),
}


Rows = tuple[Tensor, Tensor]
"""Inputs ``[n, …]`` and classes ``[n]``."""


@dataclass(frozen=True)
class Domain:
    """One task.

    Attributes:
        title: of its panel.
        parts: training rows and rows to judge by: test rows, or if ``held_out``, training rows held out.
        widths: input and hidden features; a replaced layer lies between two neighbours.
        classes: logits.
        epochs: passes over the training rows; a fraction for text.
        batch: rows a step.
        factors: method → factor on the learning rate of the replaced layers.
        encode: what stands before the first layer.
        augment: a batch of training inputs, changed at random.
    """

    title: str
    parts: Callable[[bool], tuple[Rows, Rows]]
    widths: tuple[int, ...]
    classes: int
    epochs: float
    batch: int
    factors: dict[str, float]
    encode: Callable[[], nn.Module] = nn.Identity
    augment: Callable[[Tensor, torch.Generator], Tensor] = lambda x, _: x


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Rows of this benchmark: accuracies, for text bits a byte, times fewer parameters; about ten minutes."""
    torch.set_num_threads(1)
    seeds, share = (1, 0.02) if quick else (SEEDS, 1.0)
    settings = {"seeds": seeds, "share": share, "stages": STAGES, "rank": RANK}
    recipes = {name: [task.widths, task.epochs, task.batch, task.factors] for name, task in DOMAINS.items()}
    kept = Kept(output, NAME, {**settings, "recipes": recipes})
    runs = {
        (domain, method): [
            kept(f"{domain}-{method}-{seed}", lambda d=domain, m=method, s=seed: run(d, m, s, share=share))
            for seed in range(seeds)
        ]
        for domain in DOMAINS
        for method in METHODS
    }
    dataset = _dataset(runs, seeds, share)
    publish(output, NAME, dataset, draw)
    return _rows(dataset)


def run(
    domain: str, method: str, seed: int, *, held_out: bool = False, factor: float | None = None, share: float = 1.0
) -> dict[str, float]:
    """Train one network: accuracy, bits (cross-entropy), parameters of the replaced layers, seconds of training."""
    task = DOMAINS[domain]
    training, judged = task.parts(held_out)
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws from the global generator alone
        torch.manual_seed(seed)
        layers = nn.ModuleList(METHODS[method](i, o) for i, o in pairwise(task.widths))
        model = network(task, layers)
    generator = torch.Generator().manual_seed(seed)
    steps = max(2, round(share * task.epochs * (len(training[0]) // task.batch)))
    start = time.perf_counter()
    learn(model, layers, batches(task, training, generator), steps, factor=factor or task.factors[method])
    seconds = time.perf_counter() - start
    with torch.no_grad():
        logits = torch.cat([model(x) for x in judged[0].split(1024)])
    return {
        "accuracy": (logits.argmax(1) == judged[1]).double().mean().item(),
        "bits": nn.functional.cross_entropy(logits, judged[1]).item() / math.log(2),
        "replaced": count(layers),
        "seconds": seconds,
    }


def network(task: Domain, layers: Iterable[nn.Module]) -> nn.Sequential:
    """Rows → logits: the encoding, each layer with batch normalisation and ReLU, a readout."""
    hidden = (
        part
        for layer, width in zip(layers, task.widths[1:], strict=True)
        for part in (layer, nn.BatchNorm1d(width), nn.ReLU())
    )
    return nn.Sequential(task.encode(), *hidden, nn.Linear(task.widths[-1], task.classes))


def batches(task: Domain, training: Rows, generator: torch.Generator) -> Iterator[Rows]:
    """Batches without end, every pass in another order; the last, shorter batch of a pass is dropped."""
    x, y = training
    while True:
        for chosen in torch.randperm(len(x), generator=generator).split(task.batch):
            if len(chosen) == task.batch:
                yield task.augment(x[chosen], generator), y[chosen]


def choose_factor(domain: str, method: str, seed: int = 0) -> dict[float, float]:
    """Factor on the learning rate → bits on held-out training data: the least is chosen."""
    return {f: run(domain, method, seed, held_out=True, factor=f)["bits"] for f in FACTORS}


# --- the domains -----------------------------------------------------------------------------------------------------


def _series(name: str, held_out: bool) -> tuple[Rows, Rows]:
    """Channels standardised over the training part, flattened; every fifth case of a class is held out."""
    training, test = _published(name)
    inside = torch.arange(training.x.shape[-1]) < training.steps[:, None]
    values = training.x.transpose(1, 2)[inside]
    mean, deviation = values.mean(0)[:, None], values.std(0)[:, None]

    def rows(part: Series) -> Rows:
        inside = torch.arange(part.x.shape[-1]) < part.steps[:, None, None]
        return ((part.x - mean) / deviation * inside).flatten(1), part.y

    (x, y), judged = rows(training), rows(test)
    if not held_out:
        return (x, y), judged
    rank = torch.zeros_like(y)  # of a case in its class
    for label in y.unique():
        rank[y == label] = torch.arange(int((y == label).sum()))
    aside = rank % 5 == 4
    return (x[~aside], y[~aside]), (x[aside], y[aside])


def begun_anywhere(x: Tensor, generator: torch.Generator) -> Tensor:
    """Closed outlines, each begun at a random one of its points."""
    cases, length = x.shape
    first = torch.randint(length, (cases, 1), generator=generator)
    return x.gather(1, (torch.arange(length) + first) % length)


def _text(held_out: bool) -> tuple[Rows, Rows]:
    text = _library()
    judged = windows(text.validation if held_out else text.test, CONTEXT)
    return windows(text.training, CONTEXT), (judged[0][::STRIDE], judged[1][::STRIDE])


_published, _library = cache(time_series), cache(docstrings)

DOMAINS = {
    "speakers": Domain(
        "speakers (JapaneseVowels)",
        lambda held_out: _series("JapaneseVowels", held_out),
        widths=(348, 512, 512),
        classes=9,
        epochs=60,
        batch=32,
        factors={"dense": 3.0, "ACDC": 10.0, "AFDF": 30.0, "Hybrid": 10.0},
    ),
    "leaves": Domain(
        "leaves (OSULeaf)",
        lambda held_out: _series("OSULeaf", held_out),
        widths=(427, 512, 512),
        classes=6,
        epochs=200,
        batch=32,
        factors={"dense": 3.0, "ACDC": 3.0, "AFDF": 3.0, "Hybrid": 1.0},
        augment=begun_anywhere,
    ),
    "text": Domain(
        "text (docstrings)",
        _text,
        widths=(CONTEXT * EMBEDDING, 1024),
        classes=256,
        epochs=0.2,
        batch=128,
        factors={"dense": 30.0, "ACDC": 30.0, "AFDF": 10.0, "Hybrid": 10.0},
        encode=lambda: nn.Sequential(nn.Embedding(256, EMBEDDING), nn.Flatten()),
    ),
}


# --- the outcome -----------------------------------------------------------------------------------------------------


def _dataset(runs: dict[tuple[str, str], list[dict[str, Any]]], seeds: int, share: float) -> xr.Dataset:
    import xarray as xr

    sizes = {"domain": list(DOMAINS), "layer": list(METHODS), "seed": list(range(seeds))}

    def figure(name: str) -> np.ndarray:
        return np.array([[[one[name] for one in runs[d, m]] for m in METHODS] for d in DOMAINS])

    return xr.Dataset(
        {
            "accuracy": (tuple(sizes), figure("accuracy"), {"long_name": "test accuracy", "units": "1"}),
            "bits": (tuple(sizes), figure("bits"), {"long_name": "test cross-entropy", "units": "bit"}),
            "seconds": (tuple(sizes), figure("seconds"), {"long_name": "time of training", "units": "s"}),
            "replaced": (
                ("domain", "layer"),
                figure("replaced")[:, :, 0],
                {"long_name": "parameters of the replaced layers", "units": "1"},
            ),
        },
        coords=sizes,
        attrs=attributes("Dense and structured layers in three domains", share=share, stages=STAGES, rank=RANK),
    )


def _rows(dataset: xr.Dataset) -> list[dict]:
    found = []
    for domain in DOMAINS:
        for method in METHODS:
            at = dataset.sel(domain=domain, layer=method)
            case = f"{domain}, {method}"
            found.append(row(f"{case}: test accuracy", 100 * at["accuracy"].mean().item(), "%"))
            if dataset.sizes["seed"] > 1:
                found.append(row(f"{case}: standard deviation over seeds", 100 * deviation(at["accuracy"].values), "%"))
            if domain == "text":
                found.append(row(f"{case}: test cross-entropy", at["bits"].mean().item(), "bit/B"))
            if method != "dense":
                dense = dataset["replaced"].sel(domain=domain, layer="dense").item()
                fewer = dense / at["replaced"].item()
                found.append(row(f"{case}: fewer parameters in the layers", fewer, "x", at_least=FEWER))
    return found


def draw(dataset: xr.Dataset) -> Figure:
    """A panel a domain: test accuracy, of text bits a byte, against the parameters of the replaced layers."""
    figure = new_figure(10.5, 3.8)
    for ax, (name, domain) in zip(figure.subplots(1, len(DOMAINS), squeeze=False)[0], DOMAINS.items(), strict=True):
        for method in METHODS:
            at = dataset.sel(domain=name, layer=method)
            values = at["bits"].values if name == "text" else 100 * at["accuracy"].values
            mark(ax, at["replaced"].item(), values, method, method)
        ax.set_xscale("log")
        ax.set_xlim(7e3, 2e6)
        ax.xaxis.set_minor_formatter("")
        ax.set_xlabel("parameters of the replaced layers")
        ax.set_ylabel("bits a byte (lower is better)" if name == "text" else "test accuracy (%)")
        ax.set_title(domain.title, fontsize="medium")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels))
    return figure
