"""The search for a structured layer: front, space, trials, files."""

import json
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend
from PIL import Image
from searching import opened, tree
from torch import nn

from photonic_acdc.data import Dataset, load_data, split
from photonic_acdc.layers import AFDF, CReLU
from photonic_acdc.layers.compare import count
from photonic_acdc.search import LAYERS, SearchConfig, SearchSettings, pareto_front, search
from photonic_acdc.search.candidate import judge
from photonic_acdc.search.journal import Journal
from photonic_acdc.search.space import REFERENCES, draw, network, relevant
from simulators.errors import InputError

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
    "bias": False,
    "readout": "intensity",
    "hybrid_rank": 2,
    "rank": 2,
    "blocks": 4,
    "block": 4,
}


pytestmark = pytest.mark.usefixtures("single_thread")


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
        ({"layer": "afdf", "bias": True}, 2 * (4 + 2) * 12 + 2 * 8 + 27),
        ({"layer": "hybrid"}, 2 * 3 * 12 + 2 * (12 + 8) + 27),
    ],
    ids=str,
)
def test_number_of_parameters(choices, wanted):
    assert count(network({**CHOICES, **choices}, 12, 8, 3, seed=0)) == wanted


def test_complex_parameters_count_twice():
    layer = nn.Linear(3, 2, dtype=torch.complex64)
    assert count(layer) == 2 * (6 + 2)


def test_afdf_is_nonlinear_after_every_stage_or_in_its_readout_alone():
    def kinds(activation, readout="intensity"):
        given = {**CHOICES, "layer": "afdf", "activation": activation, "readout": readout, "stages": 3}
        return [type(module).__name__ for module in network(given, 12, 8, 3, seed=0)]

    assert kinds("none") == ["AFDF", "Intensity", "BatchNorm1d", "Linear"]
    assert kinds("none", "real") == ["AFDF", "Real", "ReLU", "BatchNorm1d", "Linear"]
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


def test_files(finished_search):
    kept = {name for name, content in tree(finished_search.folder).items() if content is not None and "/" not in name}
    assert kept == {"config.toml", "study.journal", "trials.nc", "front.nc", "front.png", "summary.json"}
    assert not list(finished_search.folder.rglob("*.part*"))
    with Image.open(finished_search.folder / "front.png") as picture:
        assert min(picture.size) > 500
    written = json.loads((finished_search.folder / "summary.json").read_text())
    assert written == finished_search.card
    assert set(written) == {"results", "run"}
    assert SearchConfig.load(finished_search.folder / "config.toml") == finished_search.config


def test_figures_have_names_units_and_an_origin(finished_search):
    for dataset in (finished_search.trials, finished_search.front):
        for name, variable in dataset.variables.items():
            assert variable.attrs.get("long_name"), name
            assert variable.attrs.get("units"), name
        assert {"title", "created", "version_torch", "version_optuna", "data", "sampler"} <= set(dataset.attrs)


def test_trials(finished_search):
    trials = finished_search.trials
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


def test_a_trial_is_what_its_row_says(finished_search):
    """Trained again from the row of the file alone, with the split made here."""
    config = finished_search.config
    training, _ = split(load_data(config.data.source), config.data.test_fraction, config.data.split_seed)
    fitting, validation = split(training, config.search.validation_fraction, config.data.split_seed + 1)
    row = finished_search.trials.isel(trial=finished_search.trials["validation_error"].values.argmin())
    choices = {"layer": row["layer"].item(), "learning_rate": row["learning_rate"].item()}
    for name in LAYERS[choices["layer"]]:
        value = row[name].item()
        whole = int(value) if name in ("stages", "hybrid_rank") and not np.isnan(value) else value
        choices[name] = bool(value) if name in ("permute", "phase_only") and value == value else whole
    if choices.get("permute") != choices.get("permute"):  # absent, for one stage
        del choices["permute"]
    assert judge(choices, fitting, validation, config.search, seed=config.search.seed) == row["validation_error"].item()
    assert count(network(choices, 12, 8, 3, seed=9)) == row["parameters"].item()


def test_front_and_references(finished_search):
    results, front, trials = finished_search.card["results"], finished_search.front, finished_search.trials
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
        "source": finished_search.config.data.source,
        "train": 144,
        "validation": 36,
        "test": 60,
    }


def test_front_is_trained_on_all_training_data_and_judged_on_the_test_data(finished_search):
    config, row = finished_search.config, finished_search.card["results"]["front"][0]
    training, test = split(load_data(config.data.source), config.data.test_fraction, config.data.split_seed)
    known = ("trial", "parameters", "validation_error", "test_error", "test_error_sd")
    choices = {name: value for name, value in row.items() if name not in known}
    errors = [
        judge(choices, training, test, config.search, seed) for seed in finished_search.front["seed"].values.tolist()
    ]
    assert finished_search.front["test_error"].values[0].tolist() == errors


def test_references_take_the_best_of_their_learning_rates(finished_search):
    low, high = finished_search.config.search.learning_rate
    rates = np.geomspace(low, high, 3)
    for row in finished_search.card["results"]["references"]:
        kept = [
            json.loads((finished_search.folder / "parts" / f"reference-{row['layer']}-{i}.json").read_text())
            for i in range(3)
        ]
        best = int(np.argmin([each["error"] for each in kept]))
        assert row["learning_rate"] == rates[best]
        assert row["validation_error"] == kept[best]["error"]


def test_progress_is_told(finished_search):
    assert {what for what, _, _ in finished_search.reports} == {"trials", "references", "tests of the front"}
    last = {what: (done, total) for what, done, total in finished_search.reports}
    assert last["trials"] == (7, 7)
    assert all(done == total for done, total in last.values())


def test_optuna_and_torch_are_left_as_they_were(search_place):
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


def test_what_was_tried_before_is_not_trained_again(search_place, monkeypatch):
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
