"""The command `salign maps`: import human maps from other tools, combine them, and export them to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salign.cli import maps_combine
from salign.cli.show import coverage_table, pairs
from salign.location import quote

if TYPE_CHECKING:
    from salign.annotations.write import ImportResult
    from salign.data.manifest import Manifest

app = typer.Typer(
    no_args_is_help=True,
    help="Human maps from annotation tools and eye trackers: bring, combine, coarsen and export them.",
)


@app.command("formats")
def formats() -> None:
    """List the formats that are read and written, with the options each one takes."""
    from salign.annotations.formats import ANNOTATION_FORMATS

    for name, tool in ANNOTATION_FORMATS.items():
        options = ", ".join(f"--{_FLAGS.get(option, option)}" for option in tool.options if _FLAGS.get(option, option))
        typer.echo(f"{name:<14}{'import, export' if tool.exports else 'import':<16}{tool.reads}")
        if options:
            typer.echo(f"{'':<30}takes {options}")


@app.command("import")
def import_maps(
    name: Annotated[
        str, typer.Argument(metavar="FORMAT", help="Name of the format; `salign maps formats` lists them.")
    ],
    path: Annotated[Path, typer.Argument(help="The file that the tool wrote, or a folder of files.")],
    images: Annotated[
        Path | None, typer.Option(help="The images lie in this folder (default: that of --manifest).")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Merge the maps into this manifest; its rows, classes and splits stay.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=("The maps go into this folder (default: the one above the images, or that of --manifest).")),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "THEIRS=OURS renames a tool's label, and THEIRS= leaves its marks out; any other "
                "label is then a fault. Repeat."
            )
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Images whose labels name no class get this class.")] = None,
    classes_from: Annotated[
        str | None,
        typer.Option(
            help=(
                "Where classes come from: annotations (their labels) or folders "
                "(IMAGES/SPLIT/CLASS/image, IMAGES/CLASS/SPLIT/image or IMAGES/CLASS/image). "
                "By default salign takes the folders if there are such."
            )
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Name of the only split (default: train, or the folders above the classes).")
    ] = None,
    annotators: Annotated[
        str,
        typer.Option(
            help=(
                "Several people's maps of an image become one by union, mean, majority, staple, "
                "weighted, or each stays in a row of its own."
            )
        ),
    ] = "union",
    annotator: Annotated[
        str | None, typer.Option(help="Name of the annotator, where the tool does not say it.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="fixations: standard deviation of the Gaussian, in the pixels of x and y.")
    ] = None,
    empty: Annotated[
        str,
        typer.Option(
            help=(
                "An image that is listed without marks is blank (somebody looked and marked nothing) "
                "or missing (it has no map)."
            )
        ),
    ] = "blank",
    width: Annotated[
        float | None,
        typer.Option(
            help=("Lines have this thickness and points this diameter, in pixels; they have no area of their own.")
        ),
    ] = None,
    attribute: Annotated[
        str | None,
        typer.Option(help="via: this attribute is the label. label-studio: these choices are the class."),
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="yolo: this file has the names of the classes.")] = None,
    image_key: Annotated[
        str | None,
        typer.Option(
            help=(
                "label-studio: key of the image in a task's data. fixations: name of the image, where "
                "the table is of one image."
            )
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="fixations: the table calls our column THEIRS; OURS=THEIRS, e.g. x=FPOGX; repeat."),
    ] = None,
    gaze: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "fixations: KEY=VALUE says how gaze was measured, e.g. position=screen, "
                "screen=800x600, sigma_degrees=1; repeat."
            )
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="masks, arrays: pattern of the paths, e.g. {annotator}/{image} or {image}_mask."),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            help=("masks: grey (the full range is 0 to 1; the default) or nonzero (every pixel but black is marked).")
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help=("masks: a pixel is marked if it has at least this share of the full range (above 0, up to 1).")
        ),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="arrays: this file has an id per line, for a stack of maps in a .npy.")
    ] = None,
    scale: Annotated[
        bool, typer.Option("--scale", help="arrays: divide each map by its maximum, for densities and counts.")
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out what is faulty instead of refusing everything.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the manifest if it exists.")] = False,
    by_name: Annotated[
        bool, typer.Option("--by-name", help="Match images by name alone, whatever folders the tool names.")
    ] = False,
) -> None:
    """Make 16-bit maps and a manifest of what people marked in another tool.

    An image with an annotation that marks nothing gets a blank map; an image that the tool does not mention gets none.
    Unknown labels, sizes that disagree and names without an image are reported together.

    Example: `salign maps import labelme labels --images photos`, then `salign data check manifest.csv`.
    """
    from salign.errors import SalignError, one_of

    if name == "masks" and pattern is None and images is not None and path.resolve() == images.resolve():
        raise SalignError(
            f"{path} would be both the images and their masks; give the folder of the masks, or tell them apart by "
            "--pattern {image}_mask. salign init finds masks beside images by itself"
        )
    from salign.annotations.formats import annotation_format
    from salign.annotations.formats.notes import Notes
    from salign.annotations.resolve import Naming
    from salign.annotations.write import Output, write_annotated
    from salign.files import check_output

    one_of(empty, ("blank", "missing"), "--empty")
    if out is not None:
        check_output(out, folder=True)
    chosen = annotation_format(name)
    options: dict[str, Any] = {
        "width": width,
        "attribute": attribute,
        "classes": classes,
        "image": image_key,
        "columns": pairs(column) if column else None,
        "pattern": pattern,
        "values": values,
        "threshold": threshold,
        "ids": ids,
        "scale": scale or None,
    }
    if "gaze" in chosen.options:
        options["gaze"], sigma = _gaze(gaze or [], sigma, pooled=annotators == "union"), None
    elif gaze:
        options |= {key: _value(key, text) for key, text in pairs(gaze).items()}
    notes = Notes()
    annotations = chosen.read(path, notes, **options)
    for remark in notes.remarks:
        typer.echo(f"note: {remark}")
    if empty == "missing":
        annotations = [annotation for annotation in annotations if annotation.shapes or annotation.mask is not None]
    base = _base(manifest, images, classes_from, split)
    merged = manifest is not None and out is None
    if manifest is None and base is not None and out is None and images is not None:
        out = images.resolve().parent  # not inside the images, whose folders are read as classes
    output = Output(
        out=out,
        target=manifest if merged else None,
        split=None if base is not None else split,
        combine=annotators,
        sigma=sigma,
        leave_out=leave_out,
        overwrite=overwrite or merged,
    )
    naming = Naming(pairs(labels) if labels else None, default=label)
    _report(
        write_annotated(
            annotations,
            images,
            output,
            base=base,
            naming=naming,
            annotator=annotator,
            by_name=by_name,
            faults=notes.faults,
            progress=True,
        )
    )


@app.command("export")
def export_maps(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv or .parquet.")],
    name: Annotated[str, typer.Argument(metavar="FORMAT", help="Format to write: labelme, coco, cvat or yolo.")],
    out: Annotated[Path, typer.Argument(help="coco, cvat: write this file. labelme, yolo: write into this folder.")],
    shapes: Annotated[
        Path | None,
        typer.Option(help="This file has the shapes behind the maps (default: shapes.json beside the manifest)."),
    ] = None,
    column: Annotated[str, typer.Option(help="Export the maps of this column of the manifest.")] = "saliency",
    root: Annotated[Path | None, typer.Option(help="The manifest's paths are relative to this folder.")] = None,
) -> None:
    """Write the maps of a manifest as another tool's annotations.

    Outlines where the shapes are known; otherwise the pixels of the map from half of its range on. The label is the
    class of the image.
    """
    from salign.annotations.formats import annotation_format
    from salign.annotations.formats.export import machine
    from salign.annotations.read import read_marked
    from salign.annotations.shape_files import shapes_file
    from salign.data.manifest import Manifest
    from salign.errors import SalignError
    from salign.files import check_output

    chosen = annotation_format(name)
    writer = chosen.writer
    check_output(out, folder=chosen.exports == "folder")
    beside = shapes_file(manifest)
    known = shapes or (beside if beside.is_file() and column == "saliency" else None)
    annotations = read_marked(Manifest.read(manifest, root).with_maps(column), known)
    if not annotations:
        raise SalignError(f"{manifest}: no row has a map in the column {column!r}; there is nothing to export")
    written = writer(annotations, out)
    machines = len({annotation.image for annotation in annotations if machine(annotation) is not None})
    lost = ", which this format cannot say" if name == "yolo" else ""
    origin = f"; the maps of {machines} were made by a machine{lost}" if machines else ""
    typer.echo(f"wrote {len({annotation.image for annotation in annotations})} images to {written}{origin}")


app.command("aggregate")(maps_combine.aggregate)
app.command("granularity")(maps_combine.granularity)

_NAMED = 8
"""The largest number of classes that a message lists."""

_FLAGS = {
    "image": "image-key",
    "columns": "column",
    "sigma_degrees": "gaze sigma_degrees=1",
    "subject": "",
    "folder": "",
}
"""Option of a reader -> its name on the command line, where they differ; "" for options that have none there."""


def _base(manifest: Path | None, images: Path | None, classes_from: str | None, split: str | None) -> Manifest | None:
    """Return the manifest that the maps are merged into; None if the annotations themselves give the rows.

    Raises:
        SalignError: the options contradict each other, or neither a manifest nor a folder of images is given.
    """
    from salign.annotations.match import Images
    from salign.data.manifest import Manifest
    from salign.data.manifest.folder_layout import folder_layout
    from salign.data.manifest.sources import from_folder
    from salign.errors import SalignError, one_of

    if classes_from is not None:
        one_of(classes_from, ("annotations", "folders"), "--classes-from")
    if manifest is not None:
        if classes_from == "folders":
            raise SalignError("classes come from --manifest or from folders; give one of them")
        return Manifest.read(manifest)
    if images is None:
        raise SalignError("give the folder of the images (--images), or a manifest that lists them (--manifest)")
    if classes_from == "folders":
        return from_folder(images, split=split)
    layout = folder_layout(Images.below(images).paths)
    if classes_from == "annotations" or layout.label is None:
        return None
    if layout.split is not None and split is not None:
        raise SalignError(f"{images}: its folders say {layout}; leave --split out, or give --classes-from annotations")
    base = from_folder(images, split=None if layout.split is not None else split or "train")
    classes = ", ".join(base.classes[:_NAMED]) + ", ..." * (len(base.classes) > _NAMED)
    typer.echo(f"folders say {layout}: classes are {classes}. If they do not, give --classes-from annotations")
    return base


def _gaze(texts: list[str], sigma: float | None, *, pooled: bool) -> Any:
    from salign.annotations.formats.fixations import Gaze
    from salign.errors import one_of

    values: dict[str, Any] = {"pooled": pooled, "sigma": sigma}
    for key, text in pairs(texts).items():
        one_of(key, Gaze._fields, "a key of --gaze")
        values[key] = _value(key, text)
    return Gaze(**values)


def _value(key: str, text: str) -> Any:
    from salign.errors import SalignError

    try:
        if key == "screen":
            width, height = text.split("x")
            return int(height), int(width)
        if key == "shown":
            x0, y0, x1, y1 = map(float, text.split(","))
            return x0, y0, x1, y1
        if key in ("seconds", "pooled"):
            return {"yes": True, "no": False}[text]
        return text if key in ("position", "weight") else float(text)
    except (ValueError, KeyError) as error:
        forms = {"screen": "WIDTHxHEIGHT", "shown": "x0,y0,x1,y1", "seconds": "yes or no", "pooled": "yes or no"}
        raise SalignError(f"--gaze {key}={text}: expected {forms.get(key, 'a number')}") from error


def _report(result: ImportResult) -> None:
    from salign.data.manifest.root import root_option

    for fault in result.left_out:
        typer.echo(f"left out: {fault}")
    if result.resized:
        count, first = len(result.resized), result.resized[0]
        typer.echo(f"scaled: {count} images were annotated at another size of the same shape, first {first}")
    if result.unnamed:
        count, first = len(result.unnamed), result.unnamed[0]
        typer.echo(f"not in the manifest, since no annotation names them: {count} images, first {first}")
    coverage_table(result.manifest)
    apart = root_option(result.path, result.manifest.root)
    blank = f", {result.blank} of them blank" if result.blank else ""
    check = f"salign data check {quote(result.path)}{apart}"
    typer.echo(f"wrote {result.maps} maps{blank}, and {result.path}: look at them with `{check}`")
