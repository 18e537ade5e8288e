"""Complex masks on real panels: what each way of modulation makes of them, and what it costs in light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simulators.bench import Bench
from simulators.devices.show import show
from simulators.devices.surface import surface_of
from simulators.errors import InputError
from simulators.placed import Modulation, Placed
from simulators.random import State

if TYPE_CHECKING:
    import xarray as xr

MODULATIONS: tuple[Modulation, ...] = ("phase_only", "tandem", "two_phase", "double_phase")


@torch.no_grad()
def compare_modulations(bench: Bench, mask: Tensor, *, amplitude_panel: str | None = None, seed: int = 0) -> xr.Dataset:
    r"""Show one complex mask in every way the first mask's panel can, with all its effects on.

    .. math:: \epsilon = \min_c \frac{\sum_k |m_k - c\,\bar t_k|^2}{\sum_k |m_k|^2}, \quad
        \eta = \frac{1}{N}\sum_k |\bar t_k|^2

    with :math:`\bar t_k` the mean of macro-pixel k: what goes on to the next plane's zone, a stop for the rest.

    Args:
        bench: whose ``stage[0]`` panel, macro-pixel and relay are used.
        mask: m, complex, |m| ≤ 1, of the first mask's size ``[y, x]``.
        amplitude_panel: catalogue name of the amplitude panel of ``"tandem"``; None: the input's own.
        seed: of the static errors drawn.

    Returns:
        Dataset over ``modulation``: ``error``, ``efficiency``, and ``loss_dB`` against a mask without losses.

    Raises:
        InputError: a mask of another size or beyond the unit circle; macro-pixels too small for a chequerboard.
    """
    import xarray as xr

    from simulators.random import Realisations

    if tuple(mask.shape) != bench.modes:
        raise InputError("mask", value=f"{tuple(mask.shape)} values", allowed=f"{bench.modes}, one a macro-pixel")
    if mask.abs().max() > 1 + 1e-9:
        raise InputError("mask", value=f"|m| up to {mask.abs().max():.3g}", allowed="|m| ≤ 1: panels are passive")
    rows = []
    for modulation in MODULATIONS:
        placed = _placed(bench, modulation, amplitude_panel)
        changed = bench.replace(stage=(placed, *bench.stage[1:]))
        state = Realisations(seed, (0,)).draw(changed, 1)
        means = _means(changed, placed, mask, state)
        overlap = (means.conj() * mask).sum().abs() ** 2
        power = means.abs().square().sum()
        error = 1 - float(overlap / (power * mask.abs().square().sum()))
        rows.append((error, float(power / mask.numel())))
    errors, efficiencies = zip(*rows, strict=True)
    ideal = float(mask.abs().square().mean())
    decibels = [10 * torch.log10(torch.tensor(e / ideal)).item() for e in efficiencies]
    return xr.Dataset(
        {
            "error": ("modulation", list(errors), {"long_name": "squared error of the mask", "units": "1"}),
            "efficiency": ("modulation", list(efficiencies), {"long_name": "light that goes on", "units": "1"}),
            "loss_dB": ("modulation", decibels, {"long_name": "light against the mask's own |m|²", "units": "dB"}),
        },
        coords={"modulation": list(MODULATIONS)},
        attrs={"panel": bench.stage[0].device.name, "bench": bench.name},
    )


def _placed(bench: Bench, modulation: Modulation, amplitude_panel: str | None) -> Placed:
    place = bench.stage[0]
    alone = place.replace(companion=None, relay=None, double_phase=False)
    if modulation == "phase_only":
        return alone
    if modulation == "double_phase":
        return alone.replace(double_phase=True)
    relay = place.relay or bench.input.relay
    companion = (amplitude_panel or bench.input.device) if modulation == "tandem" else place.device
    return alone.replace(companion=companion, relay=relay)


def _means(bench: Bench, place: Placed, mask: Tensor, state: State) -> Tensor:
    """Mean transmission of every macro-pixel, ``[y, x]``."""
    elements = {element.address: element for element in bench.elements(1)}
    element = elements["stage[0].mask[0]"]
    surface = surface_of(element, place.macro_pixel, chequered=place.double_phase)
    amplitude = None if place.modulation == "phase_only" else mask.abs()
    shown = show(elements, element, mask.angle(), amplitude, state, surface=surface)
    return (shown if surface is None else surface.mean(shown))[0, 0]
