"""Programming in place: by readouts alone, and with a gain on the bench it was done on."""

import copy

import pytest
import torch

from photonic_acdc.calibration.program import program, recalibrate
from photonic_acdc.layers import AFDF
from photonic_acdc.optical import noise, to_optical
from photonic_acdc.optical.apparatus import SimulatedBench
from photonic_acdc.training.physics_aware import TwinRefinement, physics_aware
from simulators.errors import InputError
from simulators.reference import reference_bench


@pytest.fixture(scope="module")
def bench():
    """The simulation is of the bench's own order: what a coarser one makes is out of the bench's reach."""
    return reference_bench((4, 4))


@pytest.fixture(scope="module")
def optic(bench):
    generator = torch.Generator().manual_seed(0)
    layer = AFDF(16, 1, shape=(4, 4))
    return to_optical(layer, bench, readout="intensity", generator=generator, order=2).eval()


@pytest.fixture(scope="module")
def x():
    return torch.rand(64, 16, generator=torch.Generator().manual_seed(1))


def stand(bench, realisation=3, **options):
    return SimulatedBench(bench, 1, seed=5, realisation=realisation, order=2, **options)


@torch.no_grad()
def error(optic, apparatus, x, target):
    with physics_aware(optic, apparatus):
        return ((optic(x) - target).square().sum() / target.square().sum()).item()


@torch.no_grad()
def nominal(optic, x):
    with noise(optic, "mean"):
        return optic(x)


def test_programming_takes_out_most_of_the_error(optic, bench, x):
    target, apparatus = nominal(optic, x), stand(bench)
    before = error(optic, stand(bench), x, target)
    kept = copy.deepcopy(optic.state_dict())
    found = program(optic, apparatus, x, iterations=60, batch_size=32, learning_rate=0.05)
    after = error(found.optic, stand(bench), x, target)
    assert before > 1e-3
    assert after < 0.05 * before
    assert found.frames == apparatus.exposed == 60 * 32 + 2 * 64  # all rows before and after
    assert found.history.frames.values.tolist() == [64 + 32 * (i + 1) for i in range(60)]
    assert found.history.error[-5:].mean() < 0.05**0.5 * found.history.error[0]  # not squared
    assert found.before**2 == pytest.approx(before, rel=0.1)
    assert found.after**2 == pytest.approx(after, rel=0.3)  # other shots
    for name, value in optic.state_dict().items():  # the given one is as it was
        assert torch.equal(value, kept[name])


def test_a_target_of_ones_own(optic, bench, x):
    """Half the light everywhere is within reach of no nominal optic; programming comes closer to it."""
    target = 0.5 * nominal(optic, x)
    found = program(optic, stand(bench), x, target=target, iterations=40, batch_size=32, learning_rate=0.05)
    assert error(found.optic, stand(bench), x, target) < 0.5 * error(optic, stand(bench), x, target)


def test_recalibrating_goes_on_with_the_same_target(optic, bench, x):
    target = nominal(optic, x)
    found = program(optic, stand(bench), x, iterations=40, batch_size=32, learning_rate=0.05)
    # Another bench is as strong a drift as there is.
    moved = error(found.optic, stand(bench, 4), x, target)
    again = recalibrate(found, stand(bench, 4), iterations=40, batch_size=32, learning_rate=0.05)
    assert error(again.optic, stand(bench, 4), x, target) < 0.05 * moved
    assert again.target is found.target
    assert again.frames == 40 * 32 + 2 * 64


def test_the_twin_that_was_fitted_is_kept(optic, bench, x):
    """Its figures predict the bench; programming again goes on from them, and those not fitted are held."""
    found = program(optic, stand(bench), x, iterations=60, learning_rate=0.02, refine=TwinRefinement())
    misses = []
    for figures in ({}, found.figures):
        with noise(found.optic, "mean", overrides=figures):
            misses.append(error(found.optic, stand(bench), x, nominal_as_it_is(found.optic, x)))
    assert misses[1] < 0.3 * misses[0]
    held = recalibrate(found, stand(bench), iterations=1)
    assert held.figures.keys() == found.figures.keys()
    assert all(torch.equal(value, held.figures[address]) for address, value in found.figures.items())
    slow = TwinRefinement(("*.phase_error",), learning_rate=1e-7)
    again = recalibrate(found, stand(bench), iterations=2, refine=slow)
    assert again.figures.keys() == found.figures.keys()
    for address, value in found.figures.items():
        torch.testing.assert_close(again.figures[address], value, rtol=1e-5, atol=1e-7)
        assert not again.figures[address].requires_grad
    assert program(optic, stand(bench), x, iterations=1).figures == {}


@torch.no_grad()
def nominal_as_it_is(optic, x):
    """Outputs under what is switched on."""
    return optic(x)


def test_it_is_the_same_every_time(optic, bench, x):
    first, second = (
        program(optic, stand(bench), x, iterations=4, batch_size=16, refine=TwinRefinement()) for _ in range(2)
    )
    for a, b in zip(first.optic.parameters(), second.optic.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_refused(optic, bench, x):
    for count in (0, 1.5, True):
        with pytest.raises(InputError, match=r"program: iterations.*whole number"):
            program(optic, stand(bench), x, iterations=count)
        with pytest.raises(InputError, match=r"program: batch_size.*whole number"):
            program(optic, stand(bench), x, batch_size=count)
    unexposed = stand(bench)
    with pytest.raises(InputError, match=r"mask\[0\]\.phase_eror"):
        program(optic, unexposed, x, figures={"stage[0].mask[0].phase_eror": torch.zeros(1, 1, 4, 4)})
    for figure, told in ((0.1, "got float"), (torch.zeros(3, 7), "shape"), (torch.full((4, 4), torch.nan), "finite")):
        for refine in (None, TwinRefinement()):
            with pytest.raises(InputError, match=rf"mask\[0\]\.phase_error.*{told}"):
                program(optic, unexposed, x, figures={"stage[0].mask[0].phase_error": figure}, refine=refine)
    assert unexposed.exposed == 0
    with pytest.raises(InputError, match="learning_rate"):
        program(optic, stand(bench), x, learning_rate=0.0)
    with pytest.raises(InputError, match="target"):
        program(optic, stand(bench), x, target=torch.zeros(3, 16))
