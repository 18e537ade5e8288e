"""Device files: what is wrong with one is said in one sentence, with its file and its figure."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path

import pytest

import simulators as sim
from simulators.devices.catalogue import KINDS, device_data, device_from
from simulators.devices.catalogue import catalogue as names

FOLDER = Path(sim.__file__).parent / "devices" / "catalogue"
METADATA = {"kind", "name", "vendor", "notes"}
REFERENCE = sim.reference_bench((4, 4))


def raw(name):
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def dimensional(data):
    """Figures that are written with a unit, as (figure, value)."""
    entries = ((figure, entry["value"]) for figure, entry in data.items() if isinstance(entry, dict))
    return [(f, v) for f, v in entries if (isinstance(v, str) and v[0].isdigit()) or f == "wavelength_range"]


def spoilt(name, figure, value):
    data = {"name": name, **copy.deepcopy(raw(name))}
    data[figure]["value"] = [value, value] if figure == "wavelength_range" else value
    return data


@pytest.mark.parametrize("name", names())
def test_a_figure_needs_its_unit(name):
    """Without one, with one of another dimension, or as no quantity at all it is refused by file and figure."""
    wrong = {
        "3": "has no unit",
        3: "has no unit",
        "3 kg": r"has dimension \[mass\]",
        "3 parsnips": "cannot be read as a quantity",
    }
    found = dimensional(raw(name))
    assert found
    for figure, _ in found:
        for value, reason in wrong.items():
            with pytest.raises(sim.InputError, match=rf"^my/{name}\.toml: {figure}(\[0\])?: got .*{reason}; allowed: "):
                device_from(spoilt(name, figure, value), file=f"my/{name}.toml")


@pytest.mark.parametrize("name", names())
def test_a_pure_number_takes_no_unit(name):
    numbers = [f for f, e in raw(name).items() if isinstance(e, dict) and type(e["value"]) is float]
    for figure in numbers:
        with pytest.raises(sim.InputError, match=rf"^my\.toml: {figure}: got .*has dimension \[length\]"):
            device_from(spoilt(name, figure, "3 mm"), file="my.toml")


ONE_OF_EACH = sorted({raw(name)["kind"]: name for name in names()}.values())  #: of every kind in the catalogue


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_an_unknown_figure_is_refused_with_the_nearest(name):
    figure = next(key for key in raw(name) if key not in METADATA)
    data = {"name": name, **raw(name), f"{figure}s": "3 um"}
    sentence = rf"^my\.toml: unknown key '{figure}s'; did you mean {figure}\b"
    with pytest.raises(sim.InputError, match=sentence):
        device_from(data, file="my.toml")


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_missing_figure_is_named_with_its_file(name, tmp_path):
    """Each required one in one sentence, where the file is loaded."""
    required = [key for key, field in KINDS[raw(name)["kind"]].model_fields.items() if field.is_required()]
    for figure in set(required) - {"name"}:
        lines = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines(keepends=True)
        path = tmp_path / "mine.toml"
        path.write_text("".join(line for line in lines if not line.startswith(f"{figure} =")), encoding="utf-8")
        with pytest.raises(sim.InputError) as caught:
            sim.load_device(str(path))
        assert str(caught.value) == f"{path}: {figure}: missing; it must be given"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{ value = 0.01 }", "figure 'flicker_depth' needs exactly value, source and confidence; it has value"),
        ("{ value = 0.01, source = 'x', confidence = 'sure' }", "confidence: got 'sure'; allowed: 'datasheet', "),
        ("{ value = 0.01, source = 'x', confidence = 'user', by = 'me' }", "needs exactly value, source and conf"),
    ],
)
def test_a_figure_that_is_half_documented_is_refused(tmp_path, entry, sentence):
    path = tmp_path / "mine.toml"
    path.write_text(
        "kind = 'phase_modulator'\nresolution = [6, 8]\npixel_pitch = '8 um'\nstroke = '1 turn'\n"
        f"flicker_depth = {entry}\n"
    )
    with pytest.raises(sim.InputError, match=rf"mine\.toml: .*{re.escape(sentence)}"):
        sim.load_device(str(path))


def test_an_unknown_device_gives_the_nearest():
    with pytest.raises(
        sim.InputError,
        match=r"device 'holoeye_pluto21_viz' is not in the catalogue: .*did you mean holoeye_pluto21_vis",
    ):
        sim.load_device("holoeye_pluto21_viz")
    for part, whole in (("gaea2", "holoeye_gaea2_telco"), ("PLM", "ti_plm_p47 or ti_plm_p67")):
        with pytest.raises(sim.InputError, match=rf"device '{part}' is not .*: did you mean {whole}\?$"):
            sim.load_device(part)
    for vague in ("", "_", "thorlabs"):  # part of far too many
        with pytest.raises(
            sim.InputError, match=r"not in the catalogue: allowed: (one of andor_|did you mean thorlabs_)"
        ):
            sim.load_device(vague)
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


BENCH = """
modes = [4, 4]
source = {{ catalogue = "hene_633", optical_density = 4.0 }}
detector = "basler_aca2440_75um"
[input]
device = "holoeye_pluto21_vis_amplitude"
macro_pixel = 8
[[stage]]
device = "holoeye_pluto21_vis"
macro_pixel = 8
[[stage]]
device = {lens}
[[stage]]
device = "holoeye_pluto21_vis"
macro_pixel = 8
[[stage]]
device = {lens}
"""


@pytest.mark.parametrize("lens", ['"mine.toml"', '{ catalogue = "mine.toml", transmission = 0.9 }'])
def test_a_users_file_beside_the_benchs_file(tmp_path, monkeypatch, lens):
    """It is found wherever one stands, and its errors are put down to it and to its place."""
    folder = tmp_path / "bench"
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (folder / "bench.toml").write_text(BENCH.format(lens=lens))
    mine = folder / "mine.toml"
    mine.write_text('kind = "lens"\nfocal_length = "90 mm"\ndiameter = "20 mm"\n')
    bench = sim.Bench.load("../bench/bench.toml")
    assert bench.focal_lengths == pytest.approx((0.09, 0.09))
    assert bench.stage[1].device.name == "mine"

    for content, reason in (
        ('kind = "lens"\ndiameter = "20 mm"\n', "focal_length: missing; it must be given"),
        ('kind = "lens"\nfocal_length = 0.09\ndiameter = "20 mm"\n', "focal_length: got 0.09, which has no unit; "),
        ('kind = "lens"\nfocal_length = "9 s"\ndiameter = "20 mm"\n', "focal_length: got '9 s', which has dimension"),
    ):
        mine.write_text(content)
        with pytest.raises(sim.InputError) as caught:
            sim.Bench.load("../bench/bench.toml")
        assert str(caught.value).startswith("../bench/bench.toml: stage[1].device: ../bench/mine.toml: " + reason)
        assert "\n" not in str(caught.value)
        # Built in Python, where bare numbers are SI, a file still needs its units.
        with pytest.raises(sim.InputError, match=re.escape(f"{mine}: {reason}")):
            REFERENCE.replace(stage=(REFERENCE.stage[0], {"device": str(mine)}, *REFERENCE.stage[2:]))


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
