"""The images of a request: its body, or the files of a form."""

from __future__ import annotations

from email.message import Message
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import NamedTuple

from salign.web.guard import Refusal

_LONGEST_NAME = 100


class Upload(NamedTuple):
    """An image as it was sent."""

    name: str
    content: bytes


def read_uploads(content_type: str, body: bytes, most: int) -> list[Upload]:
    """The images of a request.

    Args:
        content_type: its header. `multipart/form-data` (RFC 7578) brings a file in each part; of any other type, the
            body is one image.
        body: its bytes.
        most: so many images are accepted.

    Raises:
        Refusal: the form is damaged, a part is no file, there is no image, or there are too many.
    """
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() != "multipart/form-data":
        uploads = [Upload("image", body)]
    else:
        uploads = _read_form(header.get_boundary() or "", body, most)
    if not uploads or not any(upload.content for upload in uploads):
        raise Refusal(400, "expected the bytes of an image, or a form with files (multipart/form-data); nothing came")
    return uploads


def _read_form(boundary: str, body: bytes, most: int) -> list[Upload]:
    """Each file of a form. What stands between two marks is a part: its headers, an empty line, its content."""
    mark = f"\r\n--{boundary}".encode("latin-1", "replace")
    count = body.count(mark) + body.startswith(mark[2:])
    if count - 1 > most:  # the last mark ends the form
        raise Refusal(413, f"expected at most {most} images in a request; send the others in further requests")
    *parts, end = (b"\r\n" + body).split(mark)[1:] or [b""]
    if not boundary or not end.startswith(b"--"):
        raise Refusal(400, "the form (multipart/form-data) is damaged or cut off: its last boundary is missing")
    uploads = []
    for number, part in enumerate(parts, 1):
        head, _, content = part.partition(b"\r\n\r\n")
        name = HeaderParser().parsestr(head.decode("utf-8", "replace").lstrip()).get_filename()
        if name is None:
            raise Refusal(400, f"part {number} of the form is no file; send images alone, each with a file name")
        uploads.append(Upload(_plain_name(name) or f"image {number}", content))
    return uploads


def _plain_name(name: str) -> str:
    """A file name without folders and without what cannot be shown."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(char for char in last if char.isprintable())[:_LONGEST_NAME]
