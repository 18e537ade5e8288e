"""``photonic-acdc synthesise``: what it writes, checked by dense products; and everything that it refuses."""

import io
import json
import pickle
import re
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import test_cli
from PIL import Image
from test_cli import ENVIRONMENT, ROOT, tree
from typer.testing import CliRunner

from photonic_acdc import plots
from photonic_acdc.cli.main import app
from photonic_acdc.cli.matrix_file import read_matrix
from photonic_acdc.cli.synthesise import parse_shape
from photonic_acdc.synthesis import Synthesis, SynthesisWarning, synthesise
from simulators import InputError

invoke, refused = test_cli.invoke, test_cli.refused  # fixtures

RNG = np.random.default_rng(5)
UNITARY = np.linalg.qr(RNG.normal(size=(6, 6)) + 1j * RNG.normal(size=(6, 6)))[0]
REAL = RNG.normal(size=(3, 5))
PAIR = RNG.normal(size=(2, 2))
#: A bench of few steps.
BENCH = ("--bench", "reference", "--bits", "3", "--stages", "2", "--iterations", "3")


@pytest.fixture(autouse=True)
def files(tmp_path):
    for name, array in {"unitary": UNITARY, "real": REAL, "pair": PAIR}.items():
        np.save(tmp_path / f"{name}.npy", array)


def dense(masks: list[np.ndarray]) -> np.ndarray:
    """The cascade of masks of one grid as a product of matrices, the transforms as Kronecker products.

    The number of lenses is even; where it is no multiple of four the image lies turned, and two lenses turn it back.
    """
    lens = np.ones((1, 1))
    for n in masks[0].shape:
        k = np.arange(n)
        lens = np.kron(lens, np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n))
    whole = np.diag(masks[0].ravel())
    for mask in masks[1:]:
        whole = np.diag(mask.ravel()) @ lens @ whole
    whole = whole if len(masks) % 2 else lens @ whole
    return lens @ lens @ whole if len(masks) // 2 % 2 else whole


def test_help_has_an_example_that_runs(invoke, tmp_path):
    text = invoke("synthesise", "--help")
    assert all(f"--{word}" in text for word in ("method", "shape", "planes", "no-strict", "realisations", "fresh"))
    (example,) = re.findall(r"Example: photonic-acdc (.*?)\s*\n", text)
    np.save(tmp_path / "matrix.npy", PAIR)
    assert "phase masks" in invoke(*example.split())


# --- what it writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "matrix", "options", "grid", "count", "dims"),
    [
        ("unitary", UNITARY, ("--shape", "2x3"), (2, 3), 17, []),
        ("real", REAL, (), (6,), 33, [17]),
        ("real", REAL, ("--phase-only",), (10,), 25, []),
        ("pair", PAIR, ("--method", "fit", "--planes", "7"), (4,), 7, []),
    ],
    ids=["unitary", "svd", "dilation", "fit"],
)
def test_the_masks_written_perform_the_matrix(invoke, tmp_path, name, matrix, options, grid, count, dims):
    invoke("synthesise", f"{name}.npy", *options)
    folder = tmp_path / "runs" / name
    with np.load(folder / "masks.npz") as arrays:
        gain = arrays["gain"]
        masks = [arrays[f"mask{j:02d}"] for j in range(1, count + 1)]
        assert len(arrays.files) == count + 1
    assert {mask.shape for mask in masks} == {grid}
    rows, columns = matrix.shape
    performed = dense(masks)[:rows, :columns]
    assert np.linalg.norm(performed - gain * matrix) <= 1e-9 * np.linalg.norm(gain * matrix)
    np.testing.assert_array_equal(Synthesis.load(folder / "synthesis.safetensors").matrix.numpy(), matrix)

    size = grid[::-1] if len(grid) == 2 else (grid[0], 1)
    for j, mask in enumerate(masks, start=1):
        with Image.open(folder / "masks" / f"mask{j:02d}.png") as image:
            assert (image.size, image.mode) == (size, "L")
            turns = np.asarray(image) / 256 - np.angle(np.atleast_2d(mask)) / (2 * np.pi)
        lit = np.abs(np.atleast_2d(mask)) > 1e-6
        assert np.abs(turns - np.round(turns))[lit].max() <= 0.5 / 256 + 1e-9
    dimmed = sorted((folder / "masks").glob("*_amplitude.png"))
    assert [path.name for path in dimmed] == [f"mask{j:02d}_amplitude.png" for j in dims]
    for j, path in zip(dims, dimmed, strict=True):
        with Image.open(path) as image:
            assert np.abs(np.asarray(image) / 255 - np.abs(np.atleast_2d(masks[j - 1]))).max() <= 0.5 / 255 + 1e-9
    with Image.open(folder / "synthesis.png") as image:
        assert min(image.size) > 600
    assert not list(folder.rglob(".*.part*"))


def test_the_report_and_the_table(invoke, tmp_path):
    printed = json.loads(invoke("synthesise", "real.npy", "--gain", "0.1", "--json"))
    assert printed == json.loads((tmp_path / "runs" / "real" / "report.json").read_text())
    results, largest = printed["results"], np.linalg.norm(REAL, 2)
    assert (results["method"], results["planes"], results["grid"]) == ("svd", 33, [6])
    assert results["error"] < 1e-12
    assert results["gain_db"] == pytest.approx(-20)
    assert results["efficiency"] == pytest.approx((0.1 * largest) ** 2)
    assert results["efficiency_db"] == pytest.approx(20 * np.log10(0.1 * largest))
    assert not results["phase_only"]
    assert results["dynamic_range"] is None  # the matrix has rank 3 of 6: pixels are dark
    assert results["bench"] is None
    assert not results["turned"]  # 32 lenses: 16 pairs
    assert json.loads(invoke("synthesise", "pair.npy", "-m", "fit", "--planes", "7", "--json"))["results"]["turned"]
    assert "feature k at -k" in invoke("synthesise", "pair.npy", "-m", "fit", "--planes", "7")
    assert printed["run"]["versions"]["numpy"] == np.__version__
    text = invoke("synthesise", "real.npy", "--gain", "0.1")
    for needle in ("svd: the matrix is not unitary", "33 masks of 6 pixels", "0.1 (-20.0 dB)", "runs/real/"):
        assert needle in text


def test_a_bench(invoke, tmp_path):
    options = ("--shape", "2x3", *BENCH[:-1], "15")
    printed = json.loads(invoke("synthesise", "unitary.npy", *options, "--json"))
    bench = printed["results"]["bench"]
    assert (bench["modes"], bench["stages"]) == ([2, 3], 2)
    assert bench["nmse_db"] < bench["rounded_nmse_db"] - 0.5 < 0  # on levels, with regard to them
    assert bench["exact_nmse_db"] < 0
    assert bench["light_db"] == pytest.approx(10 * np.log10(bench["light"]))
    folder = tmp_path / "runs" / "unitary" / "bench"
    with np.load(folder / "masks.npz") as arrays:
        for name, mask in arrays.items():
            assert mask.shape == ((2, 3) if name.endswith("mask0") else (16, 16))
            levels = np.angle(mask / mask.flat[0]) / (2 * np.pi) * 8  # 3 bits over a stroke of one turn
            assert np.abs(levels - np.round(levels)).max() < 1e-6
            with Image.open(folder / "masks" / f"{name}.png") as image:  # 8 native pixels a macro-pixel
                assert image.size == (8 * mask.shape[1], 8 * mask.shape[0])
        assert len(arrays.files) == 4
    assert (folder / "masks.png").is_file()
    text = invoke("synthesise", "unitary.npy", *options)
    assert "2 stages, 2x3 modes" in text
    assert f"{bench['nmse_db']:.1f} dB (the masks above {bench['exact_nmse_db']:.1f} dB" in text


def test_a_bench_of_ones_own_drawn_as_built(invoke, tmp_path):
    text = (ROOT / "examples" / "bench.toml").read_text(encoding="utf-8")
    (tmp_path / "my.toml").write_text(re.sub(r"(?m)^modes = .*", "modes = [1, 3]", text), encoding="utf-8")
    options = ("--bench", "my.toml", "--stages", "1", "--iterations", "2", "--realisations", "2", "--json")
    first, other = (
        json.loads(invoke("synthesise", "pair.npy", *options, "--seed", seed, "--name", name))["results"]["bench"]
        for seed, name in (("3", "a"), ("4", "b"))
    )
    assert first["modes"] == [1, 3]
    assert first["nmse_db"] != other["nmse_db"]


# --- a second call ----------------------------------------------------------------------------------------------------


def test_a_second_call_takes_up_what_is_there(invoke, tmp_path):
    first = invoke("synthesise", "pair.npy")
    before = tree(tmp_path)
    second = invoke("synthesise", "pair.npy")
    assert tree(tmp_path) == before
    assert "this command has been run before" in second
    assert "this command has been run before" not in first
    assert json.loads(invoke("synthesise", "pair.npy", "--json"))["results"]["method"] == "svd"


def test_a_bench_is_added_to_masks_that_are_there(invoke, tmp_path, monkeypatch):
    """The masks are not looked for again, neither then nor after a call that was cut short."""
    invoke("synthesise", "pair.npy", "--iterations", "3")
    from photonic_acdc.cli import synthesise as job

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(job, "synthesise", never)
    card = json.loads(invoke("synthesise", "pair.npy", *BENCH, "--json"))
    assert card["results"]["bench"]["stages"] == 2
    (tmp_path / "runs" / "pair" / "report.json").unlink()
    assert json.loads(invoke("synthesise", "pair.npy", *BENCH, "--json"))["results"] == card["results"]


def test_another_matrix_needs_fresh(invoke, refused, tmp_path):
    invoke("synthesise", "real.npy", "--name", "mine")
    before = tree(tmp_path)
    text = refused("synthesise", "pair.npy", "--name", "mine")
    assert "runs/mine holds another synthesis (matrix was '3x5, sha256" in text
    assert "--fresh to start it over" in text
    text = refused("synthesise", "real.npy", "--name", "mine", "--seed", "1")
    assert "(seed was 0, is 1)" in text
    refused("synthesise", "pair.npy", "--name", "mine", "--fresh", "--gain", "100")  # nor does a failure remove it
    assert tree(tmp_path) == before
    (tmp_path / "runs" / "mine" / "notes.txt").write_text("mine")
    invoke("synthesise", "pair.npy", "--name", "mine", "--fresh")
    folder = tmp_path / "runs" / "mine"
    assert len(list((folder / "masks").glob("mask??.png"))) == 17  # 4N + 9, none of the 33 of before
    assert (folder / "notes.txt").read_text() == "mine"
    assert json.loads((folder / "report.json").read_text())["settings"]["matrix"].startswith("2x2")


@pytest.mark.parametrize("found", ["file", "notes", "run"])
def test_what_is_no_synthesis_is_left_alone(refused, tmp_path, found):
    folder = tmp_path / "runs" / "pair"
    (folder.parent if found == "file" else folder).mkdir(parents=True)
    place = {"file": folder, "notes": folder / "notes.txt", "run": folder / "settings.json"}[found]
    place.write_text('{"command": "another"}')
    before = tree(tmp_path)
    for fresh in ((), ("--fresh",)):
        text = refused("synthesise", "pair.npy", *fresh)
        assert "holds no synthesis: try: another --name or --directory" in text
    assert tree(tmp_path) == before


# --- what it refuses --------------------------------------------------------------------------------------------------


REFUSED = {
    "method": (("real.npy", "--method", "svdd"), ["--method: got 'svdd'", "did you mean svd"]),
    "shape words": (("real.npy", "--shape", "8by9"), ["--shape: got '8by9'", "8x9"]),
    "shape zero": (("real.npy", "--shape", "0x9"), ["--shape: got '0x9'"]),
    "shape 3-D": (("real.npy", "--shape", "2x3x4"), ["--shape: got '2x3x4'"]),
    "shape small": (("unitary.npy", "--shape", "2x2", "-m", "unitary"), ["--shape: got 2x2 = 4 pixels", "--shape 2x3"]),
    "shape divisor": (
        ("unitary.npy", "--shape", "2x4", "-m", "unitary"),
        ["2x4, sides with a common divisor", "or no --shape for cylindrical lenses, or --method fit"],
    ),
    "planes": (("unitary.npy", "--planes", "0"), ["--planes: got 0"]),
    "planes few": (
        ("unitary.npy", "-m", "unitary", "--planes", "5"),
        ["--planes: got 5", "at least 17", "--method fit"],
    ),
    "gain": (("real.npy", "--gain", "7"), ["--gain: got 7", "at most 1/σ_max"]),
    "gain nan": (("real.npy", "--gain", "nan"), ["--gain: got nan"]),
    "tolerance": (("real.npy", "--tolerance", "0"), ["--tolerance: got 0"]),
    "starts": (("real.npy", "--starts", "0"), ["--starts: got 0"]),
    "iterations": (("real.npy", "--iterations", "0"), ["--iterations: got 0"]),
    "seed": (("real.npy", "--seed", "-1"), ["--seed"]),
    "not unitary": (("real.npy", "-m", "unitary"), ["real.npy: matrix: got |U*U - 1|", "try: --method svd"]),
    "phase-only svd": (("real.npy", "-m", "svd", "--phase-only"), ["--phase-only with --method svd", "dilation"]),
    "missed": (
        ("pair.npy", "-m", "fit", "--iterations", "1", "--starts", "1"),
        ["pair.npy: relative error", "allowed: tolerance = 1e-09", "or --no-strict"],
    ),
    "name": (("real.npy", "--name", "../up"), ["--name: got '../up'"]),
    "no name": (("real.npy", "--name", ""), ["--name: got ''"]),
    "bits alone": (("real.npy", "--bits", "4"), ["--bits without --bench: got 4", "--bench reference"]),
    "stages alone": (("real.npy", "--stages", "4"), ["--stages without --bench: got 4"]),
    "realisations alone": (("real.npy", "--realisations", "4"), ["--realisations without --bench: got 4"]),
    "bits": (("real.npy", "--bench", "reference", "--bits", "20"), ["--bits: got 20", "at most 16"]),
    "no bits": (("real.npy", "--bench", "reference", "--bits", "0"), ["--bits: got 0"]),
    "stages": (("real.npy", "--bench", "reference", "--stages", "0"), ["--stages: got 0"]),
    "realisations": (("real.npy", "--bench", "reference", "--realisations", "0"), ["--realisations: got 0"]),
    "bench typo": (("real.npy", "--bench", "referense"), ["--bench: got 'referense'", "did you mean reference"]),
    "bench missing": (("real.npy", "--bench", "none.toml"), ["none.toml: got No such file"]),
    "bench small": (
        ("unitary.npy", "--bench", "reference", "--shape", "2x2", "-m", "fit"),
        ["--bench reference: modes: got 2x2", "at least 6"],
    ),
    "bench large": (("unitary.npy", "--bench", "reference", "--shape", "1x40"), ["--bench reference: modes: 1x40"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_cannot_be(refused, tmp_path, case):
    arguments, needles = REFUSED[case]
    before = tree(tmp_path)
    text = refused("synthesise", *arguments)
    assert all(needle in text for needle in needles), text
    assert tree(tmp_path) == before


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


SMALL = npy(np.eye(4))
BOASTING = SMALL.replace(b"(4, 4), }".ljust(20), b"(999999, 999999), }".ljust(20))  # of entries it has not
UNREADABLE = {
    "pickled.npy": (npy(np.array([{1: 2}, None], dtype=object)), ["pickled objects"]),
    "pickle.npy": (pickle.dumps({"a": 1}), ["pickled objects, or no file of NumPy's"]),
    "cut.npy": (SMALL[:-9], ["allowed: numbers, as numpy.save writes them"]),
    "header.npy": (SMALL[:30], ["reading array header"]),
    "empty.npy": (b"", ["No data left in file"]),
    "huge.npy": (BOASTING, ["mmap length is greater than file size", "as numpy.save"]),
    "text.npy": (npy(np.array([["a", "b"]])), ["entries of <U1"]),
    "logical.npy": (npy(np.eye(2, dtype=bool)), ["entries of bool"]),
    "vector.npy": (npy(np.ones(3)), ["vector.npy: matrix: shape: got (3,)"]),
    "nothing.npy": (npy(np.ones((0, 3))), ["shape: got (0, 3)"]),
    "batch.npy": (npy(np.ones((2, 3, 3))), ["shape: got (2, 3, 3)", "one matrix", "takes batches"]),
    "nan.npy": (npy(np.array([[1, np.nan]])), ["nan.npy: matrix[0, 1]: got (nan+0j)", "finite"]),
    "zero.npy": (npy(np.zeros((2, 2))), ["zeros alone"]),
    "words.csv": (b"1,2\n3,four\n", ["'four'", "numpy.savetxt"]),
    "ragged.csv": (b"1,2\n3\n", ["number of columns changed"]),
    "blank.txt": (b"# nothing\n\n", ["no numbers"]),
    "bytes.txt": (b"\xff\xfe\x00", ["decode"]),
    "broken.npz": (b"PK\x03\x04" + bytes(40), ["broken.npz: got File is not a zip file"]),
    "really_npy.npz": (SMALL, ["File is not a zip file"]),
    "table.xlsx": (b"", ["got a file .xlsx", ".npy, .npz with one array"]),
    "bare": (b"", ["got a file without a suffix"]),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_hold_no_matrix(refused, tmp_path, name):
    content, needles = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    before = tree(tmp_path)
    text = refused("synthesise", name)
    assert text.startswith(f"error: {name}")
    assert all(needle in text for needle in needles), text
    assert tree(tmp_path) == before


def test_a_pickle_is_not_run(refused, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    for name in ("a.npy", "b.npz"):
        array = np.array([[Hostile()]], dtype=object)
        np.save(tmp_path / name, array) if name == "a.npy" else np.savez(tmp_path / name, array)
        assert "pickled objects" in refused("synthesise", name)
    assert not (tmp_path / "run").exists()


def test_archives_and_places_that_hold_no_matrix(refused, tmp_path, monkeypatch):
    np.savez(tmp_path / "two.npz", a=PAIR, b=PAIR)
    assert "two.npz: got 2 arrays: a, b; allowed: one array" in refused("synthesise", "two.npz")
    with zipfile.ZipFile(tmp_path / "letter.npz", "w") as archive:
        archive.writestr("letter.txt", "dear")
    assert "letter.npz: matrix: got entries of" in refused("synthesise", "letter.npz")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", BOASTING)
    assert "as numpy.savez writes them" in refused("synthesise", "bomb.npz")
    monkeypatch.setattr("photonic_acdc.cli.matrix_file._LARGEST", 100)
    np.savez_compressed(tmp_path / "zeros.npz", np.eye(4))
    assert "zeros.npz: got an array of 256 bytes, more than 100" in refused("synthesise", "zeros.npz")
    np.savez(tmp_path / "archive", PAIR)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    assert "archive.npy: got an archive, .npz" in refused("synthesise", "archive.npy")
    assert "none.npy: got No such file or directory" in refused("synthesise", "none.npy")
    (tmp_path / "folder.npy").mkdir()
    assert "folder.npy: got Is a directory" in refused("synthesise", "folder.npy")
    assert "a file on the way" in refused("synthesise", "pair.npy", "-d", "pair.npy/runs")


# --- the parts --------------------------------------------------------------------------------------------------------


def test_every_format_is_read(tmp_path):
    np.savetxt(tmp_path / "a.csv", REAL, delimiter=",", header="a matrix")
    np.savetxt(tmp_path / "a.txt", REAL)
    np.savez_compressed(tmp_path / "a.npz", m=UNITARY)
    (tmp_path / "row.csv").write_text("\ufeff1,2, 3 # a row\n\n", encoding="utf-8")
    np.testing.assert_array_equal(read_matrix(tmp_path / "a.csv"), REAL)
    np.testing.assert_array_equal(read_matrix(tmp_path / "a.txt"), REAL)
    np.testing.assert_array_equal(read_matrix(tmp_path / "a.npz"), UNITARY)
    np.testing.assert_array_equal(read_matrix(tmp_path / "row.csv"), [[1, 2, 3]])
    np.save(tmp_path / "whole.npy", np.array([[1, 2], [3, 5]], dtype=np.uint8))
    np.testing.assert_array_equal(read_matrix(tmp_path / "whole.npy"), [[1, 2], [3, 5]])


def test_shapes():
    assert parse_shape(None) is None
    assert parse_shape(" 12 ") == (12,)
    assert parse_shape("8x9") == parse_shape("8X9") == parse_shape("8×9") == (8, 9)


def test_no_strict_warns_and_writes(invoke, tmp_path):
    with pytest.warns(SynthesisWarning, match="miss the matrix"):
        invoke("synthesise", "pair.npy", "-m", "fit", "--iterations", "1", "--starts", "1", "--no-strict")
    assert json.loads((tmp_path / "runs" / "pair" / "report.json").read_text())["results"]["error"] > 1e-9


def test_ctrl_c_keeps_the_masks(tmp_path, monkeypatch):
    from photonic_acdc.cli import synthesise as job

    def struck(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "refine", struck)
    result = CliRunner().invoke(app, ["synthesise", "pair.npy", *BENCH])
    assert result.exit_code == 130
    assert "interrupted: masks that are found are kept" in result.output
    folder = tmp_path / "runs" / "pair"
    assert Synthesis.load(folder / "synthesis.safetensors").planes == 17
    assert not (folder / "report.json").exists()
    monkeypatch.setattr(job, "synthesise", struck)
    before = tree(tmp_path)
    assert CliRunner().invoke(app, ["synthesise", "real.npy"]).exit_code == 130
    assert tree(tmp_path) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_ctrl_c_as_a_program(tmp_path):
    command = [sys.executable, "-m", "photonic_acdc", "synthesise", "slow.npy", "-m", "fit", "--tolerance", "1e-15"]
    big = np.random.default_rng(0).normal(size=(64, 64))
    np.save(tmp_path / "slow.npy", np.linalg.qr(big)[0])
    before = tree(tmp_path)
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background has them ignore Ctrl-C, and what they start too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(10)  # amid the fit, of a minute
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "interrupted: masks that are found are kept\n"
    assert tree(tmp_path) == before


# --- the picture ------------------------------------------------------------------------------------------------------


def images(figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for part in figure.subfigs for ax in part.axes for image in ax.images]


def test_the_picture_of_masks_in_a_line():
    found = synthesise(REAL)
    figure = plots.synthesis(found)
    wanted, performed, difference, masks = images(figure)
    np.testing.assert_array_equal(wanted, np.abs(REAL))
    np.testing.assert_allclose(performed, np.abs(REAL), atol=1e-12)
    assert 0 < difference.max() < 1e-12
    assert masks.shape == (33, 6, 3)
    np.testing.assert_allclose(masks.max(-1), np.abs(found.masks.numpy()).clip(0, 1), atol=1e-12)  # brightness
    title = figure.get_suptitle()
    assert "3×5 matrix by svd: 33 masks of 6 pixels" in title
    assert f"gain {found.gain.item():.3g} ({20 * np.log10(found.gain.item()):.1f} dB)" in title


def test_the_picture_of_masks_on_a_grid():
    figure = plots.synthesis(synthesise(UNITARY, shape=(2, 3)))
    assert [image.shape for image in images(figure)[3:]] == [(2, 3, 3)] * 17
    assert "17 phase masks of 2×3 pixels" in figure.get_suptitle()
    assert "gain 1 (0.0 dB)" in figure.get_suptitle()
    many = plots.synthesis(synthesise(np.random.default_rng(1).normal(size=(14, 3)), shape=(2, 7)))
    assert len(images(many)) == 3 + plots.synthesis.__globals__["TILES"]
    assert "the first 60 of 65 masks" in many.subfigs[1].get_suptitle()


def test_a_difference_of_nothing_and_a_batch():
    exact = synthesise(np.eye(2), "circulant")
    figure = plots.synthesis(Synthesis(exact.reconstruct(), exact.masks, exact.gain, "circulant"))
    assert images(figure)[2].max() == 0
    figure.canvas.draw()
    with pytest.raises(InputError, match=r"plots.synthesis: got 2 matrices"):
        plots.synthesis(synthesise(np.stack([PAIR, PAIR])))
