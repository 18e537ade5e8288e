"""What training leaves behind: the model, and figures an epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import xarray as xr

_FIGURES = {
    "loss": ("training loss", "1"),
    "penalty": ("part of the loss that methods add", "1"),
    "accuracy": ("training accuracy", "1"),
    "validation_loss": ("validation loss", "1"),
    "validation_accuracy": ("validation accuracy", "1"),
    "efficiency": ("light at the detector's modes", "1"),
    "power": ("share of the laser's power that is used", "1"),
    "gradient_norm": ("norm of the gradient before clipping, mean over the steps", "1"),
    "learning_rate": ("learning rate", "1"),
}


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves behind.

    Attributes:
        model: the trained module, in eval mode; the one that was given, changed in place.
        history: figures an epoch.
        best_epoch: with early stopping, the epoch (from 1) whose weights the model has; else None.
    """

    model: nn.Module
    history: list[dict]
    best_epoch: int | None = None

    def dataset(self) -> xr.Dataset:
        """The history as an ``xarray.Dataset`` over ``epoch``."""
        import xarray as xr

        return xr.Dataset(
            {
                name: (
                    "epoch",
                    [float(row.get(name, math.nan)) for row in self.history],
                    {"long_name": long, "units": unit},
                )
                for name, (long, unit) in _FIGURES.items()
                if any(name in row for row in self.history)
            },
            coords={"epoch": ("epoch", range(1, len(self.history) + 1), {"long_name": "epoch", "units": "1"})},
            attrs={} if self.best_epoch is None else {"best_epoch": self.best_epoch},
        )
