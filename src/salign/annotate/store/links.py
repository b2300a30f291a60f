"""Links to a study that several people join by, each with a name and limits of its own."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from salign.annotate.records import Mistaken
from salign.annotate.rows import Invite, Person
from salign.annotate.store.store import Store, find_person, make_person
from salign.annotate.store.tables import INVITES, PEOPLE


class LinkClosed(Mistaken):
    """A link by which nobody can join any more."""


class Links:
    """The invites of a study; methods are safe to call from many threads and from several processes."""

    def __init__(self, store: Store) -> None:
        """Keep them in `store`."""
        self._store = store

    def invites(self) -> list[Invite]:
        """All invites, in the order they were made."""
        with self._store.reading() as connection:
            return _invites(connection)

    def invite(self, number: int) -> Invite | None:
        """The invite of that number."""
        with self._store.reading() as connection:
            return next(iter(_invites(connection, INVITES.c.id == number)), None)

    def make_invite(
        self, name: str, *, people: int | None = None, images: int | None = None, until: float | None = None
    ) -> Invite:
        """The invite of that name, made where there is none; its limits are these from now on.

        Args:
            name: says whom it is for; unique.
            people: at most so many people join by it; None = any number.
            images: each of them gets at most so many images; None = all.
            until: seconds since 1970; after it nobody joins, and those who joined get no new image. None = no end.
        """
        limits = {"people": people, "images": images, "until": until}
        with self._store.writing() as connection:
            self._store.serialise(connection)
            of_name = INVITES.c.name == name
            if connection.execute(INVITES.update().where(of_name).values(limits)).rowcount == 0:
                connection.execute(INVITES.insert().values(name=name, created=time.time(), **limits))
            return _invites(connection, of_name)[0]

    def stop_invite(self, number: int, stopped: bool) -> None:
        """Let nobody join by an invite any more, or let people join again; those who joined go on."""
        with self._store.writing() as connection:
            now = time.time() if stopped else None
            connection.execute(INVITES.update().where(INVITES.c.id == number).values(stopped=now))

    def join(self, number: int, name: str) -> Person:
        """A new annotator who joins by an invite.

        Raises:
            LinkClosed: there is no such invite, it was stopped, its time is over, or enough people have joined.
            Mistaken: somebody of that name takes part already, whose work a stranger must not go on with.
        """
        with self._store.writing() as connection:
            self._store.serialise(connection)
            invite = next(iter(_invites(connection, INVITES.c.id == number)), None)
            if invite is None or (why := invite.closed(time.time())) is not None:
                raise LinkClosed("this link is not valid" if invite is None else f"nobody can join by this link: {why}")
            if find_person(connection, name) is not None:
                raise Mistaken(
                    "somebody of this name takes part already; give another name, or, if that is you, go on in the "
                    "browser where you began, or ask for your own link"
                )
            return make_person(connection, name, number)


def _invites(connection: sa.Connection, *conditions: Any) -> list[Invite]:
    joined = sa.select(PEOPLE.c.invite, sa.func.count().label("joined")).group_by(PEOPLE.c.invite).subquery()
    rows = (
        sa.select(INVITES, sa.func.coalesce(joined.c.joined, 0).label("joined"))
        .outerjoin(joined, joined.c.invite == INVITES.c.id)
        .where(*conditions)
        .order_by(INVITES.c.id)
    )
    return [Invite(**row) for row in connection.execute(rows).mappings()]
