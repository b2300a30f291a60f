"""The server of a study: its links, and its application until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from salign.annotate import access
from salign.annotate.collection import Collection
from salign.annotate.rows import Invite
from salign.web.listen import Address, run_app


def is_open(address: Address, collection: Collection) -> bool:
    """Whether a name is enough to join: nobody but this machine reaches the server, directly or through a proxy."""
    return address.is_local and not collection.study.hosts


def links(
    collection: Collection, listening: socket.socket, address: Address, names: list[str], invites: Sequence[Invite] = ()
) -> list[tuple[str, str]]:
    """Who opens which address: annotators and invites by name, the owner, and where no link is needed everybody."""
    base = address.base(listening.getsockname()[1])
    pairs = []
    for invite in invites:
        token = access.token_of(collection.secret, f"{access.INVITE}{invite.id}")
        pairs.append((invite.name, f"{base}/#invite={token}"))
    for name in names:
        token = access.token_of(collection.secret, collection.store.add_person(name).id)
        pairs.append((name, f"{base}/#token={token}"))
    if is_open(address, collection):
        return [*pairs, ("owner", f"{base}/owner"), ("annotators", f"{base}/")]
    return [*pairs, ("owner", f"{base}/owner#token={access.token_of(collection.secret, access.OWNER)}")]


def run(collection: Collection, listening: socket.socket, address: Address) -> None:
    """Serve until Ctrl-C."""
    base = address.base(listening.getsockname()[1])
    from salign.annotate.web.server import create_app  # with torch, after all that a user may have said wrongly

    app = create_app(collection, open_mode=is_open(address, collection), names=address.names, base=base)
    try:
        run_app(app, listening, seconds=collection.study.limits.seconds)
    finally:
        collection.store.close()
