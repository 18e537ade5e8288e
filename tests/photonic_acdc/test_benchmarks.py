"""The benchmarks' machinery, and small pieces of the two on regression and accuracy."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from benchmarks import __main__ as runner
from benchmarks import layers_accuracy, regression, results, synthesis_speed
from benchmarks.regression import Problem, Series, Settings, build, cell
from benchmarks.timing import row
from photonic_acdc import layers
from photonic_acdc.plots.canvas import new_figure
from simulators import InputError


@pytest.fixture(autouse=True)
def _one_thread():
    """As the benchmarks set it; what comes after finds it as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


KEYS = {"case", "measured", "target", "unit", "met"}


@pytest.mark.parametrize(
    ("measured", "bounds", "target", "met"),
    [
        (1.0, {}, None, None),
        (1.0, {"target": 1.0}, 1.0, True),
        (1.1, {"target": 1.0}, 1.0, False),
        (1.0, {"at_least": 1.0}, 1.0, True),
        (0.9, {"at_least": 1.0}, 1.0, False),
        (float("nan"), {"target": 1.0}, 1.0, False),
        (float("nan"), {"at_least": 1.0}, 1.0, False),
    ],
)
def test_a_row_is_judged_by_its_bound(measured, bounds, target, met):
    made = row("case", measured, "x", **bounds)
    assert set(made) == KEYS
    assert made["target"] == target
    assert made["met"] is met


def test_a_row_has_one_bound_and_plain_numbers():
    with pytest.raises(InputError, match="target or at_least"):
        row("case", 1, "x", 2, at_least=0)
    made = row("case", np.float64(2), "x", at_least=4)
    assert json.loads(json.dumps(made)) == {"case": "case", "measured": 2.0, "target": 4, "unit": "x", "met": False}


@pytest.mark.parametrize("bound", ["target", "at_least"])
@pytest.mark.parametrize("measured", [1.0, 3.0])
def test_the_table_shows_the_side_of_the_bound(bound, measured):
    made = row("a case", measured, "x", **{bound: 2.0})
    sign = {"target": "≤", "at_least": "≥"}[bound]
    assert f"target {sign} 2 {'met' if made['met'] else 'NOT met'}" in runner.line(made)
    assert "target" not in runner.line(row("a case", measured, "x"))
    assert "target 2 met" in runner.line(row("on the bound", 2.0, "x", **{bound: 2.0}))


class Fake:
    """Stands for a benchmark module."""

    @staticmethod
    def rows(*, quick=False, output=None):
        sys.stdout.write("chatter of a library\n")
        return [row(f"quick={quick} output={output}", 1.0, "x", 2.0)]


class Plain:
    """A benchmark that makes no dataset."""

    @staticmethod
    def rows(*, quick=False):
        return [row(f"plain quick={quick}", 1.0, "x")]


def test_json_prints_nothing_but_rows(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(runner.importlib, "import_module", lambda name: Fake)
    assert runner.main(["domains", "--quick", "--json", "--output", str(tmp_path / "new")]) == 0
    shown = capsys.readouterr()
    (made,) = json.loads(shown.out)
    assert set(made) == KEYS
    assert made["case"] == f"quick=True output={tmp_path / 'new'}"
    assert "chatter" in shown.err


def test_without_a_name_all_run_with_or_without_output(monkeypatch, capsys):
    called = []

    def load(name):
        called.append(name.removeprefix("benchmarks."))
        return Plain if "propagation" in name else Fake

    monkeypatch.setattr(runner.importlib, "import_module", load)
    assert runner.main([]) == 0
    assert tuple(called) == runner.NAMES
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("plain quick=False")
    assert table[1].startswith("quick=False output=None")
    assert len(table) == len(runner.NAMES)


@pytest.mark.parametrize("arguments", [["nothing"], ["domains", "--output", __file__]])
def test_bad_arguments_end_with_code_2(arguments):
    with pytest.raises(SystemExit) as ended:
        runner.main(arguments)
    assert ended.value.code == 2


def test_bad_input_is_a_sentence_and_not_a_traceback(monkeypatch, capsys):
    class Broken:
        @staticmethod
        def rows(*, quick=False):
            raise InputError("package", remedy="pip install package")

    monkeypatch.setattr(runner.importlib, "import_module", lambda name: Broken)
    with pytest.raises(SystemExit) as ended:
        runner.main(["propagation"])
    assert ended.value.code == 2
    assert "try: pip install package" in capsys.readouterr().err


def test_every_named_benchmark_has_rows():
    for name in runner.NAMES:
        assert callable(runner.importlib.import_module(f"benchmarks.{name}").rows)


def test_a_kept_piece_is_computed_once(tmp_path, capsys):
    calls = []

    def compute():
        calls.append(1)
        return {"value": len(calls)}

    settings = {"stages": (1, 2), "rate": 0.1}
    first = results.Kept(tmp_path, "bench", settings)
    assert first("K=1", compute) == {"value": 1}
    assert first("K=2", compute) == {"value": 2}
    again = results.Kept(tmp_path, "bench", settings)
    assert again("K=1", compute) == {"value": 1}
    assert len(calls) == 2
    assert sorted(path.name for path in (tmp_path / "parts" / "bench").iterdir()) == [
        "K=1.json",
        "K=2.json",
        "settings.json",
    ]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("bench: K=") == 2


def test_an_interrupted_piece_leaves_nothing(tmp_path):
    kept = results.Kept(tmp_path, "bench", {})

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept("piece", interrupted)
    assert kept("piece", lambda: 7) == 7


def test_pieces_of_other_settings_are_refused(tmp_path):
    results.Kept(tmp_path, "bench", {"seeds": 3, "steps": 10})
    with pytest.raises(InputError, match=r"other settings \(seeds\).*another --output"):
        results.Kept(tmp_path, "bench", {"seeds": 4, "steps": 10})
    results.Kept(tmp_path, "another", {"seeds": 4, "steps": 10})


def test_without_a_directory_nothing_is_kept_or_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = results.Kept(None, "bench", {})
    assert [kept("piece", lambda: 1), kept("piece", lambda: 2)] == [1, 2]
    results.publish(None, "bench", xr.Dataset(), lambda data: new_figure())
    assert not list(tmp_path.iterdir())


def test_labels_do_not_cover_each_other_or_the_points():
    x, y = [1.0, 1.02, 1.04, 1.06], [2.0, 2.01, 2.0, 2.02]
    figure = new_figure()
    ax = figure.subplots()
    ax.plot([0, *x, 2], [0, *y, 3], "o")
    figure.draw_without_rendering()
    results.label_points(ax, [f"layer {i}" for i in range(4)], x, y, ["black"] * 4)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    points = ax.transData.transform(np.column_stack([x, y]))
    assert [text.get_text() for text in ax.texts] == [f"layer {i}" for i in range(4)]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(*point) for point in points)
        assert ax.get_window_extent().containsx(box.x0)
        assert ax.get_window_extent().containsx(box.x1)


@pytest.mark.parametrize("complex_", [False, True])
def test_the_error_of_a_matrix_is_that_of_its_rows(complex_):
    generator = torch.Generator().manual_seed(3)
    problem = Problem(6, 200, generator)
    matrix = torch.rand(6, 6, dtype=torch.complex128 if complex_ else torch.float64, generator=generator)
    direct = (problem.x.to(matrix.dtype) @ matrix - problem.y).abs().square().mean()
    assert problem.mse(matrix) == pytest.approx(float(direct), rel=1e-10)
    assert problem.mse(torch.zeros(6, 6)) == pytest.approx(problem.zero, rel=1e-10)
    assert problem.mse(problem.solution) == pytest.approx(problem.floor, rel=1e-10)
    expected = (matrix - problem.solution).abs().square().sum() / 6
    assert float(problem.frobenius(matrix)) == pytest.approx(float(expected), rel=1e-12)


def test_the_noise_has_its_variance():
    problem = Problem(8, 4000, torch.Generator().manual_seed(0))
    assert problem.floor == pytest.approx(1e-4, rel=0.05)


def test_the_starts_are_what_their_names_say():
    def made(series):
        return build(series, 64, 16, torch.Generator().manual_seed(0))

    for series, mean in ((Series("ACDC", "identity", "Gram"), 1.0), (Series("ACDC", "normal", "Gram"), 0.0)):
        layer = made(series)
        assert isinstance(layer, layers.ACDC)
        assert layer.bias is None
        assert layer.permutations is None
        for diagonal in (layer.a.detach(), layer.d.detach()):
            assert float(diagonal.mean()) == pytest.approx(mean, abs=0.01)
            assert float(diagonal.std()) == pytest.approx(regression.SIGMA, rel=0.1)
    unitary = made(Series("AFDF", "random_phase", "Gram")).matrix().detach()
    assert (unitary @ unitary.mH - torch.eye(64)).abs().max() < 1e-12
    near = made(Series("AFDF", "identity", "Gram")).matrix().detach()
    assert (near @ near.mH - torch.eye(64)).abs().max() > 0.1
    for diagonal in made(Series("AFDF", "normal", "Gram")).diagonals():
        assert float(diagonal.detach().mean().abs()) < 0.01
        assert float(diagonal.detach().abs().square().mean()) == pytest.approx(regression.SIGMA**2, rel=0.1)
        assert float(diagonal.detach().real.std()) == pytest.approx(regression.SIGMA / 2**0.5, rel=0.1)
    assert made(Series("ACDC", "identity", "Gram", permute=True)).permutations is not None


SMALL = Settings(features=4, rows=250, stages=(1, 4), seeds=(0,), steps=60, batch=50, iterations=400)


def test_deep_light_reaches_the_noise_and_a_zero_start_does_not_leave_zero():
    problem = Problem(4, 250, torch.Generator().manual_seed(0))
    light = cell(Series("AFDF", "random_phase", "Frobenius"), 4, 0, SMALL)
    assert light["mse"] < 1.1 * problem.floor
    read = cell(Series("Re AFDF", "random_phase", "Frobenius"), 2, 0, SMALL)
    assert read["mse"] < 0.5 * cell(Series("AFDF", "random_phase", "Frobenius"), 2, 0, SMALL)["mse"]
    dead = cell(Series("ACDC", "normal", "mini-batch"), 8, 0, SMALL)
    assert dead["mse"] == pytest.approx(problem.zero, rel=0.02)
    near = cell(Series("ACDC", "identity", "mini-batch"), 8, 0, SMALL)
    assert near["mse"] < 0.5 * problem.zero


@pytest.mark.parametrize("series", regression.SERIES, ids=lambda s: s.name)
def test_a_cell_is_reproducible_and_leaves_the_global_generator_alone(series):
    settings = dataclasses.replace(SMALL, steps=5, iterations=5)
    state = torch.get_rng_state()
    first, second = (cell(series, 2, 1, settings)["mse"] for _ in range(2))
    # Not to the last bit: how an FFT rounds depends on where its input lies in memory.
    assert first == pytest.approx(second, rel=1e-5)
    assert first != pytest.approx(cell(series, 2, 2, settings)["mse"], rel=1e-3)
    assert torch.equal(torch.get_rng_state(), state)


def test_regression_makes_rows_a_dataset_and_a_figure(tmp_path, monkeypatch):
    settings = Settings(features=8, rows=250, stages=(1, 4, 8), seeds=(0, 1), steps=4, batch=50, iterations=4)
    monkeypatch.setattr(regression, "QUICK", settings)
    found = regression.rows(quick=True, output=tmp_path)
    assert all(set(made) == KEYS for made in found)
    assert sum(made["target"] is not None for made in found) == 4
    assert len({made["case"] for made in found}) == len(found)
    with xr.open_dataset(tmp_path / "regression.nc", engine="h5netcdf") as data:
        assert data["mse"].dims == ("series", "stages", "seed")
        assert data["mse"].shape == (len(regression.SERIES), 3, 2)
        assert np.isfinite(data["mse"]).all()
        assert (data["mse"] >= data["floor"]).all()
        assert set(data["optimiser"].values) == {"Adam", "L-BFGS"}
        assert {"layer", "init", "permute", "objective"} <= set(data.coords)
    assert (tmp_path / "regression.png").stat().st_size > 10_000
    monkeypatch.setattr(regression, "cell", lambda *_: pytest.fail("computed again"))
    assert regression.rows(quick=True, output=tmp_path) == found


@pytest.mark.parametrize("inputs", [40, 64])
@pytest.mark.parametrize("name", layers_accuracy.LAYERS)
def test_every_hidden_layer_learns(name, inputs):
    torch.manual_seed(0)
    model = layers_accuracy.network(layers_accuracy.LAYERS[name][1], inputs, 10)
    logits = model(torch.randn(5, inputs))
    assert logits.shape == (5, 10)
    assert logits.dtype == torch.float32
    nn.functional.cross_entropy(logits, torch.arange(5)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_every_layer_of_the_library_takes_part():
    torch.manual_seed(0)
    models = [layers_accuracy.network(make, 64, 10) for _, make in layers_accuracy.LAYERS.values()]
    used = {type(module) for model in models for module in model.modules()}
    everything = {getattr(layers, name) for name in layers.__all__}
    structured = {c for c in everything if isinstance(c, type) and issubclass(c, layers.StructuredLinear)}
    assert structured - {layers.StructuredLinear} <= used
    assert {layers.CReLU, layers.ModReLU, layers.Intensity, layers.Real} <= used


@pytest.mark.parametrize(
    ("name", "numbers"), [("softmax", 650), ("dense", 4810), ("ACDC 4", 1418), ("AFDF 4", 1674), ("AFDF 1 bias", 1034)]
)
def test_parameters_are_counted(name, numbers):
    settings = layers_accuracy.Settings(seeds=1, epochs=1, rows=128)
    assert layers_accuracy.run(name, "digits", 0, settings)["parameters"] == numbers


def test_the_parts_are_apart_and_scaled_by_the_training_part():
    settings = layers_accuracy.Settings()
    for source, count in (("digits", 1797), ("mnist1d", 5000)):
        training, test = layers_accuracy.parts(source, settings)
        assert len(training) + len(test) == count
        assert not set(training.index.tolist()) & set(test.index.tolist())
        assert abs(float(training.x.mean())) < 1e-4
        assert float(training.x.std()) == pytest.approx(1, abs=1e-4)
        assert float(test.x.std()) != float(training.x.std())


def test_training_classifies_and_is_reproducible():
    settings = layers_accuracy.Settings(epochs=8)
    first = layers_accuracy.run("ACDC 1", "digits", 0, settings)
    assert first["accuracy"] > 0.8
    assert layers_accuracy.run("ACDC 1", "digits", 0, settings)["accuracy"] == first["accuracy"]


def test_accuracy_makes_rows_a_dataset_and_a_figure(tmp_path, monkeypatch):
    tiny = layers_accuracy.Settings(seeds=2, epochs=1, batch=64, rows=128)
    names = ("softmax", "LowRank 1", "ACDC 1", "AFDF 1")
    monkeypatch.setattr(layers_accuracy, "QUICK", tiny)
    monkeypatch.setattr(layers_accuracy, "LAYERS", {name: layers_accuracy.LAYERS[name] for name in names})
    found = layers_accuracy.rows(quick=True, output=tmp_path)
    assert all(set(made) == KEYS for made in found)
    assert len({made["case"] for made in found}) == len(found)
    with xr.open_dataset(tmp_path / "layers_accuracy.nc", engine="h5netcdf") as data:
        assert data["accuracy"].shape == (2, len(names), 2)
        assert ((data["accuracy"] > 0) & (data["accuracy"] < 1)).all()
        assert data["front"].sel(layer="softmax").all()
        fewest = data["parameters"].argmin("layer")
        assert (data["layer"][fewest] == "softmax").all()
    assert (tmp_path / "layers_accuracy.png").stat().st_size > 10_000
    by_case = {made["case"]: made for made in found}
    on_front = by_case["mnist1d: ACDC and AFDF on the front"]
    assert on_front["target"] == 1
    assert on_front["met"] is (on_front["measured"] >= 1)


def test_synthesis_is_timed_and_judged():
    found = [
        *synthesis_speed._by_size((8, 16), beside=16),
        *synthesis_speed._fit(2, n=4),
        *synthesis_speed._other_methods(1),
        *synthesis_speed._batch(1, count=2, n=4),
    ]
    assert all(set(made) == KEYS for made in found)
    assert len({made["case"] for made in found}) == len(found)
    errors = [made for made in found if "error" in made["case"]]
    assert len(errors) == 6
    assert all(made["met"] and made["measured"] > 0 for made in errors)
    (steps,) = (made["measured"] for made in found if made["case"].endswith("steps"))
    assert 3 < steps < 200


def test_a_peer_that_is_not_installed_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "phaseshift", None)
    assert synthesis_speed._beside_phaseshift(4) == []
    assert 'pip install "photonic-acdc[peers]"' in capsys.readouterr().err


def test_phaseshift_finds_as_many_masks_of_the_same_matrix():
    if synthesis_speed._peer() is None:
        pytest.skip("phaseshift is not installed")
    ratio, ours, theirs = synthesis_speed._beside_phaseshift(8)
    assert ratio["target"] is None  # judged at N = 128 alone
    assert ratio["measured"] > 0
    assert ours["met"]
    assert theirs["measured"] < 1e-12
