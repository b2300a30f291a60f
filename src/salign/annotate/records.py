"""An annotation as the page sends it: checked field by field, then against the study and the task."""

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
    """What a caller sent is not right: the sentence is for the page. Other errors are for the log of the server."""


class Annotation(BaseModel):
    """What an annotator says of one task."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: Annotated[str, Field(max_length=20)]
    answer: str | None = None
    """One of the study's classes."""
    side: Literal[0, 1] | None = None
    """Pair mode: which picture was chosen, 0 = the first."""
    shapes: list[dict[str, Any]] = []
    """As `salign.maps.shapes` reads them; in pair mode each with a key `image`, 0 or 1."""
    sizes: Annotated[list[_Size], Field(max_length=2)] | None = None
    """[height, width] of each image as it was shown, in whose pixels the shapes are; an older page says nothing."""
    blank: bool = False
    """Looked and found nothing to mark."""
    skipped: str | None = None
    """Why it was skipped; None = it was not."""
    confidence: Annotated[int, Field(ge=1, le=5)] | None = None
    elapsed_ms: Annotated[float, Field(ge=0, le=_WEEK, allow_inf_nan=False)]
    """From the image's appearance to this save."""
    review: Literal["accept", "edit", "reject"] | None = None
    draft: Annotated[int, Field(ge=0, lt=1000)] | None = None
    """Which of the drafts was judged."""
    base: Annotated[int, Field(ge=0, lt=2**31)]
    """The revision this one changes; 0 = none."""
    started: Annotated[str, Field(max_length=40)] | None = None
    """When the image was shown, ISO 8601, by the annotator's clock."""
    version: Annotated[str, Field(max_length=40)] = ""
    """Version of the page."""


def read_name(value: Any) -> str:
    """The name of an annotator: 1 to 80 characters that can be printed, however its letters were composed.

    Raises:
        Mistaken: anything else.
    """
    name = unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else ""
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Mistaken("name: expected 1 to 80 printable characters")
    return name


def refuse_control(name: str, text: str) -> None:
    """Insist on a text without control characters but tabs and ends of lines.

    A lone carriage return ends a row of an exported table for whoever reads it.

    Raises:
        Mistaken: there is one.
    """
    for sign in text:
        if unicodedata.category(sign) == "Cc" and sign not in "\t\n":
            raise Mistaken(f"{name}: expected no control characters, got {sign!r}")


def read_key(text: str) -> str:
    """The key of a save in one spelling.

    Raises:
        Mistaken: it is not a UUID.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Mistaken("the key of a save is a UUID") from None


def read_json(content: bytes) -> Any:
    """Parse a body: UTF-8 JSON without NaN, Infinity or broken characters.

    Raises:
        Mistaken: anything else.
    """
    try:
        return parse_json(content.decode("utf-8"), "the body")
    except UnicodeDecodeError as error:
        raise Mistaken(f"the body is not text in UTF-8: {error.reason}") from None
    except SalignError as error:
        raise Mistaken(str(error)) from None


def read_fields(model: type[Fields], value: Any) -> Fields:
    """Check what a page sent field by field.

    Raises:
        Mistaken: names the first fault.
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
    """Check the fields of an annotation by themselves.

    Texts have at most `limit` characters, and those that are none of the study's classes pass `refuse_control`.

    Raises:
        Mistaken: names the first fault.
    """
    annotation = read_fields(Annotation, value)
    for name in ("answer", "skipped"):
        if len(getattr(annotation, name) or "") > limit:
            raise Mistaken(f"{name}: at most {limit} characters, got {len(getattr(annotation, name))}")
    for name in ("skipped", "started", "version"):
        refuse_control(name, getattr(annotation, name) or "")
    return annotation


def shapes_of(shapes: Sequence[dict[str, Any]], images: int = 1) -> list[tuple[int, Shape]]:
    """The shapes of an annotation, each with the number of its image (0 unless there are two).

    Raises:
        Mistaken: a shape that cannot be read, that is no area, or of an image that is not there.
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
    """Check an annotation against what was asked.

    Args:
        annotation: with fields that are right by themselves.
        study: what was asked.
        classes: the answers there are.
        images: images of the task.
        drafts: drafts that were shown.

    Raises:
        Mistaken: names the first fault.
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
