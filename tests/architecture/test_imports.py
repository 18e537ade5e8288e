"""Imports run one way: simulators never know photonic_acdc, layers no optics, only pictures know matplotlib."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("simulators", "photonic_acdc")
#: What layers may use of the simulators: the error that bad input raises.
LAYERS_MAY_USE = {"simulators.errors"}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name → file, of every module of both packages."""
    found = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> Iterator[str]:
    """Modules that a file imports, on top or inside functions; those for type checkers alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing_only |= {id(child) for statement in node.body for child in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in inner)


def violations(root: Path) -> list[str]:
    """Every broken rule, as a sentence that says what to do."""
    known = modules(root)
    found, arrows = [], {}
    for name, path in known.items():
        used = list(imports(path, set(known)))
        arrows[name] = {target for target in used if target in known and target != name}
        for target in used:
            if name.startswith("simulators") and target.startswith("photonic_acdc"):
                found.append(
                    f"{name} imports {target}: simulators know nothing of photonic_acdc; move it or pass it in"
                )
            if name.startswith("photonic_acdc.layers") and (
                (target.startswith("simulators") and target not in LAYERS_MAY_USE)
                or target.startswith("photonic_acdc.optical")
            ):
                found.append(f"{name} imports {target}: layers are ideal mathematics; optics belongs to optical/")
            pictures = name.startswith(("photonic_acdc.plots", "photonic_acdc.reports"))
            if target.split(".")[0] in ("matplotlib", "PIL") and not pictures:
                found.append(f"{name} imports {target}: only plots/ and reports/ draw")
    return found + [f"import cycle: {' -> '.join(cycle)}" for cycle in cycles(arrows)]


def cycles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """One cycle a strongly connected group of modules."""
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for target in sorted(arrows.get(name, ())):
            cycle = follow(target, [*path, name])
            if cycle:
                return cycle
        done.add(name)
        return None

    return [cycle for cycle in (follow(name, []) for name in sorted(arrows)) if cycle]


def test_imports_run_one_way():
    broken = violations(ROOT)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("simulators/bad.py", "from photonic_acdc.layers import AFDF", "simulators know nothing"),
        ("simulators/bad.py", "def f():\n    import photonic_acdc", "simulators know nothing"),
        ("photonic_acdc/layers/bad.py", "from simulators.pixel import Pixel", "layers are ideal mathematics"),
        ("photonic_acdc/layers/bad.py", "import photonic_acdc.optical", "layers are ideal mathematics"),
        ("photonic_acdc/analysis/bad.py", "def f():\n    import matplotlib.pyplot", "only plots/"),
        ("simulators/bad.py", "import simulators.bad2", "import cycle"),
        ("simulators/bad.py", "def f():\n    import simulators.bad2", "import cycle"),
    ],
)
def test_the_rule_bites(tmp_path, file, line, complaint):
    """A tree with one broken rule in it is refused, with a sentence about that rule."""
    for package in (
        "simulators",
        "photonic_acdc",
        "photonic_acdc/layers",
        "photonic_acdc/optical",
        "photonic_acdc/analysis",
    ):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "simulators" / "bad2.py").write_text("import simulators.bad\n")
    (tmp_path / "simulators" / "pixel.py").write_text("")
    assert violations(tmp_path) == []
    (tmp_path / file).write_text(line + "\n")
    broken = violations(tmp_path)
    assert any(complaint in sentence for sentence in broken), broken


def test_front_doors_are_lazy():
    """Importing both packages loads none of the heavy libraries, not even torch."""
    code = (
        "import sys, photonic_acdc, simulators; "
        "print([m for m in ('torch', 'xarray', 'matplotlib', 'pint', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def test_every_public_name_resolves():
    import photonic_acdc
    import simulators

    for package in (photonic_acdc, simulators):
        for name in package.__all__:
            assert getattr(package, name) is not None
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            package.nonsense  # noqa: B018
