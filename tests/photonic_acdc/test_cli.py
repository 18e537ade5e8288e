"""The command line: what it prints, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from running import TINY, spots_of_one_brightness
from test_config import BAD, UNFIT
from typer.testing import CliRunner

from photonic_acdc.cli.main import app, entry
from simulators.devices import catalogue

COMMANDS = ("run", "demo", "search", "study", "synthesise", "devices")


def arrays():
    x, y = spots_of_one_brightness()
    return {"x": x, "y": y}


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """A command that ends well."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """The program in this process, for its exit code and what it says; a subprocess does the same, once a kind."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["photonic-acdc", *arguments])
        with pytest.raises(SystemExit) as caught:
            entry()
        out, err = capsys.readouterr()
        assert caught.value.code == 2, err
        assert out == ""
        assert_one_sentence(err)
        return err

    return refused


def assert_one_sentence(err: str) -> None:
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err


ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)}


def program(*arguments: str, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "photonic_acdc", *arguments]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def tree(folder: Path) -> dict[str, tuple[bytes, int] | None]:
    """Everything below a folder: contents and times."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
    }


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_lists_the_commands(invoke):
    text = invoke("--help")
    assert all(command in text for command in COMMANDS)
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(invoke, command):
    text = invoke(command, "--help")
    assert f"Example: photonic-acdc {command}" in text


def test_examples_in_the_help_are_there(invoke):
    (example,) = re.findall(r"Example: photonic-acdc run (\S+)", invoke("run", "--help"))
    assert (ROOT / example).is_file()
    (name,) = re.findall(r"Example: photonic-acdc devices (\S+)", invoke("devices", "--help"))
    assert name in catalogue()


def test_no_command_shows_the_help(tmp_path):
    done = program(cwd=tmp_path)
    assert "Usage" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# --- runs that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*BAD, *UNFIT])
def test_bad_configuration_ends_with_2_and_writes_nothing(refused, tmp_path, case):
    text, needles = {**BAD, **UNFIT}[case]
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    before = tree(tmp_path)
    message = refused("run", "my.toml", "--directory", "out/runs")
    assert all(needle in message for needle in needles)
    assert not (tmp_path / "out").exists()
    assert tree(tmp_path) == before


def test_no_configuration_ends_with_2_and_writes_nothing(refused, tmp_path):
    assert "none.toml: got No such file" in refused("run", "none.toml")
    assert tree(tmp_path) == {}


def spoilt(**changes):
    return {**arrays(), **changes}


X, Y = arrays()["x"], arrays()["y"]
BAD_DATA = {
    "nan": (spoilt(x=np.where(np.arange(60)[:, None] == 7, np.nan, X)), "not finite in 1 of 60 rows (first: row 7)"),
    "one class": (spoilt(y=Y * 0), "y: got 1 class; allowed: at least two classes"),
    "lengths": (spoilt(y=Y[1:]), "got 60 rows and labels (59,); allowed: one label a row"),
    "objects": (spoilt(y=Y.astype(object)), "allow_pickle=False"),
    "features": (spoilt(x=X[:, :15]), "model.modes: 4x4 = 16 modes: allowed: as many as"),
    "zero": (spoilt(x=X * 0), "own.npz: x is zero throughout"),
    "small class": (spoilt(y=np.where(np.arange(60) == 0, 9, Y)), "class 3 has 1 rows"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_ends_with_2_and_writes_nothing(refused, tmp_path, case):
    named, message = BAD_DATA[case]
    np.savez(tmp_path / "own.npz", **named)
    (tmp_path / "my.toml").write_text(TINY)
    before = tree(tmp_path)
    assert message in refused("run", "my.toml")
    assert tree(tmp_path) == before


def test_bad_data_as_a_program(tmp_path):
    np.savez(tmp_path / "own.npz", **BAD_DATA["nan"][0])
    (tmp_path / "my.toml").write_text(TINY)
    done = program("run", "my.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert_one_sentence(done.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.toml", "own.npz"]


@pytest.mark.parametrize("content", ["name = 'my'\n", "", "# Resolved configuration"], ids=["other", "empty", "header"])
def test_a_folder_of_another_run_is_left_alone(refused, tmp_path, content):
    folder = tmp_path / "runs" / "my"
    (folder / "parts").mkdir(parents=True)
    (folder / "config.toml").write_text(content)
    (folder / "parts" / "ideal-seed0.nc").write_bytes(b"theirs")
    np.savez(tmp_path / "own.npz", **arrays())
    (tmp_path / "my.toml").write_text(TINY)
    before = tree(tmp_path)
    text = refused("run", "my.toml")
    assert "runs/my holds another run (its config.toml differs)" in text
    assert "another name" in text
    assert tree(tmp_path) == before


def test_a_folder_that_is_no_run_is_left_alone(refused, tmp_path):
    (tmp_path / "runs" / "my").mkdir(parents=True)
    (tmp_path / "runs" / "my" / "thesis.tex").write_text("years of work")
    np.savez(tmp_path / "own.npz", **arrays())
    (tmp_path / "my.toml").write_text(TINY)
    before = tree(tmp_path)
    assert "runs/my exists and is no run of this program" in refused("run", "my.toml")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("place", ["runs/my", "runs"])
def test_a_file_in_the_place_of_a_folder(refused, tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("a file")
    np.savez(tmp_path / "own.npz", **arrays())
    (tmp_path / "my.toml").write_text(TINY)
    before = tree(tmp_path)
    assert "runs/my" in refused("run", "my.toml")
    assert tree(tmp_path) == before


def test_wrong_usage_ends_with_2(tmp_path):
    done = program("run", cwd=tmp_path)
    assert done.returncode == 2
    assert "Missing argument" in done.stderr
    assert tree(tmp_path) == {}


# --- a run -----------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_is_taken_up_by_the_same_command(invoke, tmp_path):
    np.savez(tmp_path / "own.npz", **arrays())
    (tmp_path / "my.toml").write_text(TINY)
    folder = tmp_path / "out" / "my"
    command = [sys.executable, "-m", "photonic_acdc", "run", "my.toml", "-d", "out"]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes its background jobs ignore interrupts, and they pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    # The first of several trainings, so that a machine that is busy cannot finish before the signal is sent.
    while not any(folder.glob("checkpoints/*")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert (out, err) == ("", "interrupted: the same command goes on from here\n")
    assert not (folder / "summary.json").exists()
    assert not list(folder.rglob("*.part*"))

    card = json.loads(invoke("run", "my.toml", "-d", "out", "--json"))
    assert card == json.loads((folder / "summary.json").read_text())
    assert set(card["results"]["accuracy"]) == {"ideal", "native_off", "on_bench", "ideal_on_bench", "noise_aware"}

    shown = " ".join(invoke("run", "my.toml", "-d", "out").split())
    for words in ("own.npz: 48 to train, 12 to test", "trained through the devices", "photons in", "out/my/"):
        assert words in shown
    assert f"{card['results']['accuracy']['noise_aware']['mean']:.2%}" in shown


def test_the_demo_is_one_seed_of_digits():
    import photonic_acdc.cli.main as main

    text = tomllib.loads(Path(main.__file__).with_name("demo.toml").read_text())
    assert text["name"] == "demo"
    assert len(text["seeds"]) == 1
    assert text["data"]["source"] == "digits"
