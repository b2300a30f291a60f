"""What stands before every request, as the server calls it: statuses, headers and the line in the log."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from salign.web.guard import Guard, RequestLimits

HEADERS = {"host": "localhost", "x-salign": "1", "x-salign-study": "id"}


def asked(body=(b"{}",), *, path="/api/next", kind="http", client=("10.0.0.7", 5), **headers):
    """Send one request with its body in pieces (None: it never comes); gives what the guard and what the app said."""
    sent, reached = [], []
    pieces = list(body)

    async def app(scope, receive, send):
        reached.append(await receive() if scope["type"] == "http" else scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"own")]})
            await send({"type": "http.response.body", "body": b"served"})

    async def receive():
        piece = pieces.pop(0) if pieces else b""
        if piece is None:
            await asyncio.sleep(60)
        if piece == "gone":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    names = {"Host.example"}
    known = {"Bearer mine": 3}.get
    guard = Guard(app, RequestLimits(body=1000, seconds=0.05), study="id", local_only=True, names=names, known=known)
    given = {
        "authorization": "Bearer mine",
        **HEADERS,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [(name.encode(), value.encode()) for name, value in given.items() if value is not None]
    scope = {"type": kind, "path": path, "method": "POST", "headers": lines, "client": client}
    with ThreadPoolExecutor(1) as thread:  # a browser of another test may run the loop of this one
        thread.submit(asyncio.run, guard(scope, receive, send)).result()
    return sent, reached


def refusal(sent):
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert headers["content-length"] == str(len(body["body"]))
    assert (headers["content-type"], headers["x-content-type-options"]) == ("application/json", "nosniff")
    return start["status"], json.loads(body["body"]), headers


def test_a_request_reaches_the_server_whole_and_its_reply_keeps_its_own_headers():
    sent, reached = asked([b'{"a"', b": 1", b"}"])
    assert reached == [{"type": "http.request", "body": b'{"a": 1}', "more_body": False}]
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"served")
    given = [value for name, value in sent[0]["headers"] if name == b"x-frame-options"]
    assert given == [b"own"]
    assert (b"cache-control", b"no-store") in sent[0]["headers"]
    assert b"cache-control" not in dict(asked(path="/static/app.js")[0][0]["headers"])


@pytest.mark.parametrize(
    ("body", "headers", "status", "said", "closes"),
    [
        ([b"{", None], {}, 408, "the request took too long to arrive", True),
        ([b"x" * 600, b"x" * 401], {}, 413, "the request is larger than 1000 bytes", True),
        ([b""], {"content_length": "1001"}, 413, "the request is larger than 1000 bytes", True),
        ([b""], {"content_length": "-1"}, 413, "the request is larger than 1000 bytes", True),
        ([b"{", "gone"], {}, 400, "the client went away in the middle of its request", False),
        ([b""], {"x_salign": None}, 403, "the header X-Salign: 1 is missing", False),
        ([b""], {"origin": "http://evil.example"}, 403, "a page of another site may not call this server", False),
        ([b""], {"x_salign_study": "other"}, 421,
         "another study is at this address now; open the page again to go to it", False),
    ],
)  # fmt: skip
def test_what_is_refused_never_reaches_the_server(body, headers, status, said, closes, caplog):
    sent, reached = asked(body, **headers)
    found, content, given = refusal(sent)
    assert (found, content, reached) == (status, {"error": said}, [])
    assert (given.get("connection") == "close") == closes
    assert caplog.messages == [f"refused: POST '/api/next' from 10.0.0.7: {status} {said}"]


def test_as_much_as_is_allowed_and_known_names_are_let_through():
    assert asked([b"x" * 600, b"x" * 400])[0][0]["status"] == 200
    assert asked(content_length="1000")[0][0]["status"] == 200
    assert asked(origin="https://host.EXAMPLE")[0][0]["status"] == 200
    assert asked(client=None)[0][0]["status"] == 200


def test_the_start_and_end_of_the_server_are_passed_on_and_nothing_else(caplog):
    assert asked(kind="lifespan") == ([], ["lifespan"])
    assert asked(kind="websocket") == ([], [])
    with caplog.at_level(logging.WARNING):
        asked(x_salign="2", client=None)
    assert caplog.messages == ["refused: POST '/api/next' from unknown: 403 the header X-Salign: 1 is missing"]


def test_without_a_study_and_tokens_the_api_is_open_and_only_so_many_are_answered_at_a_time(caplog):
    """Three ask at once where two may: the third is told to come back, and may as soon as one was answered."""
    statuses = []

    async def run():
        go = asyncio.Event()

        async def app(scope, receive, send):
            await receive()
            await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def receive():
            return {"type": "http.request", "body": b"x" * 900, "more_body": False}

        async def send(message):
            statuses.append(message.get("status"))

        guard = Guard(app, RequestLimits(body=1000), local_only=True, names=(), at_once=2)
        scope = {"type": "http", "path": "/api/predict", "method": "POST", "headers": [(b"host", b"localhost")]}
        asked = [asyncio.create_task(guard(dict(scope), receive, send)) for _ in range(3)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert statuses == [503, None]
        go.set()
        await asyncio.gather(*asked)
        await guard(dict(scope), receive, send)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()
    assert [status for status in statuses if status] == [503, 200, 200, 200]
    assert "503 the server is busy; ask again in a moment" in caplog.text
