"""Checkpoints: struck at any moment, training ends the same; what is damaged or foreign is refused by its name."""

import errno
import itertools
import json
import os
import pickle
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import started
from running import TINY, files, spots
from test_training import Stop, equal, ideal, make_data, optical
from torch import nn

from photonic_acdc.config import RunConfig
from photonic_acdc.optical import soft_levels
from photonic_acdc.runs.folder import RunFolder
from photonic_acdc.runs.run import resolved
from photonic_acdc.runs.stages import load_split
from photonic_acdc.storage import load_tensors, save_tensors
from photonic_acdc.training import Method, train
from simulators.errors import InputError

OPTIONS = {"epochs": 3, "batch_size": 16, "noise_mode": "sample", "light_weight": 0.01, "realisations": 2}


class Averages(Method):
    """Keeps a running mean of a weight, and pulls towards it: a state that decides the result."""

    def prepare(self, model):
        self.mean = torch.zeros_like(model[3].weight)

    def penalty(self, model, x, y, logits):
        return 0.1 * (model[3].weight - self.mean).square().mean()

    def after(self, model):
        self.mean = 0.9 * self.mean + 0.1 * model[3].weight.detach()

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"].clone()


WAYS = {
    "default": lambda: {},
    "momentum and a schedule": lambda: {
        "optimiser": lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True),
        "schedule": lambda made: torch.optim.lr_scheduler.MultiStepLR(made, [4, 9]),
        "clip": 0.5,
    },
    "one cycle": lambda: {"schedule": lambda made: torch.optim.lr_scheduler.OneCycleLR(made, 0.1, total_steps=15)},
    "plateau": lambda: {"schedule": lambda made: torch.optim.lr_scheduler.ReduceLROnPlateau(made, patience=0)},
    "l-bfgs": lambda: {
        "optimiser": lambda groups: torch.optim.LBFGS([p for g in groups for p in g["params"]], 0.1, max_iter=3),
        "schedule": None,
        "noise_mode": "mean",
    },
    "method": lambda: {"methods": [Averages()], "resample": "epoch"},
    "early stopping": lambda: {"patience": 1, "validation": make_data(30)},
}


def interrupt_at_step(model: nn.Module, step: int) -> None:
    """As a struck process: the forward pass of that step never comes back."""
    passes = itertools.count()

    def strike(module, inputs):
        if module.training and next(passes) == step:
            raise Stop

    model.register_forward_pre_hook(strike)


@pytest.mark.parametrize("way", WAYS)
def test_taken_up_within_an_epoch_it_ends_bit_identically(tmp_path, way):
    data, options = make_data(), {**OPTIONS, "checkpoint_every": 2}
    straight = optical()
    whole = train(straight, data, **{**options, **WAYS[way]()})
    path = tmp_path / "state.safetensors"
    struck = optical()
    interrupt_at_step(struck, 9)
    with pytest.raises(Stop):
        train(struck, data, checkpoint=path, **{**options, **WAYS[way]()})
    if way != "l-bfgs":  # which passes several times a step
        assert load_tensors(path)[1]["step"] == 8
    resumed = optical()
    result = train(resumed, data, checkpoint=path, **{**options, **WAYS[way]()})
    assert equal(resumed, straight)
    assert result.history == whole.history


def test_dropout_is_the_same_again_whatever_the_global_generator(tmp_path):
    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    data, options = make_data(), {"epochs": 2, "batch_size": 16, "checkpoint_every": 1}
    straight = model()
    train(straight, data, **options)
    path, struck = tmp_path / "s.safetensors", model()
    interrupt_at_step(struck, 7)
    with pytest.raises(Stop):
        train(struck, data, checkpoint=path, **options)
    resumed = model()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    train(resumed, data, checkpoint=path, **options)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(resumed, straight)


# --- damaged and foreign files ---------------------------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"model": [1.0]}))
    elif how == "torch zip":
        torch.save({"model": torch.zeros(3)}, path)
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("data.pkl", b"\x80\x02}q\x00.")
    elif how == "random":
        path.write_bytes(np.random.default_rng(0).bytes(2000))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "wrong json":
        tensors, data = load_tensors(path)
        save_tensors(path, tensors, {**data, "step": "many"})
    else:
        header = json.dumps({"__metadata__": {"json": "{broken", "dtypes": "{}"}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header)


HARM = ["truncated", "pickle", "torch zip", "zip", "random", "empty", "wrong json", "broken json"]


@pytest.mark.parametrize("how", HARM)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_previous_goes_on(tmp_path, how):
    data, path = make_data(), tmp_path / "state.safetensors"
    options = {"epochs": 2, "batch_size": 16}
    straight = ideal()
    train(straight, data, checkpoint=path, **options)
    damage(path, how)
    before, model = path.read_bytes(), ideal()
    with pytest.raises(InputError, match=r"state\.safetensors.*goes on from state\.previous\.safetensors"):
        train(model, data, checkpoint=path, **options)
    assert path.read_bytes() == before
    assert equal(model, ideal())
    path.unlink()
    told = []
    train(model, data, checkpoint=path, progress=lambda done, *_: told.append(done), **options)
    assert told == [2]
    assert equal(model, straight)


def test_fresh_starts_over(tmp_path):
    data, path = make_data(), tmp_path / "state.safetensors"
    train(ideal(), data, epochs=2, checkpoint=path)
    path.write_bytes(b"damaged")
    told, model, straight = [], ideal(), ideal()
    train(model, data, epochs=1, checkpoint=path, fresh=True, progress=lambda done, *_: told.append(done))
    train(straight, data, epochs=1)
    assert told == [1]
    assert equal(model, straight)


def test_a_checkpoint_of_another_architecture_names_the_shapes(tmp_path):
    path = tmp_path / "state.safetensors"
    train(nn.Linear(16, 3), make_data(), epochs=1, checkpoint=path)
    with pytest.raises(InputError, match=r"parameters\.weight was \[3, 16\], is \[4, 16\]; parameters\.bias was \[3\]"):
        train(nn.Linear(16, 4), make_data(), epochs=1, checkpoint=path)


def test_a_checkpoint_of_an_optimiser_with_other_settings_names_them(tmp_path):
    """What the groups are set to: neither defaults nor what they were made with."""
    data, path = make_data(), tmp_path / "state.safetensors"

    def made(momentum=0.5, rate=0.1):
        def make(groups):
            optimiser = torch.optim.SGD([{**groups[0], "momentum": momentum}, *groups[1:]])
            optimiser.param_groups[-1]["lr"] = rate
            return optimiser

        return {"epochs": 1, "optimiser": make, "schedule": None}

    train(ideal(), data, checkpoint=path, **made())
    train(ideal(), data, checkpoint=path, **made())
    with pytest.raises(InputError, match=r"optimiser\.groups.*momentum was 0\.5, is 0\.9"):
        train(ideal(), data, checkpoint=path, **made(momentum=0.9))
    with pytest.raises(InputError, match=r"optimiser\.groups.*lr was 0\.1, is 0\.2"):
        train(ideal(), data, checkpoint=path, **made(rate=0.2))


def test_a_checkpoint_of_other_soft_levels_names_them(tmp_path):
    data, path = make_data(), tmp_path / "state.safetensors"
    options = {"epochs": 1, "noise_mode": "mean", "checkpoint": path}
    model = optical()
    soft_levels(model, 0.05)
    train(model, data, **options)
    other = optical()
    soft_levels(other, 0.1)
    with pytest.raises(InputError, match=r"soft_levels.*temperature was 0\.05, is 0\.1"):
        train(other, data, **options)
    with pytest.raises(InputError, match="soft_levels"):
        train(optical(), data, **options)


def test_a_checkpoint_of_a_model_that_was_frozen_otherwise_names_what_is(tmp_path):
    data, options = make_data(), {"epochs": 2, "noise_mode": "mean"}

    def stop(*_):
        raise Stop

    def frozen(masks=False, norm=False):
        model = optical()
        model[0].masks.requires_grad_(not masks)
        model[2].train(not norm)
        return model

    for i, how in enumerate(({}, {"masks": True}, {"norm": True})):
        path = tmp_path / f"{i}.safetensors"
        with pytest.raises(Stop):
            train(frozen(**how), data, checkpoint=path, progress=stop, **options)
        kept = load_tensors(path)[1]["identity"]
        assert ("frozen" in kept, "eval_mode" in kept) == ("masks" in how, "norm" in how)
        for other in ({}, {"masks": True}, {"norm": True}):
            if other != how:
                with pytest.raises(InputError, match=r"frozen.*'0\.masks\.phases\.0'|eval_mode.*\['2'\]"):
                    train(frozen(**other), data, checkpoint=path, **options)
        resumed, straight = frozen(**how), frozen(**how)
        train(resumed, data, checkpoint=path, **options)
        train(straight, data, **options)
        assert equal(resumed, straight)


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_full_disk_is_told_and_leaves_the_checkpoint(tmp_path, monkeypatch, failing):
    data, path = make_data(), tmp_path / "state.safetensors"
    options = {"epochs": 3, "batch_size": 16}
    straight = ideal()
    train(straight, data, **options)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*arguments, **named):
        raise full

    def fill(done, total, row):
        if done == 2:
            monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "write_bytes")), fail)

    with pytest.raises(InputError, match=r"state\.safetensors of step 15 could not be written \(No space left"):
        train(ideal(), data, checkpoint=path, progress=fill, **options)
    monkeypatch.undo()
    assert {entry.name for entry in tmp_path.iterdir()} == {"state.safetensors", "state.previous.safetensors"}
    assert load_tensors(path)[1]["epoch"] == 2
    resumed = ideal()
    train(resumed, data, checkpoint=path, **options)
    assert equal(resumed, straight)


def test_on_another_machine_it_warns(tmp_path):
    data, path = make_data(), tmp_path / "state.safetensors"

    def stop(*_):
        raise Stop

    with pytest.raises(Stop):
        train(ideal(), data, epochs=2, checkpoint=path, progress=stop)
    tensors, kept = load_tensors(path)
    save_tensors(path, tensors, {**kept, "machine": {**kept["machine"], "torch": "0.4.1"}})
    with pytest.warns(UserWarning, match=r"written elsewhere \(torch was '0\.4\.1', is"):
        train(ideal(), data, epochs=2, checkpoint=path)


# --- run folders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = spots()
    np.savez("own.npz", x=x, y=y)
    Path("tiny.toml").write_text(TINY)
    return RunConfig.load("tiny.toml")


def test_a_changed_configuration_names_the_keys_and_fresh_starts_over(config, tmp_path):
    folder = tmp_path / "runs" / "tiny"
    RunFolder(folder, resolved(config, *load_split(config)))
    for name in ("checkpoints/a.safetensors", "parts/b.nc", "parts/.c.part.nc", "summary.json", "notes.txt"):
        (folder / name).write_text("x")
    (folder / "plots" / "mine").mkdir()
    (folder / "plots" / "mine" / "own.png").write_text("x")
    longer = config.replace(training=config.training.replace(epochs=7), seeds=(0, 1))
    text = resolved(longer, *load_split(longer))
    with pytest.raises(InputError, match=r"--fresh.*\(seeds was \[0\], is \[0, 1\]; training\.epochs was 2, is 7\)"):
        RunFolder(folder, text)
    assert (folder / "summary.json").exists()
    RunFolder(folder, text, fresh=True)
    assert files(folder) == {"config.toml", "notes.txt", "plots/mine/own.png"}
    assert (folder / "config.toml").read_text() == text


@pytest.mark.parametrize(
    "content", ["name = 'other'\n", "# Resolved configuration of a search; f: 1\nname='a'\n[search]"]
)
def test_fresh_takes_no_folder_of_something_else(config, tmp_path, content):
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(content)
    (folder / "summary.json").write_text("theirs")
    with pytest.raises(InputError, match="holds another run"):
        RunFolder(folder, resolved(config, *load_split(config)), fresh=True)
    assert (folder / "summary.json").read_text() == "theirs"


# --- SIGKILL ---------------------------------------------------------------------------------------------------------

DRIVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_training import make_data, optical
from photonic_acdc.training import train
from photonic_acdc.storage import save_tensors
model, data = optical(), make_data()
print("begins", flush=True)
train(model, data, epochs=6, batch_size=16, noise_mode="sample", realisations=2, light_weight=0.01, resample="epoch",
      clip=1.0, checkpoint="state.safetensors", checkpoint_every=2)
save_tensors("final.safetensors", model.state_dict())
"""


def go(place: Path, seconds: float | None) -> bool:
    """Train in a process that is killed after some seconds; whether it came to its end."""
    process = started(place, "-c", DRIVER, str(Path(__file__).parent))
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Final weights, and seconds that they take."""
    place, begun = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
    assert go(place, None)
    return load_tensors(place / "final.safetensors")[0], time.monotonic() - begun


def assert_same_after(place: Path, shares, undisturbed) -> None:
    final, seconds = undisturbed
    for share in shares:
        if go(place, share * seconds):
            break
    else:
        assert go(place, None)
    again = load_tensors(place / "final.safetensors")[0]
    assert again.keys() == final.keys()
    assert all(torch.equal(again[name], final[name]) for name in final)
    assert not list(place.glob(".*.part*"))


def test_killed_twice_it_ends_bit_identically(tmp_path, undisturbed):
    assert_same_after(tmp_path, [0.15, 0.1], undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("share", np.random.default_rng(7).random(20).round(3) * 0.5)
def test_killed_at_a_random_moment_it_ends_bit_identically(tmp_path, undisturbed, share):
    assert_same_after(tmp_path, [float(share)], undisturbed)
