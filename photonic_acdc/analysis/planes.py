"""The field, plane by plane, with the structure inside pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from photonic_acdc.optical.cascade import cascades
from photonic_acdc.provenance import attributes
from simulators.bench import Bench
from simulators.errors import InputError

if TYPE_CHECKING:
    import xarray as xr


@torch.no_grad()
def field_planes(model: nn.Module, x: Tensor, *, samples: int = 6) -> xr.Dataset:
    """The field of one input at the input, behind every mask, and at the detector, under the current noise switch.

    Args:
        model: with exactly one optical cascade, or the cascade itself.
        x: ``[N]``, one input of the cascade.
        samples: points a macro-pixel and axis at which the pixel modes are summed.

    Returns:
        Dataset with one complex variable a plane (√photons/m), each over its own ``y``, ``x`` in metres.

    Raises:
        InputError: no cascade, or several.
    """
    import xarray as xr

    found = list(cascades(model).values())
    if len(found) != 1:
        raise InputError("field_planes: optical cascades in the model", value=len(found), allowed="one")
    cascade = found[0]
    order = cascade.simulator.order
    variables = {}
    for address, field in cascade.fields(x[None]).items():
        if ".lens[" in address:  # in front of a mask the field has the same power as behind, which is shown
            continue
        pitch = _pitch(cascade.bench, address)
        modes = field[0, 0]
        # The input, and what an even first mask makes of it, are constant over a pixel.
        q = modes.shape[-1] // _pixels(cascade.bench, address)
        fine = _sampled(modes.to(torch.complex128), q, samples) / pitch
        name = address.replace(".", "_").replace("[", "").replace("]", "")
        coords = {}
        for axis, n in zip(("y", "x"), fine.shape, strict=True):
            place = (np.arange(n) - (n - 1) / 2) * pitch / samples
            coords[f"{name}_{axis}"] = (f"{name}_{axis}", place, {"long_name": axis, "units": "m"})
        variables[name] = xr.DataArray(
            fine.numpy(),
            dims=(f"{name}_y", f"{name}_x"),
            coords=coords,
            attrs={"long_name": address, "units": "m-1"},
        )
    return xr.Dataset(variables, attrs=attributes("Field plane by plane", order=order))


def _pitch(bench: Bench, address: str) -> float:
    return bench.stage[2].pitch if address.endswith("mask[1]") else bench.stage[0].pitch


def _pixels(bench: Bench, address: str) -> int:
    return (bench.fourier_pixels if address.endswith("mask[1]") else bench.modes)[1]


def _sampled(modes: Tensor, order: int, samples: int) -> Tensor:
    """Sum of Legendre modes at the centres of ``samples`` cells a pixel."""
    points = (np.arange(samples) + 0.5) / samples * 2 - 1
    basis = np.stack([math.sqrt(2 * a + 1) * np.polynomial.legendre.Legendre.basis(a)(points) for a in range(order)])
    weights = torch.from_numpy(basis).to(modes.dtype)  # [q, samples]
    y, x = modes.shape[0] // order, modes.shape[1] // order
    fine = torch.einsum("yaxb,as,bt->ysxt", modes.reshape(y, order, x, order), weights, weights)
    return fine.reshape(y * samples, x * samples)
