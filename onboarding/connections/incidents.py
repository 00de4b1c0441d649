"""Incidents: when many connections stop working at once, it is about none of them.

Leaf is asked about a connection once a day while all is well. So what counts is how many turned of
those that it was asked about lately, not of all that there are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import pace
from onboarding.db import Database
from onboarding.models import HAS_TURNED, Connection, Incident, Listing
from onboarding.states import OF_APPLICATION, Health, IncidentKind, Service, Stage

LEAST = 5
"""Fewer than this many connections are no incident: one of three may be chance."""
ENDS_BELOW = 0.5
"""Of the share with which it begins, so that it does not end and begin by turns."""
LASTS_AT_MOST = timedelta(days=1)
"""Of our application: by then a person has looked, and who has withdrawn a permission must know."""
ASKED_ABOUT_ALL_WITHIN = timedelta(days=1)
"""While all is well (see `checks`)."""
WORDS = {
    IncidentKind.PAUSE: frozenset({Health.TEMPORARILY_UNAVAILABLE, Health.UNKNOWN}),
    IncidentKind.REFUSED: frozenset({Health.UNAUTHENTICATED}),
    IncidentKind.LIMITED: frozenset({Health.MISSING_PERMISSION}),
}
AT_ONCE = 500
"""Rows that one statement names."""
AT_LEAF = frozenset({Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED})

log = logging.getLogger(__name__)


@dataclass
class _Window:
    """What became of the connections that Leaf was asked about lately."""

    session: Session
    since: datetime
    share: float

    def turned(self, kind: IncidentKind) -> int:
        """How many turned within it."""
        return _number(
            self.session, _has_turned(kind), Connection.health_since >= self.begins(kind)
        )

    def begins(self, kind: IncidentKind) -> datetime:
        """From when on who turned counts: after the end of the last incident.

        What turned before is told one by one since then, and is no incident anew.
        """
        return max(self.since, self._ended.get(kind, self.since))

    @cached_property
    def asked(self) -> int:
        """How many were asked about within it."""
        return _number(self.session, Connection.checked_at >= self.since)

    def is_share(self, turned: int) -> bool:
        """Whether so many turned that it is not about each of them.

        Leaf's alerts let us ask about those that turned, and about no others. So they are compared
        with no fewer than are asked about in such a time without any alert.
        """
        most = turned / self.share
        return turned >= LEAST and self.asked <= most and self._are_all_at_most(most)

    @cached_property
    def _ended(self) -> dict[IncidentKind, datetime]:
        """When the last incident of each kind ended, if it was within the window."""
        ended = sa.select(Incident).where(Incident.ended_at >= self.since)
        found = self.session.scalars(ended.order_by(Incident.ended_at))
        return {one.kind: one.ended_at for one in found if one.ended_at is not None}

    def _are_all_at_most(self, number_within: float) -> bool:
        """Whether no more than this would be asked about within it; counts no further."""
        part = min(1.0, (now() - self.since) / ASKED_ABOUT_ALL_WITHIN)
        limit = int(number_within / part) + 1
        known = sa.select(Connection.id).where(Connection.checked_at <= now()).limit(limit)
        found = self.session.scalar(sa.select(sa.func.count()).select_from(known.subquery())) or 0
        return found < limit


def look(database: Database, *, share: float, within: timedelta) -> None:
    """Find out whether incidents have begun or are over. For the sweep: a few counts by an index.

    :param share: of those that Leaf was asked about, 0 to 1
    :param within: in which they were asked about, and turned
    """
    with database.transaction() as session:
        window = _Window(session, now() - within, share)
        found = {one.kind: one for one in session.scalars(_present().with_for_update())}
        for kind in IncidentKind:
            incident, turned = found.get(kind), window.turned(kind)
            if incident is None:
                _begin(window, kind, turned)
            elif _is_over(window, incident):
                incident.ended_at = now()
                _tell_anew(session, incident)
                log.warning("The incident of the kind %s is over", kind.value)
            elif turned > incident.turned:
                incident.turned, incident.asked = turned, max(turned, window.asked)


def present(session: Session) -> Sequence[Incident]:
    """The incidents that there are now, one of a kind."""
    return session.scalars(_present()).all()


def of(session: Session, connection: Connection) -> IncidentKind | None:
    """Within which incident of our application a connection turned, while that is on."""
    kind = next((one for one in OF_APPLICATION if connection.health in WORDS[one]), None)
    if kind is None or connection.health_since is None or not connection.is_at_leaf:
        return None
    began = Incident.began_at <= connection.health_since
    return session.scalar(
        sa.select(Incident.kind).where(Incident.ended_at.is_(None), Incident.kind == kind, began)
    )


def may_be_of_many(connection: Connection) -> bool:
    """Whether what Leaf says of a connection may be an incident of our application."""
    return connection.is_at_leaf and any(connection.health in WORDS[one] for one in OF_APPLICATION)


def is_within(incident: Incident, connection: Connection) -> bool:
    """Whether a connection turned within an incident of our application; see `of`."""
    return (
        incident.kind in OF_APPLICATION
        and connection.health in WORDS[incident.kind]
        and connection.is_at_leaf
        and connection.health_since is not None
        and incident.began_at <= connection.health_since
    )


def is_pause(session: Session) -> bool:
    """Whether John Deere does not answer Leaf now, so that single connections raise no alarm."""
    pause = sa.select(Incident.id).where(
        Incident.ended_at.is_(None), Incident.kind == IncidentKind.PAUSE
    )
    return session.scalar(pause) is not None


def troubled_service(session: Session) -> Service | None:
    """Which service has trouble that all growers should know of."""
    if pace.word(session).down_since is not None:
        return Service.LEAF
    return Service.JOHN_DEERE if is_pause(session) else None


def _present() -> sa.Select[Incident]:
    return sa.select(Incident).where(Incident.ended_at.is_(None)).order_by(Incident.id)


def _begin(window: _Window, kind: IncidentKind, turned: int) -> None:
    if turned < LEAST or not window.is_share(turned):
        return  # below the least the others are not even counted
    session = window.session
    began = session.scalar(
        sa.select(sa.func.min(Connection.health_since)).where(
            _has_turned(kind), Connection.health_since >= window.begins(kind)
        )
    )
    # Another worker's sweep may have found it at the same moment.
    with suppress(IntegrityError), session.begin_nested():
        # A hand-over brings a word of Leaf's without a check.
        incident = Incident(
            kind=kind, began_at=began or now(), turned=turned, asked=max(turned, window.asked)
        )
        session.add(incident)
        session.flush()
        _tell_anew(session, incident)
        log.error("%s", describe.incident_for_staff(incident))


def _tell_anew(session: Session, incident: Incident) -> None:
    """Let the rows of the table be computed anew of all that turned within it."""
    if incident.kind not in OF_APPLICATION:
        return  # nothing else is told of any of them
    turned = sa.select(Connection.id).where(
        _has_turned(incident.kind), Connection.health_since >= incident.began_at
    )
    concerned = (
        sa.select(Listing.number)
        .where(Listing.connection_id.in_(turned))
        .order_by(Listing.connection_id)
        .with_for_update()
    )
    # Locked in the order in which others take several.
    numbers = session.scalars(concerned).all()
    for start in range(0, len(numbers), AT_ONCE):
        session.execute(
            sa.update(Listing)
            .where(Listing.number.in_(numbers[start : start + AT_ONCE]))
            .values(due_at=now())
            .execution_options(synchronize_session=False)
        )


def _is_over(window: _Window, incident: Incident) -> bool:
    if incident.kind in OF_APPLICATION and incident.began_at <= now() - LASTS_AT_MOST:
        return True
    turned = (_has_turned(incident.kind), Connection.health_since >= incident.began_at)
    still = sa.select(Connection.id).where(*turned).limit(LEAST)
    if len(window.session.scalars(still).all()) < LEAST:
        return True
    if window.asked < LEAST:
        return False  # nobody knows
    troubled = _number(window.session, *turned, Connection.checked_at >= window.since)
    return troubled < ENDS_BELOW * window.share * window.asked


def _has_turned(kind: IncidentKind) -> sa.ColumnElement[bool]:
    return sa.and_(
        sa.text(HAS_TURNED), Connection.health.in_(WORDS[kind]), Connection.stage.in_(AT_LEAF)
    )


def _number(session: Session, *where: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Connection).where(*where)) or 0
