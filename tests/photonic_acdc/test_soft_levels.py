"""Phase panels between their levels: for a while, at random, and ever less while a model learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ranging import bench_of, optic_of, rows
from torch import nn

import photonic_acdc as pa
from photonic_acdc.optical.ranges import soft_levels
from photonic_acdc.training.annealing import AnnealedLevels
from simulators import InputError


def test_soft_levels_last_until_they_are_taken_back():
    optic, x = optic_of(), rows()
    with pa.noise(optic, "mean"):
        hard = optic(x)
        with soft_levels(optic, 0.1):
            soft = optic(x)
            with soft_levels(optic, 1e-9):
                torch.testing.assert_close(optic(x), hard, rtol=1e-9, atol=1e-9)
            assert torch.equal(optic(x), soft)
        assert torch.equal(optic(x), hard)
        soft_levels(optic, 0.1)
        assert torch.equal(optic(x), soft)
        soft_levels(optic, None)
        assert torch.equal(optic(x), hard)
    assert (soft - hard).abs().max() > 1e-3 * hard.abs().max()
    assert "soft" not in str(optic.state_dict().keys())


def test_random_assignments_are_those_of_their_exposure():
    optic, x = optic_of(), rows()

    def output(exposure, seed):
        with pa.noise(optic, "mean", exposure=exposure), soft_levels(optic, 0.05, seed=seed):
            return optic(x)

    first = output(0, 1)
    assert torch.equal(output(0, 1), first)
    assert not torch.allclose(output(1, 1), first)
    assert not torch.allclose(output(0, 2), first)


def test_random_assignments_of_a_chequerboard_are_its_native_pixels():
    bench = bench_of()
    stage = tuple(place.replace(double_phase=True) if i in (0, 2) else place for i, place in enumerate(bench.stage))
    optic = optic_of(bench.replace(stage=stage), stages=1)
    with pa.noise(optic, "mean"), soft_levels(optic, 0.05, seed=0):
        assert optic(rows()).isfinite().all()


def test_annealed_levels_harden_and_leave_hard_ones():
    method = AnnealedLevels(0.2, 1e-3)
    optic, x, wanted = optic_of(), rows(), rows(seed=3)
    optimiser = torch.optim.Adam(optic.parameters(), lr=0.05)
    found, losses = [], []
    for step in range(30):
        method.begin(step / 29)
        with pa.noise(optic, "mean"):
            with method.forward(optic):
                found.append(optic.soft.temperature)
                y = optic(x)
            loss = (y / y.mean() - wanted).square().mean()
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert found[0] == pytest.approx(0.2)
    assert found[-1] == pytest.approx(1e-3)
    ratios = np.divide(found[1:], found[:-1])
    assert ratios == pytest.approx(np.full(29, (1e-3 / 0.2) ** (1 / 29)))
    assert losses[-1] < losses[0]
    assert optic.soft is None
    assert method.settings() == {"method": "AnnealedLevels", "start": 0.2, "stop": 1e-3, "seed": None}


def test_ideal_devices_have_no_levels_to_anneal():
    """As a scale of spreads that nothing draws: what a method would not do is refused."""
    model = nn.Sequential(optic_of(), nn.Linear(16, 2, dtype=torch.float64))
    x = rows(8)
    data = pa.data.Dataset(x, torch.arange(8) % 2, torch.arange(8), "rows")
    method = AnnealedLevels(0.2, 1e-3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=r"AnnealedLevels: got noise mode 'off'.*noise_mode='mean' or 'sample'"):
        pa.train(model, data, epochs=1, noise_mode="off", methods=[method])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pa.noise(model, "off", effects={"stage[0].mask[1].quantisation": "mean"}), method.forward(model):
        assert model[0].soft is not None  # that mask alone has levels, and softens
    off = r"AnnealedLevels: got phase panels whose levels are switched off.*'\*\.quantisation' switched on"
    with pytest.raises(InputError, match=off), pa.noise(model, "mean", effects={"*.quantisation": "off"}):
        method.forward(model)
    without = optic_of(bench_of().without("*.quantisation"))
    with pytest.raises(InputError, match=off), pa.noise(without, "mean"):
        method.forward(without)


def test_continuous_panels_are_refused():
    continuous = optic_of(bench_of(bits=None))
    for use in (lambda: soft_levels(continuous, 0.1), lambda: AnnealedLevels(0.2, 0.1).forward(continuous)):
        with pytest.raises(InputError, match=r"phase panels that are continuous.*bits= of the panel"):
            use()
    assert continuous.soft is None
    soft_levels(nn.Sequential(continuous, optic_of()), 0.1)  # one of the two has levels
    soft_levels(continuous, None)  # to be the nearest level is no request


def test_what_is_refused():
    optic = optic_of()
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="temperature"):
            soft_levels(optic, temperature)
    with pytest.raises(InputError, match="a seed and no temperature"):
        soft_levels(optic, None, seed=0)
    with pytest.raises(InputError, match="no optical cascade"):
        soft_levels(nn.Linear(2, 2), 0.1)
    for start, stop in ((0.1, 0.2), (0.1, 0.0), (math.inf, 0.1)):
        with pytest.raises(InputError, match="0 < stop ≤ start"):
            AnnealedLevels(start, stop)
