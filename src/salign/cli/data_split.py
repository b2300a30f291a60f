"""The command `salign data split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import Root
from salign.limits import LARGEST_SEED
from salign.location import quote


def split_manifest(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv or .parquet; rows may have no split yet.")],
    shares: Annotated[
        str, typer.Option(help="Shares of train/val/test, e.g. 70/15/15; or with names, e.g. train=0.8/val=0.2.")
    ] = "0.7/0.15/0.15",
    group: Annotated[
        list[str] | None,
        typer.Option(help="Rows that agree in this column, e.g. patient, stay in one split; repeat."),
    ] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(help="Divide the rows of this split anew; other rows that have a split never move. Repeat."),
    ] = None,
    duplicates: Annotated[
        bool,
        typer.Option(
            "--duplicates/--no-duplicates", help="Keep equal and nearly equal pictures in one split, or do not."
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the draw; the same seed gives the same splits.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Write the new manifest here (default: the same file if no row has a split yet, else MANIFEST-split)."
            )
        ),
    ] = None,
    root: Root = None,
    multi_label: Annotated[
        bool,
        typer.Option("--multi-label", help="Images may have several labels, or none; each label is divided alike."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file --out if it exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the table, and write nothing.")] = False,
) -> None:
    """Give images a split: every class by the same shares, and what belongs together in one split.

    Rows of one image, rows of one --group, DICOM files of one patient, and pictures that are equal or nearly equal stay
    together, since a figure on a copy of a training image is too good. Rows that have a split keep it. The table of
    classes and splits is printed before anything is written.
    """
    from salign.cli.show import split_table
    from salign.data.manifest import Manifest
    from salign.data.manifest.root import root_option
    from salign.data.manifest.split import divide, groups_of_rows, read_shares
    from salign.data.manifest.table import NO_SPLIT
    from salign.errors import SalignError
    from salign.files import check_output

    targets = read_shares(shares)
    whole = Manifest.read(manifest, root, multi_label=multi_label, unsplit=True)
    divide(
        whole, groups_of_rows(whole, group or ()), targets, seed=seed, move=move or ()
    )  # reports mistakes before images are read
    new = set(whole.splits) == {NO_SPLIT}
    target = out or (manifest if new else manifest.with_stem(f"{manifest.stem}-split"))
    check_output(target)
    if target.exists() and not overwrite and not (new and target == manifest):
        raise SalignError(f"{target} is there; give another --out, or have it replaced (--overwrite)")
    from salign.data.checks.patients import same_patients

    alike, sentence = same_patients(whole)
    if sentence:
        typer.echo(sentence)
    if duplicates:
        from salign.data.checks.deduplicate import equal_pictures

        pictures = equal_pictures(whole, progress=True)
        alike += pictures
        typer.echo(_together(pictures, len(whole)))
    groups = groups_of_rows(whole, group or (), alike)
    divided = divide(whole, groups, targets, seed=seed, move=move or ())
    split_table(divided)
    if dry_run:
        typer.echo(f"nothing was written; without --dry-run this goes to {target}")
        return
    divided.write(target)
    apart = root_option(target, divided.root) + " --multi-label" * multi_label
    typer.echo(f"wrote {target}: look at it with `salign data check {quote(target)}{apart}`")


def _together(alike: list[list[int]], images: int) -> str:
    if not alike:
        return "no two pictures are equal or nearly equal"
    most = max(map(len, alike))
    text = f"{sum(map(len, alike))} pictures in {len(alike)} groups of equal or nearly equal ones stay together"
    if most > 0.1 * images:
        text += f"; {most} are in one group. If they only look alike to a machine, give --no-duplicates"
    return text
