"""Benches of a user's own: device files beside the bench, kinds and panels that do not fit, a rippling input."""

from __future__ import annotations

import pytest
import torch

import simulators as sim
from simulators import InputError


def test_a_device_file_lies_beside_the_bench_file(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "lens.toml").write_text('kind = "lens"\nfocal_length = "100 mm"\ndiameter = "20 mm"\n')
    mask = '[[stage]]\ndevice = "holoeye_pluto21_vis"\nmacro_pixel = 8\n'
    lens = '[[stage]]\ndevice = "lens.toml"\n'
    (folder / "bench.toml").write_text(
        'modes = [8, 8]\nsource = "hene_633"\ndetector = "basler_aca2440_75um"\n'
        '[input]\ndevice = "holoeye_pluto21_vis_amplitude"\nmacro_pixel = 8\n' + 2 * (mask + lens)
    )
    monkeypatch.chdir(tmp_path)
    bench = sim.Bench.load("mine/bench.toml")
    assert bench.stage[1].device.name == "lens"
    assert bench.transmission(1, place="stage[0].lens") == 1.0


def test_a_device_of_the_wrong_kind_says_so():
    bench = sim.reference_bench()
    data = {**bench.to_dict(), "detector": "thorlabs_ac254_100_a"}
    with pytest.raises(InputError, match=r"detector: kind: got 'lens'; allowed: 'camera', 'photodiode'"):
        sim.Bench.from_dict(data)


def test_one_device_a_panel():
    bench = sim.reference_bench()
    other = bench.stage[2].replace(device=bench.stage[2].device.replace(name="other"))
    with pytest.raises(InputError, match=r"stage\[2\]\.panel 'slm': got zones of holoeye_pluto21_vis and other"):
        bench.replace(stage=(*bench.stage[:2], other, bench.stage[3]))


def test_unknown_address():
    with pytest.raises(InputError, match=r"address 'stage\[0\].lense\[0\]' is no device.*did you mean"):
        sim.reference_bench().element(1, "stage[0].lense[0]")


@pytest.mark.parametrize("change", [{"resolution": (0, 5)}, {"bits": True}])
def test_counts_are_counts(change):
    with pytest.raises(InputError, match=r"resolution|bits"):
        sim.reference_bench().stage[0].device.replace(**change)


def test_the_input_phase_panel_ripples_too():
    """Its flicker changes the written field from moment to moment, as 1 + m cos θ of the shown phase."""
    bench = sim.reference_bench((2, 2), complex_input=True).only("input.phase.flicker")
    simulator = sim.Pixel(bench, 1, order=2)
    assert simulator.moments.shape == (2, 1)
    state = bench.nominal(1)
    phase = torch.tensor(2.0, dtype=torch.float64)
    values = torch.full((1, 1, 2, 2), 1.0, dtype=torch.float64) * torch.polar(torch.ones_like(phase), phase)
    field = simulator.illuminate(values, state, moments=simulator.moments)
    depth = bench.input.companion.flicker_depth
    wanted = 2.0 * (1 + depth * simulator.moments[:, 0])
    assert torch.allclose(torch.angle(field[:, 0, 0, 0, 0]), wanted)
    commands = [sim.Command(torch.zeros(shape, dtype=torch.float64)) for shape in simulator.command_shapes]
    assert simulator(commands, field, state, moments=simulator.moments).shape == (2, 1, 1, 4, 4)
