"""Every state that a connection may be in, to be described."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from onboarding import describe
from onboarding.describe import Told
from onboarding.models import Attempt, Connection, Grower, Organization, Partner
from onboarding.states import Cause, Health, IncidentKind, Outcome, SharingTrouble, Stage

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AT_LEAF = {Stage.CONNECTED, Stage.CHOOSING_ORGANIZATIONS}
WITH_MANY = {
    Health.UNAUTHENTICATED: [IncidentKind.REFUSED],
    Health.MISSING_PERMISSION: [IncidentKind.LIMITED],
}
"""Within which incidents of our application a connection may have turned."""

Kind = Literal["none", "shared", "not shared", "partners only"]
Unfinished = Literal["never", "open", "exchanging", "left"]


@dataclass(frozen=True)
class Case:
    """One state that a connection may be in."""

    stage: Stage
    health: Health = Health.UNKNOWN
    cause: Cause | None = None
    trouble: SharingTrouble | None = None
    outcome: Outcome | Unfinished = Outcome.AUTHORIZED
    organizations: Kind = "none"
    incident: IncidentKind | None = None

    def connection(self) -> Connection:
        """A connection in this state; no database has it."""
        made = Connection(
            id=UUID(int=1),
            grower=Grower(name="Maple Farm", partner=Partner(slug="demo", name="Demo Co-op")),
            reference="ABCDEFGH",
            detail="",
            sharing_detail="",
            scopes_asked=["ag1", "offline_access"],
            scopes_granted=["ag1", "offline_access"],
            organizations={
                "none": [],
                "shared": [organization("1", connected=True), organization("2")],
                "not shared": [organization("1")],
                "partners only": [organization("3", member=False)],
            }[self.organizations],
        )
        self.put_in(made)
        return made

    def put_in(self, connection: Connection) -> None:
        """Give a connection this state; its organizations stay."""
        connection.stage = self.stage
        connection.health = self.health
        connection.health_text = "" if self.health is Health.UNKNOWN else self.health.value
        connection.cause = self.cause
        connection.sharing_trouble = self.trouble
        # Also while authorizing: there may have been a token before.
        received = None if self.stage is Stage.INVITED else NOW - timedelta(seconds=5)
        connection.token_received_at = received
        connection.checked_at = NOW - timedelta(minutes=1) if self.stage in AT_LEAF else None

    def attempt(self) -> Attempt | None:
        """The newest attempt."""
        if self.outcome == "never":
            return None
        began = NOW - (timedelta(hours=2) if self.outcome == "left" else timedelta(minutes=5))
        made = Attempt(created_at=began)
        if self.outcome == "exchanging":
            made.used_at = NOW - timedelta(seconds=5)
        elif isinstance(self.outcome, Outcome):
            made.outcome = self.outcome
            made.used_at = made.ended_at = NOW - timedelta(minutes=1)
        return made

    def told(self) -> Told:
        """What is told of it."""
        return describe.connection(
            self.connection(), latest=self.attempt(), moment=NOW, incident=self.incident
        )

    def is_truly_connected(self) -> bool:
        """Leaf holds the credential, it is good, and an organization is shared; nothing less."""
        return (
            self.stage in AT_LEAF
            and self.health is Health.OK
            and self.organizations == "shared"
            and self.cause not in {Cause.CREDENTIAL_MISSING, Cause.NOTHING_FETCHED}
        )


def organization(deere_id: str, *, connected: bool = False, member: bool = True) -> Organization:
    """One of the grower's own, unless `member` says otherwise."""
    return Organization(
        deere_id=deere_id, name=f"Farm {deere_id}", connected=connected, member=member
    )


def every_case() -> Iterator[tuple[Case, Connection, Attempt | None]]:
    """Every combination, also those that should never come about.

    The connection is the same object each time, in another state: making one is slow.
    """
    outcomes: list[Outcome | Unfinished] = [*Outcome, *get_args(Unfinished)]
    attempts = {one: Case(Stage.INVITED, outcome=one).attempt() for one in outcomes}
    for kind in get_args(Kind):
        connection = Case(Stage.INVITED, organizations=kind).connection()
        causes = [None, *Cause] if kind in {"shared", "not shared"} else [None]
        states = itertools.product(Stage, Health, causes, [None, *SharingTrouble])
        for stage, health, cause, trouble in states:
            case = Case(stage, health, cause, trouble, organizations=kind)
            case.put_in(connection)
            incidents = [None, *WITH_MANY.get(health, [])]
            for (outcome, attempt), incident in itertools.product(attempts.items(), incidents):
                yield replace(case, outcome=outcome, incident=incident), connection, attempt
