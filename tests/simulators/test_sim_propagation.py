"""Propagators as a user meets them: plans, kernels, dtypes, batches, a lens's edge, errors and warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from simulators.errors import InputError, SamplingWarning
from simulators.grid import Grid
from simulators.propagation import (
    AngularSpectrum,
    Collins,
    FourierTransform,
    Fresnel,
    FresnelTransform,
    TwoF,
    aperture,
    free_space,
    safe_distance,
)
from simulators.zernike import wavefront

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1
SCALE = WAVELENGTH * FOCAL_LENGTH


@pytest.mark.parametrize(
    ("count", "stretch", "learned", "plan"),
    [
        (512, 1.0, False, "fft, 512 → 512: λf/(ΔxΔu) = 512 exactly"),
        (512, 1.01, False, "chirp-z, 512 → 512: λf/(ΔxΔu) = 506.931 is no whole number"),
        (16, 1.01, False, "matrix, 16 → 16: small enough for a product"),
        (16, 1.0, False, "matrix, 16 → 16: smaller than its FFT"),
        (512, 1.0, True, "chirp-z, 512 → 512: the scale is to be learned"),
    ],
)
def test_plan(count, stretch, learned, plan):
    """What is taken for each axis and why; the other axis, one row, is a product of one number."""
    grid = Grid((1, count), (8e-6, 8e-6))
    behind = Grid((1, count), (8e-6, stretch * SCALE / (count * 8e-6)))
    focal_length = torch.tensor(FOCAL_LENGTH, dtype=torch.float64, requires_grad=True) if learned else FOCAL_LENGTH
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # of the stretched ones
        transform = FourierTransform(grid, behind, WAVELENGTH, focal_length)
    assert transform.plan.startswith("y: matrix, 1 → 1: ")
    assert transform.plan.split("; ")[1] == f"x: {plan}"


def test_plan_of_a_method_asked_for():
    grid = Grid((1, 16), (8e-6, 8e-6))
    transform = FourierTransform(grid, grid, WAVELENGTH, FOCAL_LENGTH, "chirp-z")
    assert transform.plan == "y: chirp-z, 1 → 1: as asked for; x: chirp-z, 16 → 16: as asked for"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex64, 2e-5), (torch.complex128, 1e-12)])
@pytest.mark.parametrize(("n", "k"), [(128, 128), (127, 127), (100, 120)])
def test_methods_agree(n, k, dtype, tolerance):
    """FFT, matrix and chirp-z, and the rows of a batch one by one."""
    points = max(n, k)
    grid = Grid((n, n), (8e-6, 8e-6), (3e-6, 0.0))
    behind = Grid((k, k), (SCALE / (points * 8e-6),) * 2)
    field = torch.randn(2, 3, n, n, dtype=dtype)
    outs = {m: FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH, m)(field) for m in ("fft", "matrix", "chirp-z")}
    size = outs["matrix"].abs().max()
    for out in outs.values():
        assert out.dtype == dtype
        assert out.shape == (2, 3, k, k)
        assert (out - outs["matrix"]).abs().max() < tolerance * size
    one = FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH, "fft")(field[1, 2])
    assert (one - outs["fft"][1, 2]).abs().max() < tolerance * size


def test_kernels_are_built_once(monkeypatch):
    """The second field of a kind meets the kernels of the first."""
    grid = Grid((40, 40), (8e-6, 8e-6))
    operators = [
        FourierTransform(grid, grid, WAVELENGTH, FOCAL_LENGTH),
        Collins(grid, grid, WAVELENGTH, 0.1, 0.1, 0.2),
        AngularSpectrum(grid, WAVELENGTH, 1e-3),
        Fresnel(grid, WAVELENGTH, 1e-3),
        TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=5e-3, aberration={8: 0.1}),
    ]
    field = torch.randn(40, 40, dtype=torch.complex64)
    expected = [(operator(field), operator.adjoint(field)) for operator in operators]

    def refuse(*arguments):
        raise AssertionError("a kernel was built again")

    for module in ("axis", "transform", "space", "two_f"):
        monkeypatch.setattr(f"simulators.propagation.{module}.phasor", refuse)
    for operator, (ahead, back) in zip(operators, expected, strict=True):
        assert torch.equal(operator(field), ahead)
        assert torch.equal(operator.adjoint(field), back)
        with pytest.raises(AssertionError, match="built again"):
            operator(field.to(torch.complex128))


@pytest.mark.parametrize("shape", ["circular", "square"])
@pytest.mark.parametrize(("front", "back"), [(None, None), (0.104, 0.095)])
def test_two_f_equals_its_integral(shape, front, back):
    """One row through a cylindrical lens of finite width, decentred, aberrated: brute force in the lens plane.

    The sum runs over 24,000 samples of it, lens phase and all; input samples are points, as in the sum over them, whose
    light beyond the output's direction `TwoF` leaves out: 0.5 % of the field at an edge.
    """
    grid = Grid((1, 96), (8e-6, 8e-6))
    behind = Grid((1, 70), (8e-6, 9e-6), (0.0, 5e-5))
    diameter, decentre, terms = 1.6e-3, 1e-4, {6: 0.06, 8: -0.1, 11: 0.05}
    d1, d2 = front or FOCAL_LENGTH, back or FOCAL_LENGTH
    generator = torch.Generator().manual_seed(3)
    # Smooth over some samples, so that little of the light is steeper than the output is wide.
    field = torch.randn(1, 96, dtype=torch.complex128, generator=generator)
    spectrum = torch.fft.fft(field, dim=-1) * (grid.frequencies(1).abs() < 8e3)
    field = torch.fft.ifft(spectrum, dim=-1) * torch.hann_window(96, dtype=torch.float64)
    xi = (np.arange(24000) - 11999.5) * diameter / 24000  # from the lens's axis
    x, u = grid.positions(1).numpy() - decentre, behind.positions(1).numpy() - decentre
    to_lens = np.exp(1j * math.pi / (WAVELENGTH * d1) * (xi[:, None] - x) ** 2) @ field[0].numpy() * 8e-6
    unit = torch.from_numpy(xi / (diameter / 2))
    waves = wavefront(terms, torch.zeros_like(unit), unit).numpy()
    lens = np.exp(2j * math.pi * waves - 1j * math.pi * xi**2 / SCALE)
    onwards = np.exp(1j * math.pi / (WAVELENGTH * d2) * (u[:, None] - xi) ** 2)
    total = onwards @ (lens * to_lens) * diameter / 24000
    total = total / (1j * WAVELENGTH * math.sqrt(d1 * d2))  # 1/√(iλd) for each way
    two_f = TwoF(
        grid, behind, WAVELENGTH, FOCAL_LENGTH,
        aperture=diameter, shape=shape, aberration=terms, front=front, back=back, decentre=(0.0, decentre),
    )  # fmt: skip
    # The uniform axis has the factor Δy/√(λB), and of the constants 1/i stands for both axes of the lens.
    whole = d1 + d2 - d1 * d2 / FOCAL_LENGTH
    out = two_f(field)[0].numpy() / (8e-6 / math.sqrt(WAVELENGTH * whole))
    aligned = total * np.exp(1j * math.pi / 4)  # e^{iπ/4} of one axis, not two
    scale = np.vdot(aligned, out) / np.vdot(aligned, aligned)
    assert abs(abs(scale) - 1) < 5e-3
    assert np.linalg.norm(out - scale * aligned) < 5e-3 * np.linalg.norm(out)


def test_two_f_with_a_lens_plane_of_ones_own():
    """A finer one changes little; the chosen one is there to be read."""
    grid = Grid((24, 24), (16e-6, 16e-6))
    chosen = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=1e-3)
    lens = chosen.lens_grid
    assert lens is not None
    assert str(lens.shape[0]) in chosen.plan
    finer = Grid((2 * lens.shape[0], 2 * lens.shape[1]), (lens.pitch[0] / 2, lens.pitch[1] / 2))
    fine = TwoF(grid, grid, WAVELENGTH, FOCAL_LENGTH, aperture=1e-3, lens_grid=finer)
    assert fine.lens_grid == finer
    field = torch.randn(24, 24, dtype=torch.complex128)
    assert 0 < (fine(field) - chosen(field)).norm() < 2e-2 * fine(field).norm()


def test_a_square_aperture_passes_more_than_a_round_one():
    """In the lens plane of a uniform beam: the share of their areas."""
    grid = Grid((128, 128), (4e-5, 4e-5))
    field = torch.ones(128, 128, dtype=torch.complex128)
    passed = {}
    for shape in ("circular", "square"):
        lens = TwoF(
            grid, Grid((101, 101), (8e-6, 8e-6)), WAVELENGTH, FOCAL_LENGTH, aperture=3e-3, shape=shape, front=0.0
        )
        passed[shape] = float(lens.grid_out.power(lens(field)))
    assert passed["circular"] / passed["square"] == pytest.approx(math.pi / 4, abs=0.01)
    assert passed["square"] == pytest.approx(9e-6, rel=0.02)


@pytest.mark.parametrize("count", [31, 32])
def test_aperture(count):
    """Area of a disc and of a square; 0 outside, 1 inside; a row is a slit."""
    grid = Grid((count, count), (1.0, 1.0), (0.3, -0.2))
    for shape, area in (("circular", math.pi / 4), ("square", 1.0)):
        clear = aperture(grid, 17.3, shape)
        assert clear.dtype == torch.float64
        assert float(clear.sum()) == pytest.approx(area * 17.3**2, rel=2e-3)
        assert (float(clear.min()), float(clear.max())) == (0.0, 1.0)
        slit = aperture(Grid((1, 8), (5.0, 1.0)), 4.6, shape)
        assert slit[0].tolist() == pytest.approx([0, 0.3, 1, 1, 1, 1, 0.3, 0], abs=1e-9)


def test_angular_spectrum_keeps_light_from_coming_round():
    """A beam that leaves the window is gone; on a periodic field it comes back from the other side."""
    grid = Grid((1, 128), (2e-6, 2e-6))
    x = grid.positions(1)
    angle = 0.05
    phase = 2 * math.pi * angle * x / WAVELENGTH
    beam = (torch.exp(-((x / 3e-5) ** 2)) * torch.complex(phase.cos(), phase.sin()))[None]
    distance = 2 * 256e-6 / angle
    with pytest.warns(SamplingWarning, match="leaves the window"):
        gone = AngularSpectrum(grid, WAVELENGTH, distance)(beam)
    back = AngularSpectrum(grid, WAVELENGTH, distance, padding=None)(beam)
    assert float(grid.power(gone) / grid.power(beam)) < 1e-3
    assert float(grid.power(back) / grid.power(beam)) == pytest.approx(1.0, abs=1e-12)


def test_safe_distance_is_where_the_warning_starts():
    grid = Grid((64, 100), (3e-6, 2e-6))
    for padding in (1.5, 2.0, 3.0):
        safe = safe_distance(grid, WAVELENGTH, padding=padding)
        AngularSpectrum(grid, WAVELENGTH, safe * 0.9, padding=padding)
        with pytest.warns(SamplingWarning, match=rf"safe up to {safe * 1e3:.4g} mm"):
            AngularSpectrum(grid, WAVELENGTH, safe * 1.2, padding=padding)
    assert safe_distance(Grid((1, 8), (1e-7, 1e-7)), WAVELENGTH) == 0.0
    assert safe_distance(Grid((1, 1), (1e-3, 1e-3)), WAVELENGTH) == math.inf


def test_the_padding_of_the_warning_is_enough():
    grid = Grid((1, 100), (2e-6, 2e-6))
    for build in (AngularSpectrum, Fresnel):
        with pytest.warns(SamplingWarning, match="padding=") as caught:
            build(grid, WAVELENGTH, 5e-3)
        advised = float(str(caught[0].message).split("padding=")[1].split(",")[0])
        build(grid, WAVELENGTH, 5e-3, padding=advised * 1.01)


def test_free_space_rule():
    grid = Grid((64, 64), (4e-6, 4e-6))
    safe = safe_distance(grid, WAVELENGTH)
    assert isinstance(free_space(grid, WAVELENGTH, 0.9 * safe), AngularSpectrum)
    between = free_space(grid, WAVELENGTH, 1.1 * safe)
    assert isinstance(between, AngularSpectrum)
    assert between.plan != free_space(grid, WAVELENGTH, 0.9 * safe).plan
    assert isinstance(free_space(grid, WAVELENGTH, -10 * safe), FresnelTransform)
    for method, kind in (("angular_spectrum", AngularSpectrum), ("fresnel", Fresnel)):
        assert isinstance(free_space(grid, WAVELENGTH, 0.5 * safe, method), kind)
    with pytest.warns(SamplingWarning, match="repetition"):
        assert isinstance(free_space(grid, WAVELENGTH, 0.5 * safe, "fresnel_transform"), FresnelTransform)


def test_warning_of_a_transform_that_repeats_itself():
    """Its values in it, and each remedy it names works."""
    grid = Grid((1, 64), (8e-6, 8e-6))
    behind = Grid((1, 64), (8e-6, 200e-6))
    message = (
        r"along x, samples of 8 µm carry light 3.956 mm far, but the output lies up to 6.3 mm away: beyond, it shows a "
        r"repetition; safe: a pitch of at most 5.024 µm, a smaller output, or a distance 1.59 times as long"
    )
    with pytest.warns(SamplingWarning, match=message):
        FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH)
    FourierTransform(Grid((1, 64), (8e-6, 5.02e-6)), behind, WAVELENGTH, FOCAL_LENGTH)
    FourierTransform(grid, Grid((1, 39), (8e-6, 200e-6)), WAVELENGTH, FOCAL_LENGTH)
    FourierTransform(grid, behind, WAVELENGTH, FOCAL_LENGTH * 1.593)
    with pytest.warns(SamplingWarning, match="repetition"):
        TwoF(grid, behind, WAVELENGTH, FOCAL_LENGTH, aperture=1e-2)


GRID = Grid((4, 4), (8e-6, 8e-6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FourierTransform(GRID, GRID, WAVELENGTH, 0.0), "distance: got 0 m; allowed: a length other than 0"),
        (lambda: FourierTransform(GRID, GRID, math.nan, 0.1), "wavelength: got nan m"),
        (lambda: FourierTransform(GRID, GRID, WAVELENGTH, 0.1, "fast"), 'method: got fast; allowed: "auto", "fft"'),
        (
            lambda: FourierTransform(GRID, GRID, WAVELENGTH, 0.1, "fft"),
            r"by FFT: got λf/\(ΔxΔu\) = 989.0625; allowed: λf/\(ΔxΔu\) a whole number ≥ 4; try: method=\"auto\"",
        ),
        (
            lambda: FourierTransform(GRID, GRID, WAVELENGTH, torch.tensor([0.1, 0.2])),
            r"a tensor of shape \(2,\); allowed: one number",
        ),
        (lambda: FourierTransform(GRID, GRID, WAVELENGTH, 0.1)(torch.ones(4, 4)), "allowed: a complex field"),
        (
            lambda: FourierTransform(GRID, GRID, WAVELENGTH, 0.1)(torch.ones(4, 5) + 0j),
            r"field: got \(4, 5\) samples \(y, x\); allowed: \(4, 4\) of its grid",
        ),
        (lambda: Collins(GRID, GRID, WAVELENGTH, 1.0, 0.0, 1.0), "B, the distance a ray's angle acts over,: got 0 m"),
        (
            lambda: AngularSpectrum(GRID, WAVELENGTH, 0.0, padding=1.0),
            "padding: got 1.0; allowed: more than 1; try: None",
        ),
        (lambda: AngularSpectrum(GRID, -WAVELENGTH, 0.0), "wavelength: got -6.33e-07 m; allowed: a positive length"),
        (lambda: Fresnel(GRID, WAVELENGTH, math.inf), "distance: got inf m; allowed: a finite length"),
        (lambda: FresnelTransform(GRID, GRID, WAVELENGTH, 0.0), "distance: got 0 m"),
        (lambda: free_space(GRID, WAVELENGTH, 0.1, "exact"), 'method: got exact; allowed: "auto", "angular_spectrum"'),
        (lambda: aperture(GRID, 0.0), "aperture: got 0 m; allowed: a positive diameter"),
        (lambda: aperture(GRID, 1.0, "round"), 'aperture shape: got round; allowed: "circular" or "square"'),
        (
            lambda: TwoF(GRID, GRID, WAVELENGTH, 0.1, aberration={4: 0.1}),
            "aberration: allowed: only with a clear aperture",
        ),
        (lambda: TwoF(GRID, GRID, WAVELENGTH, 0.1, front=-0.1), "distances from the lens: got -0.1 m and 0.1 m"),
        (lambda: TwoF(GRID, GRID, WAVELENGTH, 0.1, back=0.0), "distances from the lens: got 0.1 m and 0 m"),
        (
            lambda: TwoF(GRID, GRID, WAVELENGTH, 0.1, front=0.2, back=0.2),
            "got 0.2 m and 0.2 m: an image; allowed: no image",
        ),
        (lambda: TwoF(GRID, GRID, WAVELENGTH, 0.0), "focal length: got 0 m"),
        (
            lambda: TwoF(GRID, GRID, WAVELENGTH, 0.1, aperture=1e-3, decentre=(0.0, 3e-3)),
            "lens: got an aperture of 0.001 m; allowed: in the way of the light; try: a wider or better centred lens",
        ),
        (
            lambda: TwoF(GRID, GRID, WAVELENGTH, 0.1, aperture=-1e-3),
            "aperture: got -0.001 m; allowed: a positive diameter",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
