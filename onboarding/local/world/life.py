"""One grower of the demo world: who they are, where they stand, and what happened, as rows."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from onboarding.connections import history
from onboarding.local.world.people import Person
from onboarding.models import (
    ATTEMPT_LIFETIME,
    Attempt,
    Connection,
    Event,
    Grower,
    LeafEvent,
    Link,
    Mail,
    Organization,
    Partner,
)
from onboarding.models.connection import REFERENCE_LENGTH, REFERENCE_LETTERS
from onboarding.settings import Settings
from onboarding.states import Health, MailKind, MailState, Outcome, Stage

SPAN = timedelta(days=90)
"""So far back the history goes."""
READS_FOR = timedelta(seconds=40)
"""The first page, before the button is pressed."""


@dataclass
class Life:
    """A grower in the making.

    :ivar moment: the present
    :ivar account: what differs, for the simulated John Deere and Leaf, from an account that works
    """

    chance: Random
    settings: Settings
    moment: datetime
    person: Person
    grower: Grower
    connection: Connection
    born: datetime
    organizations: list[Organization] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    leaf_events: list[LeafEvent] = field(default_factory=list)
    account: dict[str, Any] = field(default_factory=dict)
    refresh_token: str = ""
    opened_at: datetime | None = None
    """When they opened the link, if that was not when they began."""
    settled: datetime = field(init=False)
    """Until then it is told what happened; what comes next is later."""

    def __post_init__(self) -> None:
        self.settled = self.born

    def key(self) -> uuid.UUID:
        """An id that is the same in each such world."""
        return uuid.UUID(int=self.chance.getrandbits(128), version=4)

    def later(self, at: datetime, **least: float) -> datetime:
        """A moment up to three times so long after another, but not in the future."""
        pause = timedelta(**least) * (1 + 2 * self.chance.random())
        return min(at + pause, self.moment - timedelta(seconds=self.chance.uniform(1, 20)))

    def happens(self, at: datetime, kind: str, who: str = history.SYSTEM, **data: Any) -> None:
        """A line of the history."""
        self.events.append(
            Event(connection_id=self.connection.id, at=at, kind=kind, who=who, data=data)
        )

    def link(self, at: datetime) -> Link:
        """A link is made."""
        link = Link(
            id=self.key(),
            grower_id=self.grower.id,
            created_at=at,
            expires_at=at + timedelta(days=self.settings.link_lifetime_days),
            revoked_at=None,
            opened_at=None,
            made_by=None,
            made_in=None,
        )
        self.links.append(link)
        self.happens(at, "link_made", history.STAFF)
        return link

    def mail(
        self,
        at: datetime,
        kind: MailKind,
        *,
        state: MailState = MailState.SENT,
        number: int = 1,
        about: datetime | None = None,
        link: Link | None = None,
        detail: str = "",
    ) -> None:
        """A mail was sent, or something else became of it."""
        if not self.grower.email:
            return
        is_over = state is not MailState.WAITING
        ended = min(self.later(at, seconds=2), self.moment) if is_over else None
        self.mails.append(
            Mail(
                id=self.key(),
                connection_id=self.connection.id,
                link_id=link.id if link else None,
                kind=kind,
                state=state,
                about=about,
                number=number,
                created_at=at if is_over else self.moment,
                due_at=None if is_over else at,
                tries=1 if is_over else 0,
                first_tried_at=None,
                ended_at=ended,
                message_id=f"{self.key().hex}@sandbox.example" if is_over else "",
                detail=detail,
            )
        )
        if ended is not None:
            self.happens(
                ended, f"mail_{state.value}", mail=kind.value, number=number, detail=detail
            )

    def attempt(
        self, at: datetime, outcome: Outcome | None, *, detail: str = "", **fields: Any
    ) -> Attempt:
        """The grower goes to John Deere.

        :param outcome: None: they have not come back
        """
        if outcome is Outcome.EXPIRED:
            at = min(at, self.moment - ATTEMPT_LIFETIME - timedelta(minutes=1))
        minutes = min(self.chance.lognormvariate(0.6, 0.7), 25)
        ended = min(at + timedelta(minutes=minutes), self.moment - timedelta(seconds=1))
        if outcome is Outcome.EXPIRED:
            ended = at + ATTEMPT_LIFETIME
        values: dict[str, Any] = {
            "id": self.key(),
            "connection_id": self.connection.id,
            "link_id": self.links[-1].id,
            "state_digest": self.chance.randbytes(32),
            "browser_digest": self.chance.randbytes(32),
            "created_at": at,
            "used_at": None if outcome in {None, Outcome.EXPIRED} else ended,
            "ended_at": ended if outcome else None,
            "outcome": outcome,
            "detail": detail,
            "client_key": self.settings.deere_client_key,
            "environment": self.settings.deere_environment,
        }
        made = Attempt(**values | fields)
        self.opens(at - READS_FOR)
        self.attempts.append(made)
        self.happens(at, "attempt_started", history.GROWER, how="")
        if outcome not in {None, Outcome.AUTHORIZED}:
            self.happens(ended, f"attempt_{outcome}", history.GROWER, detail=detail)
        return made

    def opens(self, at: datetime) -> None:
        """The grower opens the last link."""
        link = self.links[-1]
        link.opened_at = link.opened_at or max(at, link.created_at)

    def organization(self, name: str, **fields: Any) -> Organization:
        """An organization that the account sees."""
        values: dict[str, Any] = {"connected": False, "member": True, "manage_url": None}
        row = Organization(
            connection_id=self.connection.id,
            deere_id=str(self.chance.randrange(460_000, 9_999_999)),
            name=name,
            **values | fields,
        )
        self.organizations.append(row)
        return row

    def answered(self, at: datetime, status: int, body: str) -> None:
        """John Deere answered to a call of Leaf's."""
        self.leaf_events.append(
            LeafEvent(
                connection_id=self.connection.id,
                leaf_id=str(self.key()),
                at=at,
                status_code=status,
                body=body,
                copied_at=min(at + timedelta(minutes=7), self.moment),
            )
        )


def begin(
    chance: Random,
    settings: Settings,
    partner: Partner,
    person: Person,
    *,
    external_id: str,
    born: datetime,
    moment: datetime,
) -> Life:
    """A grower who has just been brought.

    :param moment: the present
    """

    def key() -> uuid.UUID:
        return uuid.UUID(int=chance.getrandbits(128), version=4)

    grower = Grower(
        id=key(),
        partner_id=partner.id,
        external_id=external_id,
        name=person.name,
        email=person.email if chance.random() < 0.9 else None,
        leaf_user_id=None,
        created_at=born,
        mail_stopped_at=None,
        address_refused_at=None,
    )
    grower.partner = partner
    connection = Connection(
        id=key(),
        grower_id=grower.id,
        reference="".join(chance.choices(REFERENCE_LETTERS, k=REFERENCE_LENGTH)),
        stage=Stage.INVITED,
        health=Health.UNKNOWN,
        health_text="",
        created_at=born,
        selection_owed=True,
        sync_owed=False,
        failed_checks=0,
        checks=0,
        check_number=0,
        hand_over_try=0,
        scopes_asked=[],
        scopes_granted=[],
    )
    connection.grower = grower
    token = base64.urlsafe_b64encode(chance.randbytes(30)).decode()
    return Life(chance, settings, moment, person, grower, connection, born, refresh_token=token)
