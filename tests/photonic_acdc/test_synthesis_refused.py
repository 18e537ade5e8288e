"""What no masks can do is refused in the user's terms, and never a silent poor result."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from synthesising import random_matrix, unitary

from photonic_acdc.synthesis import SynthesisWarning, synthesise
from simulators import InputError


@pytest.fixture(autouse=True)
def _quick(single_thread):
    pass


def test_fewer_masks_than_counting_allows():
    with pytest.raises(InputError, match=r"planes: got 5; allowed: at least 7.*fewer phases than the matrix numbers"):
        synthesise(unitary(6), method="fit", planes=5)
    with pytest.warns(SynthesisWarning, match="miss the matrix"):
        found = synthesise(unitary(6), method="fit", planes=5, strict=False, iterations=50)
    assert 1e-3 < found.error.item() < 1


def test_an_error_above_the_tolerance_is_no_result():
    with pytest.raises(InputError, match=r"relative error: got .* by method='wavefront'; allowed: tolerance = 1e-09"):
        synthesise(unitary(8), method="wavefront", planes=10, iterations=20)
    with pytest.warns(SynthesisWarning, match="tolerance 1e-09"):
        found = synthesise(unitary(8), method="wavefront", planes=10, iterations=20, strict=False)
    assert found.error.item() < 0.5
    assert synthesise(unitary(8), method="wavefront", planes=16, iterations=2000, tolerance=1e-6).error <= 1e-6


def test_more_gain_than_is_passive():
    matrix = 4 * unitary(3) + torch.eye(3)
    bound = 1 / torch.linalg.matrix_norm(matrix, ord=2).item()
    for method in ("svd", "dilation", "fit"):
        with pytest.raises(InputError, match=re.escape(f"gain: got {1.1 * bound:g}; allowed: at most 1/σ_max = ")):
            synthesise(matrix, method=method, gain=1.1 * bound)


@pytest.mark.parametrize(
    ("matrix", "options", "sentence"),
    [
        (np.zeros((3, 3)), {}, r"matrix: got zeros alone"),
        (np.zeros((2, 3, 3)) + np.eye(3) * np.array([1, 0])[:, None, None], {}, r"matrix\[1\]: got zeros alone"),
        ([[1, float("nan")], [0, 1]], {}, r"matrix\[0, 1\]: got \(nan\+0j\); allowed: finite"),
        ([[1, float("inf")], [float("inf"), 1]], {}, r"matrix\[0, 1\]: got .*, as 2 entries; allowed: finite"),
        ([1, 2, 3], {}, r"matrix: shape: got \(3,\)"),
        (np.zeros((0, 3)), {}, r"matrix: shape: got \(0, 3\)"),
        ([[1, 2], [3]], {}, r"rows of the same length"),
        ([["a", "b"]], {}, r"real or complex numbers"),
        (torch.eye(2, dtype=torch.bool), {}, r"torch\.bool"),
        (np.eye(2, dtype=bool), {}, r"bool"),
        (np.eye(3), {"method": "svdd"}, r"method: got 'svdd'; allowed: did you mean svd"),
        (random_matrix(3), {"method": "unitary"}, r"\|U\*U - 1\|.*try: method='svd' or 'dilation'"),
        (random_matrix(3, 4), {"method": "unitary"}, r"\|U\*U - 1\| up to inf"),
        (random_matrix(3, 4), {"method": "circulant"}, r"square"),
        (random_matrix(3), {"method": "wavefront"}, r"unitary.*try: method='fit'"),
        (random_matrix(3), {"method": "svd", "phase_only": True}, r"middle mask dims.*dilation"),
        (random_matrix(3), {"method": "svd", "planes": 20}, r"planes: got 20; allowed: at least 25"),
        (random_matrix(3), {"method": "svd", "shape": (4, 4)}, r"4x4, sides with a common divisor.*shape=\("),
        (random_matrix(3), {"method": "svd", "shape": (1, 3)}, r"an odd number of pixels"),
        (random_matrix(9), {"method": "svd", "shape": (2, 3)}, r"2x3 = 6 pixels; allowed: at least 9"),
        (random_matrix(4), {"method": "fit", "shape": (4,)}, r"4 pixels; allowed: at least 8"),
        (unitary(4), {"method": "unitary", "gain": 0.5}, r"gain: got 0\.5.*masks of a unitary matrix lose nothing"),
        (unitary(4), {"method": "fit", "gain": 0.5, "shape": (4,)}, r"shape: got 4 = 4 pixels; allowed: at least 8"),
        (unitary(4), {"method": "wavefront", "gain": 0.5}, r"gain with method='wavefront'"),
        (unitary(4), {"shape": {2, 3}}, r"shape: got \{2, 3\}"),
        (unitary(4), {"shape": 2.0}, r"shape: got 2\.0"),
        (unitary(4), {"tolerance": "x"}, r"tolerance: got 'x'"),
        (np.ma.masked_array(np.eye(2), [[0, 1], [0, 0]]), {}, r"masked array"),
        (torch.eye(3).to_sparse(), {}, r"layout torch\.sparse_coo; allowed: dense; try: matrix\.to_dense"),
        (unitary(4), {"gain": -1.0}, r"gain: got -1\.0; allowed: a number greater than 0"),
        (unitary(4), {"planes": 0}, r"planes: got 0"),
        (unitary(4), {"planes": 2.5}, r"planes: got 2\.5"),
        (unitary(4), {"tolerance": 0}, r"tolerance: got 0"),
        (unitary(4), {"shape": (0, 4)}, r"shape: got \(0, 4\)"),
        (unitary(4), {"shape": (1, 2, 2)}, r"shape: got"),
        (unitary(4), {"seed": -1}, r"seed"),
        (unitary(4), {"method": "acdc", "planes": 3}, r"planes: got 3; allowed: an even number"),
        (unitary(4), {"method": "acdc", "gain": 0.1}, r"gain with method='acdc'"),
    ],
)
def test_what_cannot_be_is_said(matrix, options, sentence):
    with pytest.raises(InputError, match=sentence):
        synthesise(matrix, **options)


def test_one_of_one_matrix():
    with pytest.raises(InputError, match="one matrix"):
        synthesise(unitary(2))[0]
