r"""A cheap ``Pixel`` for panels with fringing and gaps: uniform macro-pixels that show what they show on average.

Of the structure inside macro-pixels, one value each is kept, linear in what the panel is told:

.. math:: \bar t_k = g\,t_k + s \sum_{\text{sides}} t_n + c \sum_{\text{corners}} t_n + a

an envelope g, a kernel (s, c) from the neighbours, and a leak a, fitted to the mask as ``Wave`` draws it. It costs a
fraction of the full q²×q² matrices and takes most of the error away that comes of ignoring the structure.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.devices.free_space import FreeSpace
from simulators.devices.lens import Lens
from simulators.devices.modulator import PhaseModulator
from simulators.effective_mask import Effective, neighbours
from simulators.errors import InputError
from simulators.simulator import Command
from simulators.wave import Wave


@torch.no_grad()
def effective_masks(bench: Bench, *, patterns: int = 8, seed: int = 0) -> tuple[Effective, Effective]:
    """Fit both panels of a stage to ``Wave``, on random phases over the whole range.

    Args:
        bench: whose panels have fringing or gaps; other effects are switched off for the fit.
        patterns: random patterns to fit to; as many again measure what is left.
        seed: of the patterns.

    Returns:
        Of masks A and D of a stage, with the error that each fit leaves.

    Raises:
        InputError: a bench with neither.

    Not modelled: kernels that are not even. Either side counts the same, so that with a lopsided fringing kernel a
    tenth of the power may be left over; :attr:`Effective.error` says how much is.
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
    alone = _with_lenses(bench).only(*kept)
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
            sides, corners = neighbours(told)
            columns = torch.stack([told, sides, corners, torch.ones_like(told)], -1).reshape(-1, 4)
            rows[i].append((columns, means.reshape(-1)))
    return _fit(rows[0]), _fit(rows[1])


def inside_pixels(bench: Bench) -> list[str]:
    """Patterns of the effects on ``bench`` that act inside the macro-pixels of its masks.

    Raises:
        InputError: a chequerboard or two added panels, which no one value a macro-pixel stands for.
    """
    found = []
    for i in (0, 1):
        place = bench.stage[2 * i]
        if place.modulation in ("two_phase", "double_phase"):
            raise InputError(
                f"stage[{2 * i}]: effective masks of a panel that shows complex values by {place.modulation}",
                allowed="phase alone, or an amplitude panel in tandem",
                remedy="Pixel in full",
            )
        device = place.device
        assert isinstance(device, PhaseModulator)
        element = bench.element(1, f"stage[0].mask[{i}]")
        if element.has("crosstalk"):
            found.append(f"stage[*].mask[{i}].crosstalk")
        if element.has("fill") and device.fill_model != "throughput":
            found.append(f"stage[*].mask[{i}].fill")
    return found


def _with_lenses(bench: Bench) -> Bench:
    """Of the bench its panels, between spherical lenses: what they show does not depend on what is between them."""
    reach = bench.focal_lengths
    lenses = [Lens(name="lens", focal_length=f, diameter=100 * f) for f in reach]
    stage = tuple(
        place.replace(device=lenses[j // 2]) if isinstance(place.device, Lens | FreeSpace) else place
        for j, place in enumerate(bench.stage)
    )
    rows, columns = bench.modes
    # Rows that were imaged may be more than a spherical lens can take.
    return bench.replace(
        stage=stage, modes=bench.modes if 0 in bench.transformed_axes else (min(rows, columns), columns)
    )


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
