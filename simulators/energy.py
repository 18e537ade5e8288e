"""Where the light goes: every loss of a cascade, booked in watts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.cascade import Cascade
from simulators.devices.chain import Element
from simulators.illumination import unit_light
from simulators.random import State
from simulators.simulator import Command


@dataclass(frozen=True)
class Loss:
    """What one cause takes at one place.

    Attributes:
        address: of the device.
        cause: ``"filter"``, ``"profile"`` (light beside the modes), ``"encoding"`` (what x holds back),
            ``"transmission"`` (reflectance, coatings, relays), ``"modulation"`` (amplitude, gaps,
            orders that miss the next plane), ``"aperture"`` or ``"spill"`` (light that lands beside the next plane).
        power: W, mean over rows and realisations.
    """

    address: str
    cause: str
    power: float


@dataclass(frozen=True)
class Books:
    """The light of one cascade, from the laser to the detector.

    Attributes:
        emitted: W, by the laser.
        detected: W, in the modes of the detector.
        losses: in the order the light meets them; with ``detected`` they sum to ``emitted``.
    """

    emitted: float
    detected: float
    losses: tuple[Loss, ...]

    def by(self, key: str) -> dict[str, float]:
        """Watts lost, summed by ``"cause"`` or by ``"address"``."""
        totals: dict[str, float] = {}
        for loss in self.losses:
            name = getattr(loss, key)
            totals[name] = totals.get(name, 0.0) + loss.power
        return totals


@torch.no_grad()
def energy_books(simulator: Cascade, commands: Sequence[Command], values: Tensor, state: State) -> Books:
    """Book the light of ``values`` ``[R or 1, B, y, x]`` (|values| ≤ 1) through ``simulator``, with its mean ripple.

    Every entry is the power in front less the power behind, so the books balance to rounding; what the entries say is
    which cause took it.
    """
    bench = simulator.bench
    elements = {element.address: element for element in bench.elements(simulator.stages)}
    exposure = elements["detector"].read_base(state, "exposure")
    watts = 1 / (exposure.mean().item() * bench.source.photons_per_joule())
    losses: list[Loss] = []
    left = bench.source.power

    def book(address: str, cause: str, power: float) -> None:
        nonlocal left
        if left != power:
            losses.append(Loss(address, cause, left - power))
        left = power

    def seen(address: str):
        return lambda cause, field: book(address, cause, _power(field) * watts)

    book("source", "filter", bench.photons_in(state).mean().item() * watts)
    lit = unit_light(bench, torch.ones_like(values[..., :1, :, :].real), state)
    book("source", "profile", _power(lit) * watts)
    field = simulator.illuminate(values, state)
    shares = [_passed(elements[name], state) for name in ("input", "input.phase", "input.relay") if name in elements]
    passed = 1.0
    for share in shares:
        passed *= share
    book("input", "encoding", _power(field) * watts / passed if passed else 0.0)
    book("input", "transmission", _power(field) * watts)
    masks = simulator.masks(commands, state, None, None)
    field = simulator.enter(field, state)
    book("input", "spill", _power(field) * watts)
    for j, (mask, crossing) in enumerate(zip(masks, simulator.crossings(state, field), strict=True)):
        address = f"stage[{j // 2}].mask[{j % 2}]"
        names = (address, f"{address}.amplitude", f"{address}.relay")
        share = 1.0
        for name in names:
            if name in elements:
                share *= _passed(elements[name], state)
        book(address, "transmission", left * share)
        field = mask(field)
        book(address, "modulation", _power(field) * watts)
        field = crossing(field, seen(f"stage[{j // 2}].lens[{j % 2}]"))
    return Books(bench.source.power, _power(field) * watts, tuple(losses))


def _passed(element: Element, state: State) -> float:
    return element.read(state, "loss", "transmission").mean().item() if element.has("loss") else 1.0


def _power(field: Tensor) -> float:
    """Photons a row, mean over rows and realisations."""
    return (field.abs().double() ** 2).sum((-2, -1)).mean().item()
