"""EyeTagger (lucaspar/eyetagger): the list that its REST API `api/annotations` returns, saved as JSON; or SVG files.

EyeTagger's source is public, but there is no description of its data. It stores `annotator`, `image` and, in
`annotation`, the canvas as a PNG in a data URI, which has the image's size and is transparent where nothing was
painted. Strokes are painted with an alpha of 85 (`#0f05`, earlier `#f005`). A pixel is marked from half of that alpha
on, i.e. if at least half of it is covered. A fully transparent picture says that nothing was marked; an empty text says
that nothing was stored.

EyeTagger's drawing library, fabric.js, can also save a canvas as an object or as SVG. Both are read in any place, in
their plainest form: free-drawn paths of lines and curves (M, L, H, V, Q, C, Z) with a stroke width, in SVG moved and
scaled by `matrix`, `translate` and `scale`. In a folder of `.svg` files, the name of a file is the name of its image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import Field, read_json
from salign.annotations.formats.labelme import decoded_png
from salign.annotations.formats.notes import Notes, Reader, read_each
from salign.annotations.formats.svg import fabric_strokes, strokes_in
from salign.annotations.formats.xml import parse, root_of
from salign.annotations.rle import Runs
from salign.errors import SalignError
from salign.maps.shapes import Shape
from salign.readers import parse_json

HALF_ALPHA = 43
"""Half of the brush's alpha of 85, rounded up; alpha goes from 0 to 255."""


@Reader
def read_eyetagger(path: Path, notes: Notes) -> list[Annotated]:
    """Read the saved list, one `.svg`, or every `.svg` of a folder and the folders below.

    Faults are entries, or files of a folder, that are damaged or hold something that no EyeTagger canvas holds.

    Args:
        path: the file or folder.
        notes: collects the faults.

    Raises:
        SalignError: the file is damaged, or the folder has no `.svg` file.
    """
    if path.is_dir() or path.suffix.lower() == ".svg":
        return read_each(path, ".svg", notes, lambda file, where: [_svg_file(file, where)])
    content = read_json(path)
    listed = content.get("results") if isinstance(content.value, dict) else content
    if listed is None:
        content.fail("the list of annotations that api/annotations gives")
    return notes.each(path.name, listed.each(), _entry)[0]


def _svg_file(path: Path, where: str) -> Annotated:
    shapes, size = strokes_in(root_of(path), path.name)
    return Annotated(PurePosixPath(where).with_suffix("").as_posix(), size, shapes=tuple(shapes))


def _entry(entry: Field) -> list[Annotated]:
    image, who = entry["image"].name(), entry.get("annotator")
    annotator = who.name() if who else None
    stored = entry.get("annotation")
    if stored is None or stored.value == "":
        return []
    if isinstance(stored.value, dict):
        return [Annotated(image, shapes=tuple(fabric_strokes(stored)), annotator=annotator)]
    if not isinstance(stored.value, str):
        stored.fail("a picture as a data address, SVG or a fabric.js canvas")
    text = stored.value.lstrip()
    if text.startswith("data:image/png;base64,"):
        mask = stored.make(_painted, text.partition(",")[2])
        return [Annotated(image, mask.size, mask=mask if mask.pixels else None, annotator=annotator)]
    if text.startswith("<"):
        shapes, size = strokes_in(parse(text.encode("utf-8", "replace"), stored.where), stored.where)
        return [Annotated(image, size, shapes=tuple(shapes), annotator=annotator)]
    strokes: Sequence[Shape] = fabric_strokes(Field(parse_json(text, stored.where), "annotation", entry))
    return [Annotated(image, shapes=tuple(strokes), annotator=annotator)]


def _painted(text: str) -> Runs:
    picture = decoded_png(text)
    if picture.mode not in ("RGBA", "LA"):
        raise SalignError(f"expected a transparent picture with strokes, got one of the kind {picture.mode}")
    return Runs.of(np.asarray(picture.getchannel("A")) >= HALF_ALPHA)
