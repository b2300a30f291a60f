"""What annotations say, settled against the images there are: file, size, class."""

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
class Marked:
    """One image with everybody's marks on it, in its own pixels."""

    path: str
    """Relative to the folder of the images."""
    size: tuple[int, int]
    """(H, W), upright."""
    label: str = ""
    people: dict[str | None, list[Annotated]] = field(default_factory=dict)
    """Marks by annotator; None where the tool does not say who."""


@dataclass
class Settled:
    """Images with their marks; what is wrong; and what was scaled."""

    marked: list[Marked]
    faults: list[Fault]
    resized: list[str]
    """Images annotated at another size of the same shape; their marks were scaled."""


@dataclass(frozen=True)
class Naming:
    """How labels become classes."""

    labels: Mapping[str, str] | None = None
    """The tool's to ours; "" leaves the marks out. Every other label is a fault. None keeps all labels as they are."""
    classes: Mapping[str, str] | None = None
    """Class of each image by its path, where a manifest or folders say it; None = the annotations do."""
    default: str | None = None
    """Class of images for which the annotations say none (a blank one has no mark with a label)."""


def settle(annotated: Iterable[Annotated], images: Images, folder: Path, naming: Naming) -> Settled:
    """Match, check and name.

    Faults are: labels that are not known, names without an image or with several, two names of one image, images that
    cannot be read, sizes that disagree by more than 1 % in shape, marks that cover no pixel of their image, and classes
    that are missing or contradict each other. What they concern is left out of `marked`: a blank map is one of an image
    that was looked at and not marked, and never what is left of marks that could not be drawn.

    Args:
        annotated: in any order.
        images: what there is below the folder.
        folder: where the images are.
        naming: how labels become classes.
    """
    faults: list[Fault] = []
    found: dict[str, Marked] = {}
    names: dict[str, str] = {}
    resized: list[str] = []
    for name, marks in _by_name(_named(annotated, naming, faults)).items():
        where = _place(name, marks)
        try:
            path = _found(name, marks, images)
            if names.setdefault(path, name) != name:
                found.pop(path, None)
                raise SalignError(f"is the image {path}, and so is {names[path]!r}; rename one of the files")
            size = image_size(folder / path, where=path)
            fitting = [_fitted(one, size) for one in marks]
            label = _class(path, fitting, naming)
        except (ImageError, SalignError) as error:
            faults.append(Fault(None, where, str(error)))
            continue
        if any(one.size not in (None, size) for one in marks):
            resized.append(path)
        kept = [touching for one in fitting if (touching := _touching(one, size, where, faults)) is not None]
        if not kept:
            continue
        image = found.setdefault(path, Marked(path, size, label))
        for one in kept:
            image.people.setdefault(one.annotator, []).append(one)
    return Settled([image for _, image in sorted(found.items())], faults, resized)


def _place(name: str, marks: Sequence[Annotated]) -> str:
    """The file of annotations, where the image has one of its own, and the name of the image."""
    sources = {one.source for one in marks}
    source = sources.pop() if len(sources) == 1 else None
    return name if source is None else f"{source}: {name}"


def _found(name: str, marks: Sequence[Annotated], images: Images) -> str:
    """The image that is called `name`, if no file that says so bears the name of another one."""
    path = images.find(name)
    for source in sorted({one.source for one in marks if one.source is not None}):
        other = _bearing(source, images)
        if other not in (None, path):
            raise SalignError(f"the image that it names is {path}, and its own name is that of {other}; rename one")
    return path


def _bearing(source: str, images: Images) -> str | None:
    """The image that has the name of a file, if there is one."""
    try:
        return images.find(PurePosixPath(source).with_suffix("").as_posix())
    except SalignError:
        return None


def _by_name(annotated: Iterable[Annotated]) -> dict[str, list[Annotated]]:
    found: dict[str, list[Annotated]] = {}
    for one in annotated:
        found.setdefault(same_name(one.image).replace("\\", "/").removeprefix("./"), []).append(one)
    return found


def _named(annotated: Iterable[Annotated], naming: Naming, faults: list[Fault]) -> list[Annotated]:
    """With our labels; marks to leave out are taken away, and the image stays as looked at."""
    if naming.labels is None:
        return list(annotated)
    kept: list[Annotated] = []
    strange: dict[str, list[str]] = {}
    for one in annotated:
        unknown = {label for label in (one.label, *one.image_labels) if label is not None} - naming.labels.keys()
        if unknown:
            for label in unknown:
                strange.setdefault(label, []).append(one.image)
            continue
        ours = one.label and (naming.labels[one.label] or None)
        whole = tuple(name for name in map(naming.labels.__getitem__, one.image_labels) if name)
        bare = replace(one, shapes=(), mask=None) if one.label is not None and ours is None else one
        kept.append(replace(bare, label=ours, image_labels=whole))
    for name, where in sorted(strange.items()):
        message = f"{len(where)} times, first on {where[0]}; name it ({name}=CLASS), or leave it out ({name}=)"
        faults.append(Fault(None, f"unknown label {name!r}", message))
    return kept


def _fitted(one: Annotated, size: tuple[int, int]) -> Annotated:
    """The marks in pixels of an image of this size (H, W)."""
    if not one.relative and (tiny := next(filter(_is_of_shares, one.shapes), None)) is not None:
        raise SalignError(f"{_called(tiny)} is within 0 and 1, as shares of width and height are; expected pixels")
    given = (1, 1) if one.relative else one.size or size
    if not one.relative and shape_mismatch(given, size):
        turned = "; the tool saw the picture without its EXIF turn" if given == size[::-1] else ""
        raise SalignError(
            f"annotated at {given[1]} x {given[0]} pixels, and the image is {size[1]} x {size[0]}: not the same shape "
            f"(1 % is allowed){turned}"
        )
    return scaled_to(one, size)


def _is_of_shares(shape: Shape) -> bool:
    return not isinstance(shape, Fixation) and all(0 <= number <= 1 for number in bounds(shape))


def _touching(one: Annotated, size: tuple[int, int], name: str, faults: list[Fault]) -> Annotated | None:
    """Without the marks that cover no pixel of the image, which are faults; None where only such were there."""
    missed = [shape for shape in one.shapes if not _touches(shape, size)]
    for shape in missed:
        x0, y0, x1, y1 = bounds(shape)
        within = x0 < size[1] and y0 < size[0] and x1 > 0 and y1 > 0
        why = "is too thin: it holds the centre of no pixel" if within else "lies outside"
        faults.append(Fault(None, name, f"{_called(shape)} {why}; the image has {size[1]} x {size[0]} pixels"))
    looked = [shape for shape in one.shapes if isinstance(shape, Fixation)]
    unseen = looked and not any(0 <= at.x < size[1] and 0 <= at.y < size[0] and at.duration > 0 for at in looked)
    empty = isinstance(one.mask, Runs) and not mask_at(one.mask, size).any()
    if unseen:
        faults.append(Fault(None, name, f"none of {len(looked)} fixations is on the image for any time"))
    if empty:
        faults.append(Fault(None, name, f"a mask holds no pixel of the image, which has {size[1]} x {size[0]}"))
    kept = tuple(shape for shape in one.shapes if shape not in missed)
    return None if unseen or empty or (missed and not kept) else replace(one, shapes=kept) if missed else one


def _touches(shape: Shape, size: tuple[int, int]) -> bool:
    return isinstance(shape, Fixation) or shape.erase or covers(shape, size)


def _called(shape: Shape) -> str:
    x0, y0, x1, y1 = bounds(shape)
    return f"the {type(shape).__name__.lower()} from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"


def _class(path: str, marks: Sequence[Annotated], naming: Naming) -> str:
    whole = sorted({name for one in marks for name in one.image_labels})
    said = whole or sorted({one.label for one in marks if one.label})
    if naming.classes is not None:
        known, own = set(naming.classes.values()), naming.classes[path]
        other = [label for label in said if label in known and label not in names_in(own)]
        if other:
            raise SalignError(f"annotated as {', '.join(map(repr, other))}, and its class is {own!r}")
        return own
    if len(said) > 1:
        raise SalignError(
            f"has the labels {', '.join(said)}: which is its class? Map them to one, leave some out, or take the "
            "classes from a manifest or from folders"
        )
    if not said and naming.default is None:
        raise SalignError("no label says its class: take classes from a manifest or from folders, or give a default")
    return said[0] if said else str(naming.default)
