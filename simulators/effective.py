r"""A cheap ``Pixel`` for panels with fringing and gaps: uniform macro-pixels that show what they show on average.

Of the structure inside macro-pixels, one value each is kept, linear in what the panel is told:

.. math:: \bar t_k = g\,t_k + s \sum_{\text{sides}} t_n + c \sum_{\text{corners}} t_n + a

an envelope g, a kernel (s, c) from the neighbours, and a leak a, fitted to the mask as ``Wave`` draws it. It costs a
fraction of the full q²×q² matrices and takes most of the error away that comes of ignoring the structure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.errors import InputError
from simulators.simulator import Command
from simulators.wave import Wave

_PATTERNS = ("*.crosstalk", "*.fill")


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
        sides, corners = _neighbours(transmission)
        return self.envelope * transmission + self.side * sides + self.corner * corners + self.leak


@torch.no_grad()
def effective_masks(bench: Bench, *, patterns: int = 8, seed: int = 0) -> tuple[Effective, Effective]:
    """Fit both panels of a stage to ``Wave``, on random phases over the whole range.

    Args:
        bench: whose panels have fringing or gaps; other effects are switched off for the fit.
        patterns: random patterns to fit to; as many again measure what is left.
        seed: of the patterns.

    Raises:
        InputError: a bench with neither.
    """
    kept = inside_pixels(bench)
    if not kept:
        raise InputError(
            "effective_masks: effects inside the macro-pixels of this bench",
            value="none",
            allowed="fringing or gaps",
            remedy="crosstalk_fwhm or fill_model on a phase panel; Pixel needs no calibration without",
        )
    # Two stages: of the second one's masks both act on light that is sampled.
    alone = bench.only(*kept)
    wave, state = Wave(alone, 2, order=1), alone.nominal(2)
    generator = torch.Generator().manual_seed(seed)
    rows: tuple[list, list] = ([], [])
    for _ in range(2 * patterns):
        commands = [
            Command(2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))
            for shape in wave.command_shapes
        ]
        for i in (0, 1):
            told, means = commands[2 + i].field(), wave.means(commands, state)[2 + i][0, 0]
            sides, corners = _neighbours(told)
            columns = torch.stack([told, sides, corners, torch.ones_like(told)], -1).reshape(-1, 4)
            rows[i].append((columns, means.reshape(-1)))
    return _fit(rows[0]), _fit(rows[1])


def inside_pixels(bench: Bench) -> list[str]:
    """Patterns of the effects on ``bench`` that act inside macro-pixels."""
    names = [str(effect) for effect in bench.effects(1)]
    return [pattern for pattern in _PATTERNS if any(name.endswith(pattern[1:]) for name in names)]


def _fit(rows: list[tuple[Tensor, Tensor]]) -> Effective:
    half = len(rows) // 2
    (seen, target), (unseen, truth) = (
        tuple(torch.cat(part) for part in zip(*chosen, strict=True)) for chosen in (rows[:half], rows[half:])
    )
    found = torch.linalg.lstsq(seen, target[:, None]).solution[:, 0]
    # Passive whatever is shown; of the light this takes a per cent or two where it acts.
    bound = (found.abs() * torch.tensor([1.0, 4.0, 4.0, 1.0])).sum()
    found = found / bound.clamp(min=1)
    power = truth.abs().square().sum()
    error, ignored = ((guess - truth).abs().square().sum() / power for guess in (unseen @ found, unseen[:, 0]))
    envelope, side, corner, leak = found.tolist()
    return Effective(envelope, side, corner, leak, float(error), float(ignored))


def _neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the four sides and the four corners; beyond the edge the edge pixel goes on."""
    rows = torch.cat([values[..., :1, :], values, values[..., -1:, :]], -2)
    wide = torch.cat([rows[..., :1], rows, rows[..., -1:]], -1)
    up, down, middle = wide[..., :-2, :], wide[..., 2:, :], wide[..., 1:-1, :]
    sides = up[..., 1:-1] + down[..., 1:-1] + middle[..., :-2] + middle[..., 2:]
    corners = up[..., :-2] + up[..., 2:] + down[..., :-2] + down[..., 2:]
    return sides, corners
