"""SIGKILL: whatever moment it strikes at, the same command ends with the same results."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from killing import ENVIRONMENT, assert_struck, begin
from running import TINY, files, spots_of_one_brightness

from photonic_acdc import load_tensors

#: Twenty random moments, as shares of the undisturbed run; the first of them each in a folder of its own.
SHARES = np.random.default_rng(2024).random(20).tolist()
FRESH = 12

LONGER = (
    TINY.replace("epochs = 2", "epochs = 4")
    .replace("[0.1]", "[0.0, 0.1]")
    .replace("front_epochs = 1", "front_epochs = 2")
)

#: Where it is struck: (file, n-th time it is written, before or after the rename).
POINTS = [
    ("config.toml", 1, "before"),
    ("checkpoints/ideal-seed0.safetensors", 1, "before"),
    ("checkpoints/ideal-seed0.safetensors", 4, "after"),
    ("checkpoints/noise_aware-seed0.safetensors", 3, "after"),
    ("checkpoints/front-0.1-seed0.safetensors", 1, "after"),
    ("parts/budget-seed0.nc", 1, "after"),
    ("errors.nc", 1, "before"),
    ("model.safetensors", 1, "before"),
    ("masks.npz", 1, "before"),
    ("masks/stage0_mask1.png", 1, "before"),
    ("plots/budget.png", 1, "before"),
    ("summary.json", 1, "before"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a configuration, its data and the driver."""
    place = tmp_path_factory.mktemp("resume")
    x, y = spots_of_one_brightness()
    np.savez(place / "own.npz", x=x, y=y)
    (place / "tiny.toml").write_text(LONGER)
    return place


@pytest.fixture(scope="module")
def undisturbed(place):
    """The run that nothing strikes, and how long it takes from its beginning."""
    process, begun = begin(place, command("undisturbed")), time.monotonic()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    folder = place / "undisturbed" / "tiny"
    return SimpleNamespace(folder=folder, card=json.loads(out), duration=time.monotonic() - begun)


def command(directory: str) -> list[str]:
    return ["run", "tiny.toml", "-d", directory, "--json"]


def strike_at_point(place: Path, directory: str, pattern: str, nth: int, moment: str) -> None:
    assert_struck(begin(place, command(directory), pattern, nth, moment))


def strike_after(place: Path, directory: str, seconds: float) -> bool:
    """Whether the run was struck, or had ended by then."""
    process, begun = begin(place, command(directory)), time.monotonic()
    try:
        process.communicate(timeout=max(0.0, begun + seconds - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def finish(place: Path, directory: str) -> dict:
    """The same command again, to its end."""
    again = [sys.executable, "-m", "photonic_acdc", *command(directory)]
    done = subprocess.run(again, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def assert_same(place: Path, directory: str, card: dict, undisturbed) -> None:
    """Results, files and their contents, but for the date; and nothing temporary is left."""
    folder = place / directory / "tiny"
    assert card["results"] == undisturbed.card["results"]
    assert json.loads((folder / "summary.json").read_text())["results"] == undisturbed.card["results"]
    assert files(folder) == files(undisturbed.folder)
    assert not [name for name in files(folder) if ".part" in name]
    for name in sorted(files(folder)):
        ours, theirs = folder / name, undisturbed.folder / name
        if ours.suffix == ".safetensors":
            (first, said), (second, heard) = load_tensors(ours), load_tensors(theirs)
            assert said == heard, name
            assert first.keys() == second.keys(), name
            assert all(torch.equal(first[key], second[key]) for key in first), name
        elif ours.suffix == ".nc":
            with xr.open_dataset(ours) as first, xr.open_dataset(theirs) as second:
                xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())
        elif name != "summary.json":
            assert ours.read_bytes() == theirs.read_bytes(), name


def test_struck_within_the_noise_aware_training(place, undisturbed):
    """The one that every test run does: killed with a whole checkpoint on disk that has not got its name yet."""
    point = ("checkpoints/noise_aware-seed0.safetensors", 3, "before")
    strike_at_point(place, "fast", *point)
    folder = place / "fast" / "tiny"
    assert (folder / "checkpoints" / ".noise_aware-seed0.part.safetensors").exists()
    assert load_tensors(folder / point[0])[1]["epoch"] == 2
    assert not (folder / "summary.json").exists()
    assert_same(place, "fast", finish(place, "fast"), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[2]} {point[0]} {point[1]}")
def test_struck_at_a_rename(place, undisturbed, point):
    directory = f"point{POINTS.index(point)}"
    strike_at_point(place, directory, *point)
    name, _, moment = point
    if moment == "after":
        assert (place / directory / "tiny" / name).exists()
    assert_same(place, directory, finish(place, directory), undisturbed)


def strike_at_moment(place: Path, directory: str, share: float, undisturbed) -> None:
    """At this share of the undisturbed run's time; earlier where a run that was taken up has ended by then."""
    for attempt in range(20):
        if strike_after(place, directory, share * undisturbed.duration * 0.8**attempt):
            return
    pytest.fail("the run ended before it was struck, again and again")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(FRESH))
def test_struck_at_a_random_moment(place, undisturbed, number):
    share = SHARES[number]
    strike_at_moment(place, f"moment{number}", share, undisturbed)
    assert_same(place, f"moment{number}", finish(place, f"moment{number}"), undisturbed)


@pytest.mark.slow
def test_struck_at_random_moments_again_and_again_in_one_folder(place, undisturbed):
    for share in SHARES[FRESH:]:
        strike_at_moment(place, "often", share, undisturbed)
    assert_same(place, "often", finish(place, "often"), undisturbed)
