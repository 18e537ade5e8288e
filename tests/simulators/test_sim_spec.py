"""Specs: units are read once at the edge, figures carry their source, and bad input is said in one sentence."""

from __future__ import annotations

import math
import pickle

import pytest
from pydantic import ValidationError

import simulators as sim
from simulators.spec import Provenance, read_toml

LENS = {"name": "a lens", "kind": "lens", "focal_length": "100 mm", "diameter": "20 mm"}
PANEL = {"name": "a panel", "resolution": [4, 6], "pixel_pitch": "8 um", "stroke": "6.3 rad"}
CAMERA = {"name": "a camera", "resolution": [8, 8], "pixel_pitch": "4 um"}
LASER = {"name": "a laser", "wavelength": "633 nm", "power": "2 mW"}


def lens(*, file="bench.toml", **figures):
    return sim.Lens.from_dict({**LENS, **figures}, file=file)


# --- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "base", "figure", "text", "si"),
    [
        (sim.PhaseModulator, PANEL, "pixel_pitch", "8 um", 8e-6),
        (sim.PhaseModulator, PANEL, "pixel_pitch", "8um", 8e-6),
        (sim.PhaseModulator, PANEL, "pixel_pitch", "8 \u00b5m", 8e-6),  # micro sign
        (sim.PhaseModulator, PANEL, "pixel_pitch", "8 \u03bcm", 8e-6),  # Greek mu
        (sim.PhaseModulator, PANEL, "pixel_pitch", "8e-3 mm", 8e-6),
        (sim.PhaseModulator, PANEL, "frame_rate", "1.44 kHz", 1440.0),
        (sim.PhaseModulator, PANEL, "settle_time", "694 us", 694e-6),
        (sim.PhaseModulator, PANEL, "phase_error", "0.1 rad", 0.1),
        (sim.PhaseModulator, PANEL, "phase_error", "180 deg", math.pi),
        (sim.PhaseModulator, PANEL, "fill_factor", "93 %", 0.93),
        (sim.PhaseModulator, PANEL, "fill_factor", 0.93, 0.93),
        (sim.Laser, LASER, "wavelength", "633 nm", 633e-9),
        (sim.Laser, LASER, "power", "2 mW", 2e-3),
        (sim.Camera, CAMERA, "dark_current", "5 / s", 5.0),
        (sim.Camera, CAMERA, "exposure", "1 ms", 1e-3),
    ],
)
def test_a_figure_with_a_unit_is_read_as_si(kind, base, figure, text, si):
    spec = kind.from_dict({**base, figure: text}, file="bench.toml")
    value = getattr(spec, figure)
    assert type(value) is float
    assert value == pytest.approx(si, rel=1e-14)


@pytest.mark.parametrize(
    ("figure", "text", "dimension"),
    [
        ("pixel_pitch", "8 s", r"\[time\]"),
        ("pixel_pitch", "8 rad", "dimensionless"),
        ("stroke", "1 m", r"\[length\]"),
        ("frame_rate", "10 ms", r"\[time\]"),
        ("settle_time", "60 Hz", r"1 / \[time\]"),
        ("electrical_power", "5 J", r"\[mass\]"),
        ("fill_factor", "0.9 m", r"\[length\]"),
    ],
)
def test_a_unit_of_another_dimension_is_refused(figure, text, dimension):
    with pytest.raises(
        sim.InputError, match=rf"panel\.toml: {figure}: got '{text}', which has dimension .*{dimension}"
    ):
        sim.PhaseModulator.from_dict({**PANEL, figure: text}, file="panel.toml")


@pytest.mark.parametrize("text", ["8 parsnips", "8 um +", "eight um"])
def test_gibberish_is_refused(text):
    with pytest.raises(sim.InputError, match="cannot be read as a quantity; allowed: a number with a unit"):
        lens(focal_length=text)


@pytest.mark.parametrize("value", [8, 8.0, 8e-6, "8", "8e-6"])
@pytest.mark.parametrize("figure", ["pixel_pitch", "stroke", "settle_time", "frame_rate", "electrical_power"])
def test_a_file_must_give_the_unit(figure, value):
    """Radians included, which the unit library takes for plain numbers."""
    with pytest.raises(
        sim.InputError, match=rf"{figure}: got '?8\S*, which has no unit; allowed: a number with a unit, such as"
    ):
        sim.PhaseModulator.from_dict({**PANEL, figure: value}, file="panel.toml")


def test_python_may_give_si_floats():
    assert sim.Lens.from_dict({**LENS, "focal_length": 0.1}).focal_length == 0.1
    assert sim.Lens(name="a", focal_length=0.1, diameter="20 mm").diameter == pytest.approx(0.02, rel=1e-15)


def test_a_file_without_a_unit_is_refused_by_load(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\nfocal_length = 0.1\ndiameter = "20 mm"\n')
    with pytest.raises(sim.InputError, match=r"own\.toml: focal_length: got 0\.1, which has no unit"):
        sim.Lens.load(path)
    path.write_text('name = "own"\nfocal_length = "0.1 m"\ndiameter = "20 mm"\n')
    assert sim.Lens.load(path) == sim.Lens(name="own", focal_length=0.1, diameter=0.02)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, "0 m", "-8 um"])
def test_a_length_is_positive(value):
    with pytest.raises(sim.InputError, match=r"focal_length: got .*; allowed: greater than 0$"):
        sim.Lens.from_dict({**LENS, "focal_length": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan m", "inf m"])
def test_a_figure_is_finite(value):
    with pytest.raises(sim.InputError, match=r"focal_length: got (nan|inf|-inf), not finite"):
        sim.Lens.from_dict({**LENS, "focal_length": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan"])
def test_a_dimensionless_figure_is_finite(value):
    with pytest.raises(sim.InputError, match=r"read_noise: got (nan|inf), not finite; allowed: a number, such as"):
        sim.Camera.from_dict({**CAMERA, "read_noise": value})


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("figure", ["focal_length", "transmission"])
@pytest.mark.parametrize("file", [None, "bench.toml"])
def test_true_is_not_a_number(figure, value, file):
    with pytest.raises(sim.InputError, match=rf"{figure}: got {value}, not a number"):
        lens(file=file, **{figure: value})


@pytest.mark.parametrize(
    ("kind", "base", "figure", "value", "allowed"),
    [
        (sim.Lens, LENS, "transmission", 1.5, "at most 1"),
        (sim.Lens, LENS, "transmission", -0.1, "at least 0"),
        (sim.Lens, LENS, "scale_error", -0.1, "at least 0"),
        (sim.PhaseModulator, PANEL, "bits", 0, "at least 1"),
        (sim.PhaseModulator, PANEL, "bits", 17, "at most 16"),
        (sim.Camera, CAMERA, "full_well", 0, "greater than 0"),
        (sim.Camera, CAMERA, "dark_current", "-1 / s", "at least 0"),
        (sim.Camera, CAMERA, "window", 0, "greater than 0"),
        (sim.Camera, CAMERA, "quantum_efficiency", 0, "greater than 0"),
        (sim.Laser, LASER, "optical_density", -1, "at least 0"),
    ],
)
def test_a_figure_out_of_its_range_is_refused(kind, base, figure, value, allowed):
    with pytest.raises(sim.InputError, match=rf"{figure}: got .*; allowed: {allowed}$"):
        kind.from_dict({**base, figure: value}, file="bench.toml")


def test_an_amplitude_panel_is_brighter_when_bright():
    """An extinction ratio below 1 would make the dark state amplify."""
    with pytest.raises(sim.InputError, match=r"extinction_ratio: got 0\.5; allowed: at least 1"):
        sim.AmplitudeModulator(name="a", resolution=(4, 4), pixel_pitch=8e-6, extinction_ratio=0.5)


def test_a_wavelength_range_runs_upwards():
    with pytest.raises(sim.InputError, match="wavelength_range must run from the shorter to the longer"):
        lens(wavelength_range=["700 nm", "400 nm"])


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [lambda data: sim.Lens(**data), lambda data: sim.Lens.from_dict(data)])
def test_an_unknown_key_gives_the_nearest(build):
    with pytest.raises(sim.InputError, match=r"^Lens: unknown key 'focal_lenght'; did you mean focal_length\?$"):
        build({**LENS, "focal_lenght": "1 m"})


def test_an_unknown_key_without_likeness_gives_all():
    with pytest.raises(sim.InputError, match=r"unknown key 'zzz'; one of .*focal_length.*wavelength_range"):
        lens(zzz=1)


def test_a_missing_figure_is_named():
    with pytest.raises(sim.InputError, match=r"^Laser: power: missing; it must be given$"):
        sim.Laser(name="a", wavelength=633e-9)


def test_several_errors_are_listed():
    """The first in full, the others by their keys."""
    with pytest.raises(
        sim.InputError,
        match=r"^bench\.toml: focal_length: got '8 s', .*\(and also wrong: diameter, transmission\)$",
    ):
        lens(focal_length="8 s", diameter="-1 m", transmission=3)


def test_an_error_carries_its_parts():
    with pytest.raises(ValueError, match="transmission") as caught:  # InputError is a ValueError
        lens(transmission=3)
    error = caught.value
    assert isinstance(error, sim.InputError)
    assert (error.quantity, error.value, error.allowed, error.remedy) == (
        "bench.toml: transmission",
        "3",
        "at most 1",
        None,
    )
    assert str(error) == "bench.toml: transmission: got 3; allowed: at most 1"


def test_an_error_from_deep_inside_keeps_its_parts():
    """The wavelength check raises within the validator of the bench."""
    bench = sim.reference_bench((4, 4))
    with pytest.raises(sim.InputError) as caught:
        bench.replace(source=bench.source.replace(wavelength=1550e-9))
    error = caught.value
    assert error.quantity.startswith("Bench: input.device (holoeye_pluto21_vis_amplitude)")
    assert error.value == "1550.0 nm"
    assert error.allowed == "420 to 700 nm"
    assert error.remedy == "another device, or a source within this range"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "seed"),
        ({"value": 0}, "seed: got 0"),
        ({"value": -1, "allowed": "≥ 0", "remedy": "0"}, "seed: got -1; allowed: ≥ 0; try: 0"),
        ({"allowed": "≥ 0"}, "seed: allowed: ≥ 0"),
    ],
)
def test_the_wording_of_an_error_and_its_pickle(parts, text):
    error = sim.InputError("seed", **parts)
    copy = pickle.loads(pickle.dumps(error))
    for one in (error, copy):
        assert type(one) is sim.InputError
        assert str(one) == text
        assert (one.quantity, one.value, one.allowed, one.remedy) == (
            "seed",
            parts.get("value"),
            parts.get("allowed"),
            parts.get("remedy"),
        )


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(sim.InputError, match=r"nowhere\.toml: got No such file.*; allowed: a readable TOML file"):
        sim.Lens.load(tmp_path / "nowhere.toml")
    with pytest.raises(sim.InputError, match="allowed: a readable TOML file"):
        read_toml(tmp_path)  # a folder
    broken = tmp_path / "broken.toml"
    broken.write_text("focal_length = = 3\n")
    with pytest.raises(sim.InputError, match=r"broken\.toml: got .*line 1.*; allowed: valid TOML"):
        sim.Lens.load(broken)
    broken.write_bytes(b'name = "\xff\xfe"\n')
    with pytest.raises(sim.InputError, match=r"broken\.toml: got .*utf-8.*; allowed: valid TOML"):
        sim.Lens.load(broken)


# --- frozen, hashed, pickled, replaced -------------------------------------------------------------------------------


def specs():
    return [
        lens(transmission={"value": 0.9, "source": "page 3", "confidence": "datasheet"}),
        sim.PhaseModulator.from_dict(PANEL),
        sim.AmplitudeModulator(name="a", resolution=(3, 4), pixel_pitch=8e-6, bipolar=True),
        sim.Laser.from_dict(LASER),
        sim.Camera.from_dict({**CAMERA, "wavelength_range": ["400 nm", "1000 nm"]}),
        sim.reference_bench((4, 4)),
        sim.reference_bench((3, 4), complex_masks=True, complex_input=True).without("*.flicker"),
    ]


@pytest.mark.parametrize("spec", specs(), ids=lambda spec: type(spec).__name__)
def test_a_spec_is_hashable_picklable_and_round_trips(spec):
    for copy in (
        pickle.loads(pickle.dumps(spec)),
        type(spec).from_dict(spec.to_dict()),
        type(spec)(**spec.to_dict()),
        spec.replace(),
    ):
        assert copy == spec
        assert hash(copy) == hash(spec)
    assert len({spec, spec.replace(), spec.replace(name="another")}) == 2


def test_to_dict_is_plain_and_has_no_none():
    data = specs()[0].to_dict()
    assert data == {
        "name": "a lens",
        "kind": "lens",
        "focal_length": 0.1,
        "diameter": 0.02,
        "axes": "both",
        "transmission": 0.9,
        "zernike": [],
        "provenance": [{"figure": "transmission", "source": "page 3", "confidence": "datasheet"}],
    }


def test_a_spec_is_frozen():
    spec = lens()
    with pytest.raises(ValidationError, match="frozen"):
        spec.focal_length = 0.2
    assert spec.focal_length == 0.1


def test_replace_makes_a_checked_copy():
    spec = lens()
    other = spec.replace(focal_length=0.2)
    assert (spec.focal_length, other.focal_length) == (0.1, 0.2)
    assert other.replace(focal_length=0.1) == spec
    with pytest.raises(sim.InputError, match="focal_length: got -1; allowed: greater than 0"):
        spec.replace(focal_length=-1)
    with pytest.raises(sim.InputError, match="unknown key 'focal'; did you mean focal_length"):
        spec.replace(focal=1)


# --- provenance ------------------------------------------------------------------------------------------------------


def test_a_figure_carries_its_source():
    spec = lens(focal_length={"value": "75 mm", "source": "the label", "confidence": "measured"})
    assert spec.focal_length == pytest.approx(0.075, rel=1e-15)
    assert spec.source_of("focal_length") == Provenance(
        figure="focal_length", source="the label", confidence="measured"
    )
    assert spec.source_of("diameter") == Provenance(figure="diameter", source="given by the user", confidence="user")


def test_a_replaced_figure_loses_its_source():
    spec = lens(
        focal_length={"value": "75 mm", "source": "the label", "confidence": "datasheet"},
        diameter={"value": "20 mm", "source": "a ruler", "confidence": "measured"},
    )
    other = spec.replace(focal_length=0.08)
    assert other.source_of("focal_length").confidence == "user"
    assert other.source_of("diameter").source == "a ruler"
    again = spec.replace(focal_length={"value": 0.081, "source": "autocollimator", "confidence": "measured"})
    assert again.focal_length == 0.081
    assert again.source_of("focal_length").source == "autocollimator"
    assert spec.source_of("focal_length").source == "the label"


def test_the_unit_is_checked_inside_a_sourced_figure_too():
    with pytest.raises(sim.InputError, match=r"focal_length: got 0\.1, which has no unit"):
        lens(focal_length={"value": 0.1, "source": "x", "confidence": "user"})


@pytest.mark.parametrize(
    ("entry", "has"),
    [
        ({"value": "75 mm", "source": "x"}, "source, value"),
        ({"value": "75 mm", "confidence": "user"}, "confidence, value"),
        ({"value": "75 mm"}, "value"),
        (
            {"value": "75 mm", "source": "x", "confidence": "user", "unit": "mm"},
            "confidence, source, unit, value",
        ),
    ],
)
def test_a_sourced_figure_needs_all_three(entry, has):
    with pytest.raises(
        sim.InputError, match=f"'focal_length' needs exactly value, source and confidence; it has {has}$"
    ):
        lens(focal_length=entry)


def test_a_confidence_is_one_of_the_known():
    with pytest.raises(
        sim.InputError,
        match=r"provenance\[0\]\.confidence: got 'sure'; allowed: 'datasheet', 'secondary', 'nominal', 'measured'",
    ):
        lens(focal_length={"value": "75 mm", "source": "x", "confidence": "sure"})


# --- the front door --------------------------------------------------------------------------------------------------


def test_every_public_name_loads():
    for name in sim.__all__:
        assert getattr(sim, name) is not None
    assert set(dir(sim)) == set(sim.__all__)
    with pytest.raises(AttributeError, match="module 'simulators' has no attribute 'Nothing'"):
        sim.Nothing  # noqa: B018
