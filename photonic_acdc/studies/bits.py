"""How many levels a phase panel needs, and what training can do with few.

*Post-training*: masks trained through virtual benches whose panels are continuous, then rounded. The others meet the
same benches with the levels on: *straight-through*, rounded with the gradient of the unrounded phase; *learned stroke*,
where in addition the stroke, hence the step, is learnt (LSQ); *soft levels*, where every level weighs in by its
distance, and a falling temperature makes the nearest one win. The last place of the axis is a mirror panel of 16 uneven
levels.

Source: Bengio et al., arXiv:1308.3432; Esser et al., arXiv:1902.08153 (LSQ).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from photonic_acdc.config import Count
from photonic_acdc.optical import rebind
from photonic_acdc.optical.ranges import learn_ranges
from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import About, Point, against, conclusions
from photonic_acdc.training.annealing import AnnealedLevels
from simulators.bench import Bench
from simulators.effects.level_tables import PLM_P67
from simulators.spec import Positive

if TYPE_CHECKING:
    import xarray as xr

ABOUT = About("Levels of the phase panels", "levels", "levels of the phase panels")
MIRRORS = "16 uneven"


class Options(Base):
    """Which panels, and how soft levels are annealed."""

    bits: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 3, 4, 6, 8)
    mirrors: bool = True  #: whether a panel of 16 uneven levels is tried
    soft_start: Positive = 0.3  #: temperature in squared steps of the panel, at the start
    soft_stop: Positive = 0.003  #: at the end

    def quick(self) -> Self:
        """Two depths."""
        return self.replace(bits=self.bits[:2], mirrors=False)

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """The panels carry so many bits."""
        for bits in self.bits:
            bench.with_levels(bits=bits)


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of every method at every number of levels, all other errors of the bench on."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    places: dict[str, Bench] = {
        str(2**bits): laboratory.bench.with_levels(bits=bits, input_too=False) for bits in options.bits
    }
    if options.mirrors:
        places[MIRRORS] = laboratory.bench.with_levels(levels=PLM_P67)
    continuous = laboratory.bench.with_levels(bits=None)
    plain = laboratory.train("continuous", laboratory.optical(continuous), noise_mode="sample")
    found = []
    for at, bench in places.items():
        key = at.replace(" ", "-")
        step = (2 * math.pi / (16 if at == MIRRORS else int(at))) ** 2
        straight, lsq, soft = (laboratory.optical(bench) for _ in range(3))
        learn_ranges(lsq, "stroke")
        annealed = AnnealedLevels(options.soft_start * step, options.soft_stop * step)
        models = {
            "ideal-trained": laboratory.ideal(bench),
            "post-training": rebind(plain, bench),
            "straight-through": laboratory.train(f"straight-{key}", straight, noise_mode="sample"),
            "learned stroke": laboratory.train(f"lsq-{key}", lsq, noise_mode="sample"),
            "soft levels": laboratory.train(f"soft-{key}", soft, noise_mode="sample", methods=[annealed]),
        }
        found += [Point(method, at, laboratory.accuracies(model)) for method, model in models.items()]
    return found


def conclude(found: xr.Dataset) -> list[str]:
    """Against masks trained without devices, and against masks that were rounded after training."""
    trained = found.sel(training=found["training"] != ABOUT.baseline)
    return conclusions(found) + conclusions(against(trained, "post-training"))
