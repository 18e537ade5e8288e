"""The mode of every single effect, and what it means for the draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from photonic_acdc.optical.cascade import OpticalCascade
from photonic_acdc.optical.noise import PRESETS, Mode, Noise
from simulators.devices.chain import EffectRef
from simulators.elements import matches
from simulators.errors import InputError
from simulators.random import Realisations, State

#: Kinds that are drawn once a bench; the others that are drawn at all are drawn every exposure.
STATIC = ("process", "mismatch", "drift")


def effect_names(cascade: OpticalCascade) -> list[tuple[str, str]]:
    """Every effect of a cascade, without and with the cascade's own address before it."""
    return [(str(effect), cascade.address + str(effect)) for effect in cascade.bench.effects(cascade.stages)]


def modes_of(cascade: OpticalCascade, mode: Mode, chosen: Mapping[str, Mode]) -> dict[str, Mode]:
    """Effect → mode, ``mode`` but for those that ``chosen`` names; empty where it names none."""
    if not chosen:
        return {}
    found: dict[str, Mode] = {}
    for single, full in effect_names(cascade):
        wanted: list[Mode] = [
            chosen[pattern] for pattern in chosen if matches(pattern, single) or matches(pattern, full)
        ]
        found[single] = wanted[-1] if wanted else mode
    return found


def switched_noise(mode: Mode, modes: Mapping[str, Mode], effects: Iterable[EffectRef]) -> Noise:
    """What a cascade is to simulate, before its draws; ``modes`` as of :func:`modes_of`."""
    if not modes:
        static, dynamic = PRESETS[mode]
        return Noise(static=static, dynamic=dynamic)
    each = {str(effect): (effect.kind, modes[str(effect)]) for effect in effects}
    on = tuple(name for name, (_, single) in each.items() if single != "off")
    drawn = any(kind in STATIC and single in ("frozen", "sample") for kind, single in each.values())
    shots = any(kind in ("dynamic", "history") and single == "sample" for kind, single in each.values())
    still = (name for name, (kind, single) in each.items() if kind in ("dynamic", "history") and single != "sample")
    return Noise(
        static="drawn" if drawn else "nominal",
        dynamic="drawn" if shots else "expected",
        on=None if len(on) == len(each) else on,
        expected=frozenset(still) if shots else frozenset(),
    )


def static_errors(
    cascade: OpticalCascade, draws: Realisations, modes: Mapping[str, Mode], scale: Mapping[str, float]
) -> State:
    """The figures of the benches as built, of those effects that are drawn, with their spreads scaled.

    Raises:
        InputError: zones of one panel that would differ in an error they share.
    """
    bench, stages = cascade.bench, cascade.stages
    if not modes and not scale:
        return draws.draw(bench, stages, prefix=cascade.address)
    factors = _factors(cascade, modes, scale)

    def normal(place: str, effect: str, shape: tuple[int, ...]) -> Tensor:
        factor = factors.get((place, effect), 1.0)
        values = draws.normal(place, effect, shape)
        return values * factor if factor != 1 else values

    return bench.draw(stages, normal, prefix=cascade.address, time=draws.time)


def _factors(
    cascade: OpticalCascade, modes: Mapping[str, Mode], scale: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """(place of the draw, effect) → factor on its values."""
    found: dict[tuple[str, str], float] = {}
    for element in cascade.bench.elements(cascade.stages):
        for link in element.links:
            name, home = f"{element.address}.{link.name}", element.home(link)
            if link.kind not in STATIC or modes.get(name) == "off":  # absent, whatever its figure is
                continue
            factor = 0.0 if modes.get(name) == "mean" else 1.0
            for pattern, share in scale.items():
                if matches(pattern, name) or matches(pattern, cascade.address + name):
                    factor *= share
            key = (home if home == element.panel else cascade.address + home, link.name)
            if found.setdefault(key, factor) != factor:
                raise InputError(
                    f"noise: {link.name} of {home}",
                    value="different for zones that share it",
                    allowed="one mode and one scale for all zones of a panel",
                    remedy=f"the pattern '*.{link.name}', or zones without a common panel",
                )
    return found
