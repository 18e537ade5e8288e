"""Evaluations: bit-identical however grouped, paired, and labelled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.analysis.tiles import TILE, one_thread, tiles
from photonic_acdc.data import Dataset
from simulators import InputError


def made(samples: int, modes=(3, 4)) -> Dataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(samples, modes[0] * modes[1], generator=generator)
    return Dataset(x, (x[:, 0] > x[:, 1]).long(), torch.arange(samples) * 3, "made")


@pytest.fixture
def optic():
    bench = sim.reference_bench((3, 4))
    generator = torch.Generator().manual_seed(2)
    model = nn.Sequential(
        pa.layers.AFDF(12, 2, shape=(3, 4)), pa.layers.Intensity(), nn.BatchNorm1d(12), nn.Linear(12, 2)
    )
    nn.init.zeros_(model[3].bias)
    optic = pa.to_optical(model, bench, generator=generator)
    data = made(64)
    # Normalisation that knows the scale of the intensities, so that accuracy depends on the light.
    optic.train()
    for _ in range(60):
        optic(data.x)
    return optic.eval()


def test_monte_carlo_is_bit_identical_for_any_chunk(optic):
    data = made(TILE + 40)
    found = [pa.analysis.monte_carlo(optic, data, realisations=3, seed=5, chunk=c) for c in (1, 4, 1000)]
    for other in found[1:]:
        for name in ("accuracy", "loss", "correct"):
            assert np.array_equal(found[0][name].values, other[name].values)


def test_a_realisation_is_bit_identical_alone(optic):
    data = made(50)
    together = pa.analysis.monte_carlo(optic, data, realisations=4, seed=5)
    alone = pa.analysis.monte_carlo(optic, data, realisations=[2], seed=5)
    assert np.array_equal(together["loss"].sel(realisation=2).values, alone["loss"].values[0])
    threads = torch.get_num_threads()
    other = pa.analysis.monte_carlo(optic, data, realisations=4, seed=6)
    assert not np.array_equal(together["loss"].values, other["loss"].values)
    assert torch.get_num_threads() == threads


def test_first_samples_do_not_depend_on_how_many_follow(optic):
    """Whole aligned tiles are the same whatever comes after them."""
    short, long = made(TILE), made(TILE + 30)
    long = Dataset(torch.cat([short.x, long.x[TILE:]]), torch.cat([short.y, long.y[TILE:]]), long.index, "made")
    a = pa.analysis.monte_carlo(optic, short, realisations=2, seed=1)["correct"].values
    b = pa.analysis.monte_carlo(optic, long, realisations=2, seed=1)["correct"].values
    assert np.array_equal(a, b[:, :TILE])


def test_off_is_deterministic_and_leaves_the_model_as_it_was(optic):
    data = made(30)
    optic.train()
    before = {k: v.clone() for k, v in optic.state_dict().items()}
    one, two = (pa.analysis.monte_carlo(optic, data, mode="off", realisations=9) for _ in range(2))
    assert np.array_equal(one["loss"].values, two["loss"].values)
    assert one.sizes["realisation"] == 1
    assert optic.training
    assert all(torch.equal(v, before[k]) for k, v in optic.state_dict().items())


def test_labels_and_provenance(optic):
    found = pa.analysis.monte_carlo(optic, made(20), realisations=2, seed=0)
    for variable in (*found.data_vars.values(), *found.coords.values()):
        assert variable.attrs["units"]
        assert variable.attrs["long_name"]
    assert found.attrs["seed"] == 0
    assert found.attrs["version_torch"] == str(torch.__version__)
    assert list(found["sample"].values[:3]) == [0, 3, 6]
    assert np.allclose(found["accuracy"], found["correct"].mean("sample"))


def test_tiles_cover_everything_once():
    found = tiles(TILE * 2 + 1, (4, 9))
    rows = [(t.realisation, i) for t in found for i in range(t.rows.start, t.rows.stop)]
    assert sorted(rows) == [(r, i) for r in (4, 9) for i in range(TILE * 2 + 1)]
    with one_thread():
        assert torch.get_num_threads() == 1


def test_error_budget_is_paired_and_sums_up(optic):
    """Leaving out the only kind of error gives ideal devices back; alone it costs all there is."""
    data = made(60)
    cascade = next(iter(pa.cascades(optic).values()))
    single = pa.rebind(optic, cascade.bench.only("stage[*].mask[*].phase_error"))
    budget = pa.analysis.error_budget(single, data, realisations=3, seed=1)
    total = budget.attrs["loss_all"] - budget.attrs["loss_none"]
    assert list(budget["effect"].values) == ["mask: phase_error"]
    assert list(budget["kind"].values) == ["mismatch"]
    assert total != 0
    assert float(budget["loss_saved"][0]) == pytest.approx(total)
    assert float(budget["loss_added"][0]) == pytest.approx(total)
    each = pa.analysis.error_budget(single, data, by="each", realisations=3, seed=1)
    assert list(each["effect"].values) == [str(effect) for effect in single[0].bench.effects(2)]


def test_error_budget_covers_every_effect(optic):
    cascade = next(iter(pa.cascades(optic).values()))
    effects = cascade.bench.effects(2)
    each = pa.analysis.error_budget(optic, made(10), by="each", realisations=1, seed=1)
    assert list(each["effect"].values) == [str(effect) for effect in effects]
    elements = pa.analysis.error_budget(optic, made(10), by="element", realisations=1, seed=1)
    assert set(elements["effect"].values) == {effect.address for effect in effects}


def test_less_light_is_worse(optic):
    """Against the noiseless model's own answers: nearly all kept in bright light, chance in the dark."""
    data = made(200)
    with torch.no_grad(), pa.noise(optic, "mean"):
        answers = optic(data.x).argmax(-1)
    data = Dataset(data.x, answers, data.index, "made")
    assert 20 < int(answers.sum()) < 180
    sweep = pa.analysis.photon_sweep(optic, data, decades=(-6, 0), realisations=3, seed=0)
    dim, bright = sweep["accuracy"].mean("realisation").values
    assert dim < 0.75 < bright
    assert sweep["photons_in"].values[1] == pytest.approx(sweep.attrs["operating_point"])
    assert sweep["photons_in"].values[0] == pytest.approx(1e-6 * sweep.attrs["operating_point"])


def test_field_planes_carry_the_field(optic):
    with pa.noise(optic, "off"):
        planes = pa.analysis.field_planes(optic, made(3).x[0], samples=24)
    cascade = next(iter(pa.cascades(optic).values()))
    names = ["input", "stage0_mask0", "stage0_mask1", "stage1_mask0", "stage1_mask1", "detector"]
    assert list(planes.data_vars) == names
    with torch.no_grad(), pa.noise(optic, "off"):
        fields = cascade.fields(made(3).x[:1])
    fields = {address: field for address, field in fields.items() if ".lens[" not in address}
    for name, field in zip(names, fields.values(), strict=True):
        plane = planes[name]
        cell = float(plane[f"{name}_x"][1] - plane[f"{name}_x"][0])
        photons = float((abs(plane.values) ** 2).sum()) * cell**2
        # Midpoint sums of quadratics: relative error ~ 1/24².
        assert photons == pytest.approx(float((field.abs() ** 2).sum()), rel=5e-3)
    assert planes["stage0_mask1"].shape == (16 * 24, 16 * 24)


def test_summary_and_bad_input(optic):
    assert pa.analysis.summary([0.5, 1.0]) == {"mean": 0.75, "p05": 0.525, "n": 2}
    with pytest.raises(InputError, match="summary: accuracies"):
        pa.analysis.summary([])
    with pytest.raises(InputError, match="data set is empty"):
        pa.analysis.monte_carlo(optic, made(10).rows(slice(0, 0)))
    with pytest.raises(InputError, match="chunk: got 0"):
        pa.analysis.monte_carlo(optic, made(10), chunk=0)
    with pytest.raises(InputError, match="realisations: got 0"):
        pa.analysis.monte_carlo(optic, made(10), realisations=0)
    with pytest.raises(InputError, match="error_budget: by: got 'colour'"):
        pa.analysis.error_budget(optic, made(10), by="colour")
    with pytest.raises(InputError, match="no effect that is on"):
        pa.analysis.error_budget(pa.rebind(optic, sim.reference_bench((3, 4)).only()), made(10))
    with pytest.raises(InputError, match="optical cascades in the model: got 0"):
        pa.analysis.field_planes(nn.Linear(2, 2), torch.ones(2))
