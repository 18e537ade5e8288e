"""What a training may be asked for: losses, optimisers, schedules, benches, methods, stopping; and what it refuses."""

import contextlib
import math

import pytest
import torch
from test_training import equal, ideal, make_data, optical, watch
from torch import nn

from photonic_acdc.data.dataset import Dataset
from photonic_acdc.optical import cascades, learn_ranges, power_of
from photonic_acdc.training import Method, train
from photonic_acdc.training.objective import TRAINING_BENCHES
from photonic_acdc.training.optimisers import groups
from simulators.errors import InputError


def regression(rows: int = 64) -> Dataset:
    """y = x·w, exactly."""
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
    return Dataset(x, x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]), torch.arange(rows), "line")


def test_another_loss_trains_what_is_no_classifier():
    model = nn.Linear(4, 1)
    result = train(model, regression(), epochs=60, learning_rate=0.1, batch_size=16, loss=nn.functional.mse_loss)
    assert torch.allclose(model.weight, torch.tensor([[1.0, -2.0, 0.5, 3.0]]), atol=0.02)
    assert set(result.dataset()) == {"loss", "learning_rate"}


def test_gradient_descent_is_what_its_equation_says():
    """One step with everything in the batch: w - rate·clipped gradient."""
    data, model = regression(), nn.Linear(4, 1)
    before = model.weight.detach().clone()
    error = (model(data.x) - data.y).detach()
    gradients = [2 * (error * data.x).mean(0), 2 * error.mean(0)]
    norm = float(torch.cat([g.reshape(-1) for g in gradients]).norm())
    result = train(
        model,
        data,
        epochs=1,
        batch_size=64,
        learning_rate=0.1,
        loss=nn.functional.mse_loss,
        optimiser=torch.optim.SGD,
        schedule=None,
        clip=0.5,
    )
    assert result.history[0]["gradient_norm"] == pytest.approx(norm, rel=1e-5)
    assert torch.allclose(model.weight, before - 0.1 * gradients[0] * 0.5 / norm, atol=1e-5)


def test_a_schedule_moves_on_every_step():
    seen = []

    def make(optimiser):
        seen.append(optimiser)
        return torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5)

    train(ideal(), make_data(), epochs=2, batch_size=30, learning_rate=0.1, schedule=make)
    assert [group["lr"] for group in seen[0].param_groups] == pytest.approx([0.1 * 0.5**6] * 2)


@pytest.mark.parametrize(("resample", "first"), [("step", range(0, 20, 2)), ("epoch", [0] * 5 + [2] * 5)])
def test_benches_are_new_every_step_or_every_epoch(resample, first):
    model = optical()
    seen = watch(model)
    train(model, make_data(), epochs=2, batch_size=16, noise_mode="sample", realisations=2, resample=resample)
    assert [n.realisations for n in seen] == [(TRAINING_BENCHES + i, TRAINING_BENCHES + i + 1) for i in first]
    assert [n.exposure for n in seen] == list(range(10))


def test_early_stopping_ends_with_the_weights_of_the_best_epoch():
    data, held = make_data(), make_data(30)
    held = Dataset(held.x, (held.y + 1) % 3, held.index, "wrong")  # the better on one, the worse on the other
    kept, model = [], ideal()

    def keep(done, total, row):
        kept.append({name: value.clone() for name, value in model.state_dict().items()})

    result = train(model, data, epochs=20, batch_size=16, validation=held, patience=2, progress=keep)
    losses = [row["validation_loss"] for row in result.history]
    assert result.best_epoch == losses.index(min(losses)) + 1
    assert len(losses) == result.best_epoch + 2 < 20
    assert all(torch.equal(kept[result.best_epoch - 1][name], value) for name, value in model.state_dict().items())


class Diary(Method):
    """Notes every call."""

    def __init__(self):
        self.notes = []

    def prepare(self, model):
        self.notes.append("prepare")

    def begin(self, done):
        self.notes.append(done)

    @contextlib.contextmanager
    def forward(self, model):
        self.notes.append("forward")
        yield

    def penalty(self, model, x, y, logits):
        assert len(x) == len(y) == len(logits) == 180  # two benches
        self.notes.append("penalty")
        return logits.square().mean()

    def gradient(self, model, evaluate):
        before = [p.grad.clone() for p in model.parameters()]
        buffers = [b.clone() for b in model.buffers()]
        evaluate()
        assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))
        assert all(torch.equal(b, k) for b, k in zip(model.buffers(), buffers, strict=True))
        self.notes.append("gradient")

    def after(self, model):
        self.notes.append("after")

    @contextlib.contextmanager
    def judging(self, model):
        self.notes.append("judging")
        assert not model.training
        yield
        self.notes.append("judged")


def test_methods_are_called_in_order_and_see_the_same_draws_again():
    method = Diary()
    options = {"epochs": 1, "batch_size": 90, "noise_mode": "sample", "realisations": 2}
    result = train(optical(), make_data(), methods=[method], **options)
    once = ["forward", "penalty"]
    assert method.notes == ["prepare", 0.0, *once, *once, "gradient", "after"]
    without = train(optical(), make_data(), **options)
    row = result.history[0]
    assert row["penalty"] > 0
    assert row["loss"] - row["penalty"] == pytest.approx(without.history[0]["loss"], rel=1e-5)


def test_methods_are_told_how_far_it_is_and_judge_every_epoch():
    method = Diary()
    options = {"epochs": 2, "batch_size": 90, "noise_mode": "sample", "realisations": 2}
    train(optical(), make_data(), methods=[method], validation=make_data(30), **options)
    step = ["forward", "penalty", "forward", "penalty", "gradient", "after", "judging", "judged"]
    assert method.notes == ["prepare", 0.0, *step, 0.5, *step]


class Grows(Method):
    """Static errors that grow with the training."""

    def __init__(self, most: float):
        self.most = most

    def scale(self, done):
        return {"*": self.most * done}


def test_scales_of_several_methods_multiply():
    states = []
    for methods in ([Grows(0.5), Grows(0.8)], [Grows(0.0)], []):
        model = optical()
        seen = watch(model)
        train(model, make_data(), epochs=2, batch_size=90, noise_mode="sample", methods=methods)
        states.append(seen[1].state)
    nominal = states[1]
    drawn = [address for address in nominal if not torch.equal(states[2][address], nominal[address])]
    assert drawn
    for address in drawn:  # half of the training is over: 0.25 · 0.4
        offset, full = (state[address].double() - nominal[address].double() for state in (states[0], states[2]))
        assert torch.allclose(offset, 0.1 * full, rtol=1e-2, atol=1e-6 * float(nominal[address].abs().max() + 1)), (
            address
        )


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"x": lambda x: x.index_fill(0, torch.tensor([3]), math.nan)}, r"x is not finite in 1 of 90 rows .*row 3"),
        ({"y": lambda y: y * 0}, "1 class; allowed: at least two classes"),
        ({"y": lambda y: y + 7}, r"label 9: allowed: 0 … 2: the model has 3 outputs"),
        ({"y": lambda y: y.float()}, r"y: got float32 .*allowed: whole numbers"),
        ({"x": lambda x: x[:, :15]}, "15"),
    ],
    ids=["nan", "one class", "label", "real labels", "width"],
)
@pytest.mark.parametrize("make", [ideal, optical, lambda: nn.Linear(16, 3)], ids=["ideal", "optical", "linear"])
def test_bad_data(tmp_path, change, told, make):
    data = make_data()
    ((name, spoil),) = change.items()
    parts = {"x": data.x, "y": data.y, "index": data.index, "name": data.name}
    model = make()
    with pytest.raises(InputError, match=told):
        train(model, Dataset(**{**parts, name: spoil(parts[name])}), epochs=1, checkpoint=tmp_path / "s.safetensors")
    assert not list(tmp_path.iterdir())
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resample": "day"}, "resample: got 'day'; allowed: step or epoch"),
        ({"clip": 0.0}, "clip: got 0.0"),
        ({"patience": 1}, "patience without validation data"),
        ({"checkpoint_every": 0}, "checkpoint_every: got 0; allowed: a whole number"),
        ({"optimiser": "sgd"}, "optimiser: got 'sgd'"),
        ({"optimiser": lambda groups: None}, "optimiser: got NoneType"),
        ({"schedule": lambda made: None}, "schedule: got NoneType"),
        ({"loss": nn.functional.cross_entropy, "label_smoothing": 0.1}, "label_smoothing beside loss="),
    ],
)
def test_bad_options(options, told):
    model = ideal()
    with pytest.raises(InputError, match=told):
        train(model, make_data(), epochs=1, **options)
    assert equal(model, ideal())


def test_the_mask_behind_which_a_field_is_not_finite_is_named():
    model = optical()
    (cascade,) = cascades(model).values()
    wanted = cascade.commands

    def broken():
        first, second, *rest = wanted()
        return [first, type(second)(second.phase * math.nan, second.amplitude), *rest]

    cascade.commands = broken
    told = r"the loss is nan at step 0 \(epoch 1\): the field at mask D of stage 0 of layer 0 \(OpticalCascade\)"
    with pytest.raises(InputError, match=told):
        train(model, make_data(), epochs=1, noise_mode="sample")


def test_a_learned_power_falls_where_it_costs():
    """With a weight on it the laser is turned down; without one it is of no concern."""
    powers = {}
    for weight in (0.0, 0.3):
        model = optical()
        learn_ranges(model, "power")
        found = train(
            model, make_data(), epochs=6, batch_size=30, learning_rate=0.05, noise_mode="sample", power_weight=weight
        )
        powers[weight] = power_of(model).item()
    assert powers[0.3] < 0.75 < powers[0.0]
    assert found.dataset()["power"].values[-1] < 0.85


def test_a_weight_on_a_power_that_is_not_learned_is_refused():
    with pytest.raises(InputError, match="not learned"):
        train(optical(), make_data(), epochs=1, power_weight=0.1)
    with pytest.raises(InputError, match="no optical cascade"):
        train(ideal(), make_data(), epochs=1, power_weight=0.1)


def test_ranges_take_steps_of_their_own():
    """Neither the masks' rate nor the weights' decay: x_max and factors have their own units."""
    model = optical()
    learned = {id(p) for p in learn_ranges(model, "input", "converter", "stroke", "power")}
    rates = {}
    for group in groups(model, 0.1, 0.5, 7.0):
        for p in group["params"]:
            rates[id(p)] = group["lr"], group["weight_decay"]
    assert {rates[p] for p in learned} == {(0.1, 0.0)}
    assert len(rates) == len(list(model.parameters()))
