"""The command `salign reproduce`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.cli.arguments import ThreadsOption, WorkersOption
from salign.location import command_of

if TYPE_CHECKING:
    from salign.experiment.reproduce import EvidenceRow, EvidenceTable
    from salign.experiment.runner import Executor
    from salign.experiment.study import Study


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ROW",
            help="The row of the table, or several by a pattern in quotes, such as 'mark-*'; without it, all rows are "
            "listed.",
        ),
    ] = None,
    table: Annotated[Path, typer.Option(help="The table of evidence, as YAML.")] = Path("recipes/evidence.yaml"),
    out: Annotated[Path, typer.Option(help="The runs go into this folder; what is finished there is used.")] = Path(
        "reproduced"
    ),
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Measure rows of the table of evidence again, and say whether they are within the stated tolerance.

    Trains what the rows need below OUT, and nothing else; a run that several rows need is trained once. It ends with an
    error if a figure is not within its tolerance.
    """
    from salign.experiment.reproduce import EvidenceTable, study_of_row

    evidence = EvidenceTable.read(table)
    if name is None:
        _list(evidence)
        return
    rows = evidence.matching(name)
    studies = {each: study_of_row(row, table) for each, row in rows.items()}
    from salign.cli.experiment import run_cells

    def executor() -> Executor:
        from salign.experiment.runner import LocalExecutor

        return LocalExecutor(workers, threads)

    again = command_of(["salign", "reproduce", name, "--table", table, "--out", out])
    for each, row in rows.items():
        typer.echo(f"{each}: {row.words}; about {row.minutes:g} min of one CPU thread")
        if run_cells(studies[each], out, executor, again=again, quiet=quiet):
            raise typer.Exit(1)
    wrong = [each for each, row in rows.items() if not _compare(each, row, studies[each], out)]
    typer.echo(
        f"The runs lie in {out}. Next: "
        + (
            f"compare recipe.yaml and environment.json of {wrong[0]}"
            if wrong
            else "salign reproduce, for the other rows"
        )
    )
    if wrong:
        raise typer.Exit(1)


def _compare(name: str, row: EvidenceRow, study: Study, out: Path) -> bool:
    """Print the figure of a finished row beside the expected one; return whether it is within the tolerance."""
    from salign.experiment.reproduce import figure_of_row
    from salign.experiment.store import StudyFolder, read_results

    value = figure_of_row(row, read_results(study, StudyFolder.of(study, out)).figures)
    within = abs(value - row.expected) <= row.tolerance
    typer.echo(
        f"{name}: expected {row.expected:.4f} ± {row.tolerance:g} (commit {row.commit}), got {value:.4f}: "
        f"{'within' if within else 'NOT within'} the tolerance"
    )
    return within


def _list(rows: EvidenceTable) -> None:
    """Print every row with its cost; rows of the same data follow the commands that prepare the data."""
    for prepare, group in groupby(rows.rows.items(), key=lambda each: each[1].prepare):
        for command in prepare:
            typer.echo(f"data: {command}")
        for name, row in group:
            typer.echo(f"    {name}: {row.words}: {row.expected:.4f} ± {row.tolerance:g}; about {row.minutes:g} min")
    typer.echo("Next: salign reproduce ROW")
