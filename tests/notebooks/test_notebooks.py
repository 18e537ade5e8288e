"""The tours run, and what is kept of them is of the script that stands beside it."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
#: What the last result of each tour is called.
LAST = {"01_quickstart": "noise_aware", "02_synthesis": "masks trained as well"}


def build():
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_tours():
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_kept_notebook_is_of_its_script(script):
    import jupytext
    import nbformat

    kept = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    wanted = jupytext.read(script)
    assert [c.source for c in kept.cells] == [c.source for c in wanted.cells]
    pictures = [o for c in kept.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 2
    assert not [o for c in kept.cells for o in c.get("outputs", []) if o.output_type == "error"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_tour_runs(script):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the kernel's own
        notebook = build().execute(script)
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    assert LAST[script.stem] in printed
