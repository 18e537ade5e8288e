"""Keyed random streams: realisation r of seed s is the same draw, always.

A value is a function of (seed, address, effect; realisation, sample, exposure) and of nothing else: not of how many
are drawn, of what is drawn beside it, of the batch, the device or the process. numpy's ``Philox`` is counter-based, so
a stream is opened where it is needed: key = hash(seed, address, effect), counter = [0, exposure, sample, realisation].
Values are drawn on the CPU in float64 and moved afterwards.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from simulators.errors import InputError

#: Shots are drawn for whole aligned blocks of this many samples, so that a row does not depend on its neighbours.
SHOT_BLOCK = 64

State = Mapping[str, Tensor]
"""Address → value ``[R or 1, 1, *shape]``: nominal figures, static draws, overrides. All physics reads it."""


def stream(
    seed: int, address: str, effect: str, *, realisation: int = 0, sample: int = 0, exposure: int = 0
) -> np.random.Generator:
    """The random stream of one effect at one address, for one realisation, sample (block) and exposure."""
    digest = hashlib.blake2b(f"{seed}\0{address}\0{effect}".encode(), digest_size=16).digest()
    key = np.frombuffer(digest, dtype=np.uint64)
    counter = np.array([0, exposure, sample, realisation], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def check_seed(seed: object) -> int:
    """``seed`` as an int, or an :class:`InputError`: noise without a seed is an error, not a surprise."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError("seed", value=repr(seed), allowed="an integer ≥ 0", remedy="seed=0")
    return int(seed)


class Drawable(Protocol):
    """What :class:`Realisations` needs of a bench."""

    def draw(self, stages: int, normal, *, prefix: str = "", time: float = 0.0) -> State:
        """The state of a bench whose static errors are ``normal(address, effect, shape)``."""
        ...


@dataclass(frozen=True)
class Realisations:
    """Benches as built: the static errors of realisations ``index`` of ``seed``.

    Attributes:
        seed: any integer ≥ 0.
        index: which realisations, by absolute number.
        time: seconds since the bench was calibrated, for what drifts.
    """

    seed: int
    index: tuple[int, ...]
    time: float = 0.0

    def __post_init__(self):
        check_seed(self.seed)
        if not self.index or min(self.index) < 0:
            raise InputError("realisations", value=self.index, allowed="at least one number, each ≥ 0")
        if not 0 <= self.time < float("inf"):
            raise InputError("realisations: time", value=self.time, allowed="seconds ≥ 0")

    def normal(self, address: str, effect: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal values ``[R, 1, *shape]``, float64."""
        rows = [stream(self.seed, address, effect, realisation=r).standard_normal((1, *shape)) for r in self.index]
        return torch.from_numpy(np.stack(rows))

    def draw(self, bench: Drawable, stages: int, *, prefix: str = "") -> State:
        """The state ``{address: [R, 1, *shape]}`` of ``bench`` in every realisation of :attr:`index`."""
        return bench.draw(stages, self.normal, prefix=prefix, time=self.time)


@dataclass(frozen=True)
class Shots:
    """Exposures: what differs from one camera frame to the next.

    Attributes:
        seed: any integer ≥ 0.
        realisation: the R bench numbers.
        sample: the B sample identities (data-set index in evaluation; global row in training).
        exposure: number of the pass; repeats, or the step in training.
        differentiable: shot noise as √signal·ε with its gradient (training) instead of Poisson counts (evaluation).
        prefix: of all addresses; tells apart the exposures of two cascades on one bench.
        expected: effects that are left at their expectation, ``"stage[0].mask[1].flicker"``.
    """

    seed: int
    realisation: tuple[int, ...]
    sample: tuple[int, ...]
    exposure: int = 0
    differentiable: bool = False
    prefix: str = ""
    expected: frozenset[str] = frozenset()

    def __post_init__(self):
        check_seed(self.seed)

    def draws(self, address: str, effect: str) -> bool:
        """Whether this effect differs from one exposure to the next, or is left at its expectation."""
        return f"{address}.{effect}" not in self.expected

    def normal(self, address: str, effect: str, shape: tuple[int, ...], *, frame: int = 0) -> Tensor:
        """Standard normal values ``[R, B, *shape]``, float64; ``frame`` counts the frames of one result.

        Zeros for an effect that is left at its expectation; one whose expectation is not what ε = 0 gives asks
        :meth:`draws` before.
        """
        if not self.draws(address, effect):
            return torch.zeros(len(self.realisation), len(self.sample), *shape, dtype=torch.float64)
        samples = np.asarray(self.sample)
        blocks, row = samples // SHOT_BLOCK, samples % SHOT_BLOCK
        out = np.empty((len(self.realisation), len(samples), *shape))
        for i, r in enumerate(self.realisation):
            for block in np.unique(blocks):
                generator = self._stream(address, effect, r, int(block), frame)
                values = generator.standard_normal((SHOT_BLOCK, *shape))
                chosen = blocks == block
                out[i, chosen] = values[row[chosen]]
        return torch.from_numpy(out)

    def poisson(self, address: str, effect: str, rate: Tensor, *, frame: int = 0) -> Tensor:
        """Poisson counts of ``rate [R, B, *shape]``, one stream a row: its length depends on the rate."""
        rates = rate.detach().double().cpu().numpy()
        out = np.empty_like(rates)
        for i, r in enumerate(self.realisation):
            for j, sample in enumerate(self.sample):
                out[i, j] = self._stream(address, effect, r, sample, frame).poisson(rates[i, j])
        return torch.from_numpy(out).to(rate.dtype).to(rate.device)

    def _stream(self, address: str, effect: str, realisation: int, sample: int, frame: int):
        # The frame is part of the name: two frames of one exposure are two effects, not two exposures.
        return stream(
            self.seed,
            self.prefix + address,
            f"{effect}#{frame}",
            realisation=realisation,
            sample=sample,
            exposure=self.exposure,
        )


def as_index(realisations: int | Iterable[int]) -> tuple[int, ...]:
    """``3`` → ``(0, 1, 2)``; an iterable of numbers as it is."""
    if isinstance(realisations, (int, np.integer)):
        if realisations < 1:
            raise InputError("realisations", value=realisations, allowed="at least 1")
        return tuple(range(int(realisations)))
    return tuple(int(r) for r in realisations)
