"""Distillation: the ideal model as a teacher of the one on devices."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from photonic_acdc.evaluating import evaluating
from photonic_acdc.training.method import Method
from simulators.errors import InputError


class Distillation(Method):
    r"""What a teacher thinks of every class, softened, as a second target.

    .. math:: w\,T^2\,\mathrm{KL}\bigl(\mathrm{softmax}(t/T) \,\Vert\, \mathrm{softmax}(z/T)\bigr)

    with the teacher's logits t and the student's z. In a plain loop: ``loss + d.penalty(model, x, y, logits)``.

    Args:
        teacher: maps the same ``x`` to logits of the same classes; in eval mode, without gradient, never changed.
        weight: w.
        temperature: T.

    Raises:
        InputError: a figure out of range; logits of another shape.

    Source: Hinton et al., arXiv:1503.02531; with noise Zhou et al., arXiv:2001.04974.
    """

    def __init__(self, teacher: nn.Module, *, weight: float = 1.0, temperature: float = 2.0):
        for name, value in (("weight", weight), ("temperature", temperature)):
            if not 0 < value < math.inf:
                raise InputError(f"Distillation: {name}", value=value, allowed="greater than 0")
        self._teacher, self._weight, self._temperature = teacher, weight, temperature

    def settings(self) -> Mapping[str, Any]:
        """See :class:`Method`; the teacher by a fingerprint of its values."""
        digest = hashlib.sha256()
        for value in self._teacher.state_dict().values():
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        return {
            **super().settings(),
            "weight": self._weight,
            "temperature": self._temperature,
            "teacher": digest.hexdigest()[:16],
        }

    def penalty(self, model: nn.Module, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
        """The weighted divergence, a mean over rows."""
        with torch.no_grad(), evaluating(self._teacher):
            taught = self._teacher(x)
        if taught.shape != logits.shape:
            raise InputError(
                "Distillation: the teacher's logits", value=list(taught.shape), allowed=f"{list(logits.shape)}"
            )
        soft = nn.functional.log_softmax(logits / self._temperature, -1)
        target = nn.functional.log_softmax(taught / self._temperature, -1)
        divergence = nn.functional.kl_div(soft, target, reduction="batchmean", log_target=True)
        return self._weight * self._temperature**2 * divergence
