r"""What a mask's macro-pixels show on average, where structure inside them is not resolved.

.. math:: \bar t_k = g\,t_k + s \sum_{\text{sides}} t_n + c \sum_{\text{corners}} t_n + a
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Effective:
    """What one panel's macro-pixels show on average; the weights' sizes sum to at most 1, so that it cannot amplify.

    Attributes:
        envelope: g.
        side: s.
        corner: c.
        leak: a.
        error: NMSE of the macro-pixels' means that the fit leaves, on patterns it has not seen.
        ignored: the same of uniform macro-pixels that show what they are told.
    """

    envelope: complex
    side: complex
    corner: complex
    leak: complex
    error: float
    ignored: float

    def __call__(self, transmission: Tensor) -> Tensor:
        """The mean of every macro-pixel, for uniform ``transmission [..., y, x]``."""
        sides, corners = neighbours(transmission)
        return self.envelope * transmission + self.side * sides + self.corner * corners + self.leak


def neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the four sides and the four corners; beyond the edge the edge pixel goes on."""
    rows = torch.cat([values[..., :1, :], values, values[..., -1:, :]], -2)
    wide = torch.cat([rows[..., :1], rows, rows[..., -1:]], -1)
    up, down, middle = wide[..., :-2, :], wide[..., 2:, :], wide[..., 1:-1, :]
    sides = up[..., 1:-1] + down[..., 1:-1] + middle[..., :-2] + middle[..., 2:]
    corners = up[..., :-2] + up[..., 2:] + down[..., :-2] + down[..., 2:]
    return sides, corners
