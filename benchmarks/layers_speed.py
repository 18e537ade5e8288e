"""ACDC and AFDF beside dense layers, a package of cosine transforms, the plain chain, and the transforms alone.

Ratios at 2M samples (rows times features) a call, two threads, float32 or complex64; candidates take turns, medians of
their times. "FFTs alone" are the transforms of the whole batch, one after the other with nothing between. Memory is the
growth of a process's peak over its inputs and output, each candidate in a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.memory import SAMPLES, STAGES, extra_fields
from benchmarks.results import Kept, publish
from benchmarks.timing import paired, row
from photonic_acdc.layers import ACDC, AFDF
from photonic_acdc.layers.cascade import Cascade
from photonic_acdc.layers.kernels import Kernel
from photonic_acdc.provenance import attributes

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
DEPTHS = (1, 4, 12)
PASSES = ("forward", "forward and backward")
#: Above it a complex dense layer and its gradient take gigabytes.
LARGEST_DENSE = {"dense": 16384, "dense, complex": 4096}


def rows(*, quick: bool = False, output: Path | None = None) -> list[dict]:
    """Rows of this benchmark."""
    repetitions = 3 if quick else 9
    sizes = (512, 1024, 4096) if quick else SIZES
    kept = Kept(output, "layers_speed", {"samples": SAMPLES, "repetitions": repetitions})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        targets = [
            *kept("afdf-inference", lambda: _afdf_inference(repetitions)),
            *kept("afdf-training", lambda: _afdf_training(repetitions)),
            *kept("memory", _memory),
        ]
        for n in (1024,) if quick else (256, 1024, 4096):
            targets += kept(f"acdc-inference-{n}", lambda n=n: _acdc_inference(n, repetitions))
        growth = kept("growth", lambda: _growth((256, 1024, 4096), repetitions))
        times = {n: kept(f"sizes-{n}", lambda n=n: _all_layers(n, max(3, repetitions // 2))) for n in sizes}
        peer = kept("butterflies", lambda: _butterflies(repetitions))
    finally:
        torch.set_num_threads(before)
    publish(output, "layers_speed", _dataset(times), draw)
    return [*targets, *_beside_dense(times), *growth, *peer]


# --- AFDF ---------------------------------------------------------------------------------------------------------


def _ffts(x: Tensor, count: int) -> None:
    for _ in range(count // 2):
        x = torch.fft.ifft(torch.fft.fft(x, norm="ortho"), norm="ortho")


def _call(layer: AFDF | ACDC, kernel: Kernel, x: Tensor) -> None:
    layer.kernel = kernel
    with torch.no_grad():
        layer(x)


def _forward(layer: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        layer(x)


def _step(layer: nn.Module, x: Tensor, cotangent: Tensor, kernel: Kernel | None = None) -> None:
    """Forward and backward, to the input as well."""
    if kernel is not None and isinstance(layer, Cascade):
        layer.kernel = kernel
    x = x.detach().requires_grad_()
    layer(x).backward(cotangent)
    layer.zero_grad(set_to_none=True)


def _afdf_inference(repetitions: int, n: int = 1024) -> list[dict]:
    layer, x = AFDF(n, STAGES), torch.randn(SAMPLES // n, n, dtype=torch.complex64)
    kernels: tuple[Kernel, ...] = ("fused", "plain", "dense")
    candidates: dict[str, Callable[[], None]] = {
        kernel: (lambda kernel=kernel: _call(layer, kernel, x)) for kernel in kernels
    }
    times = paired({"ffts": lambda: _ffts(x, 2 * STAGES), **candidates}, repetitions)
    case = f"AFDF inference, K = {STAGES}, N = {n}"
    return [
        row(f"{case}: fused / its 2K FFTs alone", times["fused"] / times["ffts"], "x", 1.3),
        row(f"{case}: plain chain / fused", times["plain"] / times["fused"], "x", at_least=1.5),
        row(f"{case}: multiplied out and applied / fused", times["dense"] / times["fused"], "x"),
    ]


def _afdf_training(repetitions: int, n: int = 1024) -> list[dict]:
    x = torch.randn(SAMPLES // n, n, dtype=torch.complex64)
    cotangent = torch.randn_like(x)
    layer, unitary = AFDF(n, STAGES), AFDF(n, STAGES, phase_only=True)
    times = paired(
        {
            "ffts": lambda: _ffts(x, 4 * STAGES),
            "fused": lambda: _step(layer, x, cotangent, "fused"),
            "plain": lambda: _step(layer, x, cotangent, "plain"),
            "reversible": lambda: _step(unitary, x, cotangent, "reversible"),
        },
        max(3, repetitions // 2),
    )
    case = f"AFDF training step, K = {STAGES}, N = {n}"
    return [
        row(f"{case}: fused / its 4K FFTs alone", times["fused"] / times["ffts"], "x", 1.6),
        row(f"{case}: plain chain / its 4K FFTs alone", times["plain"] / times["ffts"], "x"),
        row(f"{case}: reversible, phase-only / its 4K FFTs alone", times["reversible"] / times["ffts"], "x"),
    ]


def _memory(n: int = 1024) -> list[dict]:
    """Fields held beside the input, the output and, in training, the gradients that go in and out."""
    fused, plain = extra_fields("inference", "fused", n), extra_fields("inference", "plain", n)
    case = f"AFDF memory, K = {STAGES}, N = {n}"
    found = [
        row(f"{case}: inference, fused: fields beside input and output", fused, "fields", 2),
        row(f"{case}: inference, plain chain: fields beside input and output", plain, "fields"),
    ]
    fields = {kernel: extra_fields("training", kernel, n) for kernel in ("plain", "fused", "reversible")}
    found.append(row(f"{case}: training, plain chain", fields["plain"], "fields"))
    found.append(row(f"{case}: training, fused / plain chain", fields["fused"] / fields["plain"], "x", 1 / 2))
    found.append(row(f"{case}: training, reversible / plain chain", fields["reversible"] / fields["plain"], "x", 1 / 8))
    return found


# --- ACDC ---------------------------------------------------------------------------------------------------------


def _rffts(x: Tensor, count: int) -> None:
    for _ in range(count // 2):
        x = torch.fft.irfft(torch.fft.rfft(x), n=x.shape[-1])


def _dct_package(x: Tensor, layer: ACDC) -> None:
    """The same cascade on torch-dct."""
    import torch_dct

    with torch.no_grad():
        for a, d in zip(layer.a, layer.d, strict=True):
            x = torch_dct.idct(torch_dct.dct(x * a, norm="ortho") * d, norm="ortho")


def _acdc_inference(n: int, repetitions: int) -> list[dict]:
    layer, x = ACDC(n, STAGES, bias=False), torch.randn(SAMPLES // n, n)
    with_relu = ACDC(n, STAGES, permute=True, activation="relu")
    candidates = {
        "rffts": lambda: _rffts(x, 2 * STAGES),
        "fused": lambda: _call(layer, "fused", x),
        "plain": lambda: _call(layer, "plain", x),
        "relu": lambda: _call(with_relu, "fused", x),
    }
    case = f"ACDC inference, K = {STAGES}, N = {n}"
    try:
        _dct_package(x[:1], layer)
        candidates["torch-dct"] = lambda: _dct_package(x, layer)
    except ImportError as error:
        print(f'torch-dct is left out: {error}; pip install "photonic-acdc[peers]"')
    times = paired(candidates, repetitions)
    found = [row(f"{case}: fused / its 2K real FFTs alone", times["fused"] / times["rffts"], "x", 1.6)]
    if "torch-dct" in times:
        found.append(row(f"{case}: torch-dct stack / fused", times["torch-dct"] / times["fused"], "x", at_least=4))
    found.append(row(f"{case}: plain chain / fused", times["plain"] / times["fused"], "x"))
    found.append(row(f"{case}: with ReLU and permutations / fused", times["relu"] / times["fused"], "x"))
    return found


def _butterflies(repetitions: int, n: int = 1024) -> list[dict]:
    """One ACDC layer as torch-structured makes it, a product of butterflies."""
    try:
        from torch_structured.butterfly.special import acdc
    except ImportError as error:  # without a GPU's compiler it cannot be imported
        print(f"torch-structured is left out: {error}")
        return []
    layer, x = ACDC(n, 1, bias=False), torch.randn(SAMPLES // n, n)
    peer = acdc(torch.ones(n), torch.ones(n))

    def call() -> None:
        with torch.no_grad():
            peer(x)

    times = paired({"peer": call, "fused": lambda: _call(layer, "fused", x)}, repetitions)
    return [row(f"ACDC, K = 1, N = {n}: torch-structured / fused", times["peer"] / times["fused"], "x")]


# --- all sizes ----------------------------------------------------------------------------------------------------


def _all_layers(n: int, repetitions: int) -> dict[str, dict[str, float]]:
    """Seconds by layer and pass."""
    real = torch.randn(SAMPLES // n, n)
    wide = torch.randn(SAMPLES // n, n, dtype=torch.complex64)
    layers: dict[str, tuple[nn.Module, Tensor]] = {}
    for k in DEPTHS:
        layers[f"ACDC, K = {k}"] = ACDC(n, k), real
        layers[f"AFDF, K = {k}"] = AFDF(n, k), wide
    if n <= LARGEST_DENSE["dense"]:
        layers["dense"] = nn.Linear(n, n), real
    if n <= LARGEST_DENSE["dense, complex"]:
        layers["dense, complex"] = nn.Linear(n, n, dtype=torch.complex64), wide

    works: dict[str, Callable[[nn.Module, Tensor], None]] = {
        "forward": _forward,
        "forward and backward": lambda layer, x: _step(layer, x, x),
    }
    return {
        name: paired({key: partial(work, *pair) for key, pair in layers.items()}, repetitions)
        for name, work in works.items()
    }


def _beside_dense(times: dict[int, dict]) -> list[dict]:
    targets = {"forward": 12, "forward and backward": 4}
    found = []
    for n, by_pass in times.items():
        for name in PASSES:
            ratio = by_pass[name]["dense"] / by_pass[name]["ACDC, K = 1"]
            target = targets[name] if n == 4096 else 1 if n >= 512 else None
            found.append(row(f"{name}, N = {n}: dense / ACDC, K = 1", ratio, "x", at_least=target))
            if "dense, complex" in by_pass[name]:
                ratio = by_pass[name]["dense, complex"] / by_pass[name]["AFDF, K = 1"]
                found.append(row(f"{name}, N = {n}: complex dense / AFDF, K = 1", ratio, "x"))
    return found


def _growth(sizes: tuple[int, ...], repetitions: int) -> list[dict]:
    """Exponent p of (N log N)^p in the time a row of the fused cascades, and of N^p for a dense layer."""
    works = {}
    for n in sizes:
        real, wide = torch.randn(SAMPLES // n, n), torch.randn(SAMPLES // n, n, dtype=torch.complex64)
        works["ACDC", n] = partial(_call, ACDC(n, STAGES), "fused", real)
        works["AFDF", n] = partial(_call, AFDF(n, STAGES), "fused", wide)
        works["dense", n] = partial(_forward, nn.Linear(n, n), real)
    times = paired(works, repetitions)
    found = []
    for layer in ("ACDC", "AFDF", "dense"):
        work = [n * (math.log2(n) if layer != "dense" else 1) for n in sizes]
        seconds = [times[layer, n] * n / SAMPLES for n in sizes]
        exponent = np.polyfit(np.log(work), np.log(seconds), 1)[0]
        case = f"forward, N = {sizes[0]} … {sizes[-1]}: exponent p of the time a row"
        found.append(row(f"{case}, {layer}: ({'N' if layer == 'dense' else 'N log N'})^p", exponent, "1"))
    return found


def _dataset(times: dict[int, dict]) -> xr.Dataset:
    import xarray as xr

    layers = list(dict.fromkeys(layer for by_pass in times.values() for layer in by_pass["forward"]))

    def of(name: str, layer: str) -> list[float]:
        return [by_pass[name].get(layer, math.nan) for by_pass in times.values()]

    values = [[of(name, layer) for layer in layers] for name in PASSES]
    sizes = np.array(list(times))
    seconds = np.array(values) * sizes / SAMPLES
    return xr.Dataset(
        {"seconds": (("pass", "layer", "features"), seconds, {"long_name": "time a row", "units": "s"})},
        coords={
            "pass": ("pass", list(PASSES)),
            "layer": ("layer", layers),
            "features": ("features", sizes, {"long_name": "features N", "units": "1"}),
        },
        attrs=attributes("Time of layers a row", samples_a_call=SAMPLES, threads=2),
    )


def draw(dataset: xr.Dataset) -> Figure:
    """Time a row against N, forward and with the gradient."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    styles = {"ACDC": ("C0", "o"), "AFDF": ("C1", "s"), "dense": ("0.25", "^"), "dense, complex": ("0.6", "v")}
    lines = {"1": "-", "4": "--", "12": ":"}
    for axis, name in zip(axes, PASSES, strict=True):
        for layer in dataset.layer.values:
            kind, _, depth = str(layer).partition(", K = ")
            colour, marker = styles[kind]
            seconds = dataset.seconds.sel({"pass": name, "layer": layer})
            axis.plot(
                dataset.features,
                1e6 * seconds,
                lines[depth or "1"],
                color=colour,
                marker=marker,
                markersize=4,
                label=str(layer),
            )
        axis.set(xscale="log", yscale="log", title=name, xlabel="features N")
        axis.set_xticks(dataset.features, [str(n) for n in dataset.features.values], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("time a row (µs)")
    axes[1].legend(frameon=False, fontsize=8)
    return figure
