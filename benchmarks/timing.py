"""Timing in turns: all variants run alternately, in the same minutes and on the same machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.progress import track


def take_turns(
    steps: dict[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    title: str = "measuring",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every step in every round; each round starts with another step, so that no one always goes first.

    With `time.process_time` as the clock, other work on the machine does not count, nor does waiting for a device.
    """
    names = list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in track(range(-warmup, rounds), title, transient=True):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            _synchronise()
            started = clock()
            steps[name]()
            _synchronise()
            if turn >= 0:
                seconds[name].append(clock() - started)
    return seconds


def ratio(over: list[float], under: list[float]) -> dict[str, float]:
    """Median, lowest and highest of the rounds' ratios."""
    pairs = [a / b for a, b in zip(over, under, strict=True)]
    return {"median": median(pairs), "lowest": min(pairs), "highest": max(pairs)}


def environment() -> dict[str, Any]:
    """What the figures depend on; `load` is the machine's load average when asked."""
    about = Path("/proc/cpuinfo")  # exists on Linux only
    lines = about.read_text().splitlines() if about.exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": models[0] if models else platform.processor(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
