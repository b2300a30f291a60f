"""The demonstration: a small study on the embedded digits, and its report."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import yaml

from salign.data.shortcuts.decoy import write_decoy_digits
from salign.errors import SalignError
from salign.experiment.report import write_report
from salign.experiment.runner import LocalExecutor, run_study
from salign.experiment.store import Results, StudyFolder, read_results
from salign.experiment.study import Study
from salign.files import check_output, replace_text

DIGITS_SEED = 2
"""The seed of the digits. The settings of the study were chosen with other digits, those of seed 0."""


class Demo(NamedTuple):
    """The results of the demonstration."""

    study: Study
    source: Path
    """The YAML file of the study, which can be changed and run again."""
    results: Results
    verdict: list[str]
    """Sentences that were computed from the figures, whatever they show."""
    page: Path


def run_demo(out: Path, *, seeds: int = 3, epochs: int = 12, progress: bool = True) -> Demo:
    """Write the digits, train every arm with every seed, and report.

    A finished run is not repeated, so the demonstration can be interrupted and started again.

    Args:
        out: folder for the images, the study and its report.
        seeds: independent runs of each arm.
        epochs: number of epochs of each run.
        progress: show a bar.

    Raises:
        SalignError: a run failed.
    """
    check_output(out, folder=True)
    manifest = out / "digits" / "manifest.csv"
    if not manifest.exists():
        write_decoy_digits(manifest.parent, train=1000, val=200, test=400, seed=DIGITS_SEED)
    content = yaml.safe_load(files("salign.experiment").joinpath("demo.yaml").read_text("utf-8"))
    content["grids"][0]["seeds"] = seeds
    content["recipe"]["train"]["epochs"] = epochs
    source = out / "study.yaml"
    replace_text(source, yaml.safe_dump(content, sort_keys=False))
    study = Study.read(source)
    folder = StudyFolder.of(study, out)
    failed = run_study(study, folder, LocalExecutor(), progress=progress)
    if failed:
        raise SalignError(f"{len(failed)} runs failed; {failed[0].task.recipe.name}: {failed[0].error}")
    results = read_results(study, folder)
    report = write_report(study, results.figures, results.runs, folder.path, progress=progress)
    verdict = [sentence for finding in report.findings for sentence in finding.sentences]
    return Demo(study, source, results, verdict, report.page)
