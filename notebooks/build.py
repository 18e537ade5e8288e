"""Execute every tour and keep it with its pictures: ``make notebooks``.

The percent scripts are the source; the ``.ipynb`` beside each is what it printed and drew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient


def execute(script: Path, timeout: int = 1200) -> nbformat.NotebookNode:
    """The notebook of a percent script, executed in its folder's parent; raises where a cell does."""
    notebook = jupytext.read(script)
    NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(script.parents[1])}}).execute()
    for cell in notebook.cells:
        # When a cell ran is no part of what it shows.
        cell.metadata.pop("execution", None)
    return notebook


def main() -> int:
    """Execute and write all of them."""
    for script in sorted(Path(__file__).parent.glob("[0-9]*.py")):
        notebook = execute(script)
        nbformat.write(notebook, script.with_suffix(".ipynb"))
        print(f"{script.name}: {len(notebook.cells)} cells")
    return 0


if __name__ == "__main__":
    sys.exit(main())
