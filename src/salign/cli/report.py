"""The command `salign report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.errors import SalignError
from salign.location import is_remote, quote

if TYPE_CHECKING:
    from salign.experiment.store import StudyFolder


def report(
    study: Annotated[
        Path,
        typer.Argument(
            help="The study, as YAML, as for `salign experiment`; or a folder, as for `salign run`, or OUT/NAME."
        ),
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
    from salign.files import check_output

    study, out = _found(study, out)
    read = Study.read(study, overrides)
    check_arms(read)
    from salign.cli.experiment import print_report
    from salign.experiment.store import StudyFolder, read_results  # imports torch, so after the checks

    folder = StudyFolder.of(read, out)
    check_output(folder.path / "report.html")
    results = read_results(read, folder)
    if not len(results.runs):
        raise _nothing_to_report(study, folder, out)
    print_report(read, folder, results, quiet=quiet)


def _found(study: Path, out: Path) -> tuple[Path, Path]:
    """Return the study's file, and the folder that holds the study's folder.

    The user gives the file, or a folder that holds it. An image folder without a study is returned as it is, because
    the reader of the study reports it better.

    Raises:
        SalignError: there is no study of that name; the message proposes a command.
    """
    from salign.experiment.glance import is_study_folder, nearest_study
    from salign.project.names import STUDIES, STUDY

    if (study / STUDY).is_file():
        return study / STUDY, study.parent if is_study_folder(study) else study / STUDIES
    if is_remote(study) or (study.exists() and not study.is_dir()):
        return study, out
    near = nearest_study(study, out)
    if study.is_dir() and near is None:
        return study, out  # the reader of the study reports a folder of images
    what = f"there is no {STUDY} in {study}" if study.is_dir() else f"no such file: {study}"
    perhaps = f"Perhaps: salign report {quote(near)}" if near else "salign runs lists the studies below this folder"
    raise SalignError(f"{what}; expected the YAML file of a study, or the folder that it lies in. {perhaps}")


def _nothing_to_report(study: Path, folder: StudyFolder, out: Path) -> SalignError:
    """Return the error for a study without a finished run.

    If its folder holds finished runs with other values, because of `--set` or a later change of the study, the message
    says how to report those.
    """
    ran = folder.path / "study.yaml"
    finished = sum(path.is_file() for path in folder.runs.glob("*/cell.json"))
    if not finished or not ran.is_file():
        return SalignError(f"{folder.path}: no run is finished, so there is nothing to report; run the study first")
    return SalignError(
        f"no run is finished with the values of {study}, and the {finished} runs in {folder.runs} had others. A report "
        f"of what was run last: salign report {quote(ran)} --out {quote(out)}; or give the same --set again"
    )
