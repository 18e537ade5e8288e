"""`Pixel` against brute-force integration, and what must hold of every field operator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import simulators as sim
from simulators.fourier import lens_matrix, two_lens_taps


def legendre(order, x):
    """Orthonormal Legendre polynomial on [-1/2, 1/2]."""
    return math.sqrt(2 * order + 1) * np.polynomial.legendre.Legendre.basis(order)(2 * x)


@pytest.mark.parametrize(("n", "p", "scale"), [(2, 4, 3.7), (3, 6, 5.45), (8, 16, 15.454)])
def test_lens_matrix_equals_brute_force_integration(n, p, scale):
    """(1/√M) ∬ P_a(u) P_b(x) e^{-2πi x u/M} by midpoints, 400 a pixel and axis; midpoint error ~ 1/(24·400²)·f''."""
    order, fine = 3, 400
    cell = (np.arange(fine) + 0.5) / fine - 0.5
    basis = np.stack([legendre(a, cell) for a in range(order)]) / fine
    matrix = lens_matrix(n, p, torch.tensor(scale, dtype=torch.float64), order_in=order, order_out=order).numpy()
    for k in (0, p - 1, p // 2):
        for m in (0, n - 1):
            u = (k - (p - 1) / 2) + cell
            x = (m - (n - 1) / 2) + cell
            kernel = np.exp(-2j * math.pi * np.outer(u, x) / scale) / math.sqrt(scale)
            brute = basis @ kernel @ basis.T
            block = matrix[k * order : (k + 1) * order, m * order : (m + 1) * order]
            assert np.abs(block - brute).max() < 2e-5


def fidelity(a, b):
    return float((a.conj() * b).sum().abs() ** 2 / ((a.abs() ** 2).sum() * (b.abs() ** 2).sum()))


def box(field, order):
    """The field projected on each mode's box: what a coherent readout sees."""
    y, x = field.shape[-2] // order, field.shape[-1] // order
    return field.reshape(*field.shape[:-2], y, order, x, order)[..., :, 0, :, 0]


@pytest.mark.parametrize("seed", range(3))
def test_convergence_with_the_order(seed):
    """Four stages of random masks, 1-F of the read field to order 6: ≤ 5e-3 at q = 2, ≤ 5e-5 at q = 3."""
    bench, stages = sim.reference_bench().only(), 4
    generator = torch.Generator().manual_seed(seed)
    commands = [
        sim.Command(2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))
        for shape in bench.command_shapes * stages
    ]
    x = torch.randn(1, 4, 8, 8, generator=generator, dtype=torch.complex128)
    read = {q: box(sim.Pixel(bench, stages, order=q)(commands, x, bench.nominal(stages)), q) for q in (1, 2, 3, 6)}
    assert 1 - fidelity(read[2], read[6]) <= 5e-3
    assert 1 - fidelity(read[3], read[6]) <= 5e-5
    assert 1 - fidelity(read[1], read[6]) > 0.05  # one sample a pixel is wrong


def test_two_stages_equal_brute_force_sampling():
    """1-D, the field on 24 samples a pixel in every plane, midpoint rule: the cascade converges to `Pixel`."""
    n, p, scale, fine, stages = 4, 8, 7.6, 24, 2
    rng = np.random.default_rng(0)
    masks = [rng.uniform(0, 2 * np.pi, count) for count in (n, p) * stages]
    x = rng.normal(size=n) + 1j * rng.normal(size=n)

    def places(count):
        return (np.arange(count * fine) - (count * fine - 1) / 2) / fine

    kernel = np.exp(-2j * np.pi * np.outer(places(p), places(n)) / scale) / np.sqrt(scale) / fine
    field = np.repeat(x, fine)
    for j, mask in enumerate(masks):
        field = np.repeat(np.exp(1j * mask), fine) * field
        field = (kernel if j % 2 == 0 else kernel.T) @ field
    brute = field.reshape(n, fine).mean(1)
    order = 6
    lens = lens_matrix(n, p, torch.tensor(scale, dtype=torch.float64), order_in=order, order_out=order).numpy()
    modes = np.zeros(n * order, dtype=complex)
    modes[::order] = x
    for j, mask in enumerate(masks):
        modes = np.repeat(np.exp(1j * mask), order) * modes
        modes = (lens if j % 2 == 0 else lens.T) @ modes
    assert np.abs(modes[::order] - brute).max() / np.abs(brute).max() < 2e-3


def test_taps_of_two_lenses_equal_the_operator():
    """T[l, n] = t[n + l] with t = B D, against the simulator at an order where it has converged."""
    n, p, scale, order = 5, 10, 9.3, 12
    mask = torch.randn(p, dtype=torch.complex128)
    lens = lens_matrix(n, p, torch.tensor(scale, dtype=torch.float64), order_in=1, order_out=order)
    operator = lens.mT @ (mask.repeat_interleave(order)[:, None] * lens)
    taps = two_lens_taps(n, p, scale) @ mask
    hankel = torch.stack([taps[i : i + n] for i in range(n)])
    assert (operator - hankel).abs().max() < 1e-12


@pytest.mark.parametrize("kind", ["pixel", "ideal"])
@pytest.mark.parametrize("modes", [(8, 8), (3, 7), (1, 5)])
def test_adjoint_and_matrix_agree(kind, modes):
    """⟨Ax, y⟩ = ⟨x, A†y⟩ to 1e-12, non-square, odd and even, lossy, static errors; matrix() is the same operator."""
    stages = 2
    bench = sim.reference_bench(modes, complex_masks=True)
    simulator = sim.Pixel(bench, stages, order=3) if kind == "pixel" else sim.Ideal(bench, stages)
    state = sim.Realisations(3, (0, 1)).draw(bench, stages)
    commands = [
        sim.Command(6.3 * torch.rand(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64))
        for shape in simulator.command_shapes
    ]
    x = torch.randn(1, 1, *modes, dtype=torch.complex128)
    for moments in (None, simulator.moments):
        ax = simulator(commands, x, state, moments=moments)
        y = torch.randn(*ax.shape[-4:], dtype=torch.complex128)
        back = simulator.adjoint(commands, y, state, moments=moments)
        left = (ax.conj() * y).sum((-1, -2, -3))
        right = (x.conj() * back).sum((-1, -2, -3))
        assert (left - right).abs().max() < 1e-12 * left.abs().max().clamp(min=1)
        matrix = simulator.matrix(commands, state, moments=moments)
        assert (matrix @ x.flatten(-2).mT - ax.flatten(-2).mT).abs().max() < 1e-12
        pulled = matrix.mH @ y.flatten(-2).mT
        assert (pulled - back.flatten(-2).mT).abs().max() < 1e-12


@given(
    modes=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    stages=st.integers(1, 3),
    order=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_no_field_operator_amplifies(modes, stages, order, seed):
    """Largest singular value ≤ 1, for any masks, all static errors drawn."""
    bench = sim.reference_bench(modes, complex_masks=bool(seed % 2))
    simulator = sim.Pixel(bench, stages, order=order)
    state = sim.Realisations(seed, (0, 1)).draw(bench, stages)
    generator = torch.Generator().manual_seed(seed)
    commands = [
        sim.Command(
            6.3 * torch.rand(shape, generator=generator, dtype=torch.float64),
            torch.rand(shape, generator=generator, dtype=torch.float64) if seed % 2 else None,
        )
        for shape in simulator.command_shapes
    ]
    matrix = simulator.matrix(commands, state, moments=simulator.moments)
    assert torch.linalg.matrix_norm(matrix, 2).max() <= 1 + 1e-12
    flat = [sim.Command(torch.zeros_like(command.phase)) for command in commands]
    ideal = sim.Pixel(bench.only(), stages, order=order)
    assert torch.linalg.matrix_norm(ideal.matrix(flat, bench.only().nominal(stages)), 2).max() <= 1 + 1e-12


def test_gradients_of_masks_and_figures():
    """gradcheck in float64 of masks, field, lens scale and every smooth figure (rounding off: it has none)."""
    bench = sim.reference_bench((2, 3)).without("*.quantisation")
    simulator = sim.Pixel(bench, 1, order=2)
    state = dict(sim.Realisations(0, (0,)).draw(bench, 1))
    names = [
        "stage[0].lens[0].scale",
        "panel[slm].lut_residual",
        "panel[slm].flicker",
        "stage[0].mask[0].zero_order_leak",
        "stage[0].mask[1].phase_error",
        "stage[0].lens[1].transmission",
    ]
    field = torch.randn(1, 2, 2, 3, dtype=torch.complex128, requires_grad=True)
    # A corner of the Fourier mask: its full size would only repeat the same formula.
    corner = torch.rand(2, 2, dtype=torch.float64, requires_grad=True)
    phase = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    base = torch.rand(16, 16, dtype=torch.float64)
    figures = [state[name].clone().requires_grad_() for name in names if "phase_error" not in name]

    def out(field, phase, corner, *values):
        mask = torch.cat([torch.cat([corner, base[:2, 2:]], 1), base[2:]])
        changed = {**state, **dict(zip([n for n in names if "phase_error" not in n], values, strict=True))}
        found = simulator([sim.Command(phase), sim.Command(mask)], field, changed, moments=simulator.moments)
        return found.real.sum((-1, -2)), found.imag[..., 0]

    assert torch.autograd.gradcheck(out, (field, phase, corner, *figures))


def test_removing_an_effect_changes_the_field_and_nothing_else():
    """Each optical effect acts when on; with it removed, the field is that of a bench that never had it."""
    bench, stages = sim.reference_bench(complex_masks=True), 2
    generator = torch.Generator().manual_seed(1)
    commands = [
        sim.Command(
            6.3 * torch.rand(s, generator=generator, dtype=torch.float64),
            torch.rand(s, generator=generator, dtype=torch.float64),
        )
        for s in bench.command_shapes * stages
    ]
    values = torch.rand(1, 1, 8, 8, generator=generator, dtype=torch.float64)

    def light(changed, shots=None):
        simulator = sim.Pixel(changed, stages, order=2)
        state = sim.Realisations(0, (0,)).draw(changed, stages)
        field = simulator.illuminate(values, state, shots=shots)
        return simulator(commands, field, state, moments=simulator.moments)

    shots = sim.Shots(0, (0,), (0,))
    with_all = light(bench, shots)
    optical = [e for e in bench.effects(stages) if not e.address.startswith("detector")]
    for effect in optical:
        without = light(bench.without(str(effect)), shots)
        assert not torch.equal(without.mean(0), with_all.mean(0)), effect
    nothing = light(bench.without(*map(str, optical)), shots)
    assert torch.equal(nothing, light(bench.only(), shots))
