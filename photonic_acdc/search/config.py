"""The configuration of a search: one TOML file, checked as a whole before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from photonic_acdc.config import Count, DataConfig, beside
from photonic_acdc.search.space import LAYERS
from simulators.errors import InputError, nearest
from simulators.spec import Fraction, Positive, Spec, read_toml


def _pair(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise InputError("", value=repr(value), allowed="a range [low, high]")
    return value


def _ordered(value: tuple) -> tuple:
    if value[0] > value[1]:
        raise InputError("", value=list(value), allowed="a range [low, high] with low ≤ high")
    return value


def _once(value: tuple) -> tuple:
    if not value or len(set(value)) != len(value):
        raise InputError("", value=list(value), allowed="at least one choice, each once")
    return value


def _known(value: Any) -> Any:
    if value not in LAYERS:
        raise InputError("", value=repr(value), allowed=nearest(str(value), LAYERS))
    return value


Layer = Annotated[str, BeforeValidator(_known)]
Counts = Annotated[tuple[Count, Count], BeforeValidator(_pair), AfterValidator(_ordered)]  #: low ≤ high, whole
Range = Annotated[tuple[Positive, Positive], BeforeValidator(_pair), AfterValidator(_ordered)]  #: low ≤ high
_Once = AfterValidator(_once)
Truth = Annotated[bool, Field(strict=True)]


class SearchSettings(Spec):
    """What to try, and how to judge it. Ranges are [low, high], both ends included; other lists are choices."""

    # how to search
    trials: Count = 60
    sampler: Literal["tpe", "nsga2"] = "tpe"
    population: Annotated[int, Field(ge=2, strict=True)] = 12  #: random trials before TPE; a generation of NSGA-II
    seed: Annotated[int, Field(ge=0, lt=2**62, strict=True)] = 0  #: of the sampler, and of the first training
    # how to judge
    epochs: Count = 30
    batch_size: Annotated[int, Field(ge=2, strict=True)] = 64  #: a normalisation needs two rows
    repeats: Count = 1  #: trainings a trial, each with a seed of its own; their mean error counts
    validation_fraction: Annotated[Fraction, Field(gt=0, lt=1)] = (
        0.2  #: of the training data: what trials are judged on
    )
    front_seeds: Count = 3  #: trainings of each point of the front, judged on the test data
    # what to try
    width: Count = 64  #: features that the structured layer gives to the readout
    layers: Annotated[tuple[Layer, ...], _Once] = ("acdc", "afdf", "hybrid", "low_rank", "circulant", "monarch")
    learning_rate: Range = (1e-3, 3e-2)  #: of Adam at the start; this and the next three on a logarithmic scale
    a_multiplier: Range = (1.0, 10.0)  #: factor on it for A
    d_multiplier: Range = (1.0, 10.0)  #: factor on it for D
    sigma: Range = (0.01, 0.3)  #: ACDC starts as identity + N(0, sigma²)
    stages: Counts = (1, 6)  #: depth K of ACDC and AFDF
    permute: Annotated[tuple[Truth, ...], _Once] = (False, True)  #: fixed permutations between stages of ACDC
    activation: Annotated[tuple[Literal["none", "relu"], ...], _Once] = ("none", "relu")  #: ReLU, or CReLU of AFDF
    init: Annotated[tuple[Literal["random_phase", "identity"], ...], _Once] = ("random_phase", "identity")  #: of AFDF
    phase_only: Annotated[tuple[Truth, ...], _Once] = (False, True)  #: masks of AFDF without magnitudes
    bias: Annotated[tuple[Truth, ...], _Once] = (False, True)  #: behind every D of AFDF, a reference wave
    readout: Annotated[tuple[Literal["intensity", "real"], ...], _Once] = ("intensity", "real")  #: of AFDF
    hybrid_rank: Counts = (1, 4)  #: of the low-rank part beside ACDC
    rank: Counts = (1, 8)  #: of low_rank and tensor_train
    blocks: Annotated[tuple[Count, ...], _Once] = (4, 8)  #: number of blocks of monarch
    block: Annotated[tuple[Count, ...], _Once] = (4, 8)  #: size of a block of block_circulant


class SearchConfig(Spec):
    """Everything that decides the results of a search."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    data: DataConfig = DataConfig()
    search: SearchSettings = SearchSettings()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a configuration; its own name is the file's, unless it says another. Paths in it are relative to it.

        Raises:
            InputError: naming file, key, value and what is allowed.
        """
        path = Path(path)
        config = cls.from_dict({"name": path.stem, **read_toml(path)}, file=str(path))
        source = config.data.source
        if source.endswith(".npz"):
            config = config.replace(data=config.data.replace(source=str(beside(path, source))))
        return config
