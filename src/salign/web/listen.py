"""Running a server: its socket, its address, and how long it waits for a client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from salign.errors import SalignError
from salign.web import access
from salign.web.limited_log import LimitedLog

MOST_CONNECTIONS = 1000
"""Largest number of connections at the same time, if the machine allows that many open files."""
_SPARE = 300
"""Number of open files that are left for the database (three for each of its connections), pictures and logs."""
_AT_ONCE = 64
"""Length of the queue of connections that wait to be accepted, and the number that are accepted in one go. Each of them
needs an open file before it can be closed."""

_log = logging.getLogger("salign.web")
_LIMITED = LimitedLog(_log)


class ImpatientProtocol(H11Protocol):
    """HTTP for uvicorn with a time limit for request line and headers, and a limit on the number of connections.

    uvicorn by itself waits for headers without end, so that a few slow clients could hold every connection, and accepts
    connections until no file can be opened any more. Here a connection is closed if its headers do not arrive within
    `seconds`. If there are more than `most` connections, an idle one is closed to make room for the new one. It is
    taken from the address with the most idle connections: first one that has never sent a request, and among these the
    one that has waited longest. If no connection is idle, the new one is closed.
    """

    seconds = 15.0
    most = MOST_CONNECTIONS
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room if there are too many connections, and start the time limit for the headers."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            _LIMITED.warning("full", "refused: more than %d connections; those that wait longest are closed", self.most)
            (self._one_too_many() or self).transport.abort()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Start the time limit with the first bytes of a request, and end it when the headers are complete."""
        if self._waiting is None and self.conn.their_state is h11.IDLE:
            self._wait()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _address(self) -> str:
        return access.network_of(self.client[0]) if self.client else "unknown"

    def _one_too_many(self) -> ImpatientProtocol | None:
        """Return the idle connection to close; None if there is none.

        A connection is idle if none of its requests is being answered and the headers of the next are not complete.
        """
        idle = [
            connection
            for connection in self.connections
            if isinstance(connection, ImpatientProtocol)
            and connection is not self
            and connection.conn.their_state is h11.IDLE
            and not connection.transport.is_closing()
        ]
        if not idle:
            return None
        crowd = Counter(connection._address for connection in idle).most_common(1)[0][0]
        return min(
            (connection for connection in idle if connection._address == crowd),
            key=lambda connection: (connection.cycle is not None, connection._begun),
        )

    def _wait(self) -> None:
        self._begun = self.loop.time()
        self._waiting = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        client = self.client[0] if self.client else "unknown"
        _LIMITED.warning("slow", "refused: a request from %s whose headers took longer than %g s", client, self.seconds)
        self.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        SalignError: the port is taken or does not exist, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    if os.name == "posix":  # reuse a port that was just left; on Windows two servers would share it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_AT_ONCE)  # a client that comes before the server is up waits for it
    except (OSError, OverflowError, UnicodeError) as error:  # also a port beyond 65535, or a malformed name
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise SalignError(
            f"cannot listen at {host} port {port}: {why}; give another --port, or 0 for a free one"
        ) from error
    return listening


@dataclass(frozen=True)
class Address:
    """The address at which a server is reached.

    Raises:
        SalignError: `public` is not of the form `http://NAME` or `https://NAME`.
    """

    host: str = "127.0.0.1"
    """Address at which the server listens."""
    public: str | None = None
    """The address that people type if a proxy stands before the server, `https://NAME`; None without a proxy."""

    def __post_init__(self) -> None:
        if self.public is not None and (
            not self.public.startswith(("http://", "https://")) or access.host_name(self._public_host) is None
        ):
            raise SalignError(f"--public: expected http:// or https:// and a name, without a path; got {self.public!r}")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server, directly and not through a proxy."""
        return access.is_loopback(self.host) and self.public is None

    @property
    def names(self) -> set[str]:
        """Host names that the server answers to."""
        own = {self.host, socket.gethostname(), socket.getfqdn()}
        return own if self.public is None else {*own, access.host_name(self._public_host) or ""}

    def base(self, port: int) -> str:
        """Return the beginning of all links, for a server that listens at `port`."""
        if self.public is not None:
            return self.public.rstrip("/")
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def _public_host(self) -> str:
        return (self.public or "").partition("://")[2].rstrip("/")


def most_connections() -> int:
    """Return how many connections the server may hold, at most `MOST_CONNECTIONS`.

    The soft limit of open files of this process is raised as far as that needs and the hard limit allows.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return MOST_CONNECTIONS
    allowed, ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MOST_CONNECTIONS + _SPARE
    if resource.RLIM_INFINITY != allowed < needed:
        raised = needed if ceiling == resource.RLIM_INFINITY else min(needed, ceiling)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, ceiling))
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(16, min(MOST_CONNECTIONS, allowed - _SPARE, allowed // 2))
    return MOST_CONNECTIONS


def run_app(app: Any, listening: socket.socket, *, seconds: float = 15.0, keep_alive: int = 60) -> None:
    """Serve an application until Ctrl-C.

    Args:
        app: any ASGI application.
        listening: the socket that `listen` returned.
        seconds: a client that takes longer to send its headers is cut off.
        keep_alive: seconds for which a connection stays open after a reply if no further request comes.
    """
    protocol = type("Protocol", (ImpatientProtocol,), {"seconds": seconds, "most": most_connections()})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_AT_ONCE,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=5,
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
