"""Files that are whole or absent, and tensors without pickle.

Everything is written to a temporary name beside its place, flushed to disk and renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from simulators.errors import InputError

_JSON, _DTYPES = "json", "dtypes"
_COMPLEX = {"complex64": torch.complex64, "complex128": torch.complex128}


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path to write; on success it is synced and renamed to ``path``, on failure removed."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows syncs only what it may write
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, data: Any) -> None:
    """Write readable JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], data: Any = None) -> None:
    """Write tensors, and any JSON-able ``data`` beside them, into one safetensors file, whole or not at all.

    Conjugate and negative views are resolved, complex tensors stored as pairs of reals, so that every dtype and view
    comes back as it is. Shared storage is stored twice.

    Args:
        path: of the file.
        tensors: by name.
        data: kept as JSON in the file's metadata.

    Source: the safetensors format supports no complex128 and stores a conjugate view un-conjugated.
    """
    stored, dtypes = {}, {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().resolve_conj().resolve_neg()
        if plain.is_complex():
            dtypes[name] = str(plain.dtype).removeprefix("torch.")
            plain = torch.view_as_real(plain)
        stored[name] = plain.contiguous().clone()
    metadata = {_JSON: json.dumps(data), _DTYPES: json.dumps(dtypes)}
    with atomic(path) as temporary:
        # Not save_file: it writes to a random name of its own first, which a kill would leave behind.
        temporary.write_bytes(save(stored, metadata=metadata))


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Tensors and data of a file written by :func:`save_tensors`.

    Raises:
        InputError: no such file, or one that :func:`save_tensors` did not write.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if not {_JSON, _DTYPES} <= set(metadata):
                raise InputError(f"file {path}", allowed="a file written by save_tensors")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"file {path}", value=str(error), allowed="a safetensors file") from None
    for name, dtype in json.loads(metadata[_DTYPES]).items():
        tensors[name] = torch.view_as_complex(tensors[name]).to(_COMPLEX[dtype])
    return tensors, json.loads(metadata[_JSON])
