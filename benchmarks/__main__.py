"""Run benchmarks by name; without one, all of them."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators.errors import InputError

NAMES = (
    "propagation",
    "levels",
    "training_speed",
    "layers_speed",
    "simulators_speed",
    "synthesis_speed",
    "refinement",
    "regression",
    "layers_accuracy",
    "fc_replacement",
    "domains",
)


def measure(name: str, *, quick: bool, output: Path | None) -> list[dict]:
    """Rows of one benchmark; those that make a dataset take ``output`` and leave it there, with its figure."""
    rows = importlib.import_module(f"benchmarks.{name}").rows
    where = {"output": output} if "output" in inspect.signature(rows).parameters else {}
    return rows(quick=quick, **where)


def line(row: dict) -> str:
    """A row of the printed table."""
    verdict = ""
    if row["target"] is not None:
        # Met below or missed above: an upper bound. On the bound itself either is met.
        upper = (row["measured"] < row["target"]) == row["met"]
        sign = "" if row["measured"] == row["target"] else "≤ " if upper else "≥ "
        verdict = f"target {sign}{row['target']:g} {'met' if row['met'] else 'NOT met'}"
    return f"{row['case']:<72} {row['measured']:>10.3g} {row['unit']:<6} {verdict}".rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table or, with ``--json``, a list of rows ``{case, measured, target, unit, met}``; progress on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="default: all")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller cases")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print nothing but the list of rows")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="keep pieces, datasets and figures there; continue from them",
    )
    options = parser.parse_args(arguments)
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        parser.error(f"--output: {options.output} is no directory")
    found = []
    try:
        with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints
            for name in [options.name] if options.name else NAMES:
                found += measure(name, quick=options.quick, output=options.output)
    except InputError as error:
        parser.error(str(error))
    if options.as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        print("\n".join(map(line, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
