"""Structured layers in place of dense ones, in any model, by every way of choosing them."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from photonic_acdc.layers import ACDC, AFDF, Real
from photonic_acdc.layers.compare import Comparison, compare
from photonic_acdc.layers.replace import replace_linear
from simulators import InputError


class Block(nn.Module):
    """Two dense layers by attribute."""

    def __init__(self):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8, bias=False)

    def forward(self, x):
        return x + self.fc2(self.act(self.fc1(x)))


class Wide(nn.Linear):
    """A kind of dense layer of its own."""


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 2, 1), Block(), nn.Flatten(), Wide(16, 5))


NAMES = ["2.fc1", "2.fc2", "4"]


def like(linear: nn.Linear) -> ACDC:
    return ACDC.like(linear, stages=2, generator=torch.Generator().manual_seed(0))


def replaced(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, ACDC)]


def states_equal(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- which layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (None, NAMES),
        ("*", NAMES),
        ("2.fc2", ["2.fc2"]),
        ("2.*", ["2.fc1", "2.fc2"]),
        ("*fc?", ["2.fc1", "2.fc2"]),
        (["4", "*fc1"], ["2.fc1", "4"]),
        (("4",), ["4"]),
        (nn.Linear, NAMES),
        (Wide, ["4"]),
        (lambda name, linear: linear.in_features == 12, ["2.fc2"]),
        (lambda name, linear: name == "4", ["4"]),
    ],
    ids=str,
)
def test_where(net, where, names):
    model = replace_linear(net, like, where)
    assert replaced(model) == names
    for name in names:
        old, new = net.get_submodule(name), model.get_submodule(name)
        assert (new.in_features, new.out_features) == (old.in_features, old.out_features)
        assert (new.bias is None) == (old.bias is None)
    assert model(torch.randn(3, 8)).shape == (3, 5)
    # What was not chosen is the old, but a copy of it.
    kept = {name: p for name, p in model.named_parameters() if not any(name.startswith(f"{n}.") for n in names)}
    for name, parameter in kept.items():
        assert torch.equal(parameter, net.get_parameter(name))
        assert parameter is not net.get_parameter(name)


def test_the_model_that_was_given_is_not_altered(net):
    before, shown = copy.deepcopy(net), repr(net)
    model = replace_linear(net, lambda linear: nn.Linear(linear.in_features, linear.out_features), fit=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert states_equal(net, before)
    assert repr(net) == shown


def test_one_layer_alone():
    linear = nn.Linear(6, 4).eval()
    layer = replace_linear(linear, like)
    assert isinstance(layer, ACDC)
    assert (layer.in_features, layer.out_features, layer.training) == (6, 4, False)


def test_modes_dtype_and_device_follow(net):
    model = replace_linear(net.double().eval(), ACDC.like)
    assert not any(module.training for module in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert replace_linear(net.train(), ACDC.like)[4].training
    assert {p.device.type for p in replace_linear(net.to("meta"), ACDC.like).parameters()} == {"meta"}


def test_a_shared_layer_stays_one_layer():
    shared, block = nn.Linear(8, 8), Block()
    net = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, block), "c": nn.Sequential(shared, shared, block)})
    made = []
    for where in (None, "c.0"):
        made.clear()
        model = replace_linear(net, lambda linear: made.append(linear) or like(linear), where)
        assert model["a"] is model["b"][0] is model["c"][0] is model["c"][1]
        assert isinstance(model["a"], ACDC)
        assert model["b"][1] is model["c"][2]
        assert len(made) == (1 if where else 3)


def test_a_wrapper_may_keep_the_layer_it_replaces(net):
    model = replace_linear(net, lambda linear: nn.Sequential(linear, nn.Dropout(0.5)), "4")
    assert isinstance(model[4][0], Wide)
    assert model[4][0] is not net[4]
    assert torch.equal(model[4][0].weight, net[4].weight)


# --- fitted ----------------------------------------------------------------------------------------------------------


def test_fitted_layers_stand_for_the_old_ones():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    told: list[Comparison] = []

    def make(linear):
        return nn.Sequential(AFDF.like(linear, stages=6, generator=torch.Generator().manual_seed(0)), Real())

    model = replace_linear(net, make, fit=True, report=told.append)
    x = torch.randn(20, 6)
    assert (model(x) - net(x)).abs().max() < 1e-3
    assert max(row.error for row in told[0].rows) < 1e-3
    unfitted = compare(net, replace_linear(net, make))
    assert min(row.error for row in unfitted.rows) > 0.5


def test_a_layer_that_cannot_be_fitted_is_named(net):
    def make(linear):
        return ACDC.like(linear, stages=2, activation="relu")

    with pytest.raises(InputError, match=r"replace_linear: layer 2\.fc1: fit: ACDC is not affine"):
        replace_linear(net, make, fit=True)
    assert replaced(replace_linear(net, make)) == NAMES


# --- what changed ----------------------------------------------------------------------------------------------------


def test_the_report(net):
    told: list[Comparison] = []
    model = replace_linear(net, like, "2.*", report=told.append)
    (report,) = told
    assert report == compare(net, model)
    first, second = report.rows
    assert (first.name, first.before, first.after) == ("2.fc1", "Linear", "ACDC")
    # 8 → 12 dense with bias: 8·12 + 12 numbers, 12 (8 + 8) and the bias; as ACDC K = 2, N = 12: three vectors a stage.
    assert (first.parameters_before, first.parameters_after) == (108, 72)
    assert (first.flops_before, first.flops_after) == (12 * 17, model[2].fc1.flops())
    assert (second.parameters_before, second.parameters_after) == (96, 48)
    assert second.flops_before == 2 * 8 * 12
    weight = net[2].fc1.weight.mT
    error = ((weight - model[2].fc1.matrix()).norm() / weight.norm()).item()
    assert first.error == pytest.approx(error, rel=1e-5)
    total = sum(p.numel() for p in net.parameters())
    assert report.parameters_before == total
    assert report.parameters_after == total - 108 - 96 + 72 + 48
    assert report.compression == pytest.approx(report.parameters_after / total)
    assert report.flops_before == 12 * 17 + 192
    assert report.flops_after == sum(row.flops_after for row in report.rows)


def test_the_report_is_a_table(net, capsys):
    replace_linear(net, like, "2.fc1", report=print)
    head, row, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "before", "after", "parameters", "FLOPs", "a", "row", "error"]
    assert row.split()[:7] == ["2.fc1", "Linear", "ACDC", "108", "→", "72", "(÷1.5)"]
    assert total.startswith("whole model")
    assert f"{sum(p.numel() for p in net.parameters())} → " in total
    ends = [head.index("parameters") + len("parameters"), row.index("(÷1.5)") + len("(÷1.5)")]
    assert ends[0] == ends[1]


def test_a_report_says_what_it_does_not_know():
    class Own(nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.scale, self.size = nn.Parameter(torch.ones(linear.out_features, dtype=torch.complex64)), 1

        def forward(self, x):
            return torch.tanh(x.sum(-1, keepdim=True) * self.scale.real)

    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4))
    report = compare(net, replace_linear(net, Own, "0"))
    (row,) = report.rows
    assert (row.flops_after, row.error, row.parameters_after) == (None, None, 8)
    assert report.flops_after is None
    assert "32 → ?" not in str(report)
    assert "28 → ?" in str(report)
    assert str(report).splitlines()[1].endswith("–")
    larger = compare(net, replace_linear(net, lambda linear: ACDC.like(linear, stages=8), "1"))
    assert "20 → 96 (×4.8)" in str(larger)


def test_flops_add_up_over_a_chain():
    net = nn.Sequential(nn.Linear(5, 5))
    afdf = AFDF(5)
    for made, flops in (
        (nn.Sequential(afdf, Real()), afdf.flops()),
        (nn.Sequential(nn.Linear(5, 2, bias=False), nn.Linear(2, 5)), 2 * 10 + 2 * 10 + 5),
        (nn.Sequential(same := nn.Linear(5, 5), same), 2 * 55),
    ):
        (row,) = compare(net, nn.Sequential(made)).rows
        assert row.flops_after == flops
    assert row.after == "Sequential(Linear, Linear)"
    assert row.parameters_after == 30


def test_nothing_replaced_and_another_model(net):
    assert compare(net, copy.deepcopy(net)).rows == ()
    with pytest.raises(InputError, match=r"compare: layer 2\.fc1: got missing in the second model"):
        compare(net, nn.Sequential())


# --- what keeps working ----------------------------------------------------------------------------------------------


def test_states_copies_and_pickles(net):
    model = replace_linear(net, like)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = replace_linear(net, lambda linear: ACDC.like(linear, stages=2))
    assert not states_equal(other, model)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert states_equal(other, model)
    x = torch.randn(3, 8)
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))


def test_compiled_parallel_and_moved(net):
    model = replace_linear(net, like)
    x = torch.randn(3, 8)
    assert torch.allclose(torch.compile(model, backend="aot_eager")(x), model(x), atol=1e-6)
    assert torch.equal(nn.DataParallel(model)(x), model(x))
    moved = copy.deepcopy(model).to(torch.float64)
    assert moved(x.double()).dtype == torch.float64
    assert torch.allclose(moved(x.double()).float(), model(x), atol=1e-5)


def test_gradients_reach_every_parameter(net):
    model = replace_linear(net, like)
    model(torch.randn(3, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


# --- attention -------------------------------------------------------------------------------------------------------


def transformer() -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def test_attention_keeps_its_projection():
    net = transformer()
    model = replace_linear(net, like)
    assert replaced(model) == [f"layers.{i}.linear{j}" for i in (0, 1) for j in (1, 2)]
    for where in ("*", "layers.0.*", nn.Linear, lambda name, linear: True):
        with pytest.raises(
            InputError, match=r"layer layers\.0\.self_attn\.out_proj: got the output projection.*leaves"
        ):
            replace_linear(net, like, where)
    with pytest.raises(InputError, match=r"the model has no nn\.Linear, projections of attention apart$"):
        replace_linear(nn.MultiheadAttention(8, 2), like)


@pytest.mark.parametrize("where", ["*linear1", "layers.1.linear2"])
def test_a_transformer_in_eval_mode_calls_what_replaces_its_layers(where):
    """Its fast path would read linear1.weight."""
    net = transformer()
    x = torch.randn(3, 5, 8)
    exact = replace_linear(net, lambda linear: nn.Sequential(linear), where)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[0, 3:] = True
    for model in (net, exact):
        model.eval()
    with torch.no_grad():
        assert torch.allclose(exact(x), net(x), atol=1e-6)
        known = ~mask
        dense, sparse = exact(x, src_key_padding_mask=mask), net.train()(x, src_key_padding_mask=mask)
        assert torch.allclose(dense[known], sparse[known], atol=1e-6)
        model = replace_linear(net, like, where).eval()
        assert torch.allclose(model(x), copy.deepcopy(model).train()(x), atol=1e-6)


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("fc1", r"where: got 'fc1', which matches no nn\.Linear; allowed: 2\.fc1, 2\.fc2, 4; try: did you mean 2\.fc1"),
        ("2.fx*", r"where: got '2\.fx\*', .*did you mean 2\.fc\d or 2\.fc\d"),
        (["4", "zzz"], r"where: got 'zzz', which matches no nn\.Linear; allowed: 2\.fc1, 2\.fc2, 4$"),
        (lambda name, linear: False, r"where: got <lambda>, which matches no nn\.Linear; allowed: 2\.fc1, 2\.fc2, 4$"),
        (nn.modules.linear.NonDynamicallyQuantizableLinear, r"where: got NonDynamicallyQuantizableLinear, which match"),
        (nn.Conv1d, r"where: got <class .*Conv1d'>; allowed: None, a pattern"),
        ([], r"where: got \[\], which matches no"),
        ([nn.Linear], r"where: got \[<class .*; allowed: None, a pattern"),
        (3, r"where: got 3; allowed: None, a pattern of names or a list of them, a subclass of nn\.Linear, or a func"),
    ],
)
def test_a_where_that_means_nothing(net, where, message):
    with pytest.raises(InputError, match=message):
        replace_linear(net, like, where)


def test_long_lists_are_cut():
    net = nn.Sequential(*(nn.Linear(1, 1) for _ in range(25)))
    with pytest.raises(InputError, match=r"allowed: 0, 1, .*, 19 and 5 more$"):
        replace_linear(net, like, "head")


def test_a_model_without_dense_layers():
    with pytest.raises(InputError, match=r"replace_linear: the model has no nn\.Linear"):
        replace_linear(nn.Sequential(nn.ReLU()), like)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda linear: None, r"make for layer 2\.fc1: got None; allowed: an nn\.Module"),
        (
            lambda linear: ACDC(8),
            r"make for layer 2\.fc1: got ACDC, whose rows come out as \(8,\); .* \[\.\.\., 8\] to \[\.\.\., 12\]",
        ),
        (
            lambda linear: ACDC(9, out_features=12),
            r"make for layer 2\.fc1: got ACDC; allowed: a module that maps .*last axis",
        ),
        (
            lambda linear: nn.Sequential(nn.Linear(8, 3), nn.Tanh()),
            r"got Sequential\(Linear, Tanh\), whose rows .* \(3,\)",
        ),
        (lambda linear: nn.LSTM(8, 12), r"got LSTM, whose rows come out as tuple"),
        (lambda linear: nn.Flatten(0), r"got Flatten, whose rows come out as \(\)"),
        ("ACDC", r"replace_linear: make: got 'ACDC'; allowed: a function of an nn\.Linear"),
    ],
)
def test_a_make_that_does_not_fit(net, make, message):
    with pytest.raises(InputError, match=message):
        replace_linear(net, make)


def test_trying_a_new_layer_leaves_no_trace(net):
    def make(linear):
        return nn.Sequential(like(linear), nn.BatchNorm1d(linear.out_features))

    model = replace_linear(net, make, "4")
    assert model[4][1].num_batches_tracked == 0
    assert model[4][1].training
    assert not model[4][1].running_mean.any()


def test_layers_without_plain_weights():
    lazy = nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(5))
    with pytest.raises(InputError, match=r"layer 1: got nn\.LazyLinear without weights; .*one pass of data"):
        replace_linear(lazy, like)
    assert replaced(replace_linear(lazy, like, "0")) == ["0"]
    lazy(torch.ones(1, 3))
    assert replaced(replace_linear(lazy, like)) == ["0", "1"]
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3)))
    with pytest.raises(InputError, match=r"layer 0: got parametrizations of weight; .*remove_parametrizations"):
        replace_linear(normed, like)
    torch.nn.utils.parametrize.remove_parametrizations(normed[0], "weight")
    assert replaced(replace_linear(normed, like)) == ["0"]
