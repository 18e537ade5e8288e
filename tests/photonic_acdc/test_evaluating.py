"""What evaluates a model leaves every part of it in the mode it was in."""

import pytest
import torch
from torch import nn

import photonic_acdc as pa
from photonic_acdc.data.dataset import make_dataset
from photonic_acdc.evaluating import evaluating
from photonic_acdc.layers import AFDF, Intensity
from photonic_acdc.optical.ranges import initialise_ranges, learn_ranges
from photonic_acdc.training import Distillation
from simulators.reference import reference_bench

X = torch.rand(12, 16, generator=torch.Generator().manual_seed(0))
DATA = make_dataset(X.numpy(), [0, 1] * 6, "noise")


def diagnosed(model):
    pa.diagnose(model, DATA, rows=4, realisations=2)


def ranged(model):
    learn_ranges(model, "input")
    initialise_ranges(model, X)


USERS = {
    "diagnose": diagnosed,
    "initialise_ranges": ranged,
    "set_input_range": lambda model: pa.set_input_range(model, X),
    "monte_carlo": lambda model: pa.analysis.monte_carlo(model, DATA, realisations=1),
    "distillation": lambda model: Distillation(model).penalty(model, X, DATA.y, torch.zeros(12, 2)),
}


@pytest.mark.parametrize("user", USERS)
def test_a_part_that_is_frozen_stays_frozen(user):
    model = nn.Sequential(AFDF(16, 1, shape=(4, 4)), Intensity(), nn.BatchNorm1d(16), nn.Linear(16, 2))
    optic = pa.to_optical(model, reference_bench((4, 4)).only("*.zero_order_leak"), order=1)
    seen = []
    norm = next(part for part in optic.modules() if isinstance(part, nn.BatchNorm1d)).eval()
    norm.register_forward_hook(lambda *_: seen.append([part for part in optic.modules() if part.training]))
    modes = [part.training for part in optic.modules()]
    assert optic.training
    USERS[user](optic)
    assert seen
    assert not any(seen)
    assert [part.training for part in optic.modules()] == modes


@pytest.mark.parametrize("validation", [None, DATA])
def test_training_leaves_what_is_frozen_frozen(validation):
    model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Sequential(nn.BatchNorm1d(8)))
    model.append(nn.Linear(8, 2))
    model[3].eval()
    modes, seen = [part.training for part in model.modules()], []
    kept = {name: value.clone() for name, value in model[3].named_buffers()}

    def watch(part, inputs):
        seen.append((len(inputs[0]), [part.training for part in model.modules()]))

    model.register_forward_pre_hook(watch)
    weight = model[3][0].weight.detach().clone()
    found = pa.train(model, DATA, epochs=2, batch_size=6, validation=validation)
    assert all(mode == modes for rows, mode in seen if rows == 6)
    assert [any(mode) for rows, mode in seen if rows == 12] == ([] if validation is None else [False, False])
    assert all(torch.equal(value, kept[name]) for name, value in model[3].named_buffers())
    assert model[1].num_batches_tracked == 4
    assert not torch.equal(model[3][0].weight, weight)  # its statistics alone are frozen
    assert found.model is model
    assert not any(part.training for part in model.modules())


def test_a_model_in_eval_mode_is_trained_as_a_whole():
    """As a model is that comes from training."""
    results = []
    for mode in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).train(mode)
        results.append(pa.train(model, DATA, epochs=2, batch_size=6).model.state_dict())
    assert results[0]["1.num_batches_tracked"] == 4
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_after_an_error_as_well():
    model = nn.Sequential(nn.Dropout(), nn.Linear(2, 2).eval())
    with pytest.raises(RuntimeError), evaluating(model):
        model(torch.zeros(1, 3))
    assert [part.training for part in model.modules()] == [True, True, False]
