"""Figures in words: every one with the unit that a file must give it in."""

from __future__ import annotations

import re

import pint
import pytest

import simulators as sim
from simulators.devices.catalogue import KINDS
from simulators.devices.catalogue import catalogue as names
from simulators.devices.catalogue.figures import (
    METADATA,
    confidence,
    effects_of,
    figures,
    in_words,
    key_figures,
    quantity,
    unit_of,
    wavelengths,
)

REGISTRY = pint.UnitRegistry(cache_folder=None)
COUNTED = {"bit", "electrons", "dB", ""}  #: pure numbers in a file
SMALLEST = {
    "laser": {"wavelength": "633 nm", "power": "1 mW"},
    "phase_modulator": {"resolution": [2, 2], "pixel_pitch": "8 um", "stroke": "1 turn"},
    "amplitude_modulator": {"resolution": [2, 2], "pixel_pitch": "8 um"},
    "lens": {"focal_length": "1 m", "diameter": "1 m"},
    "free_space": {"distance": "1 m"},
    "camera": {"resolution": [2, 2], "pixel_pitch": "8 um"},
    "photodiode": {"resolution": [2, 2], "pixel_pitch": "8 um"},
    "reference_arm": {},
}


def dimension(unit):
    """Of one of our units, by a package that knows them."""
    unit = unit.replace("√Hz", "Hz**0.5")
    return REGISTRY.parse_expression(f"1{unit}" if unit.startswith("/") else f"1 {unit}").dimensionality


@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_a_figure_is_the_one_its_file_needs(kind):
    """A refused "1 kg" names an example of what is allowed: of the same dimension as our unit."""
    checked = 0
    for name in set(KINDS[kind].model_fields) - set(METADATA):
        for value in ("1 kg", ["1 kg", "1 kg"], [[5, "1 kg"]]):
            with pytest.raises(sim.InputError) as caught:
                KINDS[kind].from_dict({"name": "x", **SMALLEST[kind], name: value}, file="x.toml")
            if example := re.search(r"such as '(.*?)'", str(caught.value)):
                break
        if example is None:
            assert unit_of(KINDS[kind], name) in COUNTED, name  # a choice, a switch, or a whole number
            continue
        unit = unit_of(KINDS[kind], name).replace("electrons/s", "/s")
        checked += 1
        if re.fullmatch(r"[0-9.e+-]+", example[1]):
            assert unit in {*COUNTED, "W"}, name  # a camera's power is a bare number
        else:
            assert dimension(unit) == REGISTRY.parse_expression(example[1]).dimensionality, name
            assert ("rad" in unit) == ("rad" in example[1]), name  # an angle has no dimension to tell it by
    assert checked >= 2


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8e-6, "m", "8 um"),
        (632.991e-9, "m", "632.991 nm"),
        (0.1, "m", "100 mm"),
        (1.0, "m", "1 m"),
        (999.9999999e-9, "m", "1 um"),
        (1e-6, "m", "1 um"),
        (-20e-9, "m", "-20 nm"),
        (0.0, "m", "0 m"),
        (12500.0, "Hz", "12.5 kHz"),
        (1e9, "Hz", "1 GHz"),
        (5e13, "Hz", "50000 GHz"),
        (5e-19, "s", "0.0005 fs"),
        (1e-11, "F", "10 pF"),
        (5e-9, "V/√Hz", "5 nV/√Hz"),
        (0.08, "rad", "0.08 rad"),
        (5e-6, "rad", "5e-06 rad"),
        (293.0, "K", "293 K"),
        (10700, "electrons", "10700 electrons"),
        (0.957, "", "0.957"),
    ],
)
def test_quantities(value, unit, text):
    assert quantity(value, unit) == text


def test_values_that_are_no_single_number():
    assert in_words("resolution", (1080, 1920), "") == "1080 x 1920 (rows x columns)"
    assert in_words("wavelength_range", (9e-7, 1.7e-6), "m") == "900 nm to 1700 nm"
    assert in_words("levels", (0.0, 0.3, 1.0), "") == "0, 0.3, 1"
    assert in_words("tilt", (1e-3, 0.0), "rad") == "0.001 rad, 0 rad"
    assert in_words("zernike", ((5, 2e-8), (11, -3e-9)), "m") == "Z5 20 nm, Z11 -3 nm"
    assert in_words("bipolar", True, "") == "yes"
    assert in_words("shot_noise", False, "") == "no"
    assert in_words("axes", "x", "") == "x"


@pytest.mark.parametrize("name", names())
def test_every_figure_of_a_device_is_said_with_its_source(name):
    device = sim.load_device(name)
    found = {figure.name: figure for figure in figures(device)}
    assert set(found) >= {entry.figure for entry in device.provenance}
    for entry in device.provenance:
        assert (found[entry.figure].source, found[entry.figure].confidence) == (entry.source, entry.confidence)
    for figure in found.values():
        value = getattr(device, figure.name)
        unit = unit_of(type(device), figure.name)
        if isinstance(value, float) and unit not in COUNTED | {"electrons/s"}:
            text = figure.text.replace("√Hz", "Hz**0.5")
            assert REGISTRY.parse_expression(text).to_base_units().magnitude == pytest.approx(
                REGISTRY.Quantity(value, unit.replace("√Hz", "Hz**0.5")).to_base_units().magnitude, rel=1e-5
            )


def test_defaults_and_what_a_user_gave(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'kind = "camera"\nresolution = [4, 4]\npixel_pitch = "5 um"\nread_noise = 2.0\n'
        'full_well = { value = 9000, source = "photon transfer curve", confidence = "measured" }\n'
    )
    device = sim.load_device(str(path))
    found = {figure.name: (figure.text, figure.confidence, figure.source) for figure in figures(device)}
    assert found["read_noise"] == ("2 electrons", "user", "given by the user")
    assert found["full_well"] == ("9000 electrons", "measured", "photon transfer curve")
    assert found["exposure"] == ("1 ms", None, "default of its kind, to be set on the bench")
    assert "bits" not in found
    assert confidence(device) == "1 measured, 3 user"


def test_a_default_that_goes_with_another_figure_waits_for_it():
    panel = sim.load_device("ti_plm_p67")
    assert "crosstalk_kernel" not in {figure.name for figure in figures(panel)}
    assert "crosstalk_kernel" in {figure.name for figure in figures(panel.replace(crosstalk_fwhm=5e-6))}


@pytest.mark.parametrize(
    ("name", "key", "waves", "known"),
    [
        ("holoeye_pluto21_vis", "1920x1080, 8 um, 8 bit, 60 Hz", "420-700", "4 secondary, 10 nominal"),
        ("ti_plm_p67", "1358x800, 10.8 um, 16 levels, 1.44 kHz", "620-646", "7 secondary, 3 nominal"),
        ("ideal", "4096x4096, 8 um", "any", "3 nominal"),
        ("glv_f1088", "1088x1, 25.5 um, 8 bit, 350 kHz", "620-646", "1 datasheet, 9 nominal"),
        ("cylindrical_100", "f = 100 mm, 22.9 mm wide, x only", "400-700", "8 nominal"),
        ("hene_633", "2 mW", "632.991", "1 secondary, 2 nominal"),
        ("piezo_reference_arm", "visibility 0.9", "400-1700", "6 nominal"),
    ],
)
def test_a_device_in_a_few_words(name, key, waves, known):
    device = sim.load_device(name)
    assert (key_figures(device), wavelengths(device), confidence(device)) == (key, waves, known)


def test_effects_are_the_links_of_the_device():
    assert effects_of(sim.load_device("dlp650lnir")) == ("quantisation", "extinction", "loss")
    assert effects_of(sim.load_device("sony_imx174"))[-2:] == ("full_well", "quantisation")
    assert effects_of(sim.load_device("ideal")) == ()
    assert effects_of(sim.FreeSpace(name="x", distance=0.1, transmission=0.9)) == ("loss",)
    assert key_figures(sim.FreeSpace(name="x", distance=0.1)) == "z = 100 mm"
