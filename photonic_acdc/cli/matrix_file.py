"""A matrix in a file: numbers, and nothing in it is executed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from simulators.errors import InputError

#: Bytes of an array in an archive, at most: a few kilobytes on disk may be any number of them in memory.
_LARGEST = 2**31


def read_matrix(path: Path) -> np.ndarray:
    """One matrix ``[out, in]``: .npy, .npz with one array, or rows of real numbers in .csv or .txt.

    Raises:
        InputError: no such file, one that is cut short or holds anything else; nothing in it is executed.
    """
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_text, ".txt": _read_text}
    suffix = path.suffix.lower()
    if suffix not in readers:
        allowed = "a matrix in .npy, .npz with one array, or real numbers in .csv or .txt"
        raise InputError(f"{path}", value=f"a file {suffix or 'without a suffix'}", allowed=allowed)
    try:
        array = readers[suffix](path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}", value=error.strerror or str(error), allowed="a readable file") from None
    except Exception as error:  # of zip, zlib, struct and the parser of headers: a hostile file can raise any
        why = str(error) or type(error).__name__
        if "pickle" in why or "Python objects" in why:
            why = "pickled objects, or no file of NumPy's"
        numbers = "real numbers" if readers[suffix] is _read_text else "numbers"
        writer = {".npy": "save", ".npz": "savez"}.get(suffix, "savetxt")
        why = why.partition("\n")[0].partition(";")[0].rstrip(". ")
        raise InputError(f"{path}", value=why, allowed=f"{numbers}, as numpy.{writer} writes them") from None
    if array.ndim > 2:
        remedy = "a file each, or photonic_acdc.synthesis.synthesise in Python, which takes batches"
        raise InputError(f"{path}: shape", value=array.shape, allowed="one matrix, (out, in)", remedy=remedy)
    return array


def _read_npy(path: Path) -> np.ndarray:
    # Mapped, so that a header which promises more than the file has costs no memory.
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(mapped, np.ndarray):
        return np.array(mapped)
    mapped.close()
    raise ValueError("an archive, .npz")


def _read_npz(path: Path) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        names = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
        size = sum(entry.file_size for entry in archive.infolist())
    if len(names) != 1:
        listed = ": " * bool(names) + ", ".join(names[:4]) + ", …" * (len(names) > 4)
        raise InputError(f"{path}", value=f"{len(names)} arrays{listed}", allowed="one array")
    if size > _LARGEST:
        raise ValueError(f"an array of {size} bytes, more than {_LARGEST}")
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays[arrays.files[0]])  # bytes, where it is no array


def _read_text(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    kept = [line for line in lines if line.partition("#")[0].strip()]
    if not kept:
        raise ValueError("no numbers")
    return np.loadtxt(kept, delimiter="," if path.suffix.lower() == ".csv" else None, ndmin=2)
