"""Snapshots: the folders in which a run keeps its network as it was after single epochs and optimiser steps."""

from __future__ import annotations

from pathlib import Path

SNAPSHOTS = "snapshots"
"""This folder, in the folder of a run, has a folder for each snapshot."""


def step_snapshot(run: Path | str, step: int) -> Path:
    """Return the folder of the snapshot after an optimiser step of a run; it exists only if the run kept it."""
    return Path(run) / SNAPSHOTS / f"step_{step:06d}"


def step_snapshots(run: Path | str) -> list[int]:
    """Return the optimiser steps after which a run kept its network; step 0 is the network before the first step."""
    return sorted(int(folder.name.removeprefix("step_")) for folder in (Path(run) / SNAPSHOTS).glob("step_*"))


def snapshot(run: Path | str, epoch: int) -> Path:
    """Return the folder of the snapshot after an epoch of a run; it exists only if the run kept it."""
    return Path(run) / SNAPSHOTS / f"epoch_{epoch:04d}"


def snapshots(run: Path | str) -> list[int]:
    """Return the epochs, counted from 0, after which a run kept its network."""
    return sorted(int(folder.name.removeprefix("epoch_")) for folder in (Path(run) / SNAPSHOTS).glob("epoch_*"))
