"""The search as a command: bad input, what it prints, its example and its picture."""

import json
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from searching import ROOT, tree
from typer.testing import CliRunner

from photonic_acdc import plots
from photonic_acdc.cli.main import app, entry
from photonic_acdc.search import LAYERS, SearchConfig, SearchSettings

pytestmark = pytest.mark.usefixtures("single_thread")


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
def refused(search_place, monkeypatch, capsys):
    def refused(*arguments: str) -> str:
        before = tree(search_place)
        monkeypatch.setattr(sys, "argv", ["photonic-acdc", *arguments])
        with pytest.raises(SystemExit) as caught:
            entry()
        out, err = capsys.readouterr()
        assert caught.value.code == 2, err
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert tree(search_place) == before
        return err

    return refused


@pytest.mark.parametrize("case", BAD)
def test_bad_configuration_ends_with_2_and_writes_nothing(refused, search_place, case):
    text, needles = BAD[case]
    (search_place / "my.toml").write_text(text, encoding="utf-8")
    message = refused("search", "my.toml")
    assert "my.toml" in message
    assert all(needle in message for needle in needles), message


def test_no_configuration(refused):
    assert "none.toml: got No such file" in refused("search", "none.toml")


def test_the_same_value_throughout(refused, search_place):
    np.savez(search_place / "own.npz", x=np.ones((60, 12)), y=np.arange(60) % 3)
    assert "x is the same throughout" in refused("search", "tiny.toml")


def test_without_optuna(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert 'pip install "photonic-acdc[search]"' in refused("search", "tiny.toml")


# --- command line, example, picture ----------------------------------------------------------------------------------


def test_command_prints_the_front_or_json(finished_search, monkeypatch):
    monkeypatch.chdir(finished_search.place)
    results = finished_search.card["results"]
    given = [str(finished_search.place / "tiny.toml"), "-d", "runs"]
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


def test_picture_shows_trials_front_and_tests(finished_search):
    trials, front = finished_search.trials.copy(deep=True), finished_search.front.copy(deep=True)
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
    xr.testing.assert_identical(trials, finished_search.trials)
    xr.testing.assert_identical(front, finished_search.front)


def test_picture_of_trials_alone(finished_search):
    figure = plots.pareto(finished_search.trials)
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
