"""Against other packages: TorchOptics through a physical lens, HCIPy's Fraunhofer transform and Airy pattern.

The peers are no dependency of ours: without them their tests are skipped. What a lens of limited width passes is also
known in closed form, from rays.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import FourierTransform, TwoF, aperture

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1


def peer(name):
    """The module, or skip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"the peer package {name} is not installed", exc_type=ImportError)


def critical(count, fine=1):
    """A plane of ``count`` cells of √(λf/N), each of ``fine`` samples, a side."""
    pitch = math.sqrt(WAVELENGTH * FOCAL_LENGTH / count) / fine
    return Grid((count * fine, count * fine), (pitch, pitch))


def overlap(a, b):
    """|⟨a, b⟩|/(‖a‖‖b‖)."""
    return float((a.conj() * b).sum().abs() / (a.norm() * b.norm()))


def band_limited(count, fine):
    """Full-bandwidth random vectors at critical sampling, sinc-interpolated."""
    coarse = (torch.arange(count, dtype=torch.float64) - (count - 1) / 2)[None]
    place = ((torch.arange(count * fine, dtype=torch.float64) - (count * fine - 1) / 2) / fine)[:, None]
    sinc = torch.sinc(place - coarse).to(torch.complex128)
    return sinc @ torch.randn(count, count, dtype=torch.complex128) @ sinc.T


@pytest.mark.parametrize(
    ("width", "rays", "quoted", "likeness"),
    [
        (1, math.pi / 4 - 1 / 3 + 1 / 32, 0.47, 0.70),
        (2, math.pi - 8 / 3 + 1 / 2, 0.96, 0.99),
        (3, 1.0, 0.99, 0.998),
    ],
)
@pytest.mark.parametrize("count", [64, 65])
def test_vignetting(width, rays, quoted, likeness, count):
    """A round lens ``width`` times the modulator, critical sampling: 47, 96-98, 99-100 % of the power.

    By rays, light crosses the lens at x + u, both uniform: of the diameter D = W, 2W, 3W the share within the disc is
    π/4 - 1/3 + 1/32 = 0.483, π - 8/3 + 1/2 = 0.975 and 1.
    """
    grid = critical(count)
    field = torch.randn(4, count, count, dtype=torch.complex128)
    ideal = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH)(field)
    out = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=width * grid.extent[1])(field)
    passed = float(grid.power(out).sum() / grid.power(field).sum())
    assert passed == pytest.approx(rays, abs=0.015)
    assert passed == pytest.approx(quoted, abs=0.03)
    assert overlap(ideal, out) == pytest.approx(likeness, abs=0.012)


def through_torchoptics(to, field, grid, lens_samples, padding):
    """Fresnel to a lens of ``lens_samples`` samples, its sampled phase and disc, Fresnel to the other side."""
    options = {"spacing": grid.pitch[1], "propagation_method": "ASM_FRESNEL", "interpolation_mode": "nearest"}
    light = to.Field(field, wavelength=WAVELENGTH, spacing=grid.pitch[1])
    light = light.propagate((lens_samples, lens_samples), FOCAL_LENGTH, asm_pad=(padding, padding), **options)
    lens = to.elements.Lens((lens_samples, lens_samples), FOCAL_LENGTH, FOCAL_LENGTH, spacing=grid.pitch[1])
    light = lens(light).propagate(grid.shape, 2 * FOCAL_LENGTH, asm_pad=(padding, padding), **options)
    carrier = 2 * math.pi / WAVELENGTH * 2 * FOCAL_LENGTH
    return light.data * complex(math.cos(carrier), -math.sin(carrier))


@pytest.fixture
def torchoptics():
    """TorchOptics in float64, which it takes from torch's default."""
    package = peer("torchoptics")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield package
    torch.set_default_dtype(before)


@pytest.mark.parametrize(("width", "tolerance"), [(1, 0.05), (2, 0.015), (3, 0.01)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchoptics_two_f(torchoptics, width, tolerance):
    """Overlap with the ideal within 0.005, and the complex field, phase included.

    Two samples a critical cell: there the peer's sampled lens phase, up to 1/λf · 3W/2, is resolved where the light is.
    Its disc is open or shut by whole samples, which limits the field behind lenses that cut the light, to 4 % at W.
    """
    count, fine = 32, 2
    grid = critical(count, fine)
    field = band_limited(count, fine)
    samples = width * count * fine
    ours = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=width * grid.extent[1])(field)
    theirs = through_torchoptics(torchoptics, field, grid, samples, 2 * samples)
    ideal = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH)(field)
    assert overlap(ideal, ours) == pytest.approx(overlap(ideal, theirs), abs=0.005)
    assert float(grid.power(ours) / grid.power(theirs)) == pytest.approx(1.0, abs=0.01)
    assert float((ours - theirs).norm() / ours.norm()) < tolerance


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchoptics_gaussian_off_axis(torchoptics):
    """A beam off the axis and tilted, which no edge cuts: equal to 1e-4, phase and direction included."""
    grid = Grid((128, 128), (10e-6, 10e-6))
    y, x = grid.meshed()
    tilt = 2 * math.pi * (2e-3 * x - 1e-3 * y) / WAVELENGTH
    field = torch.exp(-((x - 1e-4) ** 2 + (y + 5e-5) ** 2) / 1.5e-4**2) * torch.complex(tilt.cos(), tilt.sin())
    ours = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=5.12e-3)(field)
    theirs = through_torchoptics(torchoptics, field, grid, 512, 256)
    assert float((ours - theirs).norm() / ours.norm()) < 1e-4


@pytest.mark.parametrize(("shape", "behind"), [((64, 48), (31, 40)), ((33, 50), (64, 65))])
@pytest.mark.filterwarnings("ignore")
def test_hcipy_fraunhofer(shape, behind):
    """The same sums as HCIPy's matrix and naive transforms: 1e-10."""
    hcipy = peer("hcipy")
    ours_in, ours_out = Grid(shape, (3e-5, 4e-5)), Grid(behind, (11e-6, 9e-6))
    field = torch.randn(*shape, dtype=torch.complex128)
    grids = [
        hcipy.CartesianGrid(hcipy.SeparatedCoords([grid.positions(1).numpy(), grid.positions(0).numpy()]))
        for grid in (ours_in, ours_out)
    ]
    grids[0].weights = np.full(grids[0].size, ours_in.cell)
    out = FourierTransform(ours_in, ours_out, WAVELENGTH, FOCAL_LENGTH)(field).numpy()
    wanted = grids[1].scaled(2 * math.pi / (WAVELENGTH * FOCAL_LENGTH))
    for kind in (hcipy.MatrixFourierTransform, hcipy.NaiveFourierTransform):
        theirs = kind(grids[0], wanted).forward(hcipy.Field(field.numpy().ravel(), grids[0]))
        theirs = np.asarray(theirs).reshape(behind) / (1j * WAVELENGTH * FOCAL_LENGTH)
        assert np.abs(out - theirs).max() < 1e-10 * np.abs(theirs).max()
    wave = hcipy.Wavefront(hcipy.Field(field.numpy().ravel(), grids[0]), WAVELENGTH)
    focal = hcipy.FraunhoferPropagator(grids[0], grids[1], focal_length=FOCAL_LENGTH).forward(wave)
    theirs = np.asarray(focal.electric_field).reshape(behind)
    assert np.abs(out - theirs).max() < 1e-10 * np.abs(theirs).max()


@pytest.mark.filterwarnings("ignore")
def test_hcipy_airy_pattern():
    """Our aperture and transform against HCIPy's supersampled one and propagator: 1e-4 of the peak."""
    hcipy = peer("hcipy")
    diameter, count = 5e-3, 256
    grid = Grid((count, count), (diameter / count,) * 2)
    pitch = WAVELENGTH * FOCAL_LENGTH / diameter / 4
    behind = Grid((64, 64), (pitch, pitch))
    pupil = hcipy.make_pupil_grid(count, diameter)
    focal = hcipy.make_uniform_grid([64, 64], [64 * pitch, 64 * pitch])
    clear = hcipy.evaluate_supersampled(hcipy.make_circular_aperture(diameter), pupil, 8)
    wave = hcipy.Wavefront(clear, WAVELENGTH)
    propagator = hcipy.FraunhoferPropagator(pupil, focal, focal_length=FOCAL_LENGTH)
    theirs = np.asarray(propagator.forward(wave).electric_field).reshape(64, 64)
    ours = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)(aperture(grid, diameter).to(torch.complex128))
    assert np.abs(ours.numpy() - theirs).max() < 1e-4 * np.abs(theirs).max()
