"""A run configuration: what it may say, and how it complains."""

import contextlib
import re
import tomllib

import numpy as np
import pytest

from photonic_acdc.config import BenchConfig, DataConfig, ModelConfig, RunConfig
from photonic_acdc.layers import AFDF
from photonic_acdc.optical import to_optical
from photonic_acdc.runs.run import _maps_exactly, resolved
from photonic_acdc.runs.stages import load_split
from simulators.bench import Bench
from simulators.errors import InputError
from simulators.reference import reference_bench

#: Refused while the file is read: text, and what the message must name besides the file: key, value, what is allowed.
BAD = {
    # misspelt keys
    "table": ("[trainin]\nepochs = 2", ["unknown key 'trainin'", "did you mean training?"]),
    "top key": ("sedes = [0]", ["unknown key 'sedes'", "did you mean seeds?"]),
    "data key": ("[data]\nsorce = 'digits'", ["data: unknown key 'sorce'", "did you mean source?"]),
    "model key": ("[model]\nstage = 2", ["model: unknown key 'stage'", "did you mean stages?"]),
    "bench key": ("[bench]\nexposures = '1 ms'", ["bench: unknown key 'exposures'", "did you mean exposure?"]),
    "training key": ("[training]\nepoch = 2", ["training: unknown key 'epoch'", "did you mean epochs?"]),
    "evaluation key": ("[evaluation]\norders = 2", ["evaluation: unknown key 'orders'", "did you mean order?"]),
    "far key": ("[model]\nxyzzy = 2", ["model: unknown key 'xyzzy'", "one of modes, stages"]),
    # units
    "wrong unit": ("[bench]\nexposure = '8 um'", ["bench.exposure", "'8 um'", "[length]", "'10 ms'"]),
    "no unit": ("[bench]\nexposure = 0.001", ["bench.exposure", "0.001, which has no unit", "a number with a unit"]),
    "no unit, whole": ("[bench]\nexposure = 1", ["bench.exposure", "1, which has no unit", "'10 ms'"]),
    "no unit, text": ("[bench]\nexposure = '0.001'", ["bench.exposure", "'0.001', which has no unit", "'10 ms'"]),
    "no such unit": ("[bench]\nexposure = '1 florp'", ["bench.exposure", "'1 florp', which cannot be read", "'10 ms'"]),
    "no quantity": ("[bench]\nexposure = '(('", ["bench.exposure", "'((', which cannot be read", "'10 ms'"]),
    "empty quantity": ("[bench]\nexposure = ''", ["bench.exposure", "''", "'10 ms'"]),
    "unit too many": ("[bench]\noptical_density = '4 m'", ["bench.optical_density", "'4 m'", "[length]"]),
    # figures out of range
    "exposure 0": ("[bench]\nexposure = '0 s'", ["bench.exposure", "'0 s'", "greater than 0"]),
    "exposure -": ("[bench]\nexposure = '-1 ms'", ["bench.exposure", "'-1 ms'", "greater than 0"]),
    "exposure nan": ("[bench]\nexposure = 'nan s'", ["bench.exposure", "nan, not finite", "'10 ms'"]),
    "exposure inf": ("[bench]\nexposure = 'inf s'", ["bench.exposure", "inf, not finite", "'10 ms'"]),
    "density -": ("[bench]\noptical_density = -1.5", ["bench.optical_density", "-1.5", "at least 0"]),
    "density inf": ("[bench]\noptical_density = inf", ["bench.optical_density", "inf, not finite", "a number"]),
    "window 0": ("[bench]\nwindow = 0", ["bench.window", "got 0", "greater than 0"]),
    "window 2": ("[bench]\nwindow = 2.0", ["bench.window", "got 2.0", "at most 1"]),
    "rate nan": ("[training]\nlearning_rate = nan", ["training.learning_rate", "nan, not finite", "a number"]),
    "rate 0": ("[training]\nlearning_rate = 0.0", ["training.learning_rate", "got 0.0", "greater than 0"]),
    "smoothing 1": ("[training]\nlabel_smoothing = 1.0", ["training.label_smoothing", "got 1.0", "less than 1"]),
    "decay -": ("[training]\nweight_decay = -0.1", ["training.weight_decay", "got -0.1", "at least 0"]),
    "epochs 0": ("[training]\nepochs = 0", ["training.epochs", "got 0", "at least 1"]),
    "epochs -": ("[training]\nepochs = -3", ["training.epochs", "got -3", "at least 1"]),
    "one row a batch": ("[training]\nbatch_size = 1", ["training.batch_size", "got 1", "at least 2"]),
    "order 0": ("[evaluation]\norder = 0", ["evaluation.order", "got 0", "at least 1"]),
    "no benches": ("[evaluation]\nrealisations = 0", ["evaluation.realisations", "got 0", "at least 1"]),
    "weight -": ("[evaluation]\nfront_weights = [0.1, -1.0]", ["evaluation.front_weights[1]", "-1.0", "at least 0"]),
    "fraction 2": ("[data]\ntest_fraction = 2", ["data.test_fraction", "got 2", "at most 1"]),
    "split seed -": ("[data]\nsplit_seed = -1", ["data.split_seed", "got -1", "at least 0"]),
    "modes 0": ("[model]\nmodes = [0, 8]", ["model.modes[0]", "got 0", "at least 1"]),
    "modes, one": ("[model]\nmodes = [8]", ["model.modes[1]", "must be given"]),
    "modes, three": ("[model]\nmodes = [4, 4, 4]", ["model.modes", "[4, 4, 4]", "at most 2 items"]),
    "stages 0": ("[model]\nstages = 0", ["model.stages", "got 0", "at least 1"]),
    # types
    "epochs, text": ("[training]\nepochs = 'three'", ["training.epochs", "'three'", "valid integer"]),
    "epochs, number as text": ("[training]\nepochs = '3'", ["training.epochs", "'3'", "valid integer"]),
    "epochs, half": ("[training]\nepochs = 2.5", ["training.epochs", "2.5", "valid integer"]),
    "epochs, truth": ("[training]\nepochs = true", ["training.epochs", "True", "valid integer"]),
    "epochs, nan": ("[training]\nepochs = nan", ["training.epochs", "nan", "valid integer"]),
    "rate, truth": ("[training]\nlearning_rate = true", ["training.learning_rate", "True", "a number"]),
    "rate, list": ("[training]\nlearning_rate = [0.1]", ["training.learning_rate", "[0.1]", "valid number"]),
    "source, number": ("[data]\nsource = 3", ["data.source", "got 3", "valid string"]),
    "drop, no list": ("[bench]\ndrop = '*.flicker'", ["bench.drop", "'*.flicker'", "valid tuple"]),
    "model, no table": ("model = 3", ["model", "got 3", "dictionary"]),
    "modes, text": ("[model]\nmodes = '8x8'", ["model.modes", "'8x8'", "valid tuple"]),
    # seeds
    "seeds twice": ("seeds = [0, 1, 0]", ["seeds", "(0, 1, 0)", "each once"]),
    "no seeds": ("seeds = []", ["seeds", "[]", "at least 1 item"]),
    "seed -": ("seeds = [0, -1]", ["seeds[1]", "-1", "at least 0"]),
    "seed too large": (f"seeds = [{2**64}]", ["seeds[0]", str(2**64), "less than"]),
    "seeds, number": ("seeds = 0", ["seeds", "got 0", "valid tuple"]),
    # names that would be paths
    "name ..": ("name = '../x'", ["name", "'../x'", "pattern"]),
    "name /": ("name = '/etc/x'", ["name", "'/etc/x'", "pattern"]),
    "name .": ("name = '.x'", ["name", "'.x'", "pattern"]),
    "name, empty": ("name = ''", ["name", "''", "pattern"]),
    "name, two lines": ('name = "x\\n"', ["name", "'x\\n'", "pattern"]),
    "name, long": (f"name = '{'x' * 81}'", ["name", "x" * 81, "at most 80"]),
    "name, number": ("name = 7", ["name", "got 7", "valid string"]),
    # no TOML
    "syntax": ("seeds = [", ["Invalid value", "valid TOML"]),
    "key twice": ("seeds = [0]\nseeds = [1]", ["overwrite", "valid TOML"]),
}

#: Each of these is fine by itself and does not go together: refused by the run before it writes anything.
UNFIT = {
    "modes too many": ("[model]\nmodes = [40, 40]", ["40x40 modes", "M ≥ 2N-1 = 79", "at most 31 modes"]),
    "modes too long": ("[model]\nmodes = [1, 64]", ["1x64 modes", "M ≥ 2N-1 = 127", "at most 31 modes"]),
    "modes of no data": ("[model]\nmodes = [4, 8]", ["model.modes: 4x8 = 32", "as many as digits has features, 64"]),
    "modes one short": ("[model]\nmodes = [7, 9]", ["model.modes: 7x9 = 63", "64"]),
    "effect": ("[bench]\ndrop = ['*.flickr']", ["bench.drop", "'*.flickr'", "*.flicker"]),
    "second effect": ("[bench]\ndrop = ['*.flicker', 'camera.*']", ["bench.drop", "'camera.*'", "matches nothing"]),
    "no bench file": ("[bench]\nfile = 'none.toml'", ["none.toml", "No such file", "readable TOML"]),
    "data set": ("[data]\nsource = 'digit'", ["data.source", "'digit'", "did you mean digits?"]),
    "no data file": ("[data]\nsource = 'none.npz'", ["none.npz", "no such file", ".npz with arrays x and y"]),
    "fraction 0": ("[data]\ntest_fraction = 0", ["test_fraction", "0.0", "between 0 and 1"]),
    "fraction 1": ("[data]\ntest_fraction = 1.0", ["test_fraction", "1.0", "between 0 and 1"]),
    "fraction tiny": ("[data]\ntest_fraction = 1e-6", ["class 0 has 178 rows", "both sides", "another test_fraction"]),
}


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "my.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def prepared(config: RunConfig):
    """What a run asks of its configuration before it writes anything."""
    config.make_bench()
    return load_split(config)


# --- what it may say -------------------------------------------------------------------------------------------------


def test_an_empty_file_is_all_defaults_and_named_after_itself(write):
    config = RunConfig.load(write("", "digits-7.toml"))
    assert config == RunConfig(name="digits-7")
    assert config.seeds == (0,)
    assert config.data == DataConfig(source="digits", test_fraction=0.2, split_seed=0)
    assert config.model == ModelConfig(modes=(8, 8), stages=2)
    assert config.bench == BenchConfig()
    assert config.evaluation.realisations == 200
    assert config.make_bench() == reference_bench((8, 8))


def test_a_file_may_say_its_name(write):
    assert RunConfig.load(write("name = 'other'")).name == "other"


def test_a_file_name_that_is_no_run_name(write):
    with pytest.raises(InputError, match=r"my run\.toml: name: got 'my run'"):
        RunConfig.load(write("", "my run.toml"))


def test_everything_can_be_said(write):
    config = RunConfig.load(
        write(
            """
            name = "all"
            seeds = [3, 1]
            [data]
            source = "mnist1d"
            test_fraction = 0.25
            split_seed = 5
            [model]
            modes = [4, 10]
            stages = 3
            [bench]
            optical_density = 3.5
            exposure = "250 us"
            window = 0.75
            drop = ["*.flicker", "stage[1].*"]
            [training]
            epochs = 7
            learning_rate = 1
            threads = 1
            [evaluation]
            order = 4
            front_weights = []
            """
        )
    )
    assert config.seeds == (3, 1)
    assert config.data.source == "mnist1d"
    assert (config.model.modes, config.model.stages) == ((4, 10), 3)
    assert config.bench.exposure == pytest.approx(250e-6, rel=1e-15)
    assert config.training.learning_rate == 1.0
    assert config.evaluation.front_weights == ()
    bench = config.make_bench()
    assert bench.modes == (4, 10)
    assert bench.source.optical_density == 3.5
    assert bench.detector.exposure == config.bench.exposure
    assert bench.detector.window == 0.75
    on = {str(effect) for effect in bench.effects(3)}
    assert not any("flicker" in effect or effect.startswith("stage[1]") for effect in on)
    assert "stage[2].mask[0].loss" in on


def test_it_cannot_be_changed_and_its_copies_are_checked():
    config = RunConfig(name="a")
    with pytest.raises(Exception, match="frozen"):
        config.name = "b"
    with pytest.raises(InputError, match="seeds"):
        config.replace(seeds=(1, 1))
    assert config.replace(seeds=(1, 2)).seeds == (1, 2)
    assert hash(config) == hash(RunConfig(name="a"))


def test_python_may_pass_si_floats_and_is_checked_too():
    assert BenchConfig(exposure=0.001).exposure == 0.001
    with pytest.raises(InputError, match=r"BenchConfig: exposure: got -1.*greater than 0"):
        BenchConfig(exposure=-1.0)


# --- paths -----------------------------------------------------------------------------------------------------------


def arrays(seed: int = 0):
    rng = np.random.default_rng(seed)
    return {"x": rng.random((30, 16)), "y": np.arange(30) % 3}


@pytest.mark.parametrize("said", ["own.npz", "sub/own.npz", "../own.npz"])
def test_data_lies_relative_to_the_configuration(write, tmp_path, monkeypatch, said):
    path = write(f"[data]\nsource = '{said}'\n[model]\nmodes = [4, 4]", "conf/my.toml")
    file = path.parent / said
    file.parent.mkdir(exist_ok=True)
    np.savez(file, **arrays())
    # The working folder holds another file of that name, which is not the one that is meant.
    decoy = tmp_path / "elsewhere" / "deep"
    (decoy / "sub").mkdir(parents=True)
    for name in (decoy / "own.npz", decoy / "sub" / "own.npz", decoy.parent / "own.npz"):
        np.savez(name, **arrays(9))
    monkeypatch.chdir(decoy)
    training, test = prepared(RunConfig.load(path))
    largest = np.float32(arrays()["x"][training.index.numpy()].max())
    assert np.array_equal(test.x.numpy(), arrays()["x"][test.index.numpy()].astype(np.float32) / largest)


def test_data_of_a_full_path(write, tmp_path, monkeypatch):
    file = tmp_path / "far" / "own.npz"
    file.parent.mkdir()
    np.savez(file, **arrays())
    path = write(f"[data]\nsource = '{file}'\n[model]\nmodes = [4, 4]", "conf/my.toml")
    monkeypatch.chdir("/")
    assert RunConfig.load(path).data.source == str(file)


BENCH = """
modes = [4, 4]
source = { catalogue = "hene_633", optical_density = 3 }
stage = [
  { device = "holoeye_pluto21_vis", macro_pixel = 8 },
  { device = "thorlabs_ac254_100_a" },
  { device = "holoeye_pluto21_vis", macro_pixel = 8 },
  { device = "thorlabs_ac254_100_a" },
]
[input]
device = "holoeye_pluto21_vis_amplitude"
macro_pixel = 8
[detector]
catalogue = "basler_aca2440_75um"
exposure = "2 ms"
"""


def test_a_bench_of_ones_own_lies_beside_the_configuration(write, monkeypatch):
    write(BENCH, "conf/bench.toml")
    path = write("[model]\nmodes = [4, 4]\n[bench]\nfile = 'bench.toml'\nwindow = 0.5", "conf/my.toml")
    monkeypatch.chdir("/")
    config = RunConfig.load(path)
    bench = config.make_bench()
    assert bench.detector.exposure == pytest.approx(0.002)
    assert bench.detector.window == 0.5
    assert bench == Bench.load(path.parent / "bench.toml").replace(detector=bench.detector)


@pytest.mark.parametrize(("masks", "exact"), [((), False), ((0,), False), ((2,), False), ((0, 2), True)], ids=str)
def test_the_ideal_layer_is_mapped_where_both_masks_are_complex(write, masks, exact):
    """Only then is it judged: a run refuses nothing half way."""
    lines = BENCH.splitlines()
    for i in masks:
        line = next(k for k, text in enumerate(lines) if text.startswith("stage")) + 1 + i
        companion = 'companion = "holoeye_pluto21_vis_amplitude", relay = "thorlabs_ac254_100_a"'
        lines[line] = lines[line].replace("macro_pixel = 8", f"macro_pixel = 8, {companion}")
    write("\n".join(lines), "bench.toml")
    config = RunConfig.load(write("[model]\nmodes = [4, 4]\n[bench]\nfile = 'bench.toml'"))
    assert _maps_exactly(config) is exact
    layer = AFDF(16, 1, shape=(4, 4))
    with contextlib.nullcontext() if exact else pytest.raises(InputError, match="complex masks"):
        to_optical(layer, config.make_bench(), mapping="exact")


def test_a_bench_of_other_modes(write):
    write(BENCH, "bench.toml")
    config = RunConfig.load(write("[bench]\nfile = 'bench.toml'"))
    with pytest.raises(InputError, match=r"bench\.toml: modes: got \(4, 4\); allowed: the model's, \(8, 8\)"):
        config.make_bench()


def test_a_mistake_in_a_bench_of_ones_own_names_that_file(write):
    write(BENCH.replace("macro_pixel = 8", "macro_pixle = 8", 1), "bench.toml")
    config = RunConfig.load(write("[model]\nmodes = [4, 4]\n[bench]\nfile = 'bench.toml'"))
    with pytest.raises(InputError, match=r"bench\.toml: stage\[0\].*'macro_pixle'.*did you mean macro_pixel"):
        config.make_bench()


# --- identity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seeds = [2, 0]\n[bench]\nexposure = '0.98765432101234 ms'\noptical_density = 0.1\ndrop = ['*.loss']",
        "[training]\nlearning_rate = 0.012345678901234567\n[evaluation]\nfront_weights = [1e-300, 3]",
    ],
    ids=["defaults", "bench", "figures"],
)
def test_what_a_run_writes_down_is_read_back_the_same(write, text):
    config = RunConfig.load(write(text))
    written = resolved(config, *prepared(config))
    assert RunConfig.load(write(written, "config.toml")) == config
    # Every figure that has a default is written down.
    assert set(tomllib.loads(written)) == set(RunConfig.model_fields)
    assert tomllib.loads(written)["evaluation"]["realisations"] == 200


def test_identity_follows_the_data_the_bench_and_the_configuration(write, tmp_path):
    write(BENCH, "bench.toml")
    np.savez(tmp_path / "own.npz", **arrays())
    text = "[data]\nsource = 'own.npz'\n[model]\nmodes = [4, 4]\n[bench]\nfile = 'bench.toml'\n"
    config = RunConfig.load(write(text))

    def identity() -> str:
        return resolved(config, *prepared(config))

    first = identity()
    assert identity() == first
    training, test = prepared(config)
    for part in (training, test):
        changed = arrays()
        changed["x"][int(part.index[0]), 0] *= 0.5
        np.savez(tmp_path / "own.npz", **changed)
        assert identity() != first
    np.savez(tmp_path / "own.npz", **arrays())
    assert identity() == first
    write(BENCH.replace("2 ms", "3 ms"), "bench.toml")
    assert identity() != first


# --- how it complains ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BAD)
def test_bad_configuration_names_file_key_value_and_what_is_allowed(write, case):
    text, needles = BAD[case]
    path = write(text)
    with pytest.raises(InputError) as caught:
        RunConfig.load(path)
    message = str(caught.value)
    for needle in [str(path), *needles]:
        assert needle in message
    assert "\n" not in message
    assert not re.search(r"pydantic|ValidationError|Traceback", message)


@pytest.mark.parametrize("case", UNFIT)
def test_unfit_configuration_names_key_value_and_what_is_allowed(write, case):
    text, needles = UNFIT[case]
    config = RunConfig.load(write(text))
    with pytest.raises(InputError) as caught:
        prepared(config)
    message = str(caught.value)
    for needle in needles:
        assert needle in message
    assert "\n" not in message
    assert len(message) < 400


def test_several_mistakes_are_told_at_once(write):
    path = write("[training]\nepochs = 0\n[evaluation]\norder = 0")
    with pytest.raises(InputError, match=r"training\.epochs: got 0.*also wrong: evaluation\.order"):
        RunConfig.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"file .*none\.toml: got No such file or directory; allowed: a readable TOML"):
        RunConfig.load(tmp_path / "none.toml")


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(InputError, match=r"got Is a directory; allowed: a readable TOML file"):
        RunConfig.load(tmp_path)


def test_bytes_are_no_configuration(tmp_path):
    (tmp_path / "my.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"my\.toml: got .*utf-8.*allowed: valid TOML"):
        RunConfig.load(tmp_path / "my.toml")


def test_data_that_is_zero_throughout(write, tmp_path):
    np.savez(tmp_path / "own.npz", x=np.zeros((30, 16)), y=np.arange(30) % 3)
    config = RunConfig.load(write("[data]\nsource = 'own.npz'\n[model]\nmodes = [4, 4]"))
    with pytest.raises(InputError, match=r"own\.npz: x is zero throughout"):
        prepared(config)
