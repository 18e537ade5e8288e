"""Which misalignments masks can absorb: exactly on a sampled grid, to g²/12 with macro-pixels, and which never."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import commands_for, fidelity, lens_of, misaligned

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.calibration import plane_phases, register, split_misalignment
from photonic_acdc.calibration.agreement import Seen
from photonic_acdc.calibration.agreement import fidelity as agreement
from photonic_acdc.calibration.geometry import Geometry, plane_pixels
from simulators.bases import samples
from simulators.fourier import Path, centres, path_matrix

AS_BUILT = sim.Misalignment.as_built()
STAGES = 2


def posed(modes=(8, 8), *patterns):
    """The reference bench, everything on it misaligned as built, with these effects alone."""
    bench = sim.reference_bench(modes)
    bench = misaligned(bench.replace(source=bench.source.replace(pointing=1e-4)), AS_BUILT)
    return bench.only(*(patterns or ("*.lateral", "*.axial", "*.tilt", "*.pointing")))


def state_with(bench, **figures):
    """Nominal but for these figures; a dot is written ``__``, an index ``_0``."""
    state = dict(bench.nominal(STAGES))
    for address, value in figures.items():
        assert address in state
        state[address] = torch.tensor(value, dtype=torch.float64).reshape(state[address].shape)
    return state


def sampled(bench, masks, state):
    """The cascade on one sample a macro-pixel, by the simulators' own path, as an operator; phases at its end gone."""
    geometry, pixels = Geometry(bench, STAGES, state), plane_pixels(bench, STAGES)
    field = torch.eye(math.prod(bench.modes), dtype=torch.complex128).reshape(-1, *bench.modes)
    for j, mask in enumerate(masks):
        y, x = (
            path_matrix(samples(pixels[j][axis], 1), samples(pixels[j + 1][axis], 1), geometry.path(j, axis))[0, 0]
            for axis in (0, 1)
        )
        field = y @ (field * mask.field()) @ x.mT
    return field


def absorbed(bench, masks, state):
    """Masks and last plane without the phases of the closed form."""
    phases, pixels = plane_phases(bench, STAGES, state), plane_pixels(bench, STAGES)
    turned = [sim.Command(mask.phase - phases.phase(j, pixels[j])) for j, mask in enumerate(masks)]
    end = phases.phase(2 * STAGES, pixels[-1])
    return turned, torch.complex(end.cos(), -end.sin())


# --- on the sampled grid --------------------------------------------------------------------------------------------

FIRST = ("input.lateral", "stage[0].mask[0].lateral")  # the input is written on the first mask: they move as one
ROWS = {
    "decentre of the first mask": dict.fromkeys(FIRST, (25e-6, -15e-6)),
    "decentre of a Fourier mask": {"stage[0].mask[1].lateral": (25e-6, -15e-6)},
    "decentre of the second stage's mask": {"stage[1].mask[0].lateral": (-5e-6, 25e-6)},
    "decentre of a lens": {"stage[0].lens[1].lateral": (25e-6, -15e-6)},
    "decentre of the camera": {"detector.lateral": (25e-6, -15e-6)},
    "tilt of a mask": {"stage[0].mask[1].tilt": (1e-4, -5e-5)},
    "tilt of the first mask": {"stage[0].mask[0].tilt": (1e-4, -5e-5)},
    "tilt of the input": {"input.tilt": (1e-4, -5e-5)},
    "pointing of the laser": {"source.pointing": (1e-4, 5e-5)},
    "axial shift of the first mask": {"stage[0].mask[0].axial": 1e-4},
    "axial shift of a Fourier mask": {"stage[0].mask[1].axial": -1e-4},
    "axial shift of the camera": {"detector.axial": 1e-4},
    "axial shift of a mask between decentred lenses": {
        "stage[0].mask[1].axial": 1e-4,
        "stage[0].lens[0].lateral": (25e-6, -10e-6),
        "stage[0].lens[1].lateral": (-20e-6, 15e-6),
    },
}


@pytest.mark.parametrize("size", [1, 20])
@pytest.mark.parametrize("modes", [(8, 8), (5, 6)])
@pytest.mark.parametrize("row", ROWS)
def test_absorbed_on_the_sampled_grid(row, modes, size):
    """As built, and twenty times as far: the neighbouring masks restore the operator to 1.0000."""
    bench = posed(modes)
    scaled = {address: np.multiply(value, size).tolist() for address, value in ROWS[row].items()}
    masks, state = commands_for(bench.command_shapes * STAGES), state_with(bench, **scaled)
    exact = sampled(bench, masks, bench.nominal(STAGES))
    turned, end = absorbed(bench, masks, state)
    assert 1 - fidelity(sampled(bench, turned, state) * end, exact) < 1e-10
    lost = 1 - fidelity(sampled(bench, masks, state), exact)
    assert lost > (5e-7 * size**2 if len(scaled) == 1 and "axial" in row else 1e-3)


def test_the_table_says_so_too():
    """Every row above is absorbed by the element's neighbours, but for the input beside the first mask."""
    bench = posed()
    table = split_misalignment(bench, STAGES, state_with(bench, **ROWS["decentre of a Fourier mask"]))
    by = dict(zip(table["figure"].values.tolist(), table["absorbed_by"].values.tolist(), strict=True))
    neighbours = "stage[0].mask[0], stage[1].mask[0]"
    assert by["stage[0].mask[1].lateral[x]"] == by["stage[0].mask[1].axial"] == neighbours
    assert by["stage[0].mask[1].tilt[y]"] == "stage[0].mask[1]"
    assert by["stage[0].lens[0].lateral[x]"] == "stage[0].mask[0], stage[0].mask[1]"
    assert by["detector.lateral[x]"] == by["detector.axial"] == "stage[1].mask[1]"
    assert by["source.pointing[x]"] == by["input.tilt[x]"] == "stage[0].mask[0]"
    assert by["input.lateral[x]"] == by["stage[0].mask[0].lateral[x]"] == ""
    row = table.sel(figure="stage[0].mask[1].lateral[y]")
    ramp = 2 * math.pi * 25e-6 / 64e-6 / bench.scales[0]
    assert float(row["ramp"]) == pytest.approx(ramp)
    assert float(row["rest"]) == pytest.approx(2 * ramp**2 / 12)  # a mask on either side


# --- never absorbed -------------------------------------------------------------------------------------------------


def best_diagonals(actual, wanted):
    """1-F of b·actual·a to wanted over all unit-modulus diagonals a, b: each in turn at its best, to convergence."""
    cross = wanted.conj() * actual
    before, value = 0.0, 1.0
    front = torch.ones(actual.shape[-1], dtype=torch.complex128)
    while abs(value - before) > 1e-14:
        back = torch.exp(-1j * (cross @ front).angle())
        front = torch.exp(-1j * (back @ cross).angle())
        before, value = value, float((back @ cross @ front).abs() ** 2)
    return 1 - value / float(actual.abs().square().sum() * wanted.abs().square().sum())


def bent(phase):
    """1-F to first order of a kernel with this small phase ``[u, x]`` upon it, when diagonals do their best."""
    return float((phase - phase.mean(0) - phase.mean(1, keepdim=True) + phase.mean()).square().mean())


@pytest.mark.parametrize(("front", "back"), [(8, 16), (15, 15), (16, 31)])
def test_one_path_and_the_best_diagonals(front, back):
    """One axis, one sample a pixel: decentre, tilt and axial error are restored, scale and distortion are not."""
    scale = torch.tensor(float(back), dtype=torch.float64)
    n, u = centres(front), centres(back)

    def operator(**figures):
        path = Path(figures.pop("scale", scale), **{k: torch.tensor(v, dtype=scale.dtype) for k, v in figures.items()})
        return path_matrix(samples(front, 1), samples(back, 1), path)

    exact = operator()
    for figures in ({"offset_in": 0.4}, {"offset_out": -3.0}, {"tilt": 0.3}, {"bend_in": 4e-3}, {"bend_out": 2e-3}):
        assert 1 - fidelity(operator(**figures), exact) > 1e-3
        assert best_diagonals(operator(**figures), exact) < 1e-10
    for product in (0.05, 0.1, 0.2):
        relative = product / front
        found = best_diagonals(operator(scale=scale / (1 + relative)), exact)
        assert found == pytest.approx(bent(2 * math.pi * relative * torch.outer(u, n) / scale), rel=0.02)
        assert found == pytest.approx(math.pi**2 / 36 * product**2, rel=0.03)
    squeeze = 0.2 / back**2
    found = best_diagonals(operator(squeeze=squeeze), exact)
    assert found == pytest.approx(bent(math.pi * squeeze * torch.outer(u**3, n) / scale), rel=0.1)


@pytest.mark.parametrize("modes", [(8, 8), (5, 6)])
def test_scale_and_clocking_stay(modes):
    """Two axes: the closed form changes nothing, and what is lost is (π²/36)(N P ε/M)² an axis and path."""
    bench = sim.reference_bench(modes).only("*.scale_error")
    state = state_with(bench, **{"stage[0].lens[1].scale": 1.01})
    masks = commands_for(bench.command_shapes * STAGES)
    turned, end = absorbed(bench, masks, state)
    assert all(torch.equal(a.phase, b.phase) for a, b in zip(turned, masks, strict=True))
    exact = sampled(bench, masks, bench.nominal(STAGES))
    lost = 1 - fidelity(sampled(bench, turned, state) * end, exact)
    table = split_misalignment(bench, STAGES, state).sel(figure="stage[0].lens[1].scale_error")
    assert not bool(table["absorbable"])
    assert float(table["value"]) == pytest.approx(0.01)
    expected = sum(
        math.pi**2 / 36 * (0.01 * n * p / bench.scales[0]) ** 2 for n, p in zip(modes, (16, 16), strict=True)
    )
    assert float(table["rest"]) == pytest.approx(expected, rel=0.02)
    assert lost == pytest.approx(expected, rel=0.15)


def test_clocking_of_a_kernel():
    """Both cross terms of a turn, by brute force on the sampled grid: twice (π²/36)(γ N P/M)² at the best diagonals."""
    n, p, scale, angle = 6, 12, 12.0, 0.02
    y, x = (part.reshape(-1) for part in torch.meshgrid(centres(n), centres(n), indexing="ij"))
    v, u = (part.reshape(-1) for part in torch.meshgrid(centres(p), centres(p), indexing="ij"))
    turned_y, turned_x = y * math.cos(angle) + x * math.sin(angle), x * math.cos(angle) - y * math.sin(angle)
    kernels = []
    for a, b in ((y, x), (turned_y, turned_x)):
        phase = -2 * math.pi * (torch.outer(v, a) + torch.outer(u, b)) / scale
        kernels.append(torch.complex(phase.cos(), phase.sin()))
    found = best_diagonals(kernels[1], kernels[0])
    assert found == pytest.approx(2 * math.pi**2 / 36 * (angle * n * p / scale) ** 2, rel=0.05)
    bench = posed((6, 6), "*.clocking")
    table = split_misalignment(bench, STAGES, state_with(bench, **{"stage[0].mask[1].clocking": angle}))
    row = table.sel(figure="stage[0].mask[1].clocking")
    assert float(row["rest"]) == pytest.approx(2 * 2 * math.pi**2 / 36 * (angle * 6 * 16 / bench.scales[0]) ** 2)
    assert float(row["value"]) == pytest.approx(angle)
    assert not bool(row["absorbable"])


@pytest.mark.parametrize("address", ["input", "stage[0].mask[0]"])
def test_input_and_first_mask_turned_against_each_other(address):
    """Rows of the input lie beside those of the mask: through `Pixel` what the table says, whichever of them turned."""
    bench = posed((8, 8), "*.clocking")
    state = state_with(bench, **{f"{address}.clocking": 0.01})
    simulator = sim.Pixel(bench, STAGES, order=4)
    seen, found = Seen(simulator, "intensity"), []
    for seed in range(3):
        masks = commands_for(bench.command_shapes * STAGES, seed)
        wanted = seen(masks, bench.nominal(STAGES))
        found.append(1 - float(agreement(seen(masks, state), wanted, sees_phases=False)))
    row = split_misalignment(bench, STAGES, state).sel(figure=f"{address}.clocking")
    assert np.mean(found) == pytest.approx(float(row["rest"]), rel=0.2)


def test_coma_stays():
    """Of coma over the light's own width, what depends on field and pupil together; by brute force on the grid."""
    bench = lens_of(sim.reference_bench((6, 6)), zernike=((7, 3e-5),)).only("*.aberration")
    lens, pitch, scale = bench.stage[1].device, bench.stage[0].pitch, bench.scales[0]
    y, x = (part.reshape(-1) for part in torch.meshgrid(centres(6), centres(6), indexing="ij"))
    v, u = (part.reshape(-1) for part in torch.meshgrid(centres(16), centres(16), indexing="ij"))
    across = [(a[:, None] + b) * pitch / (lens.diameter / 2) for a, b in ((v, y), (u, x))]
    radius = (across[0] ** 2 + across[1] ** 2).sqrt()
    # Noll 7, √8 (3r³ - 2r) sin θ.
    wave = 3e-5 * math.sqrt(8) * (3 * radius**2 - 2) * across[0]
    phase = 2 * math.pi * wave / bench.source.wavelength
    ideal = -2 * math.pi * (torch.outer(v, y) + torch.outer(u, x)) / scale
    kernels = [torch.complex(p.cos(), p.sin()) for p in (ideal, ideal + phase)]
    found = best_diagonals(kernels[1], kernels[0])
    assert 1e-4 < found < 0.2
    assert found < 0.5 * (1 - fidelity(kernels[1], kernels[0]))  # its tilt and its parts in one plane are absorbed
    row = split_misalignment(bench, STAGES, bench.nominal(STAGES)).sel(figure="stage[0].lens[0].aberration")
    assert not bool(row["absorbable"])
    assert float(row["rest"]) == pytest.approx(found, rel=0.05)


def test_what_else_is_never_absorbed():
    """Distortion, crosstalk and drift are listed, too, with a figure where there is one."""
    bench = misaligned(lens_of(sim.reference_bench((8, 8)), distortion="f-tan"), sim.Misalignment.drifting())
    masks = [
        place.replace(device=place.device.replace(crosstalk_fwhm=4e-6, fill_model=None)) if j % 2 == 0 else place
        for j, place in enumerate(bench.stage)
    ]
    bench = bench.replace(stage=tuple(masks)).only("*.distortion", "stage[0].mask[*].crosstalk", "stage*.lateral_drift")
    state = sim.Realisations(0, (0,), time=3600.0).draw(bench, STAGES)
    table = split_misalignment(bench, STAGES, state)
    assert not table["absorbable"].values.any()
    edge = float(table.sel(figure="stage[0].lens[0].distortion")["value"])
    squeeze = (64e-6 / 0.1) ** 2
    assert edge == pytest.approx(squeeze * 8**3 / 2)  # of a macro-pixel, at the Fourier mask's edge
    expected = 2 * bent(math.pi * squeeze * torch.outer(centres(16) ** 3, centres(8)) / bench.scales[0])
    assert float(table.sel(figure="stage[0].lens[0].distortion")["rest"]) == pytest.approx(expected, rel=0.05)
    assert float(table.sel(figure="stage[0].mask[0].crosstalk")["value"]) == pytest.approx(4e-6)
    assert np.isnan(table.sel(figure="stage[0].mask[0].crosstalk")["rest"])
    drift = table.sel(figure="stage[0].mask[1].lateral_drift[x]")
    ramp = 2 * math.pi * abs(float(drift["value"])) / 64e-6 / bench.scales[0]
    assert float(drift["ramp"]) == pytest.approx(ramp)
    assert float(drift["rest"]) == pytest.approx(2 * ramp**2 * (8**2 - 1) / 12)


# --- with macro-pixels ----------------------------------------------------------------------------------------------


def steps(bench, simulator, seed=0):
    """Infidelity before, registered, absorbed, as a camera sees it, with Σg²/12 and the slip's share."""
    masks, state = commands_for(bench.command_shapes * STAGES, seed), sim.Realisations(seed, (0,)).draw(bench, STAGES)
    seen, pixels = Seen(simulator, "intensity"), plane_pixels(bench, STAGES)
    wanted = seen(masks, bench.nominal(STAGES))
    registered, moves = register(bench, STAGES, state)
    phases = plane_phases(bench, STAGES, registered)
    turned, _ = absorbed(bench, masks, registered)
    operators = (
        seen(masks, state, plane_phases(bench, STAGES, state)),
        seen(masks, registered, phases),
        seen(turned, registered, phases),
    )
    lost = [1 - float(agreement(actual, wanted, sees_phases=False)) for actual in operators]
    left = sum(float(phases.residual(j, pixels[j])) for j in range(2 * STAGES))
    return lost, left, float(phases.slip.square().sum()), phases, moves


@pytest.mark.parametrize("simulator", [sim.Pixel, sim.Wave])
@pytest.mark.parametrize("seed", [0, 1])
def test_macro_pixels_leave_a_twelfth_of_the_ramp_squared(simulator, seed):
    """Input and first mask on each other: everything else as built comes down to Σg²/12 in either simulator."""
    bench = posed(
        (6, 7), "stage[0].lens*.lateral", "stage[*].mask[1].lateral", "stage[1]*.lateral", "*.tilt", "*.axial"
    )
    lost, left, slip, _, _ = steps(bench, simulator(bench, STAGES, order=3), seed)
    assert slip == 0
    assert lost[0] > 0.5
    assert lost[1] > 0.1  # the camera has no decentre here, so that its window does not follow the light
    assert 0.05 * left < lost[2] <= left


@pytest.mark.parametrize("seed", range(4))
def test_registration_to_half_a_native_pixel(seed):
    """No mask keeps a ramp, no input a slip, of more than half a native pixel; what is left is what is expected."""
    bench = posed()
    lost, left, slip, phases, moves = steps(bench, sim.Pixel(bench, STAGES, order=3), seed)
    half = 0.5 / 8
    assert phases.slip.abs().max() <= half * (1 + 1e-9)
    assert phases.ramp[:-1].abs().max() <= 2 * math.pi / bench.scales[0] * half * 1.001
    assert moves.abs().max() > 1
    assert lost[0] > 0.9 > 0.1 > lost[1] > lost[2]
    assert lost[2] <= 1.1 * (left + slip / 0.774)


def test_a_tilt_alone_leaves_what_its_ramp_says():
    """100 µrad at 64 µm: 0.127 rad a macro-pixel, -29 dB."""
    bench = posed((8, 8), "*.tilt")
    state = state_with(bench, **{"stage[0].mask[1].tilt": (0.0, 1e-4)})
    phases = plane_phases(bench, STAGES, state)
    assert float(phases.ramp[1, 1]) == pytest.approx(0.127, abs=5e-4)
    assert 10 * math.log10(float(phases.residual(1, (16, 16)))) == pytest.approx(-28.7, abs=0.1)


def test_the_refitted_optic_holds_on_wave():
    """Refitted through ``Pixel``, judged by the full wave: as good as the estimate; least squares not worse."""
    bench = posed((5, 6))
    layer = pa.layers.AFDF(30, STAGES, shape=(5, 6))
    optic = pa.to_optical(layer, bench, readout="intensity", order=3, generator=torch.Generator().manual_seed(3))
    wave = sim.Wave(bench, STAGES, order=3)
    seen = Seen(wave, "intensity")
    cascade = next(iter(pa.cascades(optic).values()))
    wanted = seen(cascade.commands(), bench.nominal(STAGES))
    lost = {}
    for method in ("closed form", "least squares"):
        found = pa.refit(optic, seed=0, realisation=2, method=method, iterations=15)
        state, after = found.states[""], next(iter(pa.cascades(found.optic).values()))
        phases = plane_phases(bench, STAGES, state)
        actual = seen(after.commands(), state, phases)
        lost[method] = 1 - float(agreement(actual, wanted, sees_phases=False).detach())
        assert lost[method] <= 1.1 * float(found.report["expected"][0])
        reported = 1 - float(found.report["fidelity"].sel(step="absorbed")[0])
        assert lost[method] == pytest.approx(reported, rel=0.1)
    assert lost["least squares"] < lost["closed form"]
