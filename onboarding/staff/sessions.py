"""In which browsers a person is signed in. The cookie holds a secret, the database its digest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from onboarding.clock import now
from onboarding.db import delete_oldest
from onboarding.links import digest, new_secret
from onboarding.models import Staff, StaffSession

IDLE = timedelta(hours=12)
CONFIRMED_FOR = timedelta(minutes=10)
"""For so long a person who has just proved who they are does dangerous things unasked."""
PROVIDER_ASKED_EVERY = timedelta(hours=24)
"""So long the word of the company's identity provider is good, however busy the session is: who has
left the company is out by then."""
SEEN_EVERY = timedelta(minutes=1)


def begin(
    session: Session, staff: Staff, *, address: str, browser: str, by_provider: bool = False
) -> str:
    """Sign a person in.

    :param address: where the request came from, for the list of sessions
    :param browser: what the browser calls itself, for the same list
    :return: what the cookie holds
    """
    secret = new_secret()
    moment = now()
    session.add(
        StaffSession(
            staff_id=staff.id,
            digest=digest(secret),
            created_at=moment,
            seen_at=moment,
            confirmed_at=moment,
            address=address[:64],
            browser=browser[:200],
            is_by_provider=by_provider,
        )
    )
    return secret


def find(session: Session, secret: str | None) -> StaffSession | None:
    """The session of a cookie, unless it was idle for too long or the person is disabled."""
    if not secret:
        return None
    query = sa.select(StaffSession).where(StaffSession.digest == digest(secret), _is_alive())
    with_partners = joinedload(StaffSession.staff).joinedload(Staff.partners)
    found = session.scalars(query.options(with_partners)).unique().one_or_none()
    return None if found is None or found.staff.disabled_at is not None else found


def whose(session: Session, secret: str | None) -> UUID | None:
    """Whose session a cookie is of, also when it has been idle for too long."""
    if not secret:
        return None
    query = sa.select(StaffSession.staff_id).where(StaffSession.digest == digest(secret))
    return session.scalar(query)


def is_to_be_seen(found: StaffSession) -> bool:
    """Whether it is long enough since it was noted that the session is in use."""
    return now() - found.seen_at >= SEEN_EVERY


def see(session: Session, session_id: UUID) -> None:
    """Note that the session is in use."""
    change = sa.update(StaffSession).where(StaffSession.id == session_id)
    session.execute(change.values(seen_at=now()))


def is_confirmed(found: StaffSession) -> bool:
    """Whether the person has just proved who they are."""
    return now() - found.confirmed_at < CONFIRMED_FOR


def confirm(session: Session, session_id: UUID) -> str:
    """Note that the person has just proved who they are.

    :return: what the cookie holds from now on; who has read the old one is out
    """
    secret = new_secret()
    change = sa.update(StaffSession).where(StaffSession.id == session_id)
    moment = now()
    session.execute(change.values(digest=digest(secret), confirmed_at=moment, seen_at=moment))
    return secret


def of(session: Session, staff_id: UUID) -> Sequence[StaffSession]:
    """A person's sessions, the one in use last first."""
    query = sa.select(StaffSession).where(StaffSession.staff_id == staff_id, _is_alive())
    return session.scalars(query.order_by(StaffSession.seen_at.desc())).all()


def end(session: Session, *which: sa.ColumnElement[bool]) -> None:
    """Sign out: those sessions for which the conditions hold."""
    session.execute(sa.delete(StaffSession).where(*which))


def forget_idle(session: Session) -> None:
    """Delete the sessions that were idle for too long."""
    delete_oldest(session, StaffSession, by=StaffSession.seen_at, before=now() - IDLE)


def _is_alive() -> sa.ColumnElement[bool]:
    moment = now()
    is_vouched_for = StaffSession.created_at > moment - PROVIDER_ASKED_EVERY
    return sa.and_(
        StaffSession.seen_at > moment - IDLE,
        sa.or_(StaffSession.is_by_provider.is_(False), is_vouched_for),
    )
