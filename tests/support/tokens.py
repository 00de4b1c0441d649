"""Where the grower's tokens are: at John Deere, in our database, at Leaf."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import hand_over
from onboarding.connections.tries import STRAY_LIVES
from onboarding.models import Attempt, Connection, Event, Grower, locked
from tests.support.contents import everything, forms
from tests.support.control import Entry
from tests.support.stack import SANDBOX, Stack
from tests.support.wait import wait_until

LOCK_SECONDS = 30.0
POST = "leaf.credentials.create"


def connection_of(stack: Stack, external_id: str) -> Connection:
    """A grower's connection as it stands in the database now."""
    query = sa.select(Connection).join(Grower).where(Grower.external_id == external_id)
    with stack.installation.database.reading() as session:
        return session.scalars(query).one()


def attempts_of(stack: Stack, connection: Connection) -> list[Attempt]:
    """A connection's attempts, oldest first."""
    query = sa.select(Attempt).where(Attempt.connection_id == connection.id)
    with stack.installation.database.reading() as session:
        return list(session.scalars(query.order_by(Attempt.created_at)))


def happened(stack: Stack, connection: Connection) -> list[str]:
    """The kinds of a connection's events, oldest first."""
    query = sa.select(Event.kind).where(Event.connection_id == connection.id).order_by(Event.id)
    with stack.installation.database.reading() as session:
        return list(session.scalars(query))


def change(stack: Stack, row: Connection | Attempt, **values: Any) -> None:
    """Change columns of a row, for example to let a month pass."""
    table = type(row)
    with stack.installation.database.transaction() as session:
        session.execute(sa.update(table).where(table.id == row.id).values(**values))


def let_stray_requests_end(stack: Stack, connection: Connection) -> None:
    """Let the minutes pass after which Leaf carries out nothing more that was cut off before."""
    parts = stack.installation
    with parts.database.transaction() as session:
        row = locked(session, connection.id)
        if row.stray_since is not None:
            row.stray_since = now() - STRAY_LIVES
            hand_over.retry(session, parts.queue, row)


def issued(stack: Stack, account: str) -> list[str]:
    """The refresh tokens that our app got for an account, oldest first."""
    return _at_deere(
        stack,
        "SELECT token, min(refresh_tokens.rowid) FROM refresh_tokens"
        " JOIN grants ON grants.id = grant_id WHERE account = ? GROUP BY grant_id ORDER BY 2",
        account,
    )


def _at_deere(stack: Stack, query: str, account: str) -> list[str]:
    """The first column of what the sandbox has stored about an account."""
    with closing(sqlite3.connect(stack.environment["SANDBOX_DATABASE"], timeout=10)) as store:
        return [row[0] for row in store.execute(query, (account,))]


def posts(stack: Stack, external_id: str) -> list[Entry]:
    """The requests to create a credential that reached Leaf, whatever it answered."""
    entries = stack.control.journal(point=POST, external_id=external_id)
    return [entry for entry in entries if entry["stored"]]


def handed_over(stack: Stack, external_id: str, *, limit: float = 60.0) -> Connection:
    """Wait until Leaf has the token and our database has none."""

    def at_leaf() -> Connection | None:
        found = connection_of(stack, external_id)
        return found if found.is_at_leaf and found.refresh_token is None else None

    found = wait_until(at_leaf, what=f"the token of {external_id} is at Leaf", limit=limit)
    assert found is not None
    return found


def assert_delivered(
    stack: Stack, external_id: str, account: str, *, token: str | None = None
) -> dict[str, Any]:
    """Leaf holds exactly one credential, with the right token, and our database holds none.

    :param token: the right one; default: the newest of the account
    :return: the credential
    """
    connection = connection_of(stack, external_id)
    credentials = stack.control.credentials(external_id)
    assert len(credentials) == 1, credentials
    (credential,) = credentials
    assert credential["givenRefreshToken"] == (token or issued(stack, account)[-1])
    assert (credential["account"], credential["live"]) == (account, True)
    assert credential["clientEnvironment"] == "STAGE"
    assert credential["leafUserId"] == connection.grower.leaf_user_id
    if stack.control.policies()["leaf_answers"] == "current":
        assert credential["id"] == connection.leaf_credential_id
    assert connection.refresh_token is None
    assert connection.hand_over_due_at is None
    assert connection.waiting_since is None
    assert connection.cause is None
    if connection.has_shared_organization:
        assert not any(attempt.access_token for attempt in attempts_of(stack, connection))
    return credential


def assert_no_token_stored(stack: Stack, *accounts: str) -> None:
    """No token that John Deere gave out for an account can be read in our database or logs."""
    secrets = [
        token
        for account in accounts
        for table in ("refresh_tokens", "access_tokens")
        for token in _at_deere(
            stack,
            f"SELECT token FROM {table} JOIN grants ON grants.id = grant_id WHERE account = ?",  # noqa: S608
            account,
        )
    ]
    assert secrets, f"John Deere gave no token to {accounts}"
    for place, content in _everything_stored(stack):
        for secret in secrets:
            for form in forms(secret):
                assert form not in content, f"{place} holds a token"


@contextmanager
def commits_held(stack: Stack) -> Iterator[None]:
    """Hold the app's database so that everybody can read it and nobody can commit a connection."""
    if stack.database_url.startswith("sqlite"):
        with closing(sqlite3.connect(_file(stack), timeout=LOCK_SECONDS)) as held:
            held.isolation_level = None
            held.execute("BEGIN IMMEDIATE")
            yield
            held.execute("ROLLBACK")
        return
    with _postgresql(stack) as server:
        server.execute("LOCK TABLE connection IN EXCLUSIVE MODE")
        yield
        server.rollback()


def _file(stack: Stack) -> Path:
    return Path(urlsplit(stack.database_url).path)


def _postgresql(stack: Stack) -> psycopg.Connection:
    return psycopg.connect(stack.database_url.replace("+psycopg", ""))


def _everything_stored(stack: Stack) -> Iterable[tuple[str, bytes]]:
    for name, log in stack.logs().items():
        if name != SANDBOX:
            yield f"{name}.log", log.encode()
    yield from everything(stack.installation.database.engine).items()
