"""What a calibration has found, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from photonic_acdc.calibration.degeneracy import Degeneracy
from photonic_acdc.calibration.figures import Figure
from photonic_acdc.calibration.least_squares import explained
from photonic_acdc.provenance import attributes

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Calibration:
    """Figures of one bench as measured; see :func:`photonic_acdc.calibration.calibrate`.

    Attributes:
        figures: what was looked for, p numbers.
        values: found, SI, float64 ``[p]``.
        standard_errors: of them, ``[p]``; infinite where the frames do not determine a figure by itself.
        covariance: of them, ``[p, p]``; NaN in rows and columns of figures that are not determined.
        degeneracies: what is determined instead.
        singular_values: of the whitened Jacobian, every figure in its own scale, descending.
        chi_squared: sum of the squared residuals, each in units of its noise.
        degrees_of_freedom: readings less directions determined.
        saturated: share of the readings at full scale, which were left out.
        converged: whether the last step was below a tenth of a standard error in every direction.
        state: the figures as :func:`photonic_acdc.noise` takes them, ``overrides=found.state``, ``[1, 1, …]``.
    """

    figures: tuple[Figure, ...]
    values: Tensor
    standard_errors: Tensor
    covariance: Tensor
    degeneracies: tuple[Degeneracy, ...]
    singular_values: Tensor
    chi_squared: float
    degrees_of_freedom: int
    saturated: float
    converged: bool
    state: Mapping[str, Tensor]

    @property
    def reduced_chi_squared(self) -> float:
        """1 where bench and noise are as simulated; more where the simulator lacks something."""
        return self.chi_squared / self.degrees_of_freedom

    @property
    def explained(self) -> bool:
        """Whether noise alone explains χ²; if not, simulator and figures lack something, or the search missed it."""
        return explained(self.chi_squared, self.degrees_of_freedom)

    def note(self, row: int) -> str:
        """What to know about one figure."""
        figure = self.figures[row]
        for degeneracy in self.degeneracies:
            if figure.label in degeneracy.figures:
                others = [label for label in degeneracy.figures if label != figure.label]
                if not others:
                    return "without influence on these frames"
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                return f"frames do not tell it from {others[0]}{more}"
        if figure.spread is not None and float(self.standard_errors[row]) > figure.spread:
            return "frames say less than was known"
        return ""

    @property
    def report(self) -> xr.Dataset:
        """Per ``figure``: ``estimate``, ``standard_error``, ``nominal``, ``spread``, ``determined``, ``note``;
        ``covariance`` over pairs."""
        import numpy as np
        import xarray as xr

        rows = range(len(self.figures))
        nan = float("nan")
        mixed = "SI, see unit"
        columns = {
            "estimate": (self.values.numpy(), "figure found", mixed),
            "standard_error": (self.standard_errors.numpy(), "standard error", mixed),
            "nominal": ([figure.nominal for figure in self.figures], "figure without error", mixed),
            "spread": ([nan if f.spread is None else f.spread for f in self.figures], "spread over benches", mixed),
            "determined": (np.isfinite(self.standard_errors.numpy()), "determined by itself", "1"),
            "unit": ([figure.unit for figure in self.figures], "unit", "1"),
            "note": ([self.note(row) for row in rows], "what to know", "1"),
        }
        labels = [figure.label for figure in self.figures]
        about = {"long_name": "figure", "units": "1"}
        return xr.Dataset(
            {name: ("figure", values, {"long_name": long, "units": u}) for name, (values, long, u) in columns.items()}
            | {
                "covariance": (
                    ("figure", "figure_"),
                    self.covariance.numpy(),
                    {"long_name": "covariance", "units": "product of the figures' units"},
                )
            },
            coords={"figure": ("figure", labels, about), "figure_": ("figure_", labels, about)},
            attrs=attributes(
                "Calibration of a bench",
                chi_squared=self.chi_squared,
                degrees_of_freedom=self.degrees_of_freedom,
                saturated=self.saturated,
                converged=int(self.converged),
                degeneracies=[degeneracy.text for degeneracy in self.degeneracies],
            ),
        )

    def __str__(self) -> str:
        width = max(len(figure.label) for figure in self.figures)
        lines = [
            f"Calibration of {len(self.figures)} figures; χ² = {self.chi_squared:.1f} for {self.degrees_of_freedom} "
            f"degrees of freedom{'' if self.converged else '; not converged'}"
            f"{'' if self.explained else '; more than noise explains: figures are missing, or starts'}"
        ]
        for row, figure in enumerate(self.figures):
            unit = "" if figure.unit == "1" else f" {figure.unit}"
            value, error = float(self.values[row]), float(self.standard_errors[row])
            note = self.note(row)
            lines.append(
                f"  {figure.label:{width}}  {value:12.5g} ± {error:.2g}{unit}{'  ' if note else ''}{note}".rstrip()
            )
        return "\n".join([*lines, *(f"  {degeneracy.text}" for degeneracy in self.degeneracies)])
