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
from photonic_acdc.training.twin import Twin
from simulators.errors import InputError
from simulators.random import Realisations
from simulators.reference import reference_bench
from simulators.wave import Wave


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


def test_a_twin_goes_on_from_figures(optic, bench):
    """Fitted ones as errors in units of their spread, the others held as given."""
    drawn = Realisations(5, (3,)).draw(bench, 1)
    fitted, held = "stage[0].mask[0].phase_error", "stage[0].lens[1].scale"
    figures = {address: drawn[address].float() for address in (fitted, held)}
    twin = Twin(optic, ("*.phase_error",))
    assert held not in twin.overrides()
    assert [id(p) for p in twin.parameters()] == [id(error) for error in twin.errors]  # the masks are none of its own
    twin.start(figures)
    found = twin.overrides()
    for address, value in figures.items():
        torch.testing.assert_close(found[address], value)
        assert found[address].requires_grad == (address == fitted)
    # A standard normal draw a pixel: Σε² of n values is n ± √(2n).
    n = drawn[fitted].numel()
    assert abs(twin.surprise().item() - n) < 5 * (2 * n) ** 0.5


def test_a_twin_starts_from_no_other_figures(optic):
    twin = Twin(optic, ("*.phase_error",))
    fitted, held = "stage[0].mask[0].phase_error", "stage[0].lens[1].scale"
    for figures, told in (
        ({"stage[0].mask[0].phase_eror": torch.zeros(1, 1, 4, 4)}, "is no figure of this bench"),
        ({fitted: torch.zeros(3, 7)}, r"mask\[0\]\.phase_error.*shape \[3, 7\].*\[1, 1, 4, 4\]"),
        ({fitted: torch.full((4, 4), torch.nan)}, r"mask\[0\]\.phase_error.*not finite"),
        ({held: 1.01}, r"lens\[1\]\.scale.*got float"),
    ):
        with pytest.raises(InputError, match=told):
            twin.start(figures)


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

    held = make_dataset(np.random.default_rng(1).random((9, 16)), np.arange(9) % 3, "more noise")

    def trained(stop_after=None, path=None):
        torch.manual_seed(0)
        model = nn.Sequential(AFDF(16, 1, shape=(4, 4)), Intensity(), nn.Linear(16, 3))
        optic = to_optical(model, bench, generator=torch.Generator().manual_seed(0), order=1)

        def stop(done, total, figures):
            if done == stop_after:
                raise KeyboardInterrupt

        method = PhysicsAware(stand(bench), refine=TwinRefinement())
        settings = {"epochs": 3, "batch_size": 8, "noise_mode": "mean", "methods": [method], "validation": held}
        found = train(optic, data, **settings, checkpoint=path, progress=stop)
        return found.model.state_dict(), found.history

    whole, history = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(2, tmp_path / "c.safetensors")
    again, resumed = trained(None, tmp_path / "c.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    assert resumed == history


@pytest.fixture(scope="module")
def labelled():
    return make_dataset(np.random.default_rng(0).random((24, 16)), np.arange(24) % 3, "noise")


@pytest.fixture(scope="module")
def held():
    return make_dataset(np.random.default_rng(1).random((9, 16)), np.arange(9) % 3, "more noise")


def learnt(bench, data, apparatus, **options):
    torch.manual_seed(0)
    model = nn.Sequential(AFDF(16, 1, shape=(4, 4)), Intensity(), nn.Linear(16, 3))
    optic = to_optical(model, bench, generator=torch.Generator().manual_seed(0), order=1)
    settings = {"epochs": 2, "batch_size": 12, "noise_mode": "mean", "methods": [PhysicsAware(apparatus)]}
    return train(optic, data, **{**settings, **options}).model.state_dict()


def test_validation_leaves_what_is_learnt(bench, labelled, held):
    """Its exposures are none of training's, and every epoch has others."""
    seen = []

    class Watched(SimulatedBench):
        def __call__(self, commands, values):
            seen.append((len(values), self.calls))
            return super().__call__(commands, values)

    with_it, without = (
        learnt(bench, labelled, Watched(bench, 1, seed=5, order=2), **options) for options in ({"validation": held}, {})
    )
    assert all(torch.equal(value, without[name]) for name, value in with_it.items())
    first = seen[:6]  # two steps and a validation, twice
    assert [calls for rows, calls in first if rows == 12] == [0, 1, 2, 3]
    judged = [calls for rows, calls in first if rows == 9]
    assert len(set(judged)) == 2
    assert min(judged) >= 2**32


def test_cascades_that_share_a_bench_get_its_shots_back(bench):
    """Also after an error, and counted once."""
    model = nn.Sequential(*(AFDF(16, 1, shape=(4, 4)) for _ in range(2)))
    optic = to_optical(model, reference_bench((4, 4), complex_input=True), order=1)
    shared = stand(bench)
    shared.calls = 7
    seen = []

    def struck():
        with PhysicsAware({"0": shared, "1": shared}).judging(optic):
            seen.append(shared.calls)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        struck()
    assert seen == [2**32 + 7]
    assert shared.calls == 7


def test_a_checkpoint_belongs_to_its_bench(bench, labelled, tmp_path):
    path = tmp_path / "c.safetensors"

    def stop(*_):
        raise KeyboardInterrupt

    def some_function(commands, values):
        return stand(bench)(commands, values)

    with pytest.raises(KeyboardInterrupt):
        learnt(bench, labelled, stand(bench), checkpoint=path, progress=stop)
    dimmer = bench.replace(source=bench.source.replace(power=0.5 * bench.source.power))
    options = {"seed": 5, "realisation": 3, "order": 2}
    for other, told in (
        (some_function, r"methods\[0\]\.apparatus was .*SimulatedBench.*is 'test_a_checkpoint_belongs_to_its_bench"),
        ({"0": stand(bench)}, r"methods\[0\]\.apparatus\."),
        (SimulatedBench(bench, 1, **{**options, "seed": 6}), r"apparatus\.seed was 5, is 6"),
        (SimulatedBench(bench, 1, **{**options, "realisation": 4}), r"apparatus\.realisation was 3, is 4"),
        (SimulatedBench(bench, 1, **{**options, "order": 3}), r"apparatus\.options\.order was 2, is 3"),
        (SimulatedBench(bench, 1, **options, simulator=Wave), r"apparatus\.simulator was 'Pixel', is 'Wave'"),
        (stand(bench, noisy=False), r"apparatus\.noisy was True, is False"),
        (stand(bench, time=60.0), r"apparatus\.time was 0\.0, is 60\.0"),
        (stand(bench, address="layer[1]."), r"apparatus\.address was '', is 'layer\[1\]\.'"),
        (stand(dimmer), r"apparatus\.bench\.source\.power was"),
    ):
        with pytest.raises(InputError, match=told):
            learnt(bench, labelled, other, checkpoint=path)
    learnt(bench, labelled, stand(bench), checkpoint=path)
    assert stand(bench, readout="coherent").settings()["readout"] == "coherent"


def test_a_checkpoint_of_a_function_goes_on_with_that_function(bench, labelled, tmp_path):
    path, expected = tmp_path / "c.safetensors", stand(bench, noisy=False)

    def laboratory(commands, values):
        return expected(commands, values)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt(bench, labelled, laboratory, checkpoint=path, progress=stop)
    with pytest.raises(
        InputError, match=r"methods\[0\]\.apparatus was 'test_a_checkpoint_of_a_function.*, is .*SimulatedBench"
    ):
        learnt(bench, labelled, stand(bench), checkpoint=path)
    again, whole = learnt(bench, labelled, laboratory, checkpoint=path), learnt(bench, labelled, laboratory)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_validation_is_measured_on_the_bench(optic, bench, x):
    """Of a bench that differs from its twin; the frames count, and the twin learns from those of training alone."""
    model = nn.Sequential(optic, nn.Linear(16, 3))
    data = make_dataset(x[:24].numpy(), np.arange(24) % 3, "rows")
    held = make_dataset(x[24:].numpy(), np.arange(8) % 3, "held")
    apparatus = stand(bench, noisy=False)
    method = PhysicsAware(apparatus, refine=TwinRefinement())
    settings = {"epochs": 1, "batch_size": 12, "learning_rate": 0.05, "noise_mode": "mean", "methods": [method]}
    found = train(model, data, validation=held, **settings)
    assert apparatus.exposed == 24 + 8
    assert {len(recorder.last[1]) for recorder in method._recorders.values()} == {12}
    losses = {}
    for where, context in (("bench", physics_aware(model, stand(bench, noisy=False))), ("twin", noise(model, "mean"))):
        with torch.no_grad(), context:
            losses[where] = nn.functional.cross_entropy(model(held.x), held.y).item()
    assert found.history[0]["validation_loss"] == pytest.approx(losses["bench"], rel=1e-6)
    assert abs(losses["twin"] / losses["bench"] - 1) > 1e-4


def test_the_expected_frame_averages_ripple_as_a_camera_does(optic, bench, x):
    """With ripple alone nothing is left to chance: each exposure is the expected one, and no field's mean."""
    place = bench.stage[0]
    rippling = place.replace(device=place.device.replace(flicker_depth=0.05), panel=None)
    alone = bench.replace(stage=(rippling, *bench.stage[1:])).only("*.flicker")
    values, commands = x.reshape(-1, 4, 4), optic.commands()
    exposed, expected = (stand(alone, noisy=noisy)(commands, values) for noisy in (True, False))
    torch.testing.assert_close(expected, exposed, rtol=1e-6, atol=0)
    still = stand(alone.only(), noisy=False)(commands, values)
    assert (expected / still - 1).abs().max() > 1e-3


def test_the_expected_frame_is_the_mean_of_many(optic, bench, x):
    """Of all that the reference bench has: 400 exposures of 8 rows."""
    quiet = bench.without("detector.quantisation")
    values, commands, noisy = x[:8].reshape(-1, 4, 4), optic.commands(), stand(quiet)
    frames = torch.stack([noisy(commands, values) for _ in range(400)]).double()
    expected = stand(quiet, noisy=False)(commands, values)
    error = frames.std(0) / 20
    assert ((frames.mean(0) - expected) / error).abs().max() < 5


def test_an_ideal_bench_has_no_apparatus(optic, bench, x):
    with pytest.raises(InputError, match="noise mode 'off'"), noise(optic, "off"), physics_aware(optic, stand(bench)):
        optic(x)
