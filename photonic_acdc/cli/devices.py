"""What ``photonic-acdc devices`` prints: the catalogue, a table a kind, and one data sheet with its sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from simulators.devices import catalogue, load_device
from simulators.devices.catalogue import KINDS
from simulators.devices.catalogue import figures as words
from simulators.errors import InputError, nearest
from simulators.spec import DeviceSpec


def of_kind(kind: str | None) -> list[DeviceSpec]:
    """The devices of the catalogue of one kind (``"phase_modulator"``, ``"phase modulator"``), or all of them.

    Raises:
        InputError: no such kind, with the nearest ones, or one of which there is none.
    """
    found = [load_device(name) for name in catalogue()]
    if kind is None:
        return found
    wanted = kind.strip().lower().replace(" ", "_").replace("-", "_")
    if wanted not in KINDS:
        raise InputError("--kind", value=repr(kind), allowed=nearest(wanted, KINDS))
    found = [device for device in found if type(device) is KINDS[wanted]]
    if not found:
        raise InputError("--kind", value=repr(kind), allowed="a kind that the catalogue has devices of")
    return found


def catalogue_list(found: Sequence[DeviceSpec]) -> None:
    """The catalogue, a table a kind."""
    console = Console()
    for title, group in _grouped(found):
        columns = (Column("name", no_wrap=True), Column("nm", no_wrap=True), "key figures", "nominal")
        table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for entry in group:
            sheet = words.figures(entry)
            nominal = sum(figure.confidence == "nominal" for figure in sheet)
            stated = sum(figure.confidence is not None for figure in sheet)
            table.add_row(entry.name, words.wavelengths(entry), words.key_figures(entry), f"{nominal} of {stated}")
        console.print(table)
        console.print()
    console.print("nm: where a device may be used, or what a laser emits.")
    console.print("nominal: how many of its figures are merely usual for its class; edit them to your data sheet.")
    console.print("Every figure with its source: photonic-acdc devices NAME")


def sheet(entry: DeviceSpec) -> None:
    """One data sheet: every figure with its unit, how far to trust it, and its source by number."""
    console = Console()
    console.print(f"[bold]{escape(entry.name)}[/bold]: {entry.kind_name}, {escape(entry.vendor or 'vendor unknown')}")
    if entry.notes:
        console.print(escape(entry.notes))
    columns = (Column("figure", no_wrap=True), "value", Column("confidence", no_wrap=True))
    table = Table(*columns, Column("source", justify="right"), box=box.SIMPLE_HEAD, pad_edge=False)
    sources: dict[str, int] = {}  # most figures share one: said once, below
    for figure in words.figures(entry):
        number = sources.setdefault(figure.source, len(sources) + 1)
        table.add_row(figure.name, escape(figure.text), figure.confidence or "default", f"({number})")
    console.print(table)
    listed = Table.grid(Column(no_wrap=True), Column(), padding=(0, 1))
    for source, number in sources.items():
        listed.add_row(f"({number})", escape(source))
    console.print(listed)
    console.print(f"\nEffects on light, in their order: {', '.join(words.effects_of(entry)) or 'none'}.")


def markdown(found: Sequence[DeviceSpec]) -> str:
    """The catalogue as tables of a page of documentation, a table a kind."""
    lines: list[str] = []
    for title, group in _grouped(found):
        lines += [f"## {title}", ""]
        lines += ["| name | vendor | nm | key figures | effects | known how well |", "|---|---|---|---|---|---|"]
        for entry in group:
            effects = ", ".join(words.effects_of(entry)).replace("_", " ")
            cells = (entry.vendor or "", words.wavelengths(entry), words.key_figures(entry), effects)
            lines.append(f"| `{entry.name}` | {' | '.join(cells)} | {words.confidence(entry)} |")
        lines.append("")
    return "\n".join(lines)


def _grouped(found: Sequence[DeviceSpec]) -> Iterator[tuple[str, list[DeviceSpec]]]:
    """(heading, devices) of each kind there is, in the order the light meets them."""
    for kind in KINDS.values():
        group = [device for device in found if type(device) is kind]
        if group:
            title = group[0].kind_name.capitalize()
            yield f"{title}es" if title.endswith("s") else f"{title}s", group
