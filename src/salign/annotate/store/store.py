"""The database of a study, in SQLite or Postgres. It keeps every revision, and acknowledged saves are on disk."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from salign.annotate.records import Mistaken
from salign.annotate.rows import TAKEN, Comment, Person, Plan, Revision, Saved, Snapshot, Task
from salign.annotate.store.tables import ABOUT, COMMENTS, PEOPLE, REVISIONS, TASKS, prepare_tables, remember
from salign.annotate.store_file import Watch
from salign.errors import SalignError

log = logging.getLogger("salign.annotate")

_COUNTING = sa.select(REVISIONS).join(
    TASKS, (REVISIONS.c.task == TASKS.c.id) & (REVISIONS.c.number == TASKS.c.revision)
)

_LOCK = 7_364_128  # number of the Postgres advisory lock that lets one hand-out run at a time
_FIRST = 10**14  # the smallest number of a task: numbers have 15 digits and are random
_FRESH = 5.0  # seconds that an annotator is cached: a link that another process stops works for at most so long


class KeyReused(Mistaken):
    """The key was used for another save; nothing is stored."""


class Store:
    """The database of a study. Methods are safe to call from many threads and from several processes."""

    def __init__(self, address: str | Path) -> None:
        """Open the database, and make its tables if there are none.

        Args:
            address: `sqlite:///FILE`, `postgresql://USER:PASSWORD@HOST/DATABASE`, or the path of a SQLite database.

        Raises:
            SalignError: the database cannot be opened, or its tables have a version that this salign does not know.
        """
        self._url = _url_of(address)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self._known: dict[int, tuple[float, Person]] = {}  # a cache, as each request names an annotator
        self._turn = threading.RLock()  # SQLite takes one writer at a time: others wait here
        self._watch: Watch | None = None
        try:
            if self._sqlite:
                self._engine = sa.create_engine(self._url, pool_size=20, max_overflow=40)
                sa.event.listen(self._engine, "do_connect", lambda *_: self._look())  # else SQLite makes a file
                sa.event.listen(self._engine, "connect", _prepare_sqlite)
                sa.event.listen(self._engine, "begin", _begin_sqlite)
                self._held = self._engine.connect()  # while one is open, the -wal file stays the same
            else:
                self._engine = sa.create_engine(self._url, pool_size=20, max_overflow=40, pool_pre_ping=True)
                sa.event.listen(self._engine, "connect", _prepare_postgres)
            with self.writing() as connection:
                if not self._sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                prepare_tables(connection)
                self.study = remember(connection, "study", secrets.token_hex(16))
                """Random identity of the study. Browsers keep studies apart by it, and send it with their requests."""
                if not self._sqlite and connection.execute(sa.text("SHOW fsync")).scalar() != "on":
                    log.warning(
                        "this Postgres runs with fsync off: after a power cut, what was acknowledged may be lost"
                    )
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise SalignError(f"cannot open the database {self.shown_url}: {error}") from error
        if self._sqlite and self._url.database:
            self._watch = Watch(Path(self._url.database))

    @property
    def shown_url(self) -> str:
        """The URL without its password; for a SQLite database, the path of its file."""
        return str(self._url.database) if self._sqlite else self._url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        if self._sqlite:
            self._held.close()
        self._engine.dispose()

    def remember(self, key: str, value: str) -> str:
        """Store a fact about the study, and return the value that is stored.

        A stored value can be replaced only until the first task has been made.
        """
        with self.writing() as connection:
            stands = remember(connection, key, value)
            if stands == value or connection.execute(sa.select(TASKS.c.id).limit(1)).first() is not None:
                return stands
            connection.execute(ABOUT.update().where(ABOUT.c.key == key).values(value=value))
            return value

    def add_person(self, name: str) -> Person:
        """Return the annotator of that name, and add one if there is none. Names are compared in Unicode form NFC."""
        with self.writing() as connection:
            self.serialise(connection)
            return find_person(connection, name) or make_person(connection, name)

    def change_person(self, person: int, *, shown: str | None = None, consented: float | None = None) -> None:
        """Change the shown name of an annotator, or store when consent was given; only the first time is stored."""
        with self.writing() as connection:
            if shown is not None:
                connection.execute(PEOPLE.update().where(PEOPLE.c.id == person).values(shown=shown))
            if consented is not None:
                first = sa.and_(PEOPLE.c.id == person, PEOPLE.c.consented.is_(None))
                connection.execute(PEOPLE.update().where(first).values(consented=consented))
        self._known.pop(person, None)

    def people(self) -> list[Person]:
        """Return all annotators, in the order in which they joined."""
        with self.reading() as connection:
            return _people(connection)

    def known_person(self, number: int) -> Person | None:
        """Return the annotator of that number if it is cached, else None. The database is not read."""
        entry = self._known.get(number)
        return entry[1] if entry is not None and time.monotonic() - entry[0] < _FRESH else None

    def person(self, number: int) -> Person | None:
        """Return the annotator of that number; None if there is none."""
        with self.reading() as connection:
            row = connection.execute(sa.select(PEOPLE).where(PEOPLE.c.id == number)).mappings().first()
        if row is None:
            return None
        person = Person(**row)
        self._known[number] = time.monotonic(), person
        return person

    def stop_person(self, person: int, stopped: bool) -> None:
        """Stop the link of an annotator, or let it work again."""
        with self.writing() as connection:
            now = time.time() if stopped else None
            connection.execute(PEOPLE.update().where(PEOPLE.c.id == person).values(stopped=now))
        self._known.pop(person, None)

    def hand_out(
        self,
        annotator: int,
        lease: float,
        plan: Callable[[list[Task], dict[str, int]], list[Plan]],
    ) -> list[Task]:
        """Make tasks for an annotator and renew the lease of the open ones, in one transaction.

        Args:
            annotator: number of the annotator.
            lease: seconds from now for which open tasks are kept for the annotator.
            plan: function that gets all tasks of the annotator, and how many *other* annotators have answered or hold
                each unit, and returns the tasks to make.

        Returns:
            All tasks of the annotator, in the order in which they were handed out.
        """
        now = time.time()
        with self.writing() as connection:
            self.serialise(connection)
            mine = self._tasks(connection, annotator)
            counts = (
                sa.select(TASKS.c.unit, sa.func.count())
                .where(TASKS.c.annotator != annotator)
                .where(TASKS.c.state.in_(TAKEN) | ((TASKS.c.state == "open") & (TASKS.c.leased > now)))
                .group_by(TASKS.c.unit)
            )
            people = {unit: int(count) for unit, count in connection.execute(counts)}
            rows = [
                {
                    "id": _FIRST + secrets.randbelow(9 * _FIRST),  # not reused after a backup is restored
                    "unit": new.unit,
                    "annotator": annotator,
                    "position": len(mine) + number,
                    "images": json.dumps(list(new.images)),
                    "arm": new.arm,
                    "gold": new.gold,
                    "leased": now + lease,
                    "state": "open",
                    "revision": 0,
                }
                for number, new in enumerate(plan(mine, people))
            ]
            renewed = (TASKS.c.annotator == annotator) & (TASKS.c.state == "open")
            connection.execute(TASKS.update().where(renewed).values(leased=now + lease))
            if rows:
                connection.execute(TASKS.insert(), rows)
                mine = self._tasks(connection, annotator)
            return mine

    def tasks(self, annotator: int) -> list[Task]:
        """Return all tasks of an annotator, in the order in which they were handed out."""
        with self.reading() as connection:
            return self._tasks(connection, annotator)

    def task(self, number: int, annotator: int) -> Task | None:
        """Return the task of that number if it belongs to this annotator, else None."""
        query = sa.select(TASKS).where((TASKS.c.id == number) & (TASKS.c.annotator == annotator))
        with self.reading() as connection:
            row = connection.execute(query).mappings().first()
            return None if row is None else _task(row)

    def any_task(self, number: int) -> Task | None:
        """Return the task of that number, of any annotator; None if there is none."""
        with self.reading() as connection:
            row = connection.execute(sa.select(TASKS).where(TASKS.c.id == number)).mappings().first()
            return None if row is None else _task(row)

    def tasks_of(self, unit: str) -> list[Task]:
        """Return the tasks of all annotators on a unit, in the order of the annotators."""
        query = sa.select(TASKS).where(TASKS.c.unit == unit).order_by(TASKS.c.annotator)
        with self.reading() as connection:
            return [_task(row) for row in connection.execute(query).mappings()]

    def save(self, key: str, task: Task, base: int, body: dict[str, Any]) -> Saved:
        """Store a revision. When this returns, the revision is on disk.

        Args:
            key: unique key of this save. The same save with the same key is not stored again.
            task: the task that was annotated.
            base: number of the revision that the save is based on. If it is not the one that counts, the save becomes
                a side revision, which does not count.
            body: the annotation; the task counts as skipped if `skipped` in it is not None.

        Raises:
            KeyReused: the key was used for another save; nothing is stored.
        """
        text = json.dumps(body, sort_keys=True)
        try:
            with self.writing() as connection:
                row = TASKS.c.id == task.id
                latest = connection.execute(sa.select(TASKS.c.revision).where(row).with_for_update()).scalar_one()
                if (earlier := self._earlier(connection, key, task, text, latest)) is not None:
                    return earlier
                of_task = REVISIONS.c.task == task.id
                highest = connection.execute(sa.select(sa.func.max(REVISIONS.c.number)).where(of_task)).scalar()
                number, side = int(highest or 0) + 1, base != latest
                values = {"task": task.id, "number": number, "key": key, "base": base, "side": side, "body": text}
                connection.execute(REVISIONS.insert().values(**values, created=time.time()))
                if not side:
                    latest, state = number, "skipped" if body.get("skipped") is not None else "done"
                    connection.execute(TASKS.update().where(row).values(revision=number, state=state))
        except sa.exc.IntegrityError:  # the same key at the same moment, for another task
            raise KeyReused(f"the key {key} was used for another save") from None
        return Saved(number, latest, side, again=False)

    def revisions(self, task: int) -> list[Revision]:
        """Return every revision of a task, including side revisions, oldest first."""
        query = sa.select(REVISIONS).where(REVISIONS.c.task == task).order_by(REVISIONS.c.number)
        with self.reading() as connection:
            return [_revision(row) for row in connection.execute(query).mappings()]

    def latest(self, annotator: int, task: int | None = None) -> dict[int, Revision]:
        """Return the revisions of an annotator that count, by task id; only that of `task`, if it is given."""
        query = _COUNTING.where(TASKS.c.annotator == annotator)
        query = query if task is None else query.where(TASKS.c.id == task)
        with self.reading() as connection:
            return {row["task"]: _revision(row) for row in connection.execute(query).mappings()}

    def snapshot(self) -> Snapshot:
        """Return everything that counts at one moment. Others may go on saving meanwhile."""
        in_order = sa.select(TASKS).order_by(TASKS.c.annotator, TASKS.c.position)
        with self.reading() as connection:
            people = _people(connection)
            tasks = [_task(row) for row in connection.execute(in_order).mappings()]
            latest = {row["task"]: _revision(row) for row in connection.execute(_COUNTING).mappings()}
            first = _first_answers(connection)
            comments = read_comments(connection)
        return Snapshot(people, tasks, latest, first, comments)

    def anything(self) -> bool:
        """Return whether anything was saved."""
        with self.reading() as connection:
            return connection.execute(sa.select(REVISIONS.c.id).limit(1)).first() is not None

    def _earlier(self, connection: sa.Connection, key: str, task: Task, text: str, latest: int) -> Saved | None:
        row = connection.execute(sa.select(REVISIONS).where(REVISIONS.c.key == key)).mappings().first()
        if row is None:
            return None
        if row["task"] != task.id or row["body"] != text:
            raise KeyReused(f"the key {key} was used for another save")
        return Saved(row["number"], row["number"] if not row["side"] else latest, row["side"], again=True)

    def _tasks(self, connection: sa.Connection, annotator: int) -> list[Task]:
        query = sa.select(TASKS).where(TASKS.c.annotator == annotator).order_by(TASKS.c.position)
        return [_task(row) for row in connection.execute(query).mappings()]

    def serialise(self, connection: sa.Connection) -> None:
        """Keep others from making tasks or annotators until this transaction ends; in SQLite every writer does."""
        if not self._sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes. It is stored completely, or not at all."""
        if not self._sqlite:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._turn:
            self._look()
            with self._engine.execution_options(salign_write=True).begin() as connection:
                yield connection
            self._look()  # so that no save is acknowledged that went to files which are gone

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that reads the state at one moment."""
        self._look()
        level = {} if self._sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._engine.execution_options(**level).begin() as connection:
            yield connection

    def _look(self) -> None:
        """Check that the files of the database are still those that were opened; see `Watch.check`."""
        if self._watch is not None:
            self._watch.check()


def find_person(connection: sa.Connection, name: str) -> Person | None:
    """Return the annotator of that name, or None. Names are compared in Unicode form NFC."""
    name = unicodedata.normalize("NFC", name)
    people = _people(connection)
    return next((person for person in people if unicodedata.normalize("NFC", person.name) == name), None)


def _people(connection: sa.Connection) -> list[Person]:
    return [Person(**row) for row in connection.execute(sa.select(PEOPLE).order_by(PEOPLE.c.id)).mappings()]


def _first_answers(connection: sa.Connection) -> dict[int, Revision]:
    """Return the first answer to each gold task that is no skip, by task id. It was given before any feedback."""
    query = sa.select(REVISIONS).join(TASKS, REVISIONS.c.task == TASKS.c.id).where(TASKS.c.gold & ~REVISIONS.c.side)
    first: dict[int, Revision] = {}
    for row in connection.execute(query.order_by(REVISIONS.c.task, REVISIONS.c.number)).mappings():
        if row["task"] not in first and (revision := _revision(row)).body.get("skipped") is None:
            first[row["task"]] = revision
    return first


def make_person(connection: sa.Connection, name: str, invite: int | None = None) -> Person:
    """Add an annotator, who joins by the invite of that number or, without one, by a link of their own."""
    name = unicodedata.normalize("NFC", name)
    values = {"name": name, "shown": name, "created": time.time(), "invite": invite}
    connection.execute(PEOPLE.insert().values(values))
    return Person(**connection.execute(sa.select(PEOPLE).where(PEOPLE.c.name == name)).mappings().one())


def read_comments(connection: sa.Connection) -> list[Comment]:
    """Return all comments of the owner, oldest first."""
    rows = connection.execute(sa.select(COMMENTS).order_by(COMMENTS.c.id)).mappings()
    return [Comment(row["task"], row["revision"], row["text"], row["back"], row["created"]) for row in rows]


def _url_of(address: str | Path) -> sa.URL:
    if isinstance(address, Path):  # not parsed as a URL: its name may have a ? or %
        return sa.URL.create("sqlite", database=str(address))
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError):  # not quoted: the error's message contains the password
        url = None
    kind = "" if url is None else url.get_backend_name()
    if url is None or kind not in ("sqlite", "postgres", "postgresql"):
        raise SalignError("expected the database as sqlite:///FILE or postgresql://USER@HOST/NAME")
    return url if kind == "sqlite" else url.set(drivername="postgresql+psycopg")


def _task(row: sa.RowMapping) -> Task:
    return Task(**{**row, "images": tuple(json.loads(row["images"]))})


def _revision(row: sa.RowMapping) -> Revision:
    return Revision(row["task"], row["number"], row["base"], row["side"], row["body"], row["created"])


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions instead
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("salign_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_postgres(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO on")
    connection.commit()
