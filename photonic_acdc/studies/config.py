"""The configuration of a study: one TOML file, checked as a whole before anything is computed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, StringConstraints, model_validator

from photonic_acdc.config import BenchConfig, Count, DataConfig, ModelConfig, RunConfig, Seed, TrainingConfig, located
from simulators.bench import Bench
from simulators.devices.lens import Lens
from simulators.errors import InputError, nearest
from simulators.spec import NonNegative, Spec, read_toml

STUDIES = ("bits", "four_bits", "mesh", "misalignment", "photons", "reality_gap", "unseen")
#: Those that train nothing on devices: their modules have a ``Config`` and a ``run`` of their own.
STANDALONE = ("planes_vs_error",)


class StudyData(DataConfig):
    """What to learn."""

    source: str = "mnist1d"
    offset: NonNegative = 0.0  #: added to x/max|x| before both are scaled to 1: a reference wave for a bare camera


class StudyModel(ModelConfig):
    """The network of a study."""

    modes: tuple[Count, Count] = (5, 8)
    readout: Literal["intensity", "real"] = "real"  #: a bare camera, or one quadrature of a coherent readout
    hidden: Annotated[int, Field(ge=0, strict=True)] = 0  #: width of an electronic hidden layer; 0: none


class StudyBench(BenchConfig):
    """The bench of a study."""

    bits: Count | None = None  #: of the masks and of the input; None: the device's


class JudgingConfig(Spec):
    """How to judge."""

    realisations: Count = 20  #: virtual benches a training, none of which it has seen
    order: Count = 3  #: q of the simulator in judging
    seed: Seed = 0


class Options(Spec):
    """What one study varies; each has its own."""

    def quick(self) -> Self:
        """Fewer points, for a first look."""
        return self

    def check(self, config: StudyConfig, bench: Bench) -> None:
        """Refuse what the study cannot compare, before anything is computed.

        Raises:
            InputError: naming key, value and what is allowed.
        """


class StudyConfig(Spec):
    """Everything that decides the results of a study."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    study: str  #: one of STUDIES
    seeds: Annotated[tuple[Seed, ...], Field(min_length=2)] = (0, 1, 2, 3, 4)  #: trainings; the intervals are over them
    data: StudyData = StudyData()
    model: StudyModel = StudyModel()
    bench: StudyBench = StudyBench()
    training: TrainingConfig = TrainingConfig(epochs=20)
    judging: JudgingConfig = JudgingConfig()
    options: SerializeAsAny[Options] = Options()

    @model_validator(mode="after")
    def _seeds_once(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError("seeds", value=self.seeds, allowed="each once")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a configuration; its own name is the file's, unless it says another. Paths in it are relative to it.

        Raises:
            InputError: naming file, key, value and what is allowed.
        """
        path = Path(path)
        data: dict[str, Any] = {"name": path.stem, **read_toml(path)}
        if "study" not in data:
            raise InputError(f"{path}: study", value="missing", allowed=", ".join(sorted((*STUDIES, *STANDALONE))))
        options = data.pop("options", {})
        config = cls.from_dict(data, file=str(path))
        if config.study not in STUDIES:
            allowed = nearest(config.study, (*STUDIES, *STANDALONE))
            raise InputError(f"{path}: study", value=repr(config.study), allowed=allowed)
        chosen = module_of(config.study).Options.from_dict(options, file=f"{path}: options")
        return config.replace(options=chosen, **located(path, config.data, config.bench))

    def quick(self) -> Self:
        """A first look: two seeds, short trainings, few benches, few points; its name says so."""
        return self.replace(
            name=f"{self.name}-quick",
            seeds=self.seeds[:2],
            training=self.training.replace(epochs=min(self.training.epochs, 4)),
            judging=self.judging.replace(realisations=min(self.judging.realisations, 4)),
            options=self.options.quick(),
        )

    def as_run(self) -> RunConfig:
        """The same data, model, bench and training as those of a run."""

        def plain(part: Spec, kind: type[Spec]) -> dict[str, Any]:
            return {name: getattr(part, name) for name in kind.model_fields}

        return RunConfig(
            name=self.name,
            data=DataConfig(**plain(self.data, DataConfig)),
            model=ModelConfig(**plain(self.model, ModelConfig)),
            bench=BenchConfig(**plain(self.bench, BenchConfig)),
            training=self.training,
        )

    def make_bench(self) -> Bench:
        """The bench of this study.

        Raises:
            InputError: as :meth:`RunConfig.make_bench`.
        """
        bench = self.as_run().make_bench()
        return bench if self.bench.bits is None else bench.with_levels(bits=self.bench.bits)


def check_lenses(bench: Bench) -> None:
    """Raise unless a lens is between all masks: the study bends the lenses."""
    for i, place in enumerate(bench.stage):
        if i % 2 and not isinstance(place.device, Lens):
            raise InputError(f"stage[{i}]: device", value=place.device.kind, allowed="a lens in this study")


def check_count(name: str, count: int, judging: JudgingConfig) -> None:
    """Raise where more benches are wanted than a seed has."""
    if count > judging.realisations:
        raise InputError(
            f"options.{name}", value=count, allowed=f"at most judging.realisations, {judging.realisations}"
        )


def load(path: str | Path) -> Any:
    """Read the configuration of any study, as its ``load`` does: a :class:`StudyConfig`, or the study's own ``Config``.

    Raises:
        InputError: naming file, key, value and what is allowed.
    """
    name = read_toml(Path(path)).get("study")
    return (module_of(name).Config if name in STANDALONE else StudyConfig).load(path)


def module_of(name: str) -> Any:
    """The module of a study: ``Options``, ``ABOUT``, ``measure``; of one in ``STANDALONE``: ``Config``, ``run``."""
    return importlib.import_module(f"photonic_acdc.studies.{name}")
