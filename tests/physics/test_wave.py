"""``Wave`` against ``Pixel``, and the convergence of each."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import box, commands_for, fidelity, field_for, lens_of, misaligned, nmse
from hypothesis import given, settings
from hypothesis import strategies as st

import simulators as sim
from simulators.bases import pixel_modes, samples
from simulators.grid import Grid
from simulators.propagation import TwoF
from simulators.wave import low_pass, modes_of


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("modes", [(8, 8), (5, 7)])
def test_wave_and_pixel_agree(stages, modes):
    """Full fill, no crosstalk, ideal lenses: 1-F ≤ 5e-3 at q = 2, ≤ 1e-3 at q = 3, as complex fields."""
    bench = sim.reference_bench(modes).only()
    commands, x, state = commands_for(bench.command_shapes * stages), field_for(modes), bench.nominal(stages)
    wave = box(sim.Wave(bench, stages, order=3)(commands, x, state), 3)
    for order, limit in ((2, 5e-3), (3, 1e-3)):
        pixel = box(sim.Pixel(bench, stages, order=order)(commands, x, state), order)
        assert 1 - fidelity(pixel, wave) <= limit


def test_wave_converges_to_pixel():
    """Four stages: errors fall with the samples and the margin, and with q, and meet at 1e-12."""
    bench, stages = sim.reference_bench((8, 8)).only(), 4
    commands, x, state = commands_for(bench.command_shapes * stages), field_for((8, 8)), bench.nominal(stages)
    exact = box(sim.Pixel(bench, stages, order=7)(commands, x, state), 7)
    found = []
    with pytest.warns(sim.SamplingWarning, match=r"samples=\d"):
        coarse = sim.Wave(bench, stages, samples=2)
    waves = [coarse, *(sim.Wave(bench, stages, samples=s, margin=m) for s, m in ((3, 2), (4, 2), (6, 3)))]
    for wave in waves:
        found.append(nmse(box(wave(commands, x, state), wave.order), exact))
    assert found[0] < 2e-2
    assert found[1] < 5e-3
    assert found[2] < 1e-9
    assert found[3] < 1e-12
    assert found == sorted(found, reverse=True)


def test_a_low_passed_mask_acts_as_the_mask_itself():
    """∫ E(x) t(x) e^{-2πiνx} dx of a band-limited E, by brute force and by samples of the low-passed t."""
    pixels, per_pixel, margin, band = 6, 4, 2, 0.6
    plane, boxes = samples(pixels, per_pixel, margin), pixel_modes(pixels, 1)
    mask = torch.randn(pixels, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    sampled = (low_pass(plane, boxes, 2 * band, margin).unflatten(-1, (pixels, -1)).sum(-1)).to(mask) @ mask
    sampled = sampled / math.sqrt(plane.width)
    fine = (torch.arange(pixels * 400, dtype=torch.float64) + 0.5) / 400 - pixels / 2
    for incoming in (-0.6, 0.13, 0.5):
        for outgoing in (-0.59, 0.0, 0.31):
            turn = 2 * math.pi * (incoming - outgoing)
            phase = turn * fine
            brute = (mask.repeat_interleave(400) * torch.complex(phase.cos(), phase.sin())).mean() * pixels
            phase = turn * plane.positions
            quick = (sampled * torch.complex(phase.cos(), phase.sin())).sum() * plane.width
            assert abs(brute - quick) < 3e-5


def test_samples_as_pixel_modes():
    """A band-limited field, by its samples and by integration over the pixels."""
    pixels, order = 4, 3
    plane = samples(pixels, 4, 40)
    place = plane.positions
    field = torch.exp(-((place - 0.3) ** 2) / 2)
    modes = modes_of(plane, pixels, order) @ (field * math.sqrt(plane.width))
    basis = pixel_modes(pixels, order)
    exact = torch.exp(-((basis.positions - 0.3) ** 2) / 2).reshape(pixels, -1) @ basis.functions.T
    assert (modes - exact.reshape(-1)).abs().max() < 1e-9


@pytest.mark.parametrize("pattern", ["*.lateral", "*.axial", "*.tilt", "*.clocking", "*.scale_error", "*.distortion"])
def test_errors_of_place_and_lens_are_the_same_in_both(pattern):
    """As built, each alone; the rotation of rows as a whole limits clocking."""
    bench = misaligned(lens_of(sim.reference_bench((6, 8)), distortion="f-tan"), sim.Misalignment.as_built())
    bench, stages = bench.only(pattern), 2
    state = sim.Realisations(1, (0, 1)).draw(bench, stages)
    commands, x = commands_for(bench.command_shapes * stages), field_for((6, 8))
    wave = sim.Wave(bench, stages, order=4)(commands, x, state)
    pixel = sim.Pixel(bench, stages, order=4)(commands, x, state)
    assert nmse(pixel, wave) < (3e-4 if pattern == "*.clocking" else 1e-6)
    if pattern != "*.distortion":  # 8e-4 of a pixel here
        ideal = sim.Wave(bench.only(), stages, order=4)(commands, x, bench.only().nominal(stages))
        assert nmse(ideal.expand_as(wave), wave) > 1e-4  # the error is there


@pytest.mark.parametrize("simulator", [sim.Pixel, sim.Wave])
def test_a_field_taken_through_the_lens_itself_is_the_same(simulator):
    """A wavefront error of zero: two matrices and a pupil in place of one matrix, to the window's 1e-5."""
    bench, stages = sim.reference_bench((8, 8)), 2
    through = lens_of(bench, zernike=((7, 0.0),)).only("*.aberration")
    commands, x = commands_for(bench.command_shapes * stages), field_for((8, 8))
    direct = simulator(bench.only(), stages, order=3)(commands, x, bench.only().nominal(stages))
    assert nmse(simulator(through, stages, order=3)(commands, x, through.nominal(stages)), direct) < 1e-5


def test_an_aberrated_lens_is_the_same_in_both():
    """Astigmatism and trefoil: vast over the clear aperture, a third of a wave over the fifteenth that is lit."""
    bench = lens_of(sim.reference_bench((8, 8)), zernike=((5, 8e-6), (6, -6e-6), (9, 80e-6))).only("*.aberration")
    commands, x, state = commands_for(bench.command_shapes), field_for((8, 8)), bench.nominal(1)
    pixel = box(sim.Pixel(bench, 1, order=4)(commands, x, state), 4)
    wave = box(sim.Wave(bench, 1, order=4)(commands, x, state), 4)
    ideal = box(sim.Wave(bench.only(), 1, order=4)(commands, x, bench.only().nominal(1)), 4)
    assert nmse(pixel, wave) < 1e-4
    assert 1 - fidelity(ideal, wave) > 0.05


def free_space(bench):
    path = {"device": sim.FreeSpace(name="air", distance=bench.stage[1].device.focal_length)}
    return bench.replace(stage=(bench.stage[0], path, bench.stage[2], path))


def test_a_lensless_stage_is_the_same_in_both_and_nearly_one_with_lenses():
    """Eight native pixels a macro-pixel draw the curvature; what the steps leave is below 1e-3."""
    lens, stages = sim.reference_bench((8, 8)), 2
    bench = free_space(lens).only()
    commands, x, state = commands_for(bench.command_shapes * stages), field_for((8, 8)), bench.nominal(stages)
    wave = sim.Wave(bench, stages, order=4)(commands, x, state)
    assert nmse(sim.Pixel(bench, stages, order=4)(commands, x, state), wave) < 1e-7
    lenses = sim.Wave(lens.only(), stages, order=4)(commands, x, lens.only().nominal(stages))
    assert 1e-5 < 1 - fidelity(box(wave, 4), box(lenses, 4)) < 1e-3
    with pytest.raises(
        sim.InputError, match=r"stage\[0\]\.macro_pixel: a lensless stage .* got 1; allowed: at least 4"
    ):
        free_space(lens).replace(
            modes=(1, 1),
            input=lens.input.replace(macro_pixel=1),
            stage=[
                place.replace(macro_pixel=1) if j % 2 == 0 else place for j, place in enumerate(free_space(lens).stage)
            ],
        )


def test_cylindrical_lenses_treat_rows_as_a_batch():
    """Each row is a cascade of its own: the same as that row alone on a bench of one row; upside down at K = 1."""
    base = sim.reference_bench((5, 8))
    bench = lens_of(base, axes="x").only()
    for stages in (1, 2):
        commands, x = commands_for(bench.command_shapes * stages), field_for((5, 8))
        out = sim.Pixel(bench, stages, order=3)(commands, x, bench.nominal(stages))
        wave = sim.Wave(bench, stages, order=3)(commands, x, bench.nominal(stages))
        assert nmse(out, wave) < 1e-4
        lines = box(out, 3)
        one = lens_of(sim.reference_bench((1, 8)), axes="x").only()
        for row in range(5):
            # After every lens a row lies at its mirror image; two lenses put it back.
            rows = [row if j % 2 == 0 else 4 - row for j in range(2 * stages)]
            single = [sim.Command(command.phase[r : r + 1]) for command, r in zip(commands, rows, strict=True)]
            alone = sim.Pixel(one, stages, order=3)(single, x[:, :, row : row + 1], one.nominal(stages))
            assert (box(alone, 3)[..., 0, :] - lines[..., row, :]).abs().max() < 1e-12


@pytest.mark.parametrize("kind", ["aligned", "misaligned", "through", "free", "cylinder"])
@pytest.mark.parametrize("simulator", [sim.Pixel, sim.Wave])
def test_adjoints(simulator, kind):
    """⟨Ax, y⟩ = ⟨x, A†y⟩ to 1e-12, and the matrix is the same operator."""
    base, stages = sim.reference_bench((4, 5), complex_masks=True), 2
    bench = {
        "aligned": base,
        "misaligned": misaligned(base, sim.Misalignment.as_built()),
        "through": lens_of(base, figure_error=10e-6),
        "free": free_space(base),
        "cylinder": lens_of(base, axes="x"),
    }[kind]
    cascade = simulator(bench, stages, order=2)
    state = sim.Realisations(0, (0, 1)).draw(bench, stages)
    commands, x = commands_for(bench.command_shapes * stages, complex_masks=True), field_for((4, 5), rows=1)
    for moments in (None, cascade.moments):
        out = cascade(commands, x, state, moments=moments)
        y = torch.randn(out.shape[-4:], dtype=torch.complex128)
        back = cascade.adjoint(commands, y, state, moments=moments)
        left, right = (out.conj() * y).sum((-1, -2, -3)), (x.conj() * back).sum((-1, -2, -3))
        assert (left - right).abs().max() < 1e-12 * max(1.0, float(left.abs().max()))
        matrix = cascade.matrix(commands, state, moments=moments)
        assert (matrix @ x.flatten(-2).mT - out.flatten(-2).mT).abs().max() < 1e-12


@given(
    modes=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stages=st.integers(1, 2),
    scale=st.floats(0.1, 2.0),
    coma=st.floats(0, 3e-4),
    diameter=st.floats(0.8e-3, 25e-3),
    kind=st.sampled_from(["lens", "free", "cylinder"]),
    wave=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=30, deadline=None)
@pytest.mark.filterwarnings("ignore::simulators.errors.VignettingWarning")
def test_no_bench_amplifies(modes, stages, scale, coma, diameter, kind, wave, seed):
    """Largest singular value ≤ 1 for any lens, place and mask; of sampled fields to the error of their samples."""
    pose = sim.Misalignment.as_built()
    bench = sim.reference_bench(modes)
    if kind == "free":
        bench = free_space(bench)
    else:
        lens = {"axes": "x"} if kind == "cylinder" else {"zernike": ((7, coma),), "diameter": diameter}
        bench = lens_of(bench, **lens)
    if kind == "cylinder":
        pose = pose.replace(clocking=None)
    pose = pose.replace(lateral=25e-6 * scale, tilt=1e-4 * scale)
    bench = misaligned(bench, pose).without("*.loss", "*.quantisation")
    cascade = (sim.Wave if wave else sim.Pixel)(bench, stages, order=2)
    state = sim.Realisations(seed, (0,)).draw(bench, stages)
    matrix = cascade.matrix(commands_for(bench.command_shapes * stages, seed), state)
    assert torch.linalg.matrix_norm(matrix, 2).max() <= 1 + (1e-6 if wave else 1e-12)


@pytest.mark.parametrize("diameter", [None, 22.9e-3, 1.2e-3])
@pytest.mark.filterwarnings("ignore::simulators.errors.VignettingWarning")
def test_a_crossing_is_the_sampled_2f_of_the_propagation_library(diameter):
    """Two implementations: matrices between bases here, FFTs between grids there; with coma, and an edge that cuts."""
    bench = sim.reference_bench((8, 8))
    waves = {} if diameter is None else {5: 30.0 * (diameter / 22.9e-3) ** 2, 9: 100.0 * (diameter / 22.9e-3) ** 3}
    if diameter is not None:
        metres = tuple((noll, value * bench.source.wavelength) for noll, value in waves.items())
        bench = lens_of(bench, diameter=diameter, zernike=metres)
    bench = bench.only("*.aberration") if waves else bench.only()
    wave, state = sim.Wave(bench, 1, order=1), bench.nominal(1)
    commands, x = commands_for(bench.command_shapes), field_for((8, 8), rows=1)
    field = wave.masks(commands, state, None, None)[0](x)
    found = wave.crossings(state, field)[0](field)
    (plane, _), (behind, _) = wave.planes[:2]
    pitch = bench.stage[0].pitch
    grids = [Grid((p.cells, p.cells), (p.width * pitch, p.width * pitch)) for p in (plane, behind)]
    two_f = TwoF(*grids, bench.source.wavelength, 0.1, aperture=diameter, aberration=waves or None)
    densities = two_f(field[0, 0] / math.sqrt(grids[0].cell)) * math.sqrt(grids[1].cell)
    turn = (densities.conj() * found[0, 0]).sum()
    turn = turn / turn.abs()  # the constant phase, 1/i of a lens
    assert float((densities * turn - found[0, 0]).norm() / found.norm()) < (1e-12 if diameter is None else 2e-2)
    assert abs(float(densities.norm() / found.norm()) - 1) < 5e-3


@pytest.mark.parametrize(("front", "back"), [(25e-6, 0.0), (0.0, -40e-6), (30e-6, 30e-6)])
def test_decentred_masks_of_a_lensless_stage(front, back):
    """Against the Fresnel integral, one axis: a mask's drawn curvature moves with it, a common shift does nothing."""
    bench = free_space(sim.reference_bench((1, 3)))
    pose = sim.Misalignment(lateral=1e-6)
    bench = bench.replace(stage=[p.replace(misalignment=pose) if j % 2 == 0 else p for j, p in enumerate(bench.stage)])
    bench = bench.only("*.lateral")
    order, fine = 8, 40
    pixel, state = sim.Pixel(bench, 1, order=order), dict(bench.nominal(1))
    for address, shift in (("stage[0].mask[0]", front), ("stage[0].mask[1]", back)):
        state[f"{address}.lateral"] = torch.tensor([[[0.0, shift]]], dtype=torch.float64)
    path = pixel.crossings(state, torch.zeros((), dtype=torch.complex128))[0].front[1][0, 0].numpy()
    pitch, native, alpha = 64e-6, 8, (64e-6) ** 2 / (bench.source.wavelength * 0.1)

    def places(pixels):
        return (np.arange(pixels * native * fine) - (pixels * native * fine - 1) / 2) / (native * fine)

    x, u = places(3), places(bench.fourier_pixels[1])
    drawn = (np.floor((x + 1.5) * native) + 0.5) / native - 1.5
    kernel = np.exp(1j * np.pi * alpha * ((x + front / pitch) - (u + back / pitch)[:, None]) ** 2)
    kernel = kernel * np.exp(-1j * np.pi * alpha * (drawn**2 + u[:, None] ** 2)) * math.sqrt(alpha) / (native * fine)
    brute = kernel.reshape(len(u), 3, -1).sum(-1).reshape(-1, native * fine, 3).mean(1)
    found = path[::order, ::order]
    assert abs(np.vdot(found, brute)) ** 2 > (1 - 1e-6) * np.vdot(found, found).real * np.vdot(brute, brute).real


@pytest.mark.parametrize("simulator", [sim.Ideal, sim.Pixel, sim.Wave])
def test_a_field_of_another_size_is_refused(simulator):
    bench = sim.reference_bench((4, 5))
    cascade, state = simulator(bench, 1), bench.nominal(1)
    commands = commands_for(cascade.command_shapes)
    with pytest.raises(sim.InputError, match=r"field: got shape \(1, 2, 5, 5\); allowed: \[R or 1, B, 4, 5\]"):
        cascade(commands, torch.zeros(1, 2, 5, 5, dtype=torch.complex128), state)
    with pytest.raises(sim.InputError, match="field: got shape"):
        cascade.adjoint(commands, torch.zeros(1, 2, 3, 3, dtype=torch.complex128), state)


@pytest.mark.parametrize("simulator", [sim.Pixel, sim.Wave])
def test_precision_moments_and_open_panels(simulator):
    """Double draws for a single field; an adjoint without the axis of moments; an amplitude panel that is not told."""
    base = sim.reference_bench((2, 3), complex_masks=True)
    panel = base.stage[0].device.replace(crosstalk_fwhm=5e-6)
    bench = base.replace(stage=[p.replace(device=panel) if j % 2 == 0 else p for j, p in enumerate(base.stage)])
    cascade, state = simulator(bench, 1, order=2), sim.Realisations(0, (0, 1)).draw(bench, 1)
    commands, x = commands_for(bench.command_shapes), field_for((2, 3))
    out = cascade(commands, x, state, moments=cascade.moments)
    single = cascade([sim.Command(c.phase.float()) for c in commands], x.to(torch.complex64), state)
    assert single.dtype == torch.complex64
    assert nmse(single.to(torch.complex128), cascade(commands, x, state)) < 1e-8
    y = torch.randn(out.shape[1:], dtype=torch.complex128)
    back = cascade.adjoint(commands, y, state, moments=cascade.moments)
    left, right = (out.conj() * y).sum((-1, -2, -3)), (x.conj() * back).sum((-1, -2, -3))
    assert (left - right).abs().max() < 1e-12 * float(left.abs().max())
    opened = [sim.Command(c.phase, torch.ones_like(c.phase)) for c in commands]
    assert torch.equal(cascade(opened, x, state), cascade(commands, x, state))


def test_what_is_not_modelled_is_no_effect_or_refused():
    bench = misaligned(sim.reference_bench((2, 3), complex_input=True), sim.Misalignment.as_built())
    slow = bench.stage[0].device.replace(settle_wait=0.01, crosstalk_fwhm=5e-6)
    bench = bench.replace(input=bench.input.replace(companion=slow))
    effects = {str(effect) for effect in bench.effects(1)}
    absent = {"input.axial", "detector.tilt", "input.phase.crosstalk", "input.phase.settling"}
    assert not effects & absent
    assert {"input.lateral", "detector.lateral", "input.phase.flicker"} <= effects
    with pytest.raises(sim.InputError, match=r"stage\[1\]\.device: wavefront errors of a cylindrical lens"):
        lens_of(sim.reference_bench((2, 3)), axes="x", figure_error=1e-8)
    with pytest.raises(sim.InputError, match=r"stage\[1\]\.device\.diameter: got 1\.00 mm; allowed: at least"):
        lens_of(sim.reference_bench((2, 3)), axes="x", diameter=1e-3)
    other = bench.stage[0].device.replace(crosstalk_fwhm=5e-6)
    with pytest.raises(
        sim.InputError, match=r"stage\[0\]\.companion: the second phase panel: .*allowed: the same device"
    ):
        bench.replace(stage=(bench.stage[0].replace(companion=other), *bench.stage[1:]))
    rows = lens_of(sim.reference_bench((2, 3)), axes="x")
    fringes = rows.replace(stage=[p.replace(device=other) if j % 2 == 0 else p for j, p in enumerate(rows.stage)])
    with pytest.raises(sim.InputError, match="Wave: fringing, gaps or chequerboards on a bench of cylindrical lenses"):
        sim.Wave(fringes, 1)
