"""The use cases of a consent, each in a transaction of its own, as the views call them."""

from __future__ import annotations

import sqlalchemy as sa

from onboarding import settings
from onboarding.connections import consent
from onboarding.connections.consent import Started
from onboarding.db import Database
from onboarding.deere import Tokens
from onboarding.models import Attempt, Connection, Link
from onboarding.queue import Queue, hand_over_id
from onboarding.states import Outcome
from onboarding.vault import Vault, new_key

TOKENS = Tokens(
    access_token="access-9kQ2Lm7xWz4TbV1n",
    refresh_token="refresh-7Hq2Zx81kP0_wVbN3m",
    scopes=frozenset({"ag1", "org1", "offline_access"}),
    expires_in=43_200,
)


class Walk:
    """The use cases, each in a transaction of its own, as the views call them."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.vault = Vault([b"k" * 32])
        self.queue = Queue(database.engine)
        self.settings = settings.load(
            {
                "SECRET_KEY": "s" * 32,
                "ENCRYPTION_KEYS": new_key(),
                "PUBLIC_URL": "https://connect.example",
                "DATABASE_URL": url,
                "DEERE_CLIENT_KEY": "client-key",
                "DEERE_CLIENT_SECRET": "client-secret",
                "DEERE_ENVIRONMENT": "STAGE",
                "DEERE_SCOPES": "ag1 org1 offline_access",
                "LEAF_USERNAME": "owner@example.com",
                "LEAF_PASSWORD": "owner password",
            }
        )

    def start(self, link: Link) -> Started:
        with self.database.transaction() as session:
            return consent.start(session, self.vault, self.settings, session.get_one(Link, link.id))

    def find(self, state: str | None, cookie: str | None) -> Attempt:
        with self.database.reading() as session:
            return consent.find(session, state=state, browser_secret=lambda _attempt: cookie)

    def note_elsewhere(self, started: Started) -> None:
        with self.database.transaction() as session:
            consent.note_elsewhere(session.get_one(Attempt, started.attempt_id))

    def use(self, started: Started) -> str | None:
        with self.database.transaction() as session:
            attempt = session.get_one(Attempt, started.attempt_id)
            return consent.use(session, self.vault, attempt)

    def finish(self, started: Started, outcome: Outcome, *, detail: str = "") -> None:
        with self.database.transaction() as session:
            attempt = session.get_one(Attempt, started.attempt_id)
            consent.finish(session, attempt, outcome, detail=detail)

    def receive(self, started: Started, tokens: Tokens = TOKENS) -> None:
        with self.database.transaction() as session:
            attempt = session.get_one(Attempt, started.attempt_id)
            consent.receive(
                session, self.vault, self.queue, self.settings, attempt=attempt, tokens=tokens
            )

    def keep(self, started: Started, tokens: Tokens = TOKENS) -> None:
        consent.keep(
            self.database, self.vault, self.queue, self.settings, started.attempt_id, tokens
        )

    def attempt(self, started: Started) -> Attempt:
        with self.database.reading() as session:
            return session.get_one(Attempt, started.attempt_id)

    def put(self, link: Link, **values: object) -> None:
        """Set columns of the link's connection."""
        with self.database.transaction() as session:
            where = Connection.grower_id == link.grower_id
            session.execute(sa.update(Connection).where(where).values(**values))

    def enqueued(self, connection: Connection) -> list[int]:
        """The tries of the hand-over that wait in the queue."""
        ids = {hand_over_id(connection.id, number): number for number in range(1, 10)}
        return sorted(ids[found] for found in self.queue.unfinished(ids))

    def token(self, connection: Connection) -> str | None:
        """The refresh token that the connection holds."""
        if connection.refresh_token is None:
            return None
        return self.vault.decrypt(connection.refresh_token, place=connection.token_place)
