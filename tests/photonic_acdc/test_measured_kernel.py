"""A measured fringing kernel through what reads a bench: noise, gradients, calibration, checkpoints, data sheets."""

import json

import pytest
import test_cli
import torch
from test_calibrate import Lab
from test_train_resume import interrupt_at_step
from test_training import Stop, equal, ideal, make_data

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.calibration import calibrate, calibration_patterns, measure
from simulators.errors import InputError

invoke = test_cli.invoke  # a fixture


def with_kernel(bench, kernel, **changes):
    device = bench.stage[0].device.replace(crosstalk_kernel=kernel, **changes)
    stage = tuple(place.replace(device=device) if j % 2 == 0 else place for j, place in enumerate(bench.stage))
    return bench.replace(stage=stage)


@pytest.fixture
def bench(tmp_path):
    """The reference bench, 4×4 modes, with a lopsided measured kernel, 5 um wide, and nothing drawn a pixel."""
    path = tmp_path / "my_kernel.csv"
    path.write_text("position,response\n-2e-6,0\n0,80\n8e-6,0\n")
    found = sim.reference_bench(modes=(4, 4))
    detector = found.detector.replace(gain_nonuniformity=None)
    found = found.replace(source=found.source.replace(optical_density=4.6), detector=detector)
    found = with_kernel(found, str(path), phase_error=None, lut_residual=None)
    path.unlink()  # what was read stays
    return found


def test_a_layer_is_sampled_and_has_slopes_through_it(bench):
    torch.manual_seed(0)
    optic = pa.to_optical(torch.nn.Sequential(pa.layers.AFDF(16, stages=1, shape=(4, 4)), pa.layers.Intensity()), bench)
    x = torch.rand(6, 16)
    pa.set_input_range(optic, x)
    outputs = []
    for order in (1, 2):
        with pa.noise(optic, "sample", seed=0, realisations=(order,), samples=range(6)):
            outputs.append(optic(x))
        assert torch.isfinite(outputs[-1]).all()
    assert (outputs[0] - outputs[1]).abs().max() > 0
    outputs[0].square().sum().backward()
    slopes = [mask.grad for mask in optic.parameters() if mask.requires_grad]
    assert all(slope is not None and torch.isfinite(slope).all() and slope.abs().max() > 0 for slope in slopes)


def test_calibrate_finds_the_width_through_the_table(bench):
    """Frames of a bench whose fringing field is 6.2 um wide; the fit starts at the table's own 5 um."""
    patterns = calibration_patterns(bench, count=8)
    state = bench.nominal(1)
    state["panel[slm].crosstalk"] = torch.full((1, 1), 6.2e-6, dtype=torch.float64)
    frames = measure(Lab(bench, state, seed=1), patterns)
    found = calibrate(bench, frames, figures=["*.crosstalk"], starts=1)
    assert found.converged
    width, error = float(found.values[0]), float(found.standard_errors[0])
    assert error < 0.1e-6
    assert abs(width - 6.2e-6) < 5 * error
    # A Gaussian in its place does not explain the frames.
    even = with_kernel(bench, "gaussian")
    frames = measure(Lab(bench, state, seed=1), calibration_patterns(even, count=8))
    assert not calibrate(even, frames, figures=["*.crosstalk"], starts=1).explained
    assert found.explained


def test_a_training_is_taken_up_from_its_checkpoint(bench, tmp_path):
    """A checkpoint remembers the bench by its plain data: the same table goes on, one that differs is refused."""
    data, path, options = make_data(30), tmp_path / "training.safetensors", {"batch_size": 16, "noise_mode": "sample"}

    def model(kernel):
        return pa.to_optical(ideal(), with_kernel(bench, kernel), generator=torch.Generator().manual_seed(0), order=1)

    points = bench.stage[0].device.crosstalk_kernel
    whole = pa.train(model(points), data, epochs=2, **options).model
    struck = model(points)
    interrupt_at_step(struck, 1)
    with pytest.raises(Stop):
        pa.train(struck, data, epochs=2, checkpoint=path, **options)
    assert path.exists()
    gone_on = pa.train(model(json.loads(json.dumps(points))), data, epochs=2, checkpoint=path, **options).model
    assert equal(gone_on, whole)
    with pytest.raises(InputError, match="crosstalk_kernel was"):
        pa.train(model((points[0], (0.1, 1.0), points[2])), data, epochs=2, checkpoint=path, **options)


def test_its_data_sheet(invoke, tmp_path):
    """The file beside the device's own, named on the command line from anywhere."""
    (tmp_path / "my_kernel.csv").write_text("-2e-6,0\n0,80\n8e-6,0\n")
    path = tmp_path / "my_panel.toml"
    path.write_text(
        'kind = "phase_modulator"\nresolution = [4, 4]\npixel_pitch = "8 um"\nstroke = "1 turn"\n'
        'crosstalk_kernel = "my_kernel.csv"\n'
    )
    text = " ".join(invoke("devices", str(path)).split())
    assert "crosstalk_fwhm 5 um measured" in text
    assert "crosstalk_kernel table of 3 points measured" in text
    assert "measured table my_kernel.csv" in text
    data = json.loads(invoke("devices", str(path), "--json"))
    assert data["crosstalk_fwhm"] == pytest.approx(5e-6)
    assert data["crosstalk_kernel"] == [[pytest.approx(x), h] for x, h in ((-0.4, 0.0), (0.0, 1.0), (1.6, 0.0))]
