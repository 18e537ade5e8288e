"""How many fields a cascade holds at its peak: ``python -m benchmarks.memory PASS KERNEL FEATURES`` prints it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from photonic_acdc.layers import AFDF

SAMPLES = 2**21
STAGES = 12


def extra_fields(what: str, kernel: str, features: int) -> float:
    """Growth of a new process's peak memory over the fields any such call has, in fields of 2M complex numbers.

    Args:
        what: ``"inference"`` (beside input and output) or ``"training"`` (beside these and their gradients).
        kernel: of an AFDF cascade with phase-only masks.
        features: N.
    """
    command = [sys.executable, "-m", "benchmarks.memory", what, kernel, str(features)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure(what: str, kernel: Any, features: int) -> float:
    torch.set_num_threads(2)
    layer = AFDF(features, STAGES, phase_only=True)
    layer.kernel = kernel

    def call(x: torch.Tensor, cotangent: torch.Tensor) -> None:
        if what == "inference":
            with torch.no_grad():
                layer(x)
        else:
            layer(x.requires_grad_()).backward(cotangent)

    small = torch.randn(2, features, dtype=torch.complex64)
    call(small, small.clone())  # what libraries allocate once
    # Made last, so that the process is at its peak when the call starts.
    x = torch.randn(SAMPLES // features, features, dtype=torch.complex64)
    cotangent = torch.ones_like(x)
    before = peak()
    call(x, cotangent)
    # The output; in training also the gradient of the input.
    return (peak() - before) / (x.numel() * x.element_size()) - (1 if what == "inference" else 2)


def peak() -> int:
    """Largest resident size of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss begins with what the parent process had
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


if __name__ == "__main__":
    print(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
