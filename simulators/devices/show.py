r"""What a modulator makes of its command: the chain of effects of a phase panel, of an amplitude panel, of both.

Time dependence exp(-iωt): extra optical path is *positive* phase. What acts a macro-pixel comes first (levels, look-up
table, ripple), then what knows its native pixels and edges (fringing, gaps), on the nodes of a
:class:`~simulators.devices.surface.Surface`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from simulators import effects
from simulators.devices.chain import Element, pixelwise
from simulators.devices.modulator import FLATNESS_TERMS, AmplitudeModulator, PhaseModulator
from simulators.devices.surface import Surface
from simulators.effects.quantisation import even_levels, soft_levels
from simulators.random import Shots, State
from simulators.zernike import zernike


def show(
    elements: Mapping[str, Element],
    element: Element,
    phase: Tensor,
    amplitude: Tensor | None,
    state: State,
    *,
    cosines: Tensor | None = None,
    shots: Shots | None = None,
    surface: Surface | None = None,
    effective: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Complex transmission of a mask: its phase panel, the amplitude panel relayed onto it, and the relay.

    Args:
        elements: the devices of the cascade, by address.
        element: the phase panel.
        phase: wanted, rad, ``[..., y, x]``.
        amplitude: wanted, 0 to 1; None: the mask shows phase alone.
        state: figures and draws.
        cosines: see :func:`show_phase`.
        shots: see :func:`show_phase`.
        surface: see :func:`show_phase`.
        effective: see :func:`show_phase`.

    Returns:
        ``[(Q,) R or 1, B or 1, y, x]``, |t| ≤ 1; at the nodes of ``surface`` where there is one.
    """
    if amplitude is None and f"{element.address}.amplitude" in elements:
        amplitude = torch.ones_like(phase)  # the panel is there, wide open
    second = elements.get(f"{element.address}.phase")
    chequered = surface is not None and surface.chequered
    if amplitude is not None and (second is not None or chequered):
        # cos's inverse has no gradient at 1, where a mask that is fully open rests.
        split = torch.acos(amplitude.clamp(max=1 - 1e-7))
        if second is None:
            assert surface is not None
            sign = surface.board.to(phase)
            shown = show_phase(
                element,
                _native(phase, surface) + sign * _native(split, surface),
                state,
                cosines=cosines,
                shots=shots,
                surface=surface,
            )
        else:
            one, other = (
                show_phase(panel, phase + sign * split, state, cosines=cosines, shots=shots, surface=surface)
                for panel, sign in ((element, 1), (second, -1))
            )
            shown = (one + other) / 2
        amplitude = None
    else:
        wanted = _native(phase, surface) if chequered and surface is not None else phase
        shown = show_phase(element, wanted, state, cosines=cosines, shots=shots, surface=surface, effective=effective)
    while shown.ndim < 4:
        shown = shown[None]
    if amplitude is not None:
        panel = elements.get(f"{element.address}.amplitude")
        # Without a companion on the bench the amplitude is an ideal one.
        amplitude = amplitude if panel is None else show_amplitude(panel, amplitude, state)
        shown = shown * (amplitude if surface is None else surface.spread(amplitude))
    relay = elements.get(f"{element.address}.relay")
    return shown if relay is None else lossy(relay, shown, state)


def _native(values: Tensor, surface: Surface) -> Tensor:
    return values.repeat_interleave(surface.native, -2).repeat_interleave(surface.native, -1)


def show_phase(
    element: Element,
    phase: Tensor,
    state: State,
    *,
    cosines: Tensor | None = None,
    shots: Shots | None = None,
    surface: Surface | None = None,
    effective: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    r"""Complex transmission of a phase panel commanded to ``phase``.

    .. math:: t = \sqrt{R}\,\bigl[(1-a)\,A(\phi)\,e^{i(\phi + \varepsilon)} + a\bigr],
        \quad \phi = h * \bigl[(Q(\phi_c) + \delta_{LUT})(1 + m\cos\theta)\bigr]

    with the fringing kernel h, the static and dynamic errors ε, and the amplitude A that a panel and its gaps leave.

    Args:
        element: the panel at its place, with the links that are on.
        phase: φ_c, rad, ``[..., y, x]``.
        state: figures and draws.
        cosines: cos θ of Q moments of the ripple, ``[Q, 1, 1, 1, 1]``; None: the ripple at its mean, no such axis.
        shots: of the noise from frame to frame; None: its expected field.
        surface: nodes inside the pixels, for effects that act there; None: there are none.
        effective: what uniform pixels show on average, in place of nodes inside them; None: what they show.

    Returns:
        Complex, |t| ≤ 1: the axes of ``phase``, broadcast against ``[(Q,) R or 1, B or 1, y, x]`` of the figures that
        act; at the nodes of ``surface`` where there is one. Without nodes nothing fringes and gaps only dim.
    """
    spec = element.spec
    assert isinstance(spec, PhaseModulator)
    held = _held(element, spec, phase, state)
    if element.has("flicker") and cosines is not None:
        held = effects.flicker(held, pixelwise(element.read(state, "flicker")), cosines.to(held))
    driven = held if surface is None else surface.smoothed(held, element, state)
    errors = _errors(element, spec, held, state, shots)
    phase = driven
    if errors is not None:
        phase = driven + (errors if surface is None else surface.spread(errors))
    shown = torch.complex(phase.cos(), phase.sin())
    if element.has("phase_noise") and (shots is None or not shots.draws(element.address, "phase_noise")):
        sigma = pixelwise(element.read(state, "phase_noise"))
        shown = shown * torch.exp(-(sigma**2) / 2)
    if element.has("amplitude_coupling"):
        depth = pixelwise(element.read(state, "amplitude_coupling"))
        shown = shown * effects.coupled_amplitude(driven, depth)
    if element.has("fill"):
        shown = _filled(element, spec, shown, state, surface)
    if effective is not None:
        shown = effective(shown)
    if element.has("zero_order_leak"):
        shown = effects.zero_order_leak(shown, pixelwise(element.read(state, "zero_order_leak")))
    return lossy(element, shown, state)


def _held(element: Element, spec: PhaseModulator, phase: Tensor, state: State) -> Tensor:
    """The phase each macro-pixel is driven to, in [0, stroke]."""
    stroke: Tensor | float = 2 * math.pi
    if element.has("quantisation"):
        stroke = pixelwise(element.read(state, "quantisation", "stroke"))
        phase = _levelled(element, spec, phase, stroke, state)
    else:
        phase = torch.remainder(phase, 2 * math.pi)
    if element.has("gamma_error"):
        phase = effects.gamma_response(phase, stroke, pixelwise(element.read(state, "gamma_error", "gamma")))
    if element.has("stroke_error"):
        phase = phase * (1 + pixelwise(element.read(state, "stroke_error")))
    if element.has("lut_residual"):
        phase = effects.lut_residual(phase, element.read(state, "lut_residual"), stroke)
    return phase


def _levelled(element: Element, spec: PhaseModulator, phase: Tensor, stroke: Tensor, state: State) -> Tensor:
    """The nearest level; between the levels where the state has a ``temperature`` (and ``gumbel`` values) for them."""
    home = element.home(next(link for link in element.links if link.name == "quantisation"))
    temperature = state.get(f"{home}.temperature")
    if spec.levels is None:
        assert spec.bits is not None
        if temperature is None:
            return effects.quantise_phase(phase, spec.bits, stroke)
        levels = even_levels(spec.bits, stroke)
    else:
        levels = torch.tensor(spec.levels, dtype=phase.dtype, device=phase.device) * stroke[..., None]
        if temperature is None:
            return effects.quantise_to(phase, levels)
    # Amplitude that changes with the phase is that of the phase chosen here: one draw serves both.
    return soft_levels(phase, levels, pixelwise(temperature), gumbel=state.get(f"{home}.gumbel"))


def _errors(element: Element, spec: PhaseModulator, phase: Tensor, state: State, shots: Shots | None) -> Tensor | None:
    """Phase errors a macro-pixel that no voltage makes, so that they do not fringe."""
    total: Tensor | None = None
    if element.has("phase_error"):
        error = element.read(state, "phase_error")
        if spec.correlation_length is not None:
            assert element.pitch is not None
            error = effects.correlated(error, spec.correlation_length / element.pitch)
        total = error
    if element.has("flatness"):
        bow = effects.flatness(element.read(state, "flatness"), _bows(element.pixels).to(phase))
        total = bow if total is None else total + bow
    if element.has("phase_noise") and shots is not None and shots.draws(element.address, "phase_noise"):
        # One draw an exposure: the moments of the ripple are nodes of an integral within it, however many there are.
        normal = shots.normal(element.address, "phase_noise", element.pixels).to(phase)
        noise = pixelwise(element.read(state, "phase_noise")) * normal
        total = noise if total is None else total + noise
    return total


@functools.lru_cache(maxsize=64)
def _bows(pixels: tuple[int, int]) -> Tensor:
    """The terms of a panel's bow over a zone, float64 ``[T, y, x]``: of mean 0, of mean square 1 on average over them.

    Zernike polynomials are so over a disc; what counts here is the rms over the pixels.
    """
    y, x = pixels
    radius = max(y, x) / math.sqrt(2)
    rows = (torch.arange(y, dtype=torch.float64) - (y - 1) / 2) / radius
    columns = (torch.arange(x, dtype=torch.float64) - (x - 1) / 2) / radius
    shapes = torch.stack([zernike(noll, rows[:, None], columns[None, :]) for noll in FLATNESS_TERMS])
    shapes = shapes - shapes.mean((-2, -1), keepdim=True)
    rms = shapes.square().mean().sqrt()
    return shapes / rms if rms > 0 else shapes  # a single pixel has no bow


def _filled(element: Element, spec: PhaseModulator, shown: Tensor, state: State, surface: Surface | None) -> Tensor:
    """``shown`` with gaps; where no nodes resolve them they only dim."""
    assert spec.fill_model is not None
    if spec.fill_model == "throughput" or surface is None:
        return effects.fill(shown, None, "throughput", fill_factor=pixelwise(element.read(state, "fill")))
    aperture = surface.apertures().to(shown.real)
    return effects.fill(shown, aperture, spec.fill_model, dead=spec.dead_reflection)


def show_amplitude(element: Element, amplitude: Tensor, state: State) -> Tensor:
    r"""Real transmission of an amplitude panel commanded to ``amplitude``: :math:`\sqrt R\,(a + (1-a) f)`, a quantised.

    Args:
        element: the panel at its place.
        amplitude: in [0, 1], or [-1, 1] if bipolar, ``[..., y, x]``.
        state: figures and draws.

    Returns:
        Real ``[R or 1, 1 or B, y, x]``.
    """
    spec = element.spec
    assert isinstance(spec, AmplitudeModulator)
    if element.has("quantisation"):
        assert spec.bits is not None
        # The levels start at the lowest amplitude: counted from 0 a bipolar panel would round 1 to above 1.
        low = -1.0 if spec.bipolar else 0.0
        amplitude = low + effects.quantise(amplitude - low, (1 - low) / (2**spec.bits - 1))
    if element.has("extinction"):
        amplitude = effects.extinction(amplitude, pixelwise(element.read(state, "extinction")))
    if element.has("fill"):
        amplitude = amplitude * torch.sqrt(pixelwise(element.read(state, "fill")))
    return lossy(element, amplitude, state)


def lossy(element: Element, field: Tensor, state: State) -> Tensor:
    """``field`` behind whatever share of the power this element passes."""
    if element.has("loss"):
        return effects.attenuate(field, pixelwise(element.read(state, "loss", "transmission")))
    return field
