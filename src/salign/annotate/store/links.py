"""The invites of a study: links by which several people can join, each with a name and limits of its own."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from salign.annotate.records import Mistaken
from salign.annotate.rows import Invite, Person
from salign.annotate.store.store import Store, find_person, make_person
from salign.annotate.store.tables import INVITES, PEOPLE


class LinkClosed(Mistaken):
    """Nobody can join by this link, or it does not exist."""


class Links:
    """The invites of a study. Methods are safe to call from many threads and from several processes."""

    def __init__(self, store: Store) -> None:
        """Keep the invites in `store`."""
        self._store = store

    def invites(self) -> list[Invite]:
        """Return all invites, in the order in which they were made."""
        with self._store.reading() as connection:
            return _invites(connection)

    def invite(self, number: int) -> Invite | None:
        """Return the invite of that number; None if there is none."""
        with self._store.reading() as connection:
            return next(iter(_invites(connection, INVITES.c.id == number)), None)

    def make_invite(
        self, name: str, *, people: int | None = None, images: int | None = None, until: float | None = None
    ) -> Invite:
        """Make an invite, or give the invite of that name new limits.

        Args:
            name: unique name that says whom the invite is for.
            people: at most this many people can join by it; None = any number.
            images: each annotator who joined by it gets at most this many images; None = all.
            until: time, in seconds since 1970, after which nobody can join and annotators who joined get no new image;
                None = no end.
        """
        limits = {"people": people, "images": images, "until": until}
        with self._store.writing() as connection:
            self._store.serialise(connection)
            of_name = INVITES.c.name == name
            if connection.execute(INVITES.update().where(of_name).values(limits)).rowcount == 0:
                connection.execute(INVITES.insert().values(name=name, created=time.time(), **limits))
            return _invites(connection, of_name)[0]

    def stop_invite(self, number: int, stopped: bool) -> None:
        """Stop an invite, so that nobody can join by it, or open it again. Annotators who have joined go on."""
        with self._store.writing() as connection:
            now = time.time() if stopped else None
            connection.execute(INVITES.update().where(INVITES.c.id == number).values(stopped=now))

    def join(self, number: int, name: str) -> Person:
        """Add an annotator who joins by an invite.

        Raises:
            LinkClosed: there is no such invite, it was stopped, its time is over, or enough people have joined.
            Mistaken: somebody of that name takes part already. A stranger must not go on with that person's work.
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
