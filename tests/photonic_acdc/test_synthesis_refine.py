"""Masks refined through a bench: what they make of light, against modules, brute force and rounding."""

from __future__ import annotations

import math

import pytest
import torch

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.synthesis.machine import Machine, agreement, stages_for
from photonic_acdc.synthesis.refining import refine
from simulators import InputError
from simulators.mesh import haar
from simulators.random import stream


@pytest.fixture(autouse=True)
def _quick(single_thread):
    pass


MODES = (2, 3)


def plan(modes=MODES, seed=0, size=None):
    n = math.prod(modes)
    if size is None:
        return pa.synthesise(haar(n, stream(seed, "tests", "haar")), shape=modes)
    drawn = stream(seed, "tests", "matrix").standard_normal((2, *size))
    return pa.synthesise(torch.from_numpy(drawn[0] + 1j * drawn[1]), shape=modes)


def bench(modes=MODES, bits=6, **options):
    return sim.reference_bench(modes=modes, complex_input=True, **options).with_levels(bits=bits)


def seen_by_module(optic, mode, columns, **options):
    """The matrix, by sending every unit vector through the whole apparatus, detector and electronics included."""
    with torch.no_grad(), pa.noise(optic, mode, **options):
        return optic(torch.eye(columns, dtype=torch.complex128)).mT


def nmse(found, wanted):
    return (found - wanted).abs().square().sum().item() / wanted.abs().square().sum().item()


def quiet(b):
    """The bench with the levels of its masks alone, whatever else the detector or the input would do."""
    return b.only("stage*.quantisation")


@pytest.mark.parametrize("stages", [2, 3])
@pytest.mark.parametrize("complex_masks", [False, True])
def test_the_module_is_the_matrix_to_the_error_told(stages, complex_masks):
    """Decoded outputs, gain, phase and order included, miss A x by the error that was told (and its light)."""
    found = plan()
    refined = refine(found, quiet(bench(complex_masks=complex_masks)), stages=stages, iterations=60)
    matrix = seen_by_module(refined.optic, "mean", 6)
    # Scaled to least error of T - cA, not of A - T/c: the same to second order.
    assert nmse(matrix, found.matrix) == pytest.approx(refined.nmse / (1 - refined.nmse), rel=1e-6)


def test_levels_are_those_of_the_panel():
    """What is told stands on levels, so that the bench's rounding does nothing to it."""
    b = bench(bits=3)
    refined = refine(plan(), b, stages=2, iterations=40)
    step = b.stage[0].device.stroke / 8
    for command in refined.optic.masks.commands():
        level = torch.remainder(command.phase, 2 * math.pi) / step
        assert (level - level.round()).abs().max() < 1e-9


@pytest.mark.parametrize("bits", [3, 6])
def test_it_beats_rounding(bits):
    """On the real panels, fringing, ripple and losses at their nominal figures."""
    refined = refine(plan(), bench(bits=bits))
    assert refined.nmse < refined.rounded / 2
    assert refined.nmse < refined.exact / 4
    assert 0 < refined.light < 1


def test_the_target_of_the_documentation_on_one_matrix():
    """6 bits: at least 6 dB below the exact masks rounded, and below fitted masks rounded."""
    refined = refine(plan((3, 4)), bench((3, 4)))
    assert 10 * math.log10(refined.exact / refined.nmse) >= 6
    assert 10 * math.log10(refined.rounded / refined.nmse) >= 3


def test_one_bench_as_built_and_many():
    """Fitted to one bench it is better there than the nominal fit is; fitted to three it is better on average."""
    b = bench(modes=(2, 2))
    b = b.replace(
        stage=tuple(
            place.replace(misalignment=sim.Misalignment.as_built()) if i % 2 == 0 else place
            for i, place in enumerate(b.stage)
        )
    )
    b = b.only("stage*.quantisation", "stage*.lateral", "stage*.phase_error")
    found = plan((1, 4))
    nominal, own = (refine(found, b, stages=2, seed=seed, iterations=60) for seed in (None, 5))
    three = refine(found, b, stages=2, seed=5, realisations=3, iterations=60)

    def on(optic, benches):
        states = [sim.Realisations(5, (r,)).draw(b, 2) for r in benches]
        machine = Machine(b, 2, sim.Pixel, states, found.matrix)
        with torch.no_grad():
            return machine.fit(optic.masks.commands()).nmse

    assert on(own.optic, [0]).item() == pytest.approx(own.nmse, rel=1e-9)
    assert own.nmse < on(nominal.optic, [0]).item()
    assert on(three.optic, range(3)).mean().item() == pytest.approx(three.nmse, rel=1e-9)
    assert three.nmse < on(own.optic, range(3)).mean()
    # The switch for noise puts the module on the same bench.
    matrix = seen_by_module(own.optic, "frozen", 4, seed=5)
    assert nmse(matrix, found.matrix) == pytest.approx(own.nmse / (1 - own.nmse), rel=1e-6)


def test_fewer_outputs_and_inputs_than_modes():
    found = plan(size=(2, 5))
    refined = refine(found, quiet(bench(bits=8)), stages=2)
    matrix = seen_by_module(refined.optic, "mean", 5)
    assert matrix.shape == (2, 5)
    assert nmse(matrix, found.matrix) == pytest.approx(refined.nmse / (1 - refined.nmse), rel=1e-6)
    assert refined.nmse < 0.01


def test_a_bench_without_levels():
    refined = refine(plan(), bench(bits=None), stages=2, iterations=60)
    assert refined.nmse == refined.rounded


def test_from_the_masks_of_the_synthesis():
    found = plan((1, 4), size=(2, 2))
    refined = refine(found, bench((2, 2), complex_masks=True), stages=2, iterations=30)  # another grid: no exact masks
    assert math.isnan(refined.exact)
    found = pa.synthesise(haar(4, stream(1, "tests", "haar")), method="fit", planes=6, shape=(1, 4))
    b = bench((1, 4), complex_masks=True)
    refined = refine(found, b, start="exact", iterations=60)
    assert refined.optic.stages == found.stages == 3
    assert refined.nmse < refined.exact


def test_more_light_for_more_error():
    found, b = plan(), bench(bits=8)
    dark, bright = (refine(found, b, stages=2, light_weight=weight) for weight in (0.0, 0.1))
    assert bright.light > 1.2 * dark.light
    assert bright.nmse > dark.nmse


def test_it_is_told_as_it_goes():
    seen = []
    refine(plan(), bench(), stages=2, iterations=10, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_the_same_masks_every_time():
    one, other = (refine(plan(), bench(), stages=2, iterations=10, seed=3) for _ in range(2))
    for a, b in zip(one.optic.masks.commands(), other.optic.masks.commands(), strict=True):
        assert torch.equal(a.phase, b.phase)


def test_agreement():
    """NMSE is the sine squared of the angle between two matrices, whatever the constant; light is that constant's."""
    wanted, other = torch.randn(2, 3, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    across = other - (wanted.conj() * other).sum() / (wanted.conj() * wanted).sum() * wanted
    across = across / across.norm() * wanted.norm()
    for angle in (0.0, 1e-9, 0.3):
        turned = (0.1 - 0.2j) * (math.cos(angle) * wanted + math.sin(angle) * across)
        fit = agreement(turned[None], wanted)
        assert fit.nmse.item() == pytest.approx(math.sin(angle) ** 2, rel=1e-6, abs=1e-30)
        assert fit.scale.item() == pytest.approx((0.1 - 0.2j) * math.cos(angle))
        largest = torch.linalg.svdvals(wanted)[0].item()
        assert fit.light.item() == pytest.approx(0.05 * math.cos(angle) ** 2 * largest**2)


def test_errors_count_where_the_inputs_are():
    """Over the inputs themselves, one by one; and masks for them are better there than masks for all inputs."""
    found, b = plan(), quiet(bench(bits=8))
    drawn = stream(0, "tests", "inputs").standard_normal((2, 20, 2)) @ stream(1, "tests", "inputs").standard_normal(
        (2, 6)
    )
    inputs = torch.from_numpy(drawn[0] + 1j * drawn[1])
    own, every = (refine(found, b, stages=2, inputs=x, iterations=60) for x in (inputs, None))

    def over_inputs(refined):
        made = inputs @ seen_by_module(refined.optic, "mean", 6).mT
        wanted = inputs @ found.matrix.mT
        scale = (wanted.conj() * made).sum() / wanted.abs().square().sum()
        return ((made - scale * wanted).abs().square().sum() / made.abs().square().sum()).item()

    assert over_inputs(own) == pytest.approx(own.nmse, rel=1e-6)
    assert own.nmse < over_inputs(every) / 10


def test_stages_grow_with_the_matrix():
    b = bench((3, 4))
    assert stages_for(b, 12, 12) == math.ceil(1.25 * 288 / (12 + 2 * 35))
    assert stages_for(b, 2, 2) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "flatt"}, "start"),
        ({"stages": 0}, "stages"),
        ({"iterations": 0}, "iterations"),
        ({"realisations": 2}, "realisations without a seed"),
        ({"light_weight": -1.0}, "light_weight"),
        ({"inputs": torch.ones(3, 5)}, r"inputs: got shape \(3, 5\); allowed: rows \[n, 6\]"),
        ({"inputs": torch.zeros(3, 6)}, "inputs: got only such as the matrix takes to 0"),
        ({"inputs": torch.zeros(0, 6)}, r"inputs: got shape \(0, 6\)"),
        ({"inputs": torch.full((3, 6), math.nan)}, "inputs: got entries that are not finite"),
        ({"inputs": "abc"}, "inputs: got .*; allowed: rows of numbers"),
        ({"start": "exact", "stages": 2}, "start='exact'"),
    ],
)
def test_what_cannot_be_is_said(options, sentence):
    with pytest.raises(InputError, match=sentence):
        refine(plan(), bench(), **options)


@pytest.mark.parametrize("scale", [1e-170, 1e155])
def test_no_scale_of_matrix_or_inputs_matters(scale):
    found, inputs = plan(size=(3, 3)), torch.rand(7, 3, requires_grad=True, generator=torch.Generator().manual_seed(0))
    scaled = pa.synthesise(scale * found.matrix, shape=MODES)
    one = refine(found, bench(), stages=2, iterations=5, inputs=inputs)
    other = refine(scaled, bench(), stages=2, iterations=5, inputs=scale * inputs.detach().double().numpy())
    assert other.nmse == pytest.approx(one.nmse, rel=1e-5)
    assert other.light == pytest.approx(one.light, rel=1e-5)


def test_a_single_number():
    """Any machine performs it: the error is 0, or rounding, and is told."""
    refined = refine(pa.synthesise([[2.0]]), bench((1, 1)), iterations=3)
    assert refined.nmse < 1e-30
    assert str(refined).startswith("Refined: error ")


def test_what_is_kept_is_never_worse_than_the_exact_start():
    found = pa.synthesise(torch.eye(6), method="acdc", planes=2, strict=False, shape=MODES)
    b = bench(bits=None, complex_masks=True).only()
    refined = refine(found, b, start="exact", iterations=5)
    assert refined.nmse <= refined.exact


def test_something_else_than_a_synthesis_and_a_bench():
    with pytest.raises(InputError, match="Tensor and Bench; allowed: a Synthesis and a Bench"):
        refine(torch.eye(6), bench())
    with pytest.raises(InputError, match="Synthesis and int"):
        refine(plan(), 3)


def test_a_bench_that_is_too_small_and_a_batch():
    with pytest.raises(InputError, match="modes of the bench: got 4; allowed: at least 6"):
        refine(plan(), bench((2, 2)))
    with pytest.raises(InputError, match="one matrix"):
        refine(pa.synthesise(torch.eye(4).repeat(2, 1, 1)), bench((2, 2)))
