"""A mesh of interferometers against brute force, closed forms, and what it must conserve."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

from simulators.errors import InputError
from simulators.mesh import Mesh, MeshPhases, decompose, haar, propagate, transfer
from simulators.random import Realisations, stream

SIZES = [2, 3, 4, 5, 8]


def phases_of(mesh, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    counts = (mesh.cells, mesh.cells, mesh.modes)
    return MeshPhases(
        *(6.3 * torch.rand(count, generator=generator, dtype=torch.float64).to(dtype) for count in counts)
    )


def mesh_of(modes, **changes):
    return Mesh(**{"modes": modes, "phase_error": 0.3, "splitter_error": 0.2, "loss_dB": 0.5, **changes})


def splitter(angle):
    return np.array([[math.cos(angle), 1j * math.sin(angle)], [1j * math.sin(angle), math.cos(angle)]])


def arm(angle):
    return np.diag([cmath.exp(1j * angle), 1])


def brute_force(mesh, phases, state, r):
    """The product of 2x2 matrices, each embedded in the unit matrix, MZI after MZI."""
    n, number = mesh.modes, 0
    u = np.eye(n, dtype=complex)
    internal, external = (
        getattr(phases, k).numpy() + state[f"mesh.{k}"][r, 0].numpy() for k in ("internal", "external")
    )
    first, second = math.pi / 4 + state["mesh.splitter"][r, 0].numpy()
    for column in range(n):
        m = column % 2
        while m + 1 < n:
            cell = splitter(second[number]) @ arm(internal[number]) @ splitter(first[number]) @ arm(external[number])
            whole = np.eye(n, dtype=complex)
            whole[m : m + 2, m : m + 2] = cell * 10 ** (-mesh.loss_dB / 20)
            u = whole @ u
            m, number = m + 2, number + 1
    assert number == mesh.cells
    output = phases.output.numpy() + state["mesh.output"][r, 0].numpy()
    return torch.from_numpy(np.diag(np.exp(1j * output)) @ u)


# --- against other ways ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", SIZES)
def test_brute_force(modes):
    """Matrix and fields, with every error on."""
    mesh = mesh_of(modes)
    phases, state = phases_of(mesh), mesh.draw(Realisations(1, (0, 7)).normal)
    found = transfer(mesh, phases, state)
    assert found.shape == (2, modes, modes)
    wanted = torch.stack([brute_force(mesh, phases, state, r) for r in range(2)])
    assert (found - wanted).abs().max() < 1e-12
    field = torch.randn(1, 3, modes, dtype=torch.complex128)
    assert (
        propagate(mesh, field, phases, state) - torch.einsum("rnm,rbm->rbn", wanted, field.expand(2, -1, -1))
    ).abs().max() < 1e-12


@pytest.mark.parametrize("modes", [*SIZES, 9, 40])
def test_any_unitary_matrix(modes):
    """The phases of a Haar-random matrix give that matrix."""
    wanted = haar(modes, stream(0, "test", "haar", realisation=modes))
    mesh = Mesh(modes=modes)
    found = transfer(mesh, decompose(wanted), mesh.nominal())[0]
    assert (found - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("modes", [2, 5, 8])
def test_unitary_matrices_with_zeros(modes):
    """Where nothing is left to null: unit, reversal, Fourier, signs."""
    n = torch.arange(modes)
    fourier = torch.exp(-2j * math.pi * torch.outer(n, n).double() / modes) / math.sqrt(modes)
    unit = torch.eye(modes, dtype=torch.complex128)
    mesh = Mesh(modes=modes)
    for wanted in (unit, unit.flip(0), fourier, unit * (1 - 2.0 * (n % 2)), unit.roll(1, 0)):
        found = transfer(mesh, decompose(wanted), mesh.nominal())[0]
        assert (found - wanted).abs().max() < 1e-12


def test_haar_moments():
    """E|U_ij|² = 1/N and E|U_ij|⁴ = 2/(N(N+1)); E tr U = 0, which QR without its phases misses."""
    n, count = 4, 2000
    draws = torch.stack([haar(n, stream(3, "test", "haar", realisation=r)) for r in range(count)])
    power = draws.abs() ** 2
    assert torch.allclose(power.sum(-1), torch.ones(count, n, dtype=torch.float64))
    fourth = (power**2).mean(0)
    error = (power**2).std(0) / math.sqrt(count)
    assert ((fourth - 2 / (n * (n + 1))).abs() < 5 * error).all()
    trace = draws.diagonal(dim1=-2, dim2=-1).sum(-1)  # E|tr U|² = 1
    assert trace.mean().abs() < 5 / math.sqrt(count)


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_one_interferometer():
    """θ = 0 crosses but for sin²(ε₁+ε₂); θ = π lets pass but for sin²(ε₂-ε₁)."""
    mesh = Mesh(modes=2)
    errors = torch.tensor([[0.11], [0.04]], dtype=torch.float64)
    state = {**mesh.nominal(), "mesh.splitter": errors.expand(1, 1, 2, 1)}
    zero = torch.zeros(2, dtype=torch.float64)
    for theta, leak in ((0.0, math.sin(0.15) ** 2), (math.pi, math.sin(0.07) ** 2)):
        phases = MeshPhases(torch.tensor([theta], dtype=torch.float64), zero[:1], zero)
        power = transfer(mesh, phases, state)[0].abs() ** 2
        wrong = power.diagonal() if theta == 0 else power.flip(0).diagonal()
        assert torch.allclose(wrong, torch.full((2,), leak, dtype=torch.float64), atol=1e-14)


def test_output_phases_average_the_field():
    """Behind an ideal mesh, phase errors of rms σ leave e^{-σ²/2} of the mean field: 5 standard errors."""
    mesh = Mesh(modes=4, phase_error=0.4)
    phases, count = phases_of(mesh), 4000
    drawn = mesh.draw(Realisations(0, tuple(range(count))).normal)
    state = {**mesh.nominal(), "mesh.output": drawn["mesh.output"]}
    mean = transfer(mesh, phases, state).mean(0)
    wanted = math.exp(-0.08) * transfer(mesh, phases, mesh.nominal())[0]
    assert ((mean - wanted).abs() < 5 * 0.4 / math.sqrt(count)).all()


def test_spread_of_the_draws():
    mesh = Mesh(modes=6, phase_error=0.3, splitter_error=0.05)
    drawn = mesh.draw(Realisations(0, tuple(range(400))).normal)
    for name, spread in (("internal", 0.3), ("external", 0.3), ("output", 0.3), ("splitter", 0.05)):
        values = drawn[f"mesh.{name}"]
        assert abs(values.std() / spread - 1) < 5 / math.sqrt(2 * values.numel())
    # Every shifter and splitter has an error of its own.
    together = torch.cat([drawn["mesh.internal"], drawn["mesh.external"]], -1).flatten(0, 1)
    correlation = torch.corrcoef(torch.cat([together, drawn["mesh.splitter"].flatten(0, 1).flatten(1)], -1).T)
    assert (correlation - torch.eye(len(correlation), dtype=torch.float64)).abs().max() < 5 / math.sqrt(400)


# --- what it must keep -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", SIZES)
def test_unitary_without_loss(modes):
    """With errors or without."""
    for changes in ({}, {"phase_error": 0.0, "splitter_error": 0.0}):
        mesh = mesh_of(modes, loss_dB=0.0, **changes)
        u = transfer(mesh, phases_of(mesh), mesh.draw(Realisations(2, (0, 1)).normal))
        assert (u @ u.mH - torch.eye(modes)).abs().max() < 1e-12


@pytest.mark.parametrize("modes", SIZES)
def test_passive(modes):
    """No singular value exceeds 1, and none is below what N MZIs in a row leave."""
    mesh = mesh_of(modes, loss_dB=1.0)
    u = transfer(mesh, phases_of(mesh), mesh.draw(Realisations(2, (0, 1, 2)).normal))
    values = torch.linalg.svdvals(u)
    assert values.max() < 1 + 1e-12
    assert values.min() > 10 ** (-modes / 20) - 1e-12
    if modes == 2:  # one MZI
        assert torch.allclose(values, torch.full_like(values, 10 ** (-1 / 20)))


def test_gradients():
    """Of the field, the phases and the state."""
    mesh = mesh_of(3)
    phases, state = phases_of(mesh), mesh.draw(Realisations(2, (0, 1)).normal)
    field = torch.randn(1, 2, 3, dtype=torch.complex128)
    values = [v.detach().requires_grad_() for v in (field, *phases, *state.values())]

    def function(light, internal, external, output, *rest):
        return propagate(mesh, light, MeshPhases(internal, external, output), dict(zip(state, rest, strict=True)))

    assert torch.autograd.gradcheck(function, values)


def test_realisations_do_not_meet():
    mesh = mesh_of(5)
    phases = phases_of(mesh)
    every = transfer(mesh, phases, mesh.draw(Realisations(4, (0, 1, 2)).normal))
    for r in range(3):
        assert (transfer(mesh, phases, mesh.draw(Realisations(4, (r,)).normal))[0] - every[r]).abs().max() < 1e-14
    assert (every[0] - every[1]).abs().max() > 0.01


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex64, 1e-5), (torch.complex128, 1e-14)])
def test_dtype_follows_the_field(dtype, tolerance):
    mesh = mesh_of(5)
    phases, state = phases_of(mesh), mesh.draw(Realisations(4, (0,)).normal)
    field = torch.randn(1, 2, 5, dtype=torch.complex128)
    found = propagate(mesh, field.to(dtype), phases, state)
    assert found.dtype == dtype
    assert (found - propagate(mesh, field, phases, state)).abs().max() < tolerance
    assert transfer(mesh, phases_of(mesh, dtype=torch.float32), state).dtype == torch.complex64


@pytest.mark.parametrize("modes", SIZES)
def test_counts(modes):
    mesh = Mesh(modes=modes)
    assert mesh.parameters == modes**2 == sum(len(part) for part in phases_of(mesh))


# --- refused ---------------------------------------------------------------------------------------------------------


def test_refused():
    mesh = Mesh(modes=4)
    phases, state = phases_of(mesh), mesh.nominal()
    field = torch.ones(1, 1, 4, dtype=torch.complex128)
    with pytest.raises(InputError, match="field"):
        propagate(mesh, field.real, phases, state)
    with pytest.raises(InputError, match=r"complex \[R, B, 4\]"):
        propagate(mesh, field[..., :3], phases, state)
    with pytest.raises(InputError, match=r"external phases: got \(5,\)"):
        propagate(mesh, field, phases._replace(external=phases.external[:5]), state)
    with pytest.raises(InputError, match="passive"):
        propagate(mesh, field, phases, {**state, "mesh.loss_dB": torch.full((1, 1), -0.1)})
    with pytest.raises(InputError, match="modes"):
        Mesh(modes=1)
    with pytest.raises(InputError, match="loss_dB"):
        Mesh(modes=4, loss_dB=-1.0)
    with pytest.raises(InputError, match="unitary"):
        decompose(2 * torch.eye(3, dtype=torch.complex128))
    with pytest.raises(InputError, match="square"):
        decompose(torch.ones(2, 3, dtype=torch.complex128))
