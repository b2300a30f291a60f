"""Images of a request, read as a browser, curl and httpx write them."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.requests import Request

from salign.serve.form import read_uploads
from salign.web.guard import Refusal


def uploads(content_type, body, most):
    """What is read of a request with this body."""

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers, "app": None}, receive)
    with ThreadPoolExecutor(1) as thread:  # a browser of another test may run the loop of this one
        return thread.submit(asyncio.run, read_uploads(request, most)).result()


def sent(*files, **fields):
    """Content type and body of a form as httpx writes it."""
    request = httpx.Request("POST", "http://a", files=[("image", file) for file in files], data=fields)
    return request.headers["content-type"], request.read()


def test_a_body_that_is_no_form_is_one_image():
    assert uploads("image/png", b"\r\n--x\r\n", 1) == [("image", b"\r\n--x\r\n")]
    assert uploads("", b"a", 1) == [("image", b"a")]


def test_files_come_back_byte_for_byte():
    """What could be mistaken for a boundary, a header or an end of line stands at every place of a content."""
    pieces = [b"\r", b"\n", b"--", b"\0\xff", b"\r\n\r\n"]
    contents = [b"".join(chosen) for chosen in itertools.permutations(pieces, 3)]
    files = [(f"{number}.png", content) for number, content in enumerate(contents)]
    assert uploads(*sent(*files), 100) == files
    assert len(files) == 60


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Bild ä.png", "Bild ä.png"),
        ("../../etc/a.png", "a.png"),
        ("C:\\photos\\b.png", "b.png"),
        ("x" * 300, "x" * 100),
        ("\x01", "image 1"),
        ("", "image 1"),
    ],
)
def test_a_name_is_shown_without_folders(name, expected):
    body = f'--b\r\ncontent-disposition: form-data; name="i"; filename="{name}"\r\n\r\nA\r\n--b--\r\n'.encode()
    assert uploads("multipart/form-data; boundary=b", body, 1) == [(expected, b"A")]


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("image/png", b"", "nothing came"),
        (*sent(("a", b"")), "nothing came"),
        (*sent(("a", b"1"), ("b", b"2"), ("c", b"3")), "Too many files. Maximum number of files is 2"),
        (*sent(("a", b"1"), note="n"), "a part of the form is no file"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nA\r\n", "its last boundary is missing"),
        ("multipart/form-data", b"--b\r\n\r\nA\r\n--b--", "Missing boundary"),
        ("multipart/form-data; boundary=b", b"", "its last boundary is missing"),
        ("multipart/form-data; boundary=b", b"no form--", "is refused: Invalid multipart data"),
        ("multipart/form-data; boundary=b", b"--b--", "nothing came"),
    ],
    ids=range(9),  # httpx draws another boundary in every process
)
def test_what_is_refused(content_type, body, said):
    with pytest.raises(Refusal, match=said) as refusal:
        uploads(content_type, body, 2)
    assert refusal.value.status == 400
