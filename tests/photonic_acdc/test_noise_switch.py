"""The switch of single effects: what it names differs, and nothing else."""

import math

import pytest
import torch

from photonic_acdc.layers import AFDF
from photonic_acdc.optical import noise, rebind, to_optical
from simulators.detection import Readout
from simulators.effects import flicker_nodes
from simulators.errors import InputError
from simulators.pixel import Pixel
from simulators.random import Realisations, Shots
from simulators.reference import reference_bench

STAGES = 1


def bench_of(**figures):
    """4×4 modes, masks on two panels of their own unless told otherwise."""
    bench = reference_bench((4, 4))
    stage = list(bench.stage)
    for i in (0, 2):
        stage[i] = stage[i].replace(device=stage[i].device.replace(**figures), panel=figures.get("panel"))
    return bench.replace(stage=tuple(stage))


def optic_on(bench, readout="intensity"):
    layer = AFDF(16, STAGES, shape=(4, 4))
    generator = torch.Generator().manual_seed(0)
    return to_optical(layer, bench, readout=readout, generator=generator, order=2).double().eval()


@pytest.fixture(scope="module")
def optic():
    return optic_on(reference_bench((4, 4)))


@pytest.fixture(scope="module")
def x():
    return torch.rand(5, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@torch.no_grad()
def frames(optic, x, mode, **options):
    with noise(optic, mode, **options):
        return optic.frames(x)


def test_one_mode_for_all_is_the_preset(optic, x):
    for preset in ("off", "mean", "frozen", "sample"):
        for base in ("off", "sample"):
            found = frames(optic, x, base, seed=3, effects={"*": preset})
            assert torch.equal(found, frames(optic, x, preset, seed=3)), (preset, base)


def test_dynamic_effects_at_their_expectation_are_frozen(optic, x):
    dynamic = {str(effect): "mean" for effect in optic.bench.effects(STAGES) if effect.kind == "dynamic"}
    assert len(dynamic) >= 6
    assert torch.equal(frames(optic, x, "sample", seed=3, effects=dynamic), frames(optic, x, "frozen", seed=3))


def test_one_effect_alone_is_that_of_a_bench_with_it_alone(optic, x):
    pattern = "stage[*].mask[1].flicker"
    alone = rebind(optic, optic.bench.only(pattern))
    found = frames(optic, x, "off", seed=3, effects={pattern: "sample"})
    assert torch.equal(found, frames(alone, x, "sample", seed=3))
    assert not torch.equal(found, frames(optic, x, "off"))


@pytest.mark.parametrize("single", ["off", "mean"])
def test_switching_an_effect_leaves_every_other_draw(optic, x, single):
    with noise(optic, "sample", seed=3, realisations=2):
        everything = optic.noise
    with noise(optic, "sample", seed=3, realisations=2, effects={"*.phase_error": single}):
        changed = optic.noise
    differing = {a for a in everything.state if not torch.equal(everything.state[a], changed.state[a])}
    wanted = set() if single == "off" else {f"stage[0].mask[{i}].phase_error" for i in (0, 1)}
    assert differing == wanted
    for address in wanted:
        assert not changed.state[address].any()
    # Without the effect the bench is one without it, shots included.
    without = rebind(optic, optic.bench.without("*.phase_error"))
    assert torch.equal(
        frames(optic, x, "sample", seed=3, effects={"*.phase_error": single}), frames(without, x, "sample", seed=3)
    )


def test_the_last_pattern_counts(optic):
    with noise(optic, "sample", seed=0, effects={"*.phase_error": "off", "stage[0].mask[1].*": "sample"}):
        assert "stage[0].mask[0].phase_error" not in optic.noise.on
        assert "stage[0].mask[1].phase_error" in optic.noise.on


def test_some_ripple_as_intensity_and_some_as_a_field():
    """Against the double average over a fine grid of moments."""
    bench = bench_of(flicker_depth=0.1).only("*.flicker")
    optic = optic_on(bench)
    x = torch.rand(3, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    optic = rebind(optic, flicker_nodes=16)
    found = frames(optic, x, "mean", seed=0, effects={"stage[0].mask[0].flicker": "sample"})

    simulator, n = Pixel(bench, STAGES, order=2), 12
    state = bench.nominal(STAGES)
    nodes = flicker_nodes(1, n)[:, 0]
    grid = torch.stack([nodes.repeat_interleave(n), nodes.repeat(n)], dim=1)
    field = simulator.illuminate(x.reshape(1, 3, 4, 4), state, moments=grid)
    fields = simulator(optic.commands(), field, state, moments=grid).unflatten(0, (n, n))
    readout = Readout(bench, STAGES, order=2)
    wanted = readout.photons(fields.mean(1)).mean(0)
    torch.testing.assert_close(found[:, :, 0], wanted, rtol=1e-9, atol=0)
    # The other way round is something else.
    other = readout.photons(fields.mean(0)).mean(0)
    assert ((found[:, :, 0] - other).abs() / wanted).max() > 1e-3


def test_the_field_in_mean_is_the_average_of_sampled_fields(x):
    """Masks with frame noise of their own: independent planes, so the expected field is the product of theirs."""
    optic = optic_on(bench_of(phase_noise=0.3))
    n = 400
    with torch.no_grad(), noise(optic, "mean"):
        expected = optic.fields(x)["detector"][0]
    drawn = []
    for exposure in range(n):
        effects = {"*": "mean", "*.phase_noise": "sample"}
        with torch.no_grad(), noise(optic, "mean", seed=5, exposure=exposure, effects=effects):
            drawn.append(optic.fields(x)["detector"][0])
    fields = torch.stack(drawn)
    for part in (torch.real, torch.imag):
        error = part(fields).std(0) / math.sqrt(n)
        z = (part(fields).mean(0) - part(expected)) / error
        assert z.abs().max() < 5
        assert z.square().mean() < 2  # all of them, of mean 1: rows share the draws of a mask
    # With nothing to average the fields would already agree.
    assert (expected - fields[0]).abs().max() > 0.1 * expected.abs().max()


def test_counts_given_the_field_average_to_those_of_mean(optic, x):
    # Rounding the expected count is not the expected rounded count: without it.
    bench, n = optic.bench.without("detector.quantisation"), 600
    state = Realisations(0, (0,)).draw(bench, STAGES)
    simulator, readout = Pixel(bench, STAGES, order=2), Readout(bench, STAGES, order=2)
    with torch.no_grad():
        field = simulator.illuminate(x.reshape(1, 5, 4, 4), state, moments=simulator.moments)
        fields = simulator(optic.commands(), field, state, moments=simulator.moments)
        expected = readout.frames(fields, state)
        drawn = torch.stack([readout.frames(fields, state, Shots(0, (0,), tuple(range(5)), e)) for e in range(n)])
    z = (drawn.mean(0) - expected) / (drawn.std(0) / math.sqrt(n))
    assert z.abs().max() < 5
    assert 0.6 < z.square().mean() < 1.5  # 80 of them, of mean 1 and standard error 0.16


def test_spreads_are_scaled(optic):
    def state(**options):
        with noise(optic, "frozen", seed=1, **options):
            return optic.noise.state

    whole, half = state(), state(scale={"*.phase_error": 0.5, "*.lut_residual": 0.0})
    nominal = optic.bench.nominal(STAGES)
    for address, value in half.items():
        factor = 0.5 if "phase_error" in address else 0.0 if "lut_residual" in address else 1.0
        torch.testing.assert_close(
            value - nominal[address], factor * (whole[address] - nominal[address]), rtol=1e-12, atol=1e-15
        )


def test_several_cascades_are_told_apart(x):
    two = torch.nn.Sequential(
        *(AFDF(16, STAGES, shape=(4, 4)) for _ in range(2)),
    )
    optic = to_optical(two, reference_bench((4, 4), complex_input=True), order=1)
    with noise(optic, "sample", seed=0, effects={"layer[1].*.phase_error": "off"}):
        assert optic[0].noise.on is None
        assert "stage[0].mask[0].phase_error" not in optic[1].noise.on


def test_an_override_is_what_the_physics_reads(optic, x):
    """Of each bench or of all, in the figure's shape or what broadcasts to it, with its gradient."""
    address = "stage[0].mask[0].phase_error"
    given = torch.full((4, 4), 0.1, dtype=torch.float64, requires_grad=True)
    several = torch.stack([given, 2 * given])[:, None]
    with noise(optic, "frozen", seed=3, realisations=2, overrides={address: several}):
        assert torch.equal(optic.noise.state[address], several)
    with noise(optic, "frozen", seed=3, realisations=2, overrides={address: given}):
        assert optic.noise.state[address].shape == (1, 1, 4, 4)
    outputs = []
    for figure in (given, given[None, None], given[:, :1], torch.tensor(0.1, dtype=torch.float64)):
        with noise(optic, "mean", overrides={address: figure}):
            outputs.append(optic.frames(x))
        assert torch.equal(outputs[-1], outputs[0])
    (slope,) = torch.autograd.grad(outputs[0].square().mean(), given)
    assert slope.any()


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        (0.1, r"'stage\[0\]\.mask\[0\]\.phase_error': got float; allowed: a real tensor"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.complex64), "got complex values"),
        (torch.zeros(3, 7), r"got shape \[3, 7\]; allowed: what broadcasts to \[2 or 1, 1, 4, 4\]"),
        (torch.zeros(3, 1, 4, 4), "got figures of 3 benches; allowed: of one bench, or of the 2 that are drawn"),
        (torch.zeros(1, 5, 4, 4), r"got shape \[1, 5, 4, 4\]"),
        (torch.zeros(1, 1, 1, 4, 4), r"got shape \[1, 1, 1, 4, 4\]"),
        (torch.full((1, 1, 4, 4), math.nan), "not finite"),
        (torch.full((1, 1, 4, 4), math.inf, requires_grad=True), "not finite"),
    ],
)
def test_an_override_of_another_kind_is_refused(optic, figure, sentence):
    before = optic.noise
    overrides = {"stage[0].mask[0].phase_error": figure}
    with (
        pytest.raises(InputError, match=sentence),
        noise(optic, "frozen", seed=0, realisations=2, overrides=overrides),
    ):
        pass
    assert optic.noise is before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "mean", "effects": {"*.flicker": "sample"}}, "there is no seed"),
        ({"mode": "mean", "effects": {"*.flicer": "off"}}, r"'\*.flicer' matches no effect.*flicker"),
        ({"mode": "mean", "effects": {"*.flicker": "on"}}, "noise mode of .*'on'.*off, mean, frozen, sample"),
        ({"mode": "frozen", "seed": 0, "scale": {"*.phase_eror": 2.0}}, "matches no effect.*phase_error"),
        ({"mode": "frozen", "seed": 0, "scale": {"*.phase_error": -1.0}}, "a factor ≥ 0"),
        ({"mode": "mean", "scale": {"*.phase_error": 2.0}}, "nothing static is drawn"),
        (
            {"mode": "frozen", "seed": 0, "effects": {"stage[0].mask[1].lut_residual": "mean"}},
            r"lut_residual of panel\[slm\].*zones that share it",
        ),
    ],
)
def test_bad_input_is_refused(optic, options, sentence):
    before = optic.noise
    with pytest.raises(InputError, match=sentence), noise(optic, **options):
        pass
    assert optic.noise is before
