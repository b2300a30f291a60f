"""A device that is asked for and not there is told in one line, before anything is read or started."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from command import salign, small, written
from salign import checks
from salign.errors import SalignError
from salign.train.module import Training
from salign.train.trainer import choose_device


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many CUDA devices, perhaps with MPS."""

    def make(cuda: int = 0, *, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "told"),
    [
        (0, False, "cpu", None),
        (0, False, "cuda", "cpu"),
        (0, False, "mps", "cpu"),
        (0, True, "mps", None),
        (0, True, "cuda", "cpu, mps"),
        (2, False, "cuda", None),
        (2, False, "cuda:1", None),
        (2, False, torch.device("cuda", 1), None),
        (2, False, "cuda:2", "cpu, cuda:0, cuda:1"),
        (2, False, "gpu", "cpu, cuda:0, cuda:1"),
        (2, False, "mps", "cpu, cuda:0, cuda:1"),
    ],
)
def test_what_is_here_is_taken_and_anything_else_told(machine, cuda, mps, asked, told):
    machine(cuda, mps=mps)
    if told is None:
        checks.device("train.device", asked)
        return
    with pytest.raises(SalignError) as caught:
        checks.device("train.device", asked)
    assert str(caught.value) == f"train.device: expected a device that is here ({told}), got {asked!r}."


def test_auto_takes_the_best_there_is(machine):
    for cuda, mps, best in ((0, False, "cpu"), (0, True, "mps"), (1, True, "cuda")):
        machine(cuda, mps=mps)
        assert choose_device("auto") == best


@pytest.mark.parametrize("asked", ["cuda", "mps"])
@pytest.mark.parametrize("command", ["train", "saliency train", "pretrain", "experiment"])
def test_every_command_that_trains_says_so_first(command, asked, machine, digits, tmp_path, monkeypatch):
    machine()
    monkeypatch.setattr("salign.runs.fit.prepare", lambda *_, **__: pytest.fail("images were read first"))
    monkeypatch.setattr("salign.experiment.runner._Worker", lambda *_: pytest.fail("a process was started first"))
    content = small(digits, train={"device": asked})
    if command == "experiment":
        content = {"name": "s", "recipe": content, "target": "test_iid", "grids": [{"arms": ["ce", "cyborg"]}]}
        del content["recipe"]["name"]
    elif command != "train":
        net = {"backbone": "test_resnet"}
        content = {"name": "n", "data": content["data"], "train": {"device": asked}, "model": net}
    said = salign(*command.split(), written(tmp_path / "a.yaml", content), "--out", tmp_path / "out", code=2).err
    assert said == f"error: train.device: expected a device that is here (cpu), got {asked!r}.\n"
    assert not list(tmp_path.rglob("resume.ckpt"))


def test_a_number_of_a_device_is_told_where_it_goes(digits, tmp_path):
    recipe = written(tmp_path / "a.yaml", small(digits))
    said = salign("train", recipe, "--set", "train.device=cuda:7", code=2).err
    assert said.splitlines()[1:] == [
        "  train.device: got 'cuda:7'; write cuda, and choose the GPU by the variable CUDA_VISIBLE_DEVICES=7"
    ]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
@pytest.mark.parametrize(
    ("name", "accumulate", "said"),
    [
        ("SIGTERM", 2, {7: "batch 8 of 10 of epoch 1"}),
        ("SIGUSR1", 2, {18: "epoch 2"}),
        ("SIGUSR1", 1, {11: "batch 2 of 10 of epoch 2", 12: "batch 3 of 10 of epoch 2"}),
    ],
)
def test_a_training_that_is_asked_to_end_saves_the_step_and_goes_on_to_the_same_bytes(
    name, accumulate, said, digits, tmp_path, monkeypatch
):
    """With stochastic depth, augmentation and momentum; two batches make a step, or each is one."""
    data = {"limit": 40, "augment": "standard", "image_size": 32, "test": [], "groups": []}
    train = {"batch_size": 4, "accumulate": accumulate, "epochs": 3, "logger": "csv", "ema": 0.8}
    content = small(digits, data=data, model={"args": {"drop_path_rate": 0.3}}, train=train)
    recipe = written(tmp_path / "r.yaml", content)
    salign("train", recipe, "--out", tmp_path / "whole", "--quiet")
    step, seen = Training.training_step, []

    def asked(self, *arguments):
        if len(seen) in said:
            os.kill(os.getpid(), getattr(signal, name))
        seen.append(None)
        return step(self, *arguments)

    monkeypatch.setattr(Training, "training_step", asked)
    for done in said.values():
        ended = salign("train", recipe, "--out", tmp_path / "cut", "--quiet", "--resume", code=75)
        asked_for = f"stopped, as was asked by {name}, after {done}, which is saved. "
        assert ended.err == asked_for + "Go on with the same command and --resume.\n"
    assert signal.getsignal(getattr(signal, name)) == signal.SIG_DFL
    salign("train", recipe, "--out", tmp_path / "cut", "--quiet", "--resume")
    assert len(seen) == 30
    (whole,), (cut,) = ([*(tmp_path / out).iterdir()] for out in ("whole", "cut"))
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.name != "environment.json"]
    assert len(files) > 8
    assert [str(file) for file in files if (whole / file).read_bytes() != (cut / file).read_bytes()] == []
