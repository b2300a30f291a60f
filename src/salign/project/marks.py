"""Read the marks of people in a folder, with the importers of `salign maps import`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from salign.annotations.annotated import Annotated
from salign.annotations.formats import annotation_format
from salign.annotations.formats.fixations import Gaze
from salign.annotations.formats.mask_folder import read_listed
from salign.annotations.formats.notes import Notes
from salign.annotations.formats.yolo import NAMES
from salign.annotations.match import Images
from salign.annotations.resolve import Naming, settle
from salign.data.manifest import Fault, Manifest, ManifestError
from salign.data.manifest.image_files import stem
from salign.errors import SalignError
from salign.project.look import Tool
from salign.project.pictures import Maps

Marks = tuple[list[Annotated], list[Fault], str]
"""Marks, faults, and a sentence about them."""


def read_maps(folder: Path, maps: Maps) -> Marks:
    """Read pictures that are maps of images.

    Args:
        folder: folder where the paths of the pictures begin.
        maps: the pictures.
    """
    notes = Notes()
    read = read_listed(folder, list(maps.images), notes, values="nonzero" if maps.nonzero else "grey")
    images = {stem(path): image for path, image in maps.images.items()}
    marks = [replace(mark, image=images[mark.image], source=None) for mark in read]
    beside = maps.kind.replace("*", "beside the images, named NAME", 1)
    where = f"in {maps.kind}" if maps.kind.endswith("/") else beside
    sentence = f"{len(maps.images)} masks {where}, of {len(set(maps.images.values()))} images"
    if maps.nonzero:
        sentence += "; they hold numbers or colours, so that all that is not black is taken as marked"
    return marks, notes.faults, "; ".join([sentence, *notes.remarks])


def names_of_yolo(folder: Path, tool: Tool) -> Path | None:
    """Find the file with the names of YOLO's classes in the folder of the labels, or the nearest folder above it.

    Ultralytics puts `data.yaml` beside `images/` and `labels/`.

    Args:
        folder: the folder of the images; nothing above it is searched.
        tool: the files of labels.

    Returns:
        The path of the file; None where there is none.
    """
    folders = [above for above in (tool.path, *tool.path.parents) if above.is_relative_to(folder)]
    return next((above / name for above in folders for name in NAMES if (above / name).is_file()), None)


def read_tools(folder: Path, tools: Sequence[Tool], *, unlisted: bool, sigma: float | None = None) -> Marks:
    """Read the files of one annotation tool.

    Where an image lies beside the file that names it, its name is taken as relative to the folder of the file.

    Args:
        folder: folder where the paths of images begin.
        tools: the files, all of one format.
        unlisted: whether nobody looked at the images without a mark.
        sigma: standard deviation of the Gaussian of a fixation, in pixels as x and y are.
    """
    notes, marks = Notes(), []
    for tool in tools:
        options: dict[str, object] = {} if sigma is None else {"gaze": Gaze(sigma=sigma)}
        if tool.format == "yolo" and (names := names_of_yolo(folder, tool)) and names.parent != tool.path:
            options["classes"] = names
        read = annotation_format(tool.format).read(tool.path, notes, **options)
        own = tool.path if tool.path.is_dir() else tool.path.parent
        if own != folder and not tool.path.is_dir():
            beside = {mark.image for mark in read if (own / mark.image).is_file()}
            prefix = own.relative_to(folder).as_posix()
            read = [replace(mark, image=f"{prefix}/{mark.image}") if mark.image in beside else mark for mark in read]
        marks += read
    bare = {mark.image for mark in marks if mark.mask is None and not mark.shapes}
    bare -= {mark.image for mark in marks if mark.mask is not None or mark.shapes}
    if unlisted:
        marks = [mark for mark in marks if mark.image not in bare]
    images = len({mark.image for mark in marks})
    files = ", ".join(dict.fromkeys(tool.path.name for tool in tools))
    sentence = f"{tools[0].format} ({files}), {images} images"
    if bare and not unlisted:
        sentence += (
            f"; {len(bare)} of them without a mark: they count as looked at, with nothing to mark (--unlisted: nobody "
            "looked)"
        )
    return marks, notes.faults, "; ".join([sentence, *notes.remarks])


def check_marks(
    manifest: Manifest,
    images: Sequence[str],
    marks: Sequence[Annotated],
    faults: list[Fault],
    remarks: list[tuple[str, str]],
    *,
    leave_out: bool,
) -> list[Annotated]:
    """Check marks as they will be drawn, so that their faults are known before anything is written.

    Args:
        manifest: the rows.
        images: every image of the folder.
        marks: the marks that were read.
        faults: the known faults; the faults found here are added to this list.
        remarks: list to which remarks on marks that are left out or scaled are added.
        leave_out: go on without the marks that have faults.

    Returns:
        The marks of images that have a row, and those whose image is not found.

    Raises:
        ManifestError: there are faults and `leave_out` is false, or no image with marks is left.
    """
    known = set(manifest.table["path"])
    whole = Images(images)
    marks = [mark for mark in marks if (path := _found(mark.image, whole)) is None or path in known]
    classes = dict(zip(manifest.table["path"], manifest.table["label"].fillna(""), strict=True))
    settled = settle(marks, Images(known), manifest.root, Naming(classes=classes))
    faults[:] = dict.fromkeys([*faults, *settled.faults])
    if faults and not leave_out:
        hint = "mend them, or take all others and leave these out (--leave-out)"
        raise ManifestError.of(faults, str(manifest.root), hint)
    if faults and not settled.marked:
        raise ManifestError.of([*faults, Fault(None, "annotations", "nothing is left to import")], str(manifest.root))
    if faults:
        count = f"{len(faults)} faults of marks, listed below"
        remarks.append(("left out", f"{count}; {len(settled.marked)} images have marks that can be drawn"))
    if settled.resized:
        where = f"first {settled.resized[0]}"
        remarks.append(("scaled", f"marks of {len(settled.resized)} images at another size of the same shape, {where}"))
    return marks


def _found(name: str, images: Images) -> str | None:
    try:
        return images.find(name)
    except SalignError:
        return None
