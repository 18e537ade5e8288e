"""Where a result comes from: the attributes every dataset carries."""

from __future__ import annotations

import datetime
import platform
from typing import Any

import numpy as np
import torch

import photonic_acdc


def versions() -> dict[str, str]:
    """Versions that decide the last bit of a number, the CPU's vector instructions among them."""
    return {
        "photonic_acdc": photonic_acdc.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def attributes(title: str, **figures: Any) -> dict[str, Any]:
    """Standard attributes of a dataset: title, versions, date (UTC), and what it was computed with."""
    return {
        "title": title,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **{f"version_{name}": version for name, version in versions().items()},
        **figures,
    }
