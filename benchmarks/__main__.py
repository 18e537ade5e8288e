"""Run benchmarks by name; without one, all of them."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

NAMES = ("propagation", "training_step")


def main() -> int:
    """Print a table or, with ``--json``, a list of rows ``{case, measured, target, unit, met}``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="default: all")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    rows = []
    for name in [options.name] if options.name else NAMES:
        rows += importlib.import_module(f"benchmarks.{name}").rows(quick=options.quick)
    if options.as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        target = "" if row["target"] is None else f"target {row['target']:g} {'met' if row['met'] else 'NOT met'}"
        print(f"{row['case']:<66} {row['measured']:>10.3g} {row['unit']:<6} {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
