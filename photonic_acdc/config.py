"""The configuration of a run: one TOML file, checked as a whole before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from simulators.bench import Bench
from simulators.errors import InputError
from simulators.reference import reference_bench
from simulators.spec import Fraction, NonNegative, Positive, Spec, Time, read_toml

# Strict: true is no 1, and "3" is no 3.
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]  # what torch's generator takes


class DataConfig(Spec):
    """What to learn."""

    source: str = "digits"  #: a bundled set, or a .npz file with arrays x and y
    test_fraction: Fraction = 0.2
    split_seed: Seed = 0


class ModelConfig(Spec):
    """The network: an optical cascade read as intensity, a normalisation, one electronic linear layer."""

    modes: tuple[Count, Count] = (8, 8)  #: (y, x); y·x is the number of features
    stages: Count = 2


class BenchConfig(Spec):
    """The bench: the reference one, or a file; a few settings may be changed on either."""

    file: str | None = None  #: a bench .toml; None: the reference bench of the model's modes
    optical_density: NonNegative | None = None  #: of the filter in front of the laser
    exposure: Time | None = None  #: of the camera
    window: Annotated[Fraction, Field(gt=0)] | None = None  #: share of a mode's width that the camera reads
    drop: tuple[str, ...] = ()  #: patterns of effects to switch off


class TrainingConfig(Spec):
    """How to train, ideal and through the bench."""

    epochs: Count = 60
    batch_size: Annotated[int, Field(ge=2, strict=True)] = 64  #: a normalisation needs two rows
    learning_rate: Positive = 0.05
    mask_rate: Positive = 1.0  #: factor of the learning rate for physical masks
    weight_decay: NonNegative = 0.01
    label_smoothing: Annotated[Fraction, Field(lt=1)] = 0.2
    light_weight: NonNegative = 0.001  #: w of the loss CE - w·log(efficiency)
    realisations: Count = 1  #: virtual benches a step
    order: Count = 2  #: q of the simulator in training
    threads: Count = 1  #: results belong to a number of threads; small operations gain nothing from a second


class EvaluationConfig(Spec):
    """How to judge."""

    realisations: Count = 200  #: virtual benches, none of which training has seen
    order: Count = 3  #: q of the simulator in judging
    seed: Seed = 0
    budget_realisations: Count = 10
    photon_realisations: Count = 10
    front_weights: tuple[NonNegative, ...] = (0.0, 0.03, 0.1, 0.3)  #: weights w of the accuracy-light front
    front_epochs: Count = 10  #: epochs of fine-tuning a point of the front
    front_realisations: Count = 40


class RunConfig(Spec):
    """Everything that decides the results of a run."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    bench: BenchConfig = BenchConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

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
        config = cls.from_dict(data, file=str(path))
        return config.replace(**located(path, config.data, config.bench))

    def make_bench(self, *, complex_masks: bool = False) -> Bench:
        """The bench of this run; with amplitude panels on its masks where asked for (reference bench only).

        Raises:
            InputError: a bench that cannot carry the modes, or whose modes are not the model's.
        """
        settings = self.bench
        if settings.file is None:
            try:
                bench = reference_bench(self.model.modes, complex_masks=complex_masks)
            except InputError as error:
                what = error.quantity.removeprefix("reference_bench: modes: ")
                raise InputError(f"model.modes on the reference bench: {what}", remedy=error.remedy) from None
        else:
            bench = Bench.load(settings.file)
        if bench.modes != self.model.modes:
            raise InputError(f"{settings.file}: modes", value=bench.modes, allowed=f"the model's, {self.model.modes}")
        source, detector = bench.source, bench.detector
        if settings.optical_density is not None:
            source = source.replace(optical_density=settings.optical_density)
        if settings.exposure is not None:
            detector = detector.replace(exposure=settings.exposure)
        if settings.window is not None:
            detector = detector.replace(window=settings.window)
        bench = bench.replace(source=source, detector=detector)
        if not settings.drop:
            return bench
        try:
            return bench.without(*settings.drop)
        except InputError as error:
            raise InputError(f"bench.drop: {error.quantity}", allowed=error.allowed) from None


def located(path: Path, data: DataConfig, bench: BenchConfig) -> dict[str, Any]:
    """Data and bench of a configuration read from ``path``, where they lie."""
    if data.source.endswith(".npz"):
        data = data.replace(source=str(beside(path, data.source)))
    if bench.file:
        bench = bench.replace(file=str(beside(path, bench.file)))
    return {"data": data, "bench": bench}


def beside(config: Path, file: str) -> Path:
    """``file`` beside the configuration; as it is where only that exists (a run's own config has full paths)."""
    beside = config.parent / file
    return Path(file) if not beside.exists() and Path(file).exists() else beside
