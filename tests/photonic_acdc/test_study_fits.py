"""Studies that fit a model to one bench: what is fitted, what is compared, and what is refused beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from photonic_acdc.optical import cascades
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.studies import StudyConfig, four_bits, reality_gap, study
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.one_bench import OneBench, fitted_figures
from simulators.errors import InputError
from simulators.random import Realisations

pytestmark = pytest.mark.usefixtures("single_thread")

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = """
seeds = [0, 1]
data.source = "own.npz"
model.modes = [3, 3]
[training]
epochs = 2
batch_size = 20
[judging]
realisations = 2
order = 2
[options]
"""
OPTIONS = {"four_bits": "benches = 1\nepochs = 1\nsamples = 4", "reality_gap": "gaps = [0, 2]\nepochs = 1"}


def load(folder, name, extra="", options=None):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    np.savez(folder / "own.npz", x=np.abs(0.3 * rng.normal(size=(120, 9)) + np.eye(9)[3 * y]), y=y)
    path = folder / "tiny.toml"
    path.write_text(f'study = "{name}"\n{TINY}{OPTIONS.get(name, "") if options is None else options}\n{extra}')
    return StudyConfig.load(path)


def laboratory_of(folder, config, seed=1):
    return Laboratory(config, RunFolder(folder / "x", "x"), seed)


def masks(model):
    return [p.detach().clone() for cascade in cascades(model).values() for p in cascade.masks.parameters()]


def test_what_a_fit_moves(tmp_path):
    laboratory = laboratory_of(tmp_path, load(tmp_path, "four_bits"))
    start = laboratory.optical()
    before = masks(start)
    one = OneBench(laboratory, laboratory.bench, 2, epochs=1, learning_rate=0.05)
    fitted, frozen = one.fit("fitted", start), one.fit("frozen", start, masks=False)
    for kept in (start, frozen):
        assert all(torch.equal(a, b) for a, b in zip(masks(kept), before, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(masks(fitted), before, strict=True))
    assert not torch.equal(frozen[-1].weight, start[-1].weight)
    # The same bench each time, and another one.
    assert one.score(fitted) == one.score(fitted)
    other = OneBench(laboratory, laboratory.bench, 3, epochs=1, learning_rate=0.05)
    assert not torch.equal(masks(other.fit("fitted", start))[0], masks(fitted)[0])


def test_points_of_four_bits(tmp_path):
    config = load(tmp_path, "four_bits")
    found = four_bits.measure(laboratory_of(tmp_path, config))
    judged = {(p.method, p.at): len(p.accuracies) for p in found}
    unseen = {(m, at): n for m in ("ideal-trained", "noise-aware") for at, n in _COUNTS.items()}
    controls = {(m, four_bits.FITTED): 1 for m in ("physics-aware", "electronics alone", "trained on")}
    assert judged == unseen | controls
    kept = {path.name.split("-seed")[0] for path in (tmp_path / "x/checkpoints").glob("*seed1.safetensors")}
    # The second seed's first bench is number 2: each has two.
    assert kept == {"ideal", "aware", "trained-on", "physics-aware-2", "electronics alone-2"}


_COUNTS = {four_bits.IDEAL: 1, four_bits.PIXEL: 2, four_bits.WAVE: 2, four_bits.FITTED: 1}


def test_points_of_reality_gap(tmp_path):
    config = load(tmp_path, "reality_gap")
    found = reality_gap.measure(laboratory_of(tmp_path, config))
    methods = ("in silico", "injection", "physics-aware", "refined", "electronics alone", "trained on")
    assert {(p.method, p.at) for p in found} == {(m, gap) for m in methods for gap in (0.0, 2.0)}


def test_a_gap_is_in_what_the_twin_does_not_know():
    config = StudyConfig.load(EXAMPLES / "reality_gap.toml")
    twin = config.make_bench()
    options = config.options
    none = reality_gap.real_bench(twin, options, 0.0)
    states = [Realisations(0, (0,)).draw(bench, 2) for bench in (none, twin)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][address], states[1][address]) for address in states[0])
    wide = reality_gap.real_bench(twin, options, 2.0)
    assert wide.stage[0].device.crosstalk_fwhm == pytest.approx(8e-6)
    assert wide.stage[1].device.scale_error == pytest.approx(twin.stage[1].device.scale_error + 0.01)


LENSLESS = '[[stage]]\ndevice = { kind = "free_space", name = "gap", distance = "100 mm" }\n'


@pytest.mark.parametrize("name", ["unseen", "misalignment", "reality_gap"])
def test_benches_without_lenses_are_refused_before_anything_is_written(tmp_path, name):
    text = (EXAMPLES / "bench.toml").read_text().replace('[[stage]]\ndevice = "thorlabs_ac254_100_a"\n', LENSLESS)
    (tmp_path / "bench.toml").write_text(text.replace("[8, 8]", "[3, 3]"))
    config = load(tmp_path, name, '[bench]\nfile = "bench.toml"\n', options="")
    with pytest.raises(InputError, match=r"stage\[1\]: device: got free_space; allowed: a lens"):
        study(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("bits", "bits = [2, 17]", "bits"),
        ("misalignment", "refits = 3", "options.refits: got 3; allowed: at most judging.realisations, 2"),
        ("four_bits", "benches = 3", "options.benches: got 3"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, name, options, sentence):
    with pytest.raises(InputError, match=sentence):
        study(load(tmp_path, name, options=options), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_twin_needs_something_to_fit():
    bench = StudyConfig.load(EXAMPLES / "reality_gap.toml").make_bench()
    assert fitted_figures(bench) == ("*.phase_error", "*.lut_residual", "*.scale_error")
    assert fitted_figures(bench.only("*.scale_error")) == ("*.scale_error",)
    with pytest.raises(InputError, match="none; allowed: phase_error or lut_residual or scale_error"):
        fitted_figures(bench.only("*.quantisation"))
