"""Where annotations are kept: SQLite or Postgres; every revision stays, and what was acknowledged is on disk."""

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
from salign.annotate.rows import Person, Plan, Revision, Saved, Snapshot, Task
from salign.annotate.store_file import Watch
from salign.errors import SalignError

VERSION = "1"
"""Version of the tables."""

_METADATA = sa.MetaData()
log = logging.getLogger("salign.annotate")

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ABOUT = sa.Table("about", _METADATA, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text))
_PEOPLE = sa.Table(
    "annotators",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("shown", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("consented", sa.Double),
)
_TASKS = sa.Table(
    "tasks",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("annotator", _ID, sa.ForeignKey("annotators.id"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("images", sa.Text, nullable=False),
    sa.Column("arm", sa.Text),
    sa.Column("gold", sa.Boolean, nullable=False),
    sa.Column("leased", sa.Double, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.UniqueConstraint("unit", "annotator"),
    sa.UniqueConstraint("annotator", "position"),
    sa.Index("tasks_taken", "unit", "state", "leased"),
)
_REVISIONS = sa.Table(
    "revisions",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("task", _ID, sa.ForeignKey("tasks.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("base", sa.Integer, nullable=False),
    sa.Column("side", sa.Boolean, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.UniqueConstraint("task", "number"),
)

_COUNTING = sa.select(_REVISIONS).join(
    _TASKS, (_REVISIONS.c.task == _TASKS.c.id) & (_REVISIONS.c.number == _TASKS.c.revision)
)

_LOCK = 7_364_128  # of Postgres: one hand-out at a time
_FIRST = 10**14  # numbers of tasks have 15 digits, drawn at random


class KeyReused(Mistaken):
    """A key that names another save; nothing was stored."""


class Store:
    """A database; methods are safe to call from many threads and from several processes."""

    def __init__(self, place: str | Path) -> None:
        """Open or make the tables.

        Args:
            place: `sqlite:///FILE`, `postgresql://USER:PASSWORD@HOST/DATABASE`, or the file of a SQLite database.

        Raises:
            SalignError: it cannot be opened, or holds tables of another version.
        """
        self._url = _url_of(place)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self.known: dict[int, Person] = {}
        """Annotators looked up before: each request names one."""
        self._turn = threading.RLock()  # SQLite takes one writer at a time: queue here instead of failing there
        self._watch: Watch | None = None
        try:
            if self._sqlite:
                self._engine = sa.create_engine(self._url, pool_size=20, max_overflow=40)
                sa.event.listen(self._engine, "do_connect", lambda *_: self._look())  # or SQLite makes an empty file
                sa.event.listen(self._engine, "connect", _prepare_sqlite)
                sa.event.listen(self._engine, "begin", _begin_sqlite)
                self._held = self._engine.connect()  # as long as one is open, the -wal file stays the same
            else:
                self._engine = sa.create_engine(self._url, pool_size=20, max_overflow=40, pool_pre_ping=True)
                sa.event.listen(self._engine, "connect", _prepare_postgres)
            with self._writing() as connection:
                if not self._sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                _METADATA.create_all(connection)
                found = self._remember(connection, "version", VERSION)
                self.study = self._remember(connection, "study", secrets.token_hex(16))
                """Names the study: a browser keeps apart by it what belongs to which, and every save says it."""
                if not self._sqlite and connection.execute(sa.text("SHOW fsync")).scalar() != "on":
                    log.warning(
                        "this Postgres runs with fsync off: after a power cut, what was acknowledged may be lost"
                    )
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise SalignError(f"cannot open the database {self.shown_url}: {error}") from error
        if found != VERSION:
            raise SalignError(f"{self.shown_url}: tables of version {found}, this salign has {VERSION}")
        if self._sqlite and self._url.database:
            self._watch = Watch(Path(self._url.database))

    @property
    def shown_url(self) -> str:
        """The URL without its password; of a SQLite database its file."""
        return str(self._url.database) if self._sqlite else self._url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Let go of all connections."""
        if self._sqlite:
            self._held.close()
        self._engine.dispose()

    def remember(self, key: str, value: str) -> str:
        """Note a fact about the study; from the first task on, what is noted stands. Gives the one that stands."""
        with self._writing() as connection:
            stands = self._remember(connection, key, value)
            if stands == value or connection.execute(sa.select(_TASKS.c.id).limit(1)).first() is not None:
                return stands
            connection.execute(_ABOUT.update().where(_ABOUT.c.key == key).values(value=value))
            return value

    def add_person(self, name: str) -> Person:
        """The annotator of that name, made where there is none; letters may be composed in another way."""
        name = unicodedata.normalize("NFC", name)
        with self._writing() as connection:
            self._serialise(connection)
            people = connection.execute(sa.select(_PEOPLE).order_by(_PEOPLE.c.id)).mappings().all()
            same = (person for person in people if unicodedata.normalize("NFC", person["name"]) == name)
            if (found := next(same, None)) is None:
                values = {"name": name, "shown": name, "created": time.time()}
                connection.execute(_PEOPLE.insert().values(values))
                found = connection.execute(sa.select(_PEOPLE).where(_PEOPLE.c.name == name)).mappings().one()
            return Person(**found)

    def change_person(self, person: int, *, shown: str | None = None, consented: float | None = None) -> None:
        """Change what an annotator is called, or note when consent was given (the first time stays)."""
        with self._writing() as connection:
            if shown is not None:
                connection.execute(_PEOPLE.update().where(_PEOPLE.c.id == person).values(shown=shown))
            if consented is not None:
                first = sa.and_(_PEOPLE.c.id == person, _PEOPLE.c.consented.is_(None))
                connection.execute(_PEOPLE.update().where(first).values(consented=consented))
        self.known.pop(person, None)

    def person(self, number: int) -> Person | None:
        """The annotator of that number."""
        with self._reading() as connection:
            found = connection.execute(sa.select(_PEOPLE).where(_PEOPLE.c.id == number)).mappings().first()
        if found is None:
            return None
        self.known[number] = Person(**found)
        return self.known[number]

    def hand_out(
        self,
        annotator: int,
        lease: float,
        plan: Callable[[list[Task], dict[str, int]], list[Plan]],
    ) -> list[Task]:
        """Make tasks for an annotator and renew the lease of the open ones, in one transaction.

        Args:
            annotator: its number.
            lease: seconds from now that open tasks are kept.
            plan: gets the annotator's tasks and how many *others* answered or hold each unit; gives the new tasks.

        Returns:
            All tasks of the annotator, in order.
        """
        now = time.time()
        with self._writing() as connection:
            self._serialise(connection)
            mine = self._tasks(connection, annotator)
            counts = (
                sa.select(_TASKS.c.unit, sa.func.count())
                .where(_TASKS.c.annotator != annotator)
                .where((_TASKS.c.state == "done") | ((_TASKS.c.state == "open") & (_TASKS.c.leased > now)))
                .group_by(_TASKS.c.unit)
            )
            taken = {unit: int(count) for unit, count in connection.execute(counts)}
            rows = [
                {
                    "id": _FIRST + secrets.randbelow(9 * _FIRST),  # after a backup was restored none comes twice
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
                for number, new in enumerate(plan(mine, taken))
            ]
            renewed = (_TASKS.c.annotator == annotator) & (_TASKS.c.state == "open")
            connection.execute(_TASKS.update().where(renewed).values(leased=now + lease))
            if rows:
                connection.execute(_TASKS.insert(), rows)
                mine = self._tasks(connection, annotator)
            return mine

    def tasks(self, annotator: int) -> list[Task]:
        """All tasks of an annotator, in the order they were handed out."""
        with self._reading() as connection:
            return self._tasks(connection, annotator)

    def task(self, number: int, annotator: int) -> Task | None:
        """A task, if it is this annotator's."""
        wanted = sa.select(_TASKS).where((_TASKS.c.id == number) & (_TASKS.c.annotator == annotator))
        with self._reading() as connection:
            found = connection.execute(wanted).mappings().first()
            return None if found is None else _task(found)

    def save(self, key: str, task: Task, base: int, body: dict[str, Any]) -> Saved:
        """Keep a revision; when this returns, it is on disk.

        Args:
            key: names this save: the same one again stores nothing.
            task: what was annotated.
            base: revision it was based on; unless that is the latest, the save becomes a side revision.
            body: the annotation; `skipped` in it decides whether the task counts as skipped.

        Raises:
            KeyReused: the key was used for another save.
        """
        text = json.dumps(body, sort_keys=True)
        try:
            with self._writing() as connection:
                row = _TASKS.c.id == task.id
                latest = connection.execute(sa.select(_TASKS.c.revision).where(row).with_for_update()).scalar_one()
                if (earlier := self._earlier(connection, key, task, text, latest)) is not None:
                    return earlier
                of_task = _REVISIONS.c.task == task.id
                highest = connection.execute(sa.select(sa.func.max(_REVISIONS.c.number)).where(of_task)).scalar()
                number, side = int(highest or 0) + 1, base != latest
                values = {"task": task.id, "number": number, "key": key, "base": base, "side": side, "body": text}
                connection.execute(_REVISIONS.insert().values(**values, created=time.time()))
                if not side:
                    latest, state = number, "skipped" if body.get("skipped") is not None else "done"
                    connection.execute(_TASKS.update().where(row).values(revision=number, state=state))
        except sa.exc.IntegrityError:  # the same key at the same moment, for another task
            raise KeyReused(f"the key {key} was used for another save") from None
        return Saved(number, latest, side, again=False)

    def revisions(self, task: int) -> list[Revision]:
        """Every revision of a task, side revisions too, oldest first."""
        wanted = sa.select(_REVISIONS).where(_REVISIONS.c.task == task).order_by(_REVISIONS.c.number)
        with self._reading() as connection:
            return [_revision(row) for row in connection.execute(wanted).mappings()]

    def latest(self, annotator: int, task: int | None = None) -> dict[int, Revision]:
        """The revisions of an annotator that count, by task id; of one task only, if that is given."""
        wanted = _COUNTING.where(_TASKS.c.annotator == annotator)
        wanted = wanted if task is None else wanted.where(_TASKS.c.id == task)
        with self._reading() as connection:
            return {row["task"]: _revision(row) for row in connection.execute(wanted).mappings()}

    def first_answers(self) -> dict[int, Revision]:
        """What was saved first of each gold task, by task id: before any feedback."""
        wanted = sa.select(_REVISIONS).join(_TASKS, _REVISIONS.c.task == _TASKS.c.id)
        with self._reading() as connection:
            rows = connection.execute(wanted.where(_TASKS.c.gold & (_REVISIONS.c.number == 1))).mappings()
            return {row["task"]: _revision(row) for row in rows}

    def snapshot(self) -> Snapshot:
        """Everything that counts, as of one moment, while others go on saving."""
        in_order = sa.select(_TASKS).order_by(_TASKS.c.annotator, _TASKS.c.position)
        with self._reading() as connection:
            people = [Person(**row) for row in connection.execute(sa.select(_PEOPLE).order_by(_PEOPLE.c.id)).mappings()]
            tasks = [_task(row) for row in connection.execute(in_order).mappings()]
            latest = {row["task"]: _revision(row) for row in connection.execute(_COUNTING).mappings()}
        return Snapshot(people, tasks, latest)

    def anything(self) -> bool:
        """Whether something was saved."""
        with self._reading() as connection:
            return connection.execute(sa.select(_REVISIONS.c.id).limit(1)).first() is not None

    def _earlier(self, connection: sa.Connection, key: str, task: Task, text: str, latest: int) -> Saved | None:
        found = connection.execute(sa.select(_REVISIONS).where(_REVISIONS.c.key == key)).mappings().first()
        if found is None:
            return None
        if found["task"] != task.id or found["body"] != text:
            raise KeyReused(f"the key {key} was used for another save")
        return Saved(found["number"], found["number"] if not found["side"] else latest, found["side"], again=True)

    def _tasks(self, connection: sa.Connection, annotator: int) -> list[Task]:
        wanted = sa.select(_TASKS).where(_TASKS.c.annotator == annotator).order_by(_TASKS.c.position)
        return [_task(row) for row in connection.execute(wanted).mappings()]

    def _remember(self, connection: sa.Connection, key: str, value: str) -> str:
        found = connection.execute(sa.select(_ABOUT.c.value).where(_ABOUT.c.key == key)).scalar()
        if found is None:
            connection.execute(_ABOUT.insert().values(key=key, value=value))
            return value
        return str(found)

    def _serialise(self, connection: sa.Connection) -> None:
        """Nobody else makes tasks or people until this transaction ends."""
        if not self._sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        if not self._sqlite:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._turn:
            self._look()
            with self._engine.execution_options(salign_write=True).begin() as connection:
                yield connection
            self._look()  # nothing is acknowledged that went to files which are not there any more

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        self._look()
        level = {} if self._sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._engine.execution_options(**level).begin() as connection:
            yield connection

    def _look(self) -> None:
        """Insist that the files of the database are those that were opened."""
        if self._watch is not None:
            self._watch.check()


def _url_of(place: str | Path) -> sa.URL:
    if isinstance(place, Path):  # whose name may hold what means something in a URL
        return sa.URL.create("sqlite", database=str(place))
    try:
        url = sa.make_url(place)
    except (sa.exc.ArgumentError, ValueError):  # whose words hold the password
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
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("salign_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_postgres(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO on")
    connection.commit()
