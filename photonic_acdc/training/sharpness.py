"""Sharpness-aware training: masks in a wide valley of the loss, where being a little off costs little."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from photonic_acdc.optical.cascade import cascades
from photonic_acdc.training.method import Method
from simulators.errors import InputError


class SharpnessAware(Method):
    r"""The gradient at the worst place nearby, by the physical parameters.

    .. math:: g = \nabla L(w + \epsilon), \quad \epsilon = \rho\,\nabla L(w)/\lVert\nabla L(w)\rVert

    with w the phases of all masks: what devices err in. The gradient of everything else is taken there as well. Each
    step costs two; running statistics are those of the first.

    >>> sharp = SharpnessAware(0.5)
    >>> loss().backward(); sharp.gradient(optic, evaluate); optimiser.step()  # evaluate: zero_grad, loss().backward()

    Args:
        rho: ρ, rad, over all phases together: ρ/√n each of n, if they were alike.
        masks_only: whether the masks' phases alone are moved, or all parameters.

    Raises:
        InputError: a ρ that is not positive; a model without masks.

    Source: Foret et al., ICLR 2021 (arXiv:2010.01412); for photonic networks Xu et al., arXiv:2411.12352.
    """

    def __init__(self, rho: float, *, masks_only: bool = True):
        if not 0 < rho < math.inf:
            raise InputError("SharpnessAware: rho", value=rho, allowed="a radius > 0, in rad")
        self._rho, self._masks_only = rho, masks_only

    def settings(self) -> Mapping[str, Any]:
        """See :class:`Method`."""
        return {**super().settings(), "rho": self._rho, "masks_only": self._masks_only}

    def gradient(self, model: nn.Module, evaluate: Callable[[], None]) -> None:
        """Move the phases uphill, evaluate there, and put them back to the bit."""
        moved = [p for p in self._parameters(model) if p.grad is not None]
        gradients = [p.grad for p in moved if p.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm() if gradients else torch.zeros(())
        if not 0 < norm.item() < math.inf:
            return  # at the bottom there is no uphill; what is not finite is reported by whoever trains
        kept = [*moved, *model.buffers()]
        before = [value.detach().clone() for value in kept]
        with torch.no_grad():
            for p, gradient in zip(moved, gradients, strict=True):
                p += gradient * (self._rho / norm)
        try:
            evaluate()
        finally:
            with torch.no_grad():
                for value, previous in zip(kept, before, strict=True):
                    value.copy_(previous)

    def _parameters(self, model: nn.Module) -> list[nn.Parameter]:
        if not self._masks_only:
            return list(model.parameters())
        found = [
            p for cascade in cascades(model).values() for name, p in cascade.masks.named_parameters() if "phase" in name
        ]
        if not found:
            raise InputError("SharpnessAware: the model has no optical cascade", remedy="masks_only=False")
        return found
