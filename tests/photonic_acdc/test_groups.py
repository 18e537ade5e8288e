"""Optimiser groups: every trainable parameter once, with the paper's factors and without its mistakes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from photonic_acdc.layers import ACDC, AFDF, Real
from photonic_acdc.layers.groups import parameter_groups
from photonic_acdc.layers.structured import StructuredLinear
from simulators import InputError


class Circulant(StructuredLinear):
    """One more structured layer, with a submodule inside."""

    def __init__(self, features: int):
        super().__init__(features)
        self.c, self.inner = nn.Parameter(torch.ones(features, 2)), nn.Linear(features, features)
        self.bias = nn.Parameter(torch.zeros(features))

    def reset_parameters(self, generator=None):
        self.c.data.fill_(1)

    def flops(self):
        return 0

    def _map(self, x):
        return self.inner(x * self.c[:, 0]) + self.bias


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, 2, 3), nn.LayerNorm((2, 8))
        self.rnn = nn.LSTM(8, 8)
        self.real = ACDC(8, 2)
        self.light = nn.Sequential(AFDF(8, 3, bias=True), Real())
        self.other = Circulant(8)
        self.scale = nn.Parameter(torch.ones(2, 2))
        self.head = nn.Linear(8, 3)


def names_of(model: nn.Module, groups: list[dict]) -> dict[str, set[str]]:
    names = {p: name for name, p in model.named_parameters()}
    return {group["name"]: {names[p] for p in group["params"]} for group in groups}


EXPECTED = {
    "a": {"real.a", "light.0.a_phase", "light.0.a_magnitude"},
    "d": {"real.d", "real.bias", "light.0.d_phase", "light.0.d_magnitude", "light.0.bias"},
    "structured": {"other.c", "other.bias", "other.inner.weight", "other.inner.bias"},
    "weights": {"conv.weight", "head.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0"},
    "others": {"conv.bias", "norm.weight", "norm.bias", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "scale", "head.bias"},
}


def test_who_is_where_with_what():
    model = Net()
    # A normalisation over two axes has a weight of two axes, too: it is no matrix.
    groups = parameter_groups(model, lr=0.1, weight_decay=5e-4)
    assert names_of(model, groups) == EXPECTED
    rates = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}
    assert rates == {
        "a": (pytest.approx(2.4), 0),
        "d": (pytest.approx(1.2), 0),
        "structured": (0.1, 0),
        "weights": (0.1, 5e-4),
        "others": (0.1, 0),
    }
    chosen = parameter_groups(model, lr=0.1, a=3, d=5)
    assert [(group["name"], group["lr"]) for group in chosen] == [
        ("a", pytest.approx(0.3)),
        ("d", pytest.approx(0.5)),
        ("structured", 0.1),
        ("weights", 0.1),
        ("others", 0.1),
    ]


@pytest.mark.parametrize("decay", [0.0, 1e-3, "ratio"])
def test_every_trainable_parameter_once(decay):
    model = Net()
    model.twice, model.tied = model.real, nn.Linear(8, 3)
    model.tied.weight = model.head.weight
    model.light[0].a_phase.requires_grad_(False)
    model.conv.requires_grad_(False)
    groups = parameter_groups(model, lr=0.1, weight_decay=0.1, diagonal_decay=decay)
    found = [p for group in groups for p in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {p for p in model.parameters() if p.requires_grad}
    assert len({group["name"] for group in groups}) == len(groups)


def decays(model: nn.Module, groups: list[dict]) -> dict[str, float]:
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: group["weight_decay"] for group in groups for p in group["params"]}


def test_a_decay_of_diagonals_leaves_biases_alone():
    model = Net()
    found = decays(model, parameter_groups(model, lr=0.1, weight_decay=0.5, diagonal_decay=0.25))
    diagonals = {name for kind in ("a", "d", "structured") for name in EXPECTED[kind] if not name.endswith("bias")}
    for name, decay in found.items():
        assert decay == (0.25 if name in diagonals else 0.5 if name in EXPECTED["weights"] else 0), name


def test_the_decay_of_a_layer_falls_with_its_compression():
    """Base decay × parameters / (in·out); a complex number is two."""
    model = nn.Sequential(ACDC(8, 2, out_features=4), AFDF(8, 1, bias=True), AFDF(8, 1, phase_only=True), ACDC(8, 2))
    found = decays(model, parameter_groups(model, lr=0.1, weight_decay=0.01, diagonal_decay="ratio"))
    ratios = {"0": 48 / 32, "1": (4 + 2) * 8 / 64, "2": 16 / 64, "3": 48 / 64}
    for name, decay in found.items():
        assert decay == pytest.approx(0 if name.endswith("bias") else 0.01 * ratios[name[0]]), name
    names = [group["name"] for group in parameter_groups(model, lr=1, weight_decay=0.01, diagonal_decay="ratio")]
    assert {"a, decay 0.015", "a, decay 0.0075", "a, decay 0.0025"} < set(names)
    assert all(decay == 0 for decay in decays(model, parameter_groups(model, lr=1, diagonal_decay="ratio")).values())


def test_layers_within_a_structured_layer_have_a_ratio_of_their_own():
    outer = Circulant(8)
    outer.inner = ACDC(8, 1, bias=False)
    found = decays(outer, parameter_groups(outer, lr=1, weight_decay=1, diagonal_decay="ratio"))
    assert found == {"c": (16 + 8 + 16) / 64, "inner.a": 0.25, "inner.d": 0.25, "bias": 0}


def test_empty_groups_are_dropped():
    assert [g["name"] for g in parameter_groups(ACDC(4), lr=1)] == ["a", "d"]
    layer = AFDF(4)
    layer.a_phase.requires_grad_(False)
    layer.a_magnitude.requires_grad_(False)
    assert [g["name"] for g in parameter_groups(layer, lr=1)] == ["d"]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_an_optimiser_takes_them_and_steps_accordingly(kind):
    model = nn.Sequential(ACDC(4), nn.Linear(4, 2))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = kind(parameter_groups(model, lr=1e-3, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    steps = {name: (before[name] - p.detach()) for name, p in model.named_parameters()}
    assert torch.allclose(steps["0.a"], torch.full((1, 4), 24e-3), rtol=1e-4)
    assert torch.allclose(steps["0.d"], torch.full((1, 4), 12e-3), rtol=1e-4)
    assert torch.allclose(steps["0.bias"], torch.full((1, 4), 12e-3), rtol=1e-4)
    assert torch.allclose(steps["1.weight"], 1e-3 * (1 + 0.5 * before["1.weight"]), rtol=1e-3)
    assert torch.allclose(steps["1.bias"], torch.full((2,), 1e-3), rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, r"parameter_groups: lr: got -1; allowed: a finite number ≥ 0"),
        ({"lr": math.nan}, r"lr: got nan"),
        ({"lr": 1, "a": math.inf}, r"a: got inf"),
        ({"lr": 1, "d": -2}, r"d: got -2"),
        ({"lr": 1, "weight_decay": -2}, r"weight_decay: got -2"),
        ({"lr": 1, "diagonal_decay": -2}, r"diagonal_decay: got -2"),
        ({"lr": 1, "diagonal_decay": "rate"}, r"diagonal_decay: got 'rate'; allowed: .*'ratio'"),
    ],
)
def test_bad_figures(options, message):
    with pytest.raises(InputError, match=message):
        parameter_groups(ACDC(4), **options)


def test_models_without_anything_to_group():
    with pytest.raises(InputError, match=r"the model has no structured layer: try: replace_linear first"):
        parameter_groups(nn.Linear(3, 3), lr=1)
    with pytest.raises(InputError, match=r"the model has no trainable parameters"):
        parameter_groups(ACDC(4).requires_grad_(False), lr=1)
