"""The corpora of the benchmarks, and the two benchmarks that train networks on them, in small."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import corpora, domains, fc_replacement
from benchmarks.corpora import docstrings, read_ts, time_series, windows
from photonic_acdc.data import load_data
from photonic_acdc.layers.compare import count
from simulators.errors import InputError

with_aeon = pytest.mark.skipif(importlib.util.find_spec("aeon") is None, reason="aeon's files are not here")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- time series -----------------------------------------------------------------------------------------------------


@with_aeon
def test_japanese_vowels():
    training, test = time_series("JapaneseVowels")
    assert (training.x.shape, test.x.shape) == ((270, 12, 29), (370, 12, 29))
    assert training.y.bincount().tolist() == [30] * 9
    assert test.y.bincount().tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert (training.steps.min(), training.steps.max()) == (7, 26)
    assert (test.steps.min(), test.steps.max()) == (7, 29)
    assert training.x[0, 0, :3].tolist() == pytest.approx([1.860936, 1.891651, 1.939205])
    assert training.x[0, 1, 0].item() == pytest.approx(-0.207383)
    for part in (training, test):
        beyond = torch.arange(29) >= part.steps[:, None, None]
        assert (part.x * beyond == 0).all()
        last = part.x.gather(2, (part.steps - 1)[:, None, None].expand(-1, 12, 1))
        assert (last != 0).all()


@with_aeon
def test_osu_leaf():
    training, test = time_series("OSULeaf")
    assert (training.x.shape, test.x.shape) == ((200, 1, 427), (242, 1, 427))
    assert training.y.bincount().tolist() == [34, 29, 33, 53, 36, 15]
    assert (training.steps == 427).all()
    # Published standardised, case by case.
    assert training.x.mean(2).abs().max() < 1e-4
    assert (training.x.std(2) - 1).abs().max() < 1e-2


@with_aeon
def test_aeon_is_read_and_not_imported():
    time_series("OSULeaf")
    assert "aeon" not in sys.modules


def test_without_aeon(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package aeon: try: pip install --no-deps aeon"):
        time_series("OSULeaf")


@with_aeon
def test_unknown_series():
    with pytest.raises(InputError, match=r"time series: got 'Leaves'; allowed: one of .*JapaneseVowels.*OSULeaf"):
        time_series("Leaves")


HEADER = (
    "#made up\n@problemName own\n@timeStamps false\n@univariate false\n@dimensions 2\n@classLabel true b a\n@data\n"
)


def test_read_ts(tmp_path):
    path = tmp_path / "own.ts"
    path.write_text(HEADER + "1,2,3:4,5,6:a\n\n-1e1,.5:0,7:b\n")
    series, labels = read_ts(path)
    assert [one.tolist() for one in series] == [[[1, 2, 3], [4, 5, 6]], [[-10, 0.5], [0, 7]]]
    assert series[0].dtype == np.float32
    assert labels == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, r"own\.ts: got no cases"),
        (HEADER + "1,2:3,4:c\n", r"own\.ts: line 8: got label 'c'; allowed: one of \['b', 'a'\]"),
        (HEADER + "1,2:3,4,5:a\n", r"line 8: allowed: numbers, in channels of one length"),
        (HEADER + "1,2:a\n", r"line 8: got 1 channels; allowed: 2"),
        (HEADER + "1,2:3,4:a\n\n1,2:3,4:5,6:a\n", r"line 10: got 3 channels; allowed: 2"),
        (HEADER + "a\n", r"line 8: got 0 channels; allowed: 2"),
        (HEADER + "1,x:3,4:a\n", r"line 8: allowed: numbers"),
        (HEADER.replace("@timeStamps false", "@timeStamps true"), r"line 3: got @timeStamps true; allowed: @time"),
        (HEADER.replace("@classLabel true b a\n", "") + "1:2:a\n", r"line 7: got label 'a'; allowed: one of None"),
    ],
    ids=["empty", "label", "lengths", "few", "many", "bare label", "no number", "time stamps", "no classes"],
)
def test_read_ts_refuses(tmp_path, text, message):
    path = tmp_path / "own.ts"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_ts(path)


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    """Twenty modules m00 … m19 with two docstrings each, and files that are left out."""
    for i in range(20):
        (tmp_path / f"m{i:02}.py").write_text(
            f'"""Module {i}."""\nclass A:\n    def f(self):\n        """\n        Métier.\n        """\n',
            encoding="utf-8",
        )
    (tmp_path / "a_bare.py").write_text("x = 1\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "m.py").write_text('"""Of a test."""\n')
    return tmp_path


def test_docstrings_are_split_by_module_in_the_order_of_names(library):
    def text(part) -> str:
        return bytes(part.tolist()).decode()

    found = docstrings(library)
    one = "Module {}.\n\nMétier.\n\n"
    assert text(found.validation) == one.format(4) + one.format(14)
    assert text(found.test) == one.format(9) + one.format(19)
    assert text(found.training) == "".join(one.format(i) for i in range(20) if i % 10 not in (4, 9))
    assert found.training.dtype == torch.uint8


def test_too_few_docstrings(library):
    for i in range(9, 20):
        (library / f"m{i:02}.py").unlink()
    with pytest.raises(InputError, match=r"docstrings of .*: got 9 modules; allowed: at least 10"):
        docstrings(library)


def test_modules_of_the_standard_library_are_found():
    names = {path.name for path in corpora.modules()}
    assert {"argparse.py", "ast.py", "statistics.py"} <= names
    assert "turtledemo" not in {path.parent.name for path in corpora.modules()}


def test_windows():
    x, y = windows(torch.arange(7, dtype=torch.uint8), 3)
    assert x.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert y.tolist() == [3, 4, 5, 6]
    with pytest.raises(InputError, match=r"windows: text: got 3 bytes; allowed: more than the context of 3"):
        windows(torch.zeros(3, dtype=torch.uint8), 3)


# --- training --------------------------------------------------------------------------------------------------------


def test_the_conv_network_holds_its_parameters_in_the_two_dense_layers():
    replaced = fc_replacement.METHODS["dense"][0]()
    model = fc_replacement.network(replaced)
    assert count(replaced) == 2 * 1024 * 1025
    assert count(model) - count(replaced) == 8 * 26 + 64 * 201 + 10 * 1025
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_every_method_has_a_twentieth_of_the_parameters_at_most():
    sizes = {name: count(fc_replacement.network(make())) for name, (make, _) in fc_replacement.METHODS.items()}
    assert all(20 * size <= sizes["dense"] for name, size in sizes.items() if name != "dense")
    ours = sizes["ACDC"] - sizes["none"]
    assert ours == 12 * 3 * 1024
    for rival, least in {"low rank": 0.9, "block-circulant": 0.9, "adaptive Fastfood": 0.6}.items():
        assert least < (sizes[rival] - sizes["none"]) / ours < 1.1, rival


def test_shifted_digits_are_shifted_digits():
    data = load_data("mnist5k").rows(slice(0, None, 50))
    generator = torch.Generator().manual_seed(0)
    found = list(fc_replacement.shifted_digits(data, 2, generator))
    assert len(found) == 2 * (100 // fc_replacement.BATCH)
    assert found[0][0].shape == (fc_replacement.BATCH, 1, 28, 28)
    images = data.x.view(-1, 28, 28) / 255
    shifts = {
        (down, right): nn.functional.pad(images, (2 + right, 2 - right, 2 + down, 2 - down))[:, 2:30, 2:30]
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    everything = torch.stack(list(shifts.values()))  # [25, n, 28, 28]
    seen = set()
    for batch in found:
        for x, y in zip(*batch, strict=True):
            hits = (everything == x[0]).all((2, 3))
            assert hits.any()
            seen |= set(hits.any(1).nonzero().flatten().tolist())
            assert y in data.y[hits.any(0)]
    assert len(seen) == 25
    again = next(iter(fc_replacement.shifted_digits(data, 1, torch.Generator().manual_seed(0))))
    assert torch.equal(again[0], found[0][0])


def test_outlines_begin_anywhere():
    x = torch.randn(50, 9)
    moved = domains.begun_anywhere(x, torch.Generator().manual_seed(0))
    rolls = [[torch.equal(one.roll(-k), other) for k in range(9)] for one, other in zip(x, moved, strict=True)]
    assert all(sum(found) == 1 for found in rolls)
    assert len({found.index(True) for found in rolls}) > 5


def test_learn_gives_the_replaced_part_its_own_rate():
    """Adam's first steps have the length of the learning rate, whatever the gradient."""
    torch.manual_seed(0)
    replaced, rest = nn.Linear(4, 4), nn.Linear(4, 3)
    model = nn.Sequential(replaced, rest)
    before = [layer.weight.detach().clone() for layer in (replaced, rest)]
    batch = torch.randn(8, 4), torch.randint(3, (8,))
    fc_replacement.learn(model, replaced, [batch] * 5, 2, rate=1e-3, factor=7.0)
    moved = [(layer.weight - old).abs().median().item() for layer, old in zip((replaced, rest), before, strict=True)]
    assert moved[0] / moved[1] == pytest.approx(7, rel=0.02)
    assert not model.training


@with_aeon
def test_held_out_cases_are_training_cases():
    (x, _), (test, _) = domains.DOMAINS["speakers"].parts(False)
    (kept, _), (aside, labels) = domains.DOMAINS["speakers"].parts(True)
    assert (len(x), len(test), len(kept), len(aside)) == (270, 370, 216, 54)
    assert labels.bincount().tolist() == [6] * 9
    every = {row.tobytes() for row in x.numpy()}
    assert {row.tobytes() for row in torch.cat([kept, aside]).numpy()} == every
    assert not every & {row.tobytes() for row in test.numpy()}
    # Standardised by the training part, padding left at zero.
    values = x.view(270, 12, 29).transpose(1, 2)
    inside = values[values.abs().sum(2) > 0]
    assert inside.mean(0).abs().max() < 1e-5
    assert (inside.std(0) - 1).abs().max() < 1e-5


@with_aeon
@pytest.mark.parametrize("method", domains.METHODS)
def test_a_network_of_every_method_learns_and_is_reproducible(method):
    state = torch.get_rng_state()
    first, again = (domains.run("speakers", method, 0, share=0.05) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
    assert first["accuracy"] > 0.6  # by chance 0.11, the largest class 0.24
    # Two layers of N = 512, K = 4: three real diagonals a stage; six with phases, moduli and a complex bias; rank 8.
    sizes = {"dense": 349 + 513, "ACDC": 2 * 4 * 3, "AFDF": 2 * 4 * 6, "Hybrid": 2 * 4 * 3}
    extra = 8 * (348 + 512 + 512 + 512) if method == "Hybrid" else 0
    assert first["replaced"] == 512 * sizes[method] + extra


@with_aeon
def test_domains_rows_dataset_and_figure(tmp_path, monkeypatch):
    import xarray as xr

    speakers = domains.DOMAINS["speakers"]
    monkeypatch.setattr(domains, "DOMAINS", {"speakers": speakers})
    found = domains.rows(quick=True, output=tmp_path)
    with xr.open_dataset(tmp_path / "domains.nc") as dataset:
        assert dict(dataset.sizes) == {"domain": 1, "layer": 4, "seed": 1}
        accuracy = dataset["accuracy"].sel(domain="speakers", layer="ACDC").item()
        ratio = (dataset["replaced"].sel(layer="dense") / dataset["replaced"].sel(layer="ACDC")).item()
    cases = {row["case"]: row for row in found}
    assert cases["speakers, ACDC: test accuracy"]["measured"] == pytest.approx(100 * accuracy)
    fewer = cases["speakers, ACDC: fewer parameters in the layers"]
    assert (fewer["measured"], fewer["target"], fewer["met"]) == (pytest.approx(ratio), 5, True)
    assert sum(row["target"] is not None for row in found) == 3
    assert (tmp_path / "domains.png").stat().st_size > 10_000


def test_fc_replacement_rows_dataset_and_figure(tmp_path, monkeypatch):
    import xarray as xr

    few = {name: fc_replacement.METHODS[name] for name in ("dense", "ACDC", "none")}
    monkeypatch.setattr(fc_replacement, "METHODS", few)
    found = fc_replacement.rows(quick=True, output=tmp_path)
    with xr.open_dataset(tmp_path / "fc_replacement.nc") as dataset:
        error = {name: dataset["error"].sel(layer=name).item() for name in few}
    cases = {row["case"]: row for row in found}
    assert cases["MNIST 5k, ACDC, 12 stages: test error"]["measured"] == pytest.approx(error["ACDC"])
    more = cases["MNIST 5k, ACDC, 12 stages: error above dense"]
    assert more["measured"] == pytest.approx(error["ACDC"] - error["dense"])
    assert more["target"] is None  # not judged in small
    fewer = cases["MNIST 5k, ACDC, 12 stages: fewer parameters in the network"]
    assert (fewer["target"], fewer["met"]) == (20, True)
    assert fewer["measured"] == pytest.approx(2122522 / 60186)
    assert (tmp_path / "fc_replacement.png").stat().st_size > 10_000


def test_the_target_for_the_error_is_judged_at_full_size():
    runs = {
        "dense": [{"error": 2.0, "loss": 0.1, "parameters": 2000, "replaced": 1900, "seconds": 1.0}] * 2,
        "ACDC": [{"error": e, "loss": 0.2, "parameters": 90, "replaced": 10, "seconds": 1.0} for e in (2.5, 2.8)],
    }
    dataset = fc_replacement.summarise(runs, {"seeds": 2, "training": 10})
    cases = {row["case"]: row for row in fc_replacement.judge(dataset, full=True)}
    more = cases["MNIST 5k, ACDC, 12 stages: error above dense"]
    assert (more["measured"], more["target"], more["met"]) == (pytest.approx(0.65), 0.7, True)
    assert cases["MNIST 5k, ACDC, 12 stages: fewer parameters in the network"]["met"]
