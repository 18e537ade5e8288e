"""Shift, tilt, defocus, decentre: each misplacement of a 2f section is a phase or a shift, to 1e-10 of the operator."""

from __future__ import annotations

import math

import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import AngularSpectrum, FourierTransform, Fresnel, TwoF

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1
SCALE = WAVELENGTH * FOCAL_LENGTH
SHAPES = [(1, 31), (24, 25)]
BUILD = [FourierTransform, TwoF]


def phasor(phase):
    return torch.complex(phase.cos(), phase.sin())


def grids(shape):
    return Grid(shape, (9e-6, 8e-6)), Grid(shape, (70e-6, 65e-6), (1e-4, -5e-5))


def close(a, b):
    return bool((a - b).abs().max() < 1e-10 * b.abs().max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("build", BUILD)
@pytest.mark.parametrize("shift", [8e-6, 2.7e-6, -1.3e-5])  # a sample, parts of one
def test_a_shifted_input_is_a_ramp(shape, build, shift):
    """E(x - δ) ↔ E'(u) e^{-2πiuδ/λf}."""
    grid, behind = grids(shape)
    moved = Grid(grid.shape, grid.pitch, (0.0, shift))
    field = torch.randn(*shape, dtype=torch.complex128)
    ramp = phasor(-2 * math.pi * behind.positions(1) * shift / SCALE)
    plain = build(grid, behind, WAVELENGTH, FOCAL_LENGTH)(field)
    assert close(build(moved, behind, WAVELENGTH, FOCAL_LENGTH)(field), plain * ramp)
    assert not close(plain, plain * ramp)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("build", BUILD)
@pytest.mark.parametrize("angle", [1e-3, -4.37e-4])
def test_a_tilted_beam_lands_elsewhere(shape, build, angle):
    """E e^{2πiθx/λ} ↔ E'(u - fθ): towards +x for a positive angle."""
    grid, behind = grids(shape)
    field = torch.randn(*shape, dtype=torch.complex128)
    tilted = field * phasor(2 * math.pi * angle * grid.positions(1) / WAVELENGTH)
    y, x = behind.centre
    there = Grid(behind.shape, behind.pitch, (y, x + FOCAL_LENGTH * angle))
    plain = build(grid, behind, WAVELENGTH, FOCAL_LENGTH)(field)
    assert close(build(grid, there, WAVELENGTH, FOCAL_LENGTH)(tilted), plain)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("error", [1e-3, -2.5e-3])
def test_an_input_off_focus_is_a_curvature(shape, error):
    """d₁ = f + δ ↔ e^{-iπδu²/(λf²)} behind; d₂ = f + δ ↔ the same of x in front, exactly where d₁ = f."""
    grid, behind = grids(shape)
    field = torch.randn(*shape, dtype=torch.complex128)
    plain = TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH)
    for where, operator in (
        (behind, TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, front=FOCAL_LENGTH + error)),
        (grid, TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, back=FOCAL_LENGTH + error)),
    ):
        y, x = where.meshed()
        curved = phasor(-math.pi * error * (x**2 + y**2) / (SCALE * FOCAL_LENGTH))
        expected = plain(field) * curved if where is behind else plain(field * curved)
        assert close(operator(field), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decentre", [(0.0, 3e-5), (-2e-5, 1e-4)])
def test_a_decentred_lens_is_two_ramps(shape, decentre):
    """A lens at c: e^{2πi c(x + u - c)/λf} an axis."""
    grid, behind = grids(shape)
    field = torch.randn(*shape, dtype=torch.complex128)
    ramps = []
    for plane in (grid, behind):
        y, x = plane.meshed()
        ramps.append(phasor(2 * math.pi * (decentre[0] * y + decentre[1] * x) / SCALE))
    constant = phasor(torch.tensor(-2 * math.pi * (decentre[0] ** 2 + decentre[1] ** 2) / SCALE, dtype=torch.float64))
    plain = TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH)(field * ramps[0]) * ramps[1] * constant
    assert close(TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, decentre=decentre)(field), plain)


@pytest.mark.parametrize("count", [48, 49])
@pytest.mark.parametrize(
    "errors",
    [
        {},
        {"front": 0.103},
        {"back": 0.098},
        {"decentre": (0.0, 2e-4)},
        {"front": 0.097, "back": 0.11, "decentre": (0.0, -1e-4)},
    ],
)
def test_a_wide_lens_equals_the_lens_without_an_edge(count, errors):
    """By way of the lens plane, or as one transform: the same complex field to 1e-6."""
    grid, behind = Grid((1, count), (9e-6, 8e-6)), Grid((1, 40), (9e-6, 60e-6), (0.0, -5e-5))
    field = torch.randn(1, count, dtype=torch.complex128)
    direct = TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, **errors)(field)
    wide = TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, aperture=40e-3, **errors)(field)
    assert (wide - direct).norm() < 1e-6 * direct.norm()


@pytest.mark.parametrize("kind", [2, 3])
def test_a_tilt_of_the_wavefront_moves_the_focus(kind):
    """Noll 2 (x) and 3 (y) of c waves rms are 4c waves from edge to edge: the focus moves by 4cλf/D towards +."""
    diameter, waves = 5e-3, 0.7
    grid = Grid((256, 256), (diameter / 128, diameter / 128))
    move = 4 * waves * SCALE / diameter
    pitch = SCALE / diameter / 4
    behind = Grid((24, 24), (pitch, pitch))
    centre = (0.0, move) if kind == 2 else (move, 0.0)
    moved = Grid((24, 24), (pitch, pitch), centre)
    field = torch.ones(grid.shape, dtype=torch.complex128)
    tilted = TwoF(grid, moved, WAVELENGTH, FOCAL_LENGTH, aperture=diameter, front=0.0, aberration={kind: waves})(field)
    plain = TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, aperture=diameter, front=0.0)(field)
    assert (tilted.abs() - plain.abs()).abs().max() < 2e-3 * plain.abs().max()


@pytest.mark.parametrize("build", [AngularSpectrum, Fresnel])
@pytest.mark.parametrize("shape", [(1, 40), (20, 21)])
def test_free_space_adds_up(build, shape):
    """z₁ then z₂ is z₁ + z₂, and back again is nothing, on a periodic field."""
    grid = Grid(shape, (3e-6, 2e-6))
    field = torch.randn(*shape, dtype=torch.complex128)

    def go(z):
        return build(grid, WAVELENGTH, z, padding=None)

    assert close(go(3e-4)(go(2e-4)(field)), go(5e-4)(field))
    assert close(go(-5e-4)(go(5e-4)(field)), field)
    shifted = field.roll((1, 3), (-2, -1))
    assert close(go(5e-4)(shifted), go(5e-4)(field).roll((1, 3), (-2, -1)))


@pytest.mark.parametrize("angle", [0.1, 0.6])
def test_a_steep_plane_wave(angle):
    """Exactly e^{ikz(cos θ - 1)} behind z; the paraxial e^{-ikzθ²/2} is another phase at 0.6 rad."""
    sine = math.sin(angle)
    grid = Grid((1, 64), (1e-6, WAVELENGTH / sine / 16))
    wave = phasor(2 * math.pi * sine * grid.positions(1) / WAVELENGTH)[None]
    z = 20e-6
    out = AngularSpectrum(grid, WAVELENGTH, z, padding=None)(wave)
    expected = wave * phasor(torch.tensor(2 * math.pi / WAVELENGTH * z * (math.cos(angle) - 1), dtype=torch.float64))
    assert close(out, expected)
    paraxial = Fresnel(grid, WAVELENGTH, z, padding=None)(wave)
    assert close(paraxial, wave * phasor(torch.tensor(-math.pi / WAVELENGTH * z * sine**2, dtype=torch.float64)))
