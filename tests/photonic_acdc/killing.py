"""The program in a process of its own that kills itself at a chosen moment: what a power cut does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

#: The n-th rename onto a path that matches, or the n-th call of what ``counted`` is told of, is the last one.
DRIVER = """
import fnmatch, os, signal, sys

pattern, nth, moment, *arguments = sys.argv[1:]
count, rename = 0, os.replace


def counted(hit):
    global count
    count += hit
    return hit and count == int(nth)


def strike():
    os.kill(os.getpid(), signal.SIGKILL)


def replace(source, target):
    now = counted(fnmatch.fnmatch(str(target), "*/" + pattern))
    if now and moment == "before":
        strike()
    rename(source, target)
    if now and moment == "after":
        strike()


os.replace = replace
from photonic_acdc.cli.main import entry
import photonic_acdc.runs

{more}
print("begins", flush=True)
sys.argv = ["photonic-acdc", *arguments]
entry()
"""


def begin(
    place: Path, arguments: list[str], pattern: str = "", nth: int = 1, moment: str = "never", more: str = ""
) -> subprocess.Popen:
    """Start the command in ``place``; returns when its work begins.

    Args:
        place: folder to work in.
        arguments: of ``photonic-acdc``.
        pattern: of the path whose n-th writing is the last, ``"parts/*.nc"``; empty: none.
        nth: n.
        moment: ``"before"`` or ``"after"`` the rename.
        more: further statements that may call ``counted`` and ``strike``.
    """
    (place / "driver.py").write_text(DRIVER.replace("{more}", more))
    return started(place, "driver.py", pattern, str(nth), moment, *arguments)


def started(place: Path, *arguments: str) -> subprocess.Popen:
    """Python with these arguments in ``place``, once it has said that its work begins."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=place,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def assert_struck(process: subprocess.Popen) -> None:
    """Wait for the end, which is to be SIGKILL."""
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"was not struck: {err}"
