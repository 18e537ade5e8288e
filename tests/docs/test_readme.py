"""The README keeps its promises: its example runs, its commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 21
    exec(compile(code, "README.md", "exec"), {})
    accuracy, effect = capsys.readouterr().out.split(maxsplit=1)
    assert 0.3 < float(accuracy) <= 1
    assert ":" in effect


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_demo_is_the_example_with_one_seed():
    from photonic_acdc.config import RunConfig

    demo = RunConfig.load(ROOT / "photonic_acdc" / "cli" / "demo.toml")
    example = RunConfig.load(ROOT / "examples" / "digits.toml")
    assert demo.replace(name=example.name, seeds=example.seeds) == example
    # Every key of the example is a default spelt out.
    assert RunConfig(name="digits", seeds=(0, 1, 2)) == example
    RunConfig.load(ROOT / "examples" / "mnist1d.toml")


def test_the_example_bench_is_the_reference_bench():
    import simulators as sim

    assert sim.Bench.load(ROOT / "examples" / "bench.toml") == sim.reference_bench((8, 8))
