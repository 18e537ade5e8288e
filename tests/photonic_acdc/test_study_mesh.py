"""The study of the mesh: what is drawn when, and what is compared with what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.studies import StudyConfig, study
from photonic_acdc.studies.laboratory import Laboratory
from photonic_acdc.studies.mesh import PHASES, SPLITTERS, MeshLayer, Options, measure, with_phase_error
from photonic_acdc.training import train
from photonic_acdc.training.loop import TRAINING_BENCHES
from simulators.errors import InputError
from simulators.mesh import Mesh, MeshPhases, haar, transfer
from simulators.random import Realisations, stream
from simulators.reference import reference_bench

pytestmark = pytest.mark.usefixtures("single_thread")

ROOT = Path(__file__).parents[2]
TINY = """
study = "mesh"
seeds = [0, 1]
[data]
source = "own.npz"
test_fraction = 0.25
[model]
modes = [3, 3]
readout = "intensity"
[training]
epochs = 25
light_weight = 0
batch_size = 20
learning_rate = 0.1
[judging]
realisations = 3
order = 2
[options]
errors = ["0 rad", "0.4 rad"]
"""


@pytest.fixture
def config(tmp_path):
    """Three classes that overlap, on nine modes."""
    rng = np.random.default_rng(0)
    y = np.arange(160) % 3
    x = np.abs(0.4 * rng.normal(size=(160, 9)) + np.eye(9)[2 * y] + np.eye(9)[2 * y + 1])
    np.savez(tmp_path / "own.npz", x=x, y=y)
    (tmp_path / "tiny.toml").write_text(TINY)
    return StudyConfig.load(tmp_path / "tiny.toml")


def rows(n=5, modes=4):
    return torch.rand(n, modes, generator=torch.Generator().manual_seed(0))


def expected(layer, x, state):
    matrix = transfer(layer.mesh, MeshPhases(layer.internal, layer.external, layer.output), state)[0]
    return x.to(matrix.dtype) @ matrix.T


def test_starts_at_a_haar_random_matrix():
    layer = MeshLayer(Mesh(modes=4), seed=3).eval()
    wanted = rows().to(torch.complex64) @ haar(4, stream(3, "mesh", "start")).T.to(torch.complex64)
    assert (layer(rows()) - wanted).abs().max() < 1e-5


def test_every_step_of_training_meets_another_mesh():
    """Number 2³² + step; evaluation meets the one it is given, at first the one without errors."""
    mesh = Mesh(modes=4, phase_error=0.2, splitter_error=0.1)
    layer = MeshLayer(mesh, seed=3)
    for step in range(3):
        drawn = mesh.draw(Realisations(3, (TRAINING_BENCHES + step,)).normal)
        assert torch.equal(layer(rows()), expected(layer, rows(), drawn))
    layer.eval()
    assert torch.equal(layer(rows()), expected(layer, rows(), mesh.nominal()))
    layer.state = mesh.draw(Realisations(0, (1,)).normal)
    assert torch.equal(layer(rows()), expected(layer, rows(), layer.state))
    assert layer.steps == 3


def test_interrupted_training_meets_the_same_meshes(tmp_path, config):
    laboratory = Laboratory(config, RunFolder(tmp_path / "x", "x"), 1)

    def model():
        made = laboratory.fresh()
        made[0] = MeshLayer(Mesh(modes=9, phase_error=0.2), seed=0)
        return made

    def stop(done, *_):
        if done == 1:
            raise KeyboardInterrupt

    settings = {"epochs": 3, "batch_size": 30, "learning_rate": 0.05}
    whole = train(model(), laboratory.training, **settings).model
    path = tmp_path / "x.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(model(), laboratory.training, **settings, checkpoint=path, progress=stop)
    resumed = train(model(), laboratory.training, **settings, checkpoint=path).model
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    other = model()
    other[0] = MeshLayer(Mesh(modes=9, phase_error=0.3), seed=0)
    with pytest.raises(InputError, match="another training run"):  # the mesh is part of what a checkpoint is of
        train(other, laboratory.training, **settings, checkpoint=path)


def test_benches_have_phase_errors_alone():
    """Of the size that is asked for, on both masks of every stage."""
    bench = with_phase_error(reference_bench((4, 4)), 0.25)
    assert {effect.name for effect in bench.effects(2)} == {"phase_error"}
    state = Realisations(0, tuple(range(200))).draw(bench, 2)
    for address in ("stage[0].mask[0]", "stage[0].mask[1]", "stage[1].mask[0]", "stage[1].mask[1]"):
        values = state[f"{address}.phase_error"]
        assert abs(values.std() / 0.25 - 1) < 5 / np.sqrt(2 * values.numel())
    assert not with_phase_error(bench, 0.0).effects(2)


METHODS = ("mesh, ideal-trained", "mesh, trained on errors", "cascade, ideal-trained", "cascade, trained on errors")


def test_points(tmp_path, config):
    """Every method where it belongs, and as judged by hand."""
    laboratory = Laboratory(config, RunFolder(tmp_path / "x", "x"), 1)
    found = {(p.method, p.at, p.panel): p.accuracies for p in measure(laboratory)}
    assert {(method, at) for method, at, _ in found} == {
        (method, at) for method in METHODS for at in (0.0, 0.4) if at or "ideal" in method
    }
    for method, at, panel in found:
        assert len(found[method, at, panel]) == 3
        assert (method, at, SPLITTERS if panel == PHASES else PHASES) in found
    # A cascade has no splitters; a mesh has, and feels them.
    for method in METHODS:
        same = found[method, 0.4, PHASES] == found[method, 0.4, SPLITTERS]
        assert same == ("cascade" in method)
    assert found[METHODS[0], 0.0, PHASES] == found[METHODS[0], 0.0, SPLITTERS]
    for method in METHODS[::2]:
        assert min(found[method, 0.0, PHASES]) > 0.6
    # The trained mesh, as built, on the test data.
    model = laboratory.fresh()
    model[0] = MeshLayer(Mesh(modes=9), seed=1)
    model = laboratory.train("mesh-ideal", model, noise_mode="off").eval()
    layer, *rest = model.children()
    built, hits = Mesh(modes=9, phase_error=0.4, splitter_error=0.4), []
    with torch.no_grad():
        for r in (3, 4, 5):  # the second seed's
            logits = expected(layer, laboratory.test.x, built.draw(Realisations(0, (r,)).normal))
            for module in rest:
                logits = module(logits)
            hits.append((logits.argmax(-1) == laboratory.test.y).double().mean().item())
    assert hits == pytest.approx(found[METHODS[0], 0.4, SPLITTERS], abs=1e-12)


@pytest.mark.parametrize(("key", "value"), [("mask_rate", 2.0), ("realisations", 2), ("light_weight", 0.1)])
def test_settings_of_the_cascade_alone_are_refused(tmp_path, config, key, value):
    unfair = config.replace(training=config.training.replace(**{key: value}))
    with pytest.raises(InputError, match=rf"training\.{key}: got {value:g}; .*mesh"):
        study(unfair, tmp_path)
    assert not (tmp_path / "tiny").exists()


def test_the_example():
    config = StudyConfig.load(ROOT / "examples/mesh.toml")
    assert config.options == Options()
    assert config.model.readout == "intensity"  # of both: no reference wave
    assert config.quick().options == Options(errors=(0.0, 0.03, 0.2))
