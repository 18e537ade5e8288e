"""The README keeps its promises: its example runs, its commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_example_runs(capsys):
    first, second, synthesis, third = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in first.splitlines() if line.strip()]) <= 21
    names: dict = {}
    exec(compile(first, "README.md", "exec"), names)
    accuracy, effect = capsys.readouterr().out.split(maxsplit=1)
    assert 0.3 < float(accuracy) <= 1
    assert ":" in effect
    exec(compile(second, "README.md", "exec"), names)
    assert "ACDC" in capsys.readouterr().out
    assert {group["name"] for group in names["optimiser"].param_groups} >= {"a", "d"}
    exec(compile(synthesis, "README.md", "exec"), names)
    assert "133 phase masks of 64" in capsys.readouterr().out
    assert names["plan"].error < 1e-12
    exec(compile(third, "README.md", "exec"), names)
    assert names["levels"].sizes == {"level": 3, "plane": 4}
    assert abs(names["panel"].crosstalk_fwhm - 5e-6) < 1e-15


def test_the_synthesis_example_runs(capsys):
    page = (ROOT / "docs" / "synthesis.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict = {}
    exec(compile(example, "synthesis.md", "exec"), names)
    assert "57 masks of 3x4" in capsys.readouterr().out
    assert names["plan"].error < 1e-14
    assert names["refined"].nmse < 0.01


def test_the_simulators_example_runs(capsys):
    page = (ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(example, "simulators.md", "exec"), {})
    assert "Pixel q = 3" in capsys.readouterr().out


def test_the_training_example_runs(capsys):
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    torch.manual_seed(0)
    exec(compile(example, "training.md", "exec"), {})
    told = capsys.readouterr().out
    assert "| mask: phase_error |" in told
    before, after = (float(share) for share in re.findall(r"([\d.]+)%", told.splitlines()[-1]))
    assert after < before


def test_links_and_pictures_exist():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                file, _, heading = target.partition("#")
                assert (page.parent / file).exists(), f"{page.name}: {target}"
                if heading:
                    text = (page.parent / file).read_text(encoding="utf-8")
                    assert f"## {heading}" in text, f"{page.name}: {target}"


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
