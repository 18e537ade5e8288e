"""Forward on the bench, to the bit; backward through the twin, right or wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from photonic_acdc.data.dataset import make_dataset
from photonic_acdc.layers import AFDF, Intensity
from photonic_acdc.optical import measure_light, noise, to_optical
from photonic_acdc.optical.apparatus import SimulatedBench
from photonic_acdc.training import train
from photonic_acdc.training.physics_aware import PhysicsAware, TwinRefinement, physics_aware
from simulators.errors import InputError
from simulators.random import Realisations
from simulators.reference import reference_bench


@pytest.fixture(scope="module")
def bench():
    return reference_bench((4, 4))


@pytest.fixture
def optic(bench):
    generator = torch.Generator().manual_seed(0)
    return to_optical(AFDF(16, 1, shape=(4, 4)), bench, readout="intensity", generator=generator, order=2).eval()


@pytest.fixture(scope="module")
def x():
    return torch.rand(32, 16, generator=torch.Generator().manual_seed(1))


def slopes(optic, x):
    return torch.autograd.grad(optic(x).square().sum(), list(optic.parameters()))


def stand(bench, **options):
    return SimulatedBench(bench, 1, seed=5, realisation=3, order=2, **options)


def test_a_bench_that_is_the_twin_changes_nothing(optic, x):
    def twin(commands, values):
        return optic.expose(values[None], commands)[0].detach()

    wanted, output = slopes(optic, x), optic(x)
    with physics_aware(optic, twin):
        assert torch.equal(optic(x), output)
        for found, plain in zip(slopes(optic, x), wanted, strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-5, atol=0)
    assert optic.apparatus is None


def test_values_are_measured_to_the_bit_and_the_gradient_is_the_twins(optic, x):
    made = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(2)) * 1e3

    def elsewhere(commands, values):
        assert not values.requires_grad
        assert not any(command.phase.requires_grad for command in commands)
        return made

    simulated = optic.frames(x)
    weights = torch.rand(simulated.shape, generator=torch.Generator().manual_seed(3))
    masks = list(optic.parameters())
    wanted = torch.autograd.grad((simulated * weights).sum(), masks)
    with physics_aware(optic, elsewhere):
        frames = optic.frames(x)
        found = torch.autograd.grad((frames * weights).sum(), masks)
        with torch.no_grad():
            quiet = optic.frames(x)
    assert torch.equal(frames[0], made)
    assert torch.equal(quiet[0], made)
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a, b)


def test_the_light_is_the_twins(optic, bench, x):
    with measure_light(optic) as plain:
        optic(x)
    with physics_aware(optic, stand(bench)), measure_light(optic) as meter:
        optic(x)
    assert torch.equal(meter.efficiency(), plain.efficiency())


def test_what_is_refused(optic, x):
    with pytest.raises(InputError, match="apparatus"), physics_aware(optic, {"other": lambda c, v: v}):
        pass
    with pytest.raises(InputError, match="cascade"), physics_aware(torch.nn.Linear(2, 2), lambda c, v: v):
        pass
    for wrong in (torch.zeros(32, 2, 4, 4), torch.full((32, 1, 4, 4), torch.nan)):
        with physics_aware(optic, lambda c, v, wrong=wrong: wrong), pytest.raises(InputError, match="frames"):
            optic(x)


def fitted(optic, bench, x, steps, method):
    generator = torch.Generator().manual_seed(4)
    for _ in range(steps):
        with method.forward(optic):
            optic(x)
        with torch.no_grad():  # the masks move on in place before the twin is fitted, as in training
            for phase in optic.masks.phases:
                phase += 0.3 * torch.randn(phase.shape, generator=generator)
        method.after(optic)


def test_refinement_finds_the_figures_of_the_bench(optic, bench, x):
    method = PhysicsAware(stand(bench), refine=TwinRefinement())
    method.prepare(optic)
    fitted(optic, bench, x, 200, method)
    (twin,) = method.twins.values()
    nominal, truth = bench.nominal(1), Realisations(5, (3,)).draw(bench, 1)
    figures = twin.overrides()
    for mask in (0, 1):
        address = f"stage[0].mask[{mask}].phase_error"
        wanted = truth[address] - nominal[address]
        # A phase that all pixels share shows in no photograph.
        miss = (figures[address] - truth[address]).detach()
        miss, wanted = miss - miss.mean(), wanted - wanted.mean()
        assert miss.square().mean() < 0.3 * wanted.square().mean(), address


def test_what_was_learnt_is_taken_up_again(optic, bench, x):
    start = [phase.detach().clone() for phase in optic.masks.phases]
    method = PhysicsAware(stand(bench, noisy=False), refine=TwinRefinement())
    method.prepare(optic)
    fitted(optic, bench, x, 2, method)
    kept = {name: value.clone() for name, value in method.state().items()}
    other = PhysicsAware(stand(bench, noisy=False), refine=TwinRefinement())
    other.prepare(optic)
    other.load_state(kept)
    for one in (method, other):
        with torch.no_grad():
            for phase, value in zip(optic.masks.phases, start, strict=True):
                phase.copy_(value)
        fitted(optic, bench, x, 2, one)
    assert method.state().keys() == other.state().keys()
    for name, value in other.state().items():
        assert torch.equal(value, method.state()[name]), name


def test_an_interrupted_training_ends_the_same(bench, tmp_path):
    """With a bench whose every exposure has other shots, and a twin that is being fitted."""
    data = make_dataset(np.random.default_rng(0).random((24, 16)), np.arange(24) % 3, "noise")

    def trained(stop_after=None, path=None):
        torch.manual_seed(0)
        model = nn.Sequential(AFDF(16, 1, shape=(4, 4)), Intensity(), nn.Linear(16, 3))
        optic = to_optical(model, bench, generator=torch.Generator().manual_seed(0), order=1)

        def stop(done, total, figures):
            if done == stop_after:
                raise KeyboardInterrupt

        method = PhysicsAware(stand(bench), refine=TwinRefinement())
        settings = {"epochs": 3, "batch_size": 8, "noise_mode": "mean", "methods": [method]}
        return train(optic, data, **settings, checkpoint=path, progress=stop).model.state_dict()

    whole = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(2, tmp_path / "c.safetensors")
    again = trained(None, tmp_path / "c.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_an_ideal_bench_has_no_apparatus(optic, bench, x):
    with pytest.raises(InputError, match="noise mode 'off'"), noise(optic, "off"), physics_aware(optic, stand(bench)):
        optic(x)
