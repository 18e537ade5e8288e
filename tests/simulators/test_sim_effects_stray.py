"""Ghosts, background, depolarised light, and what neighbouring zones catch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import torch
from torch.autograd import gradcheck, gradgradcheck

import simulators as sim
from simulators import effects


def light(*shape, dtype=torch.complex128):
    return torch.randn(*shape, dtype=dtype)


@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (-3, 0), (0, 4), (9, 0), (2, 2)])
@pytest.mark.parametrize("shape", [(4, 5), (5, 4)])
def test_a_ghost_sample_by_sample(shape, shift):
    """(1-a) E[y, x] + a e^{iφ} E[y - s_y, x - s_x], nothing from beyond the edge."""
    field, a, phase = light(2, *shape), 0.2, 0.7
    found = effects.ghost(field, a, phase, shift)
    expected = (1 - a) * field.numpy()
    for y in range(shape[0]):
        for x in range(shape[1]):
            v, u = y - shift[0], x - shift[1]
            if 0 <= v < shape[0] and 0 <= u < shape[1]:
                expected[:, y, x] += a * np.exp(1j * phase) * field[:, v, u].numpy()
    assert np.abs(found.numpy() - expected).max() < 1e-14


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -2)])
def test_a_ghost_never_amplifies(shift):
    """Largest singular value of the dense map ≤ 1, for any delay."""
    basis = torch.eye(12, dtype=torch.complex128).reshape(12, 3, 4)
    for phase in (0.0, 1.0, math.pi):
        for a in (0.0, 0.3, 1.0):
            matrix = effects.ghost(basis, a, phase, shift).reshape(12, 12)
            assert torch.linalg.matrix_norm(matrix, 2) <= 1 + 1e-12


def test_a_ghost_interferes():
    """In place, fringes between |1 - 2a|² and 1 as the delay changes."""
    field = torch.ones(1, 1, dtype=torch.complex128)
    power = [effects.ghost(field, 0.1, phase).abs().item() ** 2 for phase in (0.0, math.pi)]
    assert power == pytest.approx([1.0, 0.64], rel=1e-12)
    with pytest.raises(sim.InputError, match=r"amplitude of the ghost: got 1.1; allowed: 0 to 1"):
        effects.ghost(field, 1.1, 0.0)


def test_background_and_depolarised_light_add_in_intensity():
    photons, flat = torch.rand(2, 3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    torch.testing.assert_close(effects.background(photons, 2.5) - photons, torch.full((2, 3, 4), 2.5).double())
    mixed = effects.depolarise(photons, 0.1, flat)
    torch.testing.assert_close(mixed, photons - 0.1 * (photons - flat))
    assert torch.equal(effects.depolarise(photons, 0.0, flat), photons)
    # As many photons as before, where the panel only steers them.
    flat = flat * photons.sum((-2, -1), keepdim=True) / flat.sum()
    torch.testing.assert_close(effects.depolarise(photons, 0.3, flat).sum((-2, -1)), photons.sum((-2, -1)))
    with pytest.raises(sim.InputError, match=r"depolarised share: got -0.1; allowed: 0 to 1"):
        effects.depolarise(photons, -0.1, flat)
    with pytest.raises(sim.InputError, match=r"background: got -1; allowed: at least 0"):
        effects.background(photons, -1.0)


@pytest.mark.parametrize("order", [0, 1, -1, 2, 5])
def test_zone_shares_against_quadrature(order):
    exact = scipy.integrate.quad(lambda u: np.sinc(u) ** 2, order - 0.5, order + 0.5, epsabs=1e-13)[0]
    assert effects.zone_order_share(order) == pytest.approx(exact, abs=1e-12)


def test_zone_shares_are_those_of_the_literature_of_pixels():
    """77.4 %, 7.9 %, 1.4 %; all orders together carry all the light (the rest beyond 200: 1/(π²·200))."""
    assert round(100 * effects.zone_order_share(0), 1) == 77.4
    assert round(100 * effects.zone_order_share(1), 1) == 7.9
    assert round(100 * effects.zone_order_share(2), 1) == 1.4
    total = sum(effects.zone_order_share(m) for m in range(-200, 201))
    assert 1 - total == pytest.approx(1 / (math.pi**2 * 200.5), rel=1e-2)


def test_zone_shares_are_what_random_pixels_diffract():
    """Full-fill pixels of independent phases, Fourier-transformed: the power in each interval of one order."""
    pixels, fine, patterns = 64, 64, 200
    phase = 2 * math.pi * np.random.default_rng(0).random((patterns, pixels))
    field = np.exp(1j * phase).repeat(fine, axis=1)
    power = np.abs(np.fft.fft(field, axis=1)) ** 2
    order = np.round(np.fft.fftfreq(pixels * fine, d=1 / fine) + 1e-9).astype(int)  # in units of 1/pixel
    total = power.sum(1)
    for m in (0, 1, -1, 2):
        share = power[:, order == m].sum(1) / total
        error = share.std() / math.sqrt(patterns)
        assert abs(share.mean() - effects.zone_order_share(m)) < 5 * error
        assert error < 0.005


@pytest.mark.parametrize("double", [False, True])
def test_precision_of_the_input(double):
    complex_type, real_type = (torch.complex128, torch.float64) if double else (torch.complex64, torch.float32)
    field, photons = light(2, 3, dtype=complex_type), torch.rand(2, 3, dtype=real_type)
    assert effects.ghost(field, 0.1, 0.3, (1, 0)).dtype == complex_type
    assert effects.background(photons, 1.0).dtype == real_type
    assert effects.depolarise(photons, 0.2, photons).dtype == real_type


def test_derivatives():
    def figure():
        return torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    field = light(2, 3, 4).requires_grad_()
    photons = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    for effect, inputs in (
        (lambda e, a, p: effects.ghost(e, a, p, (1, -1)), (field, figure(), figure())),
        (effects.background, (photons, figure())),
        (effects.depolarise, (photons, figure(), torch.rand(3, dtype=torch.float64, requires_grad=True))),
    ):
        assert gradcheck(effect, inputs)
        assert gradgradcheck(effect, inputs)
