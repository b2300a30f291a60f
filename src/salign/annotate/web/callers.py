"""Helpers that the routes share: who calls, what a request contains, and replies with pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from salign.annotate import access
from salign.annotate.pictures import Encoded
from salign.annotate.records import Mistaken, read_json
from salign.annotate.rows import Person
from salign.web.guard import Refusal


def bearer_of(secret: bytes, header: str) -> int | str | None:
    """Return whose token an Authorization header has, as `access.bearer` says; None for no token or a forged one."""
    kind, _, token = header.strip().partition(" ")
    return access.bearer(secret, token.strip()) if kind.lower() == "bearer" else None


def caller(request: Request) -> int | str | None:
    """Return whose token came with a request, as `access.bearer` gives it; None without a token.

    Raises:
        Refusal: the token is forged or malformed.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    who = bearer_of(request.app.state.collection.secret, header)
    if who is None:
        raise Refusal(401, "this link is not valid; ask for a new one")
    return who


async def annotator(request: Request) -> Person:
    """Return the annotator who calls.

    Raises:
        Refusal: the request has no token of an annotator, or the annotator's link was stopped.
    """
    who = caller(request)
    store = request.app.state.collection.store
    person = store.known_person(who) if isinstance(who, int) else None
    if person is None and isinstance(who, int):
        person = await run_in_threadpool(store.person, who)
    if person is None:
        raise Refusal(401, "open the link that you were given, or give your name first")
    if person.stopped is not None:
        raise Refusal(401, "this link was stopped; ask whoever runs the study")
    return person


async def owner(request: Request) -> None:
    """Check that the caller is the owner. In open mode everybody who reaches the server passes.

    Raises:
        Refusal: the caller is not the owner.
    """
    who = caller(request)
    if who != access.OWNER and not request.app.state.open_mode:
        raise Refusal(401 if who is None else 403, "only the owner of the study may do this")


async def body_of(request: Request) -> Any:
    """Return the parsed JSON body of a request.

    Raises:
        Mistaken: the body is not JSON.
    """
    return read_json(await request.body())


def read_number(request: Request, key: str) -> float | None:
    """Return a number from 0 to 100,000 in the query of a request; None if the query lacks it.

    Raises:
        Mistaken: the value is anything else.
    """
    text = request.query_params.get(key)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100_000:
        raise Mistaken(f"{key}: expected a number from 0 to 100000")
    return value


def send_picture(request: Request, picture: Encoded, *, lasting: bool = True) -> Response:
    """Make the reply with a picture, or a 304 reply without it if the browser has the same picture already.

    Args:
        request: the request.
        picture: the picture.
        lasting: whether the browser may keep the picture without asking again.
    """
    caching = "max-age=31536000, immutable" if lasting else "no-cache"
    headers = {"etag": f'"{picture.tag}"', "cache-control": f"private, {caching}"}
    if f'"{picture.tag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=picture.media_type, headers=headers)


Annotator = Annotated[Person, Depends(annotator)]
Body = Annotated[Any, Depends(body_of)]
