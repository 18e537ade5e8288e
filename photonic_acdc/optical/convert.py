"""Put a model on a bench, or on another one."""

from __future__ import annotations

import copy
import functools
from typing import Any, Literal

import torch
from torch import Tensor, nn

from photonic_acdc.evaluating import evaluating
from photonic_acdc.layers import ACDC, AFDF, Intensity
from photonic_acdc.optical.cascade import OpticalCascade, cascades
from photonic_acdc.optical.masks import ExactMasks, NativeMasks
from photonic_acdc.optical.switches import noise
from simulators.bench import Bench
from simulators.detection import Kind
from simulators.errors import InputError
from simulators.ideal import Ideal
from simulators.pixel import Pixel

Mapping = Literal["native", "exact"]


def to_optical(
    model: nn.Module,
    bench: Bench,
    simulator: Any = Pixel,
    *,
    mapping: Mapping = "native",
    readout: Kind | None = None,
    x_max: float = 1.0,
    share: bool = False,
    generator: torch.Generator | None = None,
    **options: Any,
) -> nn.Module:
    """A copy of ``model`` whose :class:`AFDF` layers run on ``bench``; the model itself is not altered.

    Args:
        model: an AFDF layer or any module tree with some.
        bench: whose modes are the layers' grid; each layer is a cascade of its own zones.
        simulator: ``sim.Pixel`` or ``sim.Ideal``.
        mapping: ``"native"``: the bench's physical masks, initialised anew, are the parameters. ``"exact"``: the
            layer's own masks, mapped: exact for one stage read coherently, a start for more.
        readout: a kind of :class:`~simulators.Readout`. None: a layer directly followed by :class:`Intensity` in an
            ``nn.Sequential`` is read by the bare camera, which takes the place of that module; others coherently.
        x_max: |x| written as fully open; see :func:`set_input_range`.
        share: use the model's own parameters (exact mapping) instead of copies.
        generator: of the native masks' initial values.
        options: of the simulator (``order=2``).

    Returns:
        A module of the same kind; an AFDF becomes an :class:`OpticalCascade`.

    Raises:
        InputError: no AFDF in the model; a grid that is not the bench's; a bench that cannot show the masks; a layer
            with a bias, which light cannot add.
    """
    if mapping not in ("native", "exact"):
        raise InputError("mapping", value=repr(mapping), allowed="'native' or 'exact'")
    if share and mapping == "native":
        raise InputError('share=True with mapping="native"', allowed='share with mapping="exact": native masks are new')
    build = functools.partial(simulator, **options)
    layers = [module for module in model.modules() if isinstance(module, AFDF)]
    if not layers:
        real = any(isinstance(module, ACDC) for module in model.modules())
        remedy = "layer.as_afdf() in place of an ACDC layer" if real else "photonic_acdc.layers.AFDF"
        raise InputError("to_optical: the model has no AFDF layer", remedy=remedy)
    memo = {id(layer): layer for layer in layers} if share else {}
    numbers = {id(layer): i for i, layer in enumerate(layers)}

    def place(layer: AFDF, original: AFDF, kind: Kind) -> OpticalCascade:
        _check(layer, bench)
        address = f"layer[{numbers[id(original)]}]." if len(layers) > 1 else ""
        masks: Any
        if mapping == "exact" or simulator is Ideal:
            masks = ExactMasks(layer, bench, logical=simulator is Ideal)
        else:
            like = layer.a_phase
            masks = NativeMasks(bench, layer.stages, generator=generator, device=like.device, dtype=like.dtype)
        cascade = OpticalCascade(
            bench,
            masks,
            build,
            readout=kind,
            x_max=x_max,
            address=address,
            in_features=layer.in_features,
            out_features=layer.out_features,
        )
        return cascade.to(layer.a_phase.device)

    def convert(module: nn.Module, original: nn.Module) -> nn.Module:
        if isinstance(module, AFDF):
            assert isinstance(original, AFDF)
            return place(module, original, readout or "coherent")
        children = list(module._modules.items())
        for i, (name, child) in enumerate(children):
            if child is None:
                continue
            source = original._modules[name]
            assert source is not None
            follower = children[i + 1][1] if i + 1 < len(children) else None
            bare = isinstance(module, nn.Sequential) and isinstance(follower, Intensity)
            if isinstance(child, AFDF):
                assert isinstance(source, AFDF)
                kind = readout or ("intensity" if bare else "coherent")
                module._modules[name] = place(child, source, kind)
                if bare and kind == "intensity":
                    module._modules[children[i + 1][0]] = nn.Identity()
            else:
                module._modules[name] = convert(child, source)
        return module

    return convert(copy.deepcopy(model, memo), model)


def rebind(model: nn.Module, bench: Bench | None = None, simulator: Any = None, **options: Any) -> nn.Module:
    """A copy of an optical ``model`` on another bench of the same sizes, or under another simulator or order.

    >>> judge = rebind(optic, order=3)

    Args:
        model: with optical cascades; the parameters are copied.
        bench: None: the same one.
        simulator: ``sim.Pixel``, …; None: the same one, with ``options`` on top of its own.
        options: of the simulator.

    Raises:
        InputError: a bench whose masks have other sizes.
    """
    copied = copy.deepcopy(model)
    found = cascades(copied)
    if not found:
        raise InputError("rebind: the model has no optical cascade", remedy="to_optical(model, bench) first")
    for cascade in found.values():
        target = bench or cascade.bench
        if target.command_shapes != cascade.bench.command_shapes:
            raise InputError(
                "rebind: masks of the bench",
                value=target.command_shapes,
                allowed=str(cascade.bench.command_shapes),
            )
        cascade.bind(target, functools.partial(simulator or cascade.build, **options))
    return copied


@torch.no_grad()
def set_input_range(model: nn.Module, x: Tensor, *, headroom: float = 1.0) -> None:
    """Set every cascade's ``x_max`` once, to the largest |input| it meets while ``x`` passes with ideal devices.

    Args:
        model: with optical cascades; changed in place.
        x: training data, a batch as the model takes it.
        headroom: factor above the largest value.

    Raises:
        InputError: input that is zero throughout at some cascade.
    """

    def measure(cascade: OpticalCascade, inputs: tuple) -> None:
        largest = inputs[0].abs().max()
        if not largest > 0:
            raise InputError("set_input_range: the input of a cascade is zero throughout")
        cascade.x_max.copy_(largest * headroom)

    handles = [cascade.register_forward_pre_hook(measure) for cascade in cascades(model).values()]
    try:
        with evaluating(model), noise(model, "off"):
            model(x)
    finally:
        for handle in handles:
            handle.remove()


def _check(layer: AFDF, bench: Bench) -> None:
    if layer.bias is not None:
        raise InputError(
            "to_optical: an AFDF layer with bias",
            allowed="bias=False: modulators multiply, they do not add",
            remedy="a bias in the electronics behind the readout",
        )
    grid = layer.grid if len(layer.grid) == 2 else None
    y, x = bench.modes
    if grid == (y, x) or (grid is None and min(y, x) == 1 and max(y, x) == layer.features):
        return
    raise InputError(
        f"to_optical: an AFDF layer on the grid {layer.grid}",
        allowed=f"the bench's modes, {bench.modes}",
        remedy=f"AFDF({y * x}, stages, shape=({y}, {x})), or a bench with modes=(y, x) of the layer",
    )
