"""Writing the input: the laser's light, and the device that puts x on it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from simulators import effects
from simulators.bench import Bench
from simulators.devices.chain import Element, pixelwise
from simulators.devices.modulator import AmplitudeModulator
from simulators.devices.show import show_amplitude, show_phase
from simulators.errors import InputError, SaturationWarning
from simulators.random import Shots, State


def unit_light(bench: Bench, values: Tensor, state: State) -> Tensor:
    """The laser's light on the modes, times ``values``; no device of the input acts yet."""
    source = bench.element(1, "source")
    if not source.has("profile"):
        share = torch.sqrt(bench.photons_in(state) / (bench.modes[0] * bench.modes[1]))
        return values * pixelwise(share)
    radius = source.read(state, "profile", "beam_radius") / bench.stage[0].pitch
    y, x = (effects.gaussian_profile(n, radius) for n in bench.modes)
    return values * pixelwise(torch.sqrt(bench.photons_in(state))) * y[..., :, None] * x[..., None, :]


def write_input(
    bench: Bench, stages: int, values: Tensor, state: State, *, shots: Shots | None, cosines: Tensor | None
) -> Tensor:
    """The field behind the input device of ``bench``: profile, noise, levels, extinction, loss of panel and relay.

    A panel that has not settled still shows some of the row before, the first row some of the last one: rows are the
    sequence of frames.

    Raises:
        InputError: values the device cannot write (complex or negative ones on a panel without the means).
    """
    source, device = bench.element(stages, "source"), bench.element(stages, "input")
    companion = bench.input.companion
    largest = values.detach().abs().max() if values.numel() else torch.tensor(0.0)
    if largest > 1 + 1e-6:
        share = (values.detach().abs() > 1 + 1e-6).double().mean().item()
        warnings.warn(
            SaturationWarning(
                f"{share:.2%} of the inputs exceed the input device's range (up to {largest:.3g} of x_max): "
                "they are written as x_max; set x_max from the data it will see"
            )
        )
    if companion is not None:
        # A floor keeps the angle's gradient finite at 0, where the phase does not matter.
        written = values if values.is_complex() else values.to(_complex(values.dtype))
        amplitude = _settled(device, torch.sqrt(written.real**2 + written.imag**2 + 1e-24).clamp(max=1), state, shots)
        phase = torch.angle(written + 1e-12)  # in (-π, π]; the panel is driven from 0 on
        phase_element = bench.element(stages, "input.phase")
        field = show_amplitude(device, amplitude, state) * show_phase(
            phase_element, phase, state, cosines=cosines, shots=shots
        )
    else:
        if values.is_complex():
            raise InputError(
                "the input device writes real values only, and x is complex",
                remedy="a phase panel as input.companion (reference_bench(complex_input=True))",
            )
        panel = bench.input.device
        assert isinstance(panel, AmplitudeModulator)  # the bench has seen to it
        if not panel.bipolar and (values.detach() < 0).any():
            raise InputError(
                "the input device writes amplitudes only, and x has negative values",
                value=f"{values.min().item():g}",
                allowed="x ≥ 0",
                remedy="a bipolar panel, or a phase panel as input.companion",
            )
        amplitude = show_amplitude(device, _settled(device, values.clamp(min=-1, max=1), state, shots), state)
        field = amplitude.to(_complex(values.dtype))
    if bench.input.relay is not None:
        relay = bench.element(stages, "input.relay")
        if relay.has("loss"):
            field = effects.attenuate(field, pixelwise(relay.read(state, "loss", "transmission")))
    field = unit_light(bench, field, state)
    if source.has("intensity_noise") and shots is not None:
        noise = shots.normal("source", "intensity_noise", ()).to(field.real)
        power = 1 + source.read(state, "intensity_noise") * noise
        field = field * torch.sqrt(power.clamp(min=0))[..., None, None]
    return field


def _settled(device: Element, amplitude: Tensor, state: State, shots: Shots | None) -> Tensor:
    """What the panel has reached when the exposure begins; the row before is what it showed before."""
    if shots is None or not device.has("settling") or not shots.draws("input", "settling"):
        return amplitude
    return effects.settle(amplitude, amplitude.roll(1, dims=-3), pixelwise(device.read(state, "settling")))


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex64 if dtype == torch.float32 else torch.complex128
