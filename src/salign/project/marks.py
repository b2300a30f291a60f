"""The marks of people in a folder, read by the importers of `salign maps import`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from salign.annotations.annotated import Annotated
from salign.annotations.formats import annotation_format
from salign.annotations.formats.fixations import Gaze
from salign.annotations.formats.mask_folder import read_listed
from salign.annotations.formats.notes import Notes
from salign.data.manifest import Fault
from salign.data.manifest.image_files import stem
from salign.project.look import Tool
from salign.project.pictures import Maps

Marks = tuple[list[Annotated], list[Fault], str]
"""Marks, faults, and a sentence about them."""


def read_maps(folder: Path, maps: Maps) -> Marks:
    """Pictures that are maps of images."""
    notes = Notes()
    read = read_listed(folder, list(maps.images), notes, values="nonzero" if maps.nonzero else "grey")
    images = {stem(path): image for path, image in maps.images.items()}
    marks = [replace(mark, image=images[mark.image], source=None) for mark in read]
    named = {"*": "beside the images, named NAME", "n": ""}.get(maps.kind[0], "in ") + maps.kind.removeprefix("*")
    sentence = f"{len(maps.images)} masks {named}, of {len(set(maps.images.values()))} images"
    if maps.nonzero:
        sentence += "; they hold numbers or colours, so that all that is not black is taken as marked"
    return marks, notes.faults, "; ".join([sentence, *notes.remarks])


def read_tools(folder: Path, tools: Sequence[Tool], *, unlisted: bool, sigma: float | None = None) -> Marks:
    """Files of one annotation tool; names of images begin in the folder of the file, where images lie beside it.

    Args:
        folder: where the paths of images begin.
        tools: files of one format.
        unlisted: images without a mark were not looked at.
        sigma: standard deviation of the Gaussian of a fixation, in the pixels of x and y.
    """
    notes, marks = Notes(), []
    options = {} if sigma is None else {"gaze": Gaze(sigma=sigma)}
    for tool in tools:
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
