"""What the tests of the search share."""

from types import SimpleNamespace

import pytest
from searching import TINY, opened, write_own_data

from photonic_acdc.analysis.tiles import one_thread
from photonic_acdc.search import SearchConfig, search


@pytest.fixture
def single_thread():
    """Small trainings suffer from a second thread."""
    with one_thread():
        yield


@pytest.fixture
def search_place(tmp_path, monkeypatch):
    """A folder with a configuration and its data, in which to work."""
    monkeypatch.chdir(tmp_path)
    write_own_data(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory):
    """A whole search that nothing interrupts."""
    place = tmp_path_factory.mktemp("search")
    write_own_data(place)
    (place / "tiny.toml").write_text(TINY)
    config = SearchConfig.load(place / "tiny.toml")
    reports = []
    with one_thread():
        card = search(config, place / "runs", report=lambda *report: reports.append(report))
    folder = place / "runs" / "tiny"
    trials, front = (opened(folder / f"{name}.nc") for name in ("trials", "front"))
    return SimpleNamespace(
        place=place, config=config, card=card, folder=folder, trials=trials, front=front, reports=reports
    )
