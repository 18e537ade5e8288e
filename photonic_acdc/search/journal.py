"""Optuna's journal, kept a whole trial at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from photonic_acdc.storage import write_text


class Journal(BaseJournalBackend):
    """What a study did, in the file format of Optuna's own ``JournalFileBackend``, which can read it.

    What is logged stays in memory until :meth:`keep` writes the file, whole or not at all. So a process that is killed
    leaves neither a torn line, nor a lock, nor a trial that is running for ever: only whole trials. For one process.

    Args:
        path: of the file; taken up if it exists.
    """

    def __init__(self, path: Path):
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._logs: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Everything from that entry on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Remember, as the file would give it back."""
        self._logs.extend(json.loads(json.dumps(logs)))

    def keep(self) -> None:
        """Write the file."""
        write_text(self._path, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in self._logs))
