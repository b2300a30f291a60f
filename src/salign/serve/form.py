"""The images in a request: its body, or the files of a form."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from salign.web.guard import Refusal

_LONGEST_NAME = 100


class Upload(NamedTuple):
    """A file as it was sent."""

    name: str
    content: bytes


async def read_uploads(request: Request, most: int) -> list[Upload]:
    """Return the files in a request.

    Args:
        request: the request. In a form (`multipart/form-data`) each part is a file; for any other content type, the
            body is one file.
        most: largest number of files that are accepted.

    Raises:
        Refusal: the form is damaged, a part is not a file, there are no contents, or there are too many files.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = kind == "multipart/form-data"
    uploads = await _read_form(request, most) if form else [Upload("image", await request.body())]
    if not any(upload.content for upload in uploads):
        raise Refusal(400, "expected the bytes of an image, or a form with files (multipart/form-data); nothing came")
    return uploads


async def _read_form(request: Request, most: int) -> list[Upload]:
    if not (await request.body()).rstrip().endswith(b"--"):  # the parser silently leaves out a part that is cut off
        raise Refusal(400, "the form (multipart/form-data) is damaged or cut off: its last boundary is missing")
    try:
        async with request.form(max_files=most, max_fields=most) as form:
            parts = [part for _, part in form.multi_items()]
            files = [part for part in parts if isinstance(part, UploadFile)]
            if len(files) < len(parts):
                raise Refusal(400, "a part of the form is no file; send images alone, each with a file name")
            return [
                Upload(_plain_name(file.filename or "") or f"image {number}", await file.read())
                for number, file in enumerate(files, 1)
            ]
    except HTTPException as error:
        raise Refusal(400, f"the form (multipart/form-data) is refused: {error.detail}") from error


def _plain_name(name: str) -> str:
    """Return a file name without folders and unprintable characters, of at most `_LONGEST_NAME` characters."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(char for char in last if char.isprintable())[:_LONGEST_NAME]
