"""How much of what panels of few bits cost is won back, on benches and in a simulator that training has never seen.

Masks trained with ideal devices, and masks trained through virtual benches in ``Pixel`` of order 2, are judged on ideal
devices, on unseen benches in ``Pixel`` of order 3, and on unseen benches in ``Wave``. Last, *fitted benches*: masks of
the second kind are fitted to single benches by physics-aware training, forward in ``Wave``, backward through the twin,
and all are judged there. Two controls say what of that gain is due to it: *electronics alone* is the same with masks
that stay as they are; *trained on* has as many more epochs on virtual benches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from photonic_acdc.config import Count
from photonic_acdc.optical import rebind
from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig, check_count
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.one_bench import OneBench, fitted_figures
from photonic_acdc.studies.results import About, Point
from simulators.bench import Bench
from simulators.spec import Positive
from simulators.wave import Wave

if TYPE_CHECKING:
    import xarray as xr

ABOUT = About("Panels of few bits", "judged", "judged on")

IDEAL, PIXEL, WAVE, FITTED = "ideal devices", "unseen, Pixel", "unseen, Wave", "fitted benches, Wave"


class Options(Base):
    """The finer simulator, and physics-aware training on it."""

    samples: Count = 4  #: of ``Wave``, a pixel and axis
    benches: Count = 3  #: fitted a training
    epochs: Count = 10  #: of physics-aware training
    learning_rate: Positive = 0.02  #: of physics-aware training

    def quick(self) -> Self:
        """One bench, one epoch."""
        return self.replace(benches=1, epochs=1)

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """A twin that can be fitted, and enough benches."""
        fitted_figures(bench)
        check_count("benches", self.benches, config.judging)


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of every method, however it is judged."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    wave = {"simulator": Wave, "samples": options.samples}
    ideal = laboratory.ideal()
    aware = laboratory.train("aware", laboratory.optical(), noise_mode="sample")
    found = []
    for method, model in (("ideal-trained", ideal), ("noise-aware", aware)):
        found += [
            Point(method, IDEAL, laboratory.accuracies(model, mode="off")),
            Point(method, PIXEL, laboratory.accuracies(model)),
            Point(method, WAVE, laboratory.accuracies(model, **wave)),
        ]
    pace = {"epochs": options.epochs, "learning_rate": options.learning_rate}
    trained_on = laboratory.train("trained-on", rebind(aware), noise_mode="sample", **pace)
    fitted: dict[str, list[float]] = {}
    for number in laboratory.benches(options.benches):
        one = OneBench(laboratory, laboratory.bench, number, **pace, simulation=wave)
        models = {
            "ideal-trained": ideal,
            "noise-aware": aware,
            "physics-aware": one.fit("physics-aware", aware, refine=True),
            "electronics alone": one.fit("electronics alone", aware, masks=False),
            "trained on": trained_on,
        }
        for method, model in models.items():
            fitted.setdefault(method, []).append(one.score(model))
    return found + [Point(method, FITTED, accuracies) for method, accuracies in fitted.items()]


def conclude(found: xr.Dataset) -> list[str]:
    """What is lost, what is won back, and what of that holds where it was not won."""
    mean = found["accuracy"].mean("seed")

    def of(method: str, judged: str) -> float:
        return float(mean.sel(training=method, judged=judged))

    reference = of("ideal-trained", IDEAL)
    lost = reference - of("ideal-trained", PIXEL)
    won = of("noise-aware", PIXEL) - of("ideal-trained", PIXEL)
    kept = of("noise-aware", WAVE) - of("ideal-trained", WAVE)
    left = reference - of("noise-aware", FITTED)

    def closed(method: str) -> float:
        return of(method, FITTED) - of("noise-aware", FITTED)

    def share(part: float, whole: float) -> str:
        return f"{part / whole:.0%}" if whole > 0 else "no share"

    return [
        f"Ideal-trained masks lose {lost:.2%}; noise-aware training wins back {won:.2%}, {share(won, lost)} of it.",
        f"In Wave it is ahead by {kept:.2%}, {share(kept, won)} of that gain.",
        f"On the fitted benches it leaves {left:.2%}, of which physics-aware training closes "
        f"{closed('physics-aware'):.2%}, {share(closed('physics-aware'), left)}; electronics alone close "
        f"{closed('electronics alone'):.2%}, and training on without the bench {closed('trained on'):.2%}.",
    ]
