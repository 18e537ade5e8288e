"""``photonic-acdc devices``: what a stranger reads of the catalogue, and how it ends."""

import json
import re
import tomllib

import pytest
import test_cli
from test_cli import ROOT, assert_one_sentence, program
from typer.testing import CliRunner

from photonic_acdc.cli.main import app
from simulators.devices import catalogue, load_device

invoke, refused = test_cli.invoke, test_cli.refused  # fixtures


def test_devices_lists_the_catalogue(invoke):
    text = invoke("devices")
    assert all(name in text for name in catalogue())
    headings = [
        "Lasers",
        "Phase modulators",
        "Amplitude modulators",
        "Lenses",
        "Cameras",
        "Photodiodes",
        "Reference arms",
    ]
    assert [line.strip() for line in text.splitlines() if line.strip() in headings] == headings


@pytest.mark.parametrize("arguments", [(), ("ti_plm_p67",), ("basler_aca2440_75um",)])
def test_devices_fit_a_terminal_of_100_columns(arguments):
    """A device a line in the list, a figure a line in a data sheet, but for long tables of levels."""
    result = CliRunner().invoke(app, ["devices", *arguments], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 100
    if arguments:
        figures = load_device(*arguments).provenance
        rows = {line.split()[0]: line for line in lines if line.split() and line.split()[-1].startswith("(")}
        assert all(re.search(rf"{each.confidence} +\(\d+\)$", rows[each.figure].rstrip()) for each in figures)
    else:
        rows = {line.split()[0]: line for line in lines if line.strip()}
        assert all(re.search(r"\d+ of \d+$", rows[name].rstrip()) for name in catalogue())


def test_the_line_of_a_device(invoke):
    (line,) = [line for line in invoke("devices").splitlines() if line.startswith("basler_aca2440_75um")]
    assert re.sub(" +", " ", line.strip()) == "basler_aca2440_75um 400-1000 2448x2048, 3.45 um, 12 bit, 75 Hz 5 of 11"


@pytest.mark.parametrize("word", ["phase_modulator", "phase modulator", "Phase-Modulator"])
def test_devices_of_one_kind(invoke, word):
    found = json.loads(invoke("devices", "--kind", word, "--json"))
    assert {entry["kind"] for entry in found} == {"phase_modulator"}
    assert "ti_plm_p67" in {entry["name"] for entry in found}
    text = invoke("devices", "-k", word)
    assert "ti_plm_p67" in text
    assert "hene_633" not in text
    assert "Lasers" not in text


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        (("--kind", "len"), ["--kind: got 'len'", "did you mean lens"]),
        (("--kind", "teapots"), ["--kind: got 'teapots'", "one of amplitude_modulator, camera"]),
        (("--kind", "free_space"), ["--kind: got 'free_space'", "a kind that the catalogue has devices of"]),
        (("ideal", "--kind", "lens"), ["--kind beside the device 'ideal'", "without a name"]),
        (("ideal", "--markdown"), ["--markdown beside the device 'ideal'", "without a name"]),
    ],
)
def test_devices_that_cannot_be_listed(refused, arguments, needles):
    text = refused("devices", *arguments)
    assert all(needle in text for needle in needles)


def test_the_page_of_documentation_is_current(invoke):
    """docs/devices.md ends with what the command prints; write it anew where this fails."""
    page = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    mark = "<!-- from here on: photonic-acdc devices --markdown -->\n\n"
    assert page.count(mark) == 1
    assert page.split(mark)[1] == invoke("devices", "--markdown")
    assert all(page.count(f"| `{name}` |") == 1 for name in catalogue())


def test_the_examples_of_the_page_of_documentation_work(tmp_path):
    """Its device of one's own loads; its mirrors at another wavelength stand on a green bench's first mask."""
    page = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    elsewhere, own = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_panel.toml").write_text(own)
    panel = load_device(str(tmp_path / "my_panel.toml"))
    assert panel.source_of("stroke").confidence == "measured"
    changed = tomllib.loads(elsewhere)["device"]
    device = load_device(changed.pop("catalogue"))
    low, high = type(device).from_dict({"name": "x", **device.to_dict(), **changed, "provenance": []}).wavelength_range
    assert low < 532e-9 < high


def test_devices_as_json(invoke):
    found = json.loads(invoke("devices", "--json"))
    assert [entry["name"] for entry in found] == list(catalogue())
    assert all(entry["kind"] for entry in found)


@pytest.mark.parametrize("name", ["holoeye_pluto21_vis", "hene_633", "thorlabs_ac254_100_a", "sony_imx174"])
def test_one_device_with_its_sources(invoke, name):
    text = invoke("devices", name)
    assert name in text
    device = load_device(name)
    rows = {line.split()[0]: line.rstrip() for line in text.splitlines() if line.strip()}
    sources = dict(re.findall(r"^(\(\d+\)) (.*\S)", text, re.MULTILINE))
    for known in device.provenance:
        confidence, number = rows[known.figure].split()[-2:]
        assert confidence == known.confidence
        assert sources[number] == known.source


@pytest.mark.parametrize("name", catalogue())
def test_one_device_as_json_is_the_device(invoke, name):
    found = json.loads(invoke("devices", name, "--json"))
    device = load_device(name)
    assert found == json.loads(json.dumps(device.to_dict()))
    assert type(device).from_dict(found) == device


def test_a_device_of_ones_own(invoke, tmp_path):
    (tmp_path / "mine.toml").write_text("kind = 'lens'\nfocal_length = '80 mm'\ndiameter = '25 mm'\n")
    found = json.loads(invoke("devices", "mine.toml", "--json"))
    given = {"name": "mine", "kind": "lens", "focal_length": 0.08, "diameter": 0.025}
    assert found == {**given, "axes": "both", "zernike": [], "provenance": []}


def test_the_sheet_of_a_device_of_ones_own(invoke, tmp_path):
    (tmp_path / "mine.toml").write_text(
        "kind = 'camera'\nvendor = 'me [and you]'\nresolution = [4, 6]\npixel_pitch = '5 um'\nread_noise = 2\n"
    )
    text = invoke("devices", "mine.toml")
    assert "mine: camera, me [and you]" in text
    assert re.search(r"resolution +4 x 6 \(rows x columns\) +user +\(1\)", text)
    assert re.search(r"read_noise +2 electrons +user +\(1\)", text)
    assert re.search(r"exposure +1 ms +default +\(2\)", text)
    assert "(1) given by the user" in text
    assert "Effects on light, in their order: shot_noise, read_noise." in text


def test_unknown_device(refused):
    text = refused("devices", "holoeye_pluto_vis")
    assert "'holoeye_pluto_vis'" in text
    assert "did you mean holoeye_pluto21_vis" in text


@pytest.mark.parametrize(
    ("content", "needles"),
    [
        (
            "kind = 'lens'\nfocal_length = '80 um^2'\ndiameter = '1 cm'",
            ["mine.toml: focal_length", "'80 um^2'", "8 um"],
        ),
        (
            "kind = 'lens'\nfocal_length = 0.08\ndiameter = '1 cm'",
            ["mine.toml: focal_length", "0.08, which has no unit"],
        ),
        ("kind = 'lens'\ndiameter = '1 cm'", ["mine.toml: focal_length", "must be given"]),
        ("kind = 'lense'", ["mine.toml: kind", "'lense'", "phase_modulator"]),
        ("kind = [", ["mine.toml", "valid TOML"]),
    ],
    ids=["unit", "no unit", "missing", "kind", "syntax"],
)
def test_bad_device_of_ones_own(refused, tmp_path, content, needles):
    (tmp_path / "mine.toml").write_text(content)
    text = refused("devices", "mine.toml")
    assert all(needle in text for needle in needles)


def test_unknown_device_as_a_program(tmp_path):
    done = program("devices", "hene633", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert_one_sentence(done.stderr)
    assert "did you mean hene_633" in done.stderr
