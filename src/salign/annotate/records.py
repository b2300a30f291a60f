"""An annotation as the page sends it, and the checks on it: first of each field alone, then against study and task."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salign.annotate.study import Study
from salign.errors import SalignError
from salign.maps.shapes import Fixation, Shape, Stroke, shape_from_json
from salign.readers import parse_json

_WEEK = 7 * 24 * 3600 * 1000.0
_MOST_POINTS = 200_000


_Side = Annotated[int, Field(ge=1, lt=2**31)]
_Size = Annotated[list[_Side], Field(min_length=2, max_length=2)]


Fields = TypeVar("Fields", bound=BaseModel)


class Mistaken(SalignError):
    """The request of a caller is wrong. The page shows the message; other errors go only to the log of the server."""


class Annotation(BaseModel):
    """One annotator's answer to one task, with the marks."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: Annotated[str, Field(max_length=20)]
    answer: str | None = None
    """One of the study's classes."""
    side: Literal[0, 1] | None = None
    """In pair mode, the index of the chosen image in the order in which the annotator saw the two."""
    shapes: list[dict[str, Any]] = []
    """The shapes in the form that `salign.maps.shapes` reads. In pair mode each has a key `image`, which is 0 or 1."""
    sizes: Annotated[list[_Size], Field(max_length=2)] | None = None
    """[height, width] of each image when it was shown; the shapes are in these pixels. Older pages do not send it."""
    blank: bool = False
    """The annotator looked and found nothing to mark."""
    skipped: str | None = None
    """The reason for which the task was skipped; None if it was not skipped."""
    confidence: Annotated[int, Field(ge=1, le=5)] | None = None
    elapsed_ms: Annotated[float, Field(ge=0, le=_WEEK, allow_inf_nan=False)]
    """Milliseconds from the appearance of the image to this save."""
    review: Literal["accept", "edit", "reject"] | None = None
    draft: Annotated[int, Field(ge=0, lt=1000)] | None = None
    """Index of the draft that was judged."""
    base: Annotated[int, Field(ge=0, lt=2**31)]
    """Number of the revision that this save changes; 0 if it is the first save."""
    started: Annotated[str, Field(max_length=40)] | None = None
    """Time at which the image was shown, in ISO 8601, by the annotator's clock."""
    version: Annotated[str, Field(max_length=40)] = ""
    """Version of the page."""


def read_name(value: Any) -> str:
    """Return the name of an annotator in Unicode form NFC, without surrounding spaces.

    Raises:
        Mistaken: the value is not a text of 1 to 80 printable characters.
    """
    name = unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else ""
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Mistaken("name: expected 1 to 80 printable characters")
    return name


def refuse_control(name: str, text: str) -> None:
    """Refuse a text with control characters other than tabs and line feeds.

    A lone carriage return, for example, would end a row of an exported table in the programs that read it.

    Raises:
        Mistaken: the text has such a control character.
    """
    for sign in text:
        if unicodedata.category(sign) == "Cc" and sign not in "\t\n":
            raise Mistaken(f"{name}: expected no control characters, got {sign!r}")


def read_key(text: str) -> str:
    """Return the key of a save, a UUID, in its standard spelling.

    Raises:
        Mistaken: the text is not a UUID.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Mistaken("the key of a save is a UUID") from None


def read_json(content: bytes) -> Any:
    """Parse the body of a request, which is JSON in UTF-8 without NaN, Infinity or broken characters.

    Raises:
        Mistaken: the body is anything else.
    """
    try:
        return parse_json(content.decode("utf-8"), "the body")
    except UnicodeDecodeError as error:
        raise Mistaken(f"the body is not text in UTF-8: {error.reason}") from None
    except SalignError as error:
        raise Mistaken(str(error)) from None


def read_fields(model: type[Fields], value: Any) -> Fields:
    """Check the JSON object that a page sent against a pydantic model.

    Raises:
        Mistaken: a field is wrong, or the value is not an object. The message names the first fault.
    """
    if not isinstance(value, dict):
        raise Mistaken("expected a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part)[:40] for part in fault["loc"])
        raise Mistaken(f"{key}: {fault['msg'][:200]}") from None


def read_annotation(value: Any, limit: int) -> Annotation:
    """Check each field of an annotation by itself, without the study.

    `answer` and `skipped` may have at most `limit` characters. All texts but `answer`, which must be one of the study's
    classes anyway, must pass `refuse_control`.

    Raises:
        Mistaken: a field is wrong. The message names the first fault.
    """
    annotation = read_fields(Annotation, value)
    for name in ("answer", "skipped"):
        if len(getattr(annotation, name) or "") > limit:
            raise Mistaken(f"{name}: at most {limit} characters, got {len(getattr(annotation, name))}")
    for name in ("skipped", "started", "version"):
        refuse_control(name, getattr(annotation, name) or "")
    return annotation


def shapes_of(shapes: Sequence[dict[str, Any]], images: int = 1) -> list[tuple[int, Shape]]:
    """Return the shapes of an annotation, each with the index of its image, which is 0 unless the task has two images.

    Raises:
        Mistaken: a shape cannot be read, is a fixation and so has no area, or names an image that the task lacks.
    """
    pairs: list[tuple[int, Shape]] = []
    for number, value in enumerate(shapes):
        image = value.get("image", None if images > 1 else 0)
        if isinstance(image, bool) or not isinstance(image, int) or not 0 <= image < images:
            raise Mistaken(f"shapes.{number}: image must be 0 to {images - 1}")
        try:
            shape = shape_from_json({key: part for key, part in value.items() if key != "image"})
        except SalignError as error:
            raise Mistaken(f"shapes.{number}: {error}") from None
        if isinstance(shape, Fixation):
            raise Mistaken(f"shapes.{number}: a fixation is no area that can be painted")
        pairs.append((image, shape))
    return pairs


def _is_window(shape: Shape) -> bool:
    return isinstance(shape, Stroke) and len(shape.points) == 1 and shape.times is not None and not shape.erase


def check_annotation(annotation: Annotation, study: Study, classes: Sequence[str], images: int, drafts: int) -> None:
    """Check an annotation against the study and the task.

    Args:
        annotation: the annotation, whose fields `read_annotation` has checked.
        study: the study.
        classes: the classes that are possible answers.
        images: number of images of the task.
        drafts: number of drafts that were shown.

    Raises:
        Mistaken: the annotation does not fit. The message names the first fault.
    """
    if len(annotation.shapes) > study.limits.shapes:
        raise Mistaken(f"shapes: at most {study.limits.shapes}, got {len(annotation.shapes)}")
    shapes = shapes_of(annotation.shapes, images)
    if sum(len(getattr(shape, "points", ())) for _, shape in shapes) > _MOST_POINTS:
        raise Mistaken(f"shapes: at most {_MOST_POINTS} points in all")
    if study.mode == "reveal" and not all(_is_window(shape) for _, shape in shapes):
        raise Mistaken("shapes: in mode reveal each is a window: a stroke of one point, with the time of the click")
    if annotation.answer is not None and annotation.answer not in classes:
        raise Mistaken(f"answer: {annotation.answer[:40]!r} is none of the study's classes")
    if annotation.skipped is not None:
        return
    if annotation.sizes is not None and len(annotation.sizes) != images:
        raise Mistaken(f"sizes: expected one for each of {images} images, got {len(annotation.sizes)}")
    painted = any(not shape.erase for _, shape in shapes)
    if annotation.blank and painted:
        raise Mistaken("blank: nothing to mark, and yet there are marks")
    if annotation.blank and study.mode == "reveal":
        raise Mistaken("blank: in mode reveal people look; they say nothing of marks")
    if study.mode == "pair" and annotation.side is None:
        raise Mistaken("side: which of the two pictures is missing")
    if study.mode != "pair" and annotation.side is not None:
        raise Mistaken("side: only pairs have sides")
    if study.mode not in ("pair", "review") and classes and annotation.answer is None:
        raise Mistaken("answer: one of the classes is missing")
    if study.mode == "review":
        if annotation.review is None:
            raise Mistaken("review: accept, edit or reject is missing")
        if annotation.draft is None or annotation.draft >= drafts:
            raise Mistaken(f"draft: 0 to {drafts - 1} is missing")
    elif annotation.review is not None:
        raise Mistaken("review: this study has nothing to review")
    needs_map = study.require_map and annotation.review not in ("accept", "reject")
    if needs_map and not painted and not annotation.blank:
        raise Mistaken("shapes: mark what supports the answer, or say that there is nothing to mark")
