"""Comparing the levels of simulation, and the cheap one calibrated on the fine one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import box, commands_for, fidelity, field_for, nmse

import simulators as sim
from simulators.effective import Effective


def fringing(modes, width=5e-6, **figures):
    bench = sim.reference_bench(modes)
    panel = bench.stage[0].device.replace(crosstalk_fwhm=width, **figures)
    stage = [place.replace(device=panel) if j % 2 == 0 else place for j, place in enumerate(bench.stage)]
    return bench.replace(stage=tuple(stage))


def test_compare_levels_says_what_the_fields_say():
    bench, stages = fringing((4, 5)), 2
    commands, x = commands_for(bench.command_shapes * stages), field_for((4, 5))
    levels = sim.compare_levels(bench, commands, field=x, orders=(1, 3))
    assert list(levels.plane.values) == ["stage[0].lens[0]", "stage[0].lens[1]", "stage[1].lens[0]", "detector"]
    assert dict(levels.sizes) == {"level": 2, "plane": 4}
    state = bench.nominal(stages)
    wave = box(sim.Wave(bench, stages, order=1)(commands, x, state), 1)
    pixel = box(sim.Pixel(bench, stages, order=3)(commands, x, state), 3)
    last = levels.sel(level="Pixel q = 3", plane="detector")
    assert float(last.nmse) == pytest.approx(nmse(pixel, wave), rel=1e-9)
    assert float(last.infidelity) == pytest.approx(1 - fidelity(pixel, wave), rel=1e-6)
    assert float(last.enob) == pytest.approx((-10 * math.log10(float(last.nmse)) - 1.76) / 6.02)
    assert (levels.nmse.sel(level="Pixel q = 1") > levels.nmse.sel(level="Pixel q = 3")).all()
    assert all(variable.attrs["units"] and variable.attrs["long_name"] for variable in levels.data_vars.values())
    with pytest.raises(sim.InputError, match="commands: got 3 masks; allowed: two a stage"):
        sim.compare_levels(bench, commands[:3])


@pytest.mark.parametrize("figures", [{}, {"fill_factor": 0.93, "fill_model": "dead_space", "dead_reflection": 0.3}])
def test_real_panels_are_the_same_in_both_simulators(figures):
    """Fringing and gaps inside macro-pixels, two stages: q = 2 to 1 %, q = 3 to 3e-4, q = 5 to 1e-6 of the power."""
    bench = fringing((5, 6), **figures).only("*.crosstalk", *(["*.fill"] if figures else []))
    commands, x, state = commands_for(bench.command_shapes * 2), field_for((5, 6)), bench.nominal(2)
    wave = box(sim.Wave(bench, 2, order=2)(commands, x, state), 2)
    for order, limit in ((2, 1e-2), (3, 3e-4), (5, 1e-6)):
        assert nmse(box(sim.Pixel(bench, 2, order=order)(commands, x, state), order), wave) < limit
    ideal = box(sim.Wave(bench.only(), 2, order=2)(commands, x, bench.only().nominal(2)), 2)
    assert 1 - fidelity(ideal, wave) > 0.02


def test_every_effect_at_once_is_the_same_in_both():
    """The reference bench as it is, with static errors drawn, fringing and misalignment: what the docs state."""
    bench = fringing((8, 8), flatness=0.2, amplitude_coupling=0.05)
    pose = sim.Misalignment.calibrated()
    bench = bench.replace(stage=tuple(place.replace(misalignment=pose) for place in bench.stage))
    state = sim.Realisations(0, (0,)).draw(bench, 2)
    commands, x = commands_for(bench.command_shapes * 2), field_for((8, 8))
    wave = box(sim.Wave(bench, 2, order=2)(commands, x, state), 2)
    for order, limit in ((2, 1e-2), (3, 5e-4)):
        pixel = box(sim.Pixel(bench, 2, order=order)(commands, x, state), order)
        assert 1 - fidelity(pixel, wave) < limit


def test_an_effective_mask_is_the_mean_of_the_true_one():
    """On random patterns the fit leaves a sixth of the error; a pattern of one phase keeps it, but for the leak."""
    bench = fringing((8, 8))
    panels = sim.effective_masks(bench, patterns=4)
    for panel in panels:
        assert panel.error < panel.ignored / 5
        weights = abs(panel.envelope) + 4 * abs(panel.side) + 4 * abs(panel.corner) + abs(panel.leak)
        assert weights <= 1 + 1e-12
    again = sim.effective_masks(bench, patterns=4)
    for panel, other in zip(panels, again, strict=True):  # least squares may differ in the last bit
        assert other.envelope == pytest.approx(panel.envelope, rel=1e-12)
    with pytest.raises(sim.InputError, match="effects inside the macro-pixels of this bench: got none"):
        sim.effective_masks(bench.only())


def test_a_known_effective_mask():
    """By hand: the sums over neighbours, the edge going on."""
    panel = Effective(0.5, 0.01, 0.001, 0.1, 0.0, 0.0)
    values = torch.arange(6.0, dtype=torch.float64).to(torch.complex128).reshape(2, 3)
    padded = np.pad(values.numpy(), 1, mode="edge")
    expected = np.empty((2, 3), complex)
    for y in range(2):
        for x in range(3):
            near = padded[y : y + 3, x : x + 3]
            sides = near[0, 1] + near[1, 0] + near[1, 2] + near[2, 1]
            corners = near[0, 0] + near[0, 2] + near[2, 0] + near[2, 2]
            expected[y, x] = 0.5 * near[1, 1] + 0.01 * sides + 0.001 * corners + 0.1
    assert np.abs(panel(values).numpy() - expected).max() < 1e-15


def test_the_effective_pixel_halves_what_ignoring_fringing_costs():
    bench, stages = fringing((8, 8)).only("*.crosstalk"), 2
    commands, x, state = commands_for(bench.command_shapes * stages), field_for((8, 8)), bench.nominal(stages)
    wave = box(sim.Wave(bench, stages, order=2)(commands, x, state), 2)
    effective = sim.Pixel(bench, stages, order=2, effective=sim.effective_masks(bench))
    ignored = sim.Pixel(bench.only(), stages, order=2)
    errors = [1 - fidelity(box(s(commands, x, state), 2), wave) for s in (effective, ignored)]
    assert errors[0] < 0.6 * errors[1]
    assert torch.linalg.matrix_norm(effective.matrix(commands, state), 2).max() <= 1


def test_an_effective_panel_reflects_no_more_than_the_true_one():
    """Its leak is dimmed by the panel's reflectance as the rest is."""
    bench = fringing((6, 6), fill_factor=0.8, fill_model="dead_space", dead_reflection=0.8, reflectance=0.3)
    bench = bench.only("*.crosstalk", "*.fill", "*.mask*.loss")
    effective = sim.Pixel(bench, 1, order=3, effective=sim.effective_masks(bench))
    commands, x, state = commands_for(bench.command_shapes), field_for((6, 6)), bench.nominal(1)
    wave = box(sim.Wave(bench, 1, order=2)(commands, x, state), 2)
    assert nmse(box(effective(commands, x, state), 3), wave) < 0.1
    assert torch.linalg.matrix_norm(effective.matrix(commands, state), 2).max() <= 0.3


def test_effective_panels_must_be_what_they_stand_for():
    bench = fringing((4, 4))
    panels = sim.effective_masks(bench)
    chequered = bench.replace(stage=(bench.stage[0].replace(double_phase=True), *bench.stage[1:]))
    for use in (lambda: sim.effective_masks(chequered), lambda: sim.Pixel(chequered, 1, effective=panels)):
        with pytest.raises(sim.InputError, match=r"stage\[0\]: effective masks of a panel .* by double_phase: allowed"):
            use()
    # Gaps that only dim are no structure, wherever they are.
    dim = bench.input.device.replace(fill_factor=0.8, fill_model="throughput")
    dimmed = bench.replace(input=bench.input.replace(device=dim))
    effective = sim.Pixel(dimmed, 1, effective=panels)
    values, state = torch.rand(1, 1, 4, 4, dtype=torch.float64), dimmed.nominal(1)
    assert torch.equal(effective.illuminate(values, state), sim.Pixel(dimmed, 1).illuminate(values, state))


def test_effective_panels_of_a_lensless_or_cylindrical_bench():
    """What a panel shows does not depend on what is between the panels."""
    bench = fringing((3, 6))
    air = {"device": sim.FreeSpace(name="air", distance=0.1)}
    lens = {"device": bench.stage[1].device.replace(axes="x")}
    wanted = sim.effective_masks(bench)
    for path in (air, lens):
        found = sim.effective_masks(bench.replace(stage=(bench.stage[0], path, bench.stage[2], path)))
        assert found[0].envelope == pytest.approx(wanted[0].envelope, abs=1e-3)
