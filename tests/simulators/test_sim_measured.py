"""A user's own measured look-up table in the place of a data sheet's levels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import simulators as sim
from simulators.devices.measured import read_response, shown_phases
from simulators.devices.modulator import PhaseModulator
from simulators.devices.show import show_phase
from simulators.errors import InputError


def write(folder, text, name="my_lut.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def curve(folder, levels=range(0, 256, 5), bend=1.3, span=6.5, offset=0.2):
    """A bent response, and the file that holds it."""
    rows = [(g, offset + span * (g / 255) ** bend) for g in levels]
    text = "# panel 7, 633 nm\nlevel, phase\n" + "\n".join(f"{g},{phase!r}" for g, phase in rows)
    return write(folder, text), rows


def panel_of(path, **changes):
    return sim.load_device("holoeye_pluto21_vis").replace(response=str(path), lut_residual=None, **changes)


def shown(panel, phase):
    """Angle of what a bench's first mask of this panel shows, with nothing but its levels on."""
    bench = sim.reference_bench(modes=(4, 4))
    stage = list(bench.stage)
    stage[0], stage[2] = (place.replace(device=panel) for place in (stage[0], stage[2]))
    bench = bench.replace(stage=tuple(stage)).only("*.quantisation")
    element = bench.element(1, "stage[0].mask[0]")
    return torch.angle(show_phase(element, phase, bench.nominal(1)))


def circular(a, b):
    return torch.remainder(a - b + math.pi, 2 * math.pi) - math.pi


def test_every_level_shows_its_measured_phase(tmp_path):
    path, rows = curve(tmp_path)
    panel = panel_of(path)
    assert panel.response is None  # read, and kept as what it says
    assert panel.bits is None
    assert panel.levels is not None
    assert len(panel.levels) == 256
    assert panel.stroke == pytest.approx(6.5, rel=1e-12)
    phases = np.array(panel.levels) * panel.stroke
    for level, phase in rows:
        assert phases[level] == pytest.approx(phase - 0.2, abs=1e-12)
    # numpy's interpolation is the oracle in between.
    wanted = np.interp(np.arange(256), [r[0] for r in rows], [r[1] - 0.2 for r in rows])
    assert np.abs(phases - wanted).max() < 1e-12
    # A command for a level's phase is shown as that phase, any other as the nearest one of all.
    command = torch.rand(4, 4, dtype=torch.float64) * 2 * math.pi
    table = torch.from_numpy(wanted)
    error = circular(shown(panel, command)[..., None].squeeze(0).squeeze(0), command[..., None])
    best = circular(table, command[..., None]).abs().min(-1).values
    assert torch.allclose(error.squeeze(-1).abs(), best, atol=1e-12)


def test_without_bits_the_table_is_all_there_is(tmp_path):
    path = write(tmp_path, "0,0.0\n10,1.0\n40,2.5\n41,4.0\n")
    panel = panel_of(path, bits=None)
    assert panel.stroke == 4.0
    assert panel.levels == (0.0, 0.25, 0.625, 1.0)
    command = torch.tensor([[0.2, 1.4, 3.3, 5.3]] * 4, dtype=torch.float64)
    found = shown(panel, command).reshape(4, 4)[0]
    assert torch.allclose(
        circular(found, torch.tensor([0.0, 1.0, 4.0, 0.0]).double()), torch.zeros(4).double(), atol=1e-9
    )


def test_an_even_table_is_the_even_panel(tmp_path):
    even = [(g, 2 * math.pi * g / 256) for g in range(256)]
    path = write(tmp_path, "\n".join(f"{g};{p!r}".replace(";", ",") for g, p in even))
    command = torch.rand(4, 4, dtype=torch.float64) * 2 * math.pi
    plain = sim.load_device("holoeye_pluto21_vis").replace(lut_residual=None)
    difference = circular(shown(panel_of(path), command), shown(plain, command))
    assert float(difference.abs().max()) < 1e-12


def test_arrays_say_the_same_as_a_file_of_text(tmp_path):
    path, rows = curve(tmp_path)
    level, phase = (np.array(column) for column in zip(*rows, strict=True))
    np.savez(tmp_path / "my_lut.npz", level=level, phase=phase)
    assert read_response(path) == read_response(tmp_path / "my_lut.npz")
    assert panel_of(path).levels == panel_of(tmp_path / "my_lut.npz").levels


def test_a_bench_file_names_a_table_beside_it(tmp_path, monkeypatch):
    curve(tmp_path)
    mask = """[[stage]]
device = { catalogue = "holoeye_pluto21_vis", response = "my_lut.csv" }
macro_pixel = 8
panel = "slm"
[[stage]]
device = "thorlabs_ac254_100_a"
"""
    bench = f"""modes = [4, 4]
source = {{ catalogue = "hene_633", optical_density = 4.0 }}
input = {{ device = "holoeye_pluto21_vis_amplitude", macro_pixel = 8, relay = "thorlabs_ac254_100_a" }}
detector = {{ catalogue = "basler_aca2440_75um", exposure = "1 ms" }}
{mask}{mask}"""
    path = write(tmp_path, bench, "bench.toml")
    monkeypatch.chdir(tmp_path.parent)  # not where the table is
    found = sim.Bench.load(path)
    device = found.stage[0].device
    assert isinstance(device, PhaseModulator)
    assert device.stroke == pytest.approx(6.5)
    assert device.source_of("levels").confidence == "measured"
    assert device.source_of("stroke").source == "measured table my_lut.csv"
    # What was read stays, without the file.
    (tmp_path / "my_lut.csv").unlink()
    again = sim.Bench.from_dict(found.to_dict())
    assert again.stage[0].device == device
    assert device.replace(flicker_depth=0.01).levels == device.levels
    assert hash(device) == hash(again.stage[0].device)


def test_the_source_of_a_table_may_be_given(tmp_path):
    path, _ = curve(tmp_path)
    entry = {"value": str(path), "source": "interferometer, March", "confidence": "measured"}
    data = sim.load_device("holoeye_pluto21_vis").to_dict() | {"response": entry}
    found = PhaseModulator.from_dict(data)
    assert found.source_of("stroke").source == "interferometer, March"
    assert [known.figure for known in found.provenance].count("stroke") == 1
    before = sim.load_device("holoeye_pluto21_vis")
    assert found.source_of("pixel_pitch") == before.source_of("pixel_pitch") != before.source_of("stroke")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level,phase\n0,0\n10,1\n10,2\n255,6\n", r"my_lut.csv, row 4: level: got 10 after 10; allowed: ascending"),
        ("0,0\n10,1\n20,0.5\n255,6\n", r"my_lut.csv, row 3: phase: got 0.5 rad after 1 rad; .*; try: unwrapped phases"),
        ("0\n1\n2\n", r"my_lut.csv, row 1: got 1 columns; allowed: columns level and phase \(rad\)"),
        ("0,0,0\n1,1,1\n", r"row 1: got 3 columns"),
        ("0,0\n\n# dark\n7,nan\n", r"my_lut.csv, row 4: phase: got 'nan'; allowed: a finite number"),
        ("0,0\n255,six\n", r"row 2: phase: got 'six'"),
        ("0,0\n", r"my_lut.csv: got 1 rows; allowed: two points or more"),
        ("", r"my_lut.csv: got 0 rows"),
        ("0,1\n255,1\n", r"my_lut.csv: phase: got 1 rad throughout"),
        ("0,0\n200,6\n", r"my_lut.csv: levels: got 0 to 200; allowed: all from 0 to 255"),
        (
            "0,0\n256,6\n",
            r"my_lut.csv: levels: got 0 to 256; allowed: 0 to 255, .* of 8 bits; try: the bits of the panel",
        ),
        ("-1,0\n255,6\n", r"my_lut.csv: levels: got -1 to 255; allowed: 0 to 255"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        panel_of(path)
    assert "\n" not in str(caught.value)


def test_a_device_file_names_tables_beside_it(tmp_path, monkeypatch):
    """Whatever folder the bench's file is in, and whatever lies beside that."""
    for folder in ("panels", "benches"):
        (tmp_path / folder).mkdir()
    curve(tmp_path / "panels")
    write(tmp_path, "level,phase\n0,0\n255,1\n", "benches/my_lut.csv")
    kernel = "position,response\n-3e-6,0\n0,1\n3e-6,0\n"
    write(tmp_path, kernel, "panels/my_kernel.csv")
    sheet = """kind = "phase_modulator"
pixel_pitch = "8 um"
resolution = [1080, 1920]
bits = 8
response = { value = "my_lut.csv", source = "interferometer, 2 May", confidence = "measured" }
crosstalk_kernel = "my_kernel.csv"
"""
    write(tmp_path, sheet, "panels/mine.toml")
    text = (Path(__file__).parents[2] / "examples/bench.toml").read_text()
    bench = write(
        tmp_path, text.replace('device = "holoeye_pluto21_vis"', 'device = "../panels/mine.toml"'), "benches/b.toml"
    )
    for here, path in ((tmp_path / "benches", bench), (tmp_path, Path("benches/b.toml"))):
        monkeypatch.chdir(here)
        device = sim.Bench.load(path).stage[0].device
        assert device.stroke == pytest.approx(6.5)
        assert device.source_of("stroke").source == "interferometer, 2 May"
        assert device.crosstalk_fwhm == pytest.approx(3e-6)


def test_a_change_that_a_table_overrules_is_refused(tmp_path):
    """The table of a device's own file as well as one among the changes; what replaces what was read is none."""
    path, _ = curve(tmp_path)
    for figure, value in (("stroke", 6.0), ("levels", (0.0, 0.5, 1.0))):
        wanted = rf"{figure}: got a change beside response = 'my_lut.csv'; allowed: one of the two.*; try: no {figure}"
        with pytest.raises(InputError, match=wanted) as caught:
            panel_of(path, **{figure: value})
        assert "\n" not in str(caught.value)
    assert panel_of(path).replace(stroke=6.0).stroke == 6.0
    assert panel_of(path, levels=None) == panel_of(path)
    head = 'kind = "phase_modulator"\npixel_pitch = "8 um"\nresolution = [1080, 1920]\nstroke = "1 turn"\nbits = 8\n'
    write(tmp_path, head + 'response = "my_lut.csv"\n', "mine.toml")
    text = (Path(__file__).parents[2] / "examples/bench.toml").read_text()

    def loaded(device):
        written = text.replace('device = "holoeye_pluto21_vis"\n', f"device = {device}\n")
        return sim.Bench.load(write(tmp_path, written, "bench.toml")).stage[0].device

    assert loaded('{ catalogue = "mine.toml" }').stroke == pytest.approx(6.5)  # what the data sheet says gives way
    for device, message in (
        ('{ catalogue = "mine.toml", stroke = "6 rad" }', "stroke: got a change beside response = 'my_lut.csv'"),
        ('{ catalogue = "mine.toml", levels = [0, 0.5, 1] }', "levels: got a change beside response = 'my_lut.csv'"),
        (
            '{ catalogue = "holoeye_pluto21_vis", stroke = "6 rad", response = "my_lut.csv" }',
            "stroke: got a change beside response = 'my_lut.csv'",
        ),
        ('{ catalogue = "mine.toml", bits = 4 }', "my_lut.csv: levels: got 0 to 255; allowed: 0 to 15, .* of 4 bits"),
    ):
        with pytest.raises(InputError, match=message):
            loaded(device)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.csv: got No such file"):
        panel_of(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"my_lut.xlsx: got .xlsx; allowed: a measured table, .csv or .npz"):
        panel_of(write(tmp_path, "0,0", "my_lut.xlsx"))
    with pytest.raises(InputError, match=r"broken.npz: got no such table"):
        panel_of(write(tmp_path, "0,0\n1,1", "broken.npz"))
    np.savez(tmp_path / "named.npz", grey=np.arange(3), phase=np.arange(3))
    with pytest.raises(InputError, match=r"named.npz: got arrays grey, phase; allowed: level and phase"):
        panel_of(tmp_path / "named.npz")
    np.savez(tmp_path / "shaped.npz", level=np.arange(3), phase=np.arange(4))
    with pytest.raises(InputError, match=r"shaped.npz: got shapes \[3\] and \[4\]"):
        panel_of(tmp_path / "shaped.npz")
    with pytest.raises(InputError, match=r"response: got 3; allowed: the name of a file"):
        sim.load_device("holoeye_pluto21_vis").replace(response=3)


def test_the_gradient_passes_through_the_table(tmp_path):
    path, _ = curve(tmp_path)
    command = torch.rand(4, 4, dtype=torch.float64, requires_grad=True)
    shown(panel_of(path), command).sum().backward()
    assert torch.allclose(command.grad, torch.ones_like(command))  # straight through the levels


def test_a_coarse_table_of_a_fine_panel(tmp_path):
    stroke, shares = shown_phases(write(tmp_path, "0,1.0\n3,4.0\n"), 2)
    assert stroke == 3.0
    assert shares == pytest.approx((0, 1 / 3, 2 / 3, 1))
