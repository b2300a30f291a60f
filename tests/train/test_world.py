"""Which process of how many this is, read from the variables that torchrun and srun set."""

from __future__ import annotations

import pytest

from salign.errors import SalignError
from salign.train.world import ALONE, World, launched, planned

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}
SRUN = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("environ", "world"),
    [
        ({}, ALONE),
        (TORCHRUN, World(3, 4, 1)),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}, World(3, 4, 1, 2)),
        (SRUN, World(5, 8, 1)),
        (TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"}, ALONE),
        (TORCHRUN | {"RANK": "gold"}, ALONE),  # somebody else's variable
        ({name: value for name, value in SRUN.items() if name != "SLURM_STEP_ID"}, ALONE),  # in sbatch, without srun
    ],
)
def test_the_variables_tell_which_process_this_is(environ, world):
    assert launched(environ) == world


def test_a_recipe_leaves_the_number_to_the_launcher_or_agrees_with_it():
    assert planned(1, 1, TORCHRUN) == planned(2, 2, TORCHRUN) == World(3, 4, 1)
    assert planned(1, 1, {}) == ALONE
    assert planned(3, 1, {}) == World(0, 3, 0, 3)
    with pytest.raises(SalignError, match=r"train\.devices: 3 on train\.nodes: 1 are 3 processes, and 4 were launched"):
        planned(3, 1, TORCHRUN)
    with pytest.raises(SalignError, match=r"train\.nodes: 2 machines need one command on each"):
        planned(4, 2, {})
