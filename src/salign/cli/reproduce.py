"""`salign reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.cli.arguments import ThreadsOption, WorkersOption
from salign.location import quote

if TYPE_CHECKING:
    from salign.experiment.reproduce import EvidenceTable
    from salign.experiment.runner import Executor


def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="ROW", help="The row of the table; without one, all rows are listed.")
    ] = None,
    table: Annotated[Path, typer.Option(help="The table of evidence, as YAML.")] = Path("recipes/evidence.yaml"),
    out: Annotated[Path, typer.Option(help="The runs go into this folder; what is finished there is used.")] = Path(
        "reproduced"
    ),
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Measure a row of the table of evidence again, and say whether it is within the stated tolerance.

    Trains what the row needs below OUT, and nothing else. It ends with an error if the figure is not within the
    tolerance.
    """
    from salign.experiment.reproduce import EvidenceTable, figure_of_row, study_of_row

    rows = EvidenceTable.read(table)
    if name is None:
        _list(rows)
        return
    row = rows.row(name)
    study = study_of_row(row, table)
    from salign.cli.experiment import run_cells

    def executor() -> Executor:
        from salign.experiment.runner import LocalExecutor

        return LocalExecutor(workers, threads)

    typer.echo(f"{name}: {row.words}; about {row.minutes:g} min of one CPU thread")
    again = f"salign reproduce {name} --table {quote(table)} --out {quote(out)}"
    if run_cells(study, out, executor, again=again, quiet=quiet):
        raise typer.Exit(1)
    from salign.experiment.store import StudyFolder, read_results

    folder = StudyFolder.of(study, out)
    value = figure_of_row(row, read_results(study, folder).figures)
    within = abs(value - row.expected) <= row.tolerance
    typer.echo(
        f"expected {row.expected:.4f} ± {row.tolerance:g}, got {value:.4f}: "
        f"{'within' if within else 'NOT within'} the tolerance"
    )
    typer.echo(
        f"The expected figure is of commit {row.commit}. The runs lie in {folder.runs}. Next: "
        + ("salign reproduce, for the other rows" if within else f"compare recipe.yaml and environment.json in {out}")
    )
    if not within:
        raise typer.Exit(1)


def _list(rows: EvidenceTable) -> None:
    """Print every row with what it costs and what writes its data."""
    for name, row in rows.rows.items():
        typer.echo(f"{name}: {row.words}: {row.expected:.4f} ± {row.tolerance:g}; about {row.minutes:g} min")
        for command in row.prepare:
            typer.echo(f"    data: {command}")
    typer.echo("Next: salign reproduce ROW")
