"""Where a run keeps the networks that it had after single epochs and steps."""

from __future__ import annotations

from pathlib import Path

SNAPSHOTS = "snapshots"
"""Folder in the folder of a run, with a folder for each network."""


def step_snapshot(run: Path | str, step: int) -> Path:
    """The folder with the network after an optimiser step of a run, where it was kept."""
    return Path(run) / SNAPSHOTS / f"step_{step:06d}"


def step_snapshots(run: Path | str) -> list[int]:
    """The optimiser steps of a run after which its network was kept; 0 is before the first."""
    return sorted(int(folder.name.removeprefix("step_")) for folder in (Path(run) / SNAPSHOTS).glob("step_*"))


def snapshot(run: Path | str, epoch: int) -> Path:
    """The folder with the network after an epoch of a run, where it was kept."""
    return Path(run) / SNAPSHOTS / f"epoch_{epoch:04d}"


def snapshots(run: Path | str) -> list[int]:
    """The epochs of a run, counted from 0, after which its network was kept."""
    return sorted(int(folder.name.removeprefix("epoch_")) for folder in (Path(run) / SNAPSHOTS).glob("epoch_*"))
