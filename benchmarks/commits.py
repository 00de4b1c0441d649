"""How many transactions that wrote something were committed, seen from outside the product."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

WAL_HEADER = struct.Struct(">4I4I")
FRAME_HEADER = struct.Struct(">6I")


@contextmanager
def counter(engine: sa.Engine) -> Iterator[Callable[[], int]]:
    """Count while the context lasts.

    :return: gives a number that has grown by one for each write committed since the last call
    """
    if engine.dialect.name == "sqlite":
        with _sqlite(Path(str(engine.url.database))) as count:
            yield count
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield lambda: _postgresql(connection)


def _postgresql(connection: sa.Connection) -> int:
    """The next transaction id: PostgreSQL gives one to each transaction that writes, only then."""
    query = sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    return int(connection.execute(query).scalar_one())


@contextmanager
def _sqlite(path: Path) -> Iterator[Callable[[], int]]:
    """Frames of the write-ahead log that end a commit (sqlite.org, fileformat2, section 4.1).

    An open reader keeps SQLite from starting the log anew. It must have read from the log itself
    for that, so something is written just before.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={version + 1}")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        log = path.with_name(f"{path.name}-wal")
        salts = _salts(log)

        def count() -> int:
            if _salts(log) != salts:
                raise RuntimeError("SQLite has started its log anew; the count is lost")
            return _count_commits(log)

        yield count
    finally:
        connection.close()


def _salts(log: Path) -> tuple[int, int]:
    with log.open("rb") as file:
        header = WAL_HEADER.unpack(file.read(WAL_HEADER.size))
    return header[4], header[5]


def _count_commits(log: Path) -> int:
    with log.open("rb") as file:
        header = WAL_HEADER.unpack(file.read(WAL_HEADER.size))
        page_size, salts = header[2], header[4:6]
        found = 0
        while len(head := file.read(FRAME_HEADER.size)) == FRAME_HEADER.size:
            _page, size_after_commit, *salts_here = FRAME_HEADER.unpack(head)[:4]
            if tuple(salts_here) != salts:
                break  # left over from before the log was started anew
            found += size_after_commit > 0
            file.seek(page_size, 1)
    return found
