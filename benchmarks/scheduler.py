"""Overhead of a study besides its runs: handing out a cell, and listing and reporting very many finished cells.

    python benchmarks/scheduler.py --json scheduler.json   # about 5 minutes

One cell is really run. The finished cells of the large studies are this cell under other names (hard links), with
figures of their own. Listing and reporting each run in a new process, whose peak resident memory is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from timing import environment

from salign.data.shortcuts.decoy import write_decoy_digits
from salign.experiment.report import write_report
from salign.experiment.runner import LocalExecutor, Task, run_study
from salign.experiment.store import Measured, StudyFolder, cell_file, read_results
from salign.experiment.study import Study, expand

ARMS = ["ce", "cyborg", "shuffled", "inverted", "centre", "blobs", "blur", "alpha@0.1", "alpha@0.3", "alpha@0.7"]
SHARED = ("predictions", "analysis", "recipe.yaml", "evaluation.csv", "model.json")
"""Of the real cell; the others link to it."""


def study_of(manifest: Path, arms: list[str], seeds: int, images: list[int | None]) -> Study:
    """Cells of a few seconds on small digits."""
    return Study.build(
        {
            "name": f"cells-{len(arms) * seeds * len(images)}",
            "metric": "accuracy",
            "reference": "test_iid",
            "target": "test_ood",
            "recipe": {
                "data": {
                    "manifest": str(manifest),
                    "test": ["test_iid", "test_ood"],
                    "image_size": 64,
                    "workers": 0,
                },
                "model": {"backbone": "test_efficientnet", "weights": None, "output_stride": 8},
                "train": {"epochs": 2, "select": "last"},
            },
            "analysis": {"sets": ["test_ood"], "images": 50},
            "grids": [{"arms": arms, "seeds": seeds, "images": images}],
        }
    )


def handing_out(folder: Path, manifest: Path, tasks: int) -> dict[str, float]:
    """Seconds to hand a cell to a process and back, beside the seconds of one that trains for two epochs."""
    study = study_of(manifest, ["cyborg"], 1, [None])
    place = StudyFolder.of(study, folder)
    run_study(study, place, LocalExecutor(1, 1))
    (cell,) = expand(study)
    # the cell is finished already, so that only handing it out is timed
    done = Task(cell.recipe, place.runs, Measured(sets=["test_ood"], images=50))
    took = []
    for count in (1, tasks + 1):
        begun = time.perf_counter()
        outcomes = list(LocalExecutor(1, 1).run([done] * count))
        took.append(time.perf_counter() - begun)
        assert all(outcome.error is None for outcome in outcomes)
    seconds = float(json.loads(cell_file(place.run(cell)).read_text())["seconds"])
    each = (took[1] - took[0]) / tasks
    return {"seconds_per_cell": each, "seconds_of_a_cell": seconds, "share": each / seconds, "start": took[0]}


def fill(study: Study, folder: StudyFolder, real: Path) -> None:
    """Finished cells for a whole study."""
    found = json.loads((real / "cell.json").read_text())
    generator = np.random.default_rng(0)
    for cell in track(expand(study), f"writing {study.name}", transient=True):
        run = folder.run(cell)
        run.path.mkdir(parents=True)
        for name in SHARED:
            (run.path / name).symlink_to(real / name)
        figures = {
            place: {metric: min(1.0, value + generator.normal(0, 0.02)) for metric, value in metrics.items()}
            for place, metrics in found["figures"].items()
        }
        cell_file(run).write_text(json.dumps({"seconds": found["seconds"], "figures": figures}))


def child(task: str, path: Path, out: Path) -> None:
    """List or report a study, and print seconds and peak bytes."""
    study = Study.read(path)
    folder = StudyFolder.of(study, out)
    begun = time.perf_counter()
    results = read_results(study, folder)
    if task == "report":
        write_report(study, results.figures, results.runs, folder.path)
    seconds = time.perf_counter() - begun
    print(json.dumps({"cells": len(results.runs), "seconds": seconds, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """Of this process; `ru_maxrss` would be that of its parent, whose pages it had for a moment."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=[10, 100], help="of the smaller and the larger study")
    parser.add_argument("--tasks", type=int, default=200, help="cells handed out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("TASK", "STUDY", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), Path(options.child[2]))
        return
    before, rows = environment(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_decoy_digits(folder / "digits", train=400, val=100, test=100)
        handed = handing_out(folder, manifest, options.tasks)
        (real,) = (path for path in (folder / "cells-1" / "runs").iterdir() if path.is_dir())
        sizes: list[int | None] = [20, 30, 50, 80, 100, 150, 200, 250, 300, None]
        for seeds in options.seeds:
            study = study_of(manifest, ARMS, seeds, sizes)
            path = folder / f"{study.name}.yaml"
            path.write_text(yaml.safe_dump(study.model_dump(mode="json")))
            fill(study, StudyFolder.of(study, folder), real)
            for task in ("list", "report"):
                command = [sys.executable, __file__, "--child", task, str(path), str(folder)]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rows.append({"task": task, **json.loads(said)})
            shutil.rmtree(StudyFolder.of(study, folder).path)
    table = Table(title="finished cells")
    for column in ("task", "cells", "seconds", "peak memory"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for row in rows:
        table.add_row(row["task"], f"{row['cells']:,}", f"{row['seconds']:.1f}", f"{row['peak_bytes'] / 2**20:.0f} MiB")
    Console(width=120).print(table)
    print(
        f"handing out a cell: {1000 * handed['seconds_per_cell']:.1f} ms, {100 * handed['share']:.2f} % of a cell of "
        f"{handed['seconds_of_a_cell']:.1f} s; starting the process, once: {handed['start']:.1f} s"
    )
    if options.json:
        figures = {"environment": before, "load_after": os.getloadavg(), "handing_out": handed, "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
