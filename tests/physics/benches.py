"""Random cascades, what a coherent readout sees of them, and measures of agreement."""

from __future__ import annotations

import math

import torch

import simulators as sim


def commands_for(shapes, seed=0, *, complex_masks=False):
    """Random phases, and random amplitudes with ``complex_masks``."""
    generator = torch.Generator().manual_seed(seed)

    def values(shape, scale):
        return scale * torch.rand(shape, generator=generator, dtype=torch.float64)

    return [sim.Command(values(shape, 2 * math.pi), values(shape, 1.0) if complex_masks else None) for shape in shapes]


def field_for(modes, seed=0, rows=3):
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(1, rows, *modes, generator=generator, dtype=torch.complex128)


def fidelity(a, b):
    """|⟨a, b⟩|² of the two fields, normalised: 1 where they are equal up to a constant."""
    return float((a.conj() * b).sum().abs() ** 2 / ((a.abs() ** 2).sum() * (b.abs() ** 2).sum()))


def nmse(a, b):
    """Squared error of a against b, relative to b; no constant is taken out."""
    return float(((a - b).abs() ** 2).sum() / (b.abs() ** 2).sum())


def box(field, order):
    """The field projected on each mode's box: what a coherent readout sees."""
    y, x = field.shape[-2] // order, field.shape[-1] // order
    return field.reshape(*field.shape[:-2], y, order, x, order)[..., :, 0, :, 0]


def lens_of(bench, **changes):
    """``bench`` with both lenses changed, every other effect of it off."""
    lens = bench.stage[1].device.replace(**changes)
    stage = (bench.stage[0], bench.stage[1].replace(device=lens), bench.stage[2], bench.stage[3].replace(device=lens))
    return bench.replace(stage=stage)


def misaligned(bench, misalignment):
    """``bench`` with every element, input and camera included, so misaligned."""
    return bench.replace(
        stage=tuple(place.replace(misalignment=misalignment) for place in bench.stage),
        input=bench.input.replace(misalignment=misalignment),
        detector_misalignment=misalignment,
    )
