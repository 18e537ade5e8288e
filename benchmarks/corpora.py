"""Data that only benchmarks use, read from files that installed packages bring along; nothing is downloaded.

| set | rows | from |
|---|---|---|
| ``JapaneseVowels`` | 270 + 370 utterances of nine speakers, 12 cepstral channels, 7 … 29 steps | aeon's files |
| ``OSULeaf`` | 200 + 242 outlines of leaves of six species, 427 steps | aeon's files |
| :func:`docstrings` | the bytes of the docstrings of Python's standard library, split by module | the running Python |
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photonic_acdc.data.sources import package_folder
from simulators.errors import InputError

#: Modules of the standard library that are no library code: tests, and tools that a build may leave out.
LEFT_OUT = {"test", "tests", "idlelib", "idle_test", "lib2to3", "tkinter", "turtledemo", "site-packages", "ensurepip"}


@dataclass(frozen=True, eq=False)
class Series:
    """Labelled time series.

    Attributes:
        x: float32 ``[n, channels, steps]``; shorter series are followed by zeros.
        steps: int64 ``[n]``, the length of each.
        y: int64 ``[n]``, the class by its place in the file's list of labels.
    """

    x: Tensor
    steps: Tensor
    y: Tensor


def time_series(name: str) -> tuple[Series, Series]:
    """The (training, test) parts, as published, of a set whose ``.ts`` files the package aeon holds.

    Both parts have as many steps as the longest series of the two.

    Raises:
        InputError: aeon is not installed, or has no such set.
    """
    folder = package_folder("aeon", "pip install --no-deps aeon") / "datasets/data"
    if not (folder / name / f"{name}_TRAIN.ts").is_file():
        known = ", ".join(sorted(path.parent.name for path in folder.glob("*/*_TRAIN.ts")))
        raise InputError("time series", value=repr(name), allowed=f"one of {known}")
    parts = [read_ts(folder / name / f"{name}_{part}.ts") for part in ("TRAIN", "TEST")]
    longest = max(len(one[0]) for series, _ in parts for one in series)
    training, test = (_padded(series, labels, longest) for series, labels in parts)
    return training, test


def read_ts(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Series ``[channels, steps]`` and class numbers of a ``.ts`` file of classes, without time stamps.

    A line is one case: its channels, separated by ``:``, steps by ``,``; the label is the last field.

    Raises:
        InputError: a file with time stamps, classes or cases missing; a case that the header does not allow.
    """
    channels, known = None, None
    series, labels = [], []
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        match line.split():
            case ["@timeStamps", "true"]:
                raise InputError(f"{path.name}: line {number}", value=line, allowed="@timeStamps false")
            case ["@univariate", "true"]:
                channels = 1
            case ["@dimensions", count]:
                channels = int(count)
            case ["@classLabel", "true", *names]:
                known = names
            case ["@data"]:
                break
    for number, line in lines:
        if line.strip():
            *fields, label = line.strip().split(":")
            try:
                series.append(np.array([field.split(",") for field in fields], dtype=np.float32))
            except ValueError:  # not numbers, or lists of different lengths
                raise InputError(f"{path.name}: line {number}", allowed="numbers, in channels of one length") from None
            if len(fields) != channels:
                raise InputError(f"{path.name}: line {number}", value=f"{len(fields)} channels", allowed=str(channels))
            if known is None or label not in known:
                raise InputError(f"{path.name}: line {number}", value=f"label {label!r}", allowed=f"one of {known}")
            labels.append(known.index(label))
    if not series:
        raise InputError(path.name, value="no cases", allowed="a .ts file with cases after @data")
    return series, labels


def _padded(series: list[np.ndarray], labels: list[int], longest: int) -> Series:
    x = torch.zeros(len(series), len(series[0]), longest)
    for row, one in zip(x, series, strict=True):
        row[:, : one.shape[1]] = torch.from_numpy(one)
    return Series(x, torch.tensor([one.shape[1] for one in series]), torch.tensor(labels))


@dataclass(frozen=True, eq=False)
class Text:
    """Bytes, uint8 ``[n]``, in three parts that share no module.

    Attributes:
        training: nine modules of ten, less the validation part.
        validation: the modules numbered 4, 14, 24 … in the order of their names.
        test: the modules numbered 9, 19, 29 ….
    """

    training: Tensor
    validation: Tensor
    test: Tensor


def docstrings(root: Path | None = None) -> Text:
    """Docstrings of Python's standard library, module by module in the order of their paths.

    They are collected from the source files, which are parsed and not imported. The text belongs to the Python that
    runs: figures are comparable within one version of it.

    Args:
        root: another folder of modules.

    Raises:
        InputError: fewer than ten modules with docstrings.
    """
    texts = [text for text in map(_docstrings_of, modules(root)) if text]
    if len(texts) < 10:
        raise InputError(f"docstrings of {root}", value=f"{len(texts)} modules", allowed="at least 10")
    parts: dict[str, list[bytes]] = {"training": [], "validation": [], "test": []}
    for number, text in enumerate(texts):
        parts[{4: "validation", 9: "test"}.get(number % 10, "training")].append(text)
    return Text(
        **{name: torch.frombuffer(bytearray(b"".join(part)), dtype=torch.uint8) for name, part in parts.items()}
    )


def modules(root: Path | None = None) -> list[Path]:
    """Files of the modules of a folder, by default of the standard library, in the order of their paths."""
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    found = []
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name not in LEFT_OUT]  # not walked
        found += [Path(folder, name) for name in files if name.endswith(".py")]
    return sorted(found, key=Path.as_posix)


def _docstrings_of(path: Path) -> bytes:
    """Docstrings of a module, its classes and functions, in the order of the file, each followed by an empty line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old escapes: style of the library, not ours to judge
        tree = ast.parse(path.read_bytes())
    return "".join(f"{text}\n\n" for text in _texts(tree)).encode()


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield text
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def windows(text: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Every place of a text: the ``context`` bytes before it, int64 ``[n - context, context]``, and the byte there."""
    if len(text) <= context:
        raise InputError("windows: text", value=f"{len(text)} bytes", allowed=f"more than the context of {context}")
    whole = text.long()
    return whole[:-1].unfold(0, context, 1), whole[context:]
