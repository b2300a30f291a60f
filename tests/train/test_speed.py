from __future__ import annotations

import itertools
import math

import pytest
import torch

from salign.losses import LOSSES
from salign.models import Classifier
from salign.train import speed
from salign.train.speed import SETTINGS, Setting, fastest, random_batch, step_seconds
from salign.train.tasks import Classification


@pytest.fixture
def classifier():
    return Classifier("test_resnet", ["a", "b", "c"], image_size=32, args={"drop_path_rate": 0.5})


@pytest.fixture
def clock(monkeypatch):
    """Ticks by the durations given, for each step in turn."""

    def set_to(*durations):
        reads = itertools.chain.from_iterable((0.0, duration) for duration in durations)
        monkeypatch.setattr(speed.time, "perf_counter", lambda: next(reads))

    return set_to


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_measuring_leaves_model_and_random_stream_alone(classifier, loss, setting):
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    classifier.eval()
    state = torch.get_rng_state()
    module = LOSSES[loss]()
    module.teacher = lambda images: images.mean((2, 3))  # for those that have one
    assert step_seconds(Classification(classifier, module), random_batch(4, 3, (32, 32)), setting, repeats=1) > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert all(weight.grad is None for weight in [*classifier.parameters(), *module.parameters()])
    assert not classifier.training
    assert all(weight.is_contiguous() for weight in classifier.parameters())


def test_the_median_without_the_first_step(classifier, clock):
    batch = random_batch(2, 3, (32, 32))
    clock(9.0, 0.1, 0.5, 0.2)
    assert step_seconds(Classification(classifier, LOSSES["ce"]()), batch, SETTINGS[0], repeats=3) == 0.2
    clock(9.0, 0.1, 0.5, 0.2)
    assert step_seconds(Classification(classifier, LOSSES["ce"]()), batch, SETTINGS[0], repeats=3, give_up=8.0) == 9.0


def test_the_fastest_comes_first_and_a_hopeless_one_costs_one_step(classifier, monkeypatch):
    times = dict(zip(SETTINGS, (2.0, 1.0, 5.0), strict=True))
    limits = []

    def measured(task, batch, setting, *, repeats=3, give_up=math.inf):
        limits.append(give_up)
        return times[setting]

    monkeypatch.setattr(speed, "step_seconds", measured)
    found = fastest(Classification(classifier, LOSSES["ce"]()), random_batch(2, 3, (32, 32)), SETTINGS)
    assert list(found.items()) == [(SETTINGS[1], 1.0), (SETTINGS[0], 2.0), (SETTINGS[2], 5.0)]
    assert limits == [math.inf, 6.0, 3.0]


def test_settings_are_different_and_say_what_they_are():
    assert len(set(SETTINGS)) == len(SETTINGS)
    assert str(Setting("bfloat16", "channels_last")) == "bfloat16, channels_last"


def test_noise_is_a_batch_like_any_other():
    batch = random_batch(7, 3, (8, 12), seed=4)
    assert batch.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert batch.images.shape == (7, 3, 8, 12)
    assert batch.saliency.shape == (7, 1, 8, 12)
    assert 0 <= float(batch.images.min()) < float(batch.images.max()) < 1
    assert bool(batch.annotated.all())
    assert torch.equal(batch.images, random_batch(7, 3, (8, 12), seed=4).images)
    assert not torch.equal(batch.images, random_batch(7, 3, (8, 12), seed=5).images)
