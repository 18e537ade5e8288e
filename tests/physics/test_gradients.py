"""gradcheck of both simulators in the field, the commands and every smooth figure of the bench, all effects at once."""

from __future__ import annotations

import pytest
import torch
from benches import lens_of, misaligned

import simulators as sim

#: What rounds.
_ROUGH = ("*.quantisation",)
#: What does nothing here: no shot is drawn.
_IDLE = {"source.intensity_noise"}


def full_bench():
    """One mode by two, so that a numerical Jacobian is cheap, with everything that can be off."""
    bench = lens_of(
        sim.reference_bench((1, 2)), figure_error=1e-6, zernike=((5, 5e-6),), distortion="f-tan", chromatic_shift=0.04
    )
    panel = bench.stage[0].device.replace(
        crosstalk_fwhm=20e-6,
        stroke_error=0.02,
        gamma_error=0.02,
        flatness=0.2,
        amplitude_coupling=0.1,
        phase_noise=0.05,
        fill_factor=0.93,
        fill_model="throughput",
        correlation_length=100e-6,
    )
    bench = bench.replace(
        source=bench.source.replace(wavelength_error=1e-3, pointing=1e-5, beam_radius=1e-4),
        stage=[place.replace(device=panel) if j % 2 == 0 else place for j, place in enumerate(bench.stage)],
    )
    pose = sim.Misalignment(lateral=5e-6, axial=1e-4, tilt=2e-5, clocking=1e-3)
    return misaligned(bench, pose).without(*_ROUGH)


def smooth_figures(bench, state):
    """Addresses of all figures of source, masks and lenses that change what arrives."""
    return [
        address
        for address, value in state.items()
        if not address.startswith(("detector.exposure", "detector.reference", "source.power"))
        and not address.split(".")[-1].startswith(("quantum", "gain_n", "dark", "read", "full", "step", "offset"))
        and value.numel() < 50
    ]


@pytest.mark.parametrize("simulator", [sim.Pixel, sim.Wave])
def test_figures(simulator):
    bench = full_bench()
    cascade = simulator(bench, 1, order=2)
    state = dict(sim.Realisations(0, (0,)).draw(bench, 1))
    names = smooth_figures(bench, state)
    assert {name.rsplit(".", 1)[-1] for name in names} >= {
        *("lateral", "axial", "tilt", "clocking", "pointing", "wavelength", "beam_radius", "scale", "chromatic_shift"),
        *("aberration", "figure_error", "crosstalk", "stroke_error", "gamma", "flatness", "amplitude_coupling", "fill"),
        *("phase_noise", "lut_residual", "flicker", "zero_order_leak", "transmission"),
    }
    generator = torch.Generator().manual_seed(0)
    commands = [
        sim.Command(0.5 + 5 * torch.rand(shape, generator=generator, dtype=torch.float64))
        for shape in bench.command_shapes
    ]
    values = torch.rand(1, 1, 1, 2, generator=generator, dtype=torch.float64)
    weights = torch.randn(4, dtype=torch.complex128, generator=generator)

    def read(*figures):
        changed = {**state, **dict(zip(names, figures, strict=True))}
        field = cascade.illuminate(values, changed)
        out = cascade(commands, field, changed, moments=cascade.moments).mean(0)[0, 0] / 1e4
        return (out.flatten() * weights[: out.numel()] if out.numel() <= 4 else out.sum(0) * weights).real.sum()

    # Each figure in its own size: a shift of a micrometre and an angle of a milliradian need other steps.
    for name in names:
        sizes = {"lateral": 1e-6, "axial": 1e-4, "tilt": 1e-5, "pointing": 1e-5, "beam_radius": 1e-5}
        last = name.rsplit(".", 1)[-1]
        size = sizes.get(last, 1e-7 if last in ("aberration", "figure_error", "crosstalk") else 1e-2)
        figure = torch.zeros_like(state[name]).requires_grad_()

        def moved(value, name=name, size=size):
            return read(*(state[n] + size * value if n == name else state[n] for n in names))

        if name in _IDLE:
            assert not moved(figure).requires_grad
            continue
        assert torch.autograd.gradcheck(moved, figure, eps=1e-4, atol=1e-6, rtol=1e-4), name


@pytest.mark.parametrize("simulator", [sim.Pixel, sim.Wave])
def test_commands_and_field(simulator):
    """Phases of the first mask and a corner of the second, amplitudes by a chequerboard, and the field."""
    base = sim.reference_bench((1, 2))
    panel = base.stage[0].device.replace(crosstalk_fwhm=5e-6)
    stage = [p.replace(device=panel, double_phase=True) if j % 2 == 0 else p for j, p in enumerate(base.stage)]
    bench = base.replace(stage=stage).without(*_ROUGH)
    cascade = simulator(bench, 1, order=2)
    state = sim.Realisations(0, (0,)).draw(bench, 1)
    generator = torch.Generator().manual_seed(1)

    def random(*shape, low=0.2, high=0.8):
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    rest_phase, rest_size = random(*bench.command_shapes[1], low=2.0, high=4.0), random(*bench.command_shapes[1])
    first, size = random(1, 2, low=2.0, high=4.0).requires_grad_(), random(1, 2).requires_grad_()
    corner = random(2, low=2.0, high=4.0).requires_grad_()
    field = torch.randn(1, 1, 1, 2, dtype=torch.complex128, generator=generator).requires_grad_()

    def out(first, size, corner, field):
        phase = torch.cat([torch.cat([corner, rest_phase[0, 2:]])[None], rest_phase[1:]])
        commands = [sim.Command(first, size), sim.Command(phase, rest_size)]
        return torch.view_as_real(cascade(commands, field, state))

    assert torch.autograd.gradcheck(out, (first, size, corner, field))
