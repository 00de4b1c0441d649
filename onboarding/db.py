"""The database: one engine, a transaction to write in and one to read in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session

POOL_SIZE = 10
POOL_OVERFLOW = 20
POOL_TIMEOUT_SECONDS = 10.0
SQLITE_BUSY_TIMEOUT_MS = 30_000
DELETED_AT_ONCE = 1000
DATABASE_ERRORS = (OperationalError, ProgrammingError, InternalError)
"""It is away, or not the one that this release needs: no fault of the row that is worked on."""


class Database:
    """An SQLite file or a PostgreSQL database, spoken to in the same way.

    :ivar engine: SQLAlchemy's engine, for migrations and for the queue's client
    """

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite"):
            self.engine = _sqlite_engine(url)
            self._reader = self._glancer = self.engine
        else:
            self.engine = sa.create_engine(
                url,
                pool_size=POOL_SIZE,
                max_overflow=POOL_OVERFLOW,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                pool_pre_ping=True,
                # Else the server decides, and one made without an encoding sends bytes.
                connect_args={"client_encoding": "utf8"},
                hide_parameters=True,
            )
            # PostgreSQL's default would show every query of a transaction another moment.
            self._reader = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._glancer = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self.engine.execution_options(onboarding_writes=True)
        self._counter = self._writer.execution_options(onboarding_counts=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session to write with: committed at the end, rolled back if an exception passes.

        Never hold one open during a network call: SQLite has one writer at a time.
        """
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def counting(self) -> Iterator[Session]:
        """A session to write with what may be lost with the machine: it waits for no disk."""
        with Session(self._counter, expire_on_commit=False) as session, session.begin():
            if self.engine.dialect.name == "postgresql":
                session.execute(sa.text("SET LOCAL synchronous_commit = off"))
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session to read with: it sees one moment and takes no write lock."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def glancing(self) -> Iterator[sa.Connection]:
        """A connection for a single query that reads: nothing is sent before and after it."""
        with self._glancer.connect() as connection:
            yield connection


def delete_oldest(
    session: Session,
    table: type[DeclarativeBase],
    *,
    by: InstrumentedAttribute[datetime],
    before: datetime,
    only: Sequence[sa.ColumnElement[bool]] = (),
) -> int:
    """Delete the rows of which a date is before a moment: the oldest, a thousand at most.

    :param by: the date; there should be an index on it
    :param only: what else must hold of them
    :return: how many they were
    """
    (key,) = sa.inspect(table).primary_key
    old = sa.select(key).where(by < before, *only).order_by(by).limit(DELETED_AT_ONCE)
    gone = session.execute(sa.delete(table).where(key.in_(old)).returning(key))
    return len(gone.all())


def seconds_between(session: Session, earlier: Any, later: Any) -> sa.ColumnElement[float]:
    """From one moment to another, in the database; in SQLite to the millisecond."""
    if session.get_bind().dialect.name == "postgresql":
        return sa.func.date_part("epoch", later - earlier, type_=sa.Float())
    days: sa.ColumnElement[float] = sa.func.julianday(later) - sa.func.julianday(earlier)
    return days * 86_400


def _sqlite_engine(url: str) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # None: the driver begins nothing by itself, so that `begin` below decides.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit is on the disk when it returns. A grower's consent hangs on that.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # An erased token is overwritten, not just unlinked; only some builds do that unasked.
        connection.execute("PRAGMA secure_delete=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another writer was
        # faster; IMMEDIATE waits for its turn instead.
        options = connection.get_execution_options()
        writes = options.get("onboarding_writes", False)
        if writes:
            # NORMAL: such a commit is on the disk with the next FULL one.
            level = "NORMAL" if options.get("onboarding_counts", False) else "FULL"
            connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
