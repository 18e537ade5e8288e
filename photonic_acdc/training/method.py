"""What a way of training more robustly may do: hooks that :func:`~photonic_acdc.training.train` calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn


class Method:
    """A method that does nothing; each one overrides what it needs.

    ``train(model, data, methods=[...])`` calls the hooks in this order, every step::

        method.begin(done)
        with noise(model, ..., scale=method.scale(done)):
            with method.forward(model):
                logits = model(x)
                loss = task + method.penalty(model, x, y, logits)
        loss.backward()
        method.gradient(model, evaluate)   # evaluate() does all of the above once more
        optimiser.step()
        method.after(model)

    and after every epoch that is validated, in eval mode::

        with noise(model, "mean"), method.judging(model):  # or "off", as in training
            logits = model(validation.x)
    """

    #: Whether all rows of a batch have to be in one process.
    one_process = False

    def settings(self) -> Mapping[str, Any]:
        """What of it decides the result, JSON-able: part of a checkpoint's identity."""
        return {"method": type(self).__name__}

    def prepare(self, model: nn.Module) -> None:
        """Once, before the first step (or before the first after resuming, followed by :meth:`load_state`)."""

    def begin(self, done: float) -> None:
        """Once before every step, when ``done`` (0 … 1) of the training is over."""

    def scale(self, done: float) -> Mapping[str, float]:
        """Factors on the spreads of static errors, by effect pattern; ``done`` as above."""
        return {}

    def forward(self, model: nn.Module) -> contextlib.AbstractContextManager[Any]:
        """Entered around every forward pass, within the noise switch."""
        return contextlib.nullcontext()

    def penalty(self, model: nn.Module, x: Tensor, y: Tensor, logits: Tensor) -> Tensor | None:
        """Something to add to the loss; ``x`` and ``y`` as the model takes them, over all realisations."""
        return None

    def gradient(self, model: nn.Module, evaluate: Callable[[], None]) -> None:
        """After the backward pass; ``evaluate()`` clears the gradients and computes them anew, on the same draws."""

    def after(self, model: nn.Module) -> None:
        """After the optimiser's step."""

    def judging(self, model: nn.Module) -> contextlib.AbstractContextManager[Any]:
        """Entered around every validation, within the noise switch."""
        return contextlib.nullcontext()

    def state(self) -> Mapping[str, Tensor]:
        """What it has learnt so far, by name: kept in the checkpoint."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
