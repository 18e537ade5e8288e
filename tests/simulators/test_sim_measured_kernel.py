"""A user's own measured fringing kernel in the place of a named shape: its file, and what it does on a bench."""

from __future__ import annotations

import functools
import json
import math
import re
import tomllib

import numpy as np
import pytest
import tomli_w
import torch
from kernel_tables import LOPSIDED, convolved, drawn, places

import simulators as sim
from simulators import effects
from simulators.devices.catalogue.figures import figures
from simulators.devices.measured import read_kernel
from simulators.devices.modulator import PhaseModulator
from simulators.devices.pieces import native_pieces, pieces
from simulators.devices.show import show_phase
from simulators.devices.surface import surface_of
from simulators.effects.kernel_table import half_maxima
from simulators.errors import InputError

# --- the file --------------------------------------------------------------------------------------------------------


def write(folder, points=LOPSIDED, *, unit=1e-6, name="my_kernel.csv", head="# panel 7, 633 nm\nposition, response\n"):
    path = folder / name
    path.write_text(head + "\n".join(f"{x * unit!r},{h!r}" for x, h in points), encoding="utf-8")
    return path


def panel(name="holoeye_pluto21_vis", **changes):
    found = sim.load_device(name).replace(**changes)
    assert isinstance(found, PhaseModulator)
    return found


def test_a_file_gives_shape_and_width(tmp_path):
    path = write(tmp_path, tuple((4 * x, 200 * h) for x, h in LOPSIDED))
    found = panel(crosstalk_kernel=str(path))
    assert found.crosstalk_fwhm == pytest.approx(5e-6, rel=1e-12)  # 1.25 times 4 um
    x, h = np.array(found.crosstalk_kernel).T
    assert x == pytest.approx(np.array([-0.5, 0, 2]) / 1.25, rel=1e-12)  # in widths, about its own zero
    assert h == pytest.approx([0, 1, 0])
    assert "crosstalk" in {link.name for link in found.links()}
    assert panel(crosstalk_kernel=path) == found  # a Path as well
    # Stretched where a width is given: the same shape.
    wide = panel(crosstalk_kernel=str(path), crosstalk_fwhm="7 um")
    assert wide.crosstalk_fwhm == pytest.approx(7e-6)
    assert wide.crosstalk_kernel == found.crosstalk_kernel
    assert found.replace(crosstalk_fwhm=7e-6).crosstalk_kernel == found.crosstalk_kernel
    assert found.replace(crosstalk_kernel="exponential").crosstalk_fwhm == found.crosstalk_fwhm


def test_a_measured_kernel_leaves_the_width_of_a_catalogue_behind(tmp_path):
    path = write(tmp_path)
    known = panel("hamamatsu_x15213_02")
    assert known.crosstalk_fwhm == pytest.approx(7.4e-6)
    found = known.replace(crosstalk_kernel=str(path))
    assert found.crosstalk_fwhm == pytest.approx(1.25e-6)
    assert found.source_of("crosstalk_fwhm").source == "measured table my_kernel.csv"
    given = known.replace(crosstalk_kernel=str(path), crosstalk_fwhm=6e-6)
    assert given.crosstalk_fwhm == 6e-6
    assert given.source_of("crosstalk_fwhm").confidence == "user"
    assert given.source_of("crosstalk_kernel").confidence == "measured"
    assert known.replace(crosstalk_kernel="gaussian").crosstalk_fwhm == known.crosstalk_fwhm
    names = [entry.figure for entry in found.provenance]
    assert len(names) == len(set(names))


def test_a_kernel_without_a_width_is_refused():
    """It would do nothing, whatever door it comes through."""
    bare = panel()
    assert bare.crosstalk_fwhm is None
    allowed = r"without crosstalk_fwhm; allowed: .*full width at half maximum.*; try: crosstalk_fwhm = \"5 um\""
    with pytest.raises(InputError, match="crosstalk_kernel: got a table of 3 points " + allowed) as caught:
        bare.replace(crosstalk_kernel=LOPSIDED)
    assert "\n" not in str(caught.value)
    for name in ("gaussian", "exponential"):
        with pytest.raises(InputError, match=f"crosstalk_kernel: got '{name}' " + allowed):
            bare.replace(crosstalk_kernel=name)
        assert bare.replace(crosstalk_kernel=name, crosstalk_fwhm=5e-6).crosstalk_kernel == name
    for kernel in (LOPSIDED, "super_gaussian"):
        with pytest.raises(InputError, match="crosstalk_kernel: got .* " + allowed):
            PhaseModulator.from_dict(bare.to_dict() | {"crosstalk_kernel": kernel})
    # At its default, it is no fringing; and no width takes the kernel along.
    assert PhaseModulator.from_dict(bare.to_dict()) == bare
    fringing = bare.replace(crosstalk_kernel=LOPSIDED, crosstalk_fwhm=5e-6)
    assert fringing.replace(crosstalk_fwhm=None) == bare
    assert panel("hamamatsu_x15213_02", crosstalk_fwhm=None).crosstalk_kernel == "gaussian"


BENCH = """modes = [4, 4]
source = {{ catalogue = "hene_633", optical_density = 4.0 }}
input = {{ device = "holoeye_pluto21_vis_amplitude", macro_pixel = 8, relay = "thorlabs_ac254_100_a" }}
detector = {{ catalogue = "basler_aca2440_75um", exposure = "1 ms" }}
{mask}{mask}"""
PANEL = """kind = "phase_modulator"
resolution = [1080, 1920]
pixel_pitch = "8 um"
stroke = "1 turn"
bits = 8
crosstalk_fwhm = "3 um"
"""
MASK = """[[stage]]
device = {{ catalogue = "{device}"{changes} }}
macro_pixel = 8
panel = "slm"
[[stage]]
device = "thorlabs_ac254_100_a"
"""


@pytest.mark.parametrize(("changes", "width"), [("", 5e-6), (', crosstalk_fwhm = "6 um"', 6e-6)])
def test_a_bench_file_names_a_kernel_beside_it(tmp_path, monkeypatch, changes, width):
    """A table of the same name where the program runs is not the one that is meant; a catalogue's width gives way."""
    folder = tmp_path / "bench"
    folder.mkdir()
    write(folder, tuple((4 * x, h) for x, h in LOPSIDED))
    write(tmp_path)
    # A panel of one's own, that has a width: it is not what is given with the kernel.
    (folder / "my_panel.toml").write_text(PANEL)
    mask = MASK.format(device="my_panel.toml", changes=f', crosstalk_kernel = "my_kernel.csv"{changes}')
    (folder / "bench.toml").write_text(BENCH.format(mask=mask))
    monkeypatch.chdir(tmp_path)
    found = sim.Bench.load(folder / "bench.toml")
    device = found.stage[0].device
    assert isinstance(device, PhaseModulator)
    assert device.crosstalk_fwhm == pytest.approx(width)
    # What was read stays, without the file: as plain data, as JSON, as TOML, and as a key of mappings.
    (folder / "my_kernel.csv").unlink()
    assert sim.Bench.from_dict(found.to_dict()) == found
    data = found.to_dict()
    for again in (json.loads(json.dumps(data)), tomllib.loads(tomli_w.dumps(data))):
        assert sim.Bench.from_dict(again) == found
        assert hash(sim.Bench.from_dict(again)) == hash(found)
    state = found.nominal(1)["panel[slm].crosstalk"]
    assert state.item() == pytest.approx(width)


@pytest.mark.parametrize("kernel", ['"gaussian"', '"exponential"', "[[-1, 0], [0, 1], [1, 0]]"])
@pytest.mark.parametrize("device", ["my_panel.toml", "holoeye_pluto21_vis"])
def test_a_bench_file_with_a_kernel_and_no_width(tmp_path, device, kernel):
    """The width of a measured kernel goes when the kernel does."""
    write(tmp_path)
    sheet = PANEL.replace('crosstalk_fwhm = "3 um"', 'crosstalk_kernel = "my_kernel.csv"')
    (tmp_path / "my_panel.toml").write_text(sheet)
    path = tmp_path / "bench.toml"

    def loaded(changes):
        path.write_text(BENCH.format(mask=MASK.format(device=device, changes=changes)))
        return sim.Bench.load(path).stage[0].device

    with pytest.raises(InputError, match=r"bench.toml: stage\[0\].device.*: crosstalk_kernel: got .* without cross"):
        loaded(f", crosstalk_kernel = {kernel}")
    assert loaded(f', crosstalk_kernel = {kernel}, crosstalk_fwhm = "4 um"').crosstalk_fwhm == pytest.approx(4e-6)


def test_arrays_say_the_same_as_a_file_of_text(tmp_path):
    x, h = np.array(drawn(2)).T
    path = write(tmp_path, drawn(2))
    np.savez(tmp_path / "my_kernel.npz", position=x * 1e-6, response=h)
    assert read_kernel(path) == read_kernel(tmp_path / "my_kernel.npz")
    assert read_kernel(write(tmp_path, drawn(2), head="")) == read_kernel(path)


def test_the_figures_say_where_it_is_from(tmp_path):
    entry = {"value": str(write(tmp_path)), "source": "binary gratings, March", "confidence": "measured"}
    data = sim.load_device("holoeye_pluto21_vis").to_dict() | {"crosstalk_kernel": entry}
    found = {figure.name: figure for figure in figures(PhaseModulator.from_dict(data))}
    assert found["crosstalk_kernel"].text == "table of 3 points"
    assert found["crosstalk_fwhm"].text == "1.25 um"
    for name in ("crosstalk_kernel", "crosstalk_fwhm"):
        assert (found[name].source, found[name].confidence) == ("binary gratings, March", "measured")
    before = sim.load_device("holoeye_pluto21_vis")
    assert found["pixel_pitch"].source == before.source_of("pixel_pitch").source


def test_both_tables_of_a_panel(tmp_path):
    lut = tmp_path / "my_lut.csv"
    lut.write_text("0,0.0\n255,6.5\n")
    found = panel(response=str(lut), crosstalk_kernel=str(write(tmp_path)))
    assert found.levels is not None
    assert (found.stroke, len(found.levels)) == (6.5, 256)
    assert found.crosstalk_fwhm == pytest.approx(1.25e-6)
    assert {known.source for known in found.provenance if known.confidence == "measured"} == {
        "measured table my_lut.csv",
        "measured table my_kernel.csv",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("position,response\n-1,0\n0,1\n0,2\n1,0\n", r"row 4: position: got 0 after 0; allowed: ascending positions"),
        ("-1,0\n0,1\n-0.5,1\n1,0\n", r"my_kernel.csv, row 3: position: got -0.5 after 0"),
        (
            "-1,0\n0,1\n# dark\n0.5,-0.1\n1,0\n",
            r"row 4: response: got -0.1; allowed: at least 0; try: 0 where the noise",
        ),
        ("-1,0\n0,nan\n1,0\n", r"my_kernel.csv, row 2: response: got 'nan'; allowed: a finite number"),
        ("-1,0\nzero,1\n1,0\n", r"row 2: position: got 'zero'"),
        ("-1,0,0\n0,1,1\n1,0,0\n", r"row 1: got 3 columns; allowed: columns position \(m\) and response"),
        ("level,phase\n-1,0\n0,1\n1,0\n", r"my_kernel.csv, row 1: position: got 'level'"),
        ("-1,0\n1,1\n", r"my_kernel.csv: got 2 rows; allowed: three points or more"),
        ("", r"my_kernel.csv: got 0 rows"),
        ("-1,0\n0,0\n1,0\n", r"my_kernel.csv: response: got 0 throughout; allowed: a kernel that is not zero"),
        ("#\n-1,5\n0,4\n1,0\n", r"row 2: response at the end: got 5; allowed: at most 2.5, half the maximum"),
        ("-1,0\n0,4\n1,3\n", r"row 3: response at the end: got 3; allowed: at most 2, .*try: a table that reaches"),
        (
            "-5,0\n0,1\n5,0\n",
            r"full width at half maximum: got 5 m; allowed: at most 0.001 m; try: positions in metres",
        ),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, text, message):
    path = tmp_path / "my_kernel.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        panel(crosstalk_kernel=str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_and_shapes_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.csv: got No such file"):
        panel(crosstalk_kernel=str(tmp_path / "nowhere.csv"))
    with pytest.raises(InputError, match=r"my_kernel.xlsx: got .xlsx; allowed: a measured table, .csv or .npz"):
        panel(crosstalk_kernel="my_kernel.xlsx")
    np.savez(tmp_path / "named.npz", x=np.arange(3), response=np.arange(3))
    with pytest.raises(InputError, match=r"named.npz: got arrays response, x; allowed: position and response"):
        panel(crosstalk_kernel=str(tmp_path / "named.npz"))
    for wrong in ("gausian", "my_kernel", 3):
        allowed = "'gaussian', 'exponential', 'super_gaussian', or the name of a file, \"my_kernel.csv\""
        with pytest.raises(InputError, match=re.escape(f"crosstalk_kernel: got {wrong!r}; allowed: {allowed}")):
            panel(crosstalk_kernel=wrong)
    with pytest.raises(InputError, match=r"crosstalk_kernel: points, row 3: position: got 0 after 0"):
        panel(crosstalk_kernel=((-1, 0), (0, 1), (0, 0)))
    with pytest.raises(InputError, match=r"crosstalk_kernel: points: got \(1, 2, 3\); allowed: pairs of position"):
        panel(crosstalk_kernel=(1, 2, 3))
    for wrong in (((-1.0, 0.0), (0.0, math.nan), (1.0, 0.0)), ((-math.inf, 0.0), (0.0, 1.0), (1.0, 0.0))):
        with pytest.raises(InputError, match=r"kernel of the crosstalk, row [12]: got .*; allowed: finite numbers"):
            effects.smoothed_boxes(places(0.0), 3, wrong, 0.5)


# --- on a bench ------------------------------------------------------------------------------------------------------


@functools.cache
def bench_of(kernel, modes=(4, 4), width=20e-6):
    bench = sim.reference_bench(modes)
    device = bench.stage[0].device.replace(crosstalk_kernel=kernel, crosstalk_fwhm=width)
    stage = tuple(place.replace(device=device) if j % 2 == 0 else place for j, place in enumerate(bench.stage))
    return bench.replace(stage=stage)


def commands_for(bench, stages, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        sim.Command(2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))
        for shape in bench.command_shapes * stages
    ]


def test_a_panel_shows_the_phase_convolved_with_the_table():
    """Pixel means of what the mask shows, against a plain convolution; turned round it is not the same."""
    bench, fine = bench_of(LOPSIDED, (4, 5)).only("*.crosstalk"), 200
    command = commands_for(bench, 1)[0].phase

    def means(phase):
        return np.exp(1j * phase).reshape(4, fine, 5, fine).mean((1, 3))

    expected = means(convolved(command.numpy(), LOPSIDED, 20 / 64, fine))
    element = bench.element(1, "stage[0].mask[0]")
    surface = surface_of(element, 8, nodes=8)
    assert surface is not None
    shown = surface.mean(show_phase(element, command, bench.nominal(1), surface=surface))[0, 0].numpy()
    assert np.abs(shown - expected).max() < 5e-4
    turned = means(convolved(command.numpy()[::-1, ::-1], LOPSIDED, 20 / 64, fine)[::-1, ::-1])
    assert np.abs(turned - expected).max() > 0.05


@pytest.mark.parametrize(
    "kernel",
    [LOPSIDED, tuple((-x, h) for x, h in reversed(LOPSIDED)), tuple((x + 3, h) for x, h in LOPSIDED)],
    ids=["upwards", "downwards", "far off its centre"],
)
def test_both_simulators_see_the_same_table(kernel):
    bench = bench_of(kernel, width=6e-6).only("*.crosstalk")
    values = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    state, commands = bench.nominal(2), commands_for(bench, 2)
    outputs = []
    for simulator in (sim.Pixel(bench, 2, order=4), sim.Wave(bench, 2, order=4)):
        outputs.append(simulator(commands, simulator.illuminate(values, state), state))
    pixel, wave = (field.unflatten(-1, (4, 4)).unflatten(-3, (4, 4))[..., 0, :, 0] for field in outputs)
    power = wave.abs().square().sum()
    assert float((pixel - wave).abs().square().sum() / power) < 1e-5
    # Not what an even kernel of this width does.
    even = bench_of("gaussian", width=6e-6).only("*.crosstalk")
    other = sim.Pixel(even, 2, order=4)
    field = other(commands, other.illuminate(values, state), state).unflatten(-1, (4, 4)).unflatten(-3, (4, 4))
    assert float((field[..., 0, :, 0] - wave).abs().square().sum() / power) > 1e-3


def outputs_of(kind, bench, nodes=None, **options):
    """The field at the detector, with so many nodes in each piece of a pixel; and how many a pixel has."""
    counts = []

    def with_nodes(element, native, **given):
        found = surface_of(element, native, **(given | ({} if nodes is None else {"nodes": nodes})))
        assert found is not None
        counts.append(len(found.nodes))
        return found

    state, commands = bench.nominal(2), commands_for(bench, 2)
    values = torch.rand(1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"simulators.{kind.lower()}.surface_of", with_nodes)
        simulator = getattr(sim, kind)(bench, 2, **options)
    return simulator(commands, simulator.illuminate(values, state), state), counts[0]


def tabulated(shape, low=-30.0, high=60.0, points=361):
    """A table of ``shape`` over positions in um, about a pixel of 64 um."""
    x = np.linspace(low, high, points)
    return tuple(zip(x.tolist(), shape(x).tolist(), strict=True))


HARD = {
    "a long tail": ((-1.0, 0.0), (0.0, 1.0), (1.0, 0.5), (1.01, 0.3), (24.0, 0.3), (24.1, 0.0)),
    "a second lobe": tabulated(lambda x: np.exp(-((x / 1.5) ** 2)) + 0.4 * np.exp(-(((x - 20) / 3) ** 2))),
    "a narrow second lobe": tabulated(lambda x: np.exp(-((x / 1.5) ** 2)) + 0.2 * np.exp(-(((x - 20) / 1.5) ** 2))),
    "a pedestal": tabulated(lambda x: np.exp(-((x / 1.8) ** 2)) + 0.1 * np.exp(-np.abs(x) / 12), -30, 30),
    "a lobe on the pixel after the next": tabulated(
        lambda x: np.exp(-((x / 2) ** 2)) + 0.3 * np.exp(-(((x - 90) / 3) ** 2)), -30, 120, 601
    ),
    "noise": tabulated(
        lambda x: np.clip(np.exp(-((x / 2.1) ** 2)) + 0.02 * np.random.default_rng(0).standard_normal(len(x)), 0, None),
        -30,
        30,
    ),
}


@pytest.mark.parametrize(
    ("kind", "options"), [("Pixel", {"order": 2}), ("Pixel", {"order": 3}), ("Wave", {"samples": 4})]
)
@pytest.mark.parametrize("name", HARD)
def test_a_few_nodes_see_all_of_a_table(name, kind, options):
    """To 1e-6 of the power, against many nodes a piece; on hardly more nodes than a Gaussian is given, 15 and 20."""
    low, high = half_maxima(HARD[name])
    bench = bench_of(HARD[name], width=(high - low) * 1e-6).only("*.crosstalk")
    found, count = outputs_of(kind, bench, **options)
    exact, _ = outputs_of(kind, bench, nodes=12, **options)
    assert float((found - exact).abs().square().sum() / exact.abs().square().sum()) < 1e-6
    assert count <= 36


@pytest.mark.parametrize("width", [2.5e-6, 5e-6, 12e-6])
@pytest.mark.parametrize(("kernel", "least"), [("gaussian", 1e-6), ("exponential", 1e-6), ("super_gaussian", 3e-5)])
def test_a_few_nodes_see_all_of_a_named_kernel(kernel, least, width):
    bench = bench_of(kernel, width=width).only("*.crosstalk")
    found, exact = (outputs_of("Pixel", bench, nodes=nodes, order=2)[0] for nodes in (None, 12))
    assert float((found - exact).abs().square().sum() / exact.abs().square().sum()) < least


def test_pieces_do_not_hang_on_how_finely_a_table_is_sampled():
    """And gaps between pixels, where they are resolved, are among the cuts, as are the native pixels of a board."""
    fringe = (HARD["a long tail"], 0.03)
    places, responses = np.array(fringe[0]).T
    x = np.union1d(np.linspace(-1, 24.1, 2511), places)
    finer = tuple(zip(x.tolist(), np.interp(x, places, responses).tolist(), strict=True)), 0.03
    assert pieces(1, fringe, None, False, 3) == pytest.approx(pieces(1, finer, None, False, 3), abs=1e-9)
    gaps = {(i + 0.5) / 2 - 0.5 + side * 0.9 / 4 for i in (0, 1) for side in (-1, 1)}
    found = pieces(2, fringe, 0.9, True, 3)
    assert all(min(abs(cut - edge) for cut in found) < 1e-12 for edge in (*gaps, -0.5, 0.0, 0.5))
    board = np.array(native_pieces(2, (HARD["a second lobe"], 0.03), 0.9, 3))
    assert all(np.abs(board - edge).min() < 1e-12 for edge in gaps)
    count = len(board) // 2  # as many in each native pixel, in the same places
    assert board[count : 2 * count] == pytest.approx(board[:count] + 0.5, abs=1e-12)
    assert count > len(native_pieces(2, ("gaussian", 0.06), 0.9, 3)) // 2


@pytest.mark.parametrize("kind", ["Pixel", "Wave"])
def test_a_drawn_bench_runs_and_has_a_slope_in_the_width(kind):
    """Everything on and drawn; the slope in the panel's width against a difference of two runs."""
    bench = bench_of(LOPSIDED, width=6e-6)
    simulator = getattr(sim, kind)(bench, 1)
    state, shots = sim.Realisations(3, (0, 1)).draw(bench, 1), sim.Shots(3, (0, 1), (0, 1, 2))
    values, commands = torch.rand(2, 3, 4, 4, dtype=torch.float64), commands_for(bench, 1)

    def power(width):
        changed = {**state, "panel[slm].crosstalk": width}
        field = simulator.illuminate(values, changed, shots=shots)
        return simulator(commands, field, changed, shots=shots)[..., 0, :4].abs().square().sum()

    width = torch.full((1, 1), 6e-6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(power(width), width)
    with torch.no_grad():
        step = 1e-9
        difference = (power(width + step) - power(width - step)) / (2 * step)
    assert torch.isfinite(slope).all()
    assert slope.item() == pytest.approx(difference.item(), rel=1e-4)
    assert slope.item() != 0
