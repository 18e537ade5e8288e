r"""How well a cascade learns a dense matrix, by depth: the paper's regression experiment, and what its optimiser hides.

.. math:: Y = X W + ε, \quad X_{ij}, W_{ij} \sim U[0, 1], \quad ε_{ij} \sim N(0, 10^{-4})

with 10,000 rows of N = 32 features, and cascades without bias of K = 1 … 32 stages in place of W. Reported is the mean
square of X Ŵ - Y over rows and outputs; a least-squares fit of a dense W reaches the noise floor, about 1e-4, and the
zero map about 62. An AFDF is judged as the complex map it is: an imaginary part is an error. Where only its real part
is read, it has half as many numbers to match.

| objective | |
|---|---|
| mini-batch | the error on 250 rows, Adam, float32 |
| Gram | the error on all rows, through XᵀX, L-BFGS, float64 |
| Frobenius | ‖Ŵ - W*‖², W* the least-squares solution: the same for whitened inputs, L-BFGS, float64 |

The inputs have a mean, so that XᵀX has one eigenvalue far above the others and the first two objectives are badly
conditioned. The paper's claim: near the identity, depth helps; from N(0, σ²), deep cascades do not train at all. Here
σ = 0.1.

Source: Moczulski, Denil, Appleyard and de Freitas, arXiv:1511.05946, section 6.1 and figure 3 (its optimiser's settings
are not the ones used here).
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from benchmarks.results import Kept, publish
from benchmarks.timing import row
from photonic_acdc.layers import ACDC, AFDF

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

NOISE = 1e-2  #: standard deviation of ε
SIGMA = 0.1  #: of the diagonals' start
FLOOR = 1.5e-4  #: an error at most this much is the noise and little else


@dataclass(frozen=True)
class Series:
    """One curve: error against depth."""

    layer: Literal["ACDC", "AFDF", "Re AFDF"]
    init: Literal["identity", "normal", "random_phase"]
    objective: Literal["mini-batch", "Gram", "Frobenius"]
    permute: bool = False

    @property
    def optimiser(self) -> str:
        """What descends."""
        return "Adam" if self.objective == "mini-batch" else "L-BFGS"

    @property
    def start(self) -> str:
        """The initialisation, in signs."""
        return {"identity": "1 + N(0, σ²)", "normal": "N(0, σ²)", "random_phase": "random phase"}[self.init]

    @property
    def name(self) -> str:
        """Unique, fit for a file name."""
        permuted = " permuted" if self.permute else ""
        return f"{self.layer}{permuted} {self.init} {self.objective}"

    @property
    def label(self) -> str:
        """For a legend."""
        return f"{self.layer}{', permutations' if self.permute else ''}: {self.start}"


SERIES = (
    Series("ACDC", "normal", "mini-batch"),
    Series("AFDF", "normal", "mini-batch"),
    Series("ACDC", "identity", "mini-batch"),
    Series("ACDC", "identity", "mini-batch", permute=True),
    Series("AFDF", "identity", "mini-batch"),
    Series("AFDF", "random_phase", "mini-batch"),
    Series("ACDC", "normal", "Frobenius"),
    Series("AFDF", "normal", "Frobenius"),
    Series("ACDC", "identity", "Frobenius"),
    Series("ACDC", "identity", "Frobenius", permute=True),
    Series("AFDF", "identity", "Frobenius"),
    Series("AFDF", "random_phase", "Frobenius"),
    Series("Re AFDF", "random_phase", "Frobenius"),
    Series("AFDF", "random_phase", "Gram"),
)


@dataclass(frozen=True)
class Settings:
    """Sizes of the experiment, and of its two optimisers."""

    features: int = 32
    rows: int = 10_000
    stages: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 2000
    batch: int = 250
    rate: float = 1e-2
    iterations: int = 2500


QUICK = Settings(features=8, rows=1000, stages=(1, 4, 8), seeds=(0,), steps=200, batch=250, iterations=400)


class Problem:
    """One draw of X and Y, and the error of any matrix on it, exactly, without going through the rows."""

    def __init__(self, features: int, rows: int, generator: torch.Generator):
        self.x = torch.rand(rows, features, dtype=torch.float64, generator=generator)
        weight = torch.rand(features, features, dtype=torch.float64, generator=generator)
        noise = torch.randn(rows, features, dtype=torch.float64, generator=generator)
        self.y = self.x @ weight + NOISE * noise
        self.solution = torch.linalg.lstsq(self.x, self.y).solution
        self.floor = float((self.y - self.x @ self.solution).square().mean())
        self.zero = float(self.y.square().mean())
        # Gᵀ G = XᵀX / rows: the norm of G E is the mean error of X E.
        self._root = torch.linalg.cholesky(self.x.mT @ self.x / rows).mT

    def gram(self, matrix: Tensor) -> Tensor:
        """Mean square of X (Ŵ - W*) over rows and outputs."""
        difference = matrix - self.solution
        return _square(self._root.to(difference.dtype) @ difference).sum(0).mean()

    def frobenius(self, matrix: Tensor) -> Tensor:
        """‖Ŵ - W*‖² / N."""
        return _square(matrix - self.solution).sum(0).mean()

    def mse(self, matrix: Tensor) -> float:
        """Mean square of X Ŵ - Y: the residual of the least-squares solution is orthogonal to every X E."""
        return self.floor + float(self.gram(matrix))


def _square(z: Tensor) -> Tensor:
    """|z|²."""
    return z.real**2 + z.imag**2 if z.is_complex() else z**2


def build(series: Series, features: int, stages: int, generator: torch.Generator) -> ACDC | AFDF:
    """The cascade of a curve at one depth."""
    dtype = torch.float32 if series.objective == "mini-batch" else torch.float64
    if series.layer != "ACDC":
        start = "identity" if series.init == "identity" else "random_phase"
        field = AFDF(features, stages, init=start, sigma=SIGMA, generator=generator, dtype=dtype)
        if series.init == "normal":
            _make_normal(field, generator)
        return field
    layer = ACDC(features, stages, bias=False, sigma=SIGMA, permute=series.permute, generator=generator, dtype=dtype)
    if series.init == "normal":
        with torch.no_grad():
            for diagonal in (layer.a, layer.d):
                diagonal.sub_(1)
    return layer


@torch.no_grad()
def _make_normal(layer: AFDF, generator: torch.Generator) -> None:
    """Diagonals of complex normal numbers of variance σ²; their phases are uniform already."""
    for magnitude in (layer.a_magnitude, layer.d_magnitude):
        assert magnitude is not None
        parts = torch.randn(2, *magnitude.shape, dtype=magnitude.dtype, generator=generator)
        magnitude.copy_(SIGMA * parts.square().sum(0).div(2).sqrt())


def _read(series: Series, field: Tensor) -> Tensor:
    return field.real if series.layer == "Re AFDF" else field


def _adam(series: Series, layer: ACDC | AFDF, problem: Problem, settings: Settings, generator: torch.Generator) -> None:
    """Descend on mini-batches, every row once an epoch; the rate falls to zero along a cosine."""
    x, y = problem.x.float(), problem.y.float()
    optimiser = torch.optim.Adam(layer.parameters(), lr=settings.rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    batches: list[Tensor] = []
    for _ in range(settings.steps):
        batches = batches or list(torch.randperm(len(x), generator=generator).split(settings.batch))
        chosen = batches.pop()
        optimiser.zero_grad()
        _square(_read(series, layer(x[chosen])) - y[chosen]).mean().backward()
        optimiser.step()
        schedule.step()


def _lbfgs(series: Series, layer: ACDC | AFDF, problem: Problem, settings: Settings) -> None:
    """Descend on the matrix: the cascade runs on the N rows of the identity alone."""
    unit = torch.eye(settings.features, dtype=torch.float64)
    objective = problem.gram if series.objective == "Gram" else problem.frobenius
    optimiser = torch.optim.LBFGS(
        layer.parameters(),
        max_iter=settings.iterations,
        max_eval=2 * settings.iterations,
        history_size=50,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-10,
        tolerance_change=0,
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = objective(_read(series, layer(unit)))
        loss.backward()
        return loss

    optimiser.step(closure)  # pyright: ignore[reportArgumentType]  # a tensor, as torch itself returns


def cell(series: Series, stages: int, seed: int, settings: Settings) -> dict[str, float]:
    """One training: ``{mse, seconds}``."""
    generator = torch.Generator().manual_seed(seed)
    problem = Problem(settings.features, settings.rows, generator)
    layer = build(series, settings.features, stages, generator)
    start = time.perf_counter()
    if series.objective == "mini-batch":
        _adam(series, layer, problem, settings, generator)
    else:
        _lbfgs(series, layer, problem, settings)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        matrix = _read(series, layer(torch.eye(settings.features, dtype=next(layer.parameters()).dtype)))
    return {"mse": problem.mse(matrix), "seconds": seconds}


def measure(settings: Settings, kept: Kept) -> xr.Dataset:
    """Every cell: ``mse`` and ``seconds`` over (series, stages, seed), ``floor`` and ``zero`` over seed."""
    import numpy as np
    import xarray as xr

    from photonic_acdc.provenance import attributes

    shape = (len(SERIES), len(settings.stages), len(settings.seeds))
    found = {"mse": np.zeros(shape), "seconds": np.zeros(shape)}
    for place in np.ndindex(*shape):
        series, stages, seed = SERIES[place[0]], settings.stages[place[1]], settings.seeds[place[2]]
        piece = kept(f"{series.name} K={stages} seed={seed}", partial(cell, series, stages, seed, settings))
        for name, values in found.items():
            values[place] = piece[name]
    problems = [Problem(settings.features, settings.rows, torch.Generator().manual_seed(s)) for s in settings.seeds]
    dims = ("series", "stages", "seed")
    return xr.Dataset(
        {
            "mse": (dims, found["mse"], {"long_name": "mean square of X Ŵ - Y, on the rows trained on"}),
            "seconds": (dims, found["seconds"], {"long_name": "time of training", "units": "s"}),
            "floor": ("seed", [p.floor for p in problems], {"long_name": "error of the least-squares solution"}),
            "zero": ("seed", [p.zero for p in problems], {"long_name": "error of the zero map"}),
        },
        coords={
            "series": [series.name for series in SERIES],
            "stages": list(settings.stages),
            "seed": list(settings.seeds),
            **{
                name: ("series", [str(getattr(s, name)) for s in SERIES])
                for name in ("layer", "init", "optimiser", "objective")
            },
            "permute": ("series", [series.permute for series in SERIES]),
        },
        attrs=attributes("Regression of a dense matrix by cascades", **dataclasses.asdict(settings), sigma=SIGMA),
    )


_COLOURS = {
    ("ACDC", "normal", False): "#000000",
    ("AFDF", "normal", False): "#999999",
    ("ACDC", "identity", False): "#D55E00",
    ("ACDC", "identity", True): "#E69F00",
    ("AFDF", "identity", False): "#56B4E9",
    ("AFDF", "random_phase", False): "#0072B2",
    ("Re AFDF", "random_phase", False): "#009E73",
}
_TITLES = {
    "Adam": "Adam on mini-batches\nthe paper: near 1, depth helps; from N(0, σ²), deep cascades fail",
    "L-BFGS": "L-BFGS on the matrix (Frobenius norm, or as said)\nAFDF from random phases reaches the noise",
}


def draw(data: xr.Dataset) -> Figure:
    """Error against depth, one panel an optimiser; dots are seeds, lines their medians.

    Args:
        data: as :func:`measure` gives it.
    """
    from photonic_acdc.plots.canvas import new_figure

    figure = new_figure(11, 5.6)
    floor, zero, stages = float(data["floor"].mean()), float(data["zero"].mean()), data["stages"].values
    for ax, (optimiser, title) in zip(figure.subplots(1, 2, sharey=True), _TITLES.items(), strict=True):
        ax.spines[["top", "right"]].set_visible(False)
        for level, name in ((zero, "the zero map"), (floor, "least squares: the noise")):
            ax.axhline(level, color="0.5", linewidth=0.8, linestyle=":")
            ax.annotate(name, (stages[0], level), xytext=(0, 3), textcoords="offset points", color="0.35", fontsize=8)
        for series in (series for series in SERIES if series.optimiser == optimiser):
            errors = data["mse"].sel(series=series.name)
            look = {
                "color": _COLOURS[series.layer, series.init, series.permute],
                "linestyle": "--" if series.objective == "Gram" else "-",
            }
            label = f"{series.label}{', Gram' if series.objective == 'Gram' else ''}"
            ax.plot(stages, errors.median("seed"), linewidth=1.6, label=label, **look)
            for seed in data["seed"].values:
                ax.plot(stages, errors.sel(seed=seed), "o", markersize=3, alpha=0.6, color=look["color"])
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(stages, [str(k) for k in stages])
        ax.minorticks_off()
        ax.set_xlabel("stages K")
        ax.set_title(title, fontsize="medium")
        ax.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    figure.axes[0].set_ylabel("mean square of X Ŵ - Y")
    return figure


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Rows of this benchmark; figures are medians over seeds, the floor's the worst seed."""
    torch.set_num_threads(1)
    settings = QUICK if quick else Settings()
    data = measure(settings, Kept(output, "regression", dataclasses.asdict(settings)))
    publish(output, "regression", data, draw)
    n, deep = settings.features, settings.stages[-1]
    half, dead = n // 2, max(n // 2, 8)
    error = data["mse"].median("seed")
    worst = data["mse"].max("seed")

    def at(series: Series, stages: int, of: xr.DataArray = error) -> float:
        return float(of.sel(series=series.name, stages=stages))

    found = [row(f"{s.label}, {s.optimiser} ({s.objective}), N = {n}, K = {deep}", at(s, deep), "MSE") for s in SERIES]
    near, zero = Series("ACDC", "identity", "mini-batch"), Series("ACDC", "normal", "mini-batch")
    found.append(row(f"ACDC, Adam, K = {dead}: near 1 / from N(0, σ²)", at(near, dead) / at(zero, dead), "x", 0.02))
    found.append(row(f"ACDC near 1, Adam: K = {deep} / K = 1", at(near, deep) / at(near, 1), "x", 0.5))
    light = Series("AFDF", "random_phase", "Frobenius")
    found.append(row(f"AFDF, random phase, L-BFGS, K = {deep}: worst seed", at(light, deep, worst), "MSE", FLOOR))
    real = Series("Re AFDF", "random_phase", "Frobenius")
    found.append(row(f"Re AFDF, random phase, L-BFGS, K = {half}: worst seed", at(real, half, worst), "MSE", FLOOR))
    return found
