"""Complex masks by real panels: exact where theory says so, and what spoils each."""

from __future__ import annotations

import math

import pytest
import torch
from benches import box, commands_for, fidelity, field_for, nmse

import simulators as sim


def mask_for(modes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size, turn = (torch.rand(2, *modes, generator=generator, dtype=torch.float64)).unbind(0)
    return size.sqrt() * torch.exp(2j * math.pi * turn)


def fringing(bench, width):
    panel = bench.stage[0].device.replace(crosstalk_fwhm=width)
    return bench.replace(stage=[p.replace(device=panel) if j % 2 == 0 else p for j, p in enumerate(bench.stage)])


def test_ideal_panels_show_any_complex_mask():
    """Exactly, at the efficiency of the mask itself; phase alone keeps all light and errs by 1 - <a>²/<a²>."""
    mask = mask_for((8, 8))
    found = sim.compare_modulations(sim.reference_bench((8, 8)).only(), mask)
    own = float(mask.abs().square().mean())
    for name in ("tandem", "two_phase", "double_phase"):
        one = found.sel(modulation=name)
        assert abs(float(one.error)) < 1e-12
        assert float(one.efficiency) == pytest.approx(own, rel=1e-12)
        assert float(one.loss_dB) == pytest.approx(0, abs=1e-6)
    phase = found.sel(modulation="phase_only")
    size = mask.abs()
    assert float(phase.error) == pytest.approx(1 - float(size.mean() ** 2 / size.square().mean()), rel=1e-9)
    assert float(phase.efficiency) == pytest.approx(1, rel=1e-12)


def test_fringing_kills_a_chequerboard_of_single_pixels():
    """5 µm on 8 µm pixels: the chequerboard errs by tens of per cent, the other three by a few at most."""
    found = sim.compare_modulations(fringing(sim.reference_bench((8, 8)), 5e-6).only("*.crosstalk"), mask_for((8, 8)))
    error = found.error.to_series()
    assert error["double_phase"] > 0.2
    assert error[["tandem", "two_phase"]].max() < 0.03


@pytest.mark.parametrize("fringes", [False, True])
def test_a_double_phase_bench_is_the_same_in_both_simulators(fringes):
    bench = sim.reference_bench((6, 5))
    bench = bench.replace(
        stage=[place.replace(double_phase=True) if j % 2 == 0 else place for j, place in enumerate(bench.stage)]
    )
    bench = fringing(bench, 4e-6).only("*.crosstalk") if fringes else bench.only()
    commands, x = commands_for(bench.command_shapes, complex_masks=True), field_for((6, 5))
    wave = box(sim.Wave(bench, 1, order=2)(commands, x, bench.nominal(1)), 2)
    pixel = box(sim.Pixel(bench, 1, order=4)(commands, x, bench.nominal(1)), 4)
    assert nmse(pixel, wave) < 1e-6
    ideal = sim.reference_bench((6, 5), complex_masks=True).only()
    wanted = box(sim.Wave(ideal, 1, order=2)(commands, x, ideal.nominal(1)), 2)
    # Without fringing the next plane sees the mean alone, but for the first orders' own envelope.
    assert (1 - fidelity(wave, wanted) < 1e-3) is (not fringes)


def test_two_phase_panels_add_as_an_interferometer():
    """A companion phase panel: (e^{i(p + acos a)} + e^{i(p - acos a)})/2 = a e^{ip}, through the whole bench."""
    tandem = sim.reference_bench((4, 4), complex_masks=True)
    two = tandem.replace(
        stage=[place.replace(companion=place.device) if j % 2 == 0 else place for j, place in enumerate(tandem.stage)]
    )
    assert [place.modulation for place in two.stage[::2]] == ["two_phase", "two_phase"]
    commands, x = commands_for(two.command_shapes, complex_masks=True), field_for((4, 4))
    outs = [sim.Pixel(bench.only(), 1, order=3)(commands, x, bench.only().nominal(1)) for bench in (tandem, two)]
    assert nmse(outs[1], outs[0]) < 1e-12


def test_bad_input():
    bench = sim.reference_bench((4, 4))
    with pytest.raises(sim.InputError, match=r"mask: got \(3, 4\) values; allowed: \(4, 4\), one a macro-pixel"):
        sim.compare_modulations(bench, torch.ones(3, 4, dtype=torch.complex128))
    with pytest.raises(sim.InputError, match=r"mask: got \|m\| up to 2; allowed: \|m\| ≤ 1: panels are passive"):
        sim.compare_modulations(bench, 2 * torch.ones(4, 4, dtype=torch.complex128))
    mask = bench.stage[0]
    with pytest.raises(sim.InputError, match=r"stage\[0\]\.double_phase: got True; allowed: for a phase panel without"):
        bench.replace(stage=(mask.replace(companion=mask.device, double_phase=True), *bench.stage[1:]))
    small = [p.replace(macro_pixel=1, double_phase=True) if j == 0 else p for j, p in enumerate(bench.stage)]
    with pytest.raises(sim.InputError, match=r"\[0\]\.macro_pixel: a chequerboard .*got 1; allowed: an even number"):
        bench.replace(modes=(1, 1), stage=small, input=bench.input.replace(macro_pixel=1))
