import numpy as np
import pytest
import torch
from scipy.fft import dct
from scipy.linalg import block_diag, circulant, hadamard

from photonic_acdc.synthesis import lenses
from photonic_acdc.synthesis.circulant import circulant_masks
from simulators.errors import InputError

SIZES = [*range(1, 13), 16, 24, 32]


def gaussian(rows, columns=None, seed=0):
    rng = np.random.default_rng((seed, rows, columns or rows))
    real, imaginary = rng.standard_normal((2, rows, columns or rows))
    return (real + 1j * imaginary) / np.sqrt(2)


def fourier(n):
    k = np.arange(n)
    return np.exp(-2j * np.pi * (np.outer(k, k) % n) / n) / np.sqrt(n)


def dense(masks):
    """What is read behind forward lenses: matrices in the order of the light, the image turned back at the end."""
    masks = masks.numpy()
    n = masks.shape[1]
    lens = fourier(n)
    whole = np.diag(masks[0])
    for mask in masks[1:]:
        whole = np.diag(mask) @ lens @ whole
    return whole[-np.arange(n) % n] if n % 2 == 0 else whole  # N - 1 pairs of lenses


def relative(made, wanted):
    return np.linalg.norm(made - wanted) / np.linalg.norm(wanted)


def lowest(n):
    return max(1, n // 4)


GENERIC = {
    "complex": gaussian,
    "real": lambda n: gaussian(n).real,
    "unitary": lambda n: np.linalg.qr(gaussian(n))[0],
    "cosine transform": lambda n: dct(np.eye(n), axis=0, norm="ortho"),
    "rank N/4": lambda n: gaussian(n, lowest(n)) @ gaussian(lowest(n), n, seed=1),
}


@pytest.mark.parametrize("kind", GENERIC)
@pytest.mark.parametrize("n", SIZES)
def test_a_generic_matrix_is_its_masks(n, kind):
    matrix = GENERIC[kind](n)
    masks = circulant_masks(matrix)
    assert masks.shape == (1, 2 * n - 1, n)
    assert masks.dtype == torch.complex128
    assert relative(dense(masks[0]), matrix) <= 1e-10
    assert relative(lenses.operator(masks[0], (n,)).numpy(), matrix) <= 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("kind", GENERIC)
def test_a_generic_matrix_of_64_modes(kind):
    matrix = GENERIC[kind](64)
    # Of a cosine transform, which takes 85 orders of magnitude in light, 5e-11 is left; of the others, 1e-12.
    limit = 1e-10 if kind == "cosine transform" else 1e-11
    assert relative(dense(circulant_masks(matrix)[0]), matrix) <= limit


@pytest.mark.parametrize("n", [2, 5, 8])
def test_every_second_mask_is_the_spectrum_of_a_circulant(n):
    matrix = gaussian(n, seed=2)
    masks = circulant_masks(matrix)[0].numpy()
    lens, turn = fourier(n), -np.arange(n) % n
    whole = np.eye(n)
    for j, mask in enumerate(masks):
        mask = mask[turn] if j // 2 % 2 else mask
        if j % 2 == 0:
            whole = np.diag(mask) @ whole
            continue
        factor = lens.conj().T @ np.diag(mask) @ lens
        taps = factor[:, 0]
        np.testing.assert_allclose(factor, circulant(taps), atol=1e-14)
        # A linear factor in the cyclic shift: itself and the place beside, nothing else.
        lit = np.flatnonzero(np.abs(taps) > 1e-12 * np.abs(taps).max())
        assert len(lit) == 2
        assert (lit[1] - lit[0]) % n in (1, n - 1)
        whole = factor @ whole
    assert relative(whole, matrix) <= 1e-12


@pytest.mark.parametrize("n", [1, 2, 6, 9])
def test_a_batch_is_its_matrices_one_by_one(n):
    matrices = np.stack([gaussian(n, seed=s) for s in range(3)])
    batch = circulant_masks(matrices)
    for masks, matrix in zip(batch, matrices, strict=True):
        assert torch.equal(masks, circulant_masks(matrix)[0])
    assert torch.equal(batch, circulant_masks(torch.from_numpy(matrices)))


def cyclic_band(n):
    i = np.arange(n)
    return np.where((i[:, None] - i + 1) % n < 3, gaussian(n), 0)


def blacked_out(n):
    matrix = gaussian(n)
    matrix[n // 2] = matrix[:, 1] = 0
    return matrix


STRUCTURED = {
    "zero": lambda n: np.zeros((n, n)),
    "identity": np.eye,
    "shift": lambda n: np.roll(np.eye(n), 2, axis=0),
    "diagonal": lambda n: np.diag(gaussian(n)[0]),
    "diagonal with a zero": lambda n: np.diag(np.arange(n) - 1.0),
    "one entry": lambda n: np.eye(n) * (np.arange(n) == 1),
    "circulant": lambda n: circulant(gaussian(n)[0]),
    "circulant of few taps": lambda n: np.eye(n) + 0.5 * np.roll(np.eye(n), 2, axis=0),
    "ones": lambda n: np.ones((n, n)),
    "DFT": fourier,
    "inverse DFT": lambda n: fourier(n).conj(),
    "DFT of a diagonal": lambda n: fourier(n) @ np.diag(gaussian(n)[0]),
    "turn": lambda n: np.eye(n)[-np.arange(n) % n],
    "reversal": lambda n: np.eye(n)[::-1],
    "cyclic band": cyclic_band,
    "row and column of zeros": blacked_out,
    "padded": lambda n: np.pad(gaussian(n - 2, n - 1), ((0, 2), (0, 1))),
}


@pytest.mark.parametrize("kind", STRUCTURED)
@pytest.mark.parametrize("n", [5, 8, 16, 17])
def test_structure_that_leaves_a_low_degree_is_exact(n, kind):
    matrix = STRUCTURED[kind](n)
    masks = circulant_masks(matrix)[0]
    assert np.linalg.norm(dense(masks) - matrix) <= 1e-12 * np.linalg.norm(matrix)


@pytest.mark.parametrize("kind", ["identity", "shift", "DFT", "inverse DFT", "turn", "reversal"])
@pytest.mark.parametrize("n", [5, 8, 17])
def test_transforms_and_shifts_lose_no_light(n, kind):
    _, peaks = lenses.passive(circulant_masks(STRUCTURED[kind](n)))
    assert peaks.item() == pytest.approx(1, abs=1e-11)


def permutation(n):
    return np.eye(n)[np.random.default_rng(4).permutation(n)]


NOT_GENERIC = {
    "permutation": permutation,
    "lower triangle": lambda n: np.tril(gaussian(n)),
    "upper triangle": lambda n: np.triu(gaussian(n)),
    "blocks": lambda n: block_diag(gaussian(n // 2), gaussian(n - n // 2, seed=1)),
    "band": lambda n: np.triu(np.tril(gaussian(n), 1), -1),
}


@pytest.mark.parametrize("kind", NOT_GENERIC)
@pytest.mark.parametrize("n", [6, 9])
def test_matrices_without_the_factors_are_refused(n, kind):
    sentence = rf"^matrix: it is not generic, .*{n} diagonals and {n - 1} circulants.*does not exist.*try: method="
    with pytest.raises(InputError, match=sentence):
        circulant_masks(NOT_GENERIC[kind](n))


@pytest.mark.parametrize("n", [9, 15, 25])
def test_shifts_by_more_than_one_find_diagonals_without_zeros(n):
    matrix = GENERIC["cosine transform"](n)
    lit = [np.abs(np.diagonal(np.roll(matrix, s, axis=1))).min() > 1e-12 for s in range(n)]
    assert not any(lit[s] and lit[s - 1] for s in range(n))
    assert relative(dense(circulant_masks(matrix)[0]), matrix) <= 1e-10


def test_symmetry_without_zeros_is_refused():
    with pytest.raises(
        InputError, match=r"not generic.*allowed: a relative error ≤ 1e-10.*\"unitary\" or method=\"svd"
    ):
        circulant_masks(hadamard(32))


@pytest.mark.parametrize("n", [12, 16])
def test_masks_that_miss_the_matrix_are_refused_with_their_error(n):
    # Factors exist, but too close to none for the digits.
    with pytest.raises(InputError, match=r"not generic.*relative error \de-0[5-9] at best"):
        circulant_masks(permutation(n) + 1e-4 * gaussian(n))


def test_a_refusal_names_the_matrix_of_a_batch():
    with pytest.raises(InputError, match=r"^matrix 2 of 3: it is not generic"):
        circulant_masks(np.stack([gaussian(6), np.tril(gaussian(6)), gaussian(6, seed=1)]))


@pytest.mark.parametrize("seed", range(10))
def test_two_modes_almost_apart(seed):
    # Its one root is far from 1.
    matrix = np.eye(2) + 1e-3 * gaussian(2, seed=seed)
    assert relative(dense(circulant_masks(matrix)[0]), matrix) <= 1e-10


@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_units_do_not_matter(size):
    matrix = gaussian(12)
    masks = circulant_masks(size * matrix)[0]
    assert torch.isfinite(torch.view_as_real(masks)).all()
    assert relative(dense(masks) / size, matrix) <= 1e-10
    peaks = masks.abs().amax(-1)
    assert torch.allclose(peaks, peaks[:1], rtol=1e-12)


def test_the_order_of_the_roots_saves_light():
    # Roots divided out as they are found leave a median of 1e-15.
    gains = []
    for seed in range(12):
        matrix = gaussian(16, seed=seed)
        _, peaks = lenses.passive(circulant_masks(matrix)[0])
        gains.append(np.log10(np.linalg.norm(matrix, 2) / peaks.item()))
    assert np.median(gains) > -13.5
