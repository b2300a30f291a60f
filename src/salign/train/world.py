"""The rank of this process and the number of processes, as torchrun or srun tell them; found without torch.

As torch is not imported, mistakes are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from salign.errors import SalignError


class World(NamedTuple):
    """The processes of one training."""

    rank: int
    """Number of this process, from 0 on; process 0 writes files and speaks to the user."""
    size: int
    """Number of all processes."""
    local: int
    """Number of this process among the processes on its machine, from 0 on."""
    beside: int = 1
    """How many processes, this one included, share the CPUs that this process may use."""


ALONE = World(0, 1, 0)
"""The world of a process that trains by itself."""
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")


def launched(environ: Mapping[str, str] = os.environ) -> World:
    """Return the processes that `torchrun` or `srun` started; `ALONE` if neither did, or for a single process."""
    starters = ((_TORCHRUN, "MASTER_ADDR"), (_SLURM, "SLURM_STEP_ID"))
    names = next((names for names, sign in starters if {*names, sign} <= environ.keys()), None)
    if names is None or not all(environ[name].isdecimal() for name in names):
        return ALONE
    rank, size, local = (int(environ[name]) for name in names)
    return World(rank, size, local, int(environ.get("LOCAL_WORLD_SIZE", 1))) if size > 1 else ALONE


def follows(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process follows process 0, which alone speaks to the user and writes files."""
    return launched(environ).rank > 0


def planned(devices: int, nodes: int, environ: Mapping[str, str] = os.environ) -> World:
    """Return the processes of a training: those that a launcher started, or else `devices` that this process starts.

    Args:
        devices: `train.devices` of the recipe.
        nodes: `train.nodes` of the recipe.
        environ: environment of this process.

    Raises:
        SalignError: the recipe asks for another number of processes than were launched, or for several machines
            without a launcher.
    """
    world = launched(environ)
    if world.size > 1:
        if devices * nodes not in (1, world.size):
            raise SalignError(
                f"train.devices: {devices} on train.nodes: {nodes} are {devices * nodes} processes, and {world.size} "
                "were launched. Launch as many, or leave both keys out: then those that were launched train."
            )
        return world
    if nodes > 1:
        raise SalignError(
            f"train.nodes: {nodes} machines need one command on each, by torchrun --nnodes {nodes} or srun; "
            "docs/clusters.md has a script."
        )
    return World(0, devices, 0, devices)
