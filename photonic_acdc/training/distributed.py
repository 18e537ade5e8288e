"""Several processes that train as one: each has its part of every batch's rows, and all of the model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from simulators.errors import InputError

T = TypeVar("T")

_Norm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class World:
    """The processes that train together; one by itself unless said otherwise.

    Attributes:
        rank: number of this process; the first one writes files and speaks.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The members of torch's default process group, where there is one."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def part(self, rows: int) -> range:
        """This process's rows of 0 … rows-1: contiguous, one more here than there where they do not divide."""
        return range(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes, with its gradient."""
        return values if self.size == 1 else _Total.apply(values)  # pyright: ignore[reportReturnType]

    def first(self, work: Callable[[], T]) -> T:
        """What ``work()`` returns in the first process, which alone does it; its error is that of all.

        Raises:
            InputError: that of the first process; for its other errors, one that says it has failed.
        """
        if self.size == 1:
            return work()
        said: list[Any] = [None, None]
        failure: Exception | None = None
        if self.leads:
            try:
                said[0] = work()
            except InputError as error:
                said[1] = failure = error
            except Exception as error:
                said[1], failure = InputError(f"the first process failed: {type(error).__name__}: {error}"), error
        dist.broadcast_object_list(said, src=0)
        if failure is not None:
            raise failure
        if said[1] is not None:
            raise said[1]
        return said[0]

    def all(self, value: T) -> list[T]:
        """``value`` of every process."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


class _Total(torch.autograd.Function):
    """The sum over all processes reaches every one of their losses, so the gradient is a sum over all as well."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


@contextlib.contextmanager
def whole_batch_statistics(model: nn.Module, world: World) -> Iterator[None]:
    r"""Within, every batch normalisation in training takes mean and variance over the rows of all processes.

    .. math:: \mu = \frac1n\sum_k\sum_{i \in k} x_i, \quad \sigma^2 = \frac1n\sum_k\sum_{i \in k} (x_i - \mu)^2

    torch's own ``SyncBatchNorm`` does not run on the CPU. The modules stay what they are, with their names, parameters
    and running statistics; their ``forward`` alone is another one for the while.
    """
    norms = [module for module in model.modules() if isinstance(module, _Norm)] if world.size > 1 else []
    for norm in norms:
        norm.forward = _Normalise(norm, world)  # pyright: ignore[reportAttributeAccessIssue]  # another name of x
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


@dataclass(frozen=True)
class _Normalise:
    norm: _Norm
    world: World

    def __call__(self, x: Tensor) -> Tensor:
        norm, total = self.norm, self.world.total
        if not norm.training:
            return type(norm).forward(norm, x)
        axes = [0, *range(2, x.ndim)]
        count = float(total(torch.tensor(float(x.numel() // x.shape[1]), dtype=torch.float64, device=x.device)))
        if count < 2:
            raise InputError("batch normalisation", value="one value a channel", allowed="two rows or more in a batch")
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = total(x.sum(axes)) / count
        centred = x - mean.reshape(shape)
        variance = total(centred.square().sum(axes)) / count
        if norm.track_running_stats:
            _track(norm, mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        out = centred * scale.reshape(shape)
        return out if norm.bias is None else out + norm.bias.reshape(shape)


@torch.no_grad()
def _track(norm: _Norm, mean: Tensor, variance: Tensor) -> None:
    """Running statistics, as torch's own keeps them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_(variance.to(norm.running_var), share)


@contextlib.contextmanager
def started_together() -> Iterator[World]:
    """The processes that ``torchrun`` has started, as one group; a process by itself elsewhere.

    Bad input ends all of them with exit code 2, and one of them says why.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield World()
        return
    store, rank, size = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=PrefixStore("training", store), rank=rank, world_size=size)
    errors = PrefixStore("errors", store)
    try:
        yield World(rank, size)
    except InputError:
        if errors.add("told", 1) > 1:  # another process has said it
            raise SystemExit(2) from None
        raise
    except RuntimeError:
        # A collective breaks off where another process has ended on bad input.
        if errors.add("told", 0):
            raise SystemExit(2) from None
        raise
    finally:
        dist.destroy_process_group()
