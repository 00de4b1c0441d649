"""The hand-over of one grower's token, try by try."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import checks, disconnect, hand_over, history, invitations
from onboarding.connections import sweep as sweeping
from onboarding.leaf import Leaf
from onboarding.models import Connection, Grower, Link, Partner
from onboarding.states import Health, Stage, Urgency
from tests.unit.failures import PATIENT
from tests.unit.leaf_double import LeafDouble
from tests.unit.rows import PARTNER, connection_of, history_of
from tests.unit.walk import TOKENS, Walk

TOKEN = str(TOKENS.refresh_token)


class Tries:
    """What workers and staff do, in the order in which a test says."""

    def __init__(self, walk: Walk, leaf: LeafDouble, link: Link) -> None:
        self.walk = walk
        self.leaf = leaf
        self.link = link

    def consent(self, token: str = TOKEN) -> None:
        """The grower brings a token."""
        started = self.walk.start(self.link)
        self.walk.use(started)
        self.walk.receive(started, replace(TOKENS, refresh_token=token))

    def once(self) -> Connection:
        """The newest try, on a worker that has just started."""
        walk, connection = self.walk, self.connection()
        hand_over.hand_over(
            walk.database,
            walk.vault,
            self._client(),
            walk.queue,
            walk.settings,
            connection.id,
            number=connection.hand_over_try,
            worker_id=uuid4(),
        )
        return self.connection()

    def retry(self) -> None:
        """Staff have a hand-over that failed tried again."""
        with self.walk.database.transaction() as session:
            hand_over.retry(session, self.walk.queue, self.connection())

    def disconnect(self, *, who: str = history.GROWER, reason: str = "") -> Connection:
        """Somebody asks to disconnect."""
        with self.walk.database.transaction() as session:
            disconnect.ask(session, self.walk.queue, self.connection(), who=who, reason=reason)
        return self.connection()

    def set_leaf_user(self, leaf_user_id: str) -> None:
        """Staff say which Leaf user it is."""
        with self.walk.database.transaction() as session:
            invitations.invite(
                session,
                partner_slug=PARTNER,
                external_id=self.connection().grower.external_id,
                name="Maple Farm",
                lifetime=timedelta(days=14),
                leaf_user_id=leaf_user_id,
            )

    def let_program_name_the_grower(self) -> None:
        """Let it be the partner's program that has named them."""
        with self.walk.database.transaction() as session:
            session.execute(sa.update(Grower).values(by_partner=True))

    def choose_organizations(self) -> None:
        """Let the partner be one for whom the configuration is written first."""
        with self.walk.database.transaction() as session:
            session.execute(sa.update(Partner).values(select_organizations=True))

    def sweep(self) -> None:
        """A sweep that knows of no worker."""
        sweeping.sweep(self.walk.database, self.walk.queue, process_is_gone=lambda _: False)

    def let_leaf_have_it(self, leaf_user_id: str, *, since: timedelta) -> None:
        """Leaf has had the token that waits for so long, and was asked about it meanwhile."""
        self.set_leaf_user(leaf_user_id)
        self.leaf.hold(leaf_user_id, TOKEN)
        moment = now() - since
        self.put(
            stage=Stage.CHOOSING_ORGANIZATIONS,
            health=Health.OK,
            refresh_token=None,
            hand_over_due_at=None,
            token_received_at=moment,
            handed_over_at=moment,
            checks=7,
        )

    def check(self) -> None:
        """A worker asks Leaf how the credential is."""
        self.put(check_due_at=now(), check_urgency=Urgency.LOOK)
        (claimed,) = checks.claim(self.walk.database, looks=1, others=0)
        checks.note(self.walk.database, claimed, checks.ask(self._client(), claimed))

    def put(self, **values: Any) -> None:
        """Set columns of the connection, for example to let a month pass."""
        self.walk.put(self.link, **values)

    def connection(self) -> Connection:
        """The connection as the database has it."""
        return connection_of(self.walk.database, self.link)

    def token(self) -> str | None:
        """The token that we hold."""
        return self.walk.token(self.connection())

    def history(self) -> list[str]:
        """What happened, oldest first."""
        return history_of(self.walk.database, self.connection().id)

    def _client(self) -> Leaf:
        url = self.leaf.server.url
        return Leaf(url, "owner@example.com", "owner password", timeout=PATIENT)
