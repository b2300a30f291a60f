"""How fast a training step is in each numeric setting, measured; what `precision: auto` chooses by."""

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
    """Number format of the forward pass and memory layout."""

    precision: str
    """float32 or bfloat16 (autocast; weights and loss stay float32)."""
    memory_format: str
    """contiguous or channels_last."""

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}"


SETTINGS = (
    Setting("bfloat16", "channels_last"),
    Setting("float32", "channels_last"),
    Setting("float32", "contiguous"),
)
"""What is worth trying, usually the fastest first; bfloat16 without channels_last was never the fastest."""


def step_seconds(
    task: Task,
    batch: Batch,
    setting: Setting,
    *,
    repeats: int = 3,
    give_up: float = math.inf,
) -> float:
    """Median seconds of forward, loss and backward; the task itself is left untouched.

    Args:
        task: on the device to measure.
        batch: on the same device.
        setting: what to measure.
        repeats: timed steps, after one that is not.
        give_up: if even that first one takes longer than so many seconds, it is the answer.

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
    """Whether some weights that learn get no gradient from the loss of a batch; the task itself is left untouched."""
    trial = copy.deepcopy(task).train()
    with torch.random.fork_rng(), going_back():
        trial(batch).total.backward()
    return any(weight.requires_grad and weight.grad is None for weight in trial.parameters())


def random_batch(
    images: int, classes: int, size: tuple[int, int], *, seed: int = 0, device: torch.device | str = "cpu"
) -> Batch:
    """Noise with labels, maps and seconds, for timing."""
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
    """Seconds per step of each setting, fastest first; one that is hopelessly slow is measured by a single step."""
    measured: dict[Setting, float] = {}
    for setting in settings:
        give_up = 3 * min(measured.values(), default=math.inf)
        measured[setting] = step_seconds(task, batch, setting, give_up=give_up)
    return dict(sorted(measured.items(), key=lambda item: item[1]))
