"""The commands `salign run` and `salign status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.limits import MOST_WORKERS
from salign.location import command_of, quote

if TYPE_CHECKING:
    from salign.experiment.runner import Executor
    from salign.experiment.study import Study


def run(
    folder: Annotated[
        Path, typer.Argument(help="Folder that `salign init` made ready, or the file of a study.")
    ] = Path(),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. recipe.train.epochs=5."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each arm (default: as the study says).")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without any map: train with cross-entropy alone, as NAME-without-maps.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST_WORKERS, help="Runs at a time (default: one per GPU, or per CPU).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train with cross-entropy, guided, and with shuffled maps as the control, with a few seeds; and report.

    Runs the study in FOLDER/study.yaml and writes FOLDER/studies/NAME/report.html. What is done is not run again: after
    a stop the same command goes on.
    """
    from salign.cli.experiment import print_report, print_results, run_cells
    from salign.errors import SalignError
    from salign.project.names import RECIPE, STUDIES, STUDY

    file = folder / STUDY if folder.is_dir() else folder
    if not folder.exists():
        raise SalignError(f"{folder}: no such folder; expected the folder that salign init made ready, or a study.yaml")
    if not file.is_file() and (folder / RECIPE).is_file():
        raise SalignError(
            f"{folder} has a {RECIPE} and no {STUDY}: its images have several labels, and studies compare "
            f"answers of one class. Next: salign train {quote(folder / RECIPE)}"
        )
    if not file.is_file():
        raise SalignError(f"there is no {STUDY} in {folder.resolve()}. Next: salign init {quote(folder)}")
    study = _study(file, overrides or [], seeds, plain)
    if not plain:
        _check_maps(study, folder)
    out = file.parent / STUDIES
    words = ["salign", "run", str(folder), *(word for value in overrides or [] for word in ("--set", value))]
    words += ["--seeds", str(seeds)] * (seeds is not None) + ["--plain"] * plain
    again = command_of(words)

    def executor() -> Executor:
        from salign.experiment.runner import LocalExecutor

        return LocalExecutor(workers)

    failed = run_cells(study, out, executor, again=again, quiet=quiet)
    study_folder, results = print_results(study, out, again=again, failed=len(failed))
    if not len(results.runs):
        raise typer.Exit(1)
    print_report(study, study_folder, results, quiet=quiet)
    if failed:
        raise typer.Exit(1)


def _study(file: Path, overrides: list[str], seeds: int | None, plain: bool) -> Study:
    """Read the study, with another number of seeds if `seeds` is given, or of cross-entropy alone if `plain`."""
    from salign.experiment.study import Study
    from salign.project.plain import without_maps

    study = Study.read(file, overrides)
    grids = [grid.model_copy(update={"seeds": seeds}) if seeds else grid for grid in study.grids]
    study = study.model_copy(update={"grids": grids})
    return without_maps(study) if plain else study


def _check_maps(study: Study, folder: Path) -> None:
    """Refuse a study with guided arms if no training image has a map, before torch is imported.

    A study with several data sets or another column of maps is not checked here.

    Raises:
        SalignError: no training image has a map.
    """
    from salign.data.manifest import Manifest
    from salign.errors import SalignError

    data = study.recipe.get("data", {})
    if study.datasets != {"data": {}} or "manifest" not in data or data.get("map_column", "saliency") != "saliency":
        return
    manifest = Manifest.read(data["manifest"], data.get("root"), multi_label=data.get("multi_label", False))
    rows = manifest.select(data.get("train", ["train"]))
    if not rows.table["saliency"].notna().any():
        here = quote(folder)
        raise SalignError(
            f"none of the {len(rows)} training images of {data['manifest']} has a map, so that there is nothing to "
            f"guide by. Next: salign annotate {here}, then salign annotate {here} --merge; or, to see what "
            f"cross-entropy alone gives: salign run {here} --plain"
        )


def status(
    folder: Annotated[Path, typer.Argument(help="Folder of images, or that `salign init` wrote to.")] = Path(),
) -> None:
    """Say how far a folder is on the way from images to a report, and the next command."""
    from rich.console import Console
    from rich.markup import escape

    from salign.project.state import state_of

    state, console = state_of(folder), Console()
    for there, line in state.lines:
        console.print(
            f"[{'green' if there else 'yellow'}]{'✓' if there else '·'}[/] {escape(line)}",
            highlight=False,
            soft_wrap=True,
        )
    typer.echo(f"Next: {state.next}")
