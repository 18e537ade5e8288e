r"""Static phase errors of a cascade: how far the field strays from the ideal one.

K masks of unit modulus, N_k pixels each, lossless lenses between them, independent errors ε ~ N(0, s²) a pixel. With
the ideal field φ and the field ψ that arrive at mask k, averaging over that mask's errors alone gives exactly

.. math:: E_k|⟨φ, e^{iε}ψ⟩|² = e^{-s²} |⟨φ, ψ⟩|² + (1 - e^{-s²}) \sum_n |φ_n|² |ψ_n|².

Where the *ideal* field is flat at the mask, |φ_n|² = 1/N_k, the sum is 1/N_k (power is conserved), hence

.. math:: E[F_k] = e^{-s²} E[F_{k-1}] + (1 - e^{-s²})/N_k, \quad F_0 = 1,

which for equal N is E[F_K] = e^{-Ks²} + (1 - e^{-Ks²})/N. The *product* Π_k [e^{-s²} + (1 - e^{-s²})/N_k] is exact for
one plane, and for several up to terms of second order in (1 - e^{-s²}): it forgets that of the light which one mask
scatters out of the ideal field the next scatters 1/N back into it. It tends to N^-K for large s, where two unrelated
fields overlap by 1/N.
"""

from __future__ import annotations

import math

import pytest
import torch

import simulators as sim
from simulators.fourier import along_axes, centred_dft, centres

SIDE = 8
N = SIDE**2


def chirps(shift):
    """Phases θ of a flat field whose centred DFT is flat as well: θ = π(n - d)²/N an axis, for even N and whole d.

    The DFT is e^{iπ(n-d)²/N} e^{-2πi nk/N} = e^{iπ(n-k-d)²/N} times a phase of k, summed over n. n - k is whole, and
    e^{iπm²/N} has period N in a whole m, so the sum does not depend on k.
    """
    y, x = (centres(SIDE) - d for d in shift)
    return math.pi / SIDE * (y[:, None] ** 2 + x**2)


def flat_masks(planes, generator):
    """Unit-modulus masks of a cascade in which the ideal field is flat at every mask, from a flat input.

    Every mask first takes off the phase of what arrives, then writes a chirp, its sign and shift at random.
    """
    lens = centred_dft(SIDE)
    field = torch.full((SIDE, SIDE), 1 / SIDE, dtype=torch.complex128)
    masks = []
    for _ in range(planes):
        sign = 1 if torch.rand((), generator=generator) < 0.5 else -1
        shift = torch.randint(SIDE, (2,), generator=generator).tolist()
        wanted = sign * chirps(shift)
        masks.append(torch.exp(1j * (wanted - torch.angle(field))))
        field = along_axes(lens, field * masks[-1], lens)
        assert (field.abs() * SIDE - 1).abs().max() < 1e-9, "the ideal field is not flat"
    return masks


def fidelities(masks, s, count, generator):
    """F = |⟨E₀, E⟩|²/(|E₀|² |E|²) of ``count`` cascades with errors of rms ``s`` on every mask."""
    lens = centred_dft(SIDE)
    ideal = torch.full((1, SIDE, SIDE), 1 / SIDE, dtype=torch.complex128)
    erring = ideal.expand(count, SIDE, SIDE)
    for mask in masks:
        error = s * torch.randn(count, SIDE, SIDE, generator=generator, dtype=torch.float64)
        ideal = along_axes(lens, ideal * mask, lens)
        erring = along_axes(lens, erring * mask * torch.exp(1j * error), lens)
    assert ((erring.abs() ** 2).sum((-2, -1)) - 1).abs().max() < 1e-12  # lossless
    return (ideal.conj() * erring).sum((-2, -1)).abs() ** 2


def expected(s, sizes):
    """The recursion above."""
    kept, fidelity = math.exp(-(s**2)), 1.0
    for n in sizes:
        fidelity = kept * fidelity + (1 - kept) / n
    return fidelity


def product(s, sizes):
    """Π_k [e^{-s²} + (1 - e^{-s²})/N_k]."""
    kept = math.exp(-(s**2))
    return math.prod(kept + (1 - kept) / n for n in sizes)


def sigmas(samples, value):
    """How many standard errors the mean of ``samples`` is from ``value``."""
    return abs(samples.mean().item() - value) / (samples.std().item() / math.sqrt(len(samples)))


@pytest.mark.parametrize("s", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_fidelity_of_flat_fields(planes, s):
    """E[F] within 5 standard errors of 20000 cascades; and in closed form e^{-Ks²} + (1 - e^{-Ks²})/N."""
    generator = torch.Generator().manual_seed(planes)
    masks = flat_masks(planes, generator)
    sample = fidelities(masks, s, 20_000, generator)
    value = expected(s, [N] * planes)
    assert value == pytest.approx(math.exp(-planes * s**2) * (1 - 1 / N) + 1 / N, rel=1e-12)
    assert sigmas(sample, value) < 5
    # The pixels are few enough to matter: without their 1/N the mean is off by more than the errors allow.
    if s >= 0.3:
        assert sigmas(sample, math.exp(-planes * s**2)) > 5


def test_the_product_is_exact_for_one_plane_and_an_approximation_for_more():
    """It falls short by (1 - e^{-s²})²/N a pair of planes, to lowest order: nothing for small errors."""
    assert product(0.7, [N]) == pytest.approx(expected(0.7, [N]), rel=1e-12)
    for planes in (2, 4):
        for s in (0.05, 0.1):
            gap = expected(s, [N] * planes) - product(s, [N] * planes)
            pairs = planes * (planes - 1) / 2
            assert gap == pytest.approx(pairs * (1 - math.exp(-(s**2))) ** 2 / N, rel=0.05)
    # For large errors the two part, and the cascades go with the recursion.
    generator = torch.Generator().manual_seed(0)
    sample = fidelities(flat_masks(4, generator), 1.0, 20_000, generator)
    assert sigmas(sample, expected(1.0, [N] * 4)) < 5
    assert sigmas(sample, product(1.0, [N] * 4)) > 20
    # Unrelated fields of N pixels overlap by 1/N, however many planes.
    assert expected(10.0, [N] * 4) == pytest.approx(1 / N, rel=1e-9)


@pytest.mark.parametrize("s", [0.1, 0.3])
def test_random_masks_make_speckle_which_keeps_more(s):
    """From the second plane on Σ|φ_n|⁴ is (2 - 1/N)/N on average, as the DFT of N random phases has it.

    E[F_k] = e^{-s²}F + (1 - e^{-s²})(F·(2 - 1/N) + (1 - F))/N with F = E[F_{k-1}], as long as the scattered light is
    unrelated to the ideal field. The product lies K-1 times about (1 - e^{-s²})/N below.
    """
    planes, count, generator = 4, 20_000, torch.Generator().manual_seed(3)
    turns = torch.rand(planes, count, SIDE, SIDE, generator=generator, dtype=torch.float64)
    sample = fidelities(list(torch.exp(2j * math.pi * turns)), s, count, generator)
    kept = math.exp(-(s**2))
    value = expected(s, [N])
    for _ in range(planes - 1):
        value = kept * value + (1 - kept) * (value * (2 - 1 / N) + (1 - value)) / N
    assert sigmas(sample, value) < 5
    assert sigmas(sample, product(s, [N] * planes)) > 5
    assert value - product(s, [N] * planes) == pytest.approx((planes - 1) * (1 - kept) / N, rel=0.3)


@pytest.mark.parametrize("s", [0.3, 1.0])
def test_speckle_enters_through_the_fourth_moment_of_the_ideal_field(s):
    """Not flat: one plane gives exactly e^{-s²} + (1 - e^{-s²}) Σ|φ_n|⁴, with 2/N instead of 1/N for full speckle."""
    generator = torch.Generator().manual_seed(1)
    field = torch.randn(SIDE, SIDE, generator=generator, dtype=torch.complex128)
    field = field / field.abs().square().sum().sqrt()
    error = s * torch.randn(50_000, SIDE, SIDE, generator=generator, dtype=torch.float64)
    weight = field.abs() ** 2
    sample = (weight * torch.exp(1j * error)).sum((-2, -1)).abs() ** 2
    kept, fourth = math.exp(-(s**2)), (weight**2).sum().item()
    assert 1.5 / N < fourth < 2.5 / N
    assert sigmas(sample, kept + (1 - kept) * fourth) < 5
    assert sigmas(sample, kept + (1 - kept) / N) > 5


@pytest.mark.parametrize("s", [0.3, 1.0])
def test_planes_of_different_size(s):
    """N_1 = 16, N_2 = 64: every pixel spread evenly over 2×2 is lossless and keeps a flat field flat."""
    sizes, count = (16, 64), 20_000
    generator = torch.Generator().manual_seed(2)
    spread = torch.kron(torch.eye(4), torch.full((2, 1), math.sqrt(0.5))).to(torch.complex128)  # 8 × 4, isometric
    torch.testing.assert_close(spread.mT @ spread, torch.eye(4, dtype=torch.complex128))
    erring = torch.full((count, 4, 4), 0.25, dtype=torch.complex128)
    erring = erring * torch.exp(1j * s * torch.randn(count, 4, 4, generator=generator, dtype=torch.float64))
    erring = along_axes(spread, erring, spread)
    erring = erring * torch.exp(1j * s * torch.randn(count, 8, 8, generator=generator, dtype=torch.float64))
    sample = (erring / 8).sum((-2, -1)).abs() ** 2
    assert sigmas(sample, expected(s, sizes)) < 5
    assert sigmas(sample, expected(s, (64, 64))) > 5
    assert sigmas(sample, expected(s, (16, 16))) > 5


# --- the panel's own figure ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [0.05, 0.1, 0.4])
def test_a_panels_phase_error_has_the_spread_of_its_data_sheet(s):
    """Phase of what the masks show against what they are told, over 300 realisations; 5 standard errors s/√(2n)."""
    bench = sim.reference_bench((4, 3))
    panel = bench.stage[0].device.replace(phase_error=s)
    bench = bench.replace(
        stage=tuple(place.replace(device=panel) if i % 2 == 0 else place for i, place in enumerate(bench.stage))
    ).only("*.phase_error")
    simulator = sim.Pixel(bench, 2, order=1)
    commands = [sim.Command(2 * math.pi * torch.rand(shape, dtype=torch.float64)) for shape in simulator.command_shapes]
    realisations = 300
    state = sim.Realisations(9, tuple(range(realisations))).draw(bench, 2)
    errors = []
    for j, command in enumerate(commands):
        shown = simulator.shown(j, command, state, None, None)
        assert shown.shape == (realisations, 1, *command.phase.shape)
        torch.testing.assert_close(shown.abs(), torch.ones_like(shown.abs()))
        error = torch.angle(shown * torch.exp(-1j * command.phase))
        errors.append(error)
        n = error.numel()
        assert abs(error.mean().item()) < 5 * s / math.sqrt(n)
        assert abs(error.square().mean().sqrt().item() / s - 1) < 5 / math.sqrt(2 * n)
        # Independent a macro-pixel and static: neighbours are uncorrelated, with σ = 1/√n.
        together = (error[..., 1:] * error[..., :-1]).mean() / s**2
        assert abs(together.item()) < 5 / math.sqrt(error[..., 1:].numel())
    # The same place in the next stage errs otherwise.
    n = errors[0].numel()
    assert abs((errors[0] * errors[2]).mean().item() / s**2) < 5 / math.sqrt(n)


def test_without_the_effect_a_mask_shows_its_command():
    bench = sim.reference_bench((4, 3)).only()
    simulator = sim.Pixel(bench, 1)
    commands = [sim.Command(torch.rand(shape, dtype=torch.float64)) for shape in simulator.command_shapes]
    state = sim.Realisations(9, (0, 1)).draw(bench, 1)
    for j, command in enumerate(commands):
        shown = simulator.shown(j, command, state, None, None)
        torch.testing.assert_close(shown[0, 0], torch.exp(1j * command.phase), rtol=0, atol=1e-14)
