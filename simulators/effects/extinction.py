"""Light that an amplitude panel cannot block."""

from __future__ import annotations

from torch import Tensor

from simulators.effects.limits import check_figure


def extinction(amplitude: Tensor, floor: Tensor | float) -> Tensor:
    r"""Amplitude with a coherent floor: :math:`a' = a + (1 - a) f` for :math:`f = 10^{-ER_{dB}/20}`.

    Passive for a in [-1, 1]: a' runs from -1 + 2f (0 → f) to 1.

    Args:
        amplitude: a, in [0, 1], or [-1, 1] for a bipolar panel.
        floor: f, field amplitude of the dark state, 0 to 1.

    Raises:
        InputError: a floor beyond 0 to 1.
    """
    check_figure("dark amplitude", floor, 0, 1)
    return amplitude + (1 - amplitude) * floor
