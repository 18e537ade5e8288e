"""How much of what panels of few bits cost is won back, on benches and in a simulator that training has never seen.

Masks trained with ideal devices, and masks trained through virtual benches in ``Pixel`` of order 2, are judged on ideal
devices, on unseen benches in ``Pixel`` of order 3, and on unseen benches in ``Wave``. Last, masks are fitted to single
benches by physics-aware training, forward in ``Wave``, backward through the twin: *fitted benches*, the same for all.
*Electronics alone* is the same with masks that stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from photonic_acdc.config import Count
from photonic_acdc.optical import rebind
from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.reality_gap import stand_in, with_frozen_masks
from photonic_acdc.studies.results import About, Point
from photonic_acdc.training.physics_aware import PhysicsAware, TwinRefinement, physics_aware
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


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of every method, however it is judged."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    wave = {"simulator": Wave, "samples": options.samples}
    ideal = laboratory.ideal()
    aware = laboratory.train("aware", laboratory.optical(), noise_mode="sample")
    found, fitted = [], {"ideal-trained": [], "noise-aware": [], "physics-aware": [], "electronics alone": []}
    for method, model in (("ideal-trained", ideal), ("noise-aware", aware)):
        found += [
            Point(method, IDEAL, laboratory.accuracies(model, mode="off")),
            Point(method, PIXEL, laboratory.accuracies(model)),
            Point(method, WAVE, laboratory.accuracies(model, **wave)),
        ]
    for r in laboratory.benches(options.benches):
        tuned = {
            method: laboratory.train(
                f"{method}-{r}",
                start,
                noise_mode="mean",
                epochs=options.epochs,
                learning_rate=options.learning_rate,
                methods=[PhysicsAware(stand_in(laboratory, laboratory.bench, r, **wave), refine=refine)],
            )
            for method, start, refine in (
                ("physics-aware", rebind(aware), TwinRefinement()),
                ("electronics alone", with_frozen_masks(aware), None),
            )
        }
        for method, model in {"ideal-trained": ideal, "noise-aware": aware, **tuned}.items():
            with physics_aware(model, stand_in(laboratory, laboratory.bench, r, judging=True, **wave)):
                fitted[method].append(laboratory.score(model))
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
    closed = of("physics-aware", FITTED) - of("noise-aware", FITTED)
    alone = of("electronics alone", FITTED) - of("noise-aware", FITTED)

    def share(part: float, whole: float) -> str:
        return f"{part / whole:.0%}" if whole > 0 else "no share"

    return [
        f"Ideal-trained masks lose {lost:.2%}; noise-aware training wins back {won:.2%}, {share(won, lost)} of it.",
        f"In Wave it is ahead by {kept:.2%}, {share(kept, won)} of that gain.",
        f"On the fitted benches it leaves {left:.2%}, of which physics-aware training closes {closed:.2%}, "
        f"{share(closed, left)}; with masks that stay as they are the electronics alone close {alone:.2%}.",
    ]
