"""The guard of a server: it checks host name, size, time and rate of every request, and adds headers to every reply."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from pydantic import Field

from salign.config import Section
from salign.web import access
from salign.web.limited_log import LimitedLog

log = logging.getLogger("salign.web")

_FORWARDED = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})
_ONCE = (b"host", b"authorization", b"origin", b"content-length", b"x-salign", b"x-salign-study")
_LIMITED, _LINES = LimitedLog(log), access.Rates(1.0, 1000)
SESSION = "/api/session"
"""Path that a page asks for first, to learn which study this is."""
_LITTLE = 10_000  # largest body in bytes, such as a name, of a caller without a token on a server that has tokens

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Refusal(Exception):
    """A request is not served. The exception has the HTTP status and a sentence for the page."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


class RequestLimits(Section):
    """The section says what a server accepts from one client."""

    body: int = Field(default=2_000_000, ge=1000)
    """A request has at most this many bytes."""
    rate: float = Field(default=20.0, gt=0)
    """Each token, or each address without a token, may send this many requests a second."""
    burst: int = Field(default=60, ge=1)
    """Each token, or each address without a token, may send this many requests at once."""
    seconds: float = Field(default=15.0, gt=0)
    """A client that takes longer to send its request is cut off."""


class Guard:
    """An ASGI application around another one, which refuses and logs bad requests, and adds the security headers.

    A request whose headers pass is read completely, within `limits.body` bytes and `limits.seconds`, before the inner
    application gets it.
    """

    def __init__(
        self,
        app: App,
        limits: RequestLimits,
        *,
        local_only: bool,
        names: Collection[str],
        study: str | None = None,
        known: Callable[[str], int | str | None] | None = None,
        at_once: int | None = None,
    ) -> None:
        """Stand before `app`.

        Args:
            app: the application to guard.
            limits: the limits for one caller.
            local_only: whether to answer only to names of this machine and `names`.
            names: further host names to answer to.
            study: identity of the study. Every call of the API must send it in the header `X-Salign-Study`, except for
                `SESSION`, and every call must send `X-Salign: 1`. None = the API needs neither header.
            known: function that returns whose token an Authorization header has. It returns None for a forged token and
                for that of an invite, which many people have. Callers for whom it returns None share the rate of their
                address, and may send only small bodies. If `known` is None, there are no tokens, and each address may
                send bodies of full size.
            at_once: largest number of API requests that are read and answered at the same time, which bounds the memory
                that their bodies take; None = any number.
        """
        self._app, self._limits, self._local_only, self._known = app, limits, local_only, known
        self._study = study
        self._names = {name.lower() for name in names}
        self._rates = access.Rates(limits.rate, limits.burst)
        self._at_once, self._busy = at_once, 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                names = {name for name, _ in message["headers"]}
                fixed = access.HEADERS | ({"cache-control": "no-store"} if _of_api(scope) else {})
                added = [(name.encode(), value.encode()) for name, value in fixed.items()]
                message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in names)]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        counted = self._at_once is not None and _of_api(scope)
        self._busy += counted
        try:
            who = None if self._known is None else self._known(headers.get("authorization", ""))
            self._check(scope, headers, who)
            if counted and self._at_once is not None and self._busy > self._at_once:
                raise Refusal(503, "the server is busy; ask again in a moment", {"retry-after": "1"})
            little = self._known is not None and who is None
            most = min(self._limits.body, _LITTLE) if little else self._limits.body
            body = await self._body(headers, receive, most)
            await self._app(scope, _replayed(body, receive), guarded_send)
        except Refusal as refusal:
            refused(scope, refusal)
            if not started:
                await _reply(refusal, guarded_send)
        except Exception:
            log.exception("failed: %s %r", scope["method"], scope["path"][:200])
            if not started:
                await _reply(Refusal(500, "the server failed; what was not acknowledged is not stored"), guarded_send)
        finally:
            self._busy -= counted

    def _check(self, scope: Message, headers: dict[str, str], who: int | str | None) -> None:
        names = [name for name, _ in scope["headers"]]
        if any(names.count(name) > 1 for name in _ONCE):  # else parts of the server may read different ones
            raise Refusal(400, "a header that counts came twice")
        host = headers.get("host", "")
        if not access.host_allowed(host, local_only=self._local_only, names=self._names):
            raise Refusal(403, f"this server does not answer to the name {host[:80]!r}")
        if self._local_only and not _FORWARDED.isdisjoint(headers):
            raise Refusal(403, "this server is open to its own machine only; to stand behind a proxy it needs --public")
        origin = headers.get("origin")
        if origin is not None and access.host_name(origin.partition("://")[2]) not in (
            access.host_name(host),
            *self._names,
        ):
            raise Refusal(403, "a page of another site may not call this server")
        of_study = self._study is not None and _of_api(scope)
        if of_study and headers.get("x-salign") != "1":
            raise Refusal(403, "the header X-Salign: 1 is missing")
        caller = access.network_of(_client(scope)) if who is None else f"token {who}"
        if _of_api(scope) and (seconds := self._rates.wait(caller)):
            raise Refusal(429, "too many requests; wait a moment", {"retry-after": str(int(seconds) + 1)})
        if of_study and scope["path"] != SESSION and headers.get("x-salign-study") != self._study:
            raise Refusal(421, "another study is at this address now; open the page again to go to it")

    async def _body(self, headers: dict[str, str], receive: Receive, most: int) -> bytes:
        too_large = Refusal(413, f"the request is larger than {most} bytes", {"connection": "close"})
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "the client went away in the middle of its request")
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Refusal(408, "the request took too long to arrive", {"connection": "close"}) from None


def refused(scope: Message, refusal: Refusal) -> None:
    """Log one line about a refused request, without tokens and bodies. In a flood of requests only some are logged."""
    details = (scope["method"], scope["path"][:200], _client(scope), refusal.status, refusal)
    if _LINES.wait(""):
        _LIMITED.warning("flood", "refused: more requests than can be listed; now %s %r from %s: %d %s", *details)
    else:
        log.warning("refused: %s %r from %s: %d %s", *details)


def _client(scope: Message) -> str:
    return str((scope.get("client") or ["unknown"])[0])


def _of_api(scope: Message) -> bool:
    return str(scope["path"]).startswith("/api/")


def _replayed(body: bytes, receive: Receive) -> Receive:
    done = False

    async def replay() -> Message:
        nonlocal done
        if done:
            return await receive()
        done = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _reply(refusal: Refusal, send: Send) -> None:
    content = json.dumps({"error": refusal.sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
