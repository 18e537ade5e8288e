"""⟨A x, y⟩ = ⟨x, A†y⟩ with respect to power, for every linear element; gradients of every differentiable one."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from simulators.grid import Grid
from simulators.propagation import (
    AngularSpectrum,
    Collins,
    FourierTransform,
    Fresnel,
    FresnelTransform,
    TwoF,
    free_space,
)

WAVELENGTH, FOCAL_LENGTH = 633e-9, 0.1
FRONT = {(1, 24): Grid((1, 24), (8e-6, 30e-6)), (13, 16): Grid((13, 16), (35e-6, 30e-6), (1e-5, -2e-5))}
BEHIND = {(1, 24): Grid((1, 19), (8e-6, 40e-6)), (13, 16): Grid((10, 17), (45e-6, 40e-6), (0.0, 3e-5))}

OPERATORS = {
    "fft": lambda g, h: FourierTransform(g, g.conjugate(WAVELENGTH, FOCAL_LENGTH), WAVELENGTH, FOCAL_LENGTH, "fft"),
    "matrix": lambda g, h: FourierTransform(g, h, WAVELENGTH, FOCAL_LENGTH, "matrix"),
    "chirp-z": lambda g, h: FourierTransform(g, h, WAVELENGTH, FOCAL_LENGTH, "chirp-z"),
    "inverse": lambda g, h: FourierTransform(g, h, WAVELENGTH, -FOCAL_LENGTH, "chirp-z"),
    "collins": lambda g, h: Collins(g, h, WAVELENGTH, 0.3, 0.1, -0.2, axis=(0.0, 4e-5)),
    "angular spectrum": lambda g, h: AngularSpectrum(g, WAVELENGTH, 0.01),
    "band limit": lambda g, h: AngularSpectrum(g, WAVELENGTH, 0.3),
    "periodic": lambda g, h: AngularSpectrum(g, WAVELENGTH, -0.01, padding=None),
    "fresnel": lambda g, h: Fresnel(g, WAVELENGTH, 0.1),
    "fresnel transform": lambda g, h: FresnelTransform(g, h, WAVELENGTH, 0.2),
    "free space": lambda g, h: free_space(g, WAVELENGTH, 0.1),
    "2f": lambda g, h: TwoF(g, h, WAVELENGTH, FOCAL_LENGTH),
    "2f misplaced": lambda g, h: TwoF(g, h, WAVELENGTH, FOCAL_LENGTH, front=0.11, back=0.09, decentre=(1e-5, 5e-5)),
    "2f with an edge": lambda g, h: TwoF(
        g, h, WAVELENGTH, FOCAL_LENGTH, aperture=8e-4, aberration={5: 0.1, 8: 0.2}, back=0.104, decentre=(0.0, 4e-5)
    ),
    "2f square": lambda g, h: TwoF(g, h, WAVELENGTH, FOCAL_LENGTH, aperture=8e-4, shape="square"),
}


def random(shape, dtype):
    return torch.randn(2, *shape, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex128, 1e-12), (torch.complex64, 2e-5)])
@pytest.mark.parametrize("shape", FRONT)
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.filterwarnings("ignore:along")  # adjoints hold whether or not the samples suffice
def test_dot_product(name, shape, dtype, tolerance):
    operator = OPERATORS[name](FRONT[shape], BEHIND[shape])
    x, y = random(operator.grid_in.shape, dtype), random(operator.grid_out.shape, dtype)
    ahead, back = operator(x), operator.adjoint(y)
    assert (ahead.dtype, back.dtype) == (dtype, dtype)
    assert (ahead.shape, back.shape) == (y.shape, x.shape)
    left = (ahead.conj() * y).sum() * operator.grid_out.cell
    right = (x.conj() * back).sum() * operator.grid_in.cell
    size = math.sqrt(float(operator.grid_in.power(x).sum() * operator.grid_out.power(y).sum()))
    assert (left - right).abs() < tolerance * size
    assert left.abs() > 1e-3 * size / math.sqrt(x.numel())  # the product is not small by itself


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.filterwarnings("ignore:along")
def test_gradient_in_the_field(name):
    operator = OPERATORS[name](Grid((2, 4), (8e-6, 30e-6)), Grid((3, 3), (8e-6, 40e-6)))
    field = torch.randn(*operator.grid_in.shape, dtype=torch.complex128, requires_grad=True)
    scale = math.sqrt(operator.grid_out.cell / operator.grid_in.cell)
    assert torch.autograd.gradcheck(lambda e: operator(e) * scale, field)
    other = torch.randn(*operator.grid_out.shape, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: operator.adjoint(e) / scale, other)


FIGURES = {
    "distance": lambda g, h, t: FourierTransform(g, h, WAVELENGTH, FOCAL_LENGTH * t, "matrix"),
    "distance by chirp-z": lambda g, h, t: FourierTransform(g, h, WAVELENGTH, FOCAL_LENGTH * t, "chirp-z"),
    "wavelength": lambda g, h, t: FourierTransform(g, h, WAVELENGTH * t, FOCAL_LENGTH),
    "axis": lambda g, h, t: FourierTransform(g, h, WAVELENGTH, FOCAL_LENGTH, axis=(1e-5 * t, 3e-5 * t)),
    "ray matrix": lambda g, h, t: Collins(g, h, WAVELENGTH, 0.3 * t, 0.1 * t, -0.2 * t),
    "angular spectrum": lambda g, h, t: AngularSpectrum(g, WAVELENGTH * t, 0.01 * t * t),
    "fresnel": lambda g, h, t: Fresnel(g, WAVELENGTH * t, 0.01 * t * t),
    "fresnel transform": lambda g, h, t: FresnelTransform(g, h, WAVELENGTH, 0.2 * t),
    "2f focal length": lambda g, h, t: TwoF(g, h, WAVELENGTH, FOCAL_LENGTH * t),
    "2f distances": lambda g, h, t: TwoF(g, h, WAVELENGTH, FOCAL_LENGTH, front=0.11 * t, back=0.09 * t),
    "2f decentre": lambda g, h, t: TwoF(g, h, WAVELENGTH, FOCAL_LENGTH, decentre=(2e-5 * t, 4e-5 * t)),
}
#: Of a lens with an edge, its samples held by ``lens_grid``.
EDGE = {
    "focal length": lambda t: {"focal_length": FOCAL_LENGTH * t},
    "front": lambda t: {"front": 0.11 * t},
    "back": lambda t: {"back": 0.09 * t},
    "decentre": lambda t: {"decentre": (2e-5 * t, 4e-5 * t)},
    "wavelength": lambda t: {"wavelength": WAVELENGTH * t},
    "aberration": lambda t: {"aberration": {6: 0.1 * t, 8: 0.2 * t * t, 11: 0.05}},
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.filterwarnings("ignore:along")
def test_gradient_in_a_figure(name):
    front, behind = Grid((3, 4), (30e-6, 30e-6)), Grid((3, 5), (40e-6, 40e-6))
    field = torch.randn(*front.shape, dtype=torch.complex128)
    one = torch.ones((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: FIGURES[name](front, behind, t)(field), one, rtol=1e-5)
    assert torch.autograd.gradgradcheck(lambda t: FIGURES[name](front, behind, t)(field), one, rtol=1e-4)


@pytest.mark.parametrize("name", EDGE)
def test_gradient_in_a_figure_of_a_lens_with_an_edge(name):
    """The edge wide enough that the band that is kept, which follows the geometry without a gradient, does not show."""
    front, behind = Grid((1, 4), (30e-6, 30e-6)), Grid((1, 5), (40e-6, 40e-6))
    field = torch.randn(*front.shape, dtype=torch.complex128)
    fixed = {"wavelength": WAVELENGTH, "focal_length": FOCAL_LENGTH, "aperture": 5e-3}
    lens_grid = Grid((1, 700), (8e-6, 8e-6))

    def propagate(t):
        return TwoF(front, behind, **(fixed | EDGE[name](t)), lens_grid=lens_grid)(field)

    one = torch.ones((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(propagate, one, rtol=1e-4, atol=1e-5)


def test_a_focal_length_is_learned():
    """An operator a step: from 0.4 % off, Newton's steps on the distance to the true lens's field find it."""
    grid = Grid((1, 16), (60e-6, 60e-6))
    field = torch.randn(1, 16, dtype=torch.complex128)
    goal = FourierTransform(grid, grid, WAVELENGTH, FOCAL_LENGTH)(field)
    relative = torch.tensor(1.004, dtype=torch.float64, requires_grad=True)
    for _ in range(8):
        out = FourierTransform(grid, grid, WAVELENGTH, FOCAL_LENGTH * relative)(field)
        loss = torch.view_as_real(out - goal).square().sum() / torch.view_as_real(goal).square().sum()
        (slope,) = torch.autograd.grad(loss, relative, create_graph=True)
        (bend,) = torch.autograd.grad(slope, relative)
        relative = (relative - slope / bend.abs()).detach().requires_grad_()
    assert float(relative.detach()) == pytest.approx(1.0, abs=1e-9)


def test_kernels_kept_in_inference_serve_training():
    grid = Grid((8, 8), (30e-6, 30e-6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operators = [
            AngularSpectrum(grid, WAVELENGTH, 0.1),
            Fresnel(grid, WAVELENGTH, 0.1),
            TwoF(grid, grid, WAVELENGTH, 0.1, aperture=1e-3),
            TwoF(grid, grid, WAVELENGTH, 0.1, front=0.09),
        ]
    for operator in operators:
        with torch.inference_mode():
            expected = operator(torch.ones(8, 8, dtype=torch.complex128)).clone()
        field = torch.ones(8, 8, dtype=torch.complex128, requires_grad=True)
        out = operator(field)
        out.abs().square().sum().backward()
        assert torch.allclose(out, expected)
        assert field.grad is not None
        assert field.grad.abs().max() > 0
