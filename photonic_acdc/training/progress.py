"""Progress of a training, for a person who waits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Progress = Callable[[int, int, dict], None]
"""Called after every epoch: epochs done, epochs in all, the epoch's figures."""

Step = Callable[[int, int], None]
"""Called after every step: steps done, steps in all."""


@contextlib.contextmanager
def bar() -> Iterator[tuple[Step, Progress]]:
    """A bar of steps on standard error, beside it the last epoch's figures; none where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)

        def step(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        def epoch(done: int, total: int, figures: dict) -> None:
            told = (
                f"{name} {figures[name]:.4g}" for name in ("loss", "accuracy", "validation_loss") if name in figures
            )
            bars.update(task, description=f"epoch {done}/{total}: {', '.join(told)}")

        yield step, epoch
