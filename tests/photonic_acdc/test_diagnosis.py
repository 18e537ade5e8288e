"""What training can compensate: each verdict on a bench made for it."""

import numpy as np
import pytest
import torch
from torch import nn

from photonic_acdc.analysis.diagnosis import ADVICE, _Found, _verdict, diagnose, table
from photonic_acdc.data.dataset import make_dataset
from photonic_acdc.layers import AFDF, Intensity
from photonic_acdc.optical import cascades, to_optical
from simulators.devices.pose import Misalignment
from simulators.errors import InputError
from simulators.reference import reference_bench


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return make_dataset(rng.random((40, 16)), np.arange(40) % 3, "noise")


def optic_on(bench):
    torch.manual_seed(0)
    model = nn.Sequential(AFDF(16, 1, shape=(4, 4)), Intensity(), nn.BatchNorm1d(16), nn.Linear(16, 3))
    return to_optical(model, bench, generator=torch.Generator().manual_seed(0), order=1).double()


def doubled(data):
    return type(data)(data.x.double(), data.y, data.index, data.name)


@pytest.fixture(scope="module")
def found(data):
    bench = reference_bench((4, 4))
    stage = [
        place.replace(device=place.device.replace(phase_error=0.01)) if i % 2 == 0 else place
        for i, place in enumerate(bench.stage)
    ]
    source = bench.source.replace(intensity_noise=0.1)
    detector = bench.detector.replace(gain_nonuniformity=0.2)
    bench = bench.replace(stage=tuple(stage), source=source, detector=detector)
    return diagnose(optic_on(bench), doubled(data), rows=30, realisations=6)


def of(found, effect):
    row = found.sel(effect=effect)
    return {name: row[name].item() for name in found.data_vars}


def test_a_phase_error_a_pixel_is_what_a_mask_can_undo(found):
    row = of(found, "mask: phase_error")
    assert row["absorbed"] > 0.99  # all of it to first order in 0.01 rad, but for the camera's levels
    assert row["verdict"] == "refit"


def test_the_laser_s_noise_is_common_to_all_modes(found):
    row = of(found, "source: intensity_noise")
    assert row["common"] > 0.99
    assert row["verdict"] == "normalise"
    assert np.isnan(row["absorbed"])
    # Of outputs that a factor 1 + 0.1 ε multiplies: 0.01 on average, of 6 draws of 30 rows.
    assert row["output_error"] == pytest.approx(0.01, rel=0.3)


def test_unequal_pixels_of_the_camera_err_mode_by_mode(found):
    row = of(found, "detector: gain_nonuniformity")
    # A window of 18x18 pixels averages them: 0.2/18 rms, independent a mode.
    assert row["output_error"] == pytest.approx((0.2 / 18) ** 2, rel=0.6)
    assert row["common"] < 0.3


def test_what_never_changes_is_learnt(found):
    for effect in ("mask: zero_order_leak", "mask: flicker"):
        row = of(found, effect)
        assert row["verdict"] == "learnt", effect
        assert row["variance"] == 0
        assert not np.isnan(row["absorbed"])


def test_effects_too_small_to_matter(found):
    assert of(found, "lens: loss")["verdict"] == "negligible"


def test_the_loss_without_an_effect_is_the_loss_on_ideal_devices(data):
    """With one deterministic effect on the bench, what it adds is the whole difference."""
    from photonic_acdc.optical import noise

    optic = optic_on(reference_bench((4, 4)).only("*.zero_order_leak")).eval()
    rows = doubled(data).rows(slice(0, 20))
    row = of(diagnose(optic, rows, rows=20), "mask: zero_order_leak")
    losses = {}
    for mode in ("off", "mean"):
        with torch.no_grad(), noise(optic, mode):
            losses[mode] = nn.functional.cross_entropy(optic(rows.x), rows.y).item()
    assert row["loss_added"] == pytest.approx(losses["mean"] - losses["off"], rel=1e-9)


def test_the_span_is_that_of_finite_differences(data):
    """Undoing is least squares over J; J by central differences."""
    bench = reference_bench((4, 4)).only("*.zero_order_leak", "*.phase_error", "input.extinction")
    optic = optic_on(bench).eval()
    rows = doubled(data).rows(slice(0, 20))
    row = of(diagnose(optic, rows, rows=20), "input: extinction")
    from photonic_acdc.optical import noise

    cascade = next(iter(cascades(optic).values()))

    @torch.no_grad()
    def outputs(**effects):
        with noise(optic, "mean", **effects):
            return cascade(rows.x).reshape(-1)

    columns, step = [], 1e-5
    for phase in cascade.masks.phases:
        for pixel in range(phase.numel()):
            sides = []
            for sign in (1, -1):
                phase.data.view(-1)[pixel] += sign * step
                sides.append(outputs())
                phase.data.view(-1)[pixel] -= sign * step
            columns.append((sides[0] - sides[1]) / (2 * step))
    jacobian = torch.stack(columns, dim=1)
    change = outputs() - outputs(effects={"input.extinction": "off"})
    solution = torch.linalg.lstsq(jacobian, change[:, None], driver="gelsd", rcond=1e-6).solution
    left = (change - (jacobian @ solution)[:, 0]).square().sum() / change.square().sum()
    assert row["absorbed"] == pytest.approx(1 - left.item(), abs=2e-3)


def test_the_model_is_left_as_it_was(data):
    optic = optic_on(reference_bench((4, 4)).only("*.zero_order_leak"))
    before = {name: value.clone() for name, value in optic.state_dict().items()}
    diagnose(optic, doubled(data), rows=8, realisations=2)
    assert optic.training
    assert all(torch.equal(value, before[name]) for name, value in optic.state_dict().items())
    assert all(parameter.grad is None for parameter in optic.parameters())


def test_the_table_is_sorted_and_explains_its_words(found):
    lines = table(found).splitlines()
    errors = [float(line.split("|")[3]) for line in lines[2 : 2 + found.sizes["effect"]]]
    assert errors == sorted(errors, reverse=True)
    for verdict in set(found["verdict"].values.tolist()):
        assert f"*{verdict}*: {ADVICE[verdict]}." in lines


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rows": 0}, "rows.*1 to 40"),
        ({"rows": 41}, "rows.*1 to 40"),
        ({"realisations": 1}, "at least 2"),
    ],
)
def test_bad_input_is_refused(data, options, sentence):
    with pytest.raises(InputError, match=sentence):
        diagnose(optic_on(reference_bench((4, 4))), doubled(data), **options)


def test_a_model_without_light_is_refused(data):
    with pytest.raises(InputError, match="no optical cascade"):
        diagnose(nn.Linear(16, 3), data)


def test_a_layer_before_the_cascade_is_part_of_the_model(data):
    """The same inputs of the cascade, made by a layer or given as data: the same figures."""
    torch.manual_seed(1)
    bench = reference_bench((4, 4)).only("*.zero_order_leak", "input.extinction")
    front, tail = nn.Sequential(nn.Linear(16, 16).double(), nn.Sigmoid()), optic_on(bench)
    rows = doubled(data).rows(slice(0, 20))
    inside = type(rows)(front(rows.x).detach(), rows.y, rows.index, rows.name)
    whole, alone = diagnose(nn.Sequential(front, tail), rows, rows=20), diagnose(tail, inside, rows=20)
    for name in ("absorbed", "output_error", "loss_added"):
        np.testing.assert_allclose(whole[name], alone[name], rtol=1e-9)


def test_drift_is_looked_at_when_time_has_passed(data):
    bench = reference_bench((4, 4))
    pose = Misalignment(lateral_drift=1e-8)
    bench = bench.replace(stage=(bench.stage[0].replace(misalignment=pose), *bench.stage[1:]))
    optic, rows = optic_on(bench), doubled(data).rows(slice(0, 10))
    drift = "mask: lateral_drift"
    assert drift not in diagnose(optic, rows, rows=10, realisations=2)["effect"]
    later = diagnose(optic, rows, rows=10, realisations=2, time=3600.0)
    assert of(later, drift)["output_error"] > 1e-4


def test_a_gradient_of_noise_is_called_one():
    """Draws of mean 0: however few, their variance is not a few times their mean's square."""
    row = _Found(1.0, 0.0, 1.0, float("inf"), 0.0, 0.0, False)
    assert _verdict(row, "dynamic") == "noisy gradient"
