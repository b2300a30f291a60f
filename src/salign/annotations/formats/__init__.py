"""The formats of annotation tools and eye trackers, most of them in a module of their own.

Each reader returns a list of `Annotated`, from which `salign.annotations.write.write_annotated` makes maps and a
manifest.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from salign.errors import SalignError, one_of

if TYPE_CHECKING:
    from salign.annotations.annotated import Annotated
    from salign.annotations.formats.notes import Notes, Reader


class Format(NamedTuple):
    """A format of annotations; its module is imported when it is used."""

    module: str
    """Name of the module in this package."""
    reads: str
    """What the reader reads, in one line."""
    exports: Literal["file", "folder"] | None = None
    """Whether `write_...` makes a file or a folder; None if the format cannot be exported."""
    function: str | None = None
    """The part of the functions' names after `read_` and `write_`; None stands for the name of the module."""

    @property
    def reader(self) -> Reader[...]:
        """The function `read_...(path, **options) -> list[Annotated]` of the format's module."""
        function: Reader[...] = self._function("read")
        return function

    @property
    def writer(self) -> Callable[[Sequence[Annotated], Path], Path]:
        """The function `write_...(annotated, out)` of the format's module, which returns the path it has written.

        Raises:
            SalignError: the format cannot be exported.
        """
        if not self.exports:
            names = ", ".join(name for name, kind in ANNOTATION_FORMATS.items() if kind.exports)
            raise SalignError(f"{self.module} is read, not written; exports are {names}")
        return self._function("write")

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the reader's options."""
        return self.reader.options

    def read(self, path: Path | str, notes: Notes | None = None, **options: Any) -> list[Annotated]:
        """Read annotations with the format's reader.

        Args:
            path: the file or folder that the tool wrote.
            notes: collects the faults of entries, which are then left out, and remarks for the user. If None, all
                faults are raised together, and remarks become warnings.
            options: the reader's options; options that are None are left at their defaults.

        Raises:
            SalignError: the format has no such option, a file cannot be opened, or the reader raises it.
        """
        arguments = {name: value for name, value in options.items() if value is not None}
        if strange := sorted(arguments.keys() - set(self.options)):
            has = f"it takes {', '.join(self.options)}" if self.options else "it takes none"
            raise SalignError(f"{self.module} has no option {', '.join(strange)}; {has}")
        try:
            if notes is None:
                return self.reader(Path(path), **arguments)
            return self.reader.noting(Path(path), notes, **arguments)
        except OSError as error:  # no permission to read the file, or its name is too long
            raise SalignError(f"{path} cannot be read: {str(error)[:300]}") from error

    def _function(self, verb: str) -> Any:
        module = importlib.import_module(f"{__name__}.{self.module}")
        return getattr(module, f"{verb}_{self.function or self.module}")


ANNOTATION_FORMATS: dict[str, Format] = {
    "labelme": Format("labelme", "a JSON file per image: polygons, boxes, circles, lines, points, masks", "folder"),
    "coco": Format("coco", "instances JSON: polygons, run lengths as list or string, boxes", "file"),
    "cvat": Format("cvat", "CVAT for images 1.1 (XML): polygons, boxes, ellipses, masks, lines, points", "file"),
    "label-studio": Format("label_studio", "JSON export: polygons, rectangles, ellipses, key points, brush masks"),
    "via": Format("via", "VIA 2 project, JSON or CSV: rect, polygon, ellipse, circle, polyline, point"),
    "voc": Format("voc", "Pascal VOC: an XML file per image, boxes"),
    "yolo": Format("yolo", "a text file per image: boxes or polygons, and the names of the classes", "folder"),
    "boxes": Format("box_table", "a CSV row per box: NIH BBox_List_2017, RSNA stage_2_train_labels and their like"),
    "eyetagger": Format("eyetagger", "saved api/annotations (PNG, SVG or fabric.js canvas), or a folder of SVG"),
    "fixations": Format("fixations", "a CSV row per fixation: x, y, duration, subject; pixels, screen or degrees"),
    "reflacx": Format("fixations", "REFLACX's metadata with its fixations, zoom windows included", function="reflacx"),
    "masks": Format("mask_folder", "a folder of masks or grey maps with the names of the images", function="masks"),
    "arrays": Format("arrays", "NumPy: a folder of .npy, a stack in a .npy, or a .npz"),
}
"""The formats by name."""


def annotation_format(name: str) -> Format:
    """Return the format with a name.

    Raises:
        SalignError: there is no such format; the message lists the formats.
    """
    one_of(name, ANNOTATION_FORMATS, "format of annotations")
    return ANNOTATION_FORMATS[name]


__all__ = ["ANNOTATION_FORMATS", "Format", "annotation_format"]
