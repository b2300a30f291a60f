"""Measures how fast a training step is in each numeric setting; `precision: auto` takes the fastest."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

import torch

from salign.losses.base import going_back
from salign.train.tasks import Task
from salign.types import Batch


class Setting(NamedTuple):
    """A number format of the forward pass, and a memory layout."""

    precision: str
    """"float32" or "bfloat16" (by autocast; weights and loss stay float32)."""
    memory_format: str
    """"contiguous" or "channels_last"."""

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}"


SETTINGS = (
    Setting("bfloat16", "channels_last"),
    Setting("float32", "channels_last"),
    Setting("float32", "contiguous"),
)
"""The settings that are worth trying, usually the fastest first; bfloat16 without channels_last was never fastest."""


def step_seconds(
    task: Task,
    batch: Batch,
    setting: Setting,
    *,
    repeats: int = 3,
    give_up: float = math.inf,
) -> float:
    """Measure the median seconds of a forward pass, loss and backward pass; the task itself is not changed.

    Args:
        task: the task, on the device to measure.
        batch: a batch on the same device.
        setting: the setting to measure.
        repeats: number of steps that count, after a first one that does not.
        give_up: if the first step takes more seconds than this, its time is returned and no other step is measured.

    Raises:
        SalignError: the loss cannot train this network.
    """
    layout = torch.channels_last if setting.memory_format == "channels_last" else torch.contiguous_format
    trial = copy.deepcopy(task).train()
    trial.lay_out(layout)
    device = batch.images.device
    seconds = []
    with torch.random.fork_rng():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bfloat16"):
                total = trial(batch).total
            with going_back():
                total.backward()
            trial.zero_grad(set_to_none=True)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - started)
            if seconds[0] > give_up:
                return seconds[0]
    return median(seconds[1:])


def leaves_weights(task: Task, batch: Batch) -> bool:
    """Return whether the loss of a batch gives some weights that learn no gradient; the task itself is not changed."""
    trial = copy.deepcopy(task).train()
    with torch.random.fork_rng(), going_back():
        trial(batch).total.backward()
    return any(weight.requires_grad and weight.grad is None for weight in trial.parameters())


def random_batch(
    images: int, classes: int, size: tuple[int, int], *, seed: int = 0, device: torch.device | str = "cpu"
) -> Batch:
    """Make a batch of noise with labels, maps and seconds, for timing."""
    generator = torch.Generator().manual_seed(seed)
    batch = Batch(
        images=torch.rand(images, 3, *size, generator=generator),
        labels=torch.arange(images) % classes,
        saliency=torch.rand(images, 1, *size, generator=generator),
        annotated=torch.ones(images, dtype=torch.bool),
        index=torch.arange(images),
        seconds=torch.rand(images, generator=generator) * 20,
    )
    return batch.each(lambda values: values.to(device))


def fastest(task: Task, batch: Batch, settings: Iterable[Setting]) -> dict[Setting, float]:
    """Return the seconds per step of each setting, the fastest first.

    A setting whose first step takes more than three times the best time so far is measured by this step alone.
    """
    measured: dict[Setting, float] = {}
    for setting in settings:
        give_up = 3 * min(measured.values(), default=math.inf)
        measured[setting] = step_seconds(task, batch, setting, give_up=give_up)
    return dict(sorted(measured.items(), key=lambda item: item[1]))
