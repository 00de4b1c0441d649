"""Incidents: when many connections stop working at once, it is about none of them.

Leaf is asked about a connection once a day while all is well. So what counts is how many turned of
those that it was asked about lately, not of all that there are.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import pace
from onboarding.db import Database
from onboarding.models import HAS_TURNED, Connection, Incident
from onboarding.states import Service, Stage

LEAST = 5
"""Fewer than this many connections are no incident: one of three may be chance."""
ENDS_BELOW = 0.5
"""Of the share with which it begins, so that it does not end and begin by turns."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Count:
    """What became of the connections that Leaf was asked about lately."""

    turned: int
    asked: int

    def is_share(self, share: float) -> bool:
        """Whether so many of them turned."""
        return self.turned >= LEAST and self.turned >= share * self.asked


def look(database: Database, *, share: float, within: timedelta) -> None:
    """Find out whether an incident has begun or is over. For the sweep: two counts by an index.

    :param share: of those that Leaf was asked about, 0 to 1
    :param within: in which they were asked about, and turned
    """
    with database.transaction() as session:
        since = now() - within
        found = _present().where(Incident.service == Service.JOHN_DEERE)
        incident = session.scalar(found.with_for_update())
        if incident is None:
            _begin(session, _turned(session, since), since, share=share)
        elif _is_over(session, incident, since, share=share):
            incident.ended_at = now()
            log.warning("The incident at %s is over", incident.service.value)
        else:
            worst = _turned(session, since)
            if worst.turned > incident.turned:
                incident.turned, incident.asked = worst.turned, worst.asked


def present(session: Session) -> Incident | None:
    """The incident that there is now, if there is one."""
    return session.scalar(_present())


def is_on(session: Session) -> bool:
    """Whether there is an incident now, so that single connections raise no alarm."""
    return present(session) is not None


def troubled_service(session: Session) -> Service | None:
    """Which service has trouble that growers should know of."""
    if pace.word(session).down_since is not None:
        return Service.LEAF
    incident = present(session)
    return incident.service if incident else None


def _present() -> sa.Select[Incident]:
    return sa.select(Incident).where(Incident.ended_at.is_(None)).limit(1)


def _begin(session: Session, count: _Count, since: datetime, *, share: float) -> None:
    if not count.is_share(share):
        return
    began = session.scalar(
        sa.select(sa.func.min(Connection.health_since)).where(
            _has_turned(), Connection.health_since >= since
        )
    )
    # Another worker's sweep may have found it at the same moment.
    with suppress(IntegrityError), session.begin_nested():
        session.add(
            Incident(
                service=Service.JOHN_DEERE,
                began_at=began or now(),
                turned=count.turned,
                asked=count.asked,
            )
        )
        session.flush()
        log.error(
            "Incident at John Deere: %d of %d connections stopped working at once",
            count.turned,
            count.asked,
        )


def _is_over(session: Session, incident: Incident, since: datetime, *, share: float) -> bool:
    still = sa.select(Connection.id).where(
        _has_turned(), Connection.health_since >= incident.began_at
    )
    if len(session.scalars(still.limit(LEAST)).all()) < LEAST:
        return True
    asked = _asked(session, since)
    if asked < LEAST:
        return False  # nobody knows
    troubled = _number(session, _has_turned(), Connection.checked_at >= since)
    return troubled < ENDS_BELOW * share * asked


def _turned(session: Session, since: datetime) -> _Count:
    turned = _number(session, _has_turned(), Connection.health_since >= since)
    if turned < LEAST:
        return _Count(turned, turned)  # the others need not be counted
    # A hand-over brings a word of Leaf's without a check.
    return _Count(turned, max(turned, _asked(session, since)))


def _asked(session: Session, since: datetime) -> int:
    return _number(session, Connection.checked_at >= since)


def _has_turned() -> sa.ColumnElement[bool]:
    at_leaf = Connection.stage.in_({Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED})
    return sa.and_(sa.text(HAS_TURNED), at_leaf)


def _number(session: Session, *where: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Connection).where(*where)) or 0
