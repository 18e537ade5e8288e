"""Learned ranges of a cascade: they change nothing at first, have gradients that are right, and go where it goes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from ranging import DIODES, MODES, bench_of, optic_of, rows
from torch import nn

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.optical.ranges import (
    RANGES,
    initialise_ranges,
    learn_ranges,
    power_of,
    range_parameters,
    soft_levels,
)
from simulators import InputError
from simulators.errors import SaturationWarning

# --- at first, and with a gradient --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "mean", "frozen", "sample"])
@pytest.mark.parametrize("readout", ["intensity", "coherent"])
def test_ranges_change_no_bit_at_first(mode, readout):
    optic, x = optic_of(readout=readout), rows()
    with pa.noise(optic, mode, seed=0):
        before = optic(x)
        new = learn_ranges(optic, *RANGES)
        assert torch.equal(optic(x), before)
    assert [p.shape for p in new] == [(), (), (1,), ()]
    assert learn_ranges(optic, *RANGES) == []
    found = range_parameters(optic)
    assert {id(p) for p in found} == {id(p) for p in new}
    assert len(found) == len(new)


@pytest.mark.parametrize("detector", [None, DIODES], ids=["camera", "photodiodes"])
@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("temperature", [None, 0.05])
def test_no_quantiser_loses_its_gradient(detector, mode, temperature):
    """Phase, stroke, input and converter, through the whole cascade of 4-bit panels; of every mask and every range."""
    optic, x = optic_of(bench_of(detector=detector)), rows()
    learn_ranges(optic, *RANGES)
    initialise_ranges(optic, x, percentile=90)
    wanted = rows(seed=3)
    with pa.noise(optic, mode, seed=0, differentiable=True), soft_levels(optic, temperature):
        (optic(x) - wanted).square().mean().backward()
    for name, parameter in optic.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        share = (parameter.grad != 0).double().mean().item()
        assert share > (0.5 if "phases" in name else 0.99), name


@pytest.mark.parametrize("bipolar", [False, True])
def test_the_written_input_has_the_gradients_of_lsq(bipolar):
    """x_max·Q(clip(x/x_max)) against the three regions, times 1/√(N·Q) of N features and Q steps from 0 to 1."""
    bench = bench_of()
    written = bench.input.replace(device=bench.input.device.replace(bipolar=bipolar))
    optic = optic_of(bench.replace(input=written).only("input.quantisation"))
    optic.x_max.fill_(0.6)
    (x_max,) = learn_ranges(optic, "input")
    x = torch.cat([rows(3), 0.6 + rows(1, seed=1)]).requires_grad_()
    with pa.noise(optic, "mean"):
        field = optic.fields(x)["input"].real[0]
    photons = optic.bench.photons_in(optic.bench.nominal(2)).item() / 16
    written = (field / photons**0.5).reshape(x.shape)  # Q(clip(x/x_max))
    v, q, low = x.detach() / optic.x_max.item(), (7.5 if bipolar else 15), (-1 if bipolar else 0)
    within = v < 1
    rounded = torch.where(within, low + torch.round((v - low) * q) / q, 1.0)
    torch.testing.assert_close(written, rounded, rtol=0, atol=1e-9)
    weights = rows(4, seed=5)
    in_x, in_range = torch.autograd.grad((weights * written).sum() * 0.6, (x, x_max))
    torch.testing.assert_close(in_x, torch.where(within, weights, 0.0), rtol=1e-6, atol=1e-9)
    # The product with x_max adds Q(clip): what autograd was not asked for.
    scale = 1 / math.sqrt(16 * q)
    in_range_lsq = torch.where(within, rounded - v, 1.0)
    found = in_range.item() + scale * (weights * written).sum().item()
    assert found == pytest.approx(scale * (weights * in_range_lsq).sum().item(), rel=1e-5)


def test_converter_and_strokes_have_their_gradients_scaled():
    """1/√(N·Q): 16 readings of 255 digits; all zones of a panel, of 15 steps."""
    optic = optic_of()
    converter, stroke = learn_ranges(optic, "converter", "stroke")
    (found,) = torch.autograd.grad(optic.figures()["detector.range"].sum(), converter)
    assert found.item() == pytest.approx(1 / math.sqrt(16 * 255))
    shown, pixels = optic.figures()["stage[1].mask[0].stroke"], 2 * (16 + optic.masks.phases[1].numel())
    (found,) = torch.autograd.grad(shown.sum(), stroke)
    assert found.item() == pytest.approx(optic.bench.stage[0].device.stroke / math.sqrt(pixels * 15))


def test_the_factor_behind_the_readout_has_the_same_scale():
    """d ln(y)/d ln(x_max) of a coherent readout without an input quantiser is 0: what is cut is put back."""
    optic = optic_of(bench_of().only(), readout="coherent")
    (x_max,) = learn_ranges(optic, "input")
    x = 0.9 * rows()
    with pa.noise(optic, "mean"):
        optic(x).abs().square().sum().backward()
    size = optic(x).abs().square().sum().item()
    assert abs(x_max.grad.item()) < 1e-5 * size


@pytest.mark.parametrize("name", ["converter", "power"])
def test_shares_stay_within_their_range(name):
    """At 1 a step further is not taken, one back is; the share is never negative, whatever an optimiser does."""
    optic = optic_of()
    (parameter,) = learn_ranges(optic, name)
    share = (
        (lambda: optic.ranges.power_share()) if name == "power" else lambda: optic.ranges.converter_share(optic.bench)
    )
    (outward,) = torch.autograd.grad(-share(), parameter)
    (inward,) = torch.autograd.grad(share(), parameter)
    assert outward.item() == 0
    assert inward.item() > 0
    for sign, low, high in ((-1, 0.999, 1.0), (1, 0.0, 0.01)):
        optimiser = torch.optim.Adam([parameter], lr=0.5)
        for _ in range(40):
            optimiser.zero_grad()
            (sign * share()).backward()
            optimiser.step()
        assert low <= share().item() <= high
        assert share() > 0
    with pa.noise(optic, "mean"):
        assert optic(rows()).isfinite().all()


def test_an_input_range_that_is_lost_is_refused():
    """A plain loop whose step is too large ends in a sentence, not in silence."""
    optic, x = optic_of(), rows()
    optic.x_max.fill_(0.05)
    optimiser = torch.optim.Adam(learn_ranges(optic, "input"), lr=0.2)

    def steps():
        for _ in range(20):
            optimiser.zero_grad()
            optic(x).mean().backward()
            optimiser.step()

    with pa.noise(optic, "mean"), pytest.raises(InputError, match=r"x_max.*greater than 0.*smaller learning rate"):
        steps()


# --- each range ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("complex_input", [False, True])
def test_a_learned_input_clips_by_intention(complex_input):
    """No warning, and what lies beyond is written as the end; of complex values the phase stays."""
    bench = sim.reference_bench(MODES, complex_input=complex_input).only()
    optic = optic_of(bench, readout="coherent")
    x = 2 * rows()
    x = torch.polar(x, 6 * rows(seed=2)) if complex_input else x
    cut = x / x.abs().clamp(min=1)
    with pa.noise(optic, "mean"):
        expected = optic(cut)
        with pytest.warns(SaturationWarning):
            optic(x)
        learn_ranges(optic, "input")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            torch.testing.assert_close(optic(x), expected, rtol=1e-9, atol=1e-9)


def test_a_converter_that_spans_what_there_is_reads_dim_light_finer():
    optic, x = optic_of(), rows(64)
    detector = optic.bench.detector
    plain = bench_of(detector=detector.replace(full_well=1e9)).without("detector.quantisation")
    dim = pa.rebind(optic, bench_of(detector=detector.replace(full_well=130.0)))
    with torch.no_grad():
        with pa.noise(plain_optic := pa.rebind(optic, plain), "mean"):
            true = plain_optic(x)
        with pa.noise(dim, "mean"):
            before = (dim(x) - true).square().mean()
        learn_ranges(dim, "converter")
        initialise_ranges(dim, x, percentile=100)
        share = dim.ranges.converter_share(dim.bench).item()
        assert 0 < share < 0.3
        with pa.noise(dim, "mean"):
            after, frames = (dim(x) - true).square().mean(), dim.frames(x)
    assert after < 2 * share**2 * before  # the step is the share of what it was
    # Still digital numbers up to the last, of a window of n pixels n times that of one.
    last = 255 * detector.pixels_per_mode(dim.bench.stage[0].pitch)
    assert frames.max().item() == pytest.approx(last, rel=5e-3)


def test_strokes_are_shared_by_the_zones_of_a_panel():
    shared, apart = optic_of(), optic_of(bench_of(panels=False))
    assert learn_ranges(shared, "stroke")[0].shape == (1,)
    assert learn_ranges(apart, "stroke")[0].shape == (4,)
    factors = torch.tensor([0.9, 1.0, 1.1, 0.8], dtype=torch.float64)
    with torch.no_grad():
        apart.ranges.stroke.copy_(factors.log())
        shared.ranges.stroke.fill_(math.log(0.9))
    nominal = apart.bench.stage[0].device.stroke
    for s in (0, 1):
        for i in (0, 1):
            key = f"stage[{s}].mask[{i}].stroke"
            assert apart.figures()[key].item() == pytest.approx(nominal * factors[2 * s + i].item())
            assert shared.figures()[key].item() == pytest.approx(nominal * 0.9)
    # As if the override had been given by hand.
    x, plain = rows(), optic_of()
    given = {f"stage[{s}].mask[{i}].stroke": torch.full((1, 1), nominal * 0.9).double() for s in (0, 1) for i in (0, 1)}
    with pa.noise(shared, "mean"), pa.noise(plain, "mean", overrides=given):
        torch.testing.assert_close(shared(x), plain(x), rtol=1e-6, atol=1e-9)


def test_the_electronics_know_the_power():
    """Ideal devices: the same output at any power, a tenth of the photons; a loss sees the mean over cascades."""
    optic, x = optic_of(), rows()
    with pa.noise(optic, "off"):
        before, bright = optic(x), optic.frames(x)
        (power,) = learn_ranges(optic, "power")
        with torch.no_grad():
            power.fill_(math.log(0.1))
        torch.testing.assert_close(optic(x), before)
        torch.testing.assert_close(optic.frames(x), 0.1 * bright)
    assert power_of(optic).item() == pytest.approx(0.1)
    (gradient,) = torch.autograd.grad(power_of(optic), power)
    assert gradient.item() == pytest.approx(0.1)
    pair = nn.Sequential(optic, optic_of())
    assert power_of(pair).item() == pytest.approx(0.55)
    assert power_of(optic_of()).item() == 1


def test_less_power_is_more_noise():
    optic, x = optic_of(bench_of().only("detector.shot_noise")), rows(4)
    (power,) = learn_ranges(optic, "power")
    spread = []
    for share in (1.0, 0.25):
        with torch.no_grad():
            power.fill_(math.log(share))
            with pa.noise(optic, "mean"):
                still = optic(x)
            errors = []
            for exposure in range(40):
                with pa.noise(optic, "sample", seed=0, exposure=exposure):
                    errors.append(optic(x) - still)
            spread.append(torch.stack(errors).std().item())
    # 40·64 values: a standard error of 1.4 % each, 2 % of the ratio.
    assert spread[1] / spread[0] == pytest.approx(2, rel=0.1)


# --- percentiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percentile", [50.0, 99.9, 100.0])
def test_ranges_start_at_percentiles(percentile):
    model = nn.Sequential(optic_of(), nn.Linear(16, 16, dtype=torch.float64), nn.Softplus(), optic_of())
    learn_ranges(model, "input", "converter")
    x = 3 * rows(50)
    initialise_ranges(model, x, percentile=percentile)
    met = {}
    handles = [c.register_forward_pre_hook(lambda c, a: met.setdefault(c, a[0])) for c in pa.cascades(model).values()]
    with torch.no_grad(), pa.noise(model, "mean", effects={"detector.quantisation": "off"}):
        model(x)
        for handle in handles:
            handle.remove()
        for cascade, inputs in met.items():
            assert cascade.x_max.item() == pytest.approx(np.percentile(inputs.abs().numpy(), percentile), rel=1e-6)
            share = cascade.ranges.converter.exp().item()
            cascade.ranges.converter.fill_(0.0)
            frames = cascade.frames(inputs).numpy()
            cascade.ranges.converter.fill_(math.log(share))
            assert share == pytest.approx(np.percentile(frames, percentile) / cascade.full_range(), rel=1e-6)
    assert model.training  # as it was


def test_ranges_do_not_depend_on_what_they_were_before():
    """A range found for half the readings is no end to what the next pass sees."""
    optic, other, x = optic_of(), optic_of(), rows()
    for cascade in (optic, other):
        learn_ranges(cascade, "input", "converter")
    initialise_ranges(optic, x)
    initialise_ranges(other, 0.1 * x, percentile=50)
    assert other.ranges.converter < optic.ranges.converter - math.log(2)
    initialise_ranges(other, x)
    assert torch.equal(other.ranges.converter, optic.ranges.converter)
    assert torch.equal(other.x_max, optic.x_max)


def test_only_learned_ranges_are_set():
    optic, x = optic_of(), 0.5 * rows()
    learn_ranges(optic, "converter", "power")
    initialise_ranges(optic, x)
    assert optic.x_max.item() == 1
    assert optic.ranges.converter.item() < 0
    assert optic.ranges.power.item() == 0


# --- where a cascade goes -----------------------------------------------------------------------------------------


def moved(optic):
    """Learned ranges away from where they start."""
    with torch.no_grad():
        for i, parameter in enumerate(learn_ranges(optic, *RANGES)):
            parameter.sub_(0.1 * (i + 1))
    return optic


def test_ranges_are_saved_and_loaded(tmp_path):
    optic, x = moved(optic_of()), rows()
    assert {"x_max", "ranges.converter", "ranges.stroke", "ranges.power"} < set(optic.state_dict())
    pa.save_tensors(tmp_path / "model.safetensors", optic.state_dict())
    fresh = optic_of()
    learn_ranges(fresh, *RANGES)
    fresh.load_state_dict(pa.load_tensors(tmp_path / "model.safetensors")[0])
    with pa.noise(optic, "mean"), pa.noise(fresh, "mean"):
        assert torch.equal(fresh(x), optic(x))
    with pytest.raises(RuntimeError, match=r"ranges\.stroke"):
        optic_of().load_state_dict(optic.state_dict())


def test_ranges_follow_their_cascade():
    optic, x = moved(optic_of()), rows()
    copied = pa.rebind(optic)
    with pa.noise(optic, "mean"), pa.noise(copied, "mean"):
        assert torch.equal(copied(x), optic(x))
    assert not {id(p) for p in range_parameters(copied)} & {id(p) for p in range_parameters(optic)}
    single = pa.rebind(optic).to(torch.float32)
    assert {p.dtype for p in range_parameters(single)} == {torch.float32}
    assert len(range_parameters(single)) == 4
    with pa.noise(single, "mean"):
        assert single(x.float()).dtype == torch.float32
    without = pa.rebind(optic, optic.bench.without("*.quantisation"))  # what is off stays off
    with pa.noise(without, "mean"):
        assert without(x).isfinite().all()
    apart = pa.rebind(optic, bench_of(panels=False))
    with pa.noise(apart, "mean"), pytest.raises(InputError, match=r"1 phase panels.*4 phase panels"):
        apart(x)


# --- bad input ----------------------------------------------------------------------------------------------------


def test_what_is_refused():
    optic, x = optic_of(), rows()
    for names in ((), ("voltage",)):
        with pytest.raises(InputError, match="allowed: 'input', 'converter', 'stroke', 'power'"):
            learn_ranges(optic, *names)
    for call in (lambda m: learn_ranges(m, "input"), lambda m: initialise_ranges(m, x), power_of):
        with pytest.raises(InputError, match="no optical cascade"):
            call(nn.Linear(2, 2))
    with pytest.raises(InputError, match="neither input nor converter is learned"):
        initialise_ranges(optic, x)
    with pytest.raises(InputError, match=r"converter.*bits over a full well"):
        learn_ranges(optic_of(bench_of(detector_bits=None)), "converter")
    with pytest.raises(InputError, match=r"stroke.*phase panel with levels"):
        learn_ranges(optic_of(bench_of(bits=None)), "stroke")
    learn_ranges(optic, "input", "converter")
    for percentile in (0, -1, 100.1, math.nan):
        with pytest.raises(InputError, match="percentile"):
            initialise_ranges(optic, x, percentile=percentile)
    with pytest.raises(InputError, match="inputs of a cascade"):
        initialise_ranges(optic, torch.zeros_like(x))


def test_nothing_is_learned_where_one_bench_has_no_such_range():
    """All or none: a model of two benches is left as it was."""
    model = nn.Sequential(optic_of(), optic_of(bench_of(bits=None)))
    with pytest.raises(InputError, match="stroke"):
        learn_ranges(model, "input", "stroke")
    assert range_parameters(model) == []
