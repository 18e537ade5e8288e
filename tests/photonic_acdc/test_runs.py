"""A run from end to end: what it leaves behind, and that it is the same again."""

import json
import math
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from running import files, spots_of_one_brightness

from photonic_acdc import load_tensors
from photonic_acdc.analysis import monte_carlo
from photonic_acdc.config import RunConfig
from photonic_acdc.data import load_data
from photonic_acdc.layers import AFDF
from photonic_acdc.optical import rebind, to_optical
from photonic_acdc.runs import run
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.runs.pictures import write_masks
from photonic_acdc.runs.stages import JUDGED, TRAINED, Stages, load_split
from simulators.bench import Bench
from simulators.errors import InputError
from simulators.reference import reference_bench

DIGITS = """
seeds = [0]
[training]
epochs = 4
threads = 1
[evaluation]
realisations = 3
budget_realisations = 2
photon_realisations = 1
front_weights = [0.1]
front_epochs = 1
front_realisations = 2
"""

OWN = """
seeds = [1, 0]
[data]
source = "my.npz"
test_fraction = 0.3
[model]
modes = [4, 4]
stages = 1
[bench]
exposure = "0.98765432101 ms"
optical_density = 3.9
drop = ["*.flicker"]
[training]
epochs = 3
batch_size = 8
threads = 1
[evaluation]
order = 2
realisations = 3
budget_realisations = 1
photon_realisations = 1
front_weights = [0.1, 0.10000001]
front_epochs = 1
front_realisations = 1
"""


def write_own_data(path: Path) -> None:
    x, y = spots_of_one_brightness()
    np.savez(path, x=x.reshape(60, 4, 4), y=np.array(["ant", "bee", "cow"])[y])


def times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Reports(list):
    """What a run says it is at."""

    def __call__(self, what: str, done: int, total: int) -> None:
        self.append((what, done, total))


def done_run(config: RunConfig, directory: Path) -> SimpleNamespace:
    reports, started = Reports(), time.monotonic()
    card = run(config, directory, report=reports)
    wall = time.monotonic() - started
    return SimpleNamespace(config=config, folder=directory / config.name, card=card, reports=reports, wall=wall)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The main job, as small as it goes."""
    place = tmp_path_factory.mktemp("digits")
    (place / "small.toml").write_text(DIGITS)
    return done_run(RunConfig.load(place / "small.toml"), place / "runs")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The user's own data, two seeds, a bench that is changed here and there."""
    place = tmp_path_factory.mktemp("own")
    write_own_data(place / "my.npz")
    (place / "mine.toml").write_text(OWN)
    return done_run(RunConfig.load(place / "mine.toml"), place / "runs")


@pytest.fixture(params=["digits", "own"])
def finished(request):
    return request.getfixturevalue(request.param)


# --- files -----------------------------------------------------------------------------------------------------------


def test_every_file_is_there_and_no_other(finished):
    config = finished.config
    masks = {f"masks/stage{s}_mask{i}.png" for s in range(config.model.stages) for i in (0, 1)}
    names = ("training", "accuracy", "photons", "light", "budget", "masks", "planes")
    kept = {name for name in files(finished.folder) if name.split("/")[0] not in ("parts", "checkpoints")}
    assert kept == {
        "config.toml",
        "model.safetensors",
        "training.nc",
        "errors.nc",
        "masks.npz",
        "layout.png",
        "devices.md",
        "summary.json",
        *masks,
        *(f"plots/{name}.png" for name in names),
    }
    assert not [name for name in files(finished.folder) if ".part" in name]


def test_starting_over_takes_every_file_of_a_run_and_no_other(finished, tmp_path):
    folder = tmp_path / finished.config.name
    shutil.copytree(finished.folder, folder)
    (folder / "notes.txt").write_text("mine")
    text = (folder / "config.toml").read_text() + "# other settings\n"
    RunFolder(folder, text, fresh=True)
    assert files(folder) == {"config.toml", "notes.txt"}


def test_every_picture_can_be_opened_and_shows_something(finished):
    for path in finished.folder.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.getextrema() != ((255, 255),) * 3, path
            if path.parent.name != "masks":
                assert min(image.size) > 300, path


def test_summary_is_what_run_returns(finished):
    written = json.loads((finished.folder / "summary.json").read_text())
    assert written == finished.card
    assert set(written) == {"results", "run"}


def test_results(finished):
    results, config = finished.card["results"], finished.config
    assert set(results["accuracy"]) == {"ideal", "native_off", "on_bench", "ideal_on_bench", "noise_aware"}
    for stage, row in results["accuracy"].items():
        assert set(row) == {"mean", "p05", "n"}
        assert 0 <= row["p05"] <= row["mean"] <= 1
        benches = 1 if stage in ("ideal", "native_off") else config.evaluation.realisations
        assert row["n"] == benches * len(config.seeds)
    accuracy = {stage: row["mean"] for stage, row in results["accuracy"].items()}
    assert results["drop"] == {
        "native": accuracy["native_off"] - accuracy["on_bench"],
        "exact": accuracy["ideal"] - accuracy["ideal_on_bench"],
    }
    assert results["won_back"] == {
        "native": accuracy["noise_aware"] - accuracy["on_bench"],
        "exact": accuracy["noise_aware"] - accuracy["ideal_on_bench"],
    }
    assert 0 < results["efficiency"] < 1
    assert results["efficiency_db"] == pytest.approx(10 * math.log10(results["efficiency"]))
    assert results["efficiency"] == pytest.approx(np.mean(results["light"]["optics_by_seed"]))
    assert len(results["light"]["optics_by_seed"]) == len(config.seeds)
    assert 0 < results["light"]["encoding"] < 1
    bench = config.make_bench()
    assert results["light"]["devices"] == bench.transmission(config.model.stages)
    photons = bench.source.power * 10**-bench.source.optical_density * bench.detector.exposure
    assert results["photons_in"] == pytest.approx(photons * bench.source.photons_per_joule(), rel=1e-6)
    assert results["order"] == config.evaluation.order
    assert results["seeds"] == list(config.seeds)
    assert results["data"]["source"] == config.data.source


def test_results_of_digits_are_above_chance(digits):
    results = digits.card["results"]
    assert results["data"] == {"source": "digits", "train": 1438, "test": 359}
    # Ten classes, four epochs of the sixty.
    for stage, least in (("ideal", 0.8), ("native_off", 0.7), ("noise_aware", 0.5)):
        assert results["accuracy"][stage]["mean"] > least


def test_what_the_machine_did(finished):
    machine = finished.card["run"]
    assert set(machine) == {"wall_s", "peak_memory_bytes", "versions"}
    assert machine["wall_s"] == pytest.approx(finished.wall, abs=0.5)
    assert 1e8 < machine["peak_memory_bytes"] < 1e11
    assert set(machine["versions"]) == {"photonic_acdc", "python", "numpy", "torch", "cpu_capability"}
    assert machine["versions"]["torch"] == torch.__version__


def test_progress_is_told(finished):
    whats = {what for what, _, _ in finished.reports}
    for seed in finished.config.seeds:
        assert {f"train {stage}-seed{seed}" for stage in TRAINED} <= whats
        assert {f"judge {stage}-seed{seed}" for stage in ("on_bench", "ideal_on_bench", "noise_aware")} <= whats
    assert {"error budget", "accuracy against photons"} <= whats
    assert all(0 < done <= total for _, done, total in finished.reports)
    last = {what: (done, total) for what, done, total in finished.reports}
    assert all(done == total for done, total in last.values())


# --- numbers ---------------------------------------------------------------------------------------------------------


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()


def test_errors(finished):
    errors = opened(finished.folder / "errors.nc")
    config = finished.config
    assert set(errors.data_vars) == set(JUDGED)
    assert errors["seed"].values.tolist() == list(config.seeds)
    assert errors["realisation"].values.tolist() == list(range(config.evaluation.realisations))
    for stage, row in finished.card["results"]["accuracy"].items():
        values = errors[stage].values
        known = values[np.isfinite(values)]
        assert known.mean() == row["mean"]
        assert len(known) == row["n"]


def test_training_curves(finished):
    history = opened(finished.folder / "training.nc")
    assert history["stage"].values.tolist() == list(TRAINED)
    assert history["seed"].values.tolist() == list(finished.config.seeds)
    assert history["epoch"].values.tolist() == list(range(1, finished.config.training.epochs + 1))
    assert set(history.data_vars) == {"loss", "accuracy", "efficiency", "learning_rate"}
    assert np.isfinite(history["loss"].values).all()
    assert np.isnan(history["efficiency"].sel(stage="ideal").values).all()
    assert np.isfinite(history["efficiency"].sel(stage="noise_aware").values).all()


@pytest.mark.parametrize("name", ["errors.nc", "training.nc"])
def test_figures_have_names_units_and_an_origin(finished, name):
    dataset = opened(finished.folder / name)
    for variable in dataset.variables:
        attributes = dataset[variable].attrs
        assert attributes.get("long_name"), variable
        assert attributes.get("units"), variable
    assert {"title", "created", "version_photonic_acdc", "version_torch", "version_numpy"} <= set(dataset.attrs)


def test_parts_keep_every_evaluation(own):
    assert files(own.folder / "parts") == {
        *(f"{stage}-seed{seed}.nc" for stage in JUDGED for seed in (0, 1)),
        *(f"light-noise_aware-seed{seed}.json" for seed in (0, 1)),
        "budget-seed1.nc",
        "photons-seed1.nc",
        # Two weights that agree in their first six digits are two points.
        "front-0.1-seed1.nc",
        "front-0.10000001-seed1.nc",
    }


def stages_of(finished) -> Stages:
    training, test = load_split(finished.config)
    return Stages(finished.config, RunFolder.__new__(RunFolder), training, test, Reports())


def test_the_model_is_the_one_that_was_judged(finished):
    tensors, data = load_tensors(finished.folder / "model.safetensors")
    config = finished.config
    assert (data["stage"], data["seed"]) == ("noise_aware", config.seeds[0])
    assert RunConfig.from_dict(data["config"]) == config
    stages = stages_of(finished)
    model = stages.optical(config.seeds[0])
    model.load_state_dict(tensors)
    judged = monte_carlo(
        rebind(model.eval(), order=config.evaluation.order), stages.test, realisations=[1], seed=config.evaluation.seed
    )
    errors = opened(finished.folder / "errors.nc")["noise_aware"].sel(seed=config.seeds[0], realisation=1)
    assert float(judged["accuracy"][0]) == float(errors)


def test_masks_are_the_models_as_numbers_and_in_native_pixels(finished):
    config = finished.config
    bench, model = config.make_bench(), stages_of(finished).optical(config.seeds[0])
    model.load_state_dict(load_tensors(finished.folder / "model.safetensors")[0])
    commands = next(iter(model.children())).commands()
    with np.load(finished.folder / "masks.npz") as masks:
        assert len(masks.files) == 2 * config.model.stages == len(commands)
        for j, command in enumerate(commands):
            name = f"stage{j // 2}_mask{j % 2}"
            mask = masks[name]
            assert np.array_equal(mask, command.field().detach().numpy())
            assert mask.shape == bench.command_shapes[j % 2]
            assert np.allclose(np.abs(mask), 1)
            with Image.open(finished.folder / "masks" / f"{name}.png") as image:
                assert image.mode == "L"
                grey = np.asarray(image)
            native = bench.stage[2 * (j % 2)].macro_pixel
            assert native == 8
            # 256 levels a turn, each macro-pixel a block of equal native pixels.
            assert grey.shape == tuple(native * n for n in mask.shape)
            assert (grey.reshape(mask.shape[0], native, mask.shape[1], native).std((1, 3)) == 0).all()
            turns = grey[::native, ::native] / 256
            assert np.abs(np.angle(mask * np.exp(-2j * np.pi * turns))).max() <= np.pi / 256 * 1.001


def test_masks_of_panels_with_pixels_of_their_own(tmp_path):
    """The Fourier-plane panel of half the pitch: twice the mask, in blocks of half the size."""
    data = reference_bench((4, 4)).to_dict()
    data["stage"][2]["macro_pixel"] = 4
    bench = Bench.from_dict(data)
    model = to_optical(AFDF(16, 1, shape=(4, 4)), bench, generator=torch.Generator().manual_seed(0))
    (tmp_path / "masks").mkdir()
    write_masks(tmp_path, model, bench)
    assert bench.command_shapes == ((4, 4), (32, 32))
    for name, size, native in (("stage0_mask0", 4, 8), ("stage0_mask1", 32, 4)):
        with np.load(tmp_path / "masks.npz") as masks, Image.open(tmp_path / "masks" / f"{name}.png") as image:
            assert masks[name].shape == (size, size)
            assert image.size == (size * native, size * native)


def test_the_device_list_names_the_devices(finished):
    text = (finished.folder / "devices.md").read_text()
    bench = finished.config.make_bench()
    for device in (bench.source, bench.input.device, bench.stage[0].device, bench.stage[1].device, bench.detector):
        assert device.name in text


# --- the same again --------------------------------------------------------------------------------------------------


def test_the_configuration_that_is_left_is_the_runs_own(finished, monkeypatch):
    monkeypatch.chdir("/")
    assert RunConfig.load(finished.folder / "config.toml") == finished.config


def test_in_another_folder_everything_is_the_same(own, tmp_path):
    """Whatever the state of the caller's generators and threads, which are left as they were."""
    torch.manual_seed(12345)
    np.random.seed(12345)  # noqa: NPY002
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    used = set()
    try:
        again = run(own.config, tmp_path, report=lambda what, done, total: used.add(torch.get_num_threads()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert used == {1}
    assert torch.equal(torch.get_rng_state(), state)
    assert again["results"] == own.card["results"]
    other = tmp_path / own.config.name
    assert files(other) == files(own.folder)
    for name in sorted(files(other)):
        if Path(name).suffix in (".png", ".toml", ".md") or name.startswith("parts/light"):
            assert (other / name).read_bytes() == (own.folder / name).read_bytes(), name
        elif Path(name).suffix == ".nc":
            xr.testing.assert_identical(opened(other / name).drop_attrs(), opened(own.folder / name).drop_attrs())
        elif Path(name).suffix == ".safetensors":
            (first, said), (second, again) = load_tensors(other / name), load_tensors(own.folder / name)
            assert said == again
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first), name


def test_the_main_job_is_the_same_again(digits, tmp_path):
    assert run(digits.config, tmp_path)["results"] == digits.card["results"]


def test_a_second_time_nothing_is_computed(digits):
    before = times(digits.folder)
    again = done_run(digits.config, digits.folder.parent)
    assert again.card["results"] == digits.card["results"]
    assert again.reports == []
    assert again.wall < 0.7 * digits.wall
    after = times(digits.folder)
    assert after.keys() == before.keys()
    for name in before:
        if name.split("/")[0] in ("parts", "checkpoints", "config.toml"):
            assert after[name] == before[name], name


def test_what_is_lost_is_made_again_and_nothing_else(own, tmp_path):
    folder = tmp_path / own.config.name
    shutil.copytree(own.folder, folder)
    (folder / "parts" / "noise_aware-seed0.nc").unlink()
    (folder / "masks" / "stage0_mask0.png").unlink()
    (folder / "summary.json").unlink()
    before = times(folder / "parts")
    again = done_run(own.config, tmp_path)
    assert again.card["results"] == own.card["results"]
    assert {what for what, _, _ in again.reports} == {"judge noise_aware-seed0"}
    assert files(folder) == files(own.folder)
    after = times(folder / "parts")
    assert {name for name in after if after[name] != before.get(name)} == {"noise_aware-seed0.nc"}


def test_another_seed_is_another_run(own, tmp_path):
    other = run(own.config.replace(seeds=(2,)), tmp_path)
    assert other["results"]["efficiency"] != own.card["results"]["efficiency"]
    assert other["results"]["light"]["optics_by_seed"][0] not in own.card["results"]["light"]["optics_by_seed"]


# --- folders of others -----------------------------------------------------------------------------------------------


def test_another_configuration_is_refused_and_changes_nothing(digits):
    before = times(digits.folder)
    other = digits.config.replace(training=digits.config.training.replace(epochs=3))
    with pytest.raises(InputError, match=r"holds another run \(its config\.toml differs\): try: another name"):
        run(other, digits.folder.parent)
    assert times(digits.folder) == before


def test_other_data_behind_the_same_name_is_refused(own):
    path, before = Path(own.config.data.source), times(own.folder)
    kept = path.read_bytes()
    with np.load(path) as arrays:
        x, y = arrays["x"], arrays["y"]
    x[int(load_split(own.config)[1].index[0]), 0, 0] *= 0.9  # a pixel of one test image
    try:
        np.savez(path, x=x, y=y)
        with pytest.raises(InputError, match="holds another run"):
            run(own.config, own.folder.parent)
    finally:
        path.write_bytes(kept)
    assert times(own.folder) == before
    assert load_data(str(path)).classes == 3


def test_a_folder_that_is_no_run_is_refused_and_left(own, tmp_path):
    folder = tmp_path / own.config.name
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="exists and is no run of this program"):
        run(own.config, tmp_path)
    assert files(folder) == {"thesis.tex"}


@pytest.mark.parametrize("left", [[], [".config.part.toml"]], ids=["empty", "temporary"])
def test_a_folder_of_a_start_that_was_struck_is_taken_over(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("half of a confi")
    folder = RunFolder(tmp_path, "whole")
    assert (tmp_path / "config.toml").read_text() == "whole"
    assert files(tmp_path) == {"config.toml"}
    assert folder.checkpoint("ideal-seed0").parent.is_dir()


def test_nothing_is_written_where_the_run_does_not_fit(own, tmp_path):
    for change in (
        {"model": own.config.model.replace(modes=(40, 40))},
        {"model": own.config.model.replace(modes=(4, 5))},
        {"bench": own.config.bench.replace(drop=("*.nothing",))},
        {"data": own.config.data.replace(source="none.npz")},
    ):
        with pytest.raises(InputError):
            run(own.config.replace(**change), tmp_path / "runs")
    assert not list(tmp_path.iterdir())
