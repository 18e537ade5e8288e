"""Masks trained for a perfect bench, refitted to a crooked one, or vaccinated against all of them.

*Refitted*: the figures of one bench are known (measured), and its masks are fitted again: moved by whole native pixels,
then their phases. *Vaccinated*: trained on benches that are crooked, more so as training goes on; nothing of the single
bench is known. Everything but the misalignment is ideal.

Source: Mengu et al., Nanophotonics 9, 4207 (2020), for vaccination.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field

from photonic_acdc.calibration import refit
from photonic_acdc.config import Count
from photonic_acdc.optical import rebind
from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig, check_count, check_lenses
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import About, Point
from photonic_acdc.training.vaccination import Vaccination
from simulators.bench import Bench
from simulators.devices.pose import Misalignment
from simulators.spec import Angle, Length, NonNegative, Positive

ABOUT = About(
    "Misalignment",
    "size",
    "misalignment, in units of the panel's title",
    panel="what is misaligned",
    logarithmic=True,
)


class Options(Base):
    """Standard deviations at size 1, and the sizes."""

    lateral: Length = 10e-6  #: m, of every mask and of the input, an axis
    scale: NonNegative = 0.005  #: relative, of every lens
    tilt: Angle = 50e-6  #: rad, of every mask, an axis
    clocking: Angle = 5e-3  #: rad, of every mask
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 2.0, 4.0)
    refits: Count = 3  #: benches a training and place, on which all are judged; each refit takes seconds
    iterations: Count = 20  #: of least squares in a refit

    def quick(self) -> Self:
        """Two sizes, one refit."""
        return self.replace(sizes=self.sizes[:2], refits=1, iterations=5)

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """Lenses, and a bench for every refit."""
        check_lenses(bench)
        check_count("refits", self.refits, config.judging)


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of every method at every size of every misalignment alone."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    found = []
    for panel, pattern, pose, scale in (
        (f"decentre, {options.lateral * 1e6:g} um", "*.lateral", {"lateral": options.lateral}, None),
        (f"lens scale, {options.scale:.1%}", "*.scale_error", {}, options.scale),
        (f"tilt, {options.tilt * 1e6:g} urad", "*.tilt", {"tilt": options.tilt}, None),
        (f"clocking, {options.clocking * 1e3:g} mrad", "*.clocking", {"clocking": options.clocking}, None),
    ):
        benches = laboratory.benches(options.refits)
        for size in options.sizes:
            bench = crooked(laboratory.bench, pose, scale, size).only(pattern)
            key = f"vaccinated-{pattern[2:]}-{size:g}"
            vaccinated = laboratory.train(
                key, laboratory.optical(bench), noise_mode="sample", methods=[Vaccination((pattern,))]
            )
            ideal = laboratory.ideal(bench)
            found += [
                Point("ideal-trained", size, laboratory.accuracies(ideal, benches=benches), panel),
                Point("refitted", size, _refitted(laboratory, ideal, options), panel),
                Point("vaccinated", size, laboratory.accuracies(vaccinated, benches=benches), panel),
            ]
    return found


def crooked(bench: Bench, pose: dict[str, float], scale: float | None, size: float) -> Bench:
    """``bench`` with every mask and the input misaligned by ``size`` times ``pose``, every lens by ``scale``."""
    misalignment: Any = Misalignment(**{name: size * value for name, value in pose.items()}) if pose else None
    stage = []
    for i, place in enumerate(bench.stage):
        if i % 2 == 0:
            stage.append(place.replace(misalignment=misalignment))
        else:
            error = None if scale is None else size * scale
            stage.append(place.replace(device=place.device.replace(scale_error=error)))
    writer = bench.input if "lateral" not in pose else bench.input.replace(misalignment=misalignment)
    return bench.replace(stage=tuple(stage), input=writer)


def _refitted(laboratory: Laboratory, ideal, options: Options) -> list[float]:
    """Accuracy on each of the seed's first benches, refitted to it."""
    judging = laboratory.config.judging
    accuracies = []
    for r in laboratory.benches(options.refits):
        found = refit(ideal, seed=judging.seed, realisation=r, method="least squares", iterations=options.iterations)
        judged = rebind(found.optic, order=judging.order).eval()
        with found.on_bench("frozen", optic=judged, differentiable=False):
            accuracies.append(laboratory.score(judged))
    return accuracies
