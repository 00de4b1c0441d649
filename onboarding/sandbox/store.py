"""The sandbox's own SQLite file: everything that must survive a restart."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onboarding.sandbox.accounts import ACCOUNTS

LOCK_TIMEOUT_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, account TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS consents (
    account TEXT NOT NULL, scope TEXT NOT NULL, PRIMARY KEY (account, scope));
CREATE TABLE IF NOT EXISTS codes (
    code TEXT PRIMARY KEY, account TEXT NOT NULL, client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL, scope TEXT NOT NULL, code_challenge TEXT,
    code_challenge_method TEXT, created REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS grants (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, client_id TEXT NOT NULL, scope TEXT NOT NULL,
    created REAL NOT NULL, revoked INTEGER NOT NULL DEFAULT 0, used REAL,
    expired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS refresh_tokens (
    token TEXT PRIMARY KEY, grant_id INTEGER NOT NULL REFERENCES grants (id),
    rotated INTEGER NOT NULL DEFAULT 0, uses INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS access_tokens (
    token TEXT PRIMARY KEY, grant_id INTEGER NOT NULL REFERENCES grants (id),
    expires REAL NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS connections (
    account TEXT NOT NULL, organization TEXT NOT NULL, PRIMARY KEY (account, organization));
CREATE TABLE IF NOT EXISTS hidden_reads (
    account TEXT PRIMARY KEY, remaining INTEGER NOT NULL, shown TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS standings (
    account TEXT NOT NULL, organization TEXT NOT NULL, has_left INTEGER NOT NULL,
    permitted INTEGER NOT NULL, PRIMARY KEY (account, organization));
CREATE TABLE IF NOT EXISTS accepted_terms (account TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS residents (name TEXT PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leaf_users (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, name TEXT, email TEXT, phone TEXT,
    address TEXT, external_id TEXT);
CREATE INDEX IF NOT EXISTS leaf_users_number ON leaf_users (number);
CREATE TABLE IF NOT EXISTS leaf_credentials (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, leaf_user_id TEXT NOT NULL,
    client_key TEXT NOT NULL, client_secret TEXT NOT NULL, environment TEXT NOT NULL,
    refresh_token TEXT NOT NULL, given_token TEXT NOT NULL, access_token TEXT NOT NULL,
    account TEXT, scope TEXT NOT NULL, created TEXT NOT NULL, status TEXT NOT NULL,
    silent_reads INTEGER NOT NULL, fails INTEGER NOT NULL, forced TEXT);
CREATE INDEX IF NOT EXISTS leaf_credentials_user ON leaf_credentials (leaf_user_id);
CREATE TABLE IF NOT EXISTS leaf_events (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, credential_id TEXT NOT NULL,
    created TEXT NOT NULL, status_code INTEGER NOT NULL, headers TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS leaf_events_credential ON leaf_events (credential_id);
CREATE TABLE IF NOT EXISTS leaf_configs (leaf_user_id TEXT PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leaf_choices (
    leaf_user_id TEXT NOT NULL, organization TEXT NOT NULL, status TEXT NOT NULL,
    PRIMARY KEY (leaf_user_id, organization));
CREATE TABLE IF NOT EXISTS leaf_webhooks (id TEXT PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leaf_alerts (
    number INTEGER PRIMARY KEY, url TEXT NOT NULL, secret TEXT, kind TEXT NOT NULL,
    body TEXT NOT NULL, created REAL NOT NULL, due REAL, attempts INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0, status INTEGER, response TEXT, error TEXT);
CREATE INDEX IF NOT EXISTS leaf_alerts_due ON leaf_alerts (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS leaf_doubts (credential_id TEXT PRIMARY KEY, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY, received REAL NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
    raw BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS mails_recipient ON mails (recipient);
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, data TEXT NOT NULL);
"""
_LATER_COLUMNS = (
    ("grants", "used", "REAL"),
    ("grants", "expired", "INTEGER NOT NULL DEFAULT 0"),
)
"""What a file of an earlier version lacks: table, column, kind."""


class Store:
    """Connections to the SQLite file, shared by all threads of the one process.

    WAL lets readers go on while one thread writes. Without fsync: the state must outlive a killed
    process, which it does, not a power cut.
    """

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._writing = threading.Lock()
        with self._borrowed() as connection:
            connection.executescript(_SCHEMA)
            _add_later_columns(connection)
        with self.write() as connection:
            if connection.execute("SELECT 1 FROM meta WHERE key = 'seeded'").fetchone() is None:
                _seed(connection)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for statements that only read."""
        with self._borrowed() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end, rolled back if anything is raised."""
        with self._writing, self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        with self.read() as connection:
            row: sqlite3.Row | None = connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows."""
        with self.read() as connection:
            return connection.execute(sql, values).fetchall()

    def wipe(self) -> None:
        """Forget everything, as on the first start."""
        with self.write() as connection:
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - own table names
            _seed(connection)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        while not self._idle.empty():
            self._idle.get().close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=LOCK_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        return connection


def _add_later_columns(connection: sqlite3.Connection) -> None:
    for table, column, kind in _LATER_COLUMNS:
        known = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
        if column not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _seed(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('seeded', '1')")
    connection.executemany(
        "INSERT INTO connections VALUES (?, ?)",
        [
            (account.name, farm.id)
            for account in ACCOUNTS.values()
            for farm in account.farms
            if farm.connected
        ],
    )
