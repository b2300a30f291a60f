"""Several processes train what one does, as torchrun starts them; and what is said when one of them is lost."""

from __future__ import annotations

import os
import signal
import socket
import time

import pandas as pd
import pytest
from safetensors.torch import load_file

from command import small, written
from processes import Program
from salign.runs.fit import fit
from salign.train.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="processes are forked")]

PLAIN = {"loss": {"name": "ce", "class_weights": "balanced"}, "train": {"accumulate": 2}}
WHOLE_BATCH = {
    "loss": {"name": "cyborg", "also": {"swap": {"weight": 0.5}}},
    "steps": [{"name": "swap", "probability": 0.5}, {"name": "interpolate"}],
    "train": {"ema": 0.8},
}
"""Pairs of images, batch norm and averages over annotated images go by the whole batch."""


def recipe_of(digits, changes, **train):
    """23 images in batches of 8: the last of 7 does not divide among the processes."""
    data = {"limit": 23, "annotated": 0.6, "image_size": 32, "augment": "standard", "test": [], "groups": []}
    options = {"batch_size": 8, "select": "last", "logger": "csv", **changes.get("train", {}), **train}
    return small(digits, data=data, **{**changes, "train": options})


def launch(size, *arguments):
    """`torchrun --nproc-per-node SIZE -m salign ARGUMENTS`, but each process is a fork."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(size)}
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"} for rank in range(size)]
    return [Program(*arguments, environ=shared | each) for each in own]


@pytest.mark.parametrize(("changes", "sizes"), [(PLAIN, (2,)), (WHOLE_BATCH, (4,))], ids=["ce", "whole batch"])
def test_several_processes_learn_what_one_does(changes, sizes, digits, tmp_path):
    content = recipe_of(digits, changes)
    alone = fit(Recipe.build(content), tmp_path / "1", progress=False, say=lambda line: None)
    expected, figures = load_file(alone.path / "weights.safetensors"), pd.read_csv(alone.metrics)
    recipe = written(tmp_path / "r.yaml", content)
    for size in sizes:
        ended = [each.communicate() for each in launch(size, "train", recipe, "--out", tmp_path / str(size), "--quiet")]
        assert [out + err for out, err in ended[1:]] == [""] * (size - 1)
        assert "wrote" in ended[0][0], ended[0]
        assert ended[0][1] == ""
        run = tmp_path / str(size) / alone.path.name
        weights = load_file(run / "weights.safetensors")
        assert max(float((weights[name] - expected[name]).abs().max()) for name in expected) < 1e-5
        pd.testing.assert_frame_equal(pd.read_csv(run / "metrics.csv"), figures, rtol=1e-4, atol=1e-5)
        history = [pd.read_parquet(path / "history.parquet") for path in (run, alone.path)]
        pd.testing.assert_frame_equal(*history, rtol=1e-2, atol=1e-3)
        assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in alone.path.iterdir())


def files(run):
    """Bytes by name of all that must not depend on interruptions."""
    names = [path for path in run.rglob("*") if path.is_file() and path.name != "environment.json"]
    return {str(path.relative_to(run)): path.read_bytes() for path in names}


def until(holds, *programs, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        assert all(each.poll() is None for each in programs), [each.communicate() for each in programs]
        time.sleep(0.002)


def test_every_process_ends_when_one_is_killed_and_the_run_goes_on(digits, tmp_path):
    content = recipe_of(digits, PLAIN, epochs=12)
    whole = fit(Recipe.build(content), tmp_path / "whole", progress=False, say=lambda line: None)
    recipe, out = written(tmp_path / "r.yaml", content), tmp_path / "killed"
    processes = launch(2, "train", recipe, "--out", out, "--quiet")
    until((out / whole.path.name / "resume.ckpt").exists, *processes)
    processes[1].kill()
    _, err = processes[0].communicate(30)
    assert processes[0].returncode == 2
    assert err == ("error: another process of this training was lost. Go on with the same command and --resume.\n")
    processes = launch(2, "train", recipe, "--out", out, "--quiet", "--resume")
    assert [each.communicate()[1] for each in processes] == ["", ""]
    expected = load_file(whole.path / "weights.safetensors")
    weights = load_file(out / whole.path.name / "weights.safetensors")
    assert max(float((weights[name] - expected[name]).abs().max()) for name in expected) < 1e-5


def test_both_processes_save_the_same_step_when_one_is_asked_to_end(digits, tmp_path):
    content = recipe_of(digits, PLAIN, epochs=6, ema=0.8)
    whole = fit(Recipe.build(content), tmp_path / "whole", progress=False, say=lambda line: None)
    recipe, out = written(tmp_path / "r.yaml", content), tmp_path / "asked"
    processes = launch(2, "train", recipe, "--out", out, "--quiet")
    until((out / whole.path.name / "resume.ckpt").exists, *processes)
    processes[1].send_signal(signal.SIGUSR1)
    ended = [each.communicate() for each in processes]
    assert [each.returncode for each in processes] == [75, 75]
    assert ended[0][1].startswith("stopped, as was asked after ")
    assert ended[1] == ("", "")
    processes = launch(2, "train", recipe, "--out", out, "--quiet", "--resume")
    assert [each.communicate()[1] for each in processes] == ["", ""]
    expected = load_file(whole.path / "weights.safetensors")
    weights = load_file(out / whole.path.name / "weights.safetensors")
    assert max(float((weights[name] - expected[name]).abs().max()) for name in expected) < 1e-5
    pd.testing.assert_frame_equal(
        pd.read_csv(out / whole.path.name / "metrics.csv"), pd.read_csv(whole.metrics), rtol=1e-4, atol=1e-5
    )
