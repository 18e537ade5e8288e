"""Two processes train as one: the same weights, one voice, one error."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import ENVIRONMENT, ROOT
from running import TINY, spots_of_one_brightness
from test_training import ideal, make_data, optical

from photonic_acdc.optical import SimulatedBench, cascades
from photonic_acdc.optical.light import LightMeter
from photonic_acdc.storage import load_tensors
from photonic_acdc.training import PhysicsAware, train
from photonic_acdc.training.distributed import World
from simulators.errors import InputError
from simulators.reference import reference_bench

#: 15 rows a batch: eight for one process, seven for the other.
OPTIONS = {"epochs": 3, "batch_size": 15, "learning_rate": 0.02, "weight_decay": 0.01}
NOISY = {"noise_mode": "sample", "realisations": 2, "light_weight": 0.05, "clip": 1.0}

WORKER = """
import sys
import torch.distributed as dist
sys.path.insert(0, sys.argv[1])
import torch
from test_distributed import NOISY, OPTIONS
from test_training import equal, ideal, make_data, optical
from photonic_acdc.storage import save_tensors
from photonic_acdc.training import train
from photonic_acdc.training.distributed import started_together

with started_together() as world:
    for name, make, options in (("ideal", ideal, {}), ("optical", optical, NOISY)):
        model = make().double()
        before = [type(module) for module in model.modules()], list(model.state_dict())
        told = []
        result = train(model, make_data(), **OPTIONS, **options, validation=make_data(30), patience=5,
                       checkpoint=name + ".checkpoint.safetensors", progress=lambda *a: told.append(a))
        assert ([type(module) for module in model.modules()], list(model.state_dict())) == before
        assert all("forward" not in vars(module) for module in model.modules())
        assert bool(told) == world.leads
        history = {k: torch.tensor([row[k] for row in result.history]) for k in result.history[0]}
        same = world.all({k: v.sum().item() for k, v in model.state_dict().items()})
        assert same[0] == same[1]
        if world.leads:
            kept = {"history." + k: v for k, v in history.items()}
            save_tensors(name + ".safetensors", {**model.state_dict(), **kept})
"""


def start(place: Path, *arguments: str) -> list[subprocess.Popen]:
    """Two processes with the environment that torchrun gives."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    there = {**ENVIRONMENT, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=place,
            env={**there, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder in which two processes have trained."""
    place = tmp_path_factory.mktemp("two")
    ended = [
        (*p.communicate(timeout=120), p.returncode) for p in start(place, "-c", WORKER, str(Path(__file__).parent))
    ]
    assert ended == [("", "", 0)] * 2
    return place


@pytest.mark.parametrize(("name", "make", "options"), [("ideal", ideal, {}), ("optical", optical, NOISY)])
def test_two_processes_are_one(two, name, make, options):
    model = make().double()
    result = train(model, make_data(), **OPTIONS, **options, validation=make_data(30), patience=5)
    shared, _ = load_tensors(two / f"{name}.safetensors")
    for key, value in model.state_dict().items():
        assert torch.allclose(shared[key], value, rtol=1e-5, atol=1e-5 * float(value.abs().max())), key
    for key in result.history[0]:
        alone = torch.tensor([row[key] for row in result.history])
        assert torch.allclose(shared[f"history.{key}"], alone, rtol=1e-5), key


def test_one_process_writes_and_any_number_goes_on(two):
    names = {path.name for path in two.iterdir()}
    for name in ("ideal", "optical"):
        assert f"{name}.checkpoint.safetensors" in names
        assert load_tensors(two / f"{name}.checkpoint.safetensors")[1]["machine"]["processes"] == 2
    told = []
    model = ideal().double()
    options = {"validation": make_data(30), "patience": 5, "progress": lambda *a: told.append(a)}
    train(model, make_data(), **OPTIONS, **options, checkpoint=two / "ideal.checkpoint.safetensors")
    assert told == []
    shared, _ = load_tensors(two / "ideal.safetensors")
    assert all(torch.equal(shared[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("rows", "size"), [(15, 2), (7, 3), (4, 4), (1000, 7)])
def test_rows_are_shared_out_once_each_and_evenly(rows, size):
    parts = [World(rank, size).part(rows) for rank in range(size)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_fewer_rows_than_processes_are_refused():
    with pytest.raises(InputError, match="a row at least for each of 8 processes"):
        train(ideal(), make_data(), epochs=1, batch_size=7, world=World(0, 8))


def test_one_bench_in_several_processes_is_refused():
    bench = SimulatedBench(reference_bench((4, 4)), 1, seed=0)
    with pytest.raises(InputError, match="PhysicsAware in 2 processes: allowed: one process"):
        train(optical(), make_data(), epochs=1, noise_mode="mean", methods=[PhysicsAware(bench)], world=World(0, 2))
    assert bench.calls == 0


def test_the_light_of_the_whole_batch():
    """Two parts of different size: the share of the sums, not a mean of shares."""
    arrived, passed = torch.tensor([1.0, 4.0]), torch.tensor([2.0, 16.0])
    weights = torch.tensor([0.25, 0.75])
    meter = LightMeter(whole=lambda mine: weights @ torch.stack([arrived, passed, torch.zeros(2)], 1) + 0 * mine)
    meter.book(arrived[0], passed[0], torch.zeros(()))
    assert meter.efficiency().item() == pytest.approx((0.25 * 1 + 0.75 * 4) / (0.25 * 2 + 0.75 * 16))


def test_a_cascade_books_its_light_in_the_meter():
    model, data = optical(), make_data()
    (cascade,) = cascades(model).values()
    booked = []
    cascade.meter = LightMeter(whole=lambda values: booked.append(values) or values)
    model(data.x)
    assert len(booked) == 1


# --- the command -----------------------------------------------------------------------------------------------------


def write_configuration(place: Path, text: str = TINY) -> None:
    x, y = spots_of_one_brightness()
    np.savez(place / "own.npz", x=x, y=y)
    (place / "tiny.toml").write_text(text)


@pytest.mark.slow
def test_bad_input_is_one_sentence_of_one_process_and_2(tmp_path):
    write_configuration(tmp_path, TINY.replace("epochs = 2", "epochs = -2"))
    both = start(tmp_path, "-m", "photonic_acdc", "run", "tiny.toml")
    ended = [(*process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for _, _, code in ended] == [2, 2]
    (said,) = [err for _, err, _ in ended if err]
    assert said.startswith("error: tiny.toml: training.epochs")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_torchrun_trains_and_judges(tmp_path):
    write_configuration(tmp_path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*torchrun, "-m", "photonic_acdc", "run", "tiny.toml", "--json"]
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"results"') == 1
    assert (tmp_path / "runs" / "tiny" / "summary.json").exists()
    assert not list(tmp_path.rglob("*.part*"))
