"""The twin of a bench: figures of its devices as parameters, fitted to what the bench does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from photonic_acdc.optical.cascade import OpticalCascade
from photonic_acdc.optical.switches import replacing
from simulators.elements import matches
from simulators.errors import InputError, nearest
from simulators.random import State


class Twin(nn.Module):
    r"""Figures of the devices of a cascade, each :math:`\text{nominal} + \text{spread}\cdot\varepsilon`, ε learned.

    Args:
        cascade: whose bench it is.
        patterns: of effects whose figures are fitted (``"*.phase_error"``); their spread is the data sheet's.

    Attributes:
        addresses: of the figures.

    Raises:
        InputError: a pattern that matches no effect that has a spread.
    """

    def __init__(self, cascade: OpticalCascade, patterns: Sequence[str] = ("*",)):
        super().__init__()
        like, names, found = cascade.reference, [], {}
        self._dtype, self._device = like.dtype, like.device
        for element in cascade.bench.elements(cascade.stages):
            for link in element.links:
                name = f"{element.address}.{link.name}"
                spread = [parameter for parameter in link.parameters if parameter.spread]
                if spread:
                    names.append(name)
                if any(matches(pattern, name) for pattern in patterns):
                    for parameter in spread:
                        found[f"{element.home(link)}.{parameter.name}"] = parameter.spread, element.shape(parameter)
        for pattern in patterns:
            if not any(matches(pattern, name) for name in names):
                hints = {f"*.{name.rpartition('.')[2]}" for name in names}
                raise InputError(
                    f"twin: pattern {pattern!r} matches no effect with a spread", allowed=nearest(pattern, hints)
                )
        nominal = cascade.bench.nominal(cascade.stages, dtype=like.dtype, device=like.device)
        self.addresses = tuple(found)
        self._held: dict[str, Tensor] = {}
        self._figures: State = nominal
        self._nominal = tuple(nominal[address] for address in found)
        self._spread = tuple(spread for spread, _ in found.values())
        self.errors = nn.ParameterList(
            torch.zeros(1, 1, *shape, dtype=like.dtype, device=like.device) for _, shape in found.values()
        )

    @torch.no_grad()
    def start(self, figures: Mapping[str, Tensor]) -> None:
        """Go on from ``figures``, by address; those that are not fitted are held as they are.

        Raises:
            InputError: an unknown address; a figure of another shape, or not finite.
        """
        figures = replacing(self._figures, figures)
        for address, nominal, spread, error in self._parts():
            if address in figures:
                error.copy_((figures[address].to(error) - nominal) / spread)
        held = {address: value for address, value in figures.items() if address not in self.addresses}
        self._held = {address: value.to(self._dtype).to(self._device) for address, value in held.items()}

    def overrides(self) -> dict[str, Tensor]:
        """Address → figure ``[1, 1, …]``, as :func:`photonic_acdc.noise` takes them."""
        return self._held | {address: nominal + spread * error for address, nominal, spread, error in self._parts()}

    def _parts(self) -> Iterator[tuple[str, Tensor, float, Tensor]]:
        return zip(self.addresses, self._nominal, self._spread, self.errors, strict=True)

    def surprise(self) -> Tensor:
        """Σε², minus twice the logarithm of the prior but for a constant."""
        return torch.stack([error.square().sum() for error in self.errors]).sum()
