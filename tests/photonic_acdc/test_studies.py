"""Studies: configuration, intervals, verdicts, and a whole one of a made-up question."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from photonic_acdc import plots
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.studies import StudyConfig, four_bits, study
from photonic_acdc.studies import job as job_module
from photonic_acdc.studies.config import STUDIES, Options, module_of
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import About, Point, against, conclusions, dataset, half_width, rows
from simulators.effects.level_tables import PLM_P67
from simulators.errors import InputError
from simulators.reference import reference_bench

EXAMPLES = Path(__file__).parents[2] / "examples"
ABOUT = About("A question", "size", "size", units="m", baseline="plain")


def points(seed):
    rng = np.random.default_rng(seed)
    found = []
    for at in (2.0, 1.0):
        plain = 0.5 + 0.1 * rng.random(4)
        found.append(Point("plain", at, plain.tolist()))
        found.append(Point("better", at, (plain + 0.1).tolist()))
        if at == 1.0:
            found.append(Point("same", at, (plain + 0.01 * rng.standard_normal(4)).tolist()))
    return found


@pytest.fixture(scope="module")
def found():
    return dataset(ABOUT, {seed: points(seed) for seed in range(5)})


def test_means_and_intervals(found):
    values = np.array([np.mean(points(seed)[0].accuracies) for seed in range(5)])  # plain at 2
    one = found.sel(training="plain", size=2.0)
    assert float(one["mean"]) == pytest.approx(values.mean())
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert float(one["half_width"]) == pytest.approx((high - low) / 2)
    assert found["size"].values.tolist() == [1.0, 2.0]
    assert np.isnan(found["accuracy"].sel(training="same", size=2.0)).all()


def test_the_interval_covers_what_it_says():
    values = np.random.default_rng(0).standard_normal((4000, 5))
    covered = (np.abs(values.mean(1)) < half_width(values)).mean()
    assert abs(covered - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 4000)


def test_gains_are_paired(found):
    # The spread from seed to seed is in both: the gain of 0.1 is exact.
    better = found.sel(training="better")
    assert better["gain"].values == pytest.approx(0.1)
    assert better["gain_half_width"].values == pytest.approx(0, abs=1e-12)
    assert (better["half_width"].values > 1e-3).all()


def test_verdicts(found):
    verdicts = {(row["training"], row["size"]): row["verdict"] for row in rows(found)}
    assert verdicts[("better", 1.0)] == "better"
    assert verdicts[("same", 1.0)] == "no different"
    assert verdicts[("plain", 2.0)] == "baseline"
    assert ("same", 2.0) not in verdicts
    sentences = conclusions(found)
    assert sentences[0] == "better against plain: better at 2 of 2 (1; 2)."
    assert sentences[1] == "same against plain: no different at 1 of 1 (1)."


def test_gains_over_another_method(found):
    over = against(found, "better")
    assert over.attrs["baseline"] == "better"
    assert over["gain"].sel(training="plain").values == pytest.approx(-0.1)
    assert {row["verdict"] for row in rows(over) if row["training"] == "plain"} == {"worse"}
    assert np.isnan(over["gain"].sel(training="same", size=2.0))


@pytest.mark.parametrize("panels", [("",), ("a", "b", "c")])
@pytest.mark.parametrize("named", [True, False])
def test_the_picture_shows_every_method(panels, named):
    about = About(
        "q", "place", "place", baseline="plain", panel=None if panels == ("",) else "which", marks=((1, "m"),)
    )
    table = {
        seed: [
            Point(p.method, str(p.at) if named else p.at, p.accuracies, panel) for panel in panels for p in points(seed)
        ]
        for seed in range(3)
    }
    figure = plots.study(dataset(about, table))
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == len(panels)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "better", "same"]


@pytest.mark.parametrize("name", [*sorted({*STUDIES} - {"four_bits"}), "four_bits_digits", "four_bits_mnist1d"])
def test_every_study_has_an_example(name):
    config = StudyConfig.load(EXAMPLES / f"{name}.toml")
    assert config.name == name
    assert len(config.seeds) >= 5
    assert isinstance(config.options, module_of(config.study).Options)
    quick = config.quick()
    assert quick.name == f"{name}-quick"
    assert len(quick.seeds) == 2
    assert type(quick.options) is type(config.options)
    config.make_bench()


def test_examples_show_the_defaults():
    """What bits.toml spells out is what a shorter file would do."""
    config = StudyConfig.load(EXAMPLES / "bits.toml")
    assert config == StudyConfig(name="bits", study="bits", options=module_of("bits").Options())


def test_levels_of_both_kinds():
    bench = reference_bench((4, 4))
    four = bench.with_levels(bits=4)
    assert four.stage[0].device.bits == four.stage[2].device.bits == four.input.device.bits == 4
    mirrors = bench.with_levels(levels=PLM_P67)
    assert mirrors.stage[0].device.levels == tuple(PLM_P67)
    assert mirrors.stage[0].device.bits is None
    assert mirrors.input.device.bits == bench.input.device.bits


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seeds = [0, 1]", "study.*missing.*bits"),
        ('study = "bit"', "'bit'.*bits"),
        ('study = "bits"\nseeds = [0]', "seeds"),
        ('study = "bits"\nseeds = [0, 0]', "each once"),
        ('study = "bits"\n[options]\nbit = [1]', "options.*bit"),
        ('study = "bits"\n[options]\nbits = []', "options.*bits"),
        ('study = "bits"\n[bench]\nbits = 0', "bits"),
    ],
)
def test_bad_configurations_are_refused(tmp_path, text, sentence):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        StudyConfig.load(path)


@pytest.fixture
def made_up(monkeypatch):
    """A study whose measurements are counted."""
    measured = []

    def measure(laboratory):
        measured.append(laboratory.seed)
        return points(laboratory.seed)

    module = SimpleNamespace(ABOUT=ABOUT, Options=Options, measure=measure)
    monkeypatch.setattr(job_module, "module_of", lambda name: module)
    return measured


def test_a_study_leaves_its_files_and_is_taken_up(tmp_path, made_up):
    config = StudyConfig(name="tiny", study="bits", seeds=(3, 1, 2))
    reports = []
    card = study(config, tmp_path, report=lambda *report: reports.append(report))
    folder = tmp_path / "tiny"
    assert reports == [("study tiny", i, 3) for i in (1, 2, 3)]
    assert json.loads((folder / "summary.json").read_text()) == card
    with xr.open_dataset(folder / "study.nc", engine="h5netcdf") as kept:
        assert kept["seed"].values.tolist() == [3, 1, 2]
    assert (folder / "study.png").stat().st_size > 10_000
    again = study(config, tmp_path)
    assert made_up == [3, 1, 2]
    assert again["results"] == card["results"]


def test_another_study_in_the_folder_is_refused(tmp_path, made_up):
    study(StudyConfig(name="tiny", study="bits", seeds=(0, 1)), tmp_path)
    with pytest.raises(InputError, match="holds another run"):
        study(StudyConfig(name="tiny", study="bits", seeds=(0, 2)), tmp_path)
    with pytest.raises(InputError, match="workers"):
        study(StudyConfig(name="tiny", study="bits", seeds=(0, 1)), tmp_path, workers=0)


def test_starting_over_removes_a_study_and_nothing_else(tmp_path, made_up):
    config = StudyConfig(name="tiny", study="bits", seeds=(0, 1))
    study(config, tmp_path)
    folder = tmp_path / "tiny"
    (folder / "mine.txt").write_text("kept")
    other = StudyConfig(name="tiny", study="bits", seeds=(0, 2))
    with pytest.raises(InputError, match=r"--fresh.*seeds"):
        study(other, tmp_path)
    study(other, tmp_path, fresh=True)
    assert made_up == [0, 1, 0, 2]
    assert (folder / "mine.txt").read_text() == "kept"
    # A run of this name does not take it for one of its own.
    text = "# Resolved configuration; fingerprint of the data and the bench: 0\nname = 'tiny'\n"
    with pytest.raises(InputError, match="holds another run"):
        RunFolder(folder, text, fresh=True)
    assert (folder / "study.nc").exists()


def test_no_bench_is_met_by_two_seeds(tmp_path):
    config = StudyConfig(name="tiny", study="bits", seeds=(7, 1, 4))
    folder = RunFolder(tmp_path / "x", "x")
    met = [r for seed in config.seeds for r in Laboratory(config, folder, seed).benches()]
    assert sorted(met) == list(range(3 * config.judging.realisations))
    # The first few of a seed are among its own.
    assert list(Laboratory(config, folder, 1).benches(2)) == [20, 21]


def test_photons_need_a_camera(tmp_path):
    text = (EXAMPLES / "bench.toml").read_text()
    camera = next(line for line in text.splitlines() if line.startswith("detector"))
    (tmp_path / "bench.toml").write_text(text.replace(camera, 'detector = "silicon_photodiodes_16x16"'))
    path = tmp_path / "s.toml"
    path.write_text('study = "photons"\n[model]\nmodes = [8, 8]\n[bench]\nfile = "bench.toml"\n')
    with pytest.raises(InputError, match=r"photodiode.*a camera"):
        study(StudyConfig.load(path), tmp_path)
    assert not (tmp_path / "s").exists()


def test_a_study_without_a_loss_has_no_share_of_it():
    table = {
        seed: [
            Point(method, at, [0.5])
            for method in ("ideal-trained", "noise-aware", "physics-aware", "electronics alone", "trained on")
            for at in (four_bits.IDEAL, four_bits.PIXEL, four_bits.WAVE, four_bits.FITTED)
        ]
        for seed in range(2)
    }
    assert "no share of it" in four_bits.conclude(dataset(four_bits.ABOUT, table))[0]
