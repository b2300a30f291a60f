"""The batch script of docs/clusters.md, its body run by bash as SLURM runs it: two tasks, of whom SLURM tells all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from command import small, written

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
SRUN = """#!/bin/bash
# Two tasks on one node, each with the variables that srun gives it; the highest exit code.
[ "$1" = --kill-on-bad-exit=1 ] && shift
export SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=127.0.0.1 OMP_NUM_THREADS=1
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" & other=$!
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"; code=$?
wait $other; also=$?
exit $((code > also ? code : also))
"""


def command(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SLURM and bash")
def test_the_batch_script_trains_with_all_tasks_and_is_queued_again_when_it_was_ended(digits, tmp_path):
    (script,) = re.findall(r"^```sh no-run\n(#!/bin/bash\n.*?)^```$", PAGE.read_text(), re.M | re.S)
    command(tmp_path / "srun", SRUN)
    command(tmp_path / "scontrol", f'#!/bin/bash\necho "$@" >> {tmp_path}/requeued\n')
    command(tmp_path / "salign", f'#!/bin/bash\nexec {sys.executable} -m salign "$@"\n')
    (tmp_path / "train.sbatch").write_text(script)
    data = {"limit": 24, "image_size": 32, "test": [], "groups": []}
    written(tmp_path / "recipe.yaml", small(digits, data=data, train={"batch_size": 8, "epochs": 2}))
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "4711"}
    done = subprocess.run(
        ["bash", "train.sbatch"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("wrote runs/small-") == 1
    (run,) = (tmp_path / "runs").glob("small-*")
    assert (run / "done").exists()
    assert not (tmp_path / "requeued").exists()
    command(tmp_path / "salign", "#!/bin/bash\nexit 75\n")
    ended = subprocess.run(["bash", "train.sbatch"], cwd=tmp_path, env=environ, timeout=20)
    assert ended.returncode == 75
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n"
