"""How much a lens may be off: the N·ε law, one lens or all of them, one axis or two."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import commands_for, fidelity

import simulators as sim
from simulators.fourier import centred_dft, centres


def off_scale(count, epsilon):
    """The DFT with its scale off by ε, in numpy's closed form."""
    n = centres(count).numpy()
    return np.exp(-2j * np.pi * np.outer(n, n) * (1 + epsilon) / count) / math.sqrt(count)


@pytest.mark.parametrize("count", [31, 32, 64])
def test_one_lens_off_scale(count):
    """N ε = 0.05, 0.1, 0.2, 0.5, 1: fidelity 0.9993, 0.997, 0.989, 0.934, 0.762 of the operator, one axis."""
    exact = centred_dft(count).numpy()
    for product, expected in ((0.05, 0.9993), (0.1, 0.997), (0.2, 0.989), (0.5, 0.934), (1.0, 0.762)):
        found = fidelity(torch.from_numpy(off_scale(count, product / count)), torch.from_numpy(exact))
        assert found == pytest.approx(expected, abs=1.5e-3)
        if product <= 0.2:
            assert 1 - found == pytest.approx(math.pi**2 / 36 * product**2, rel=0.08)


@pytest.mark.parametrize(("stages", "expected"), [(1, 0.96), (2, 0.92), (4, 0.84), (6, 0.77)])
def test_all_lenses_off_scale(stages, expected):
    """1-F = (π²/36)(N ε)² · 2K · axes for independent masks: N ε = 0.2 in two axes, mean over masks of both signs."""
    count, product = 16, 0.2
    found = []
    for seed in range(4):
        masks = [command.field() for command in commands_for(((count, count),) * (2 * stages), seed)]
        x = torch.randn(40, count, count, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
        signs = np.random.default_rng(seed).choice([-1, 1], 2 * stages)
        exact, off = x, x
        for mask, sign in zip(masks, signs, strict=True):
            lens, wrong = centred_dft(count), torch.from_numpy(off_scale(count, sign * product / count))
            exact, off = lens @ (exact * mask) @ lens.mT, wrong @ (off * mask) @ wrong.mT
        found.append(fidelity(off, exact))
    assert np.mean(found) == pytest.approx(expected, abs=0.015)


def test_the_scale_of_the_bench_s_lens_is_that_of_its_focal_length():
    """M = λf/(p₁p₂): 1 % of focal length is 1 % of M, through either simulator; a wavelength error as well."""
    bench = sim.reference_bench((8, 8)).only("*.scale_error")
    commands = commands_for(bench.command_shapes)
    field = torch.randn(1, 2, 8, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    longer = [
        place.replace(device=place.device.replace(focal_length=place.device.focal_length * 1.01)) if j % 2 else place
        for j, place in enumerate(bench.stage)
    ]
    changed = bench.replace(stage=tuple(longer))
    for simulator, limit in ((sim.Pixel, 1e-12), (sim.Wave, 1e-8)):  # the other M has another low pass
        state = dict(bench.nominal(1))
        for i in (0, 1):
            state[f"stage[0].lens[{i}].scale"] = state[f"stage[0].lens[{i}].scale"] * 1.01
        by_state = simulator(bench, 1, order=3)(commands, field, state)
        by_spec = simulator(changed, 1, order=3)(commands, field, changed.nominal(1))
        assert (by_state - by_spec).abs().max() < limit * by_spec.abs().max()
        red = bench.replace(source=bench.source.replace(wavelength_error=0.01), keep=("*.wavelength_error",))
        state = {**red.nominal(1), "source.wavelength": torch.full((1, 1), 1.01, dtype=torch.float64)}
        by_wavelength = simulator(red, 1, order=3)(commands, field, state)
        assert (by_wavelength - by_spec).abs().max() < limit * by_spec.abs().max()
