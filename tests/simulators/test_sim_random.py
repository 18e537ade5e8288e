"""Keyed randomness: realisation r of seed s is the same draw, always (design 6)."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch

import simulators as sim
from simulators.random import SHOT_BLOCK, as_index, stream

SHAPE = (3, 5)


def shots(**changes):
    return sim.Shots(**{"seed": 7, "realisation": (0,), "sample": (0, 1, 2), "exposure": 0, **changes})


# --- benches as built ------------------------------------------------------------------------------------------------


def test_a_realisation_is_the_same_whoever_asks_with_it():
    """However many, in whichever order, even twice."""
    every = sim.Realisations(3, tuple(range(6))).normal("stage[0].mask[1]", "phase_error", SHAPE)
    assert every.shape == (6, 1, *SHAPE)
    assert every.dtype == torch.float64
    for index in [(0,), (4,), (5, 2, 0), (1, 1, 3)]:
        some = sim.Realisations(3, index).normal("stage[0].mask[1]", "phase_error", SHAPE)
        assert torch.equal(some, every[list(index)])


def test_a_realisation_does_not_depend_on_what_was_drawn_before():
    draws = sim.Realisations(3, (0, 1))
    first = draws.normal("a", "x", SHAPE)
    draws.normal("b", "y", (100,))
    torch.randn(17)
    np.random.default_rng(0).normal(size=3)
    assert torch.equal(draws.normal("a", "x", SHAPE), first)


def test_no_global_generator_is_touched():
    before = torch.random.get_rng_state()
    sim.Realisations(0, (0,)).normal("a", "x", SHAPE)
    shots().normal("a", "x", SHAPE)
    shots().poisson("a", "x", torch.full((1, 3, *SHAPE), 4.0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_part_of_the_key_makes_another_static_draw():
    draws = [
        sim.Realisations(seed, (r,)).normal(address, effect, (4,)).flatten()
        for seed in (0, 1)
        for r in (0, 1)
        for address in ("a", "a.b", "stage[0]", "stage[1]")
        for effect in ("x", "b.x")
    ]
    values = torch.stack(draws)
    assert len(values.unique(dim=0)) == len(values)
    assert len(values.unique()) == values.numel()


def test_every_part_of_the_key_makes_another_stream():
    keys = [
        {"seed": s, "address": a, "effect": e, "realisation": r, "sample": n, "exposure": t}
        for s in (0, 1, 2**70)
        for a in ("a", "b")
        for e in ("x", "y")
        for r in (0, 1)
        for n in (0, 1)
        for t in (0, 1)
    ]
    # Two words of the address cannot be shifted into the effect.
    keys += [{"seed": 0, "address": "a", "effect": "bx"}, {"seed": 0, "address": "ab", "effect": "x"}]
    values = [tuple(stream(**key).standard_normal(3)) for key in keys]
    assert len(set(values)) == len(keys)


def test_a_numpy_integer_is_the_same_seed():
    same = sim.Realisations(np.int64(5), (0,)).normal("a", "x", (2,))
    assert torch.equal(same, sim.Realisations(5, (0,)).normal("a", "x", (2,)))


# --- exposures -------------------------------------------------------------------------------------------------------


SAMPLES = (0, 1, 5, SHOT_BLOCK - 1, SHOT_BLOCK, SHOT_BLOCK + 7, 10 * SHOT_BLOCK + 3)


@pytest.mark.parametrize("frame", [0, 2])
def test_a_normal_shot_does_not_depend_on_the_batch(frame):
    every = shots(realisation=(0, 3, 9), sample=SAMPLES).normal("detector", "read_noise", SHAPE, frame=frame)
    assert every.shape == (3, len(SAMPLES), *SHAPE)
    assert every.dtype == torch.float64
    for pick in [(0,), (6, 0), (4, 3, 3, 2), (5,)]:
        for rows in [(0,), (2, 1)]:
            some = shots(realisation=tuple((0, 3, 9)[i] for i in rows), sample=tuple(SAMPLES[j] for j in pick)).normal(
                "detector", "read_noise", SHAPE, frame=frame
            )
            assert torch.equal(some, every[list(rows)][:, list(pick)])


def test_a_scalar_shot():
    assert shots(realisation=(0, 1)).normal("source", "intensity_noise", ()).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_poisson_shot_does_not_depend_on_the_batch(dtype):
    realisations = (0, 3)
    rate = torch.rand(len(realisations), len(SAMPLES), *SHAPE, dtype=dtype) * 300
    every = shots(realisation=realisations, sample=SAMPLES).poisson("detector", "shot_noise", rate)
    assert every.shape == rate.shape
    assert every.dtype == dtype
    assert torch.equal(every, every.round())
    for pick in [(0,), (6, 0), (4, 3, 3, 2)]:
        for rows in [(1,), (1, 0)]:
            some = shots(
                realisation=tuple(realisations[i] for i in rows), sample=tuple(SAMPLES[j] for j in pick)
            ).poisson("detector", "shot_noise", rate[list(rows)][:, list(pick)])
            assert torch.equal(some, every[list(rows)][:, list(pick)])


def test_a_poisson_row_does_not_depend_on_the_rates_of_another_row():
    """Numpy's Poisson sampler eats a number of uniforms that depends on the rate: hence one stream a row."""
    rate = torch.full((1, 3, *SHAPE), 20.0)
    brighter = rate.clone()
    brighter[:, 0] = 1e4
    one, other = (shots().poisson("detector", "shot_noise", r) for r in (rate, brighter))
    assert torch.equal(one[:, 1:], other[:, 1:])
    assert not torch.equal(one[:, 0], other[:, 0])


def test_every_part_of_the_key_makes_another_shot():
    rate = torch.full((1, 1, 40), 1e4)
    normals, counts = [], []
    for seed in (0, 1):
        for r in (0, 1):
            for sample in (0, 1, SHOT_BLOCK):
                for exposure in (0, 1):
                    for frame in (0, 1):
                        for effect in ("read_noise", "shot_noise"):
                            one = sim.Shots(seed, (r,), (sample,), exposure)
                            normals.append(one.normal("detector", effect, (40,), frame=frame).flatten())
                            counts.append(one.poisson("detector", effect, rate, frame=frame).flatten())
    for draws in (torch.stack(normals), torch.stack(counts).double()):
        assert len(draws.unique(dim=0)) == len(draws)
        # Different and unrelated: correlations of 40 values have σ = 1/√39; the largest of 4560 within 6 σ.
        assert (torch.corrcoef(draws) - torch.eye(len(draws))).abs().max() < 6 / math.sqrt(39)


def test_exposures_do_not_share_values_shifted_by_one():
    """The exposure is a word of the counter, above the word that runs within a stream: streams must not overlap."""
    long = [stream(0, "a", "x", exposure=t).standard_normal(4000) for t in (0, 1, 2)]
    assert len(np.unique(np.concatenate(long))) == 12000


# --- distributions ---------------------------------------------------------------------------------------------------


def assert_standard_normal(values, *, correlated=()):
    """Mean 0 ± 1/√n, variance 1 ± √(2/n), kurtosis 3 ± √(24/n): each at 5 standard errors."""
    n = values.numel()
    assert abs(values.mean()) < 5 / math.sqrt(n)
    assert abs((values**2).mean() - 1) < 5 * math.sqrt(2 / n)
    # The fourth moment of a normal has variance (105 - 9)/n.
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_static_errors_are_standard_normal():
    assert_standard_normal(sim.Realisations(11, tuple(range(200))).normal("a", "x", (20, 25)))


def test_one_value_of_many_realisations_is_standard_normal():
    """What Monte Carlo needs: the first value of successive streams, not the values along one."""
    values = sim.Realisations(11, tuple(range(5000))).normal("a", "x", ()).flatten()
    assert_standard_normal(values)
    # Neighbouring realisations are uncorrelated: σ = 1/√n.
    assert abs((values[1:] * values[:-1]).mean()) < 5 / math.sqrt(len(values) - 1)


def test_shots_are_standard_normal():
    values = shots(realisation=tuple(range(10)), sample=tuple(range(640))).normal("a", "x", (4, 4))
    assert_standard_normal(values)
    # Neighbouring samples are uncorrelated.
    products = values[:, 1:] * values[:, :-1]
    assert abs(products.mean()) < 5 / math.sqrt(products.numel())


@pytest.mark.parametrize("rate", [0.2, 4.0, 30.0, 1e4, 1e8])
def test_counts_are_poisson(rate):
    """Mean μ ± √(μ/n); variance μ ± √((μ + 2μ²)/n), from the fourth moment μ + 3μ² of a Poisson."""
    samples = 2000
    counts = shots(sample=tuple(range(samples))).poisson(
        "a", "x", torch.full((1, samples, 10), rate, dtype=torch.float64)
    )
    n = counts.numel()
    assert abs(counts.mean() - rate) < 5 * math.sqrt(rate / n)
    assert abs(((counts - rate) ** 2).mean() - rate) < 5 * math.sqrt((rate + 2 * rate**2) / n)


def test_no_light_no_counts():
    assert (shots().poisson("a", "x", torch.zeros(1, 3, 4)) == 0).all()


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 1.0, None, "0", True])
def test_noise_needs_a_seed(seed):
    with pytest.raises(sim.InputError, match=r"seed: got .*; allowed: an integer ≥ 0; try: seed=0"):
        sim.Realisations(seed, (0,))
    with pytest.raises(sim.InputError, match=r"seed: got .*; allowed: an integer ≥ 0"):
        sim.Shots(seed=seed, realisation=(0,), sample=(0,))


@pytest.mark.parametrize("index", [(), (-1,), (0, -3)])
def test_realisations_are_numbered_from_zero(index):
    with pytest.raises(sim.InputError, match=r"realisations: got .*; allowed: at least one number, each ≥ 0"):
        sim.Realisations(0, index)


def test_as_index():
    assert as_index(3) == (0, 1, 2)
    assert as_index([4, np.int64(2)]) == (4, 2)
    assert as_index(range(2, 4)) == (2, 3)
    with pytest.raises(sim.InputError, match="realisations: got 0; allowed: at least 1"):
        as_index(0)


def test_draws_and_their_errors_pickle():
    """Both travel to worker processes and back."""
    for one in (sim.Realisations(3, (1, 2)), shots(differentiable=True)):
        copy = pickle.loads(pickle.dumps(one))
        assert copy == one
        assert torch.equal(copy.normal("a", "x", (2,)), one.normal("a", "x", (2,)))
    with pytest.raises(sim.InputError) as caught:
        sim.Realisations(-1, (0,))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.value, copy.remedy) == (str(caught.value), "-1", "seed=0")
