"""Two wide fully connected layers of a convolutional network replaced by a deep ACDC cascade: the paper's experiment.

Moczulski, Denil, Appleyard and de Freitas (arXiv:1511.05946, section 6.2) replace the two large layers of CaffeNet by
twelve stacked ACDC layers with ReLU and permutations: a network of a sixth of the parameters for 0.67 points more
error on ImageNet. Here the same in small, on 5,000 MNIST digits: two convolutions end in 1,024 features, two dense
layers of 1,024 hold 99 % of the parameters, and a readout of ten classes follows.

The rivals at a like number of parameters are two layers of low rank, two of circulant blocks (of 64; two single
circulants would have a ninth of the numbers), and two of adaptive Fastfood with 4,096 features between them, which
learn better with two thirds of the numbers than wider, three, or nine square ones. No layer at all in this place says
how much there is to lose.

All are trained alike: 4,000 digits shifted by up to two pixels at random, 40 epochs of 64 rows, Adam, one cycle of the
learning rate with its peak at 3e-3 for convolutions and readout, no weight decay. One number is each method's own, the
factor on the learning rate of what takes the dense layers' place. It is chosen by :func:`choose_factor` from the same
list for all, on 1,000 of the 4,000 training digits held out; the 1,000 test digits have no part in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results import Kept, publish
from benchmarks.timing import row
from photonic_acdc.data import Dataset, load_data, split
from photonic_acdc.layers import ACDC, AdaptiveFastfood, BlockCirculant, LowRank
from photonic_acdc.layers.compare import count
from photonic_acdc.plots.canvas import new_figure
from photonic_acdc.provenance import attributes

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "fc_replacement"
WIDTH, STAGES = 1024, 12
EPOCHS, BATCH, RATE, SHIFT = 40, 64, 3e-3, 2
FACTORS = (1.0, 3.0, 10.0, 30.0)  #: what :func:`choose_factor` tries
FEWER, WORSE = 20.0, 0.7  #: targets: times fewer parameters in the network, points more error


def _with_relu(make: Callable[[], nn.Module], layers: int) -> nn.Sequential:
    return nn.Sequential(*(part for _ in range(layers) for part in (make(), nn.ReLU())))


def _wide_fastfood() -> nn.Sequential:
    wide = 4 * WIDTH
    return nn.Sequential(AdaptiveFastfood(WIDTH, wide), nn.ReLU(), AdaptiveFastfood(wide, WIDTH), nn.ReLU())


#: Method → what takes the place of the two dense layers, and the factor on its learning rate.
METHODS: dict[str, tuple[Callable[[], nn.Sequential], float]] = {
    "dense": (lambda: _with_relu(lambda: nn.Linear(WIDTH, WIDTH), 2), 1.0),
    "ACDC": (lambda: _with_relu(lambda: ACDC(WIDTH, STAGES, permute=True, activation="relu"), 1), 1.0),
    "low rank": (lambda: _with_relu(lambda: LowRank(WIDTH, rank=8), 2), 3.0),
    "block-circulant": (lambda: _with_relu(lambda: BlockCirculant(WIDTH, block=64), 2), 3.0),
    "adaptive Fastfood": (_wide_fastfood, 10.0),
    "none": (nn.Sequential, 1.0),
}
LABELS = {"ACDC": f"ACDC, {STAGES} stages", "none": "no layer in its place"}


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Rows of this benchmark: errors, parameters, and both beside the dense layers'; about half an hour on one core."""
    torch.set_num_threads(1)
    seeds, epochs = (1, 1) if quick else (3, EPOCHS)
    training, test = split(load_data("mnist5k"), 0.2)
    if quick:
        training, test = training.rows(slice(0, None, 8)), test.rows(slice(0, None, 4))
    factors = {name: factor for name, (_, factor) in METHODS.items()}
    settings = {"seeds": seeds, "epochs": epochs, "batch": BATCH, "rate": RATE, "training": len(training)}
    kept = Kept(output, NAME, {**settings, "factors": factors})
    runs = {
        name: [
            kept(f"{name.replace(' ', '_')}-{s}", lambda n=name, s=s: run(n, s, training, test, epochs))
            for s in range(seeds)
        ]
        for name in METHODS
    }
    dataset = summarise(runs, settings)
    publish(output, NAME, dataset, draw)
    return judge(dataset, full=not quick)


def run(method: str, seed: int, training: Dataset, test: Dataset, epochs: int, factor: float | None = None) -> dict:
    """Train one network; its test error in per cent, its cross-entropy, its parameters, and the seconds of training."""
    make, chosen = METHODS[method]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # nn.Linear and nn.Conv2d draw from the global generator alone
        torch.manual_seed(seed)
        replaced = make()
        model = network(replaced)
    start = time.perf_counter()
    batches = shifted_digits(training, epochs, generator)
    learn(model, replaced, batches, epochs * (len(training) // BATCH), factor=chosen if factor is None else factor)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        logits = model(_images(test))
    return {
        "error": 100 * (logits.argmax(1) != test.y).double().mean().item(),
        "loss": nn.functional.cross_entropy(logits, test.y).item(),
        "parameters": count(model),
        "replaced": count(replaced),
        "seconds": seconds,
    }


def network(replaced: nn.Module) -> nn.Sequential:
    """Images ``[B, 1, 28, 28]`` → logits ``[B, 10]``: two convolutions, ``replaced`` on 1,024 features, a readout."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 64, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        replaced,
        nn.Linear(WIDTH, 10),
    )


def learn(
    model: nn.Module,
    replaced: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    steps: int,
    *,
    rate: float = RATE,
    factor: float = 1.0,
) -> None:
    """Minimise the cross-entropy by Adam over one cycle of the learning rate; the model ends in eval mode.

    Args:
        model: inputs → logits.
        replaced: its part with a learning rate ``factor`` times that of the rest.
        batches: at least ``steps`` of inputs and classes.
        steps: in all; the rate rises over the first fifth and falls to almost 0.
        rate: peak learning rate.
        factor: on it, for ``replaced``.
    """
    own = list(replaced.parameters())
    rest = [p for p in model.parameters() if all(p is not other for other in own)]
    groups = [(parameters, peak) for parameters, peak in ((rest, rate), (own, rate * factor)) if parameters]
    optimiser = torch.optim.Adam([{"params": parameters, "lr": peak} for parameters, peak in groups])
    peaks = [peak for _, peak in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peaks, total_steps=steps, pct_start=0.2, cycle_momentum=False
    )
    model.train()
    for _, (x, y) in zip(range(steps), batches, strict=False):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        schedule.step()
    model.eval()


def shifted_digits(data: Dataset, epochs: int, generator: torch.Generator) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches in random order, every digit shifted by -2 … 2 pixels each way; the last, shorter batch is dropped."""
    size = 28
    around = nn.functional.pad(_images(data)[:, 0], (SHIFT,) * 4)
    shifts = around.unfold(1, size, 1).unfold(2, size, 1)  # [n, 5, 5, 28, 28], a view
    for _ in range(epochs):
        for chosen in torch.randperm(len(data), generator=generator).split(BATCH):
            if len(chosen) == BATCH:
                down, right = torch.randint(2 * SHIFT + 1, (2, BATCH), generator=generator)
                yield shifts[chosen, down, right][:, None], data.y[chosen]


def choose_factor(method: str, seeds: Iterable[int] = (0, 1)) -> dict[float, float]:
    """Factor on the learning rate → cross-entropy on held-out training digits, mean over seeds: the least is chosen.

    A quarter of the epochs each.
    """
    training, validation = split(split(load_data("mnist5k"), 0.2)[0], 0.25, seed=1)

    def loss(factor: float, seed: int) -> float:
        return run(method, seed, training, validation, EPOCHS // 4, factor)["loss"]

    return {factor: float(np.mean([loss(factor, seed) for seed in seeds])) for factor in FACTORS}


def _images(data: Dataset) -> Tensor:
    return data.x.view(-1, 1, 28, 28) / 255


def summarise(runs: dict[str, list[dict[str, Any]]], settings: dict) -> xr.Dataset:
    """What :func:`run` found, method → one a seed, as a dataset over layer and seed."""
    import xarray as xr

    def figure(name: str) -> np.ndarray:
        return np.array([[one[name] for one in found] for found in runs.values()])

    over = ("layer", "seed")
    factors = [METHODS[name][1] for name in runs]
    return xr.Dataset(
        {
            "error": (over, figure("error"), {"long_name": "test error", "units": "%"}),
            "loss": (over, figure("loss"), {"long_name": "test cross-entropy", "units": "nat"}),
            "seconds": (over, figure("seconds"), {"long_name": "time of training", "units": "s"}),
            "parameters": (
                "layer",
                figure("parameters")[:, 0],
                {"long_name": "parameters of the network", "units": "1"},
            ),
            "replaced": ("layer", figure("replaced")[:, 0], {"long_name": "parameters in their place", "units": "1"}),
            "factor": ("layer", factors, {"long_name": "factor on the learning rate", "units": "1"}),
        },
        coords={"layer": list(runs), "seed": range(settings["seeds"])},
        attrs=attributes("Fully connected layers replaced, MNIST of 5,000 digits", **settings),
    )


def judge(dataset: xr.Dataset, *, full: bool) -> list[dict]:
    """Rows of a dataset; the target for the error holds at ``full`` size alone."""
    error, parameters = dataset["error"].mean("seed"), dataset["parameters"]
    fewer, more = parameters.sel(layer="dense") / parameters, error - error.sel(layer="dense")
    found = []
    for method in map(str, dataset["layer"].values):
        case, ours = f"MNIST 5k, {LABELS.get(method, method)}", method == "ACDC"
        found.append(row(f"{case}: test error", error.sel(layer=method).item(), "%"))
        if method == "dense":
            continue
        at_least = FEWER if ours else None
        found.append(
            row(f"{case}: fewer parameters in the network", fewer.sel(layer=method).item(), "x", at_least=at_least)
        )
        target = WORSE if ours and full else None
        found.append(row(f"{case}: error above dense", more.sel(layer=method).item(), "points", target))
    return found


#: Marker and colour a method, those of Okabe and Ito.
LOOKS = {
    "dense": ("s", "#000000"),
    "ACDC": ("o", "#0072B2"),
    "AFDF": ("D", "#009E73"),
    "Hybrid": ("^", "#CC79A7"),
    "low rank": ("v", "#D55E00"),
    "block-circulant": ("P", "#E69F00"),
    "adaptive Fastfood": ("X", "#56B4E9"),
    "none": ("*", "#7F7F7F"),
}


def deviation(values: np.ndarray) -> float:
    """Standard deviation of a sample; 0 of a single value."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def mark(ax: Axes, x: float, values: np.ndarray, label: str, method: str) -> None:
    """A point at the mean of ``values`` with a bar of ± their standard deviation, in the method's look."""
    marker, colour = LOOKS[method]
    ax.errorbar(x, values.mean(), deviation(values), fmt=marker, color=colour, label=label, capsize=3, markersize=7)
    ax.spines[["top", "right"]].set_visible(False)


def draw(dataset: xr.Dataset) -> Figure:
    """Test error against the parameters of the network, mean ± standard deviation over seeds."""
    figure = new_figure(7.2, 4.2)
    ax = figure.subplots()
    for method in dataset["layer"].values:
        at = dataset.sel(layer=method)
        mark(ax, at["parameters"].item(), at["error"].values, LABELS.get(str(method), str(method)), str(method))
    allowed = dataset["error"].sel(layer="dense").mean().item() + WORSE
    ax.axhline(allowed, color="0.6", linewidth=0.8, linestyle="--")
    ax.annotate(
        f"dense + {WORSE} points",
        (0.6, allowed),
        (0, -4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize="small",
        color="0.4",
    )
    ax.set_xscale("log")
    ax.set_xlim(1e4, 4e6)
    ax.set_xlabel("parameters of the network")
    ax.set_ylabel("test error (%)")
    ax.set_ylim(0, 1.1 * max(allowed, dataset["error"].max().item()))
    ax.legend(frameon=False, fontsize="small", loc="lower center")
    ax.set_title(f"Two dense layers of {WIDTH} replaced, {dataset.attrs['training']} digits", fontsize="medium")
    return figure
