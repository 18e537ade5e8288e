"""The simulators beside TorchOptics, beside their own matrix products, and by size; one thread unless said."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
import time
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

import simulators as sim
from benchmarks.memory import peak
from benchmarks.timing import paired, row
from simulators.fourier import along_axes
from simulators.grid import Grid
from simulators.propagation import TwoF, aperture
from simulators.propagation.axis import AxisFourier, Samples
from simulators.zernike import wavefront

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1
#: A third of a wave of astigmatism and coma over the clear aperture.
ABERRATION = {5: 0.2, 7: 0.2, 11: 0.1}


def rows(*, quick: bool = False) -> list[dict]:
    """Rows of this benchmark."""
    torch.set_num_threads(1)
    found = []
    with torch.no_grad():
        found += _beside_torchoptics(quick)
        found += _pixel(quick)
        found += _crossover(quick)
        found += _realisations(quick)
        found += _by_size(quick)
        found += _wave(quick)
    found += _panel()
    return found


# --- a lens, beside TorchOptics ---------------------------------------------------------------------------------------


def _beside_torchoptics(quick: bool) -> list[dict]:
    """64 × 64 modes of 4 samples, critical sampling: an ideal lens, an aberrated one twice as wide as the field."""
    peer = _peer()
    if peer is None:
        print("simulators_speed: torchoptics is not installed, its rows are left out", file=sys.stderr)
        return []
    count, fine, width = 64, 4, 2
    pitch = math.sqrt(WAVELENGTH * FOCAL_LENGTH / count) / fine
    grid = Grid((count * fine, count * fine), (pitch, pitch))
    field = _band_limited(count, fine).to(torch.complex64)
    samples = width * count * fine
    diameter = width * grid.extent[1]
    lens = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=diameter, aberration=ABERRATION)
    ideal = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH)
    plane = Grid((samples, samples), grid.pitch)
    pupil = _phase(plane, diameter)
    theirs_ideal = _TorchOptics(peer, grid, samples, None)
    theirs = _TorchOptics(peer, grid, samples, pupil)
    exact_ideal, exact = _dense(field, grid, None, diameter), _dense(field, grid, ABERRATION, diameter)
    found = []
    for name, ours, other, truth, least in (
        ("ideal lens", ideal, theirs_ideal, exact_ideal, 30.0),
        ("aberrated lens with an edge", lens, theirs, exact, 5.0),
    ):
        times = paired({"ours": lambda o=ours: o(field), "theirs": lambda o=other: o(field)}, 3 if quick else 10)
        errors = [float((out - truth).norm() / truth.norm()) for out in (ours(field), other(field))]
        case = f"2f, {count} x {count} modes x {fine}, {name}"
        found.append(row(f"{case}: TorchOptics / ours", times["theirs"] / times["ours"], "x", at_least=least))
        found.append(row(f"{case}: error, ours / TorchOptics's", errors[0] / errors[1], "x", 1.0))
        found.append(row(f"{case}: error, ours", errors[0], ""))
    return found


class _TorchOptics:
    """Fresnel to the lens's plane, its sampled phase and disc, Fresnel on: the package's own way."""

    def __init__(self, package: ModuleType, grid: Grid, samples: int, pupil: Tensor | None):
        self._package, self._grid, self._samples, self._pupil = package, grid, samples, pupil
        self._lens = package.elements.Lens((samples, samples), FOCAL_LENGTH, FOCAL_LENGTH, spacing=grid.pitch[1])

    def __call__(self, field: Tensor) -> Tensor:
        options: dict[str, Any] = {
            "spacing": self._grid.pitch[1],
            "propagation_method": "ASM_FRESNEL",
            "interpolation_mode": "nearest",
            "asm_pad": (self._samples, self._samples),
        }
        light = self._package.Field(field, wavelength=WAVELENGTH, spacing=self._grid.pitch[1])
        light = self._lens(light.propagate((self._samples, self._samples), FOCAL_LENGTH, **options))
        if self._pupil is not None:
            light = light.modulate(self._pupil)
        light = light.propagate(self._grid.shape, 2 * FOCAL_LENGTH, **options)
        carrier = 4 * math.pi / WAVELENGTH * FOCAL_LENGTH
        return light.data * complex(math.cos(carrier), -math.sin(carrier))


def _peer() -> ModuleType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("torchoptics")
        except ImportError:
            return None


def _phase(plane: Grid, diameter: float) -> Tensor:
    """The wavefront over the clear aperture; the disc itself is the package's."""
    y, x = plane.meshed()
    turn = 2 * math.pi * wavefront(ABERRATION, y / (diameter / 2), x / (diameter / 2))
    return torch.complex(turn.cos(), turn.sin()).to(torch.complex64)


def _dense(field: Tensor, grid: Grid, aberration: dict[int, float] | None, diameter: float) -> Tensor:
    """The truth: sums over a lens plane sampled without regard to cost; without a lens plane for the ideal lens."""
    x = grid.positions(1).numpy()
    if aberration is None:
        kernel = np.exp(-2j * np.pi * np.outer(x, x) / (WAVELENGTH * FOCAL_LENGTH))
        out = kernel @ field.numpy() @ kernel.T * grid.cell / (1j * WAVELENGTH * FOCAL_LENGTH)
        return torch.from_numpy(out)
    count = 2048
    lens = Grid((count, count), (1.1 * diameter / count,) * 2)
    s = lens.positions(1).numpy()
    to = np.exp(1j * np.pi * (s[:, None] - x) ** 2 / (WAVELENGTH * FOCAL_LENGTH))
    y, xs = lens.meshed()
    turn = 2 * math.pi * wavefront(aberration, y / (diameter / 2), xs / (diameter / 2))
    pupil = (torch.complex(turn.cos(), turn.sin()) * aperture(lens, diameter)).numpy()
    curve = np.exp(-1j * np.pi * s**2 / (WAVELENGTH * FOCAL_LENGTH))
    at_lens = (to @ field.numpy() @ to.T) * pupil * curve[:, None] * curve
    scale = grid.cell * lens.cell / (1j * WAVELENGTH * FOCAL_LENGTH) ** 2
    return torch.from_numpy(to.T @ at_lens @ to * scale)


def _band_limited(count: int, fine: int) -> Tensor:
    """Random values of ``count`` critical cells, sinc-interpolated."""
    coarse = (torch.arange(count, dtype=torch.float64) - (count - 1) / 2)[None]
    place = ((torch.arange(count * fine, dtype=torch.float64) - (count * fine - 1) / 2) / fine)[:, None]
    sinc = torch.sinc(place - coarse).to(torch.complex128)
    values = torch.randn(count, count, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return sinc @ values @ sinc.T


# --- Pixel ------------------------------------------------------------------------------------------------------------


def _commands(bench: sim.Bench, stages: int) -> list[sim.Command]:
    generator = torch.Generator().manual_seed(0)
    return [
        sim.Command(2 * math.pi * torch.rand(shape, generator=generator)) for shape in bench.command_shapes * stages
    ]


def _field(bench: sim.Bench, rows_: int) -> Tensor:
    return torch.randn(1, rows_, *bench.modes, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


def _pixel(quick: bool) -> list[dict]:
    """31 × 31 modes, q = 2: all of the forward pass beside the products with its lenses' matrices."""
    bench, stages = sim.reference_bench((31, 31)).only(), 2
    state, commands = bench.nominal(stages, dtype=torch.float32), _commands(bench, stages)
    pixel = sim.Pixel(bench, stages, order=2)
    found = []
    for count in (1, 64):
        field = _field(bench, count)
        crossings = pixel.crossings(state, field)
        fields = [torch.randn(1, count, y.size, x.size, dtype=torch.complex64) for y, x in pixel.planes[: 2 * stages]]
        times = paired(
            {
                "forward": lambda f=field: pixel(commands, f, state),
                "products": lambda fs=fields, cs=crossings: [
                    along_axes(c.front[0], f, c.front[1]) for c, f in zip(cs, fs, strict=True)
                ],
            },
            5 if quick else 25,
        )
        case = f"Pixel q = 2, 31 x 31 modes, K = {stages}, {count} rows: forward / lens products"
        found.append(row(case, times["forward"] / times["products"], "x", 1.5 if count > 1 else None))
    return found


def _crossover(quick: bool) -> list[dict]:
    """Where a fast transform overtakes a matrix along one axis, N samples to N, 32 fields of N rows at most 2¹⁷."""
    found, overtaken = [], None
    for count in (32, 64, 128, 256, 512, 1024):
        front = back = Samples(count, 1.0)
        kinds = {"matrix": 0.97 * count, "chirp-z": 0.97 * count, "fft": float(count)}
        field = torch.randn(max(1, 2**17 // count), count, dtype=torch.complex64)
        axes = {kind: AxisFourier(front, back, scale, kind) for kind, scale in kinds.items()}
        times = paired({kind: lambda a=axis, f=field: a(f, -1) for kind, axis in axes.items()}, 5 if quick else 15)
        if overtaken is None and times["chirp-z"] < times["matrix"]:
            overtaken = count
        chosen = AxisFourier(front, back, 0.97 * count).method
        best = min(("matrix", "chirp-z"), key=lambda kind: times[kind])
        found.append(row(f"one axis, N = {count}: matrix / chirp-z", times["matrix"] / times["chirp-z"], "x"))
        found.append(row(f"one axis, N = {count}: matrix / FFT", times["matrix"] / times["fft"], "x"))
        found.append(row(f"one axis, N = {count}: chosen / best", times[chosen] / times[best], "x", 1.5))
    found.append(row("one axis: chirp-z is the faster one from N =", float(overtaken or 0), ""))
    return found


def _realisations(quick: bool) -> list[dict]:
    """Sixteen benches as built, 512 rows: one after the other, all at once, and each as one matrix."""
    bench, stages, count = sim.reference_bench((8, 8)), 2, 16
    pixel, commands, field = sim.Pixel(bench, stages, order=2), _commands(bench, stages), _field(bench, 512)
    states = [
        {key: value.float() for key, value in sim.Realisations(0, (r,)).draw(bench, stages).items()}
        for r in range(count)
    ]
    together = {
        key: value.float() for key, value in sim.Realisations(0, tuple(range(count))).draw(bench, stages).items()
    }
    times = paired(
        {
            "loop": lambda: [pixel(commands, field, state) for state in states],
            "batch": lambda: pixel(commands, field, together),
            "collapsed": lambda: [field.flatten(-2) @ pixel.matrix(commands, state).mT for state in states],
        },
        2 if quick else 5,
    )
    best = min(times["loop"], times["batch"])
    case = f"{count} realisations, 512 rows, 8 x 8 modes"
    return [
        row(f"{case}: loop / batch", times["loop"] / times["batch"], "x"),
        row(f"{case}: best of both / one matrix each", best / times["collapsed"], "x", at_least=1.5),
    ]


def _by_size(quick: bool) -> list[dict]:
    """Time of one stage against modes, one row each, and the exponent of a power law in N²."""
    found = []
    for name, build in (("Pixel q = 2", lambda b: sim.Pixel(b, 1, order=2)), ("Wave", lambda b: sim.Wave(b, 1))):
        sizes, seconds = (8, 16, 31, 62), []
        for side in sizes:
            bench = _grown(side)
            simulator, state = build(bench), bench.nominal(1, dtype=torch.float32)
            commands, field = _commands(bench, 1), _field(bench, 16)
            work = {"it": lambda s=simulator, c=commands, f=field, st=state: s(c, f, st)}
            seconds.append(paired(work, 5 if quick else 15)["it"])
        slope = np.polyfit(np.log([side**2 for side in sizes]), np.log(seconds), 1)[0]
        case = f"{name}, {sizes[0]}² to {sizes[-1]}² modes, M = 2N"
        found.append(row(f"{case}: ms/row and stage at {sizes[-1]}²", 1e3 * seconds[-1] / 16, "ms"))
        found.append(row(f"{case}: exponent in the modes", float(slope), ""))
    return found


def _grown(side: int) -> sim.Bench:
    """The reference bench with a focal length that gives every mode two pixels of the Fourier plane an axis."""
    bench = sim.reference_bench((10, 10)).only()
    focal_length = 2 * side * bench.stage[0].pitch ** 2 / bench.source.wavelength
    lens = bench.stage[1].device.replace(focal_length=focal_length)
    stage = tuple(place.replace(device=lens) if j % 2 else place for j, place in enumerate(bench.stage))
    return bench.replace(modes=(side, side), stage=stage)


def _wave(quick: bool) -> list[dict]:
    """The reference bench at its largest, on two threads: the field of one row, a stage."""
    torch.set_num_threads(2)
    found = []
    bench = sim.reference_bench((31, 31)).only()
    lens = bench.stage[1].device.replace(figure_error=20e-9)
    stage = [place.replace(device=lens) if j % 2 else place for j, place in enumerate(bench.stage)]
    aberrated = bench.replace(stage=tuple(stage), keep=("*.figure_error",))
    for name, changed in (("ideal lenses", bench), ("aberrated lenses", aberrated)):
        wave = sim.Wave(changed, 1)
        state = {key: value.float() for key, value in sim.Realisations(0, (0,)).draw(changed, 1).items()}
        commands, field = _commands(changed, 1), _field(changed, 1)
        work = {"it": lambda w=wave, c=commands, f=field, s=state: w(c, f, s)}
        seconds = paired(work, 5 if quick else 15)["it"]
        found.append(row(f"Wave, 31 x 31 modes, {name}, two threads: a field and stage", 1e3 * seconds, "ms", 100))
    torch.set_num_threads(1)
    return found


# --- a whole panel ----------------------------------------------------------------------------------------------------


def _panel() -> list[dict]:
    """1024 × 1024 pixels, two samples each, through a 2f with an edge, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.simulators_speed"]
    seconds, gibibytes = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    case = "2f, 1024 x 1024 pixels x 2 samples, lens with an edge"
    return [row(f"{case}: peak memory", gibibytes, "GiB", 3.0), row(f"{case}: time with its kernels", seconds, "s")]


def _measure_panel() -> None:
    torch.set_num_threads(2)
    grid = Grid((2048, 2048), (4e-6, 4e-6))
    field = torch.randn(2048, 2048, dtype=torch.complex64)
    start = time.perf_counter()
    with torch.no_grad():
        TwoF(grid, grid, WAVELENGTH, 1024 * (8e-6) ** 2 / WAVELENGTH, aperture=25.4e-3)(field)
    print(time.perf_counter() - start, peak() / 2**30)


if __name__ == "__main__":
    _measure_panel()
