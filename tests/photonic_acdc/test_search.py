"""The search for a structured layer: space, trials, front, files, and that it is the same after an interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from optuna.storages.journal import JournalFileBackend
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from photonic_acdc import plots
from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.cli.main import app, entry
from photonic_acdc.data import Dataset, load_data, split
from photonic_acdc.layers import AFDF, CReLU
from photonic_acdc.layers.compare import count
from photonic_acdc.search import LAYERS, SearchConfig, SearchSettings, pareto_front, search
from photonic_acdc.search.candidate import judge
from photonic_acdc.search.journal import Journal
from photonic_acdc.search.space import REFERENCES, draw, network, relevant
from simulators.errors import InputError

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

TINY = """
[data]
source = "own.npz"
test_fraction = 0.25
[search]
trials = 7
population = 3
epochs = 6
batch_size = 32
front_seeds = 2
width = 8
layers = ["acdc", "afdf", "circulant"]
stages = [1, 3]
seed = 2
"""

#: One of everything, for 12 features to 8.
CHOICES = {
    "learning_rate": 0.01,
    "a_multiplier": 2.0,
    "d_multiplier": 3.0,
    "stages": 2,
    "sigma": 0.1,
    "permute": True,
    "activation": "relu",
    "init": "identity",
    "phase_only": False,
    "hybrid_rank": 2,
    "rank": 2,
    "blocks": 4,
    "block": 4,
}


def write_own_data(folder: Path, rows: int = 240) -> None:
    """Three classes that overlap: errors are neither 0 nor all the same."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    np.savez(folder / "own.npz", x=rng.normal(size=(rows, 12)) + 1.2 * np.eye(12)[4 * y], y=y)


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a configuration and its data, in which to work."""
    monkeypatch.chdir(tmp_path)
    write_own_data(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole search that nothing interrupts."""
    place = tmp_path_factory.mktemp("search")
    write_own_data(place)
    (place / "tiny.toml").write_text(TINY)
    config = SearchConfig.load(place / "tiny.toml")
    reports = []
    card = search(config, place / "runs", report=lambda *report: reports.append(report))
    folder = place / "runs" / "tiny"
    trials, front = (opened(folder / f"{name}.nc") for name in ("trials", "front"))
    return SimpleNamespace(
        place=place, config=config, card=card, folder=folder, trials=trials, front=front, reports=reports
    )


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# --- the front -------------------------------------------------------------------------------------------------------

POINTS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0]), st.integers(1, 6)), max_size=14)


@given(points=POINTS)
@settings(max_examples=300, deadline=None)
def test_front_equals_brute_force(points):
    wanted = [
        not any(
            (e <= error and p <= size and (e < error or p < size)) or ((e, p) == (error, size) and j < i)
            for j, (e, p) in enumerate(points)
        )
        for i, (error, size) in enumerate(points)
    ]
    on = pareto_front([error for error, _ in points], [size for _, size in points])
    assert on.dtype == bool
    assert on.tolist() == wanted


def test_front_leaves_out_what_is_no_number():
    assert pareto_front([0.1, np.nan, 0.05], [np.nan, 1, 2]).tolist() == [False, False, True]
    with pytest.raises(InputError, match=r"\(2,\) and \(1,\)"):
        pareto_front([0.1, 0.2], [1])


# --- the space -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [*LAYERS, *REFERENCES])
def test_every_layer_makes_a_classifier(layer):
    model = network({"layer": layer, **CHOICES}, 12, 8, 3, seed=1)
    logits = model(torch.randn(5, 12))
    assert logits.shape == (5, 3)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("choices", "wanted"),
    [
        # N = 12 features to 8, readout 8·3 + 3
        ({"layer": "softmax"}, 12 * 3 + 3),
        ({"layer": "dense"}, 12 * 8 + 8 + 27),
        ({"layer": "acdc"}, 2 * 3 * 12 + 27),
        ({"layer": "acdc", "stages": 1}, 3 * 12 + 27),
        ({"layer": "afdf"}, 2 * 4 * 12 + 2 * 8 + 27),
        ({"layer": "afdf", "activation": "none"}, 2 * 4 * 12 + 2 * 8 + 27),
        ({"layer": "afdf", "phase_only": True, "stages": 3}, 3 * 2 * 12 + 2 * 8 + 27),
        ({"layer": "hybrid"}, 2 * 3 * 12 + 2 * (12 + 8) + 27),
    ],
    ids=str,
)
def test_number_of_parameters(choices, wanted):
    assert count(network({**CHOICES, **choices}, 12, 8, 3, seed=0)) == wanted


def test_complex_parameters_count_twice():
    layer = nn.Linear(3, 2, dtype=torch.complex64)
    assert count(layer) == 2 * (6 + 2)


def test_afdf_is_nonlinear_after_every_stage_or_in_its_intensity_alone():
    def kinds(activation):
        model = network({**CHOICES, "layer": "afdf", "activation": activation, "stages": 3}, 12, 8, 3, seed=0)
        return [type(module).__name__ for module in model]

    assert kinds("none") == ["AFDF", "Intensity", "BatchNorm1d", "Linear"]
    assert kinds("relu") == ["AFDF", "CReLU"] * 3 + ["Intensity", "BatchNorm1d", "Linear"]


def test_afdf_stage_by_stage_is_the_cascade_where_crelu_is_taken_out():
    """Inner stages run on as many features as the cascade does: nothing is cropped before the end."""
    choices = {**CHOICES, "layer": "afdf", "stages": 3}
    apart = network(choices, 8, 12, 3, seed=0).double()
    whole = AFDF(8, 3, out_features=12, dtype=torch.float64)
    stages = [module for module in apart if isinstance(module, AFDF)]
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if name != "bias":
                parameter.copy_(torch.cat([stage.get_parameter(name) for stage in stages]))
    x = torch.randn(4, 8, dtype=torch.float64)
    wanted = x
    for stage in stages:
        wanted = stage(wanted)
    assert (whole(x) - wanted).abs().max() < 1e-12
    assert any(isinstance(module, CReLU) for module in apart)


def test_networks_follow_their_seed_and_leave_the_callers_generator_alone():
    before = torch.get_rng_state()
    for layer in ("acdc", "dense", "afdf"):
        first, again, other = (
            network({**CHOICES, "layer": layer}, 12, 8, 3, seed=seed).state_dict() for seed in (1, 1, 2)
        )
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_draws_stay_in_their_ranges_and_belong_to_the_layer(sampler):
    given = SearchSettings(layers=tuple(LAYERS), sampler=sampler, stages=(1, 2), learning_rate=(0.01, 0.01))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), directions=["minimize", "minimize"])
    every = {"layer", "learning_rate"} | {name for names in LAYERS.values() for name in names}
    seen = set()
    for _ in range(80):
        trial = study.ask()
        choices = draw(trial, given)
        layer = choices["layer"]
        assert set(trial.params) == (every if sampler == "nsga2" else {"layer", "learning_rate", *LAYERS[layer]})
        single = layer in ("acdc", "hybrid") and choices["stages"] == 1
        moot = {"permute", "activation"} if single else set()
        assert set(choices) == {"layer", "learning_rate", *LAYERS[layer]} - moot
        for name, value in choices.items():
            allowed = given.layers if name == "layer" else getattr(given, name)
            if name in ("learning_rate", "a_multiplier", "d_multiplier", "sigma", "stages", "hybrid_rank", "rank"):
                assert allowed[0] <= value <= allowed[1]
            else:
                assert value in allowed
        seen.add(layer)
    assert seen == set(LAYERS)


def test_one_stage_of_afdf_still_has_its_activation():
    kept = relevant({**CHOICES, "layer": "afdf", "stages": 1})
    assert kept["activation"] == "relu"
    assert "permute" not in kept
    assert "activation" not in relevant({**CHOICES, "layer": "acdc", "stages": 1})


# --- one training ----------------------------------------------------------------------------------------------------


def blobs(rows: int = 120, *, scale: float = 1.0, shift: float = 0.0) -> Dataset:
    rng = np.random.default_rng(1)
    y = np.arange(rows) % 3
    x = rng.normal(size=(rows, 12)) + 4 * np.eye(12)[4 * y]
    x = torch.from_numpy((scale * x + shift).astype(np.float32))
    return Dataset(x, torch.from_numpy(y), torch.arange(rows), "blobs")


TRAINING = SearchSettings(epochs=80, batch_size=32, width=8)


@pytest.mark.parametrize("layer", ["acdc", "afdf", "dense", "softmax"])
def test_training_learns(layer):
    data = blobs()
    choices = {**CHOICES, "layer": layer, "learning_rate": 0.02}
    # Two thirds by chance.
    assert judge(choices, data.rows(slice(60)), data.rows(slice(60, 120)), TRAINING, seed=0) < 0.1


def test_error_is_the_share_of_wrong_answers():
    data = blobs()
    swapped = Dataset(data.x, torch.where(data.index < 30, (data.y + 1) % 3, data.y), data.index, "swapped")
    choices = {**CHOICES, "layer": "softmax", "learning_rate": 0.03}
    assert judge(choices, data, data, TRAINING, seed=0) == 0
    assert judge(choices, data, swapped, TRAINING, seed=0) == pytest.approx(30 / 120)


def test_features_are_scaled_as_the_training_data_are():
    """Units do not matter; that the held-out part lies elsewhere does."""
    choices = {**CHOICES, "layer": "acdc"}
    train, held = blobs().rows(slice(60)), blobs().rows(slice(60, 120))
    plain = judge(choices, train, held, TRAINING, seed=0)
    other = blobs(scale=64.0, shift=512.0)
    assert judge(choices, other.rows(slice(60)), other.rows(slice(60, 120)), TRAINING, seed=0) == plain
    moved = Dataset(held.x + 50, held.y, held.index, "moved")
    assert judge(choices, train, moved, TRAINING, seed=0) > 0.5


def test_a_training_that_diverges_is_wrong_throughout():
    choices = {**CHOICES, "layer": "afdf", "learning_rate": 1e30}
    assert judge(choices, blobs(), blobs(), TRAINING, seed=0) == 1.0


def test_multipliers_reach_the_diagonals(monkeypatch):
    """Adam's first step is the learning rate, whatever the gradient: A moves by 2, D by 3 times it."""
    moved = {}

    def once(model, *_):
        moved.update({name: p.detach().clone() for name, p in model.named_parameters()})
        return 0.0

    monkeypatch.setattr("photonic_acdc.search.candidate._error", once)
    choices = {**CHOICES, "layer": "acdc", "stages": 1}
    judge(choices, blobs(), blobs(), TRAINING.replace(epochs=1, batch_size=120), seed=3)
    start = dict(network(choices, 12, 8, 3, seed=3).named_parameters())
    steps = {name: (moved[name] - start[name]).abs().max().item() for name in start}
    assert steps["0.a"] == pytest.approx(0.02, rel=1e-3)
    assert steps["0.d"] == pytest.approx(0.03, rel=1e-3)
    assert steps["2.weight"] == pytest.approx(0.01, rel=1e-3)


# --- the journal -----------------------------------------------------------------------------------------------------


def test_journal_keeps_what_it_was_told_to_and_optuna_can_read_it(tmp_path):
    path = tmp_path / "study.journal"
    journal = Journal(path)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal), study_name="search", directions=["minimize", "minimize"]
    )
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    study.tell(trial, [0.1, 1 / 3])
    assert not path.exists()
    journal.keep()
    study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})  # at work when the process dies
    for backend in (Journal(path), JournalFileBackend(str(path))):
        storage = optuna.storages.JournalStorage(backend)
        (read,) = optuna.load_study(study_name="search", storage=storage).trials
        assert (read.params, read.values) == (trial.params, [0.1, 1 / 3])


# --- a whole search --------------------------------------------------------------------------------------------------


def test_files(finished):
    kept = {name for name, content in tree(finished.folder).items() if content is not None and "/" not in name}
    assert kept == {"config.toml", "study.journal", "trials.nc", "front.nc", "front.png", "summary.json"}
    assert not list(finished.folder.rglob("*.part*"))
    with Image.open(finished.folder / "front.png") as picture:
        assert min(picture.size) > 500
    written = json.loads((finished.folder / "summary.json").read_text())
    assert written == finished.card
    assert set(written) == {"results", "run"}
    assert SearchConfig.load(finished.folder / "config.toml") == finished.config


def test_figures_have_names_units_and_an_origin(finished):
    for dataset in (finished.trials, finished.front):
        for name, variable in dataset.variables.items():
            assert variable.attrs.get("long_name"), name
            assert variable.attrs.get("units"), name
        assert {"title", "created", "version_torch", "version_optuna", "data", "sampler"} <= set(dataset.attrs)


def test_trials(finished):
    trials = finished.trials
    assert trials["trial"].values.tolist() == list(range(7))
    assert trials["on_front"].dtype == bool
    on = pareto_front(trials["validation_error"], trials["parameters"])
    assert np.array_equal(trials["on_front"], on)
    assert on.sum() > 1
    assert set(trials["layer"].values) == {"acdc", "afdf", "circulant"}
    acdc, circulant = trials["layer"] == "acdc", trials["layer"] == "circulant"
    assert np.isnan(trials["stages"].where(circulant, drop=True)).all()
    assert (trials["stages"].where(acdc, drop=True) >= 1).all()
    assert set(trials["init"].where(acdc, drop=True).values) <= {""}
    assert (trials["wall_time"] >= 0).all()


def test_a_trial_is_what_its_row_says(finished):
    """Trained again from the row of the file alone, with the split made here."""
    config = finished.config
    training, _ = split(load_data(config.data.source), config.data.test_fraction, config.data.split_seed)
    fitting, validation = split(training, config.search.validation_fraction, config.data.split_seed + 1)
    row = finished.trials.isel(trial=finished.trials["validation_error"].values.argmin())
    choices = {"layer": row["layer"].item(), "learning_rate": row["learning_rate"].item()}
    for name in LAYERS[choices["layer"]]:
        value = row[name].item()
        whole = int(value) if name in ("stages", "hybrid_rank") and not np.isnan(value) else value
        choices[name] = bool(value) if name in ("permute", "phase_only") and value == value else whole
    if choices.get("permute") != choices.get("permute"):  # absent, for one stage
        del choices["permute"]
    assert judge(choices, fitting, validation, config.search, seed=config.search.seed) == row["validation_error"].item()
    assert count(network(choices, 12, 8, 3, seed=9)) == row["parameters"].item()


def test_front_and_references(finished):
    results, front, trials = finished.card["results"], finished.front, finished.trials
    rows = [*results["front"], *results["references"]]
    assert [row["layer"] for row in results["references"]] == list(REFERENCES)
    assert sorted(row["trial"] for row in results["front"]) == np.flatnonzero(trials["on_front"]).tolist()
    assert [row["parameters"] for row in rows] == front["parameters"].values.tolist()
    sizes = [row["parameters"] for row in results["front"]]
    assert sizes == sorted(sizes)
    errors = front["test_error"].transpose("point", "seed").values
    assert errors.shape == (len(rows), 2)
    assert np.allclose(front["test_error_mean"], errors.sum(1) / 2)
    assert np.allclose(front["test_error_sd"], np.abs(errors[:, 0] - errors[:, 1]) / np.sqrt(2))
    for row, layer, mean, sd in zip(
        rows,
        front["layer"].values,
        front["test_error_mean"].values,
        front["test_error_sd"].values,
        strict=True,
    ):
        assert (row["layer"], row["test_error"], row["test_error_sd"]) == (layer, mean, sd)
    for row in results["front"]:
        trial = trials.sel(trial=row["trial"])
        assert row["validation_error"] == trial["validation_error"].item()
        assert row["learning_rate"] == trial["learning_rate"].item()
    assert results["data"] == {
        "source": finished.config.data.source,
        "train": 144,
        "validation": 36,
        "test": 60,
    }


def test_front_is_trained_on_all_training_data_and_judged_on_the_test_data(finished):
    config, row = finished.config, finished.card["results"]["front"][0]
    training, test = split(load_data(config.data.source), config.data.test_fraction, config.data.split_seed)
    known = ("trial", "parameters", "validation_error", "test_error", "test_error_sd")
    choices = {name: value for name, value in row.items() if name not in known}
    errors = [judge(choices, training, test, config.search, seed) for seed in finished.front["seed"].values.tolist()]
    assert finished.front["test_error"].values[0].tolist() == errors


def test_references_take_the_best_of_their_learning_rates(finished):
    low, high = finished.config.search.learning_rate
    rates = np.geomspace(low, high, 3)
    for row in finished.card["results"]["references"]:
        kept = [
            json.loads((finished.folder / "parts" / f"reference-{row['layer']}-{i}.json").read_text()) for i in range(3)
        ]
        best = int(np.argmin([each["error"] for each in kept]))
        assert row["learning_rate"] == rates[best]
        assert row["validation_error"] == kept[best]["error"]


def test_progress_is_told(finished):
    assert {what for what, _, _ in finished.reports} == {"trials", "references", "tests of the front"}
    last = {what: (done, total) for what, done, total in finished.reports}
    assert last["trials"] == (7, 7)
    assert all(done == total for done, total in last.values())


def test_optuna_and_torch_are_left_as_they_were(place):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(2)
    try:
        config = SearchConfig.load("tiny.toml")
        search(config.replace(search=config.search.replace(trials=1, layers=("circulant",), front_seeds=1)), "runs")
        assert optuna.logging.get_verbosity() == optuna.logging.ERROR
        assert torch.get_num_threads() == 2
    finally:
        optuna.logging.set_verbosity(optuna.logging.INFO)
    (row,) = json.loads(Path("runs/tiny/summary.json").read_text())["results"]["front"]
    assert row["test_error_sd"] is None  # of one seed


def test_what_was_tried_before_is_not_trained_again(place, monkeypatch):
    trained = []

    def counted(choices, *rest):
        trained.append(choices["layer"])
        return judge(choices, *rest)

    monkeypatch.setattr("photonic_acdc.search.study.judge", counted)
    config = SearchConfig.load("tiny.toml")
    only = config.search.replace(layers=("circulant",), learning_rate=(0.01, 0.01), front_seeds=1, repeats=2)
    search(config.replace(search=only), "runs")
    # One choice, two repeats; one point of the front.
    assert trained.count("circulant") == 2 + 1
    assert opened(Path("runs/tiny/trials.nc"))["on_front"].values.tolist() == [True] + [False] * 6


# --- interruptions ---------------------------------------------------------------------------------------------------


def assert_same(folder: Path, finished) -> None:
    """Results, figures and pictures, but for dates and times."""
    card = json.loads((folder / "summary.json").read_text())
    ours, theirs = card["results"], finished.card["results"]
    assert {**ours, "data": {**ours["data"], "source": ""}} == {**theirs, "data": {**theirs["data"], "source": ""}}
    for name, wanted in (("trials", finished.trials), ("front", finished.front)):
        found = opened(folder / f"{name}.nc")
        xr.testing.assert_identical(
            found.drop_vars("wall_time").drop_attrs(), wanted.drop_vars("wall_time").drop_attrs()
        )
    assert (folder / "front.png").read_bytes() == (finished.folder / "front.png").read_bytes()
    assert not list(folder.rglob("*.part*"))


class Stop(Exception):
    """The search is stopped here."""


@pytest.mark.parametrize("moments", [[("trials", 1)], [("trials", 4), ("trials", 5), ("tests of the front", 2)]])
def test_stopped_and_taken_up(place, finished, moments):
    config = SearchConfig.load("tiny.toml")
    for moment in moments:

        def report(what, done, total, moment=moment):
            if (what, done) == moment:
                raise Stop

        with pytest.raises(Stop):
            search(config, "runs", report=report)
        assert not Path("runs/tiny/summary.json").exists()
    trained = []
    search(config, "runs", report=lambda what, done, total: trained.append((what, done)))
    assert_same(Path("runs/tiny"), finished)
    # What was done is not done again.
    assert min(done for what, done in trained if what == "trials") == (1 if len(moments) == 1 else 7)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_what_is_drawn_does_not_depend_on_an_interruption(place, sampler, monkeypatch):
    """Twelve trials of a made-up error, stopped again and again or never."""

    def made_up(choices, *_):
        return float(np.log10(choices["learning_rate"]) ** 2 % 1)

    monkeypatch.setattr("photonic_acdc.search.study.judge", made_up)
    config = SearchConfig.load("tiny.toml")
    config = config.replace(search=config.search.replace(trials=12, sampler=sampler, layers=("acdc", "afdf")))
    search(config, "whole")
    for stop in (1, 2, 4, 5, 9, 11):

        def report(what, done, total, stop=stop):
            if (what, done) == ("trials", stop):
                raise Stop

        with pytest.raises(Stop):
            search(config, "pieces", report=report)
    search(config, "pieces")
    whole, pieces = (opened(Path(name) / "tiny" / "trials.nc").drop_vars("wall_time") for name in ("whole", "pieces"))
    xr.testing.assert_identical(whole.drop_attrs(), pieces.drop_attrs())
    assert len(np.unique(whole["sigma"].where(whole["layer"] == "acdc", drop=True))) > 2


#: A search that says when it begins, and kills itself at the n-th rename onto a name, or in the n-th training.
DRIVER = """
import os, signal, sys

directory, name, nth, moment = sys.argv[1:]
count, rename = 0, os.replace


def counted(hit):
    global count
    count += hit
    return hit and count == int(nth)


def replace(source, target):
    strike = counted(os.path.basename(str(target)) == name)
    if strike and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if strike and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)


os.replace = replace
from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.cli.main import entry
from photonic_acdc.search import candidate

test = candidate._error


def error(*given):
    if counted(name == "training"):
        os.kill(os.getpid(), signal.SIGKILL)
    return test(*given)


candidate._error = error
print("begins", flush=True)
sys.argv = ["photonic-acdc", "search", "tiny.toml", "-d", directory, "--json"]
entry()
"""

POINTS_TO_STRIKE = [
    ("config.toml", 1, "before"),
    ("config.toml", 1, "after"),
    ("training", 1, "during"),
    ("study.journal", 1, "before"),
    ("study.journal", 4, "after"),
    ("study.journal", 7, "before"),
    ("trials.nc", 1, "before"),
    ("reference-dense-1.json", 1, "after"),
    ("front.nc", 1, "before"),
    ("front.png", 1, "before"),
    ("summary.json", 1, "before"),
]


def begin(place: Path, directory: str, name: str = "", nth: int = 1, moment: str = "never"):
    (place / "driver.py").write_text(DRIVER)
    process = subprocess.Popen(
        [sys.executable, "driver.py", directory, name, str(nth), moment],
        cwd=place,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def struck(place: Path, point: tuple[str, int, str]) -> None:
    process = begin(place, "runs", *point)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"was not struck: {err}"


def test_killed_in_the_fifth_training(place, finished):
    struck(place, ("training", 5, "during"))
    folder = place / "runs" / "tiny"
    storage = optuna.storages.JournalStorage(Journal(folder / "study.journal"))
    done = optuna.load_study(study_name="search", storage=storage).trials
    assert len(done) == 4
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in done)
    search(SearchConfig.load("tiny.toml"), "runs")
    assert_same(folder, finished)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS_TO_STRIKE, ids=lambda point: f"{point[2]} {point[0]} {point[1]}")
def test_killed_at_a_point(place, finished, point):
    struck(place, point)
    search(SearchConfig.load("tiny.toml"), "runs")
    assert_same(place / "runs" / "tiny", finished)


@pytest.mark.slow
def test_killed_again_and_again_at_random_moments(place, finished):
    for seconds in np.random.default_rng(5).uniform(0.1, 1.5, 8):
        process = begin(place, "runs")
        time.sleep(seconds)
        process.kill()
        process.communicate()
    search(SearchConfig.load("tiny.toml"), "runs")
    assert_same(place / "runs" / "tiny", finished)


def test_another_search_in_the_folder_is_refused(place, finished):
    config = SearchConfig.load(finished.place / "tiny.toml")
    before = tree(finished.folder)
    with pytest.raises(InputError, match="tiny holds another run") as caught:
        search(config.replace(search=config.search.replace(seed=1)), finished.place / "runs")
    assert str(caught.value).count("\n") == 0
    assert tree(finished.folder) == before


# --- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "table": ("[serch]\ntrials = 2", ["unknown key 'serch'", "did you mean search?"]),
    "key": ("[search]\ntrial = 2", ["search: unknown key 'trial'", "did you mean trials?"]),
    "layer": (
        "[search]\nlayers = ['acdc', 'circulent']",
        ["search.layers[1]", "'circulent'", "did you mean circulant"],
    ),
    "no layer": ("[search]\nlayers = []", ["search.layers", "[]", "at least one"]),
    "layer twice": ("[search]\nlayers = ['acdc', 'acdc']", ["search.layers", "each once"]),
    "layers, number": ("[search]\nlayers = [3]", ["search.layers[0]", "got 3", "acdc"]),
    "no range": ("[search]\nstages = []", ["search.stages", "[]", "a range [low, high]"]),
    "half a range": ("[search]\nlearning_rate = [0.1]", ["search.learning_rate", "[0.1]", "a range [low, high]"]),
    "a number": ("[search]\nsigma = 0.1", ["search.sigma", "0.1", "a range [low, high]"]),
    "upside down": ("[search]\nstages = [4, 2]", ["search.stages", "[4, 2]", "low ≤ high"]),
    "rates upside down": ("[search]\nlearning_rate = [0.1, 0.01]", ["search.learning_rate", "low ≤ high"]),
    "stages 0": ("[search]\nstages = [0, 2]", ["search.stages[0]", "got 0", "at least 1"]),
    "rate 0": ("[search]\nlearning_rate = [0.0, 1.0]", ["search.learning_rate[0]", "0.0", "greater than 0"]),
    "no choice": ("[search]\npermute = []", ["search.permute", "[]", "at least one"]),
    "activation": ("[search]\nactivation = ['tanh']", ["search.activation[0]", "'tanh'", "'none' or 'relu'"]),
    "sampler": ("[search]\nsampler = 'cmaes'", ["search.sampler", "'cmaes'", "'tpe' or 'nsga2'"]),
    "trials 0": ("[search]\ntrials = 0", ["search.trials", "got 0", "at least 1"]),
    "trials, text": ("[search]\ntrials = '3'", ["search.trials", "'3'", "valid integer"]),
    "population 1": ("[search]\npopulation = 1", ["search.population", "got 1", "at least 2"]),
    "fraction 1": ("[search]\nvalidation_fraction = 1.0", ["search.validation_fraction", "1.0", "less than 1"]),
    "epochs 0": ("[search]\nepochs = 0", ["search.epochs", "got 0", "at least 1"]),
    "name": ("name = '../x'", ["name", "'../x'"]),
    "source": ("[data]\nsource = 'digit'", ["data.source", "'digit'", "did you mean digits"]),
    "no file": ("[data]\nsource = 'none.npz'", ["none.npz", "no such file"]),
    "blocks": (
        "[data]\nsource = 'own.npz'\n[search]\nlayers = ['monarch']\nblocks = [4, 5]",
        ["search.blocks = 5, layer 'monarch' of 12 to 64 features", "divisor"],
    ),
    "a class of few": (
        "[data]\nsource = 'own.npz'\n[search]\nvalidation_fraction = 0.001",
        ["class 0 has", "both sides of the split"],
    ),
}


@pytest.fixture
def refused(place, monkeypatch, capsys):
    def refused(*arguments: str) -> str:
        before = tree(place)
        monkeypatch.setattr(sys, "argv", ["photonic-acdc", *arguments])
        with pytest.raises(SystemExit) as caught:
            entry()
        out, err = capsys.readouterr()
        assert caught.value.code == 2, err
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert tree(place) == before
        return err

    return refused


@pytest.mark.parametrize("case", BAD)
def test_bad_configuration_ends_with_2_and_writes_nothing(refused, place, case):
    text, needles = BAD[case]
    (place / "my.toml").write_text(text, encoding="utf-8")
    message = refused("search", "my.toml")
    assert "my.toml" in message
    assert all(needle in message for needle in needles), message


def test_no_configuration(refused):
    assert "none.toml: got No such file" in refused("search", "none.toml")


def test_the_same_value_throughout(refused, place):
    np.savez(place / "own.npz", x=np.ones((60, 12)), y=np.arange(60) % 3)
    assert "x is the same throughout" in refused("search", "tiny.toml")


def test_without_optuna(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert 'pip install "photonic-acdc[search]"' in refused("search", "tiny.toml")


# --- command line, example, picture ----------------------------------------------------------------------------------


def test_command_prints_the_front_or_json(finished, monkeypatch):
    monkeypatch.chdir(finished.place)
    results = finished.card["results"]
    given = [str(finished.place / "tiny.toml"), "-d", "runs"]
    shown = CliRunner().invoke(app, ["search", *given], env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    for row in (*results["front"], *results["references"]):
        (line,) = [
            line
            for line in shown.output.splitlines()
            if f" {row['layer']} " in line
            and f" {row['parameters']:,} " in line
            and f"{row['test_error']:.2%} ±" in line
        ]
        assert f"{row['validation_error']:.2%}" in line
    printed = CliRunner().invoke(app, ["search", *given, "--json"])
    assert json.loads(printed.output)["results"] == results


def test_help_has_an_example_that_exists():
    text = CliRunner().invoke(app, ["search", "--help"]).output
    assert "photonic-acdc search examples/search.toml" in text
    example = SearchConfig.load(ROOT / "examples" / "search.toml")
    # Every key of the example is a default spelt out, but for the data.
    assert example.search == SearchSettings()
    assert example.data.source == "mnist1d"
    written = (ROOT / "examples" / "search.toml").read_text()
    assert all(f"\n{name} = " in written for name in SearchSettings.model_fields)
    assert all(layer in written for layer in LAYERS)


def test_picture_shows_trials_front_and_tests(finished):
    trials, front = finished.trials.copy(deep=True), finished.front.copy(deep=True)
    (ax,) = plots.pareto(trials, front).axes
    assert ax.get_xscale() == "log"
    faint = [line for line in ax.lines if line.get_alpha() == 0.3]
    drawn = sorted(tuple(xy) for line in faint for xy in np.array(line.get_data()).T)
    assert drawn == sorted(zip(trials["parameters"].values, trials["validation_error"].values, strict=True))
    (step,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    best = trials.isel(trial=trials["on_front"].values).sortby("parameters")
    assert np.array_equal(step.get_ydata(), best["validation_error"])
    tested = np.hstack([np.array(line.get_data()) for line in ax.lines if line.get_markersize() == 9])
    full = sorted(map(tuple, tested.T))
    assert full == sorted(zip(front["parameters"].values, front["test_error_mean"].values, strict=True))
    bars = [c for c in ax.collections if isinstance(c, LineCollection) and len(c.get_segments())]
    assert len(bars) == len(front["point"])
    assert {text.get_text() for text in ax.texts} == {"dense", "softmax"}
    xr.testing.assert_identical(trials, finished.trials)
    xr.testing.assert_identical(front, finished.front)


def test_picture_of_trials_alone(finished):
    figure = plots.pareto(finished.trials)
    (ax,) = figure.axes
    assert not ax.texts
    assert not [line for line in ax.lines if line.get_markersize() == 9]
    named = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert named == ["ACDC", "AFDF", "circulant", "a trial, on validation data", "their front"]


def test_every_layer_has_a_look_of_its_own():
    from photonic_acdc.plots.pareto import LAYERS as LOOKS

    assert set(LOOKS) == set(LAYERS)
    for i in range(3):
        assert len({look[i] for look in LOOKS.values()}) == len(LOOKS)
