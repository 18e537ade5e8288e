"""Refitting an optic to the bench as built: what it gives back, what it leaves alone, and what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.calibration import plane_phases, register
from photonic_acdc.calibration.agreement import fidelity, nmse
from photonic_acdc.layers import AFDF, Intensity
from photonic_acdc.optical.masks import GivenMasks, NativeMasks
from simulators import InputError

POSES = ("*.lateral", "*.axial", "*.tilt")


@pytest.fixture(autouse=True)
def _quick(single_thread):
    pass


def misaligned(bench, misalignment=None):
    pose = misalignment or sim.Misalignment.as_built()
    return bench.replace(
        stage=tuple(place.replace(misalignment=pose) for place in bench.stage),
        input=bench.input.replace(misalignment=pose),
        detector_misalignment=pose,
    )


def native(modes=(3, 4), stages=2, readout="intensity", patterns=POSES, **options):
    bench = misaligned(sim.reference_bench(modes)).only(*patterns)
    n = modes[0] * modes[1]
    generator = torch.Generator().manual_seed(2)
    layer = AFDF(n, stages, shape=modes)
    return pa.to_optical(layer, bench, readout=readout, generator=generator, **({"order": 3} | options))


def exact(modes=(3, 4), stages=1):
    bench = misaligned(sim.reference_bench(modes, complex_masks=True, complex_input=True)).only(*POSES)
    layer = AFDF(modes[0] * modes[1], stages, shape=modes, init="identity")
    return pa.to_optical(layer, bench, mapping="exact", readout="coherent", order=3)


def steps(found, cascade=0):
    return (1 - found.report["fidelity"].values[cascade]).tolist()


# --- what it gives back ---------------------------------------------------------------------------------------------


def test_a_trained_optic_loses_its_accuracy_as_built_and_regains_it():
    """Trained on the nominal bench with every effect of its devices; then on one as built, untouched and refitted."""
    bench = misaligned(sim.reference_bench((3, 4)))
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(400, 12, generator=generator)
    y = (x[:, 0] + x[:, 5] > x[:, 7] + x[:, 10]).long()
    model = nn.Sequential(AFDF(12, 2, shape=(3, 4)), Intensity(), nn.BatchNorm1d(12), nn.Linear(12, 2))
    optic = pa.to_optical(model, bench, generator=generator)
    optimiser = torch.optim.Adam(optic.parameters(), lr=0.03)
    for _ in range(80):
        with pa.noise(optic, "mean"):
            loss = nn.functional.cross_entropy(optic(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    optic.eval()

    @torch.no_grad()
    def accuracy(model):
        return float((model(x).argmax(-1) == y).float().mean())

    with pa.noise(optic, "mean"):
        trained = accuracy(optic)
    assert trained > 0.93
    for realisation in (0, 1):
        with pa.noise(optic, "frozen", seed=5, realisations=[realisation]):
            built = accuracy(optic)
        regained = {}
        for method in ("closed form", "least squares"):
            found = pa.refit(optic, seed=5, realisation=realisation, method=method, iterations=15)
            with found.on_bench():
                regained[method] = accuracy(found.optic)
            judge = pa.rebind(found.optic, order=3)
            with found.on_bench(optic=judge):
                assert abs(accuracy(judge) - regained[method]) < 0.03
        assert built < 0.75
        assert regained["closed form"] > built + 0.15
        assert regained["least squares"] > trained - 0.04


@pytest.mark.parametrize("modes", [(3, 4), (5, 5)])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_every_step_helps(modes, stages):
    """Before, registered, absorbed: each better; the last within what the report expects; least squares not worse."""
    optic = native(modes, stages)
    closed = pa.refit(optic, seed=0)
    fitted = pa.refit(optic, seed=0, method="least squares", iterations=10)
    before, registered, absorbed = steps(closed)
    assert before > registered > absorbed
    assert absorbed <= 1.1 * float(closed.report["expected"][0])
    assert steps(fitted)[:2] == [before, registered]
    assert steps(fitted)[2] < absorbed
    assert (np.diff(closed.report["nmse"].values[0]) < 0).all()


def test_the_output_is_what_the_nominal_bench_gives():
    """Intensities of the refitted optic on the bench as built, against the optic's own on the nominal bench."""
    optic = native()
    found = pa.refit(optic, seed=0, method="least squares", iterations=40)
    x = torch.rand(20, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with pa.noise(optic, "mean"):
            wanted = optic(x)
        with pa.noise(optic, "frozen", seed=0):
            built = optic(x)
        with found.on_bench():
            refitted = found.optic(x)

    def error(y):
        return float(((y - wanted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum())

    assert error(built) > 0.5
    assert error(refitted) < 0.02


@pytest.mark.parametrize("method", ["closed form", "least squares"])
@pytest.mark.parametrize("make", [lambda: native(readout="coherent"), exact, lambda: exact(stages=2)])
def test_a_coherent_readout_takes_the_last_phases_out(make, method):
    """Complex outputs, native and exact, odd and even number of flips: up to one constant what they were."""
    optic = make()
    found = pa.refit(optic, seed=3, method=method, iterations=20)
    masks = next(iter(pa.cascades(found.optic).values())).masks
    assert isinstance(masks, GivenMasks)
    generator = torch.Generator().manual_seed(0)
    complex_input = next(iter(pa.cascades(optic).values())).bench.input.companion is not None
    x = torch.rand(20, 12, generator=generator)
    x = torch.complex(x, torch.rand(20, 12, generator=generator)) / 2 if complex_input else x
    with torch.no_grad():
        with pa.noise(optic, "mean"):
            wanted = optic(x)
        with pa.noise(optic, "frozen", seed=3):
            built = optic(x)
        with found.on_bench():
            refitted = found.optic(x)

    def lost(y):
        return 1 - float((wanted.conj() * y).sum().abs() ** 2 / (wanted.abs() ** 2).sum() / (y.abs() ** 2).sum())

    assert lost(built) > 0.5
    for reported in (steps(found)[2], lost(refitted)):
        assert reported < 0.7 * float(found.report["expected"][0])


def test_least_squares_absorbs_other_static_errors_too():
    """Phase errors of the panels and lenses off scale, which the closed form does not know of."""
    optic = native((5, 5), patterns=("*.lateral", "*.phase_error", "*.scale_error"))
    closed, fitted = (pa.refit(optic, seed=0, method=method) for method in ("closed form", "least squares"))
    assert steps(fitted)[2] < 0.5 * steps(closed)[2]
    alone = native((3, 4), patterns=("*.phase_error",))
    fitted = pa.refit(alone, seed=0, method="least squares")
    assert steps(fitted)[2] < 1e-3 * steps(fitted)[1]
    with pytest.raises(InputError, match=r'nothing to refit.*method="least squares" for its other static errors'):
        pa.refit(alone, seed=0)


def test_every_cascade_on_its_own_zones():
    bench = misaligned(sim.reference_bench((3, 4))).only(*POSES)
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(AFDF(12, 2, shape=(3, 4)), Intensity(), AFDF(12, 1, shape=(3, 4)), Intensity())
    optic = pa.to_optical(model, bench, order=3, generator=generator, x_max=4.0)
    found = pa.refit(optic, seed=1)
    assert set(found.states) == set(pa.cascades(optic)) == {"0", "2"}
    assert list(found.report["cascade"].values) == ["0", "2"]
    for row in (0, 1):
        before, _, absorbed = steps(found, row)
        assert before > 0.5 > 0.1 > absorbed
    assert not torch.equal(found.states["0"]["stage[0].lens[0].lateral"], found.states["2"]["stage[0].lens[0].lateral"])
    shift = found.report["shift"].sel(cascade="2")
    assert np.isnan(shift.sel(plane="stage[1].mask[0]")).all()
    assert not np.isnan(shift.sel(plane="detector")).any()
    with found.on_bench():
        for name, cascade in pa.cascades(found.optic).items():
            assert cascade.noise.state is not None
            for address, value in found.states[name].items():
                assert torch.equal(cascade.noise.state[address], value.float())


# --- what it leaves alone -------------------------------------------------------------------------------------------


def test_the_model_is_not_altered():
    for optic in (native(), exact()):
        before = copy.deepcopy(optic.state_dict())
        masks, noise = type(optic.masks), optic.noise
        pa.refit(optic, seed=0, method="least squares", iterations=3)
        after = optic.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert type(optic.masks) is masks
        assert optic.noise is noise
        assert all(parameter.grad is None for parameter in optic.parameters())


def test_native_masks_stay_native_and_train_on():
    """Of a bare camera: the same parameters, other phases; on the bench as built they have gradients."""
    optic = native()
    found = pa.refit(optic, seed=0)
    assert isinstance(found.optic.masks, NativeMasks)
    assert list(found.optic.state_dict()) == list(optic.state_dict())
    assert found.optic.masks.phases[0].dtype == torch.float32
    with found.on_bench():
        found.optic(torch.rand(3, 12)).sum().backward()
    assert all(phase.grad is not None and phase.grad.abs().sum() > 0 for phase in found.optic.masks.phases)


def test_nothing_misaligned_nothing_changed():
    """The nominal bench, given: no moves, no phases, and masks given as commands act as they did."""
    x = torch.rand(4, 12)
    for optic in (exact(stages=1), exact(stages=2)):
        found = pa.refit(optic, state={})
        assert not found.report["shift"].values.any()
        assert not found.report["ramp"].values.any()
        with torch.no_grad(), pa.noise(optic, "mean"), pa.noise(found.optic, "mean"):
            assert torch.allclose(optic(x), found.optic(x), rtol=1e-4, atol=1e-5)
        again = pa.refit(found.optic, state={})
        with torch.no_grad(), pa.noise(found.optic, "mean"), pa.noise(again.optic, "mean"):
            assert torch.allclose(again.optic(x), found.optic(x), rtol=1e-4, atol=1e-5)


def test_refitted_twice():
    """What is given is the start of another refit; the phases that the electronics take out add up."""
    optic = native(readout="coherent")
    first, other = pa.refit(optic, seed=0), pa.refit(optic, seed=1)
    both = pa.refit(first.optic, seed=1)
    phases = [found.optic.masks.readout_phase for found in (first, other, both)]
    assert torch.allclose(phases[0] + phases[1], phases[2], atol=1e-5)
    assert steps(both)[2] == pytest.approx(steps(other)[2], rel=0.3)


def test_the_same_bench_as_under_the_noise_switch():
    """`register` on the state that the switch draws; with one cascade its overrides do what `on_bench` does."""
    optic = native(readout="coherent")
    found = pa.refit(optic, seed=4, realisation=2)
    assert found.realisation == 2
    with pa.noise(optic, "frozen", seed=4, realisations=[2]):
        drawn = {address: value.double() for address, value in optic.noise.state.items()}
    state, moves = register(optic.bench, optic.stages, drawn)
    assert all(torch.equal(state[address], found.states[""][address]) for address in state)
    assert np.array_equal(moves.numpy(), found.report["shift"].values[0])
    pitch = optic.bench.stage[0].device.pixel_pitch
    for j, address in enumerate(found.report["plane"].values):
        moved = (state[f"{address}.lateral"] - drawn[f"{address}.lateral"]).reshape(-1)
        step = optic.bench.detector.pixel_pitch if address == "detector" else pitch
        assert torch.allclose(moved, moves[j].double() * step, atol=1e-12)
    changed = {address for address in state if not torch.equal(state[address], drawn[address])}
    assert not any("lens" in address or "input" in address for address in changed)
    x = torch.rand(5, 12)
    for mode in ("frozen", "sample"):
        with torch.no_grad(), found.on_bench(mode, samples=range(5), exposure=3):
            one = found.optic(x)
        overrides = found.states[""]
        with (
            torch.no_grad(),
            pa.noise(found.optic, mode, seed=4, realisations=[2], samples=range(5), exposure=3, overrides=overrides),
        ):
            assert torch.equal(one, found.optic(x))
    assert found.optic.noise.state is None


def test_given_figures_replace_those_drawn():
    optic = native()
    tilted = {"stage[0].mask[1].tilt": torch.tensor([[[0.0, 2e-4]]])}
    found = pa.refit(optic, state=tilted)
    # The camera and the second stage follow the light.
    assert found.report["shift"].sel(plane="stage[1].mask[0]", axis="x").values[0] == 5  # 2 · 2e-4 · 0.1 m / 8 µm
    assert "seed" not in found.report.attrs
    both = pa.refit(optic, seed=0, state=tilted)
    assert torch.equal(both.states[""]["stage[0].mask[1].tilt"], tilted["stage[0].mask[1].tilt"].double())
    assert not torch.equal(both.states[""]["stage[0].lens[0].lateral"], found.states[""]["stage[0].lens[0].lateral"])


def test_what_cannot_move_stays_and_is_absorbed():
    """No decentre on this bench, or photodiodes: no moves; the ramps go into the masks alone."""
    found = pa.refit(native(patterns=("*.tilt",)), seed=0)
    assert not found.report["shift"].values.any()
    assert float(np.abs(found.report["ramp"]).max()) > 0.05
    assert steps(found)[2] <= float(found.report["expected"][0])


def test_rows_of_cylindrical_lenses():
    """y is imaged: rows are moved onto each other's images; nothing is absorbed along y."""
    bench = misaligned(sim.reference_bench((4, 6)), sim.Misalignment(lateral=25e-6, tilt=1e-4))
    stage = tuple(
        place.replace(device=place.device.replace(axes="x")) if j % 2 else place for j, place in enumerate(bench.stage)
    )
    bench = bench.replace(stage=stage).only("*.lateral", "*.tilt")
    optic = pa.to_optical(AFDF(24, 2, shape=(4, 6)), bench, readout="intensity", order=3)
    found = pa.refit(optic, seed=0)
    assert not found.report["ramp"].sel(axis="y").values.any()
    assert found.report["ramp"].sel(axis="x").values.any()
    before, registered, _ = steps(found)
    assert before > 0.5
    assert registered < 0.1
    again, moves = register(bench, 2, found.states[""])
    assert not moves.any()
    assert all(torch.equal(again[address], value) for address, value in found.states[""].items())


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_report_is_labelled_and_printable():
    found = pa.refit(native(), seed=0, method="least squares", iterations=2)
    for variable in (*found.report.data_vars.values(), *found.report.coords.values()):
        assert variable.attrs["units"]
        assert variable.attrs["long_name"]
    assert found.report.attrs["method"] == "least squares"
    assert found.report.attrs["seed"] == 0
    assert list(found.report["plane"].values) == [
        *(f"stage[{s}].mask[{i}]" for s in (0, 1) for i in (0, 1)),
        "detector",
    ]
    text = str(found)
    assert text.startswith("Refit (least squares) of realisation 0 of seed 0")
    assert "infidelity before" in text
    assert "native pixels" in text
    again = pa.refit(native(), seed=0, method="least squares", iterations=2)
    assert again.report.drop_attrs().identical(found.report.drop_attrs())


# --- its functions --------------------------------------------------------------------------------------------------


def test_phases_and_agreement_have_gradients():
    bench = misaligned(sim.reference_bench((2, 3))).only(*POSES)
    state = sim.Realisations(0, (0,)).draw(bench, 1)
    names = [name for name in state if name.endswith((".lateral", ".axial", ".tilt"))]
    # Lengths in units of 10 µm, angles of 10 µrad.
    values = [(state[name] * 1e5).requires_grad_() for name in names]

    def phases(*given):
        found = plane_phases(bench, 1, state | {n: v * 1e-5 for n, v in zip(names, given, strict=True)})
        return found.ramp, found.curvature, found.residual(1, (16, 16)), found.phase(0, (2, 3))

    assert torch.autograd.gradcheck(phases, values)
    generator = torch.Generator().manual_seed(0)
    a, w = (torch.randn(4, 3, dtype=torch.complex128, generator=generator).requires_grad_() for _ in range(2))
    for sees in (True, False):
        for measure in (fidelity, nmse):
            assert torch.autograd.gradcheck(lambda a, w, m=measure, s=sees: m(a, w, sees_phases=s), (a, w))


def test_agreement_by_its_meaning():
    """1 and 0 of equal operators up to what the readout does not see; light lost is an error, not infidelity."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(5, 4, dtype=torch.complex128, generator=generator)
    phase = torch.rand(5, 1, dtype=torch.float64, generator=generator) * 6
    rows = w * torch.complex(phase.cos(), phase.sin())
    assert float(fidelity(rows, w, sees_phases=False)) == pytest.approx(1)
    assert float(nmse(rows, w, sees_phases=False)) == pytest.approx(0, abs=1e-14)
    assert float(fidelity(rows, w, sees_phases=True)) < 0.9
    assert float(fidelity(w * 0.5j, w, sees_phases=True)) == pytest.approx(1)
    assert float(nmse(w * 0.5j, w, sees_phases=True)) == pytest.approx(0.25)
    # The best common phase, by brute force.
    turns = torch.linspace(0, 2 * np.pi, 20001, dtype=torch.float64)[:, None, None]
    errors = ((rows * torch.complex(turns.cos(), turns.sin()) - w).abs() ** 2).sum((-1, -2)) / (w.abs() ** 2).sum()
    assert float(nmse(rows, w, sees_phases=True)) == pytest.approx(float(errors.min()), abs=1e-6)


def test_given_masks():
    commands = [sim.Command(torch.rand(2, 3), torch.rand(2, 3)), sim.Command(torch.rand(16, 16))]
    masks = GivenMasks(commands, gain=torch.tensor(2.5), reversed_order=True, readout_phase=torch.rand(2, 3))
    assert masks.stages == 1
    for shown, given in zip(masks.commands(), commands, strict=True):
        assert torch.equal(shown.phase, given.phase)
        assert shown.phase is not given.phase
    assert torch.equal(masks.commands()[0].amplitude, commands[0].amplitude)
    assert masks.commands()[1].amplitude is None
    assert len(list(masks.parameters())) == 2
    assert masks.gain() == 2.5
    light = torch.rand(4, 2, 3)
    assert torch.equal(masks.orient(light), light.flip(-2, -1))
    field = torch.polar(torch.ones(2, 3), masks.readout_phase)
    assert torch.allclose(masks.orient(field), torch.ones(2, 3, dtype=torch.complex64), atol=1e-6)
    other = GivenMasks([sim.Command(torch.zeros(2, 3), torch.zeros(2, 3)), sim.Command(torch.zeros(16, 16))],
                       gain=torch.tensor(1.0), reversed_order=True, readout_phase=torch.zeros(2, 3))  # fmt: skip
    other.load_state_dict(masks.state_dict())
    assert torch.equal(other.orient(field), masks.orient(field))
    assert masks.double().commands()[0].amplitude.dtype == torch.float64
    with pytest.raises(InputError, match=r"GivenMasks: commands: got 1; allowed: two masks a stage"):
        GivenMasks(commands[:1], gain=torch.tensor(1.0))


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_bad_input_is_said_in_one_sentence():
    optic = native()
    aligned = pa.to_optical(AFDF(12, 1, shape=(3, 4)), sim.reference_bench((3, 4)))
    ideal = pa.to_optical(AFDF(12, 1, shape=(3, 4)), sim.reference_bench((3, 4)), sim.Ideal)
    several = {"stage[0].mask[1].tilt": torch.zeros(2, 1, 2)}
    for call, message in (
        (
            lambda: pa.refit(nn.Linear(2, 2), seed=0),
            r"the model has no optical cascade; try: to_optical|no optical cascade",
        ),
        (lambda: pa.refit(optic), r"refit: which bench as built: got neither seed nor state; try: seed=0"),
        (lambda: pa.refit(optic, seed=-1), r"seed: got -1; allowed: an integer ≥ 0"),
        (
            lambda: pa.refit(optic, seed=0, method="magic"),
            r"refit: method: got 'magic'; allowed: 'closed form' or 'least",
        ),
        (lambda: pa.refit(optic, seed=0, iterations=0), r"refit: iterations: got 0; allowed: at least 1"),
        (lambda: pa.refit(aligned, seed=0), r"misalignment on this bench: got none, so that there is nothing to refit"),
        (lambda: pa.refit(ideal, seed=0), r"a cascade on Ideal, where nothing is misaligned"),
        (lambda: pa.refit(optic, state=several), r"mask\[1\]\.tilt': got figures of 2 benches; allowed: of one bench$"),
        (lambda: pa.refit(optic, state={"mask": torch.zeros(1, 1)}), r"override 'mask' is no figure of this bench"),
    ):
        with pytest.raises(InputError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)
    found = pa.refit(optic, seed=0)
    with pytest.raises(InputError, match=r"on_bench: mode: got 'off'"), found.on_bench("off"):
        pass
    other = nn.Sequential(copy.deepcopy(optic))
    with pytest.raises(InputError, match=r"on_bench: cascades: got \['0'\]"), found.on_bench(optic=other):
        pass
    bench = sim.reference_bench((3, 4)).only()
    with pytest.raises(InputError, match=r"split_misalignment: misalignment on this bench: got none"):
        pa.calibration.split_misalignment(bench, 1, bench.nominal(1))
