"""What may be chosen: layers, their settings, and the network that a choice stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from photonic_acdc import layers
from simulators.errors import InputError

if TYPE_CHECKING:
    from optuna import Trial

    from photonic_acdc.search.config import SearchSettings

Choices = dict[str, Any]
"""What a trial tries: ``layer``, ``learning_rate``, and what :data:`LAYERS` lists of that layer."""

_CASCADE = ("a_multiplier", "d_multiplier", "stages")

#: Layer → what there is to choose about it, besides the learning rate.
LAYERS: dict[str, tuple[str, ...]] = {
    "acdc": (*_CASCADE, "sigma", "permute", "activation"),
    "afdf": (*_CASCADE, "init", "phase_only", "bias", "activation", "readout"),
    "hybrid": (*_CASCADE, "sigma", "permute", "hybrid_rank"),
    "low_rank": ("rank",),
    "tensor_train": ("rank",),
    "monarch": ("blocks",),
    "block_circulant": ("block",),
    "circulant": (),
    "fastfood": (),
    "adaptive_fastfood": (),
}

#: What every front is compared with: a dense layer in the place of the structured one, and no hidden layer at all.
REFERENCES = ("dense", "softmax")

_LOGARITHMIC = ("learning_rate", "a_multiplier", "d_multiplier", "sigma")
_WHOLE = ("stages", "hybrid_rank", "rank")
_BETWEEN_STAGES = ("permute", "activation")


def names(chosen: Iterable[str]) -> list[str]:
    """What there is to choose about any of these layers, in a fixed order, each once."""
    return list(dict.fromkeys(name for layer in chosen for name in ("learning_rate", *LAYERS[layer])))


def draw(trial: Trial, settings: SearchSettings) -> Choices:
    """What this trial tries.

    NSGA-II crosses only what all trials have, so for it every trial carries the settings of all layers, as dormant
    genes; TPE knows conditional settings and draws those of the layer alone. What has no effect is left out.
    """
    drawn: Choices = {"layer": trial.suggest_categorical("layer", settings.layers)}
    for name in names(settings.layers if settings.sampler == "nsga2" else [drawn["layer"]]):
        given = getattr(settings, name)
        if name in _LOGARITHMIC:
            drawn[name] = trial.suggest_float(name, *given, log=True)
        elif name in _WHOLE:
            drawn[name] = trial.suggest_int(name, *given)
        else:
            drawn[name] = trial.suggest_categorical(name, given)
    return relevant(drawn)


def relevant(drawn: Choices) -> Choices:
    """Without the settings of other layers, and of what would lie between the stages of one that has but one."""
    kept = {name: drawn[name] for name in ("layer", *names([drawn["layer"]]))}
    if kept["layer"] != "afdf" and kept.get("stages") == 1:
        kept = {name: value for name, value in kept.items() if name not in _BETWEEN_STAGES}
    return kept


def network(choices: Choices, features: int, width: int, classes: int, seed: int) -> nn.Sequential:
    """The untrained classifier ``[B, features]`` → ``[B, classes]`` of a choice, or of one of :data:`REFERENCES`.

    Real layers: structured layer to ``width`` features, ReLU, dense readout. AFDF: cascade (with CReLU after every
    stage where there is an activation), intensity or real part and ReLU, batch normalisation, dense readout.

    Raises:
        InputError: sizes that the layer does not allow.
    """
    generator = torch.Generator().manual_seed(seed)
    # nn.Linear draws from the global generator: keep the caller's as it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if choices["layer"] == "softmax":
            return nn.Sequential(nn.Linear(features, classes))
        return nn.Sequential(*_hidden(choices, features, width, generator), nn.Linear(width, classes))


def check(settings: SearchSettings, features: int, classes: int) -> None:
    """Build every layer at both ends of every range, and with every choice.

    Raises:
        InputError: the first that cannot be built, naming key, value and layer.
    """
    for layer in settings.layers:
        first = {"layer": layer, **{name: getattr(settings, name)[0] for name in names([layer])}}
        for name in names([layer]):
            for value in getattr(settings, name):
                try:
                    network({**first, name: value}, features, settings.width, classes, seed=0)
                except InputError as error:
                    raise InputError(
                        f"search.{name} = {value!r}, layer {layer!r} of {features} to {settings.width} features",
                        value=error.value,
                        allowed=error.allowed,
                        remedy=error.remedy,
                    ) from None


def _hidden(choices: Choices, features: int, width: int, generator: torch.Generator) -> list[nn.Module]:
    """From features to what the readout reads."""
    layer = choices["layer"]
    if layer == "afdf":
        read = {"intensity": [layers.Intensity()], "real": [layers.Real(), nn.ReLU()]}[choices["readout"]]
        return [*_afdf(choices, features, width, generator), *read, nn.BatchNorm1d(width)]
    if layer == "acdc":
        return [_acdc(choices, features, width, generator), nn.ReLU()]
    if layer == "hybrid":
        cascade = _acdc(choices, features, width, generator)
        return [layers.Hybrid(cascade, rank=choices["hybrid_rank"], generator=generator), nn.ReLU()]
    if layer == "dense":
        return [nn.Linear(features, width), nn.ReLU()]
    settings = {name: choices[name] for name in LAYERS[layer]}
    return [_BASELINES[layer](features, width, generator=generator, **settings), nn.ReLU()]


def _acdc(choices: Choices, features: int, width: int, generator: torch.Generator) -> layers.ACDC:
    return layers.ACDC(
        features,
        choices["stages"],
        out_features=width,
        sigma=choices["sigma"],
        permute=choices.get("permute", False),
        activation="relu" if choices.get("activation") == "relu" else None,
        generator=generator,
    )


def _afdf(choices: Choices, features: int, width: int, generator: torch.Generator) -> list[nn.Module]:
    stages, size = choices["stages"], max(features, width)
    options: dict[str, Any] = {name: choices[name] for name in ("init", "phase_only", "bias")}
    options["generator"] = generator
    if choices["activation"] == "none":
        return [layers.AFDF(features, stages, out_features=width, **options)]
    # Stage by stage, on as many features as the cascade runs on.
    sizes = [features, *[size] * (stages - 1), width]
    return [
        module
        for before, after in pairwise(sizes)
        for module in (layers.AFDF(before, 1, out_features=after, **options), layers.CReLU())
    ]


_BASELINES: dict[str, Callable[..., nn.Module]] = {
    "low_rank": layers.LowRank,
    "tensor_train": layers.TensorTrain,
    "monarch": layers.Monarch,
    "block_circulant": layers.BlockCirculant,
    "circulant": layers.Circulant,
    "fastfood": layers.Fastfood,
    "adaptive_fastfood": layers.AdaptiveFastfood,
}
