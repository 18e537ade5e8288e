"""The layout's geometry, and what the pictures would show."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import xarray as xr

import photonic_acdc as pa
import simulators as sim
from photonic_acdc import plots
from photonic_acdc.plots.canvas import save
from simulators import InputError


def test_layout_of_the_reference_bench():
    plan = pa.layout.design(sim.reference_bench(), modes=(8, 8), stages=2)
    # 0.1 m to the input, a 4f relay of 100 mm lenses, then two lenses a stage at one focal length from each plane.
    assert plan.length == pytest.approx(0.1 + 0.4 + 2 * 2 * 0.2)
    lenses = [s for s in plan.stations if s.label.startswith("lens")]
    masks = {s.label: s.z for s in plan.stations if s.label.startswith("mask")}
    assert lenses[0].z - masks["mask A1"] == pytest.approx(0.1)
    assert masks["mask D1"] - lenses[0].z == pytest.approx(0.1)
    assert [s.z for s in plan.stations] == sorted(s.z for s in plan.stations)
    quantities = {(d.name, d.role): d.quantity for d in plan.devices}
    assert quantities[("holoeye_pluto21_vis", "panel of the masks, 4 zones")] == 1
    assert quantities[("thorlabs_ac254_100_a", "Fourier lenses")] == 4
    assert plan.table().count("\n") == len(plan.devices) + 1


def test_layout_books_every_relay():
    plain = pa.layout.design(sim.reference_bench(), stages=1)
    tandem = pa.layout.design(sim.reference_bench(complex_masks=True, complex_input=True), stages=1)
    assert tandem.length - plain.length == pytest.approx(2 * 0.4)
    assert any(d.role == "amplitudes of the masks" for d in tandem.devices)
    assert any(d.role == "writes the phase of x" for d in tandem.devices)


def test_layout_bad_input():
    with pytest.raises(InputError, match="stages: got 0"):
        pa.layout.design(sim.reference_bench(), stages=0)
    with pytest.raises(InputError, match=r"layout: modes: got \(4, 4\)"):
        pa.layout.design(sim.reference_bench(), modes=(4, 4))


@pytest.fixture
def errors():
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "ideal": (("seed", "realisation"), np.where(np.arange(9) == 0, 0.98, np.nan)[None]),
            "noise_aware": (("seed", "realisation"), rng.uniform(0.9, 1, (1, 9))),
        }
    )


def test_accuracy_plot_marks_what_it_is_given(errors):
    summaries = {"ideal": {"mean": 0.98, "p05": 0.98}, "noise_aware": {"mean": 0.95, "p05": 0.91}}
    ax = plots.accuracy_over_realisations(errors, summaries=summaries)
    texts = " ".join(text.get_text() for text in ax.texts)
    assert "95.0%" in texts
    assert "5th percentile 91.0%" in texts
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "trained through the devices",
        "ideal layer",
    ]


def test_plots_draw_on_given_axes_and_touch_no_global_state(errors):
    before = dict(matplotlib.rcParams)
    figure = plots.canvas.new_figure()
    ax = figure.subplots()
    sweep = xr.Dataset(
        {"accuracy": (("photons_in", "realisation"), np.array([[0.1, 0.2], [0.8, 0.9]]))},
        coords={"photons_in": [1e3, 1e6]},
        attrs={"operating_point": 1e6},
    )
    kept = sweep.copy(deep=True)
    assert plots.accuracy_against_photons(sweep, ax=ax) is ax
    assert sweep.identical(kept)
    line = ax.lines[0]
    assert np.allclose(line.get_xdata(), [1e3, 1e6])
    assert np.allclose(line.get_ydata(), [0.15, 0.85])
    assert dict(matplotlib.rcParams) == before


def test_mask_image_is_grey_by_phase():
    turns = np.array([[0, 0.25], [0.5, 255.6 / 256]])
    assert plots.mask_image(np.exp(2j * np.pi * turns)).tolist() == [[0, 64], [128, 0]]


def test_saving_is_atomic(tmp_path, errors):
    target = tmp_path / "plot.png"
    picture = plots.masks({"a": np.ones((4, 4), complex), "b": 1j * np.ones((8, 8))})
    save(picture, target)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
