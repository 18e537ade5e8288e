"""A twin that is deliberately wrong: what training on it is worth on the bench it is a twin of.

The bench has what its twin does not know of: fringing, a bent response and a wrong stroke of the panel, lenses of
other focal lengths, each in proportion to the *gap*; at gap 0 they differ by the static errors that every bench has.
*In silico*: trained on the twin's nominal figures. *Injection*: trained on virtual benches drawn from the twin's data
sheet. *Physics-aware*: from there on, forward on the bench itself, backward through the twin. *Refined*: while the
twin's figures keep being fitted to what the bench does. Two controls: *electronics alone*, as physics-aware, but the
masks stay as they are; *trained on*, as many more epochs of injection, without the bench.

Source: Wright et al., Nature 601, 549 (2022), for physics-aware training.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from photonic_acdc.config import Count
from photonic_acdc.optical import rebind
from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig, check_lenses
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.one_bench import OneBench, fitted_figures
from photonic_acdc.studies.results import About, Point
from simulators.bench import Bench
from simulators.devices.lens import Lens
from simulators.spec import Length, NonNegative, Positive

ABOUT = About("A twin that is wrong", "gap", "gap between twin and bench", baseline="in silico")


class Options(Base):
    """What the bench has and the twin has not, at gap 1."""

    gaps: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = (0.0, 1.0, 3.0)
    crosstalk_fwhm: Length = 4e-6  #: m
    gamma_error: NonNegative = 0.05  #: standard deviation of γ
    stroke_error: NonNegative = 0.03  #: relative
    scale_error: NonNegative = 0.005  #: relative, of every lens, on top of its own
    epochs: Count = 10  #: of physics-aware training
    learning_rate: Positive = 0.01  #: of physics-aware training

    def quick(self) -> Self:
        """Two gaps, one epoch."""
        return self.replace(gaps=self.gaps[:2], epochs=1)

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """Lenses, and a twin that can be fitted."""
        check_lenses(bench)
        fitted_figures(bench)


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy on one bench as built, with every gap."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    twin, (number,) = laboratory.bench, laboratory.benches(1)
    silico = laboratory.train("silico", laboratory.optical(), noise_mode="mean")
    injected = laboratory.train("injected", laboratory.optical(), noise_mode="sample")
    pace = {"epochs": options.epochs, "learning_rate": options.learning_rate}
    trained_on = laboratory.train("trained-on", rebind(injected), noise_mode="sample", **pace)
    found = []
    for gap in options.gaps:
        one = OneBench(laboratory, real_bench(twin, options, gap), number, **pace)
        models = {
            "in silico": silico,
            "injection": injected,
            "physics-aware": one.fit(f"physics-aware-{gap:g}", injected),
            "refined": one.fit(f"refined-{gap:g}", injected, refine=True),
            "electronics alone": one.fit(f"electronics-{gap:g}", injected, masks=False),
            "trained on": trained_on,
        }
        found += [Point(method, gap, [one.score(model)]) for method, model in models.items()]
    return found


def real_bench(twin: Bench, options: Options, gap: float) -> Bench:
    """The twin with what it does not know of, ``gap`` times as large."""
    stage = []
    for place in twin.stage:
        device = place.device
        if isinstance(device, Lens):
            device = device.replace(scale_error=(device.scale_error or 0.0) + gap * options.scale_error)
        elif gap:
            device = device.replace(
                crosstalk_fwhm=gap * options.crosstalk_fwhm,
                gamma_error=gap * options.gamma_error,
                stroke_error=gap * options.stroke_error,
            )
        stage.append(place.replace(device=device))
    return twin.replace(stage=tuple(stage))
