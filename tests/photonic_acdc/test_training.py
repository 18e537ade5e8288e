"""The training loop: it learns, it can be interrupted, and it says what is wrong."""

import copy
import math

import numpy as np
import pytest
import torch
from running import spots
from torch import nn

from photonic_acdc.analysis import monte_carlo
from photonic_acdc.data.dataset import make_dataset, split
from photonic_acdc.layers import ACDC, AFDF, Intensity
from photonic_acdc.optical import cascades, rebind, to_optical
from photonic_acdc.storage import save_tensors
from photonic_acdc.training import train
from photonic_acdc.training.loop import TRAINING_BENCHES
from simulators.errors import InputError
from simulators.random import Realisations, stream
from simulators.reference import reference_bench

CLASSES = 3


def make_data(rows: int = 90):
    """Three classes, each brightest at a place of its own."""
    return make_dataset(*spots(rows), "spots")


@pytest.fixture(scope="module")
def data():
    return make_data()


def ideal(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(AFDF(16, 1, shape=(4, 4)), Intensity(), nn.BatchNorm1d(16), nn.Linear(16, CLASSES))


def optical(seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return to_optical(ideal(seed), reference_bench((4, 4)), generator=generator, order=1)


MODELS = {"ideal": (ideal, {}), "optical": (optical, {"noise_mode": "sample", "light_weight": 0.01})}


@pytest.fixture(params=MODELS)
def kind(request):
    """(makes a model, how to train it): without a bench, and through one."""
    return MODELS[request.param]


def equal(a: nn.Module, b: nn.Module) -> bool:
    """All parameters and buffers, bit for bit."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- it learns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "mean", "sample"])
def test_the_loss_falls_and_the_classes_are_learnt(data, mode):
    model = optical()
    before = copy.deepcopy(model)
    result = train(model, data, epochs=8, batch_size=16, learning_rate=0.05, noise_mode=mode)
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]
    assert result.history[-1]["accuracy"] > 0.8 > 1 / CLASSES
    assert result.model is model
    assert not model.training
    for (name, old), new in zip(before.named_parameters(), model.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_an_ideal_model_learns(data):
    result = train(ideal(), data, epochs=8, batch_size=16, learning_rate=0.05)
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert result.history[-1]["accuracy"] > 0.9
    assert "efficiency" not in result.history[0]


def test_more_weight_on_the_light_keeps_more_light(data):
    kept = []
    for weight in (0.0, 1.0):
        result = train(optical(), data, epochs=6, batch_size=16, learning_rate=0.05, light_weight=weight)
        kept.append(result.history[-1]["efficiency"])
    assert kept[1] > 1.2 * kept[0]


def test_the_figures_of_an_epoch(data):
    training, test = split(data, 0.2)
    told = []
    result = train(
        optical(),
        training,
        epochs=3,
        learning_rate=0.01,
        validation=test,
        progress=lambda done, total, row: told.append((done, total, row)),
    )
    assert told == [(i + 1, 3, row) for i, row in enumerate(result.history)]
    dataset = result.dataset()
    assert dataset["epoch"].values.tolist() == [1, 2, 3]
    validated = {"validation_loss", "validation_accuracy"}
    assert set(dataset.data_vars) == {"loss", "accuracy", "efficiency", "learning_rate"} | validated
    for name, variable in dataset.variables.items():
        assert set(variable.attrs) == {"long_name", "units"}, name
    # The last step of each of three epochs of one step: half a cosine, from the full rate to near 0.
    assert dataset["learning_rate"].values == pytest.approx([0.01, 0.0075, 0.0025])


def test_validation_is_without_random_noise_and_does_not_disturb(data, kind):
    make, options = kind
    training, test = split(data, 0.2)
    first, second = make(), make()
    watched = train(first, training, epochs=2, validation=test, **options)
    train(second, training, epochs=2, **options)
    assert equal(first, second)
    again = train(make(), training, epochs=2, validation=test, **options)
    assert watched.history == again.history
    assert 0 <= watched.history[0]["validation_accuracy"] <= 1


# --- the same again --------------------------------------------------------------------------------------------------


def test_training_is_a_function_of_its_seed(data, kind):
    make, options = kind
    runs = []
    for seed, disturbance in ((0, 1), (0, 2), (5, 1)):
        model = make()
        torch.manual_seed(disturbance)  # the global generator has no say
        runs.append((model, train(model, data, epochs=2, batch_size=32, seed=seed, **options).history))
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not equal(runs[0][0], runs[2][0])


def test_the_seed_draws_the_benches_too(data):
    """One batch of all rows, whatever their order: only the benches differ between seeds."""
    first, second = (
        train(optical(), data, epochs=1, batch_size=90, noise_mode="sample", seed=seed).history[0]["loss"]
        for seed in (0, 1)
    )
    quiet = [train(optical(), data, epochs=1, batch_size=90, seed=seed).history[0]["loss"] for seed in (0, 1)]
    assert quiet[0] == pytest.approx(quiet[1], rel=1e-5)
    assert abs(first - second) > 1e-4 * first


class Stop(Exception):
    """An interruption."""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_interrupted_and_taken_up_it_ends_bit_identically(data, kind, tmp_path, after):
    make, options = kind
    options = {**options, "epochs": 4, "batch_size": 16, "learning_rate": 0.03, "weight_decay": 0.01, "mask_rate": 2.0}
    straight = make()
    whole = train(straight, data, **options)

    def stop(done, total, row):
        if done == after:
            raise Stop

    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Stop):
        train(make(), data, checkpoint=checkpoint, progress=stop, **options)
    told = []
    resumed = make()
    result = train(resumed, data, checkpoint=checkpoint, progress=lambda done, total, row: told.append(done), **options)
    assert told == list(range(after + 1, 5))
    assert equal(resumed, straight)
    assert result.history == whole.history
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["state.previous.safetensors", "state.safetensors"]


def test_interrupted_within_an_epoch_it_starts_that_epoch_again(data, tmp_path):
    straight = optical()
    options = {"epochs": 2, "batch_size": 16, "noise_mode": "sample"}
    train(straight, data, **options)
    model = optical()
    steps = 0

    def strike(module, inputs):
        nonlocal steps
        steps += 1
        if steps == 8:  # the third of the second epoch's five
            raise KeyboardInterrupt

    handle = model.register_forward_pre_hook(strike)
    with pytest.raises(KeyboardInterrupt):
        train(model, data, checkpoint=tmp_path / "state.safetensors", **options)
    handle.remove()
    resumed = optical()
    train(resumed, data, checkpoint=tmp_path / "state.safetensors", **options)
    assert equal(resumed, straight)
    # Even the struck model itself: the checkpoint restores all of it.
    train(model, data, checkpoint=tmp_path / "state.safetensors", **options)
    assert equal(model, straight)


def test_a_finished_training_is_not_done_again(data, kind, tmp_path):
    make, options = kind
    first = make()
    whole = train(first, data, epochs=2, checkpoint=tmp_path / "s.safetensors", **options)
    second = make()
    told = []
    result = train(
        second, data, epochs=2, checkpoint=tmp_path / "s.safetensors", progress=lambda *a: told.append(a), **options
    )
    assert told == []
    assert equal(first, second)
    assert not second.training
    assert result.history == whole.history


# --- checkpoints of something else ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 3},
        {"batch_size": 32},
        {"learning_rate": 0.02},
        {"weight_decay": 0.1},
        {"label_smoothing": 0.1},
        {"noise_mode": "mean"},
        {"light_weight": 0.5},
        {"mask_rate": 3.0},
        {"realisations": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_training_is_refused(data, tmp_path, change):
    path = tmp_path / "state.safetensors"
    options = {"epochs": 1, "learning_rate": 0.01, "checkpoint": path}
    train(optical(), data, **options)
    before = path.read_bytes()
    model = optical()
    (key, value), before_change = next(iter(change.items())), {"epochs": 1, "learning_rate": 0.01}
    told = rf"state\.safetensors is of another training run: {key} was .*, is {value!r}: try: fresh=True"
    assert before_change.get(key) != value
    with pytest.raises(InputError, match=told):
        train(model, data, **{**options, **change})
    assert path.read_bytes() == before
    assert equal(model, optical())


def test_a_checkpoint_of_another_model_or_other_data_is_refused(data, tmp_path):
    path = tmp_path / "state.safetensors"
    train(ideal(), data, epochs=1, checkpoint=path)
    with pytest.raises(InputError, match="another training run"):
        train(optical(), data, epochs=1, checkpoint=path)
    with pytest.raises(InputError, match="another training run"):
        train(ideal(), make_data(60), epochs=1, checkpoint=path)


@pytest.mark.parametrize("content", [None, [], {"epoch": 1}, "key"], ids=["none", "list", "no key", "text"])
def test_tensors_that_are_no_checkpoint_are_refused(data, tmp_path, content):
    path = tmp_path / "state.safetensors"
    save_tensors(path, ideal().state_dict(), content)
    with pytest.raises(InputError, match=r"state\.safetensors: got something else; allowed: a checkpoint of train"):
        train(ideal(), data, epochs=1, checkpoint=path)


def test_a_file_that_is_no_checkpoint_is_refused(data, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"not a checkpoint at all")
    with pytest.raises(InputError, match=r"state\.safetensors: got .*allowed: a safetensors file"):
        train(ideal(), data, epochs=1, checkpoint=path)
    assert path.read_bytes() == b"not a checkpoint at all"


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 40, 79])
def test_a_loss_that_is_not_finite_is_named_with_its_step(position):
    """The features pass the check, and are spoilt on their way into the model."""
    data, model = make_data(), ideal()
    order = stream(0, "train", "order", sample=0).permutation(len(data))
    row, step = data.x[order[position]].clone(), position // 16

    def spoil(module, inputs):
        return inputs[0].masked_fill((inputs[0] == row).all(1, keepdim=True), math.nan)

    model.register_forward_pre_hook(spoil)
    told = rf"the loss is nan at step {step} \(epoch 1\): the output of layer 0 \(AFDF\) is not finite: try: a smaller"
    with pytest.raises(InputError, match=told):
        train(model, data, epochs=2, batch_size=16)


def test_a_loss_that_is_not_finite_later_is_named_with_its_epoch(data):
    model = ideal()

    def spoil(done, total, row):
        if done == 2:
            with torch.no_grad():
                model[3].bias[0] = math.inf

    with pytest.raises(InputError, match=r"at step 10 \(epoch 3\)"):
        train(model, data, epochs=4, batch_size=16, progress=spoil)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("epochs", 0, "a whole number ≥ 1"),
        ("epochs", 2.5, "a whole number ≥ 1"),
        ("batch_size", 0, "a whole number ≥ 1"),
        ("batch_size", -4, "a whole number ≥ 1"),
        ("realisations", 0, "a whole number ≥ 1"),
        ("learning_rate", -0.1, "finite and ≥ 0"),
        ("learning_rate", math.nan, "finite and ≥ 0"),
        ("learning_rate", math.inf, "finite and ≥ 0"),
        ("mask_rate", -1, "finite and ≥ 0"),
        ("weight_decay", -0.01, "finite and ≥ 0"),
        ("light_weight", math.nan, "finite and ≥ 0"),
        ("label_smoothing", -0.1, "finite and ≥ 0"),
        ("label_smoothing", 1.5, "at most 1"),
        ("noise_mode", "loud", "off, mean or sample"),
        ("noise_mode", "frozen", "off, mean or sample"),
        ("seed", -1, "an integer ≥ 0"),
        ("seed", 0.5, "an integer ≥ 0"),
    ],
)
def test_bad_arguments(data, tmp_path, kind, name, value, allowed):
    make, options = kind
    model = make()
    with pytest.raises(InputError, match=rf"{name}: got '?{value}'?; allowed: {allowed}"):
        train(model, data, checkpoint=tmp_path / "state.safetensors", **{"epochs": 1, **options, name: value})
    assert equal(model, make())
    assert not list(tmp_path.iterdir())


# --- steps -----------------------------------------------------------------------------------------------------------


def changes(make, data, **options) -> dict[str, torch.Tensor]:
    """What one step does to every parameter."""
    model = make()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    train(model, data, epochs=1, batch_size=len(data), **options)
    return {name: value.detach() - before[name] for name, value in model.named_parameters()}


@pytest.mark.parametrize("make", [ideal, optical], ids=["ideal", "optical"])
def test_only_electronic_weights_decay(data, make):
    rate, decay = 0.01, 0.5
    without = changes(make, data, learning_rate=rate)
    decayed = changes(make, data, learning_rate=rate, weight_decay=decay)
    weight = dict(make().named_parameters())["3.weight"].detach()
    assert torch.allclose(decayed["3.weight"] - without["3.weight"], -rate * decay * weight, atol=1e-6)
    for name in without.keys() - {"3.weight"}:
        assert torch.equal(without[name], decayed[name]), name
    # Masks among them, which have moved.
    assert any(name.startswith("0.") and without[name].abs().max() > 0.5 * rate for name in without)


def test_masks_take_steps_of_their_own(data):
    """The first step of Adam is the rate, in the direction of the gradient's sign."""
    one, ten = (changes(optical, data, learning_rate=0.001, mask_rate=rate) for rate in (1.0, 10.0))
    masks = {name for name in one if name.startswith("0.")}
    assert masks
    for name in one:
        factor = 10 if name in masks else 1
        assert torch.allclose(ten[name], factor * one[name], rtol=1e-3, atol=1e-6), name
    assert max(one[name].abs().max() for name in masks) == pytest.approx(0.001, rel=1e-3)


def test_the_last_short_batch_is_dropped_where_there_is_a_full_one(data):
    sizes = []
    model = ideal()
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    train(model, data, epochs=2, batch_size=40)
    assert sizes == [40] * 4
    sizes.clear()
    train(model, data, epochs=1, batch_size=1000)
    assert sizes == [90]


def test_every_epoch_has_an_order_of_its_own(data):
    seen = []
    model = ideal()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    train(model, data, epochs=2, batch_size=30)
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert not torch.equal(first, second)
    for epoch in (first, second):
        assert torch.equal(epoch.sort(0).values, data.x.sort(0).values)


# --- benches seen in training ----------------------------------------------------------------------------------------


def watch(model: nn.Module) -> list:
    """The noise under which the cascade works, pass by pass."""
    (cascade,) = cascades(model).values()
    seen: list = []
    cascade.register_forward_pre_hook(lambda module, inputs: seen.append(module.noise))
    return seen


def test_no_evaluation_meets_a_bench_of_training(data):
    model = optical()
    seen = watch(model)
    train(model, data, epochs=2, batch_size=16, noise_mode="sample", realisations=3, seed=4)
    trained = [number for noise in seen for number in noise.realisations]
    # Ten steps of three benches each, every one new.
    assert trained == list(range(TRAINING_BENCHES, TRAINING_BENCHES + 30))
    assert {noise.seed for noise in seen} == {4}
    assert {(noise.static, noise.dynamic, noise.differentiable) for noise in seen} == {("drawn", "drawn", True)}
    # Shots: another exposure every step.
    assert [noise.exposure for noise in seen] == list(range(10))

    seen.clear()
    monte_carlo(model, data, realisations=5, seed=4)
    judged = {number for noise in seen for number in noise.realisations}
    assert judged == set(range(5))
    assert judged.isdisjoint(trained)


def test_numbers_of_training_benches_are_other_draws():
    """The number is not cut to 32 bits on its way: bench 2³² is not bench 0."""
    assert TRAINING_BENCHES > 10**9
    first = stream(0, "a", "e", realisation=0).standard_normal(8)
    assert not np.array_equal(first, stream(0, "a", "e", realisation=TRAINING_BENCHES).standard_normal(8))
    bench = reference_bench((4, 4))
    low, high = (Realisations(0, (number,)).draw(bench, 1) for number in (0, TRAINING_BENCHES))
    drawn = [address for address in low if not torch.equal(low[address], bench.nominal(1)[address])]
    assert drawn
    assert not any(torch.equal(low[address], high[address]) for address in drawn)


def test_without_noise_there_is_one_bench_only(data):
    for mode, static in (("off", "none"), ("mean", "nominal")):
        model = optical()
        seen = watch(model)
        train(model, data, epochs=1, noise_mode=mode, realisations=3)
        assert {(noise.static, noise.realisations) for noise in seen} == {(static, (0,))}


def test_a_checkpoint_belongs_to_its_data_and_its_bench(tmp_path):
    """Other rows of the same number, or another figure of the bench, are another training."""
    path = tmp_path / "state.safetensors"
    data = make_data(60)
    train(optical(), data, epochs=1, checkpoint=path)
    other = make_data(60)
    other.x[0, 0] += 0.25
    with pytest.raises(InputError, match="another training run"):
        train(optical(), other, epochs=1, checkpoint=path)
    model = optical()
    bench = next(iter(cascades(model).values())).bench
    dimmer = bench.replace(source=bench.source.replace(optical_density=4.5))
    with pytest.raises(InputError, match="another training run"):
        train(rebind(model, dimmer), data, epochs=1, checkpoint=path)


# --- what broke ------------------------------------------------------------------------------------------------------


def poison(parameter: torch.Tensor, step: int, *at: int, value: float = math.nan) -> None:
    """Spoil one entry of the parameter's gradient at a step."""
    steps = iter(range(step + 1))

    def spoil(gradient):
        gradient = gradient.clone()
        if next(steps) == step:
            gradient[at] = value
        return gradient

    parameter.register_hook(spoil)


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        ACDC(16, 3), nn.Sequential(AFDF(16, 4, shape=(4, 4)), Intensity()), nn.BatchNorm1d(16), nn.Linear(16, CLASSES)
    )


@pytest.mark.parametrize(
    ("name", "at", "shown"),
    [
        ("0.a", (1, 5), r"layer 0 \(ACDC\): a of stage 1"),
        ("0.bias", (2, 0), r"layer 0 \(ACDC\): bias of stage 2"),
        ("1.0.a_phase", (3, 0, 2), r"layer 1\.0 \(AFDF\): a_phase of stage 3"),
        ("1.0.d_magnitude", (0, 1, 1), r"layer 1\.0 \(AFDF\): d_magnitude of stage 0"),
        ("2.weight", (4,), r"layer 2 \(BatchNorm1d\): weight"),
        ("3.weight", (1, 4), r"layer 3 \(Linear\): weight"),
        ("3.bias", (0,), r"layer 3 \(Linear\): bias"),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_parameter_that_is_not_finite_is_named(data, name, at, shown, value):
    model = deep()
    parameter = model.get_parameter(name)
    poison(parameter, 6, *at, value=value)
    told = rf"^training: {shown} is not finite after step 6 \(epoch 2\), after a gradient that was not: 1 of"
    told += rf" {parameter.numel()} values: try: a smaller learning_rate$"
    with pytest.raises(InputError, match=told):
        train(model, data, epochs=3, batch_size=16)


def test_several_stages_and_several_parameters_are_told(data):
    model = deep()
    poison(model[0].d, 0, slice(1, 3), 7)
    poison(model[3].bias, 0, 1)
    told = r"layer 0 \(ACDC\): d of stages 1, 2 is not finite after step 0 .*: 2 of 48 values; so are 1 more parameters"
    with pytest.raises(InputError, match=told):
        train(model, data, epochs=1, batch_size=16)


def test_a_step_too_large_is_no_fault_of_the_gradient(data):
    model = ideal()
    with torch.no_grad():
        model[3].weight[1, 2] = 50
    with pytest.raises(InputError, match=r"layer 3 \(Linear\): weight is not finite after step 0 \(epoch 1\): 1 of 48"):
        train(model, data, epochs=1, batch_size=16, learning_rate=1e20, weight_decay=1e18)


def test_a_layer_that_is_the_model_has_no_number(data):
    model = ACDC(16, 2, out_features=CLASSES)
    poison(model.d, 2, 1, 3)
    with pytest.raises(InputError, match=r"training: ACDC: d of stage 1 is not finite after step 2"):
        train(model, data, epochs=1, batch_size=16)


@pytest.mark.parametrize(
    ("name", "at", "shown"),
    [
        ("0.masks.phases.0", (1, 2), r"layer 0 \(OpticalCascade\): phase of mask A of stage 0"),
        ("0.masks.phases.3", (1, 2), r"layer 0 \(OpticalCascade\): phase of mask D of stage 1"),
        ("0.masks.openings.1", (1, 2), r"layer 0 \(OpticalCascade\): opening of mask D of stage 0"),
        ("0.masks.openings.2", (0, 0), r"layer 0 \(OpticalCascade\): opening of mask A of stage 1"),
        ("2.weight", (1,), r"layer 2 \(BatchNorm1d\): weight"),
    ],
)
def test_a_mask_that_is_not_finite_is_named(data, name, at, shown):
    torch.manual_seed(0)
    layers = nn.Sequential(AFDF(16, 2, shape=(4, 4)), Intensity(), nn.BatchNorm1d(16), nn.Linear(16, CLASSES))
    model = to_optical(layers, reference_bench((4, 4), complex_masks=True), order=1)
    poison(model.get_parameter(name), 1, *at)
    with pytest.raises(InputError, match=rf"training: {shown} is not finite after step 1 \(epoch 1\)"):
        train(model, data, epochs=1, batch_size=16)


def test_where_only_some_masks_have_an_amplitude_panel_openings_are_counted_by_those(data):
    bench = reference_bench((4, 4), complex_masks=True)
    first, *rest = bench.stage
    bench = bench.replace(stage=(first.replace(companion=None), *rest))
    torch.manual_seed(0)
    layers = nn.Sequential(AFDF(16, 2, shape=(4, 4)), Intensity(), nn.BatchNorm1d(16), nn.Linear(16, CLASSES))
    model = to_optical(layers, bench, order=1)
    poison(model.get_parameter("0.masks.openings.1"), 0, 0, 0)
    with pytest.raises(InputError, match=r"opening of mask D of stage 1 is not finite"):
        train(model, data, epochs=1, batch_size=16)


def test_the_logical_masks_of_an_exact_mapping_are_named(data):
    bench = reference_bench((4, 4), complex_masks=True)
    model = to_optical(ideal(), bench, mapping="exact", order=1)
    poison(model.get_parameter("0.masks.layer.d_phase"), 3, 0, 1, 1)
    with pytest.raises(
        InputError, match=r"layer 0\.masks\.layer \(AFDF\): d_phase of stage 0 is not finite after step 3"
    ):
        train(model, data, epochs=1, batch_size=16)


@pytest.mark.parametrize("step", [5, 7, 9], ids=["first of the epoch", "within", "last, which no loss would show"])
def test_the_checkpoint_stays_that_of_the_last_good_epoch(data, kind, tmp_path, step):
    make, options = kind
    options = {**options, "epochs": 2, "batch_size": 16}
    straight, path, kept = make(), tmp_path / "state.safetensors", []
    train(straight, data, **options)
    model = make()
    poison(model[3].weight, step, 0, 0)
    with pytest.raises(InputError, match=rf"layer 3 \(Linear\): weight is not finite after step {step} \(epoch 2\)"):
        train(model, data, checkpoint=path, progress=lambda *_: kept.append(path.read_bytes()), **options)
    assert [path.read_bytes()] == kept
    resumed, told = make(), []
    train(resumed, data, checkpoint=path, progress=lambda done, total, row: told.append(done), **options)
    assert told == [2]
    assert equal(resumed, straight)


def test_what_is_not_trained_is_not_blamed(data):
    model = ideal()
    model.register_parameter("frozen", nn.Parameter(torch.tensor(math.nan), requires_grad=False))
    model.register_parameter("empty", nn.Parameter(torch.empty(0)))
    assert len(train(model, data, epochs=1).history) == 1
    poison(model[3].bias, 0, 1)
    with pytest.raises(InputError, match=r"layer 3 \(Linear\): bias is not finite after step 0 .*: 1 of 3 values: try"):
        train(model, data, epochs=1)
