"""Where a connection stands, as partners' programs are told it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, incidents
from onboarding.models import Connection


@dataclass(frozen=True)
class Status:
    """The same as on every page, for machines.

    :ivar code: stable
    :ivar label: two or three words
    :ivar sentence: what a person would read
    :ivar who: whose turn it is: `grower`, `staff` or `nobody`
    """

    code: str
    label: str
    sentence: str
    who: str


def status_of(session: Session, connection: Connection) -> Status:
    """Where it stands at this moment."""
    told = describe.connection(
        connection,
        latest=consent.latest(session, connection.id),
        moment=now(),
        incident=incidents.of(session, connection),
    )
    return Status(told.code, told.label, " ".join((told.title + ".", *told.sentences)), told.who)
