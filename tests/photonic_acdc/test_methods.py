"""Sharpness, vaccination and distillation against their closed forms, in plain loops."""

import copy

import pytest
import torch
from torch import nn

from photonic_acdc.layers import AFDF
from photonic_acdc.optical import noise, to_optical
from photonic_acdc.training.distillation import Distillation
from photonic_acdc.training.sharpness import SharpnessAware
from photonic_acdc.training.vaccination import Vaccination
from simulators.devices.pose import Misalignment
from simulators.errors import InputError
from simulators.reference import reference_bench


def test_sharpness_of_a_quadratic():
    """L = ½ wᵀHw, gradient Hw: at w + ρ Hw/|Hw| it is H(w + ρ Hw/|Hw|)."""
    model = nn.Linear(3, 1, bias=False).double()
    root = torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h = root @ root.T
    w = model.weight.detach().clone()

    def evaluate():
        model.zero_grad()
        (0.5 * (model.weight @ h @ model.weight.T)).sum().backward()

    evaluate()
    SharpnessAware(0.3, masks_only=False).gradient(model, evaluate)
    slope = w @ h
    torch.testing.assert_close(model.weight.grad, (w + 0.3 * slope / slope.norm()) @ h, rtol=1e-12, atol=0)
    assert torch.equal(model.weight, w)


def test_sharpness_moves_masks_alone_by_rho_and_puts_them_back_even_after_an_error():
    layer = to_optical(AFDF(16, 1, shape=(4, 4)), reference_bench((4, 4)), readout="intensity", order=1)
    model = nn.Sequential(layer, nn.Linear(16, 2))
    before = copy.deepcopy(model.state_dict())
    x = torch.rand(8, 16)
    model(x).square().mean().backward()
    seen = {}

    def evaluate():
        seen.update({name: (value - before[name]).norm() for name, value in model.state_dict().items()})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        SharpnessAware(0.5).gradient(model, evaluate)
    masks = torch.stack([norm for name, norm in seen.items() if "phases" in name]).norm()
    torch.testing.assert_close(masks, torch.tensor(0.5), rtol=1e-4, atol=0)
    assert seen["1.weight"] == 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    with pytest.raises(InputError, match="no optical cascade"):
        SharpnessAware(0.5).gradient(nn.Linear(2, 2), evaluate)


def test_vaccination_grows_and_scales_the_spread():
    method = Vaccination(("*.lateral",), start=0.2, stop=1.0, until=0.5)
    for done, factor in ((0.0, 0.2), (0.25, 0.6), (0.5, 1.0), (1.0, 1.0)):
        assert method.scale(done) == {"*.lateral": pytest.approx(factor)}
    bench = reference_bench((4, 4))
    first = bench.stage[0].replace(misalignment=Misalignment(lateral=10e-6))
    bench = bench.replace(stage=(first, *bench.stage[1:]))
    optic = to_optical(AFDF(16, 1, shape=(4, 4)), bench, readout="intensity", order=1)
    with noise(optic, "sample", seed=0):
        whole = optic.noise.state["stage[0].mask[0].lateral"]
    with noise(optic, "sample", seed=0, scale=method.scale(0.25)):
        torch.testing.assert_close(optic.noise.state["stage[0].mask[0].lateral"], 0.6 * whole)
    with pytest.raises(InputError, match="until"):
        Vaccination(("*.lateral",), until=0.0)


def test_distillation_by_hand_and_the_teacher_left_alone():
    teacher, student = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), nn.Linear(4, 3)
    x = torch.rand(6, 4)
    before = copy.deepcopy(teacher.state_dict())
    method = Distillation(teacher, weight=0.7, temperature=3.0)
    logits = student(x)
    penalty = method.penalty(student, x, torch.zeros(6), logits)
    p, q = (teacher[0](x) / 3).softmax(-1), (logits / 3).softmax(-1)  # without the dropout: in eval mode
    torch.testing.assert_close(penalty, 0.7 * 9 * (p * (p / q).log()).sum(-1).mean())
    penalty.backward()
    assert student.weight.grad is not None
    assert teacher[0].weight.grad is None
    assert teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    same = Distillation(student).penalty(student, x, torch.zeros(6), student(x))
    torch.testing.assert_close(same, torch.zeros(()), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="teacher"):
        method.penalty(student, x, torch.zeros(6), torch.zeros(6, 5))
