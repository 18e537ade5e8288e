"""Trained on one error, tested on others: noise injection against sharpness-aware training.

Injection meets one effect in training, fresh in every step; sharpness-aware training meets none, but steps where the
loss of masks a little off is lowest. Both are then judged on benches with one effect alone, seen and unseen.

Source: Xu et al., arXiv:2411.12352, for sharpness-aware training of photonic networks.
"""

from __future__ import annotations

from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig, check_lenses
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import About, Point
from photonic_acdc.training.sharpness import SharpnessAware
from simulators.bench import Bench
from simulators.devices.pose import Misalignment
from simulators.spec import Angle, NonNegative, Positive

ABOUT = About("Trained on one error, tested on others", "effect", "error it is tested on")


class Options(Base):
    """What is injected, how sharp, and what it is tested on: sizes that cost untrained masks some points each."""

    phase_error: Angle = 0.4  #: rad rms a pixel, static: what injection is trained on, and the seen error
    rho: Positive = 0.5  #: rad, radius of sharpness-aware training
    lut_residual: Angle = 0.4  #: rad rms, unseen
    scale_error: NonNegative = 0.05  #: relative, of every lens, unseen
    clocking: Angle = 0.1  #: rad, of every panel, unseen
    tilt: Angle = 5e-5  #: rad, of every panel, unseen
    phase_noise: Angle = 0.4  #: rad rms a pixel and frame, unseen

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """Lenses."""
        check_lenses(bench)


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of every method under every error alone."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    tests = _benches(laboratory.bench, options)
    seen = tests["phase error (seen)"]
    models = {
        "ideal-trained": laboratory.ideal(seen),
        "injection": laboratory.train("injection", laboratory.optical(seen), noise_mode="sample"),
        "sharpness-aware": laboratory.train(
            "sharpness", laboratory.optical(seen), noise_mode="off", methods=[SharpnessAware(options.rho)]
        ),
        "both": laboratory.train(
            "both",
            laboratory.optical(seen),
            noise_mode="sample",
            methods=[SharpnessAware(options.rho)],
        ),
    }
    return [
        Point(method, name, laboratory.accuracies(model, bench=bench))
        for method, model in models.items()
        for name, bench in tests.items()
    ]


def _benches(bench: Bench, options: Options) -> dict[str, Bench]:
    """A bench an error, with that error alone."""
    stage = list(bench.stage)
    pose = Misalignment(tilt=options.tilt, clocking=options.clocking)
    for i, place in enumerate(stage):
        if i % 2:
            stage[i] = place.replace(device=place.device.replace(scale_error=options.scale_error))
        else:
            panel = place.device.replace(
                phase_error=options.phase_error, lut_residual=options.lut_residual, phase_noise=options.phase_noise
            )
            stage[i] = place.replace(device=panel, misalignment=pose)
    bench = bench.replace(stage=tuple(stage))
    return {
        "none": bench.only(),
        "phase error (seen)": bench.only("*.phase_error"),
        "look-up table": bench.only("*.lut_residual"),
        "lens scale": bench.only("*.scale_error"),
        "clocking": bench.only("*.clocking"),
        "tilt": bench.only("*.tilt"),
        "frame noise": bench.only("*.phase_noise"),
    }
