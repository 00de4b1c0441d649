"""Links as staff see and give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import invitations
from onboarding.models import Connection, Link, Mail, StaffSession
from onboarding.states import LinkKind

SHOWN = 10
SHOWN_FOR = timedelta(minutes=10)
"""A link is shown to who has just made it: it opens the grower's page."""


@dataclass(frozen=True)
class Given:
    """A link, and what is known of its way to the grower."""

    link: Link
    mail: Mail | None
    """The last one in which it stands."""


def newest(session: Session, connection: Connection) -> Sequence[Given]:
    """The links of a connection's grower, the newest first; without those of frames."""
    theirs = sa.select(Link.id).where(
        Link.grower_id == connection.grower_id, Link.kind == LinkKind.INVITATION
    )
    shown = theirs.order_by(Link.created_at.desc(), Link.id).limit(SHOWN)
    in_it = sa.and_(Mail.link_id == Link.id, Mail.connection_id == connection.id)
    query = (
        sa.select(Link, Mail)
        .outerjoin(Mail, in_it)
        .where(Link.id.in_(shown))
        .order_by(Link.created_at.desc(), Link.id, Mail.created_at.desc())
    )
    found: dict[UUID, Given] = {}
    for link, mail in session.execute(query):
        found.setdefault(link.id, Given(link, mail))
    return list(found.values())


def make(
    session: Session, connection: Connection, by: StaffSession, *, lifetime: timedelta
) -> Link:
    """One more link for a grower, that is shown to who makes it."""
    made = invitations.new_link(session, connection, lifetime=lifetime)
    made.made_by, made.made_in = by.staff.email, by.id
    session.flush()
    return made


def is_new(link: Link) -> bool:
    """Whether it was made just now, and can be used."""
    return link.is_usable(now()) and link.created_at > now() - SHOWN_FOR


def is_shown(link: Link, to: StaffSession) -> bool:
    """Whether it is new, and was made in this browser by who is signed in there."""
    return is_new(link) and link.made_in == to.id
