"""Errors of phase masks over their number and the gain: counting, what is kept, the picture and the command."""

import json
import sys

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from photonic_acdc import plots
from photonic_acdc.cli.main import app, entry
from photonic_acdc.studies import load, study
from photonic_acdc.synthesis import trade
from photonic_acdc.synthesis.trade import matrices, planes_vs_error, reached
from simulators.errors import InputError

pytestmark = pytest.mark.usefixtures("single_thread")

N = 4
SMALL = {"kinds": ("haar", "random"), "features": N, "targets": 3, "iterations": 80, "gains": (1.0, 0.5)}


@pytest.fixture(scope="module")
def found():
    return planes_vs_error(**SMALL)


# --- the library -----------------------------------------------------------------------------------------------------


def test_the_dataset_says_what_it_holds(found):
    assert found["error"].dims == ("kind", "gain", "planes", "target")
    assert found.sizes == {"kind": 2, "gain": 2, "planes": 7, "target": 3}
    assert found["gain"].values.tolist() == [0.5, 1.0]
    assert found["planes"].values.tolist() == [2, 3, 4, 5, 6, 7, 8]
    for name in (*found.data_vars, *found.coords):
        assert set(found[name].attrs) >= {"long_name", "units"}, name
    assert found.attrs["features"] == N
    assert found.attrs["seed"] == 0
    assert "version_torch" in found.attrs
    assert found["pixels"].values.tolist() == [N, 2 * N]


def test_the_bound_is_that_of_counting(found):
    # Unitary: N + (M-1)(N-1) ≥ N². Blocks of 2N modes, M even: N + (M-1)(2N-1) ≥ 2N²; N + 1 odd is 31 of 32 here.
    assert found["bound"].sel(kind="haar", gain=1.0) == N + 1
    assert (found["bound"].sel(kind="random") == N + 2).all()


def test_a_unitary_matrix_has_one_gain(found):
    assert found["error"].sel(kind="haar", gain=0.5).isnull().all()
    assert found["error"].sel(kind="haar", gain=1.0).notnull().all()
    assert found["error"].sel(kind="random").notnull().all()


@pytest.mark.parametrize(("kind", "gain"), [("haar", 1.0), ("random", 0.5), ("random", 1.0)])
def test_below_the_bound_none_is_reached_and_above_all_are(found, kind, gain):
    one = found.sel(kind=kind, gain=gain)
    bound = int(one["bound"])
    below = one["error"].sel(planes=slice(None, bound - 1))
    assert below.sizes["planes"] >= 3
    assert (below > 1e-4).all()
    assert (one["error"].sel(planes=slice(bound + 1, None)) <= 1e-10).all()


def test_errors_and_light_are_those_of_dense_masks():
    """T from dense Fourier matrices: the block on dark ports, and its largest singular value."""
    kept = []

    def keep(name, compute):
        kept.append(name)
        return compute()

    found = planes_vs_error(("random",), N, (6, 3), (0.7,), targets=2, iterations=30, keep=keep)
    assert kept == ["random-3", "random-6"]
    matrix = matrices("random", N, 2, 0)
    sigma = torch.linalg.svdvals(matrix)[:, 0]
    n = 2 * N
    index = np.arange(n)
    fourier = np.exp(-2j * np.pi * np.outer(index, index) / n) / np.sqrt(n)
    turn = np.eye(n)[-index % n]
    for planes in (3, 6):
        fit = trade.fit_phases(matrix, (n,), planes, gain=0.7 / sigma, starts=2, iterations=30)
        for i, masks in enumerate(fit.masks.numpy()):
            whole = np.diag(masks[0])
            for mask in masks[1:]:
                whole = np.diag(mask) @ fourier @ whole
            # Two lenses are one pair, six are three: both turn the image, and six masks have one behind the last.
            whole = turn @ (whole if planes % 2 else fourier @ whole)
            block = whole[:N, :N]
            one = found.sel(kind="random", gain=0.7, planes=planes, target=i)
            wanted = matrix[i].numpy() * 0.7 / sigma[i].item()
            error = np.linalg.norm(wanted - block) / np.linalg.norm(wanted)
            assert float(one["error"]) == pytest.approx(error, rel=1e-6, abs=1e-13)
            assert float(one["efficiency"]) == pytest.approx(np.linalg.norm(block, 2) ** 2, rel=1e-9)
    assert found["efficiency"].sel(planes=6).values == pytest.approx(0.49, rel=1e-8)


def test_no_light_is_lost_by_unitary_masks_and_none_won(found):
    assert found["efficiency"].sel(kind="haar", gain=1.0).values == pytest.approx(1.0, abs=1e-12)
    other = found["efficiency"].sel(kind="random")
    assert (other <= 1 + 1e-12).all()
    for gain in (0.5, 1.0):  # where a matrix is reached, its gain is
        assert other.sel(gain=gain, planes=N + 3).values == pytest.approx(gain**2, rel=1e-8)


def test_matrices_of_every_kind():
    # Entries of the DCT-II as they are defined.
    k, n = np.mgrid[:N, :N]
    wanted = np.sqrt(np.where(k == 0, 1, 2) / N) * np.cos(np.pi * k * (2 * n + 1) / (2 * N))
    assert np.allclose(matrices("dct", N, 2, 0).numpy(), wanted, atol=1e-15)
    haar = matrices("haar", N, 3, 0)
    assert torch.allclose(haar @ haar.mH, torch.eye(N, dtype=haar.dtype).expand(3, N, N), atol=1e-14)
    assert torch.equal(matrices("random", N, 2, 1), matrices("random", N, 3, 1)[:2])
    assert not torch.equal(matrices("random", N, 2, 1), matrices("random", N, 2, 2))


def test_trained_weights_are_trained(monkeypatch):
    """They leave where they started, differ from target to target, and do not touch the caller's random numbers."""
    monkeypatch.setattr(trade, "EPOCHS", 2)
    before = torch.random.get_rng_state()
    weights = matrices("trained", N, 2, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert weights.shape == (2, N, N)
    assert (weights.imag == 0).all()
    assert torch.equal(matrices("trained", N, 1, 0)[0], weights[0])
    assert not torch.allclose(weights[0], weights[1], atol=1e-3)
    monkeypatch.setattr(trade, "EPOCHS", 1)
    assert not torch.allclose(matrices("trained", N, 1, 0)[0], weights[0], atol=1e-3)


def test_starts_of_one_matrix_differ():
    found = planes_vs_error(("dct",), N, (3,), targets=3, starts=1, iterations=5)
    assert found["gain"].values.tolist() == [1.0]
    assert len(np.unique(found["error"].values.round(6))) == 3


def test_rows_say_where_matrices_are_reached():
    error = np.array([[[0.5, 0.4], [1e-9, 0.1], [1e-12, 1e-10], [1e-12, 2e-9]]])[None]
    found = xr.Dataset(
        {
            "error": (("kind", "gain", "planes", "target"), error),
            "steps": (("kind", "gain", "planes", "target"), np.arange(8.0).reshape(error.shape)),
            "bound": (("kind", "gain"), [[3.0]]),
        },
        {"kind": ["haar"], "gain": [1.0], "planes": [2, 3, 4, 5], "target": [0, 1]},
    )
    row = {"kind": "haar", "gain": 1.0, "bound": 3, "planes": 4, "planes_all": 4, "steps": 4.5}
    assert reached(found) == [row]
    (none,) = reached(found.sel(planes=[2, 3]))
    assert none["planes"] is none["planes_all"] is none["steps"] is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": ("har",)}, "kinds.*'har'.*did you mean haar"),
        ({"kinds": ()}, r"kinds.*\(\).*at least one"),
        ({"kinds": "haar"}, "kinds.*'haar'"),
        ({"kinds": ("haar", "haar")}, "kinds.*each once"),
        ({"features": 1}, "features.*1.*at least 2"),
        ({"planes": (0, 2)}, "planes.*0.*≥ 1"),
        ({"planes": ()}, "planes.*at least one"),
        ({"gains": (0.5, 1.1)}, "gains.*1.1.*at most 1"),
        ({"gains": (0.0,)}, "gains.*0.0.*more than 0"),
        ({"targets": 0}, "targets.*0"),
        ({"starts": 1.5}, "starts.*1.5"),
        ({"iterations": 0}, "iterations.*0"),
        ({"seed": -1}, "seed.*-1"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        planes_vs_error(**options)


# --- the picture -----------------------------------------------------------------------------------------------------


def test_the_picture_shows_medians_ranges_and_bounds(found):
    figure = plots.planes_vs_error(found)
    unitary, other = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0.5", "1"]
    (line,) = (line for line in unitary.get_lines() if line.get_label() == "1")
    assert line.get_ydata() == pytest.approx(np.median(found["error"].sel(kind="haar", gain=1.0).values, axis=-1))
    assert {line.get_label() for line in other.get_lines()} >= {"0.5", "1"}
    for ax, bound in ((unitary, N + 1), (other, N + 2)):
        assert ax.get_yscale() == "log"
        assert any(np.array_equal(line.get_xdata(), [bound, bound]) for line in ax.get_lines())
        assert any(text.get_text() == f"{bound} by counting" for text in ax.texts)


# --- the study -------------------------------------------------------------------------------------------------------

TINY = """
study = "planes_vs_error"
[options]
kinds = ["haar", "random"]
features = 3
planes = [3, 5]
gains = [0.5]
targets = 2
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_the_command_leaves_a_folder_and_says_where_matrices_are_reached(tiny, tmp_path):
    runs = tmp_path / "runs"
    result = CliRunner().invoke(app, ["study", str(tiny), "-d", str(runs), "-w", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    lines = [[cell.strip() for cell in line.split("│")[1:5]] for line in result.stdout.splitlines() if "│" in line]
    assert ["haar", "1", "4", "5"] in lines
    assert ["random", "0.5", "4", "5"] in lines
    folder = runs / "tiny"
    assert {file.name for file in folder.iterdir()} >= {"config.toml", "study.nc", "study.png", "summary.json"}
    with xr.open_dataset(folder / "study.nc", engine="h5netcdf") as kept:
        wanted = planes_vs_error(**load(tiny).settings)
        xr.testing.assert_equal(kept.load(), wanted)
    again = CliRunner().invoke(app, ["study", str(tiny), "-d", str(runs), "-w", "1", "--json"], catch_exceptions=False)
    card = json.loads(again.stdout)
    assert card["results"] == {"rows": reached(wanted), "tolerance": 1e-9}
    assert card == json.loads((folder / "summary.json").read_text())


@pytest.mark.slow
def test_processes_have_no_influence(tiny, tmp_path):
    """Nor the order in which they end; how far they are is told."""
    reports = []
    study(load(tiny), tmp_path / "two", workers=2, report=lambda *report: reports.append(report))
    assert reports[-1] == ("study tiny", 4, 4)
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    card = study(load(tiny), tmp_path / "one")
    assert json.loads((tmp_path / "two" / "tiny" / "summary.json").read_text())["results"] == card["results"]


def test_an_interrupted_study_is_taken_up(tiny, tmp_path, monkeypatch):
    fits = []
    real = trade._fits

    def counted(kind, matrix, gains, planes, *rest):
        if len(fits) == 2:
            raise KeyboardInterrupt
        fits.append((kind, planes))
        return real(kind, matrix, gains, planes, *rest)

    monkeypatch.setattr(trade, "_fits", counted)
    config = load(tiny)
    with pytest.raises(KeyboardInterrupt):
        study(config, tmp_path)
    assert not (tmp_path / "tiny" / "study.nc").exists()
    assert fits == [("random", 3), ("random", 5)]
    monkeypatch.setattr(trade, "_fits", lambda kind, *rest: fits.append((kind, rest[2])) or real(kind, *rest))
    reports = []
    study(config, tmp_path, report=lambda *report: reports.append(report))
    assert fits[2:] == [("haar", 3), ("haar", 5)]
    assert reports == [("study tiny", i, 4) for i in (1, 2, 3, 4)]
    # Another configuration is refused, unless it starts over.
    other = config.replace(seed=1)
    with pytest.raises(InputError, match=r"holds another run.*seed"):
        study(other, tmp_path)
    study(other, tmp_path, fresh=True)
    assert len(fits) == 8


def test_the_example_and_its_first_look(request):
    config = load(request.config.rootpath / "examples" / "planes_vs_error.toml")
    assert config.name == config.study == "planes_vs_error"
    # What the example spells out is what a shorter file would do.
    assert config == type(config)(name="planes_vs_error")
    quick = config.quick()
    assert quick.name == "planes_vs_error-quick"
    assert quick.options.features == 8
    assert quick.options.gains == (0.5, 1.0)
    assert trade.check(**quick.settings)[1] == (2, 4, 6, 7, 8, 9, 10, 11, 12)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("seeds = [0, 1]", ["unknown key 'seeds'", "did you mean seed"]),
        ("[options]\nkind = ['haar']", ["options: unknown key 'kind'", "did you mean kinds"]),
        ("[options]\nkinds = ['har']", ["kinds", "'har'", "did you mean haar"]),
        ("[options]\ngains = [2.0]", ["gains", "2.0", "at most 1"]),
        ("[options]\nfeatures = 1", ["options.features", "got 1", "at least 2"]),
        ("[options]\nplanes = []", ["planes", "at least one"]),
        ("[training]\nepochs = 3", ["unknown key 'training'"]),
    ],
)
def test_bad_configurations_are_one_sentence_and_code_2(tmp_path, monkeypatch, capsys, text, parts):
    path = tmp_path / "bad.toml"
    path.write_text(f'study = "planes_vs_error"\n{text}\n')
    monkeypatch.setattr(sys, "argv", ["photonic-acdc", "study", str(path), "-d", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    for part in (str(path), *parts):
        assert part in said
    assert not (tmp_path / "runs").exists()


def test_a_misspelt_study_is_told_of_it(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('study = "planes_error"')
    with pytest.raises(InputError, match="did you mean planes_vs_error"):
        load(path)
