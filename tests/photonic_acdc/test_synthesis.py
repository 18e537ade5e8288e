"""A matrix becomes masks: the closed forms against dense products, layers and benches, and what is refused."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from synthesising import dense_product, error, random_matrix, unitary
from torch import nn

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.synthesis import Synthesis, synthesise
from photonic_acdc.synthesis.good_thomas import fits, labels, on_grid, on_line, squarest
from photonic_acdc.synthesis.lenses import lens, operator
from simulators import InputError
from simulators.mesh import haar
from simulators.random import stream


@pytest.fixture(autouse=True)
def _quick(single_thread):
    pass


def structured(n):
    """Unitary matrices in which much is exactly zero or exactly alike."""
    rng = stream(n, "tests", "structured")
    half = n // 2
    return {
        "identity": np.eye(n),
        "shift": np.roll(np.eye(n), 1, axis=0),
        "flip": np.eye(n)[::-1].copy(),
        "permutation": np.eye(n)[rng.permutation(n)],
        "DFT": np.fft.fft(np.eye(n), norm="ortho"),
        "DCT": scipy.fft.dct(np.eye(n), norm="ortho", axis=0),
        "signs": np.diag(rng.choice([-1.0, 1.0], n)),
        "blocks": scipy.linalg.block_diag(haar(half, rng).numpy(), haar(n - half, rng).numpy()) if n > 1 else np.eye(1),
        "rotation": scipy.linalg.expm(np.triu(np.ones((n, n)), 1) - np.tril(np.ones((n, n)), -1)),
    }


# --- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 31, 32, 64])
def test_any_unitary_matrix_in_2n_plus_5_phase_masks(n):
    for seed in range(3):
        found = synthesise(unitary(n, seed), method="unitary")
        even = n + n % 2
        assert found.planes == 2 * even + 5
        assert found.grid == (even,)
        assert error(found) <= 1e-12
        assert found.error.item() <= 1e-12
        assert found.phase_only
        assert found.gain.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4, 6, 7, 8, 16, 33])
def test_unitary_matrices_full_of_zeros(n):
    for name, matrix in structured(n).items():
        found = synthesise(matrix, method="unitary")
        assert error(found) <= 1e-12, name
        assert (found.masks.abs() - 1).abs().max() <= 1e-12, name


@pytest.mark.slow
@pytest.mark.parametrize("n", [*range(2, 65), 96, 127, 128, 129, 192, 255, 256])
def test_every_size_up_to_256(n):
    matrices = {"Haar": unitary(n).numpy(), **structured(n)}
    for name, matrix in matrices.items():
        found = synthesise(matrix, method="unitary")
        assert error(found) <= 1e-12, (n, name)
        assert found.planes == 2 * (n + n % 2) + 5


def general(n):
    """Matrices of every kind that is not unitary."""
    rng = stream(n, "tests", "general")
    a = rng.standard_normal((n, n))
    u, _, vh = np.linalg.svd(a)
    return {
        "real": a,
        "complex": a + 1j * rng.standard_normal((n, n)),
        "rank one": np.outer(a[0], a[:, 0]),
        "half the rank": a[:, : max(1, n // 2)] @ a[: max(1, n // 2)],
        "condition 1e6": u @ np.diag(np.logspace(0, -6, n)) @ vh,
        "condition 1e12": u @ np.diag(np.logspace(0, -12, n)) @ vh,
        "integers": rng.integers(1, 9, (n, n)),
        "diagonal": np.diag(rng.uniform(0.1, 1, n)),
        "tiny": 1e-9 * a,
        "huge": 1e9 * a,
    }


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13, 32, pytest.param(64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["svd", "dilation"])
def test_any_matrix_at_the_gain_of_the_passive_bound(n, method):
    planes = 4 * (n + n % 2) + 9 if method == "svd" else 4 * n + 5
    for name, matrix in general(n).items():
        found = synthesise(matrix, method=method)
        assert error(found) <= 1e-11, name
        assert found.planes == planes
        assert found.gain.item() == pytest.approx(1 / np.linalg.norm(matrix, 2), rel=1e-12), name
        assert found.efficiency.item() == pytest.approx(1, rel=1e-10)
        assert found.masks.abs().max() <= 1 + 1e-12
        amplitudes = found.masks.reshape(found.planes, -1).abs()
        dim = ((amplitudes - 1).abs().amax(-1) > 1e-12).sum()
        assert dim <= (1 if method == "svd" else 0), name  # one mask dims, or none
        assert found.phase_only == (dim == 0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["svd", "dilation"])
def test_matrices_of_128(method):
    for name, matrix in general(128).items():
        assert error(synthesise(matrix, method=method)) <= 1e-11, name


@pytest.mark.parametrize("method", ["svd", "dilation"])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_gain_below_the_bound(method, share):
    matrix = random_matrix(6)
    bound = 1 / torch.linalg.matrix_norm(matrix, ord=2).item()
    found = synthesise(matrix, method=method, gain=share * bound)
    assert error(found) <= 1e-12
    assert found.gain.item() == pytest.approx(share * bound)
    assert found.efficiency_dB.item() == pytest.approx(20 * math.log10(share), abs=1e-9)


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (1, 6), (6, 1), (2, 3)])
@pytest.mark.parametrize("method", ["svd", "dilation"])
def test_matrices_that_are_not_square(size, method):
    found = synthesise(random_matrix(*size), method=method)
    assert found.reconstruct().shape == size
    assert error(found) <= 1e-12


def test_no_mode_gains_light():
    """The whole operator, dark ports included, is passive; of phase masks it is unitary."""
    for method, matrix in (("svd", random_matrix(5)), ("dilation", random_matrix(5)), ("unitary", unitary(6))):
        found = synthesise(matrix, method=method)
        singular = torch.linalg.svdvals(found.operator())
        assert singular.max() <= 1 + 1e-12
        if found.phase_only:
            assert singular.min() >= 1 - 1e-12


def test_a_multiple_of_a_unitary_matrix_is_one():
    found = synthesise(3 * scipy.linalg.hadamard(8))
    assert found.method == "unitary"
    assert found.gain.item() == pytest.approx(1 / (3 * math.sqrt(8)))
    assert error(found) <= 1e-12


def test_a_unitary_matrix_in_single_precision():
    """By its digits it is none, and is said not to be; with a tolerance of that size it is."""
    single = unitary(8).to(torch.complex64)
    found = synthesise(single)
    assert found.method == "svd"
    assert re.search(r"not unitary to more than \de-07 \(tolerance=.*would take it", found.reason)
    near = synthesise(single, tolerance=1e-5)
    assert near.method == "unitary"
    assert near.phase_only
    assert 1e-9 < near.error < 1e-6
    with pytest.raises(InputError, match=r"at most 1e-10, a tenth of the tolerance"):
        synthesise(single, method="unitary")


# --- grids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(3, 4), (4, 3), (1, 6), (6, 1), (5, 8), (8, 9), (2, 7)])
def test_a_line_on_a_grid(grid):
    """Good and Thomas: the 2-D lens is the 1-D transform between relabelled pixels, here and back."""
    n = math.prod(grid)
    fed, behind = labels(grid)
    line = torch.from_numpy(np.fft.fft(np.eye(n), norm="ortho"))
    through = lens(torch.eye(n, dtype=torch.complex128), grid)  # symmetric, so rows or columns do not matter
    assert (through[behind][:, fed] - line).abs().max() < 1e-13
    assert (through[fed][:, behind] - line).abs().max() < 1e-13
    masks = random_matrix(5, n)
    assert (on_line(operator(on_grid(masks, grid), grid), grid) - operator(masks, (n,))).abs().max() < 1e-12


@pytest.mark.parametrize("grid", [(3, 4), (4, 5), (1, 12), (8, 9)])
@pytest.mark.parametrize("method", ["unitary", "svd", "dilation"])
def test_closed_forms_on_spherical_lenses(grid, method):
    n = math.prod(grid) // (2 if method == "dilation" else 1)
    matrix = unitary(n) if method == "unitary" else random_matrix(n)
    found = synthesise(matrix, method=method, shape=grid)
    assert found.grid == grid
    assert found.masks.shape == (found.planes, *grid)
    assert error(found) <= 1e-12


def test_the_squarest_grid():
    for features in range(1, 200):
        y, x = squarest(features)
        assert fits((y, x))
        assert y * x >= features
        assert (y * x) % 2 == 0
        assert y <= x <= 2 * y
    assert squarest(64) == (6, 11)


# --- as a layer, on a bench, in a file ------------------------------------------------------------------------------


CASES: list[tuple[Any, torch.Tensor, tuple[int, int] | None]] = [
    ("unitary", unitary(6), None),
    ("unitary", unitary(5), None),
    ("unitary", unitary(11), (3, 4)),
    ("svd", random_matrix(4, 7), None),
    ("svd", random_matrix(12), (3, 4)),
    ("dilation", random_matrix(3), None),
    ("fit", unitary(4), None),
    ("fit", unitary(6), (2, 3)),
    ("fit", random_matrix(3), None),
    ("circulant", random_matrix(4), None),
    ("circulant", random_matrix(5), None),
    ("acdc", random_matrix(4), None),
]


@pytest.mark.parametrize(("method", "matrix", "shape"), CASES)
def test_the_layer_and_the_ideal_bench_are_the_matrix(method, matrix, shape):
    found = synthesise(matrix, method=method, shape=shape, tolerance=1e-8)
    assert error(found) <= 1e-8
    layer = found.to_layer()
    x = random_matrix(7, matrix.shape[1], seed=1)
    wanted = x @ matrix.to(torch.complex128).mT
    assert (layer(x) - wanted).abs().max() <= 1e-7 * wanted.abs().max()
    bench = sim.reference_bench(modes=found.modes, complex_input=True)
    optic = found.to_bench(bench, sim.Ideal, x_max=x.abs().max().item())
    with pa.noise(optic, "off"):
        seen = optic(x)
    assert (seen - wanted).abs().max() <= 1e-6 * wanted.abs().max()


def test_the_layer_learns():
    found = synthesise(unitary(4))
    layer = found.to_layer()
    x = random_matrix(3, 4)
    loss = (layer(x) - 2).abs().square().sum()
    loss.backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
    assert all(name in ("a_phase", "d_phase") for name, _ in layer.named_parameters())  # phase masks stay such


def test_a_bench_that_cannot_show_the_masks():
    found = synthesise(unitary(12), shape=(3, 4))
    with pytest.raises(InputError, match="complex masks"):
        found.to_bench(sim.reference_bench(modes=(3, 4)))
    with pytest.raises(InputError, match="grid"):
        found.to_bench(sim.reference_bench(modes=(2, 4)), sim.Ideal)


def test_it_is_written_and_read(tmp_path):
    found = synthesise(random_matrix(3, 5))
    found.save(tmp_path / "plan.safetensors")
    again = Synthesis.load(tmp_path / "plan.safetensors")
    assert torch.equal(again.masks, found.masks)
    assert torch.equal(again.matrix, found.matrix)
    assert torch.equal(again.gain, found.gain)
    assert (again.method, again.reason) == (found.method, found.reason)
    pa.save_tensors(tmp_path / "other.safetensors", {"masks": found.masks}, {"anything": 1})
    with pytest.raises(InputError, match=r"other\.safetensors.*Synthesis\.save"):
        Synthesis.load(tmp_path / "other.safetensors")


# --- batches and kinds of input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["unitary", "svd", "dilation", "fit"])
def test_a_batch_is_its_members(method):
    matrices = torch.stack([unitary(4, seed) for seed in range(6)]).reshape(2, 3, 4, 4)
    if method in ("svd", "dilation"):
        matrices = matrices + 0.1 * random_matrix(4)
    found = synthesise(matrices, method=method)
    assert found.masks.shape[:2] == (2, 3)
    assert found.error.shape == found.gain.shape == found.efficiency.shape == found.dynamic_range.shape == (2, 3)
    one = found[1][2]
    assert error(one) <= 1e-9
    alone = synthesise(matrices[1, 2], method=method)
    assert (one.reconstruct() - alone.reconstruct()).abs().max() < 1e-8
    if method != "fit":
        assert (one.masks - alone.masks).abs().max() < 1e-9
    with pytest.raises(InputError, match="one matrix"):
        found.to_layer()
    assert len(found) == 2
    assert "6 matrices" in str(found)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=np.int8),
        np.array([[1, 2], [3, 4]], dtype=np.float32),
        torch.tensor([[1, 2], [3, 4]]),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.float32),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.complex64),
        torch.tensor([[1.0, 2], [3, 4]], requires_grad=True),
    ],
)
def test_numbers_of_every_kind(matrix):
    found = synthesise(matrix)
    assert found.matrix.dtype == found.masks.dtype == torch.complex128
    assert (found.reconstruct() - torch.tensor([[1.0, 2], [3, 4]])).abs().max() < 1e-13


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize("method", ["svd", "dilation", "circulant", "fit"])
def test_scales_beyond_the_squares(scale, method):
    """The error told is that of the matrix at a scale where squares neither vanish nor overflow."""
    matrix = random_matrix(4) / 10
    found, scaled = synthesise(matrix, method=method), synthesise(scale * matrix, method=method)
    assert scaled.masks.isfinite().all()
    assert scaled.gain.item() == pytest.approx(found.gain.item() / scale, rel=1e-9)
    made = dense_product(scaled)
    off = ((made - scaled.matrix) / scale).norm() / matrix.norm()
    assert off <= 1e-9
    assert scaled.error.item() == pytest.approx(off.item(), abs=1e-14)
    assert scaled.error > 0


@pytest.mark.parametrize("size", [(1, 16), (16, 1), (2, 9), (1, 1)])
def test_fits_between_few_ports(size):
    assert error(synthesise(random_matrix(*size), method="fit")) <= 1e-9


def test_conjugate_views_and_numbers_of_numpy():
    matrix = random_matrix(6).mH
    for method in ("svd", "circulant", "fit"):
        assert error(synthesise(matrix, method=method, planes=np.int64(40), shape=None)) <= 1e-9
    found = synthesise(random_matrix(6), gain=np.float32(0.01), shape=(np.int64(2), np.int64(3)))
    assert found.grid == (2, 3)
    assert found.gain.item() == pytest.approx(0.01)


def test_it_keeps_the_matrix_as_it_was():
    matrix = torch.eye(4, dtype=torch.complex128)
    found = synthesise(matrix)
    matrix[0, 0] = 7
    assert found.error <= 1e-12


def test_a_gain_that_rounding_puts_above_the_bound():
    matrix = random_matrix(4)
    bound = 1 / torch.linalg.matrix_norm(matrix, ord=2).item()
    assert synthesise(matrix, gain=bound * (1 + 9e-10)).efficiency <= 1 + 1e-14
    with pytest.raises(InputError, match="allowed: at most") as refusal:
        synthesise(matrix, gain=bound * (1 + 1e-8))
    assert len(set(re.findall(r"0\.\d+", str(refusal.value)))) == 2  # the two can be told apart


@pytest.mark.parametrize(("shape", "gain"), [((8,), None), ((3, 4), None), ((8,), 0.9), (None, 0.5)])
def test_a_unitary_matrix_among_dark_ports(shape, gain):
    found = synthesise(unitary(4), method="fit", shape=shape, gain=gain)
    assert error(found) <= 1e-9
    assert found.gain.item() == pytest.approx(gain or 1)


def test_a_dense_layer_counts_by_its_weight():
    linear = nn.Linear(6, 4)
    found = synthesise(linear)
    assert found.matrix.shape == (4, 6)
    assert (found.reconstruct() - linear.weight).abs().max() < 1e-12


# --- auto ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "options", "method", "reason"),
    [
        (unitary(6), {}, "unitary", "17 masks"),
        (unitary(6), {"planes": 17}, "unitary", "17 masks"),
        (unitary(6), {"planes": 9}, "fit", "17 masks of the closed form exceed the budget of 9"),
        (unitary(4), {"shape": (2, 2)}, "fit", "common divisor"),
        (unitary(6), {"gain": 0.5}, "svd", "gain wanted is below the passive bound; 33 masks are exact"),
        (unitary(6), {"gain": 0.5, "phase_only": True}, "dilation", "29 masks are exact"),
        (random_matrix(6), {}, "svd", "33 masks"),
        (random_matrix(6), {"phase_only": True}, "dilation", "29 masks"),
        (random_matrix(6), {"planes": 30}, "dilation", "29 masks"),
        (random_matrix(4), {"planes": 9}, "fit", "exceed the budget of 9"),
    ],
)
def test_the_method_is_chosen_and_said(matrix, options, method, reason):
    found = synthesise(matrix, **options)
    assert found.method == method
    assert reason in found.reason
    assert found.planes <= options.get("planes", 10**6)
    assert error(found) <= 1e-9
