"""Which points are worth having: those that no other point beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulators.errors import InputError


def pareto_front(error: ArrayLike, parameters: ArrayLike) -> NDArray[np.bool_]:
    """Which points are Pareto-optimal, both figures to be small: O(n log n).

    A point is off the front if another is no worse in both figures and better in one; of equal points the first is on.
    A figure that is NaN keeps its point off.

    Args:
        error: ``[n]``.
        parameters: ``[n]``.

    Returns:
        ``[n]``, true on the front.

    Raises:
        InputError: lengths that differ, or more than one axis.
    """
    error, parameters = np.asarray(error, dtype=float), np.asarray(parameters, dtype=float)
    if error.ndim != 1 or error.shape != parameters.shape:
        raise InputError("pareto_front", value=f"{error.shape} and {parameters.shape}", allowed="two figures a point")
    on = np.zeros(len(error), dtype=bool)
    least = np.inf
    # From few parameters to many, a point counts where it lowers the error.
    for i in np.lexsort((error, parameters)):
        if error[i] < least and not np.isnan(parameters[i]):
            on[i], least = True, error[i]
    return on
