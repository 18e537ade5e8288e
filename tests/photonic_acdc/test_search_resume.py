"""A search is the same after an interruption, whatever moment it strikes at."""

import json
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import xarray as xr
from killing import assert_struck, begin
from searching import opened, tree

from photonic_acdc.search import SearchConfig, search
from photonic_acdc.search.journal import Journal
from simulators.errors import InputError

pytestmark = pytest.mark.usefixtures("single_thread")


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
def test_stopped_and_taken_up(search_place, finished_search, moments):
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
    assert_same(Path("runs/tiny"), finished_search)
    # What was done is not done again.
    assert min(done for what, done in trained if what == "trials") == (1 if len(moments) == 1 else 7)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_what_is_drawn_does_not_depend_on_an_interruption(search_place, sampler, monkeypatch):
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


#: A training may be the moment, too.
TRAININGS = """
from photonic_acdc.search import candidate

test = candidate._error


def error(*given):
    if counted(pattern == "training"):
        strike()
    return test(*given)


candidate._error = error
"""
COMMAND = ["search", "tiny.toml", "-d", "runs", "--json"]

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


def struck(place: Path, point: tuple[str, int, str]) -> None:
    assert_struck(begin(place, COMMAND, *point, more=TRAININGS))


def test_killed_in_the_fifth_training(search_place, finished_search):
    struck(search_place, ("training", 5, "during"))
    folder = search_place / "runs" / "tiny"
    storage = optuna.storages.JournalStorage(Journal(folder / "study.journal"))
    done = optuna.load_study(study_name="search", storage=storage).trials
    assert len(done) == 4
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in done)
    search(SearchConfig.load("tiny.toml"), "runs")
    assert_same(folder, finished_search)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS_TO_STRIKE, ids=lambda point: f"{point[2]} {point[0]} {point[1]}")
def test_killed_at_a_point(search_place, finished_search, point):
    struck(search_place, point)
    search(SearchConfig.load("tiny.toml"), "runs")
    assert_same(search_place / "runs" / "tiny", finished_search)


@pytest.mark.slow
def test_killed_again_and_again_at_random_moments(search_place, finished_search):
    for seconds in np.random.default_rng(5).uniform(0.1, 1.5, 8):
        process = begin(search_place, COMMAND)
        time.sleep(seconds)
        process.kill()
        process.communicate()
    search(SearchConfig.load("tiny.toml"), "runs")
    assert_same(search_place / "runs" / "tiny", finished_search)


def test_another_search_in_the_folder_is_refused(search_place, finished_search):
    config = SearchConfig.load(finished_search.place / "tiny.toml")
    before = tree(finished_search.folder)
    with pytest.raises(InputError, match="tiny holds another run") as caught:
        search(config.replace(search=config.search.replace(seed=9)), finished_search.place / "runs")
    assert str(caught.value).count("\n") == 0
    assert tree(finished_search.folder) == before
