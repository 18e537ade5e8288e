"""Least squares over phases, wavefront matching, and the count of masks: dense products, finite differences, ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from photonic_acdc.synthesis import fit as fit_module
from photonic_acdc.synthesis.counting import fewest_planes
from photonic_acdc.synthesis.fit import fit_phases
from photonic_acdc.synthesis.lenses import operator
from photonic_acdc.synthesis.phases import backward_fields, forward_fields, normal_equations, random_masks
from photonic_acdc.synthesis.wavefront import match_wavefronts

GRIDS = [(5,), (6,), (2, 3), (3, 3), (2, 4)]


def haar(n: int, seed: int, count: int = 1) -> torch.Tensor:
    g = np.random.default_rng(seed)
    q, r = np.linalg.qr(g.standard_normal((count, n, n)) + 1j * g.standard_normal((count, n, n)))
    d = np.diagonal(r, axis1=1, axis2=2)
    return torch.from_numpy(q * (d / np.abs(d))[:, None])


def contractions(out: int, in_: int, seed: int, count: int, largest: float = 1.0) -> torch.Tensor:
    g = np.random.default_rng(seed)
    a = g.standard_normal((count, out, in_)) + 1j * g.standard_normal((count, out, in_))
    return torch.from_numpy(largest * a / np.linalg.norm(a, 2, axis=(1, 2))[:, None, None])


def dense_lens(grid: tuple[int, ...]) -> np.ndarray:
    lens = np.ones((1, 1))
    for side in grid:
        k = np.arange(side)
        lens = np.kron(lens, np.exp(-2j * np.pi * np.outer(k, k) / side) / math.sqrt(side))
    return lens


def dense(masks: torch.Tensor, grid: tuple[int, ...]) -> np.ndarray:
    """T of masks [M, n] by matrix products, read as it was fed."""
    lens = dense_lens(grid)
    total = np.diag(masks[0].numpy())
    for mask in masks[1:].numpy():
        total = np.diag(mask) @ lens @ total
    total = lens @ total if len(masks) % 2 == 0 else total
    return lens @ lens @ total if len(masks) // 2 % 2 else total  # two lenses turn the image


def dense_error(masks: torch.Tensor, wanted: torch.Tensor, grid: tuple[int, ...]) -> float:
    out, in_ = wanted.shape
    a = wanted.numpy()
    return float(np.linalg.norm(dense(masks, grid)[:out, :in_] - a) / np.linalg.norm(a))


def ones(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.float64)


def at(phases: torch.Tensor) -> torch.Tensor:
    return torch.polar(torch.ones_like(phases), phases)


# --- derivatives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_every_mask_splits_the_cascade_into_forward_and_backward_fields(grid, planes):
    n, out, in_ = math.prod(grid), 2, 3
    masks = torch.stack([random_masks(planes, grid, 0, s) for s in range(2)])
    before, output = forward_fields(masks, in_, grid)
    behind = backward_fields(masks, torch.eye(out, n, dtype=masks.dtype).expand(2, -1, -1), grid)
    for s in range(2):
        whole = dense(masks[s], grid)
        assert np.abs(output[s].T.numpy() - whole[:, :in_]).max() < 1e-14
        for k in range(planes):
            split = behind[s, k] @ masks[s, k].diag() @ before[s, k].T
            assert np.abs(split.numpy() - whole[:out, :in_]).max() < 1e-14


@pytest.mark.parametrize(("grid", "planes", "out", "in_"), [((5,), 3, 2, 4), ((6,), 4, 6, 6), ((2, 3), 3, 3, 2)])
def test_normal_equations_agree_with_finite_differences(grid, planes, out, in_):
    n, step = math.prod(grid), 1e-6
    target = contractions(out, in_, 3, 1)
    phases = random_masks(planes, grid, 1, 0).angle().flatten()

    def off(p):
        block = dense(at(p).reshape(planes, n), grid)[:out, :in_] - target[0].numpy()
        return np.concatenate([np.real(block).ravel(), np.imag(block).ravel()])

    shifts = step * torch.eye(len(phases), dtype=torch.float64)
    jacobian = np.stack([(off(phases + d) - off(phases - d)) / (2 * step) for d in shifts], axis=1)
    gradient, gram = normal_equations(at(phases).reshape(1, planes, n), target, grid)
    assert np.abs(gradient[0].numpy() - jacobian.T @ off(phases)).max() < 1e-8
    assert np.abs(np.tril(gram[0].numpy()) - np.tril(jacobian.T @ jacobian)).max() < 1e-8
    assert np.abs(jacobian.T @ off(phases)).max() > 0.01


# --- unitary matrices -----------------------------------------------------------------------------------------------

UNITARY = [(4,), (5,), (7,), (8,), (12,), (16,), (2, 2), (3, 3), (3, 4), (4, 4), (2, 8)]


@pytest.mark.parametrize("more", [2, 3])
@pytest.mark.parametrize("grid", UNITARY)
def test_two_masks_more_than_modes_make_any_unitary_matrix_from_the_first_start(grid, more):
    n = math.prod(grid)
    targets = haar(n, n, 8)
    found = fit_phases(targets, grid, n + more, gain=ones(8), starts=1)
    for j in range(8):
        assert dense_error(found.masks[j], targets[j], grid) < 1e-9
        assert found.error[j] == pytest.approx(dense_error(found.masks[j], targets[j], grid), abs=1e-13)
    assert found.iterations.max() < 60
    assert (found.masks.abs() - 1).abs().max() < 1e-15


@pytest.mark.parametrize("n", [31, 32])
def test_a_large_unitary_matrix_takes_few_steps(n):
    target = haar(n, 0)
    found = fit_phases(target, (n,), n + 2, gain=ones(1), starts=1, iterations=60)
    assert dense_error(found.masks[0], target[0], (n,)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("n", [31, 32])
def test_large_unitary_matrices_from_every_start(n):
    for seed in range(8):
        target = haar(n, seed + 1)
        found = fit_phases(target, (n,), n + 2, gain=ones(1), starts=1, iterations=60, seed=seed)
        assert dense_error(found.masks[0], target[0], (n,)) < 1e-9


@pytest.mark.parametrize("n", [4, 8])
def test_structured_unitary_matrices_are_no_harder(n):
    k = np.arange(n)
    half = haar(n // 2, 2, 2)
    cosine = np.cos(np.pi * np.outer(k, 2 * k + 1) / (2 * n)) * np.where(k, math.sqrt(2 / n), math.sqrt(1 / n))[:, None]
    targets = [np.eye(n), np.roll(np.eye(n), 1, 0), cosine, dense_lens((n,)), torch.block_diag(*half).numpy()]
    batch = torch.stack([torch.as_tensor(t).to(torch.complex128) for t in targets])
    found = fit_phases(batch, (n,), n + 2, gain=ones(len(batch)))
    assert max(dense_error(m, t, (n,)) for m, t in zip(found.masks, batch, strict=True)) < 1e-9


# --- any matrix, by features fed no light -----------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("n", [4, 8])
def test_two_masks_more_than_the_side_make_any_matrix_on_twice_the_modes(n, gain):
    targets = contractions(n, n, 5, 8)
    for planes in (n + 2, n + 3):
        found = fit_phases(targets, (2 * n,), planes, gain=gain * ones(8), starts=1)
        assert max(dense_error(m, gain * t, (2 * n,)) for m, t in zip(found.masks, targets, strict=True)) < 1e-9


@pytest.mark.parametrize(
    ("out", "in_", "grid", "planes"),
    [(16, 16, (32,), 18), (5, 5, (10,), 7), (8, 3, (11,), 8), (3, 8, (16,), 6), (4, 4, (2, 4), 6), (8, 8, (4, 4), 10)],
)
def test_blocks_of_other_shapes(out, in_, grid, planes):
    targets = contractions(out, in_, 6, 2, largest=4.0)
    gain = torch.tensor([0.7, 0.3], dtype=torch.float64) / 4
    found = fit_phases(targets, grid, planes, gain=gain)
    for j in range(2):
        assert dense_error(found.masks[j], gain[j] * targets[j], grid) < 1e-9


def test_a_matrix_of_low_rank_and_a_diagonal_one():
    targets = torch.stack([torch.outer(haar(6, 1)[0, 0], haar(6, 2)[0, 0]), haar(6, 3)[0].abs().diagonal().diag() + 0j])
    found = fit_phases(targets, (12,), 8, gain=0.7 * ones(2))
    assert max(dense_error(m, 0.7 * t, (12,)) for m, t in zip(found.masks, targets, strict=True)) < 1e-9


# --- starts, batches, ends ------------------------------------------------------------------------------------------


def test_a_target_that_misses_is_started_again_and_the_best_start_kept():
    targets = haar(8, 0, 8)
    once = fit_phases(targets, (8,), 9, gain=ones(8), starts=1)
    often = fit_phases(targets, (8,), 9, gain=ones(8), starts=12)
    missed = once.error > 1e-10
    assert 0 < missed.sum() < 8  # N + 1 masks, just as many as counted: some starts succeed
    assert (often.error <= once.error).all()
    assert (often.error < 1e-9).all()
    assert torch.equal(often.masks[~missed], once.masks[~missed])
    assert torch.equal(often.iterations[~missed], once.iterations[~missed])
    assert (often.iterations[missed] > once.iterations[missed]).all()


def test_a_target_is_fitted_alike_alone_in_a_batch_and_in_parts(monkeypatch):
    targets = haar(6, 1, 5)
    together = fit_phases(targets, (6,), 8, gain=ones(5))
    alone = [fit_phases(t[None], (6,), 8, gain=ones(1)) for t in targets]
    monkeypatch.setattr(fit_module, "ENTRIES", 2 * 48**2)
    parts = fit_phases(targets, (6,), 8, gain=ones(5))
    # Rounding differs with the batch, and a search makes more of it.
    assert (together.masks - torch.cat([a.masks for a in alone])).abs().max() < 1e-6
    assert (together.masks - parts.masks).abs().max() < 1e-6
    assert together.iterations.tolist() == [a.iterations.item() for a in alone] == parts.iterations.tolist()


def test_the_seed_decides():
    target = haar(4, 0)
    first, again, other = (fit_phases(target, (4,), 6, gain=ones(1), seed=s).masks for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1
    assert not torch.equal(random_masks(3, (4,), 0, 0), random_masks(3, (4,), 0, 1))


def test_too_few_masks_give_their_best():
    targets = haar(6, 0, 2)
    found = fit_phases(targets, (6,), 4, gain=ones(2), starts=2)
    for j in range(2):
        error = dense_error(found.masks[j], targets[j], (6,))
        assert 0.1 < error < 1
        assert found.error[j] == pytest.approx(error, rel=1e-12)
    # A minimum: no phase alone makes it better.
    for shift in (1e-3, -1e-3):
        for k in range(4):
            for p in range(6):
                moved = found.masks[0].clone()
                moved[k, p] *= complex(math.cos(shift), math.sin(shift))
                assert dense_error(moved, targets[0], (6,)) > found.error[0] - 1e-7


def test_a_fit_ends_at_its_tolerance_and_at_rounding():
    target = haar(8, 4)
    rough = fit_phases(target, (8,), 10, gain=ones(1), starts=1, tolerance=1e-2)
    assert 1e-6 < rough.error < 1e-2
    exact = fit_phases(target, (8,), 10, gain=ones(1), starts=1, tolerance=0.0)
    assert exact.error < 1e-14
    assert rough.iterations < exact.iterations < 200
    short = fit_phases(target, (8,), 10, gain=ones(1), starts=3, iterations=2)
    assert short.iterations == 6


def test_the_best_start_is_kept_where_all_miss():
    targets = haar(5, 2, 4)
    fits = [fit_phases(targets, (5,), 4, gain=ones(4), starts=s) for s in (1, 2, 3, 6)]
    errors = torch.stack([f.error for f in fits])
    assert errors.min() > 1e-3
    assert (errors.diff(dim=0) <= 0).all()
    assert (errors.diff(dim=0) == 0).any(0).any()  # a start that was worse changed nothing
    for j in range(4):
        assert dense_error(fits[-1].masks[j], targets[j], (5,)) == pytest.approx(errors[-1, j].item(), rel=1e-12)


def test_progress_counts_steps_up_to_the_last():
    seen = []
    found = fit_phases(haar(4, 0), (4,), 6, gain=ones(1), starts=2, iterations=40, progress=lambda *a: seen.append(a))
    assert seen == [(i + 1, 80) for i in range(found.iterations)] + [(80, 80)]


def test_progress_goes_on_over_starts_and_parts(monkeypatch):
    monkeypatch.setattr(fit_module, "ENTRIES", 1)
    seen = []
    short = {"starts": 2, "iterations": 3, "progress": lambda *a: seen.append(a)}
    fit_phases(haar(4, 0, 2), (4,), 6, gain=ones(2), **short)
    assert seen == [(i + 1, 12) for i in range(12)] + [(12, 12)]


def test_an_interrupt_passes():
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_phases(haar(4, 0), (4,), 6, gain=ones(1), progress=interrupt)


# --- counting -------------------------------------------------------------------------------------------------------


def rank(out: int, in_: int, grid: tuple[int, ...], planes: int) -> int:
    """Real dimensions in which the block moves when the phases do, by automatic differentiation."""
    phases = random_masks(planes, grid, 7, 0).angle()
    block = torch.func.jacrev(lambda p: torch.view_as_real(operator(at(p), grid)[:out, :in_]))(phases)
    singular = torch.linalg.svdvals(block.reshape(2 * out * in_, -1))
    return int((singular > 1e-9 * singular[0]).sum())


def test_a_unitary_matrix_takes_one_mask_more_than_modes():
    assert [fewest_planes(n, n, n) for n in (2, 3, 4, 7, 16, 33)] == [3, 4, 5, 8, 17, 34]


def test_a_block_on_twice_the_modes():
    assert [fewest_planes(n, n, 2 * n) for n in (4, 8, 16)] == [6, 10, 18]
    assert [fewest_planes(n, n, 2 * n) for n in (3, 5, 7)] == [4, 6, 8]


@pytest.mark.parametrize(
    ("out", "in_", "grid"),
    [
        (3, 3, (3,)),
        (4, 4, (2, 2)),
        (6, 6, (2, 3)),
        (4, 4, (8,)),
        (3, 3, (6,)),
        (5, 3, (8,)),
        (2, 6, (8,)),
        (6, 5, (8,)),
        (4, 3, (2, 4)),
    ],
)
def test_the_count_is_the_rank_of_the_jacobian(out, in_, grid):
    n = math.prod(grid)
    planes = fewest_planes(out, in_, n)
    fixed = 2 * out * in_ - max(0, out + in_ - n) ** 2
    assert rank(out, in_, grid, planes) == rank(out, in_, grid, planes + 3) == fixed
    assert rank(out, in_, grid, planes - 1) < fixed


@pytest.mark.parametrize(("n", "modes", "lossless"), [(3, 4, 3), (4, 6, 2), (5, 10, 1), (8, 16, 0), (5, 5, 5)])
def test_one_mask_fewer_than_counted_fails_and_two_more_do(n, modes, lossless):
    g = np.random.default_rng(n)
    sigma = torch.from_numpy(np.concatenate([np.ones(lossless), g.uniform(0.3, 0.9, n - lossless)]))
    targets = haar(n, 1, 3) * sigma @ haar(n, 2, 3)
    planes = fewest_planes(n, n, modes, lossless=lossless)
    # The block is off by the square of the light that leaks where none should: one mask short may be as near as this.
    assert fit_phases(targets, (modes,), planes - 1, gain=ones(3)).error.min() > (1e-6 if lossless == 1 else 1e-3)
    assert fit_phases(targets, (modes,), planes + 2, gain=ones(3)).error.max() < 1e-9


# --- wavefront matching ---------------------------------------------------------------------------------------------


def overlap(masks: torch.Tensor, target: torch.Tensor, grid: tuple[int, ...]) -> np.ndarray:
    out, in_ = target.shape[-2:]
    blocks = [dense(m, grid)[:out, :in_] for m in masks]
    return np.array([np.vdot(a.numpy(), b) for a, b in zip(target, blocks, strict=True)])


@pytest.mark.parametrize(
    ("grid", "planes", "out", "in_"), [((6,), 7, 6, 6), ((6,), 8, 6, 6), ((3, 3), 6, 4, 2), ((2, 4), 5, 3, 4)]
)
def test_the_overlap_never_falls_and_is_real(grid, planes, out, in_):
    target = haar(6, 0, 3) if out == in_ else contractions(out, in_, 0, 3)
    masks = torch.stack([random_masks(planes, grid, 0, s) for s in range(3)])
    last = np.abs(overlap(masks, target, grid))
    for sweep in range(12):
        masks = match_wavefronts(masks, target, grid, sweeps=1)
        now = overlap(masks, target, grid)
        assert np.abs(np.imag(now)).max() < 1e-13
        now = np.real(now)
        assert (now >= last - 1e-13).all()
        assert sweep or (now > 1.2 * last).all()
        last = now
    assert (masks.abs() - 1).abs().max() < 1e-14


def test_sweeps_together_are_sweeps_one_by_one():
    target, grid = haar(5, 0, 2), (5,)
    start = torch.stack([random_masks(7, grid, 0, s) for s in range(2)])
    kept = start.clone()
    one = start
    for _ in range(4):
        one = match_wavefronts(one, target, grid, sweeps=1)
    assert (match_wavefronts(start, target, grid, sweeps=4) - one).abs().max() < 1e-12
    assert torch.equal(start, kept)


def test_a_mask_is_at_its_best_given_the_others():
    target, grid = haar(4, 0), (4,)
    masks = match_wavefronts(random_masks(6, grid, 0, 0)[None], target, grid, sweeps=1)
    best = np.real(overlap(masks, target, grid))
    for p in range(4):
        for phase in np.linspace(0.1, 6.1, 7):
            moved = masks.clone()
            moved[0, -1, p] *= complex(math.cos(phase), math.sin(phase))
            assert np.real(overlap(moved, target, grid)) < best


@pytest.mark.parametrize("grid", [(8,), (2, 4)])
def test_twice_as_many_masks_as_modes_are_matched_closely(grid):
    target = haar(8, 0, 2)
    start = random_masks(16, grid, 0, 0).expand(2, -1, -1)
    steps = []
    masks = match_wavefronts(start, target, grid, sweeps=500, progress=lambda *a: steps.append(a))
    assert max(dense_error(m, t, grid) for m, t in zip(masks, target, strict=True)) < 1e-7
    assert steps[0] == (1, 500)
    assert steps[-1][0] < 500  # still, and so at an end


def test_another_matrix_is_matched_by_its_polar_factor():
    target, grid = contractions(4, 4, 0, 1), (8,)
    masks = match_wavefronts(random_masks(16, grid, 0, 0)[None], target, grid, sweeps=2000)
    w, sigma, vh = np.linalg.svd(target[0].numpy())
    assert np.real(overlap(masks, target, grid))[0] == pytest.approx(sigma.sum(), rel=1e-6)
    assert np.abs(dense(masks[0], grid)[:4, :4] - w @ vh).max() < 1e-2


def test_a_pixel_without_light_keeps_its_phase():
    start = random_masks(5, (6,), 0, 0)[None]
    masks = match_wavefronts(start, contractions(2, 3, 0, 1), (6,), sweeps=3)
    assert torch.equal(masks[0, 0, 3:], start[0, 0, 3:])  # not fed
    assert torch.equal(masks[0, -1, 2:], start[0, -1, 2:])  # not read
    assert (masks[0, 1:-1] - start[0, 1:-1]).abs().min() > 1e-6
