"""Least squares of dense weights: exact where the layer can be exact, never worse than the start."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from photonic_acdc.layers import (
    ACDC,
    AFDF,
    AdaptiveFastfood,
    BlockCirculant,
    Circulant,
    Fastfood,
    Hybrid,
    LowRank,
    Monarch,
    Real,
    TensorTrain,
)
from photonic_acdc.layers.fit import fit
from simulators import InputError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(out: int, inputs: int, seed: int = 0, dtype=torch.float64) -> Tensor:
    return torch.randn(out, inputs, generator=seeded(seed), dtype=dtype) / inputs**0.5


def affine(module: nn.Module, inputs: int) -> tuple[Tensor, Tensor]:
    """Ŵ ``[out, in]`` and ĉ in eval mode, by way of rows."""
    module = copy.deepcopy(module).eval()
    dtype = next(module.parameters()).real.dtype
    with torch.no_grad():
        offset = module(torch.zeros(1, inputs, dtype=dtype))[0]
        return (module(torch.eye(inputs, dtype=dtype)) - offset).mT, offset


def relative(module: nn.Module, weight: Tensor) -> float:
    return ((affine(module, weight.shape[1])[0] - weight).norm() / weight.norm()).item()


CASCADES = {
    "ACDC": lambda n, out, dtype: ACDC(n, 2, out_features=out, permute=True, generator=seeded(1), dtype=dtype),
    "AFDF": lambda n, out, dtype: AFDF(n, 2, out_features=out, bias=True, generator=seeded(1), dtype=dtype),
    "phase only": lambda n, out, dtype: AFDF(
        n, 2, out_features=out, bias=True, phase_only=True, generator=seeded(1), dtype=dtype
    ),
    "AFDF, Real": lambda n, out, dtype: nn.Sequential(
        AFDF(n, 2, out_features=out, bias=True, generator=seeded(1), dtype=dtype), Real()
    ),
    "chain": lambda n, out, dtype: nn.Sequential(
        ACDC(n, 1, generator=seeded(1), dtype=dtype), nn.Dropout(), nn.Linear(n, out, dtype=dtype)
    ),
}


@pytest.mark.parametrize("kind", CASCADES)
@pytest.mark.parametrize(
    ("n", "out", "dtype"), [(6, 6, torch.float64), (5, 4, torch.float32), (4, 6, torch.float32)], ids=str
)
def test_a_weight_that_the_layer_has_is_approached_from_nearby(kind, n, out, dtype):
    """The oracle is a twin of the layer: displaced, the layer must find a matrix as good as the twin's again."""
    torch.manual_seed(0)  # nn.Linear's start
    module = CASCADES[kind](n, out, dtype)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=seeded(2), dtype=dtype), alpha=0.02)
        weight, bias = affine(module, n)
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=seeded(3), dtype=dtype), alpha=0.02)
    start = relative(module, weight)
    error = fit(module, weight, bias)
    assert start > 0.01
    assert error < 0.01 * start
    assert relative(module, weight) == pytest.approx(error, abs=1e-6)
    assert (affine(module, n)[1] - bias).abs().max() < 5e-6
    assert all(p.real.dtype == dtype for p in module.parameters())
    assert all(m.training for m in module.modules())


def test_any_matrix_is_reached_by_enough_stages():
    """The paper's theorem, with N stages, a complex target and phases from scratch."""
    weight = torch.complex(dense(5, 5, 0), dense(5, 5, 1))
    layer = AFDF(5, 5, generator=seeded(), dtype=torch.float64)
    assert fit(layer, weight, steps=500) < 1e-6
    assert (layer.matrix() - weight.mT).abs().max() < 1e-6


def test_a_unitary_is_reached_by_phases_alone():
    unitary = torch.linalg.qr(torch.complex(dense(4, 4, 0), dense(4, 4, 1)))[0]
    layer = AFDF(4, 4, phase_only=True, generator=seeded(), dtype=torch.float64)
    assert fit(layer, unitary, steps=500) < 1e-6
    assert layer.a_magnitude is None


def test_more_stages_come_nearer():
    weight = dense(12, 12)
    errors = [fit(AFDF(12, k, generator=seeded()), weight, steps=100) for k in (1, 3, 6)]
    assert errors[0] > 1.2 * errors[1] > 1.2 * 1.2 * errors[2]


@pytest.mark.parametrize("kind", CASCADES)
def test_the_bias_is_reached_whatever_the_matrix(kind):
    weight, bias = dense(5, 7), torch.linspace(-2, 3, 5, dtype=torch.float64)
    torch.manual_seed(0)
    module = CASCADES[kind](7, 5, torch.float64)
    error = fit(module, weight, bias, steps=20)
    assert (affine(module, 7)[1] - bias).abs().max() < 1e-9
    assert relative(module, weight) == pytest.approx(error, rel=1e-9)
    # And its absence, from there.
    fit(module, weight, steps=20)
    assert affine(module, 7)[1].abs().max() < 1e-9


def test_a_bias_out_of_reach_is_said():
    weight = dense(6, 6)
    with pytest.warns(UserWarning, match=r"fit: no bias of AFDF reaches that of the dense layer"):
        fit(AFDF(6, 2, generator=seeded()), weight, torch.ones(6), steps=5)
    fit(AFDF(6, 2, generator=seeded()), weight, torch.zeros(6), steps=5)


@pytest.mark.parametrize("kind", CASCADES)
def test_never_worse_than_the_start(kind):
    """Not after one step, not at the optimum, not in the layer's own rounding."""
    torch.manual_seed(0)
    module = CASCADES[kind](8, 8, torch.float32)
    weight, bias = affine(module, 8)
    state = copy.deepcopy(module.state_dict())
    assert fit(module, weight, bias) < 1e-6
    assert all((value - state[name]).abs().max() < 1e-5 for name, value in module.state_dict().items())
    target, errors = dense(8, 8, 3), [relative(module, dense(8, 8, 3))]
    for steps in (1, 2, 10, 1, 1):
        errors.append(fit(module, target, bias, steps=steps))
    assert all(after <= before + 1e-7 for before, after in pairwise(errors))
    assert errors[-1] < 0.9 * errors[0]


class Worse(nn.Module):
    """A layer whose closed form is bad, for what ``fit`` makes of it."""

    def __init__(self, found: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))
        self.found, self.seen = found, []

    def _project(self, matrix):
        self.seen.append(matrix)
        if self.found:
            with torch.no_grad():
                self.weight.fill_(9.0)
        return self.found

    def forward(self, x):
        return x @ self.weight


def test_a_closed_form_is_taken_only_where_it_is_better():
    module, weight = Worse(True), torch.eye(4) + 0.25 * torch.ones(4, 4).tril(-1)
    error = fit(module, weight)
    assert torch.equal(module.weight, torch.eye(4))
    assert error == pytest.approx(((weight - torch.eye(4)).norm() / weight.norm()).item())
    # It is given W [in, out], in the layer's precision.
    assert torch.equal(module.seen[0], weight.mT)
    assert module.seen[0].dtype == torch.float32


class Scaled(nn.Module):
    """A layer whose closed form chooses a buffer, and badly where it is told to."""

    def __init__(self, *, well: bool):
        super().__init__()
        self.weight, self.well = nn.Parameter(torch.eye(3)), well
        self.register_buffer("scale", torch.ones(()))

    def _project(self, matrix):
        self.weight.copy_(matrix / 2)
        self.scale.fill_(2.0 if self.well else -2.0)
        return True

    def forward(self, x):
        return self.scale * (x @ self.weight)


def test_buffers_belong_to_the_closed_form():
    weight = dense(3, 3, dtype=torch.float32)
    good, bad = Scaled(well=True), Scaled(well=False)
    assert fit(good, weight) == pytest.approx(0, abs=1e-7)
    assert good.scale == 2
    start = relative(bad, weight)
    assert fit(bad, weight) == pytest.approx(start)
    assert bad.scale == 1


class Exact(nn.Module):
    """A layer with a closed form, which counts how often it is asked for its output."""

    def __init__(self, found: bool):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(4))
        self.found, self.passes = found, 0

    def _project(self, matrix):
        if self.found:
            self.weight.copy_(matrix)
        return self.found

    def forward(self, x):
        self.passes += 1
        return x @ self.weight + self.bias


def test_a_closed_form_saves_the_descent():
    weight, bias = dense(4, 4, dtype=torch.float32), torch.arange(4.0)
    closed, open_ = Exact(True), Exact(False)
    assert fit(closed, weight) == 0
    without_bias = closed.passes
    assert fit(open_, weight) < 1e-6
    assert open_.passes > without_bias
    assert fit(closed, weight, bias) == 0
    assert torch.allclose(closed.bias, bias, atol=1e-6)
    frozen = Exact(True)
    frozen.weight.requires_grad_(False)
    assert fit(frozen, weight, bias) == 1
    assert not frozen.weight.any()


def test_what_a_frozen_layer_leaves_is_taken_by_its_correction():
    """The closed form of a Hybrid corrects a frozen layer; that of a Circulant would overwrite it."""
    frozen, weight = ACDC(6, 2, generator=seeded(), dtype=torch.float64).requires_grad_(False), dense(6, 6)
    rest = torch.linalg.svdvals(weight.mT - frozen.matrix().detach())
    hybrid = Hybrid(frozen, rank=2, generator=seeded())
    assert fit(hybrid, weight) == pytest.approx((rest[2:].norm() / weight.norm()).item(), rel=1e-6)
    circulant = Circulant(6, generator=seeded(), dtype=torch.float64)
    circulant.c.requires_grad_(False)
    kept = circulant.c.clone()
    fit(circulant, weight, torch.ones(6))
    assert torch.equal(circulant.c, kept)
    assert torch.allclose(circulant.bias, torch.ones(6, dtype=torch.float64))


LAYERS = {
    "Circulant": lambda dtype: Circulant(8, 6, generator=seeded(), dtype=dtype),
    "BlockCirculant": lambda dtype: BlockCirculant(8, 6, block=2, generator=seeded(), dtype=dtype),
    "LowRank": lambda dtype: LowRank(8, 6, rank=2, generator=seeded(), dtype=dtype),
    "Fastfood": lambda dtype: Fastfood(8, 6, generator=seeded(), dtype=dtype),
    "AdaptiveFastfood": lambda dtype: AdaptiveFastfood(8, 6, generator=seeded(), dtype=dtype),
    "TensorTrain": lambda dtype: TensorTrain(8, 6, rank=2, generator=seeded(), dtype=dtype),
    "Monarch": lambda dtype: Monarch(8, 6, blocks=2, generator=seeded(), dtype=dtype),
    "Hybrid": lambda dtype: Hybrid(ACDC(8, 1, out_features=6, dtype=dtype), rank=1, entries=4, generator=seeded()),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_structured_layer_is_fitted(kind, dtype):
    """No displacement of the parameters comes nearer; the bias is the dense layer's."""
    layer, weight, bias = LAYERS[kind](dtype), dense(6, 8), torch.linspace(-1, 2, 6)
    start = relative(layer, weight)
    error = fit(layer, weight, bias, steps=60)
    assert error < start
    assert relative(layer, weight) == pytest.approx(error, rel=1e-5)
    assert (affine(layer, 8)[1] - bias).abs().max() < 1e-5
    with torch.no_grad():
        for seed in range(5):
            other = copy.deepcopy(layer)
            for p in other.parameters():
                p.add_(torch.randn(p.shape, generator=seeded(seed), dtype=dtype), alpha=0.05)
            assert relative(other, weight) > error


def test_frozen_parameters_stay():
    layer = AFDF(6, 3, generator=seeded())
    layer.a_phase.requires_grad_(False)
    kept, moved = layer.a_phase.clone(), layer.d_phase.detach().clone()
    start = relative(layer, dense(6, 6, dtype=torch.complex64))
    assert fit(layer, dense(6, 6), steps=30) < start
    assert torch.equal(layer.a_phase, kept)
    assert not torch.equal(layer.d_phase, moved)


def test_the_same_again():
    ends = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        layer = ACDC(9, 4, permute=True, generator=seeded())
        ends.append((fit(layer, dense(9, 9), torch.ones(9), steps=40), layer.state_dict()))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(value, ends[1][1][name]) for name, value in ends[0][1].items())


def test_gradients_and_modes_are_left_alone():
    layer = nn.Sequential(AFDF(6, 2, generator=seeded()), Real(), nn.Dropout()).eval()
    layer[0].train()
    weight = dense(6, 6).requires_grad_()
    fit(layer, weight, steps=5)
    assert all(p.grad is None and p.requires_grad for p in layer.parameters())
    assert weight.grad is None
    assert [m.training for m in layer] == [True, False, False]


@pytest.mark.parametrize(
    ("make", "weight", "bias", "message"),
    [
        (lambda: ACDC(4), torch.ones(4), None, r"fit: weight: got \(4,\); allowed: a matrix \[out, in\]"),
        (lambda: ACDC(4), torch.eye(4), torch.ones(3), r"fit: bias: got \(3,\); allowed: \(4,\)"),
        (lambda: ACDC(4), torch.eye(4) / 0, None, r"fit: weight: got entries that are not finite"),
        (lambda: ACDC(4), torch.eye(4), torch.full((4,), torch.inf), r"fit: bias: got entries that are not finite"),
        (lambda: ACDC(4), torch.zeros(4, 4), None, r"fit: weight: got zeros alone"),
        (lambda: ACDC(4), torch.eye(5), None, r"fit: weight: got 5x5; allowed: what ACDC maps: .*\(\.\.\., 4\)"),
        (lambda: ACDC(4), torch.ones(5, 4), None, r"fit: weight: got 5x4; allowed: what ACDC maps, 4 features to 4"),
        (lambda: ACDC(4), torch.eye(4) * 1j, None, r"fit: weight: got complex; allowed: real, as ACDC is"),
        (lambda: Real(), torch.eye(4), None, r"fit: Real has no trainable parameters"),
        (lambda: ACDC(4, 2, activation="relu"), torch.eye(4), None, r"fit: ACDC is not affine: .*without activation"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.GELU()), torch.eye(4), None, r"fit: Sequential is not affine"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh()), torch.eye(4), None, r"fit: Sequential is not affine"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(-50, 50)), torch.eye(4), None, r"not affine"),
    ],
)
def test_bad_input(make, weight, bias, message):
    torch.manual_seed(0)
    module = make()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(InputError, match=message):
        fit(module, weight, bias)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_bad_steps(steps):
    with pytest.raises(InputError, match=rf"fit: steps: got {steps}; allowed: a whole number ≥ 1"):
        fit(ACDC(4), torch.eye(4), steps=steps)
