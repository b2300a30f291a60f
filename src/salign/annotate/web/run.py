"""Running the server of a study, and the links to it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from salign.annotate import access
from salign.annotate.collection import Collection
from salign.annotate.rows import Invite
from salign.web.listen import Address, run_app


def is_open(address: Address, collection: Collection) -> bool:
    """Return whether a name is enough to join.

    This is so if only this machine reaches the server, directly and not through a proxy.
    """
    return address.is_local and not collection.study.hosts


def links(
    collection: Collection, listening: socket.socket, address: Address, names: list[str], invites: Sequence[Invite] = ()
) -> list[tuple[str, str]]:
    """Return pairs of a name and a link: for each invite, each annotator and the owner.

    Annotators who do not exist yet are added. If a name is enough to join, the last pair is a link for everybody.
    """
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
    """Serve a study until Ctrl-C."""
    base = address.base(listening.getsockname()[1])
    from salign.annotate.web.server import create_app  # late, as torch takes long: mistakes are told before

    app = create_app(collection, open_mode=is_open(address, collection), names=address.names, base=base)
    try:
        run_app(app, listening, seconds=collection.study.limits.seconds)
    finally:
        collection.store.close()
