"""A layer on a bench: equal to the layer where it must be, and well-behaved as a module everywhere."""

from __future__ import annotations

import copy
import math
import warnings

import pytest
import torch
from torch import nn

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.layers import AFDF, Intensity
from simulators import InputError


def unit(*shape, dtype=torch.complex128):
    """Random values in the unit disk."""
    return torch.polar(torch.rand(shape, dtype=torch.float64), 6.3 * torch.rand(shape, dtype=torch.float64)).to(dtype)


# --- equality with the layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [(8, 8), (5, 7), (1, 8), (1, 5), (4, 3)])
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_ideal_equals_the_layer(modes, stages):
    """To 1e-12: flips, centring and the relabelled DC are all in the masks and the readout."""
    n = math.prod(modes)
    layer = AFDF(n, stages, shape=modes, init="identity", dtype=torch.float64)
    optic = pa.to_optical(layer, sim.reference_bench(modes), sim.Ideal, readout="coherent")
    x = unit(6, n)
    with pa.noise(optic, "off"):
        assert (optic(x) - layer(x)).abs().max() < 1e-12 * max(1, layer(x).abs().max().item())
    bare = pa.to_optical(layer, sim.reference_bench(modes), sim.Ideal, readout="intensity")
    with pa.noise(bare, "off"):
        assert torch.allclose(bare(x), layer(x).abs() ** 2, atol=1e-12)


@pytest.mark.parametrize(("modes", "window"), [((8, 8), 1.0), ((5, 8), 1.0), ((1, 7), 1.0), ((8, 8), 0.5)])
def test_exact_mapping_of_one_stage_equals_the_layer(modes, window):
    """`Pixel`, effects off, coherent readout of the window: to 1e-10 at an order that has converged, near it before."""
    n = math.prod(modes)
    layer = AFDF(n, 1, shape=modes, init="identity", dtype=torch.float64)
    bench = sim.reference_bench(modes, complex_masks=True, complex_input=True)
    bench = bench.replace(detector=bench.detector.replace(window=window))
    x = unit(6, n)
    error = {}
    converged = 8 if window == 1 else 14  # a window sees finer structure than the whole box
    for order in (2, 3, converged):
        optic = pa.to_optical(layer, bench, mapping="exact", readout="coherent", order=order)
        with pa.noise(optic, "off"):
            error[order] = ((optic(x) - layer(x)).abs().max() / layer(x).abs().max()).item()
    assert error[converged] < 1e-10
    assert error[3] < error[2] / 5
    assert optic.gain() > 1  # passive masks; the electronics amplify, and say so
    assert all(command.amplitude.max() <= 1 + 1e-12 for command in optic.commands())


def test_exact_mapping_is_trainable_and_shares_on_request():
    layer = AFDF(64, 1, shape=(8, 8))
    bench = sim.reference_bench(complex_masks=True, complex_input=True)
    optic = pa.to_optical(layer, bench, mapping="exact", readout="coherent", share=True)
    assert set(optic.parameters()) == set(layer.parameters())
    copied = pa.to_optical(layer, bench, mapping="exact", readout="coherent")
    assert not set(copied.parameters()) & set(layer.parameters())
    with pa.noise(optic, "sample", seed=0, differentiable=True):
        optic(torch.rand(4, 64)).abs().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_matrix_path_equals_direct_path():
    """More rows than modes go through the dense matrix: the same numbers."""
    optic = pa.to_optical(AFDF(64, 2, shape=(8, 8), dtype=torch.float64), sim.reference_bench(), readout="intensity")
    x = torch.rand(100, 64, dtype=torch.float64)
    with torch.no_grad(), pa.noise(optic, "frozen", seed=1, realisations=2):
        whole = optic(torch.cat([x, x])).unflatten(0, (2, 100))
        part = optic(torch.cat([x[:10], x[:10]])).unflatten(0, (2, 10))
    assert torch.allclose(whole[:, :10], part, rtol=1e-9)


# --- the noise switch ------------------------------------------------------------------------------------


def test_ideal_takes_more_real_rows_than_modes():
    """They go through its matrix, which is complex, and are real themselves."""
    layer = AFDF(4, 2, shape=(2, 2), dtype=torch.float64)
    optic = pa.to_optical(layer, sim.reference_bench((2, 2)), sim.Ideal)
    x = torch.rand(9, 4, dtype=torch.float64)
    with pa.noise(optic, "off"):
        assert (optic(x) - layer(x)).abs().max() < 1e-12


@pytest.fixture
def optic():
    model = nn.Sequential(AFDF(64, 2, shape=(8, 8)), Intensity(), nn.Linear(64, 3))
    return pa.to_optical(model, sim.reference_bench()).eval()


def test_off_and_mean_and_frozen_are_deterministic_and_sample_is_not(optic):
    x = torch.rand(4, 64)
    results = {}
    with torch.no_grad():
        for mode in ("off", "mean", "frozen"):
            with pa.noise(optic, mode, seed=0):
                results[mode] = optic(x)
                assert torch.equal(optic(x), results[mode])
        with pa.noise(optic, "sample", seed=0):
            results["sample"] = optic(x)
            assert torch.equal(optic(x), results["sample"])  # the same seed, bench, samples and exposure
        with pa.noise(optic, "sample", seed=0, exposure=1):
            assert not torch.equal(optic(x), results["sample"])
        assert torch.equal(optic(x), results["mean"])  # without a switch: the devices, without chance
    values = list(results.values())
    assert all(not torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])


def test_the_switch_nests_and_is_undone_after_an_error(optic):
    cascade = next(iter(pa.cascades(optic).values()))
    before = cascade.noise
    with pa.noise(optic, "off"):
        outer = cascade.noise
        with pytest.raises(InputError, match="last axis"), pa.noise(optic, "sample", seed=3, realisations=2):
            optic(torch.ones(2, 5))
        assert cascade.noise is outer
    assert cascade.noise is before


def test_noise_is_no_part_of_the_state_dict(optic):
    keys = set(optic.state_dict())
    with pa.noise(optic, "sample", seed=0):
        assert set(optic.state_dict()) == keys
    twin = copy.deepcopy(optic)
    twin.load_state_dict(optic.state_dict())
    x = torch.rand(3, 64)
    assert torch.equal(twin(x), optic(x))
    assert "x_max" in {key.split(".")[-1] for key in keys}


def test_a_realisation_is_the_same_alone_and_among_others(optic):
    x = torch.rand(5, 64)
    with torch.no_grad():
        with pa.noise(optic, "sample", seed=7, realisations=[4]):
            alone = optic[0](x)
        with pa.noise(optic, "sample", seed=7, realisations=[2, 4, 9]):
            among = optic[0](pa.over_realisations(x, 3)).unflatten(0, (3, 5))
    assert torch.allclose(among[1], alone, rtol=1e-4)
    assert not torch.allclose(among[0], alone, rtol=1e-2)


def test_a_sample_keeps_its_shots_in_any_batch(optic):
    x = torch.rand(5, 64)
    with torch.no_grad():
        with pa.noise(optic, "sample", seed=7, samples=[10, 20, 30, 40, 50]):
            whole = optic[0](x)
        with pa.noise(optic, "sample", seed=7, samples=[40, 20]):
            part = optic[0](x[[3, 1]])
    assert torch.allclose(part, whole[[3, 1]], rtol=1e-4)
    assert not torch.allclose(part, whole[[1, 3]], rtol=1e-4)


def test_mean_intensity_over_shots_is_the_frozen_bench():
    """Detected intensity is unbiased: the mean of many exposures equals the noiseless one within 5 standard errors."""
    bench = sim.reference_bench().without("detector.quantisation", "source.intensity_noise")
    optic = pa.to_optical(AFDF(64, 1, shape=(8, 8), dtype=torch.float64), bench, readout="intensity")
    x = torch.rand(64, dtype=torch.float64).repeat(400, 1)
    with torch.no_grad(), pa.noise(optic, "sample", seed=0, samples=range(400)):
        shots = optic(x)
    state = dict(sim.Realisations(0, (0,)).draw(bench, 1))
    simulator = optic.simulator
    field = simulator.illuminate(x[:1].reshape(1, 1, 8, 8), state)
    fields = simulator(optic.commands(), field, state, moments=simulator.moments)
    readout = sim.Readout(bench, 1, "intensity", order=simulator.order)
    photons = float(bench.photons_in(state)) * bench.transmission(1) / 64
    expected = readout.decode(readout.frames(fields, state)).flatten() / photons
    error = shots.std(0) / math.sqrt(len(shots))
    assert ((shots.mean(0) - expected).abs() < 5 * error).all()


def test_override_of_a_figure(optic):
    x = torch.rand(2, 64)
    with torch.no_grad():
        plain = optic(x)
        with pa.noise(optic, "mean", overrides={"stage[0].lens[0].scale": torch.full((1, 1), 1.1)}):
            assert not torch.allclose(optic(x), plain)
        with (
            pytest.raises(InputError, match=r"override 'stage\[0\].lens\[0\].scal'.*did you mean"),
            pa.noise(optic, "mean", overrides={"stage[0].lens[0].scal": torch.ones(1, 1)}),
        ):
            pass


# --- in larger models ------------------------------------------------------------------------------------


class Network(nn.Module):
    """A convolutional network with optical layers in its middle and end."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.flat = nn.Flatten()
        self.optics = nn.Sequential(AFDF(64, 1, shape=(8, 8)), Intensity(), nn.BatchNorm1d(64))
        self.second = AFDF(64, 2, shape=(8, 8))
        self.head = nn.Linear(64, 10)

    def forward(self, image):
        hidden = self.optics(self.flat(self.front(image)))
        return self.head(self.second(hidden).abs())


def test_a_cnn_runs_with_three_realisations_unchanged():
    network = Network()
    optical = pa.to_optical(network, sim.reference_bench())
    assert set(pa.cascades(optical)) == {"optics.0", "second"}
    assert isinstance(network.second, AFDF)  # the given model is as it was
    image = torch.rand(4, 1, 8, 8)
    pa.set_input_range(optical, image)
    assert all(cascade.x_max > 0 for cascade in pa.cascades(optical).values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sim.SaturationWarning)  # batch statistics differ from the calibration's
        with pa.noise(optical, "sample", seed=0, realisations=3, differentiable=True):
            out = optical(pa.over_realisations(image, 3))
    assert out.shape == (12, 10)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in optical.parameters())


def test_two_layers_on_one_bench_have_zones_and_exposures_of_their_own():
    bench = sim.reference_bench(complex_input=True)
    twins = nn.Sequential(AFDF(64, 1, shape=(8, 8)), AFDF(64, 1, shape=(8, 8)))
    optical = pa.to_optical(twins, bench, readout="intensity", generator=torch.Generator().manual_seed(0))
    first, second = pa.cascades(optical).values()
    second.load_state_dict(first.state_dict())
    with pa.noise(optical, "frozen", seed=0):
        one, two = (cascade.noise.state["stage[0].mask[0].phase_error"] for cascade in (first, second))
        assert not torch.equal(one, two)
        one, two = (cascade.noise.state["panel[slm].lut_residual"] for cascade in (first, second))
        assert torch.equal(one, two)  # zones of the same panel
    alike = pa.rebind(optical, bench.without("*.phase_error", "*.gain_nonuniformity", "*.scale_error", "input.phase.*"))
    first, second = pa.cascades(alike).values()
    x = torch.rand(3, 64)
    with torch.no_grad():
        with pa.noise(alike, "frozen", seed=0):
            assert torch.equal(first(x), second(x))
        with pa.noise(alike, "sample", seed=0):
            assert not torch.equal(first(x), second(x))


def test_torch_compile(optic):
    x = torch.rand(4, 64)
    compiled = torch.compile(optic, backend="aot_eager")
    with torch.no_grad(), pa.noise(optic, "mean"):
        assert torch.allclose(compiled(x), optic(x), rtol=1e-4, atol=1e-5)


def test_rebind_changes_the_bench_and_keeps_the_masks(optic):
    judge = pa.rebind(optic, order=3)
    cascade, other = next(iter(pa.cascades(optic).values())), next(iter(pa.cascades(judge).values()))
    assert (cascade.simulator.order, other.simulator.order) == (2, 3)
    assert all(torch.equal(p, q) for p, q in zip(optic.parameters(), judge.parameters(), strict=True))
    dark = pa.rebind(judge, cascade.bench.without("*.flicker"))
    assert next(iter(pa.cascades(dark).values())).simulator.order == 3
    with pytest.raises(InputError, match="rebind: masks of the bench"):
        pa.rebind(optic, sim.reference_bench((7, 8)))


def test_light_meter_counts_what_arrives():
    """Identity masks: the share at the detector's modes equals that of the operator itself."""
    bench = sim.reference_bench()
    optic = pa.to_optical(AFDF(64, 1, shape=(8, 8), dtype=torch.float64), bench, order=3)
    x = torch.rand(4, 64, dtype=torch.float64)
    with torch.no_grad(), pa.noise(optic, "off"), pa.measure_light(optic) as meter:
        optic(x)
    simulator = sim.Pixel(bench.only(), 1, order=3)
    with torch.no_grad():
        out = simulator(optic.commands(), x.reshape(1, 4, 8, 8).to(torch.complex128), bench.only().nominal(1))
    share = float((out.abs() ** 2).sum() / (x**2).sum())
    assert meter.efficiency().item() == pytest.approx(share, rel=1e-12)
    assert meter.encoding[0].item() == pytest.approx((x**2).mean().item())
    assert 0 < share < 1


# --- bad input -------------------------------------------------------------------------------------------


def test_bad_input(optic):
    bench = sim.reference_bench()
    layer = AFDF(64, 1, shape=(8, 8))
    with pytest.raises(InputError, match="no AFDF layer"):
        pa.to_optical(nn.Linear(4, 4), bench)
    with pytest.raises(InputError, match="as_afdf"):
        pa.to_optical(pa.layers.ACDC(64), bench)
    with pytest.raises(InputError, match=r"grid \(64,\); allowed|grid \(64,\)"):
        pa.to_optical(AFDF(64), bench)
    with pytest.raises(InputError, match="mapping: got 'best'"):
        pa.to_optical(layer, bench, mapping="best")
    with pytest.raises(InputError, match=r'mapping="exact" needs complex masks.*companion'):
        pa.to_optical(layer, bench, mapping="exact")
    with pytest.raises(InputError, match='share=True with mapping="native"'):
        pa.to_optical(layer, bench, share=True)
    with pytest.raises(InputError, match="x_max: got 0"):
        pa.to_optical(layer, bench, x_max=0)
    with pytest.raises(InputError, match="readout: got 'phase'"):
        pa.to_optical(layer, bench, readout="phase")
    with pytest.raises(InputError, match="order: got 0"):
        pa.to_optical(layer, bench, order=0)
    with pytest.raises(InputError, match="last axis of the input"):
        optic(torch.ones(2, 63))
    with pytest.raises(InputError, match="noise mode: got 'loud'"), pa.noise(optic, "loud"):
        pass
    with (
        pytest.raises(InputError, match="'sample' draws random values and there is no seed"),
        pa.noise(optic, "sample"),
    ):
        pass
    with pytest.raises(InputError, match="no optical cascade"), pa.noise(nn.Linear(2, 2), "off"):
        pass
    with (
        pytest.raises(InputError, match="a multiple of the 3 realisations"),
        pa.noise(optic, "sample", seed=0, realisations=3),
    ):
        optic(torch.rand(4, 64))
    with (
        pytest.raises(InputError, match="noise: samples: got 3 for 4 rows"),
        pa.noise(optic, "sample", seed=0, samples=range(3)),
    ):
        optic(torch.rand(4, 64))
    with pytest.raises(InputError, match="writes real values only, and x is complex"):
        optic(torch.rand(2, 64) * 1j)
    with pytest.raises(InputError, match="zero throughout"):
        pa.set_input_range(optic, torch.zeros(2, 64))


def test_saturation_warns_and_does_what_the_device_does(optic):
    x = torch.rand(2, 64)
    x[0, 0] = 3.0
    with pytest.warns(sim.SaturationWarning, match="exceed the input device's range"):
        clipped = optic(x)
    assert torch.equal(clipped, optic(x.clamp(max=1)))


@pytest.mark.parametrize(("wide", "narrow"), [(13, 16), (16, 10), (12, 15)])
def test_a_rectangular_layer_writes_and_reads_the_first_modes(wide, narrow):
    bench = sim.reference_bench(modes=(4, 4), complex_masks=True, complex_input=True)
    shape = (4, 4) if max(wide, narrow) == 16 else (3, 5)
    bench = bench if shape == (4, 4) else sim.reference_bench(modes=shape, complex_masks=True, complex_input=True)
    layer = pa.layers.AFDF(wide, 2, out_features=narrow, shape=shape, dtype=torch.float64)
    optic = pa.to_optical(layer, bench.only(), sim.Ideal)
    x = torch.rand(5, wide, dtype=torch.float64)
    assert optic(x).shape == (5, narrow)
    assert (optic(x) - layer(x)).abs().max() < 1e-12
    native = pa.to_optical(nn.Sequential(layer, pa.layers.Intensity()), bench)
    assert native(x).shape == (5, narrow)
    with pytest.raises(InputError, match="last axis"):
        optic(torch.rand(5, wide + 1, dtype=torch.float64))


def test_light_cannot_add_a_bias():
    with pytest.raises(InputError, match=r"AFDF layer with bias.*bias=False"):
        pa.to_optical(pa.layers.AFDF(16, 1, shape=(4, 4), bias=True), sim.reference_bench(modes=(4, 4)))


def test_an_acdc_layer_on_twice_the_modes_of_a_bench():
    layer = pa.layers.ACDC(8, 3, bias=False, dtype=torch.float64)
    bench = sim.reference_bench(modes=(1, 16), complex_masks=True, complex_input=True)
    optic = pa.to_optical(layer.as_afdf(), bench.only(), sim.Ideal)
    x = torch.randn(6, 8, dtype=torch.float64).clamp(-1, 1)
    assert (optic(x) - layer(x)).abs().max() < 1e-12


@pytest.mark.parametrize("readout", ["intensity", "coherent"])
def test_wave_judges_what_pixel_trained(readout):
    """The same masks under the finer simulator, devices and shots included: outputs agree as the fields do."""
    layer = pa.layers.AFDF(16, stages=2, shape=(4, 4), generator=torch.Generator().manual_seed(0))
    bench = sim.reference_bench((4, 4), complex_input=readout == "coherent")
    optic = pa.to_optical(layer, bench, readout=readout, order=3, generator=torch.Generator().manual_seed(1))
    wave = pa.rebind(optic, simulator=sim.Wave, samples=4)
    x = torch.rand(5, 16, generator=torch.Generator().manual_seed(2))
    for mode in ("off", "mean", "sample"):
        out = []
        for module in (optic, wave):
            with pa.noise(module.eval(), mode, seed=0), torch.no_grad():
                out.append(module(x))
        assert (out[0] - out[1]).norm() < 0.02 * out[0].norm()
    with pa.noise(wave.train(), "sample", seed=0):
        wave(x).abs().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in wave.parameters())
