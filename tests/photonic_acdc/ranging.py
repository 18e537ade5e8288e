"""What the tests of learned ranges and soft levels share: a small bench of few bits, and a layer on it."""

from __future__ import annotations

import torch

import photonic_acdc as pa
import simulators as sim

MODES = (4, 4)


def bench_of(*, bits=4, input_bits=4, detector_bits=8, panels=True, detector=None):
    """The reference bench with few bits; ``panels=False``: each mask on a panel of its own."""
    bench = sim.reference_bench(MODES)
    stage = list(bench.stage)
    for i in (0, 2):
        stage[i] = stage[i].replace(device=stage[i].device.replace(bits=bits))
        if not panels:
            stage[i] = stage[i].replace(panel=None)
    written = bench.input.replace(device=bench.input.device.replace(bits=input_bits))
    seen = bench.detector.replace(bits=detector_bits) if detector is None else detector
    return bench.replace(stage=tuple(stage), input=written, detector=seen)


def optic_of(bench=None, *, stages=2, readout="intensity", dtype=torch.float64):
    layer = pa.layers.AFDF(16, stages, shape=MODES, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    return pa.to_optical(layer, bench or bench_of(), readout=readout, order=2, generator=generator)


def rows(n=8, seed=0, dtype=torch.float64):
    return torch.rand(n, 16, dtype=dtype, generator=torch.Generator().manual_seed(seed))


DIODES = sim.Photodiode(name="diodes", resolution=(8, 8), pixel_pitch=1e-3, full_scale=1e-9, bits=8)
