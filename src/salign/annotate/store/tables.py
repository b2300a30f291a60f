"""The tables of a study, and the upgrade of tables of an earlier version."""

from __future__ import annotations

import sqlalchemy as sa

from salign.errors import SalignError

VERSION = "2"
"""Version of the tables. Version 1 had neither invites nor comments."""

_METADATA = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

ABOUT = sa.Table("about", _METADATA, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text))
INVITES = sa.Table(
    "invites",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("people", sa.Integer),
    sa.Column("images", sa.Integer),
    sa.Column("until", sa.Double),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("stopped", sa.Double),
)
PEOPLE = sa.Table(
    "annotators",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("shown", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("consented", sa.Double),
    sa.Column("invite", _ID),
    sa.Column("stopped", sa.Double),
)
TASKS = sa.Table(
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
REVISIONS = sa.Table(
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
COMMENTS = sa.Table(
    "comments",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("task", _ID, sa.ForeignKey("tasks.id"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("back", sa.Boolean, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)

_ADDED = {"1": [PEOPLE.c.invite, PEOPLE.c.stopped]}
"""For each earlier version, the columns that its tables lack. Whole tables that are missing are made anyway."""


def prepare_tables(connection: sa.Connection) -> None:
    """Make the tables that are missing, and upgrade tables of an earlier version. All rows are kept.

    Raises:
        SalignError: the tables are of a version that this salign does not know.
    """
    _METADATA.create_all(connection)
    version = remember(connection, "version", VERSION)
    if version in _ADDED:
        for column in _ADDED[version]:
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}")
        connection.execute(ABOUT.update().where(ABOUT.c.key == "version").values(value=VERSION))
    elif version != VERSION:
        raise SalignError(
            f"{connection.engine.url.database}: its tables are of version {version}, and this salign knows them up to "
            f"{VERSION}; open the study with the salign that made it, or a later one"
        )


def remember(connection: sa.Connection, key: str, value: str) -> str:
    """Store a fact about the study, unless there is a value for that key already; return the value that is stored."""
    stored = connection.execute(sa.select(ABOUT.c.value).where(ABOUT.c.key == key)).scalar()
    if stored is not None:
        return str(stored)
    connection.execute(ABOUT.insert().values(key=key, value=value))
    return value
