"""Real processes, really killed: what is resumed ends as what was never stopped."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time

import pytest

from command import small, written
from processes import Program
from salign.runs.fit import fit
from salign.train.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="kill -9 and SIGINT are POSIX signals")]

EPOCHS = 16


class Training:
    """`salign train` in a process of its own, and what its run folder shows from outside."""

    def __init__(self, recipe, out, *options):
        self.started, self.out = time.time(), out
        self.process = Program("train", recipe, "--quiet", "--out", out, *options)

    @property
    def run(self):
        return next(self.out.glob("[!.]*"))

    def ended(self, code=0):
        out, err = self.process.communicate()
        assert self.process.returncode == code, out + err
        assert "Traceback" not in err
        return out, err

    def wait_for(self, seen):
        """Until `seen(files)` of files written by this process, by name; False if it ended before."""
        while self.process.poll() is None:
            files = [path for path in self.out.rglob("*") if self._is_mine(path)]
            if seen({path.name for path in files}):
                return True
            time.sleep(0.001)
        return False

    def _is_mine(self, path):
        try:
            return path.stat().st_mtime > self.started
        except FileNotFoundError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()
        assert self.process.returncode == -signal.SIGKILL, "it ended before it could be killed"


@pytest.fixture(scope="module")
def recipe(digits, tmp_path_factory):
    """All randomness there is: augmentation, stochastic depth, momentum; several better epochs, ties included."""
    content = small(
        digits,
        data={"classes": ["0", "3", "6", "8"], "augment": "standard", "groups": []},
        model={"args": {"drop_path_rate": 0.2}},
        train={"epochs": EPOCHS, "select": "accuracy"},
    )
    return written(tmp_path_factory.mktemp("resume") / "recipe.yaml", content)


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    training = Training(recipe, tmp_path_factory.mktemp("uninterrupted"))
    training.ended()
    return training.run


HALF_WRITTEN = tuple(f".{hashlib.sha256(name).hexdigest()[:16]}." for name in (b"resume.ckpt", b"weights.safetensors"))
"""Beginnings of the temporary names of these two files; see `salign.files.replacing`."""


def contents(run):
    """Bytes by name of all that must not depend on interruptions."""
    files = [path for path in run.rglob("*") if path.is_file() and path.parent.name != "tensorboard"]
    return {str(path.relative_to(run)): path.read_bytes() for path in files if path.name != "environment.json"}


def seconds_per_epoch(run):
    return ((run / "metrics.csv").stat().st_mtime - (run / "environment.json").stat().st_mtime) / EPOCHS


def assert_equal(run, uninterrupted, has=("predictions/test_ood.csv", "evaluation.csv")):
    found, expected = contents(run), contents(uninterrupted)
    assert set(found) == set(expected)
    assert {"weights.safetensors", "metrics.csv", *has} <= set(found)
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.long
def test_ten_times_killed_ends_with_the_same_bytes(recipe, uninterrupted, tmp_path):
    """Killed while starting, training, writing and reporting, at moments drawn at random."""
    draw = random.Random(20241016)
    moments = ["starting"] * 2 + ["training"] * 5 + ["writing"] * 2
    draw.shuffle(moments)
    for moment in [*moments, "reporting"]:
        training = Training(recipe, tmp_path, "--resume")
        if moment == "starting":
            time.sleep(draw.uniform(0, 0.5))
        elif moment == "training":
            assert training.wait_for(lambda names: "environment.json" in names)
            time.sleep(draw.uniform(0, 1) * seconds_per_epoch(uninterrupted))
        elif moment == "writing":
            assert training.wait_for(lambda names: any(name.startswith(HALF_WRITTEN) for name in names))
        else:
            assert training.wait_for(lambda names: "curves.html" in names)
        training.kill()
    Training(recipe, tmp_path, "--resume").ended()
    (run,) = tmp_path.iterdir()
    assert_equal(run, uninterrupted)


def test_ctrl_c_says_how_to_go_on_and_goes_on(recipe, uninterrupted, tmp_path):
    training = Training(recipe, tmp_path)
    assert training.wait_for(lambda names: "resume.ckpt" in names)
    training.process.send_signal(signal.SIGINT)
    _, err = training.ended(code=130)
    assert "--resume" in err
    assert (training.run / "resume.ckpt").exists()
    assert not (training.run / "done").exists()
    out, _ = Training(recipe, tmp_path, "--resume").ended()
    assert "wrote" in out
    assert_equal(training.run, uninterrupted)


def test_a_killed_pretraining_that_two_resume_at_once_ends_with_the_same_bytes(digits, tmp_path):
    content = small(digits, data={"image_size": 32}, model={"output_stride": None}, task="pretrain")
    content["loss"] = {"target": "contrast", "queue": 8}
    content["train"] = {"epochs": 4, "lr": 0.01, "memory_format": "contiguous", "device": "cpu"}
    undisturbed = fit(Recipe.build(content), tmp_path / "undisturbed", progress=False).path
    recipe, out = written(tmp_path / "recipe.yaml", content), tmp_path / "runs"
    killed = Training(recipe, out)
    assert killed.wait_for(lambda names: "resume.ckpt" in names)
    killed.kill()
    said = [training.ended()[0] for training in [Training(recipe, out, "--resume") for _ in range(2)]]
    assert sum("already done; nothing to train" in words for words in said) == 1
    assert_equal(killed.run, undisturbed, has=("encoder.safetensors",))
