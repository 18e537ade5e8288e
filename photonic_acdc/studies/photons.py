r"""How few photons do: accuracy against photons a multiplication.

A cascade on N modes stands for a dense complex N×N matrix: N² multiplications and additions (MAC) a row. Counted are
the photons that reach the detector's modes, on average over the test rows, before quantum efficiency loses any:

.. math:: \text{photons a MAC} = \frac{1}{N^2} \Bigl\langle \sum_n |E_n|^2 \Bigr\rangle.

The published points are of a dot-product engine on MNIST, photons detected a scalar multiplication: about 90 % at 0.66,
99 % at 3.1 (Wang et al., Nat. Commun. 13, 123 (2022)). They are another task and another machine: a place on the axis,
not a rival.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import nn

from photonic_acdc.optical import cascades, noise, rebind
from photonic_acdc.studies.config import Options as Base
from photonic_acdc.studies.config import StudyConfig
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.results import About, Point
from simulators.bench import Bench
from simulators.devices.camera import Camera
from simulators.errors import InputError
from simulators.spec import Positive

ABOUT = About(
    "Accuracy against photons a multiplication",
    "photons_per_mac",
    "photons at the detector a multiplication",
    panel="detector",
    logarithmic=True,
    marks=((0.66, "Wang et al.: 90 % (MNIST)"), (3.1, "99 %")),
)


class Options(Base):
    """Where to measure."""

    photons: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.1, 0.66, 3.1, 30.0)

    def quick(self) -> Self:
        """Two places."""
        return self.replace(photons=self.photons[:2])

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """A camera is what is varied."""
        if not isinstance(bench.detector, Camera):
            raise InputError("photons: detector of the bench", value=bench.detector.kind, allowed="a camera")


def measure(laboratory: Laboratory) -> list[Point]:
    """Accuracy of every method at every number of photons, with the bench's camera and with one that only counts."""
    options = laboratory.config.options
    assert isinstance(options, Options)
    camera = laboratory.bench.detector
    assert isinstance(camera, Camera)
    counter = camera.replace(read_noise=None, dark_current=None, bits=None)
    found = []
    for panel, detector in (("the bench's camera", camera), ("shot noise alone", counter)):
        bench = laboratory.bench.replace(detector=detector)
        aware = laboratory.train(f"aware-{detector is camera}", laboratory.optical(bench), noise_mode="sample")
        ideal = laboratory.ideal(bench)
        for photons in options.photons:
            dim = dimmed(laboratory, aware, bench, photons)
            own = laboratory.train(
                f"own-{detector is camera}-{photons:g}", laboratory.optical(dim), noise_mode="sample"
            )
            for method, model in (
                ("ideal-trained", ideal),
                ("noise-aware, full light", aware),
                ("noise-aware, this light", own),
            ):
                judged = dimmed(laboratory, model, bench, photons)
                found.append(Point(method, photons, laboratory.accuracies(model, bench=judged), panel))
    return found


@torch.no_grad()
def photons_per_mac(laboratory: Laboratory, model: nn.Module) -> float:
    """Photons at the detector's modes, a row of the test data, over N²."""
    cascade = next(iter(cascades(model).values()))
    with noise(model.eval(), "mean"):
        field = cascade.fields(laboratory.test.x)["detector"]
    photons = (field.real**2 + field.imag**2).sum((-2, -1)).mean().item()
    return photons / cascade.features**2


def dimmed(laboratory: Laboratory, model: nn.Module, bench: Bench, photons: float) -> Bench:
    """``bench`` with the filter, or the laser, at which ``model`` has so many photons a multiplication."""
    # Light in is proportional to light out.
    share = photons / photons_per_mac(laboratory, rebind(model, bench, order=laboratory.config.judging.order))
    source = bench.source
    density = source.optical_density - math.log10(share)
    power = source.power * (10**-density if density < 0 else 1.0)
    return bench.replace(source=source.replace(power=power, optical_density=max(density, 0.0)))
