"""`salign report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    study: Annotated[
        Path,
        typer.Argument(help="The study, as YAML, as for `salign experiment`; or a folder, as for `salign run`."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one value of the YAML, as for `salign experiment`; repeat."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The study's own folder lies in this folder.")] = Path("studies"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Report what a study found, finished or not: whether guidance helps, whether the maps are why, how sure that is.

    Writes OUT/NAME/report.html, one page that opens offline, and beside it results.csv with all figures, runs.csv with
    a row per run, the main table as table.csv, table.tex and table.md, pairs.csv (arms against the baseline and their
    controls), sets.csv (all test sets) and selection.csv (what each rule of selection would choose).
    """
    from salign.experiment.study import Study, check_arms
    from salign.project.names import STUDIES, STUDY

    if (study / STUDY).is_file():
        study, out = study / STUDY, study / STUDIES
    read = Study.read(study, overrides)
    check_arms(read)
    from salign.cli.experiment import print_report
    from salign.experiment.store import StudyFolder, read_results  # imports torch; mistakes are told before

    folder = StudyFolder.of(read, out)
    print_report(read, folder, read_results(read, folder), quiet=quiet)
