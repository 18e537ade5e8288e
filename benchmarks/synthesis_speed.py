"""Masks from a matrix: beside PhaseShift, beside one singular value decomposition, by size, by method and in batches.

Complex128; unitary matrices of the Haar measure, others with independent Gaussian entries. One thread: torch's own,
and by threadpoolctl the BLAS of numpy and of scipy, whose products PhaseShift's decomposition is. A time is that of
:func:`~photonic_acdc.synthesis.synthesise`, checks and the error of the result included; medians of runs that take
turns. Errors are relative, in the Frobenius norm, the worst where there are several matrices.
"""

from __future__ import annotations

import statistics
import sys
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.timing import paired, row
from photonic_acdc.synthesis import Synthesis, synthesise
from photonic_acdc.synthesis.synthesise import Method

Complexes = NDArray[np.complex128]


def rows(*, quick: bool = False) -> list[dict]:
    """Rows of this benchmark."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return [
                *_beside_phaseshift(64 if quick else 128),
                *_by_size((64, 128, 256) if quick else (64, 128, 256, 512)),
                *_fit(3 if quick else 9),
                *_other_methods(3 if quick else 9),
                *_batch(3 if quick else 9),
            ]
    finally:
        torch.set_num_threads(before)


def _haar(n: int, generator: np.random.Generator) -> Complexes:
    from scipy.stats import unitary_group

    return unitary_group.rvs(n, random_state=generator)


def _gaussian(n: int, generator: np.random.Generator) -> Complexes:
    real, imaginary = generator.standard_normal((2, n, n))
    return real + 1j * imaginary


def _error(found: Synthesis) -> float:
    return float(found.error.max())


# --- unitary: 2N + 5 phase masks --------------------------------------------------------------------------------------


def _beside_phaseshift(n: int) -> list[dict]:
    """Its compact form, of as many masks. Its work grows with N⁵, in products of whole matrices: quick is N = 64."""
    peer = _peer()
    if peer is None:
        print('PhaseShift is left out: it is not installed; pip install "photonic-acdc[peers]"', file=sys.stderr)
        return []
    unitary, made = _haar(n, np.random.default_rng(0)), {}

    def ours() -> None:
        made["ours"] = synthesise(unitary, "unitary")

    def theirs() -> None:
        made["theirs"] = peer.compact_fourier_decomposition(unitary)

    times = paired({"ours": ours, "theirs": theirs}, 3)
    assert made["ours"].planes == 1 + len(made["theirs"].mask_sequence) == 2 * n + 5
    difference = peer.fourier_interferometer.circuit_reconstruction(made["theirs"]) - unitary
    case = f"unitary, N = {n}"
    least = 20 if n == 128 else None
    return [
        row(f"{case}: PhaseShift / ours", times["theirs"] / times["ours"], "x", at_least=least),
        row(f"{case}: error, ours", _error(made["ours"]), "", 1e-12),
        row(f"{case}: error, PhaseShift's", float(np.linalg.norm(difference) / np.linalg.norm(unitary)), ""),
    ]


def _peer() -> ModuleType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX, which it imports, has things to say of its own
        try:
            import phaseshift
        except ImportError:
            return None
    return phaseshift


def _by_size(sizes: tuple[int, ...], beside: int = 256) -> list[dict]:
    """Times of each size, a singular value decomposition of one of them, and the exponent of a power of N."""
    matrices = {n: _haar(n, np.random.default_rng(n)) for n in sizes}
    tensor = torch.from_numpy(matrices[beside])
    works: dict[int | str, Callable[[], object]] = {
        "torch": lambda: torch.linalg.svd(tensor),
        "numpy": lambda: np.linalg.svd(matrices[beside]),
    }
    works.update({n: lambda u=u: synthesise(u, "unitary") for n, u in matrices.items()})
    times = paired(works, 3)
    found = [row(f"unitary, N = {n}: time", 1e3 * times[n], "ms") for n in sizes]
    svd = min(times["torch"], times["numpy"])
    found.append(row(f"unitary, N = {beside}: time / one complex SVD", times[beside] / svd, "x", 60))
    slope = np.polyfit(np.log(sizes), np.log([times[n] for n in sizes]), 1)[0]
    found.append(row(f"unitary, N = {sizes[0]} … {sizes[-1]}: exponent p of N^p", float(slope), "", 3.2))
    worst = max(_error(synthesise(u, "unitary")) for u in matrices.values())
    found.append(row(f"unitary, N = {sizes[0]} … {sizes[-1]}: error", worst, "", 1e-12))
    return found


# --- other methods ----------------------------------------------------------------------------------------------------


def _fit(count: int, n: int = 32) -> list[dict]:
    """N + 2 phase masks of Haar matrices, each from its own random start."""
    generator = np.random.default_rng(1)
    matrices = [_haar(n, generator) for _ in range(count)]
    found: dict[int, tuple[Synthesis, int]] = {}

    def run(seed: int) -> None:
        steps = []
        made = synthesise(
            matrices[seed], "fit", planes=n + 2, seed=seed, progress=lambda done, total: steps.append(done)
        )
        found[seed] = made, len(steps) - 1  # the last call says that no more will come

    times = paired({seed: lambda seed=seed: run(seed) for seed in range(count)}, 1)
    case = f"fit, {n + 2} phase masks, N = {n}, {count} matrices"
    return [
        row(f"{case}: time", statistics.median(times.values()), "s", 5),
        row(f"{case}: steps", statistics.median(steps for _, steps in found.values()), ""),
        row(f"{case}: error", max(_error(made) for made, _ in found.values()), "", 1e-9),
    ]


def _other_methods(count: int) -> list[dict]:
    """Matrices that are not unitary."""
    made = []
    cases: tuple[tuple[Method, int, float], ...] = (
        ("svd", 64, 1e-11),
        ("dilation", 64, 1e-11),
        ("circulant", 16, 1e-10),
    )
    for method, n, most in cases:
        generator = np.random.default_rng(2)
        matrices = [_gaussian(n, generator) for _ in range(count)]
        found = {}

        def run(i: int, method: Method = method, matrices=matrices, found=found) -> None:
            found[i] = synthesise(matrices[i], method)

        times = paired({i: lambda i=i: run(i) for i in range(count)}, 1)
        case = f"{method}, N = {n}, {count} matrices"
        made.append(row(f"{case}: time", 1e3 * statistics.median(times.values()), "ms"))
        made.append(row(f"{case}: error", max(map(_error, found.values())), "", most))
    return made


def _batch(repetitions: int, count: int = 32, n: int = 32) -> list[dict]:
    generator = np.random.default_rng(3)
    matrices = np.stack([_haar(n, generator) for _ in range(count)])
    times = paired(
        {
            "batch": lambda: synthesise(matrices, "unitary"),
            "loop": lambda: [synthesise(matrix, "unitary") for matrix in matrices],
        },
        repetitions,
    )
    case = f"unitary, N = {n}, {count} matrices"
    return [
        row(f"{case}: one after the other / one batch", times["loop"] / times["batch"], "x"),
        row(f"{case}: error of the batch", _error(synthesise(matrices, "unitary")), "", 1e-12),
    ]
