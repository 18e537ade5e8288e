"""Commands of ``photonic-acdc``. Heavy packages are imported where a command needs them: ``--help`` is quick."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from simulators.errors import InputError

app = typer.Typer(
    name="photonic-acdc",
    help="Train and judge optical linear layers on simulated benches of real devices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Directory = Annotated[Path, typer.Option("--directory", "-d", help="Where run folders are.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Start over: remove what an earlier run of this name wrote.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine instead of tables.")]


def entry() -> None:
    """The program: bad input is one sentence and exit code 2."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A run configuration, .toml.")],
    directory: _Directory = Path("runs"),
    fresh: _Fresh = False,
    as_json: _Json = False,
) -> None:
    """Train, judge and picture a classifier on its bench; an interrupted run is taken up by the same command.

    Several processes train as one: torchrun --nproc-per-node 2 -m photonic_acdc run CONFIG

    Example: photonic-acdc run examples/digits.toml
    """
    from photonic_acdc.config import RunConfig

    with _together():
        settings = RunConfig.load(config)
        with _errors_of(config):
            _run(settings, directory, as_json, fresh)


@app.command()
def demo(directory: _Directory = Path("runs"), as_json: _Json = False) -> None:
    """The main job in about two minutes: handwritten digits through the reference bench, one seed.

    Example: photonic-acdc demo
    """
    from photonic_acdc.config import RunConfig

    _run(RunConfig.load(Path(__file__).with_name("demo.toml")), directory, as_json)


@app.command()
def search(
    config: Annotated[Path, typer.Argument(help="A search configuration, .toml.")],
    directory: _Directory = Path("runs"),
    as_json: _Json = False,
) -> None:
    """Search for structured layers of little error and few parameters; taken up by the same command.

    Example: photonic-acdc search examples/search.toml
    """
    from photonic_acdc.cli import tables
    from photonic_acdc.search import SearchConfig
    from photonic_acdc.search import search as search_job

    settings = SearchConfig.load(config)
    with _errors_of(config), _interruptible(), tables.progress() as report:
        card = search_job(settings, directory, report=report)
    if as_json:
        _print_json(card)
    else:
        tables.front(card, directory / settings.name)


@app.command()
def study(
    config: Annotated[Path, typer.Argument(help="A study configuration, .toml.")],
    directory: _Directory = Path("runs"),
    quick: Annotated[bool, typer.Option("--quick", help="A first look: fewer seeds, points and epochs.")] = False,
    workers: Annotated[int, typer.Option("--workers", "-w", help="Processes; results do not depend on it.")] = 2,
    fresh: _Fresh = False,
    as_json: _Json = False,
) -> None:
    """Compare ways of training on devices, with intervals and a picture; taken up by the same command.

    Example: photonic-acdc study examples/bits.toml --quick
    """
    from photonic_acdc.cli import tables
    from photonic_acdc.studies import load
    from photonic_acdc.studies import study as study_job

    settings = load(config)
    settings = settings.quick() if quick else settings
    with _errors_of(config), _interruptible(), _room_on_disk(), tables.progress() as report:
        card = study_job(settings, directory, workers=workers, report=report, fresh=fresh)
    if as_json:
        _print_json(card)
    else:
        show = tables.planes_vs_error if settings.study == "planes_vs_error" else tables.study
        show(card, directory / settings.name)


@app.command()
def synthesise(
    matrix: Annotated[Path, typer.Argument(help="A of y = A x: .npy, .npz, or real numbers in .csv or .txt.")],
    method: Annotated[str, typer.Option("--method", "-m", help="auto, unitary, svd, dilation, fit, ...")] = "auto",
    shape: Annotated[str | None, typer.Option("--shape", help="Pixels of a mask: 8x9, or 12 in a line.")] = None,
    phase_only: Annotated[bool, typer.Option("--phase-only", help="No mask may dim.")] = False,
    planes: Annotated[int | None, typer.Option("--planes", help="Masks at most, or of a fit.")] = None,
    gain: Annotated[float | None, typer.Option("--gain", help="Of the amplitude, at most 1/σ_max.")] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Largest relative error.")] = 1e-9,
    no_strict: Annotated[bool, typer.Option("--no-strict", help="Take a larger error, with a warning.")] = False,
    starts: Annotated[int, typer.Option("--starts", help="Random starts of a fit.")] = 4,
    iterations: Annotated[
        int | None, typer.Option("--iterations", help="Steps at most: of a fit (1000), on the bench (200).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of starts, and of benches as built.")] = 0,
    bench: Annotated[str | None, typer.Option("--bench", help="Refine on it: a .toml file, or reference.")] = None,
    bits: Annotated[int | None, typer.Option("--bits", help="Of the bench's panels.")] = None,
    stages: Annotated[int | None, typer.Option("--stages", help="Of the bench; as many as needed.")] = None,
    realisations: Annotated[
        int | None, typer.Option("--realisations", help="Benches as built, fitted together; the nominal one.")
    ] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where folders of results are.")] = Path("runs"),
    name: Annotated[str | None, typer.Option("--name", help="Of the folder; that of the file.")] = None,
    fresh: _Fresh = False,
    as_json: _Json = False,
) -> None:
    """Find masks of a lens cascade that perform a matrix, and refine them on a bench.

    Example: photonic-acdc synthesise matrix.npy --phase-only
    """
    from photonic_acdc.cli import synthesise as job
    from photonic_acdc.cli import tables

    on_bench = job.OnBench(bench, bits, stages, realisations)
    options: dict[str, Any] = {
        "method": method,
        "shape": shape,
        "phase_only": phase_only,
        "planes": planes,
        "gain": gain,
        "tolerance": tolerance,
        "strict": not no_strict,
        "starts": starts,
        "iterations": iterations,
        "seed": seed,
    }
    with _interruptible("masks that are found are kept"), _room_on_disk(), tables.progress() as report:
        card, folder, again = job.run(matrix, (directory, name), options, on_bench, fresh=fresh, report=report)
    if as_json:
        _print_json(card)
    else:
        tables.synthesis(card, folder, again=again)


@app.command()
def devices(
    name: Annotated[str | None, typer.Argument(help="A device of the catalogue, or a .toml file.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="List this kind alone, such as lens.")] = None,
    as_json: _Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the list as a page of documentation.")] = False,
) -> None:
    """List the catalogue, or the figures of one device with their sources.

    Example: photonic-acdc devices holoeye_pluto21_vis
    """
    from photonic_acdc.cli import devices as views
    from simulators.devices import load_device

    if name is None:
        found = views.of_kind(kind)
        if as_json:
            _print_json([device.to_dict() for device in found])
        elif as_markdown:
            print(views.markdown(found), end="")
        else:
            views.catalogue_list(found)
        return
    for option, given in (("--kind", kind is not None), ("--markdown", as_markdown)):
        if given:
            raise InputError(f"{option} beside the device {name!r}", allowed="the list of devices, without a name")
    device = load_device(name)
    if as_json:
        _print_json(device.to_dict())
    else:
        views.sheet(device)


def _run(config: Any, directory: Path, as_json: bool, fresh: bool = False) -> None:
    from photonic_acdc.cli import tables
    from photonic_acdc.runs import run as run_job

    with _interruptible(), _room_on_disk(), tables.progress() as report:
        card = run_job(config, directory, report=report, fresh=fresh)
    if not card:  # one of several processes, which the first speaks for
        return
    if as_json:
        _print_json(card)
    else:
        tables.summary(card, directory / config.name)


@contextlib.contextmanager
def _errors_of(config: Path) -> Iterator[None]:
    """What only shows when bench, data and folder are met still belongs to this file."""
    try:
        yield
    except InputError as error:
        raise InputError(
            f"{config}: {error.quantity}", value=error.value, allowed=error.allowed, remedy=error.remedy
        ) from None


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """The processes of ``torchrun`` as one group; torch is not loaded for one process alone."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    from photonic_acdc.training.distributed import started_together

    with started_together():
        yield


@contextlib.contextmanager
def _room_on_disk() -> Iterator[None]:
    """A disk that is full is said in one sentence; whole files stay as they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"no room on the disk ({error.strerror})", remedy="make some: the same command goes on from here"
        ) from None


@contextlib.contextmanager
def _interruptible(kept: str = "the same command goes on from here") -> Iterator[None]:
    """Ctrl-C ends with 130 and says what is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted: {kept}", file=sys.stderr)
        raise typer.Exit(130) from None


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))
