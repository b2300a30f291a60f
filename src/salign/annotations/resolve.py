"""Checking annotations against the images that exist, and deciding for each image its file, its size and its class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from salign.annotations.annotated import Annotated
from salign.annotations.draw import mask_at, scaled_to
from salign.annotations.match import Images
from salign.annotations.rle import Runs
from salign.class_names import names_in
from salign.data.manifest import Fault
from salign.data.manifest.image_files import same_name
from salign.data.reading.image import ImageError, image_size, shape_mismatch
from salign.errors import SalignError
from salign.maps.rasterize import covers
from salign.maps.shapes import Fixation, Shape, bounds


@dataclass
class MarkedImage:
    """One image with everybody's marks on it, in its own pixels."""

    path: str
    """The image's path, relative to the folder of the images."""
    size: tuple[int, int]
    """(H, W) of the upright image."""
    label: str = ""
    people: dict[str | None, list[Annotated]] = field(default_factory=dict)
    """The marks by annotator; the key is None for marks whose annotator the tool does not name."""


@dataclass
class Resolution:
    """The result of `settle`."""

    marked: list[MarkedImage]
    """The images with their marks."""
    faults: list[Fault]
    """Everything that is wrong with the annotations."""
    resized: list[str]
    """Paths of the images that were annotated at another size with the same aspect ratio; their marks were scaled."""


@dataclass(frozen=True)
class Naming:
    """How the labels of an annotation tool become the classes of images."""

    labels: Mapping[str, str] | None = None
    """The class for each label of the tool; "" leaves the label's marks out. Labels that are not listed are faults.
    None keeps all labels as they are."""
    classes: Mapping[str, str] | None = None
    """The class of each image by its path, if a manifest or folders give it. None takes the classes from the
    annotations."""
    default: str | None = None
    """The class of images whose annotations give none, such as blank ones, which have no mark with a label. None makes
    such images faults."""


def settle(annotated: Iterable[Annotated], images: Images, folder: Path, naming: Naming) -> Resolution:
    """Match annotations with images, check them, and give each image its class.

    Faults are: unknown labels, names that match no image or several, two names that match the same image, images that
    cannot be read, sizes whose aspect ratio differs by more than 1 % from the image's, marks that cover no pixel of
    their image, and classes that are missing or contradict each other. Whatever has a fault is left out of `marked`. A
    blank map therefore always means that somebody looked and marked nothing, never that marks could not be drawn.

    Args:
        annotated: the annotations, in any order.
        images: the known images below `folder`.
        folder: the folder of the images.
        naming: how labels become classes.
    """
    faults: list[Fault] = []
    marked: dict[str, MarkedImage] = {}
    names: dict[str, str] = {}
    resized: list[str] = []
    for name, marks in _group_by_name(_rename_labels(annotated, naming, faults)).items():
        where = _describe_image(name, marks)
        try:
            path = _find_image(name, marks, images)
            if names.setdefault(path, name) != name:
                marked.pop(path, None)
                raise SalignError(f"is the image {path}, and so is {names[path]!r}; rename one of the files")
            size = image_size(folder / path, where=path)
            fitting = [_fit_to_image(mark, size) for mark in marks]
            label = _class(path, fitting, naming)
        except (ImageError, SalignError) as error:
            faults.append(Fault(None, where, str(error)))
            continue
        if any(mark.size not in (None, size) for mark in marks):
            resized.append(path)
        valid = [touching for mark in fitting if (touching := _drop_outside(mark, size, where, faults)) is not None]
        if not valid:
            continue
        image = marked.setdefault(path, MarkedImage(path, size, label))
        for mark in valid:
            image.people.setdefault(mark.annotator, []).append(mark)
    return Resolution(
        [image for _, image in sorted(marked.items())], faults, [path for path in resized if path in marked]
    )


def _describe_image(name: str, marks: Sequence[Annotated]) -> str:
    """Return the name of an image for a fault, after its annotation file if all marks come from one file of its own."""
    sources = {mark.source for mark in marks}
    source = sources.pop() if len(sources) == 1 else None
    return name if source is None else f"{source}: {name}"


def _find_image(name: str, marks: Sequence[Annotated], images: Images) -> str:
    """Return the path of the image that is called `name`.

    Raises:
        SalignError: no single image has the name, or a file with the marks has the name of another image.
    """
    path = images.find(name)
    for source in sorted({mark.source for mark in marks if mark.source is not None}):
        other = _bearing(source, images)
        if other not in (None, path):
            raise SalignError(f"the image that it names is {path}, and its own name is that of {other}; rename one")
    return path


def _bearing(source: str, images: Images) -> str | None:
    """Return the image that has the name of an annotation file; None if no single image has it."""
    try:
        return images.find(PurePosixPath(source).with_suffix("").as_posix())
    except SalignError:
        return None


def _group_by_name(annotated: Iterable[Annotated]) -> dict[str, list[Annotated]]:
    groups: dict[str, list[Annotated]] = {}
    for mark in annotated:
        groups.setdefault(same_name(mark.image).replace("\\", "/").removeprefix("./"), []).append(mark)
    return groups


def _rename_labels(annotated: Iterable[Annotated], naming: Naming, faults: list[Fault]) -> list[Annotated]:
    """Replace the tool's labels by classes.

    An annotation whose label is to be left out loses its marks and stays as a blank one, since somebody looked at the
    image. An annotation with an unknown label is left out and noted as a fault.
    """
    if naming.labels is None:
        return list(annotated)
    renamed: list[Annotated] = []
    strange: dict[str, list[str]] = {}
    for mark in annotated:
        unknown = {label for label in (mark.label, *mark.image_labels) if label is not None} - naming.labels.keys()
        if unknown:
            for label in unknown:
                strange.setdefault(label, []).append(mark.image)
            continue
        ours = mark.label and (naming.labels[mark.label] or None)
        whole = tuple(name for name in map(naming.labels.__getitem__, mark.image_labels) if name)
        bare = replace(mark, shapes=(), mask=None) if mark.label is not None and ours is None else mark
        renamed.append(replace(bare, label=ours, image_labels=whole))
    for name, where in sorted(strange.items()):
        message = f"{len(where)} times, first on {where[0]}; name it ({name}=CLASS), or leave it out ({name}=)"
        faults.append(Fault(None, f"unknown label {name!r}", message))
    return renamed


def _fit_to_image(mark: Annotated, size: tuple[int, int]) -> Annotated:
    """Scale marks to an image of `size` (H, W).

    Raises:
        SalignError: shapes that should be in pixels lie within 0 and 1, or the size according to the tool has another
            aspect ratio than the image.
    """
    if not mark.relative and (tiny := next(filter(_is_of_shares, mark.shapes), None)) is not None:
        raise SalignError(f"{_describe(tiny)} is within 0 and 1, as shares of width and height are; expected pixels")
    own = (1, 1) if mark.relative else mark.size or size
    if not mark.relative and shape_mismatch(own, size):
        turned = "; the tool saw the picture without its EXIF turn" if own == size[::-1] else ""
        raise SalignError(
            f"annotated at {own[1]} x {own[0]} pixels, and the image is {size[1]} x {size[0]}: not the same shape "
            f"(1 % is allowed){turned}"
        )
    return scaled_to(mark, size)


def _is_of_shares(shape: Shape) -> bool:
    return not isinstance(shape, Fixation) and all(0 <= number <= 1 for number in bounds(shape))


def _drop_outside(mark: Annotated, size: tuple[int, int], name: str, faults: list[Fault]) -> Annotated | None:
    """Leave out the shapes that cover no pixel of the image, and note a fault for each.

    Returns:
        The mark without these shapes. None if shapes were left out and none that draws is left, if it has fixations and
        none of them lies on the image for any time, or if its mask, as run lengths, marks no pixel.
    """
    missed = [shape for shape in mark.shapes if not _touches(shape, size)]
    for shape in missed:
        x0, y0, x1, y1 = bounds(shape)
        within = x0 < size[1] and y0 < size[0] and x1 > 0 and y1 > 0
        why = "is too thin: it holds the centre of no pixel" if within else "lies outside"
        faults.append(Fault(None, name, f"{_describe(shape)} {why}; the image has {size[1]} x {size[0]} pixels"))
    looked = [shape for shape in mark.shapes if isinstance(shape, Fixation)]
    unseen = looked and not any(0 <= at.x < size[1] and 0 <= at.y < size[0] and at.duration > 0 for at in looked)
    empty = isinstance(mark.mask, Runs) and not mask_at(mark.mask, size).any()
    if unseen:
        faults.append(Fault(None, name, f"none of {len(looked)} fixations is on the image for any time"))
    if empty:
        faults.append(Fault(None, name, f"a mask holds no pixel of the image, which has {size[1]} x {size[0]}"))
    shapes = tuple(shape for shape in mark.shapes if shape not in missed)
    only_erasers = missed and all(shape.erase for shape in shapes)
    return None if unseen or empty or only_erasers else replace(mark, shapes=shapes) if missed else mark


def _touches(shape: Shape, size: tuple[int, int]) -> bool:
    return isinstance(shape, Fixation) or shape.erase or covers(shape, size)


def _describe(shape: Shape) -> str:
    x0, y0, x1, y1 = bounds(shape)
    return f"the {type(shape).__name__.lower()} from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"


def _class(path: str, marks: Sequence[Annotated], naming: Naming) -> str:
    whole = sorted({name for mark in marks for name in mark.image_labels})
    labels = whole or sorted({mark.label for mark in marks if mark.label})
    if naming.classes is not None:
        own = naming.classes[path]
        known = {name for cell in set(naming.classes.values()) for name in names_in(cell)}
        other = [label for label in labels if (known & set(names_in(label))) - set(names_in(own))]
        if other:
            raise SalignError(f"annotated as {', '.join(map(repr, other))}, and its class is {own!r}")
        return own
    if len(labels) > 1:
        raise SalignError(
            f"has the labels {', '.join(labels)}: which is its class? Map them to one, leave some out, or take the "
            "classes from a manifest or from folders"
        )
    if not labels and naming.default is None:
        raise SalignError("no label says its class: take classes from a manifest or from folders, or give a default")
    return labels[0] if labels else str(naming.default)
