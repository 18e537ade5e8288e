"""The catalogue: every figure says where it comes from, and no device is used where it does not work."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import simulators as sim
from simulators.devices.catalogue import KINDS, device_data, device_from
from simulators.devices.catalogue import catalogue as names
from simulators.spec import Confidence

FOLDER = Path(sim.__file__).parent / "devices" / "catalogue"
METADATA = {"kind", "name", "vendor", "notes", "wavelength_range"}


def raw(name):
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def test_it_holds_every_file_and_at_least_eight_devices_of_every_kind_between_them():
    assert set(names()) == {path.stem for path in FOLDER.glob("*.toml")}
    assert len(names()) >= 8
    made = set(KINDS) - {"free_space"}  # nobody sells it
    assert {raw(name)["kind"] for name in names()} == made
    assert list(names()) == sorted(names())


@pytest.mark.parametrize("name", names())
def test_a_device_loads_as_its_kind(name):
    device = sim.load_device(name)
    assert type(device) is KINDS[raw(name)["kind"]]
    assert device.name == name
    assert device.vendor


@pytest.mark.parametrize("name", names())
def test_every_figure_carries_source_and_confidence(name):
    data, device = raw(name), sim.load_device(name)
    figures = set(data) - METADATA
    assert figures, "a device without figures"
    for figure in figures:
        entry = data[figure]
        assert isinstance(entry, dict), f"{name}.{figure} is a bare value"
        assert set(entry) == {"value", "source", "confidence"}
        assert entry["confidence"] in get_args(Confidence)
        # Nothing that ships may call itself the user's own.
        assert entry["confidence"] != "user"
        assert len(entry["source"].strip()) > 3
        assert device.source_of(figure).source == entry["source"]
    assert {entry.figure for entry in device.provenance} == figures


@pytest.mark.parametrize("name", names())
def test_every_figure_of_the_spec_that_is_set_is_in_the_file(name):
    """A default of the class would be a figure without a source; switches and set-up choices are none."""
    choices = {"exposure", "window", "shot_noise", "optical_density", "bipolar", "provenance"}
    choices |= {"crosstalk_kernel", "dead_reflection", "axes", "zernike"}
    device = sim.load_device(name)
    set_figures = {key for key, value in device if value is not None} - METADATA - choices
    assert set_figures <= set(raw(name))


@pytest.mark.parametrize("name", names())
def test_the_wavelengths_of_a_device_are_known(name):
    """Of lasers the wavelength itself; of everything else the range."""
    device = sim.load_device(name)
    if isinstance(device, sim.Laser):
        assert 300e-9 < device.wavelength < 3e-6
    else:
        low, high = device.wavelength_range
        assert 300e-9 < low < high < 3e-6


def test_an_unknown_device_gives_the_nearest():
    with pytest.raises(
        sim.InputError,
        match=r"device 'holoeye_pluto21' is not in the catalogue: .*did you mean holoeye_pluto21_vis",
    ):
        sim.load_device("holoeye_pluto21")
    with pytest.raises(sim.InputError, match=r"not in the catalogue: allowed: one of andor_.*thorlabs_"):
        sim.load_device("zzz")


def test_a_users_own_file(tmp_path):
    path = tmp_path / "my_panel.toml"
    path.write_text(
        'kind = "phase_modulator"\nresolution = [600, 800]\npixel_pitch = "20 um"\nstroke = "2.1 rad"\n'
        'flicker_depth = { value = 0.01, source = "our photodiode", confidence = "measured" }\n'
    )
    device = sim.load_device(str(path))
    assert isinstance(device, sim.PhaseModulator)
    assert device.name == "my_panel"
    assert device.pixel_pitch == pytest.approx(20e-6, rel=1e-14)
    assert device.source_of("flicker_depth").source == "our photodiode"
    assert device.source_of("stroke").confidence == "user"

    # ... is read afresh after it was edited,
    path.write_text(path.read_text().replace("20 um", "10 um"))
    assert sim.load_device(str(path)).pixel_pitch == pytest.approx(10e-6, rel=1e-14)

    # ... and may stand on a bench wherever a catalogue name may.
    bench = sim.reference_bench((8, 8))
    masks = {"device": str(path), "macro_pixel": 6}
    lens = bench.stage[1]
    own = bench.replace(stage=(bench.stage[0], lens, masks, lens))
    assert own.stage[2].device.name == "my_panel"
    assert own.stage[2].pitch == pytest.approx(60e-6, rel=1e-14)


def test_a_file_of_ones_own_that_cannot_be_used(tmp_path):
    with pytest.raises(sim.InputError, match=r"nowhere\.toml: got No such file"):
        sim.load_device(str(tmp_path / "nowhere.toml"))
    path = tmp_path / "odd.toml"
    path.write_text('kind = "teapot"\n')
    with pytest.raises(sim.InputError, match=r"odd\.toml: kind: got 'teapot'; allowed: laser, .*camera"):
        sim.load_device(str(path))
    path.write_text('kind = "lens"\nfocal_length = 0.1\ndiameter = "1 cm"\n')
    with pytest.raises(sim.InputError, match=r"odd\.toml: focal_length: got 0\.1, which has no unit"):
        sim.load_device(str(path))
    with pytest.raises(sim.InputError, match="device: kind: got None"):
        device_from({})


def test_a_catalogue_entry_cannot_be_spoiled_by_a_bench():
    """Changing a device on one bench leaves the next one as it was."""
    before = device_data("hene_633")["power"]
    sim.reference_bench((4, 4)).replace(source={"catalogue": "hene_633", "power": "1 W"})
    assert device_data("hene_633")["power"] == before
    assert sim.load_device("hene_633").power == pytest.approx(2e-3)


REFERENCE = sim.reference_bench((4, 4))


def with_place(i, **changes):
    """The reference bench's stage with one place changed."""
    return tuple(place.replace(**changes) if j == i else place for j, place in enumerate(REFERENCE.stage))


def telecom_mask():
    """A telecom head as first mask, and an input of the same pitch, for that not to be the first complaint."""
    pitch = 17 * sim.load_device("holoeye_gaea2_telco").pixel_pitch
    panel = REFERENCE.input.device.replace(pixel_pitch=pitch)
    return {
        "stage": with_place(0, device="holoeye_gaea2_telco", macro_pixel=17),
        "input": REFERENCE.input.replace(device=panel, macro_pixel=1),
    }


@pytest.mark.parametrize(
    ("changes", "role", "span"),
    [
        (telecom_mask(), "stage[0].device (holoeye_gaea2_telco)", "1400 to 1700 nm"),
        (
            {"stage": with_place(1, device="thorlabs_ac254_100_c")},
            "stage[1].device (thorlabs_ac254_100_c)",
            "1050 to 1700 nm",
        ),
        (
            {"stage": with_place(2, relay="thorlabs_ac254_100_c")},
            "stage[2].relay (thorlabs_ac254_100_c)",
            "1050 to 1700 nm",
        ),
        (
            {"input": REFERENCE.input.replace(companion="holoeye_gaea2_telco")},
            "input.companion (holoeye_gaea2_telco)",
            "1400 to 1700 nm",
        ),
        ({"detector": "ingaas_640"}, "detector (ingaas_640)", "900 to 1700 nm"),
    ],
)
def test_a_device_out_of_its_wavelengths_is_refused(changes, role, span):
    """At 633 nm; the sentence names device, wavelength and range."""
    sentence = rf" at the source's wavelength: got 633\.0 nm; allowed: {span}; try: another device"
    with pytest.raises(sim.InputError, match=re.escape(role) + sentence):
        REFERENCE.replace(**changes)


def test_the_source_may_be_at_fault():
    """A telecom laser on the visible bench: the first device it meets complains."""
    with pytest.raises(
        sim.InputError,
        match=r"input\.device \(holoeye_pluto21_vis_amplitude\) .* got 1550\.0 nm; allowed: 420 to 700 nm",
    ):
        REFERENCE.replace(source="dfb_1550")


def test_the_ends_of_the_range_are_within_it():
    lens = sim.load_device("thorlabs_ac254_100_a")
    low, high = lens.wavelength_range
    for wavelength in (low, high, (low + high) / 2):
        lens.check_wavelength(wavelength, "a lens")
    for wavelength in (low * (1 - 1e-9), high * (1 + 1e-9)):
        with pytest.raises(sim.InputError, match="a lens"):
            lens.check_wavelength(wavelength, "a lens")
    lens.replace(wavelength_range=None).check_wavelength(1.0, "anywhere")
