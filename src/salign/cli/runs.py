"""The command `salign runs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.location import quote

if TYPE_CHECKING:
    from salign.experiment.glance import Glance
    from salign.runs.folder import RunFolder

_FIGURES = ("auroc", "auroc_macro", "accuracy", "accuracy_macro")
"""The metrics that the list shows, if a run has them."""


def runs(
    folder: Annotated[
        Path, typer.Argument(help="Look for runs and studies in this folder, some levels down.")
    ] = Path(),
    most: Annotated[int, typer.Option("--most", min=1, help="List so many of the latest runs.")] = 20,
) -> None:
    """List studies and runs with their main figures, the latest first.

    Commands that take a run take its name here, the beginning of its name, or `last`.
    """
    from rich.console import Console

    from salign.cli.text_table import text_table
    from salign.errors import SalignError
    from salign.experiment.glance import glance, studies_below
    from salign.runs.find import runs_below, when

    if not folder.is_dir():
        raise SalignError(f"no such folder: {folder}")
    folders = runs_below(folder)
    if not folders:
        where = "this folder" if folder == Path() else folder
        typer.echo(f"there is no run below {where}. Next: salign init IMAGES, or salign train RECIPE")
        return
    for study in studies_below(folder):
        try:
            _print_study(study, glance(study))
        except SalignError as error:  # the other studies are listed anyway
            typer.secho(f"{study}: {str(error).splitlines()[0]}", fg="yellow")
    headings = ["run", "when", "figures on the first test set"]
    rows = [[run.path.name, f"{when(run):%Y-%m-%d %H:%M}", _figures(run)] for run in folders[:most]]
    Console().print(text_table(f"{len(folders)} runs, the latest first", headings, rows, left=headings))
    if len(folders) > most:
        typer.echo(f"and {len(folders) - most} earlier ones (--most)")
    finished = any(run.done for run in folders)
    typer.echo(f"Next: {'salign explain last' if finished else 'repeat the command that began them'}")


def _print_study(folder: Path, seen: Glance) -> None:
    import statistics

    from salign.project.names import STUDY

    study = seen.study
    done = f"{seen.done} of {seen.cells} runs are done"
    typer.echo(f"study {study.name} ({folder}): {done}; {study.metric} on {study.target}")
    for arm, values in seen.arms.items():
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        typer.echo(f"  {arm:<32} {statistics.fmean(values):.3f}{spread} ({len(values)} runs)")
    if seen.earlier:
        typer.echo(f"  and {seen.earlier} of settings that the study had before")
    none = f"none yet; salign report {quote(folder / STUDY)} --out {quote(folder.parent)}"
    typer.echo(f"  report: {seen.page or none}")


def _figures(run: RunFolder) -> str:
    """Return the main figures on the first test set, or how far the run has come."""
    from salign.errors import SalignError
    from salign.evaluate.figures import TEXT
    from salign.evaluate.tables import read_figures
    from salign.models.config import EMBEDDER
    from salign.readers import read_csv

    try:
        if not run.done:
            return f"not finished: {len(read_csv(run.metrics)) if run.metrics.exists() else 0} epochs are done"
        if (run.path / EMBEDDER).is_file():
            return "a pretrained backbone: salign train RECIPE --init"
        if not run.evaluation.is_file():
            return "a net that draws maps: salign saliency evaluate"
        table = read_figures(run.evaluation, TEXT)
    except SalignError as error:
        return str(error).splitlines()[0]
    whole = table[(table["group_column"] == "") & table["metric"].isin(_FIGURES)]
    tests = [name for name in dict.fromkeys(whole["split"]) if name != "val"] or ["val"]
    first = whole[whole["split"] == tests[0]].set_index("metric")["value"]
    return f"{tests[0]}: " + ", ".join(f"{name} {first[name]:.3f}" for name in _FIGURES if name in first)
