"""The command `salign init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.limits import LARGEST_SEED
from salign.location import command_of, quote

if TYPE_CHECKING:
    from salign.project.plan import Plan
    from salign.project.write import Written


def init(
    folder: Annotated[Path, typer.Argument(help="Your images, in whatever layout; nothing in it is changed or moved.")],
    out: Annotated[Path | None, typer.Option(help="Where manifest and study go (default: FOLDER).")] = None,
    classes_from: Annotated[
        str | None,
        typer.Option(
            help="The classes come from folders, outer-folders, inner-folders, a table, annotations or names."
        ),
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of a table that is the class.")] = None,
    maps: Annotated[
        str | None,
        typer.Option(help="These maps are taken, where there are several kinds: a name from the list, or none."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of images that annotations name no class of, such as normal.")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(min=0, help="Fixations become maps: the sigma of their Gaussian, in the pixels of the table."),
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Rows with the same cell in this column stay in one split; repeat.")
    ] = None,
    shares: Annotated[str, typer.Option(help="Shares of train/val/test, where there are no splits.")] = "0.7/0.15/0.15",
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="This number decides the splits.")] = 0,
    unlisted: Annotated[
        bool, typer.Option("--unlisted", help="Images that a tool lists without a mark were not looked at.")
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out faulty marks instead of refusing all.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what was found, and write nothing.")] = False,
) -> None:
    """Look at a folder of images as you have it, and make ready a study: manifest, splits, maps, settings.

    It understands a folder per class, folders of splits, a table with labels, masks beside the images or in folders of
    their own, COCO, LabelMe, CVAT, VIA, Label Studio, VOC, YOLO, tables of boxes or fixations, and DICOM. Where a
    folder can be understood in several ways it says so. Writes manifest.csv, study.yaml (recipe.yaml, if images have
    several labels) and, if there are marks, imported/.
    """
    import sys

    from salign.data.manifest.split import read_shares
    from salign.project.choices import Choices
    from salign.project.look import look
    from salign.project.names import MANIFEST, STUDY
    from salign.project.plan import make_plan, plan_of_manifest
    from salign.project.write import check_free, write_plan

    choices = Choices(
        classes_from=classes_from, label_column=label_column, maps=maps, label=label, group=group or (),
        shares=read_shares(shares), seed=seed, sigma=sigma, leave_out=leave_out, unlisted=unlisted,
    )  # fmt: skip
    target, known = out or folder, folder / MANIFEST
    if not folder.is_dir():
        look(folder)  # its error says what is there instead
    check_free(target, (STUDY,) if known.is_file() and target == folder else (MANIFEST, STUDY))
    plan = plan_of_manifest(known, choices) if known.is_file() else make_plan(look(folder), choices)
    _print_plan(plan, target)
    if dry_run:
        typer.echo("nothing was written; leave --dry-run out to write it")
        return
    if not yes and sys.stdin.isatty() and not typer.confirm("Write this?", default=True):
        typer.echo("nothing was written")
        return
    written = write_plan(plan, target, name=folder.resolve().name)
    blank = f", {written.blank} of them blank" if written.blank else ""
    count = f", {written.maps} maps{blank}" if written.maps else ""
    table = f"{written.manifest}{count}, and " if plan.source is None else ""
    typer.echo(f"wrote {table}{written.settings}")
    _next(folder, target, plan, written)


def _print_plan(plan: Plan, target: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from salign.cli.show import split_table
    from salign.project.plan import DOUBTS
    from salign.project.write import manifest_name, settings_name

    table = Table(show_header=False, box=None)
    for word, sentence in plan.remarks:
        table.add_row(f"[{'yellow' if word in DOUBTS else 'bold'}]{word}[/]", escape(sentence))
    Console().print(table)
    for fault in plan.faults:
        typer.echo(f"left out: {fault}")
    if plan.absent.refused:
        typer.echo(f"without {', '.join(plan.absent.refused)}: {_training(target, plan)}")
    split_table(plan.manifest)
    files = [manifest_name(target)] * (plan.source is None) + ["maps in imported/"] * bool(plan.marks)
    listed = "".join(f"{file}, " for file in files) + "and " * bool(files)
    typer.echo(f"will write into {target}: {listed}{settings_name(plan.manifest)} with the settings")


def _next(folder: Path, target: Path, plan: Plan, written: Written) -> None:
    from salign.data.manifest.root import root_option
    from salign.project.names import MANIFEST

    listed = quote(written.manifest)
    mapped = plan.marks or plan.manifest.table["saliency"].notna().any()
    if plan.manifest.multi_label:
        bare = "" if mapped else "no image has a map, so that it trains with cross-entropy alone. "
        typer.echo(f"{bare}Next: {_training(target, plan)}")
    elif mapped:
        check = f"salign data check {listed}{root_option(written.manifest, written.root)}"
        typer.echo(f"Next: {_training(target, plan)} (look first: {check})")
    else:
        apart = "" if written.manifest == folder / MANIFEST else f" --manifest {listed}"
        typer.echo(f"no image has a map yet. Next: salign annotate {quote(folder)}{apart}")


def _training(target: Path, plan: Plan) -> str:
    """Return the command that trains, without the classes that have no training or no validation image."""
    import json

    from salign.project.names import RECIPE

    several = plan.manifest.multi_label
    words: list[Path | str] = ["salign", "train", target / RECIPE] if several else ["salign", "run", target]
    if plan.absent.refused:
        key = "data.classes" if several else "recipe.data.classes"
        words += ["--set", f"{key}={json.dumps(plan.absent.rest, ensure_ascii=False)}"]
    return command_of(words)
