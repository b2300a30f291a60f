"""The command `salign data`: import a set, check it, split it, plant a shortcut, and write the embedded set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.cli import data_shard, data_split
from salign.cli.arguments import Root
from salign.limits import LARGEST_SEED
from salign.location import quote

if TYPE_CHECKING:
    from salign.data.checks.check import Report
    from salign.data.manifest import Manifest

app = typer.Typer(
    no_args_is_help=True,
    help="Prepare images and human maps: import a set, check it, plant a shortcut, write a small example set.",
)


@app.command("check")
def check_manifest(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv or .parquet; `salign data import` makes one.")],
    root: Root = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the page of pictures to this file (default: MANIFEST-check.html).")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help=("Read only the headers of files: fast, but damage, blank maps and duplicates stay unseen.")
        ),
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Read so many images, drawn at random, and check the cells and paths of all."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Draws the sample.")] = 0,
    multi_label: Annotated[
        bool,
        typer.Option(
            "--multi-label", help="Images may have several labels, or none; each set of labels is counted as a class."
        ),
    ] = False,
    without_duplicates: Annotated[
        Path | None,
        typer.Option(help="Write a manifest that has each picture once; the text above says which copy stays."),
    ] = None,
    near: Annotated[
        bool,
        typer.Option(
            "--near", help="With --without-duplicates: leave out nearly equal pictures, too. Look at them first."
        ),
    ] = False,
) -> None:
    """Look at every image and map before training does.

    Finds broken files, maps that do not fit their image, blank and constant maps, the same picture in two splits or
    with two labels (also re-encoded, brightened or slightly cropped), and counts classes and maps per split. Prints
    the findings and writes a page of pictures with the maps laid over, and MANIFEST-duplicates.csv where a picture
    occurs more than once. Ends with code 1 if a row cannot be used.

    Of the copies of a picture --without-duplicates keeps one that is measured on (in a split other than train and val),
    else one in val; of several, one with a map, else the first. No row changes its split. Copies whose labels differ
    all stay and are told: which label is right is yours to say.
    """
    from salign.data.manifest import COLUMNS, Fault, Manifest, ManifestError
    from salign.data.manifest.faults import missing_columns
    from salign.data.manifest.text_table import check_manifest_file
    from salign.errors import SalignError
    from salign.files import check_output
    from salign.location import is_remote, url_text

    check_manifest_file(manifest)
    if near and without_duplicates is None:
        raise SalignError("--near says which copies are left out; give --without-duplicates FILE as well")
    if quick and without_duplicates is not None:
        raise SalignError("--quick reads no pixels, so that no duplicate is found; leave it out")
    if sample is not None and without_duplicates is not None:
        raise SalignError("--sample does not read all pictures, so that duplicates stay unseen; leave it out")
    if lacking := missing_columns(Manifest.unchecked(manifest, root)[0].table, COLUMNS[:4]):
        raise ManifestError.of([Fault(*fault) for fault in lacking], str(manifest))
    beside = Path(manifest.name) if is_remote(manifest) else manifest
    page = html or beside.with_name(f"{manifest.stem}-check.html")
    duplicates = beside.with_name(f"{manifest.stem}-duplicates.csv")
    for file in (page, duplicates, *filter(None, [without_duplicates])):
        check_output(file)
    from salign.cli.show import print_report
    from salign.data.checks.check import check_file
    from salign.data.checks.report import write_report_html

    report = check_file(manifest, root, multi_label=multi_label, decode=not quick, sample=sample, seed=seed)
    print_report(report)
    write_report_html(report, page)
    if report.drawn_from is None:  # a sample's list does not replace the full one
        _list_duplicates(report, duplicates)
    if report.faults:
        typer.echo(f"wrote {page}: open it in a browser, mend the rows listed first, and check again")
        raise typer.Exit(1)
    if without_duplicates is not None:
        whole = Manifest.read(manifest, root, multi_label=multi_label)
        _write_without(report, whole, manifest, without_duplicates, near=near)
    condition = "" if not (report.lacking or report.sound_rows.questions()) else ", once what is said above is settled"
    typer.echo(
        f"wrote {page}: open it in a browser and look at the maps; then `salign train` can use "
        f"{url_text(manifest)}{condition}"
    )


def _list_duplicates(report: Report, target: Path) -> None:
    from salign.data.checks.deduplicate import duplicate_table
    from salign.data.manifest.text_table import for_spreadsheets, write_table

    table = duplicate_table(report)
    if len(table) or target.exists():  # an outdated list is overwritten
        write_table(for_spreadsheets(table), target)
    if len(table):
        typer.echo(
            f"wrote {target}: {len(table)} pictures in {table['group'].max()} groups of equal or near-equal ones"
        )


def _write_without(report: Report, whole: Manifest, source: Path, target: Path, *, near: bool) -> None:
    from collections import Counter

    from salign.data.checks.deduplicate import without_duplicates
    from salign.data.manifest.root import root_option
    from salign.errors import SalignError

    if target.resolve() == source.resolve():
        raise SalignError(f"{target} is the manifest that is checked; give another name")
    result = without_duplicates(report, near=near)
    rows = {row: i for i, row in enumerate(whole.table["row"].tolist())}
    splits = Counter(str(whole.table["split"].iat[rows[row]]) for row in result.left_out)
    whole.take([rows[row] for row in result.rows]).write(target)
    counts = ", ".join(f"{count} of {split}" for split, count in sorted(splits.items())) or "none"
    typer.echo(
        f"wrote {target}{root_option(target, whole.root)}: {len(result.rows)} rows; left out as copies: {counts}"
    )
    for group in result.contradicting:
        typer.echo(
            f"  rows {', '.join(map(str, group))} are one picture with different labels, and all stay: mend them"
        )


app.command("split")(data_split.split_manifest)


@app.command("plant")
def plant(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv or .parquet of the set to copy.")],
    out: Annotated[Path, typer.Argument(help="The copy goes into this new folder.")],
    correlation: Annotated[
        list[str],
        typer.Option(
            "--correlation",
            "-c",
            help=("SPLIT=C for each split: with 1 the mark always names the class, with 0 never; repeat."),
        ),
    ],
    kind: Annotated[
        str,
        typer.Option(help=("The mark is a patch (coloured shape), a text (short tag) or a border (coloured strip).")),
    ] = "patch",
    size: Annotated[float, typer.Option(help="Side of the mark, as a share of the image's shorter side.")] = 0.1,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all choices; the same seed gives the same files.")
    ] = 0,
    root: Root = None,
) -> None:
    """Copy a set with a shortcut in it: a mark that gives the label away, never on what people marked.

    Example: `salign data plant manifest.csv planted -c train=0.95 -c val=0.95 -c test=0.5`. A network that learned the
    mark loses accuracy where it stops agreeing; one that looks where people look does not.
    """
    from typing import cast, get_args

    from salign.data.manifest import Manifest
    from salign.data.shortcuts.marks import Kind
    from salign.errors import one_of

    one_of(kind, get_args(Kind), "--kind")
    read = Manifest.read(manifest, root)
    correlations = _numbers(correlation)
    from salign.data.shortcuts.plant import plant_shortcut

    done = plant_shortcut(
        read, out, kind=cast(Kind, kind), correlation=correlations, seed=seed, size=size, progress=True
    )
    typer.echo(f"{'split':<24}{'asked':>8}{'measured':>10}{'images':>8}{'clean':>7}")
    for split, target, measured, images, clean in done.measured.itertuples(index=False):
        typer.echo(f"{split:<24}{target:>8.3f}{measured:>10.3f}{images:>8}{clean:>7}")
    for where in done.clean[:10]:
        typer.echo(f"no room off the human map, left clean: {where}")
    if len(done.clean) > 10:
        typer.echo(f"and {len(done.clean) - 10} more left clean")
    typer.echo(
        f"wrote {len(read)} images and {done.manifest}: look at it with `salign data check {quote(done.manifest)}`"
    )


app.command("shard")(data_shard.shard)


@app.command("clone")
def clone(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv or .parquet of the set.")],
    out: Annotated[Path, typer.Argument(help="The clones go into this new folder.")],
    order: Annotated[
        int, typer.Option(help="1: mean and mean variance of a class; 2: mean and covariance of all its pixels.")
    ] = 2,
    region: Annotated[
        str, typer.Option(help="Clone all of an image, or what lies inside or outside of people's map.")
    ] = "all",
    split: Annotated[str, typer.Option(help="The images of this split are cloned; all other rows stay.")] = "train",
    size: Annotated[
        int | None, typer.Option(min=2, help="Bring the images to this side, in pixels, where their sizes differ.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of every clone; the same seed gives the same files.")
    ] = 0,
    root: Root = None,
) -> None:
    """Replace the training images by clones: draws from a normal distribution with the moments of their class.

    Example: `salign data clone manifest.csv clones --order 1`. A network that was trained on clones and is tested on
    real images shows what can be learned from these moments alone, and how long the training on real images needs no
    more than them. There are as many clones as images, of each class equally many; with a region, one of each image.
    """
    from typing import cast

    from salign.data.clone import Order, Region, check_clone, clone_set
    from salign.data.manifest import Manifest

    read = Manifest.read(manifest, root)
    check_clone(read, out, order=order, seed=seed, split=split, region=region)
    done = clone_set(
        read,
        out,
        order=cast(Order, order),
        seed=seed,
        split=split,
        size=size,
        region=cast(Region, region),
        progress=True,
    )
    if done.unmarked:
        typer.echo(f"{done.unmarked} images have no map, or a blank one, and stay as they are")
    typer.echo(f"wrote {done.images} clones and {done.manifest}: train on it with data.manifest: {done.manifest}")


@app.command("import")
def import_set(
    source: Annotated[str, typer.Argument(help="Layout of the set: folder, csv or cvrl.")],
    path: Annotated[
        Path,
        typer.Argument(
            help=("folder: the folder of images. csv: the table. cvrl: the file with lines split,Class,path.")
        ),
    ],
    images: Annotated[Path | None, typer.Option(help="csv, cvrl: the paths are relative to this folder.")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="folder, cvrl: the human maps lie in this folder, named like the images.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help=("csv: the table calls our column THEIRS; OURS=THEIRS, e.g. label=class or saliency=mask; repeat.")
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help=("csv: images may have several labels, and this column says 1 or 0 for one of them; repeat.")
        ),
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="csv: images may have several labels, which this joins in a cell, e.g. '|'.")
    ] = None,
    no_label: Annotated[
        str | None, typer.Option(help="csv: with --separator, a cell that says this has no label, e.g. 'No Finding'.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="cvrl: THEIRS=OURS gives a split another name (default: test=val); repeat.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="folder, csv: name of the only split, where the set has none.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the manifest here (default: manifest.csv in the folder above images and maps)."),
    ] = None,
) -> None:
    """Describe an existing set in a manifest; no image is copied or changed.

    folder: FOLDER/SPLIT/CLASS/image, maps in a second folder of the same layout. csv: any table with a path and a
    class per row. cvrl: lines `split,Class,path` and a folder of heat maps, as the public CYBORG code reads them.
    """
    from salign.cli.show import coverage_table, pairs
    from salign.data.manifest.root import root_option
    from salign.data.manifest.sources import SOURCES
    from salign.errors import SalignError, one_of
    from salign.files import check_output

    one_of(source, SOURCES, "layout")
    if out is not None:
        check_output(out)
    if source == "folder":
        manifest = SOURCES[source](path, maps, split=split)
    elif source == "csv":
        several = {"labels": label or [], "separator": separator, "none": no_label}
        manifest = SOURCES[source](path, images, columns=pairs(column or []), split=split, **several)
    else:
        if images is None:
            raise SalignError("cvrl: --images is needed, the folder that the paths in the CSV are appended to")
        manifest = SOURCES[source](path, images, maps, splits=pairs(rename) if rename else None)
    target = manifest.write(out or manifest.root / "manifest.csv")
    coverage_table(manifest)
    apart = root_option(target, manifest.root)
    if manifest.multi_label:
        apart += " --multi-label"
        typer.echo("images may have several labels: train with data.multi_label: true")
    typer.echo(f"wrote {target} ({len(manifest)} images): look at it with `salign data check {quote(target)}{apart}`")


@app.command("targets")
def targets(
    answers: Annotated[Path, typer.Argument(help="Table with a row per answer, such as annotations.csv of an export.")],
    out: Annotated[Path, typer.Argument(help="Write the soft targets to this .csv or .parquet.")],
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Name of a class. Repeat for all of them where nobody may have chosen some."),
    ] = None,
) -> None:
    """Make soft targets of the answers of people who disagree, for `data.targets` of a recipe.

    Of each image, the table has the share of people who gave each answer.
    """
    from salign.data.manifest.targets import count_answers
    from salign.data.manifest.text_table import write_table
    from salign.files import check_output

    check_output(out)
    table = count_answers(answers, classes or ())
    write_table(table, out)
    names = [name for name in table.columns if name != "id"]
    torn = int((table[names].max(axis=1) < 1).sum())
    typer.echo(
        f"wrote {out}: {len(table)} images, of {torn} of which people disagree about {', '.join(names)}. "
        f"Train with them: data.targets: {out}"
    )


@app.command("decoy")
def decoy(
    folder: Annotated[Path, typer.Argument(help="The set goes into this folder.")],
    train: Annotated[int, typer.Option(help="Number of training images.")] = 1500,
    val: Annotated[int, typer.Option(help="Number of validation images.")] = 300,
    test: Annotated[int, typer.Option(help="Number of images in each of the two test splits.")] = 600,
    size: Annotated[int, typer.Option(help="Side of the square images, in pixels.")] = 64,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Seed of everything that is drawn; the same seed gives the same files."
        ),
    ] = 0,
) -> None:
    """Write the embedded example: real handwritten digits beside a coloured decoy that gives the answer away.

    In training the decoy's colour names the digit; in the split test_ood it is random, so a network that learned the
    colour fails there. The human maps mark the digit.
    """
    from salign.data.shortcuts.decoy import write_decoy_digits

    manifest = write_decoy_digits(folder, train=train, val=val, test=test, size=size, seed=seed)
    typer.echo(
        f"wrote {train + val + 2 * test} images and {manifest}: look at it with `salign data check {quote(manifest)}`"
    )


def _numbers(texts: list[str]) -> dict[str, float]:
    from salign.cli.show import pairs
    from salign.errors import SalignError

    values = pairs(texts)
    try:
        return {name: float(value) for name, value in values.items()}
    except ValueError as error:
        raise SalignError(f"expected SPLIT=NUMBER, e.g. train=0.95; {error}") from error
