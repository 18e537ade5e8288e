"""Files are whole or absent, and tensors come back as they were."""

import json
import math
import os

import pytest
import torch
from safetensors.torch import save_file

from photonic_acdc.storage import atomic, load_tensors, save_tensors, write_json, write_text
from simulators.errors import InputError

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)


def example(dtype: torch.dtype, shape: tuple[int, ...] = (3, 4)) -> torch.Tensor:
    """Values that a conversion would spoil: the extremes of integers, all mantissa bits, nan, infinities and -0."""
    generator = torch.Generator().manual_seed(1)
    count = math.prod(shape)
    if dtype is torch.bool:
        flat = torch.rand(count, generator=generator) > 0.5
    elif dtype in INTEGERS:
        info = torch.iinfo(dtype)
        flat = torch.randint(0, 100, (count,), generator=generator).to(dtype)
        flat[:2] = torch.tensor([info.min, info.max], dtype=dtype)[: len(flat[:2])]
    elif dtype in COMPLEX:
        flat = torch.randn(count, dtype=dtype, generator=generator)
        special = torch.tensor([complex(-0.0, math.inf), complex(math.nan, -0.0)], dtype=dtype)
        flat[:2] = special[: len(flat[:2])]
    else:
        flat = torch.randn(count, dtype=torch.float64, generator=generator).to(dtype)
        flat[:4] = torch.tensor([math.nan, math.inf, -math.inf, -0.0], dtype=dtype)[: len(flat[:4])]
    return flat.reshape(shape)


def bits(tensor: torch.Tensor) -> bytes:
    plain = tensor.resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)


# --- tensors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (0, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS, *FLOATS, *COMPLEX], ids=str)
def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path, dtype, shape):
    tensor = example(dtype, shape)
    save_tensors(tmp_path / "a.safetensors", {"t": tensor})
    back, data = load_tensors(tmp_path / "a.safetensors")
    assert list(back) == ["t"]
    assert same(back["t"], tensor)
    assert data is None


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
def test_conjugate_views_keep_their_value(tmp_path, dtype):
    view = example(dtype).conj()
    assert view.is_conj()
    save_tensors(tmp_path / "a.safetensors", {"view": view, "base": example(dtype)})
    back, _ = load_tensors(tmp_path / "a.safetensors")
    assert same(back["view"], view.resolve_conj())
    assert not same(back["view"], back["base"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *COMPLEX], ids=str)
def test_negative_views_keep_their_value(tmp_path, dtype):
    views = {"contiguous": torch._neg_view(example(dtype))}
    if dtype.is_complex:
        views["imaginary part"] = example(dtype).conj().imag
        views["both"] = torch._neg_view(example(dtype)).conj()
    assert all(view.is_neg() for view in views.values())
    save_tensors(tmp_path / "a.safetensors", views)
    back, _ = load_tensors(tmp_path / "a.safetensors")
    for name, view in views.items():
        assert same(back[name], view.resolve_conj().resolve_neg()), name
        assert not back[name].is_neg()


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128], ids=str)
@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.T,
        lambda t: t[::2, 1:],
        lambda t: t[:, 0].expand(3),
        lambda t: t[1],
        lambda t: t.T.conj(),
        lambda t: t.as_strided((2, 3), (1, 1)),
    ],
    ids=["transpose", "strided", "column", "row", "adjoint", "overlapping"],
)
def test_views_of_any_layout_come_back(tmp_path, dtype, view):
    tensor = view(example(dtype))
    save_tensors(tmp_path / "a.safetensors", {"t": tensor})
    back, _ = load_tensors(tmp_path / "a.safetensors")
    assert same(back["t"], tensor)


def test_tensors_that_share_storage_come_back_apart(tmp_path):
    base = torch.arange(6.0)
    tensors = {"whole": base, "again": base, "half": base[:3], "rest": base[2:]}
    save_tensors(tmp_path / "a.safetensors", tensors)
    back, _ = load_tensors(tmp_path / "a.safetensors")
    assert all(same(back[name], tensor) for name, tensor in tensors.items())
    back["whole"][0] = -1
    assert back["again"][0] == back["half"][0] == 0


def test_parameters_are_stored_without_their_graph(tmp_path):
    parameter = torch.nn.Parameter(torch.randn(4))
    save_tensors(tmp_path / "a.safetensors", {"p": parameter, "twice": parameter * 2})
    back, _ = load_tensors(tmp_path / "a.safetensors")
    assert same(back["p"], parameter.detach())
    assert same(back["twice"], parameter.detach() * 2)
    assert not back["p"].requires_grad


def test_saving_changes_nothing(tmp_path):
    tensor = example(torch.complex128).conj()
    before = tensor.clone()
    save_tensors(tmp_path / "a.safetensors", {"t": tensor})
    assert same(tensor, before)
    assert tensor.is_conj()


def test_no_tensors_at_all(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {}, {"epoch": 0})
    assert load_tensors(tmp_path / "a.safetensors") == ({}, {"epoch": 0})


@pytest.mark.parametrize(
    "data",
    [
        None,
        0,
        'Größe µm \n "quoted" \\ \u2028',
        [0.1 + 0.2, 1e-320, -0.0, 2**70],
        {"a": {"b": [True, False, None, {}]}, "ключ": []},
    ],
    ids=["none", "zero", "text", "numbers", "nested"],
)
def test_data_comes_back(tmp_path, data):
    save_tensors(tmp_path / "a.safetensors", {"t": torch.zeros(1)}, data)
    _, back = load_tensors(tmp_path / "a.safetensors")
    assert back == data
    assert json.dumps(back) == json.dumps(data)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {"old": torch.zeros(9)}, "old")
    save_tensors(tmp_path / "a.safetensors", {"new": torch.ones(1)}, "new")
    back, data = load_tensors(tmp_path / "a.safetensors")
    assert (list(back), data) == (["new"], "new")


# --- files that are none of ours -------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors: got .*No such file"):
        load_tensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"json": "{}"}, {"dtypes": "{}"}], ids=str)
def test_safetensors_of_another_program(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"t": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(InputError, match=r"foreign\.safetensors: allowed: a file written by save_tensors"):
        load_tensors(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04." * 40, b"\xff" * 64], ids=["empty", "text", "pickle", "bytes"]
)
def test_no_safetensors_file(tmp_path, content):
    path = tmp_path / "foreign.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"foreign\.bin: got .+; allowed: a safetensors file"):
        load_tensors(path)


def test_a_file_cut_short(tmp_path):
    path = tmp_path / "cut.safetensors"
    save_tensors(path, {"t": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"cut\.safetensors.*allowed: a safetensors file"):
        load_tensors(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="allowed: a safetensors file"):
        load_tensors(tmp_path)


# --- whole or absent -------------------------------------------------------------------------------------------------


def files(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_atomic_puts_the_file_in_its_place(tmp_path):
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        # Beside its place, so that the rename cannot cross file systems; same suffix, which writers go by.
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        assert not (tmp_path / "a.txt").exists()
    assert files(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("old", [{}, {"a.txt": "old"}], ids=["absent", "present"])
def test_atomic_leaves_all_as_it_was_on_failure(tmp_path, error, old):
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match="half way"), atomic(tmp_path / "a.txt") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error("half way")
    assert files(tmp_path) == old


def test_atomic_that_writes_nothing_fails_and_keeps_the_old(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a.txt"):
        pass
    assert files(tmp_path) == {"a.txt": "old"}


def test_atomic_leaves_no_temporary_where_the_rename_fails(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")

    def refuse(source, target):
        raise PermissionError("no rename")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match="no rename"):
        write_text(tmp_path / "a.txt", "new")
    assert files(tmp_path) == {"a.txt": "old"}


def test_atomic_syncs_before_it_renames(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), replace(a, b))[1])
    write_text(tmp_path / "a.txt", "new")
    assert order == ["sync", "rename"]


def test_a_left_temporary_does_not_disturb(tmp_path):
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("killed here")
        left = temporary
    left.write_text("half of a fi")
    write_text(tmp_path / "a.txt", "new")
    assert files(tmp_path) == {"a.txt": "new"}


def test_save_tensors_that_fails_half_way_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"t": torch.ones(3)}, "old")

    def half(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise RuntimeError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "write_bytes", half)
        with pytest.raises(RuntimeError, match="disk full"):
            save_tensors(path, {"t": torch.zeros(3)}, "new")
    back, data = load_tensors(path)
    assert data == "old"
    assert torch.equal(back["t"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_json_that_is_none_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"π": 1})
    old = files(tmp_path)
    assert "π" in old["a.json"]
    for bad in ({"x": math.nan}, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(tmp_path / "a.json", bad)
    assert files(tmp_path) == old
