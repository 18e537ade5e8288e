"""What the command line prints: tables on standard output, progress on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from photonic_acdc.runs.stages import Report

_ROWS = {
    "ideal": "ideal layer, no devices",
    "ideal_on_bench": "  mapped exactly onto the real devices, untouched",
    "native_off": "physical masks, ideal devices",
    "on_bench": "  on the real devices, untouched",
    "noise_aware": "physical masks, trained through the devices",
}

_SIGNS = {
    "stages": "K = {}",
    "hybrid_rank": "rank {}",
    "rank": "rank {}",
    "blocks": "{} blocks",
    "block": "blocks of {}",
    "permute": "permuted",
    "activation": "ReLU",
    "phase_only": "phase only",
    "bias": "bias",
    "readout": "{} read",
    "init": "{}",
    "sigma": "σ = {:.2g}",
    "learning_rate": "rate {:.2g}",
    "a_multiplier": "A × {:.2g}",
    "d_multiplier": "D × {:.2g}",
}


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """A bar for every piece of work, on standard error; none where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", style="progress.description"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield report


def summary(card: dict[str, Any], folder: Path) -> None:
    """The results of a run."""
    results, machine = card["results"], card["run"]
    data = results["data"]
    table = Table(title=f"{data['source']}: {data['train']} to train, {data['test']} to test", title_justify="left")
    for heading in ("", "accuracy", "5th percentile", "seeds × benches"):
        table.add_column(heading, justify="left" if not heading else "right")
    for stage, label in _ROWS.items():
        if stage in results["accuracy"]:
            row = results["accuracy"][stage]
            table.add_row(label, f"{row['mean']:.2%}", f"{row['p05']:.2%}", str(row["n"]))
    console = Console()
    console.print(table)
    light = results["light"]
    console.print(
        f"Light: {results['photons_in']:.3g} photons in; x lets {light['encoding']:.1%} through, the devices pass "
        f"{light['devices']:.1%}, of which {results['efficiency']:.1%} ({results['efficiency_db']:.1f} dB) reach the "
        f"detector's modes. Judged at order {results['order']}."
    )
    memory = machine["peak_memory_bytes"]
    most = "" if memory is None else f", {memory / 1e9:.2f} GB at most"
    console.print(f"{machine['wall_s']:.0f} s{most}. Files and pictures: {folder}/")


def front(card: dict[str, Any], folder: Path) -> None:
    """The results of a search: the front from few parameters to many, then what it is compared with."""
    results = card["results"]
    data = results["data"]
    title = f"{data['source']}: {data['train']} to train, the front of {results['trials']} trials"
    table = Table(Column("layer", no_wrap=True), "settings", title=title, title_justify="left")
    for heading in ("parameters", "of dense", "validation", "test"):
        table.add_column(heading, justify="right", no_wrap=True)
    (dense,) = (row["parameters"] for row in results["references"] if row["layer"] == "dense")
    for part in ("front", "references"):
        for row in results[part]:
            spread = "" if row["test_error_sd"] is None else f" ± {row['test_error_sd']:.2%}"
            table.add_row(
                row["layer"],
                _settings(row),
                f"{row['parameters']:,}",
                f"{row['parameters'] / dense:.0%}",
                f"{row['validation_error']:.2%}",
                f"{row['test_error']:.2%}{spread}",
            )
        table.add_section()
    console = Console()
    console.print(table)
    seeds = len(results["seeds"])
    console.print(
        f"Errors on {data['validation']} rows of validation and {data['test']} of test "
        f"({seeds} training{'s' if seeds > 1 else ''}{', mean ± standard deviation' if seeds > 1 else ''}). "
        f"{card['run']['wall_s']:.0f} s. Files and pictures: {folder}/"
    )


def _settings(row: dict[str, Any]) -> str:
    """The settings of a layer in the signs of its equation; those that are off are left out."""
    return ", ".join(
        sign.format(row[name]) for name, sign in _SIGNS.items() if row.get(name) not in (None, False, "none")
    )


def study(card: dict[str, Any], folder: Path) -> None:
    """The results of a study: every method at every place, with its gain over the baseline."""
    rows: list[dict[str, Any]] = card["results"]["rows"]
    figures = ("training", "mean", "half_width", "gain", "gain_half_width", "verdict")
    places = [name for name in rows[0] if name not in figures]
    table = Table(*places, "training")
    for heading in ("accuracy", "gain", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    before = None
    for row in rows:
        place = [f"{row[name]:g}" if isinstance(row[name], float) else str(row[name]) for name in places]
        if before is not None and place != before:
            table.add_section()
        before = place
        gain = "" if row["verdict"] == "baseline" else f"{row['gain']:+.2%} ± {row['gain_half_width']:.2%}"
        accuracy = f"{row['mean']:.2%} ± {row['half_width']:.2%}"
        table.add_row(*place, row["training"], accuracy, gain, row["verdict"])
    console = Console()
    console.print(table)
    for sentence in card["results"]["conclusions"]:
        console.print(sentence)
    console.print("Intervals of 95 % over seeds, every verdict by itself.")
    console.print(f"{card['run']['wall_s']:.0f} s. Files and picture: {folder}/")


def planes_vs_error(card: dict[str, Any], folder: Path) -> None:
    """Where the matrices of every kind are reached, at every gain, beside what counting asks for."""
    table = Table("matrix")
    for heading in ("gain, of 1/σ_max", "masks by counting", "half reached with", "all reached with", "steps"):
        table.add_column(heading, justify="right")
    before = None
    for row in card["results"]["rows"]:
        if before is not None and row["kind"] != before:
            table.add_section()
        before = row["kind"]
        steps = "" if row["steps"] is None else f"{row['steps']:g}"
        many = ["none tried" if row[name] is None else str(row[name]) for name in ("planes", "planes_all")]
        table.add_row(row["kind"], f"{row['gain']:g}", str(row["bound"]), *many, steps)
    console = Console()
    console.print(table)
    console.print(
        f"Reached: relative error ≤ {card['results']['tolerance']:g}; half: the median. "
        "Steps: the median of all starts with that many masks."
    )
    console.print(f"{card['run']['wall_s']:.0f} s. Files and picture: {folder}/")


def synthesis(card: dict[str, Any], folder: Path, *, again: bool = False) -> None:
    """Masks found for a matrix, and what a bench makes of them."""
    results = card["results"]
    kind = "phase masks" if results["phase_only"] else "masks"
    light = f"{results['efficiency']:.1%} ({results['efficiency_db']:.1f} dB) of the input that the matrix favours most"
    turned = "; the image lies turned, feature k at -k" if results["turned"] else ""
    dims = results["dynamic_range"]
    contrast = "brightest over darkest pixel of a mask, amplitude: "
    rows = {
        "method": f"{results['method']}: {results['reason']}",
        "masks": f"{results['planes']} {kind} of {'x'.join(map(str, results['grid']))} pixels{turned}",
        "error": f"{results['error']:.1e}, relative",
        "gain": f"{results['gain']:.4g} ({results['gain_db']:.1f} dB)",
        "light": light,
    }
    if not results["phase_only"]:
        rows["range"] = contrast + ("a pixel is dark" if dims is None else f"{dims:.3g}")
    bench = results["bench"]
    if bench is not None:
        y, x = bench["modes"]
        before = {"exact_nmse_db": "the masks above", "rounded_nmse_db": "fitted, then rounded to levels"}
        told = [f"{what} {bench[key]:.1f} dB" for key, what in before.items() if bench[key] is not None]
        rows["bench"] = f"{bench['stages']} stages, {y}x{x} modes, {bench['light_db']:.1f} dB of light"
        error = "0" if bench["nmse_db"] is None else f"{bench['nmse_db']:.1f} dB"
        rows["NMSE there"] = error + (f" ({'; '.join(told)})" if told else "")
    table = Table(Column(no_wrap=True), Column(), title=card["name"], title_justify="left", show_header=False)
    for name, text in rows.items():
        table.add_row(name, text)
    console = Console()
    console.print(table)
    if again:
        console.print(f"All of it was there: this command has been run before. Files and pictures: {folder}/")
    else:
        console.print(f"{card['run']['wall_s']:.0f} s. Files and pictures: {folder}/")
