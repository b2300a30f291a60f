"""Images of a request, read as a browser, curl and httpx write them."""

from __future__ import annotations

import itertools

import httpx
import pytest

from salign.serve.form import read_uploads
from salign.web.guard import Refusal


def sent(*files, **fields):
    """Content type and body of a form as httpx writes it."""
    request = httpx.Request("POST", "http://a", files=[("image", file) for file in files], data=fields)
    return request.headers["content-type"], request.read()


def test_a_body_that_is_no_form_is_one_image():
    assert read_uploads("image/png", b"\r\n--x\r\n", 1) == [("image", b"\r\n--x\r\n")]
    assert read_uploads("", b"a", 1) == [("image", b"a")]


def test_files_come_back_byte_for_byte():
    """What could be mistaken for a boundary, a header or an end of line stands at every place of a content."""
    pieces = [b"\r", b"\n", b"--", b"\0\xff", b"\r\n\r\n"]
    contents = [b"".join(chosen) for chosen in itertools.permutations(pieces, 3)]
    files = [(f"{number}.png", content) for number, content in enumerate(contents)]
    assert read_uploads(*sent(*files), 100) == files
    assert len(files) == 60


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Bild ä.png", "Bild ä.png"),
        ("../../etc/a.png", "a.png"),
        ("C:\\photos\\b.png", "b.png"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_is_shown_without_folders(name, expected):
    body = f'--b\r\ncontent-disposition: form-data; name="i"; filename="{name}"\r\n\r\nA\r\n--b--\r\n'.encode()
    assert read_uploads("multipart/form-data; boundary=b", body, 1) == [(expected, b"A")]


def test_a_name_of_nothing_that_can_be_shown_gets_a_number():
    body = b'preamble\r\n--b\r\ncontent-disposition: form-data; filename="\x01"\r\n\r\nA\r\n--b--'
    assert read_uploads('multipart/form-data; boundary="b"', body, 1) == [("image 1", b"A")]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        ("image/png", b"", 400, "nothing came"),
        (*sent(("a", b"")), 400, "nothing came"),
        (*sent(("a", b"1"), ("b", b"2"), ("c", b"3")), 413, "expected at most 2 images in a request"),
        (*sent(("a", b"1"), note="n"), 400, "part 1 of the form is no file"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nA\r\n", 400, "its last boundary is missing"),
        ("multipart/form-data", b"--b\r\n\r\nA\r\n--b--", 400, "its last boundary is missing"),
        ("multipart/form-data; boundary=b", b"", 400, "its last boundary is missing"),
    ],
)
def test_what_is_refused(content_type, body, status, said):
    with pytest.raises(Refusal, match=said) as refusal:
        read_uploads(content_type, body, 2)
    assert refusal.value.status == status
