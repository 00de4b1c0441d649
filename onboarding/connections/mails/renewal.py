"""Links that growers ask for, and that a mail brings.

Those whose link has expired ask on its page, those who have none at the partner's open link.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import growers, history
from onboarding.connections.mails.owed import owe
from onboarding.models import IS_OPEN_LINK, Connection, Grower, Link, Mail, locked
from onboarding.settings import Settings
from onboarding.states import LinkKind, MailKind, MailState

BETWEEN_LINKS = timedelta(hours=1)
ASKED_LATELY = timedelta(days=1)
LINKS_A_DAY = 3
OPEN_LINKS_A_DAY = 6
"""To one address, by the open links of all partners together: anybody may type it at each."""
ASKED_FOR = frozenset({MailKind.NEW_LINK, MailKind.OPEN_LINK})
"""Mails that somebody waits for, who can't be told that none comes."""


def is_offered(session: Session, settings: Settings, link: Link) -> bool:
    """Whether whoever has this link may have a new one mailed to the grower.

    Not if staff have withdrawn it, or have withdrawn another one since it was made: perhaps the
    address is that of somebody else, and then it is for staff to say that it may be used again.
    It has to be the same whether or not there is an address: what the page shows must not tell.
    """
    if settings.mail is None or link.revoked_at is not None:
        return False
    return not was_one_revoked(session, link.grower_id, since=link.created_at)


def was_one_revoked(session: Session, grower_id: UUID, *, since: datetime) -> bool:
    """Whether staff have withdrawn a link of the grower since then."""
    revoked = sa.exists().where(Link.grower_id == grower_id, Link.revoked_at >= since)
    return bool(session.scalar(sa.select(revoked)))


def ask(session: Session, link: Link) -> None:
    """Let the worker mail a new link; more often than may be, this does nothing.

    Whether there is an address is found out when it is sent: until then one grower is as the other,
    also to a watch.
    """
    connection = locked(session, growers.connection_id_of(session, link.grower_id))
    if _is_turn_for_one(session, connection.id):
        owe(session, connection, MailKind.NEW_LINK)
        history.record(session, connection, "new_link_asked", who=history.GROWER)


def has_enough(session: Session, spellings: Collection[str]) -> bool:
    """Whether an address has been mailed links of open links so often today that it is enough.

    Two workers that ask for two partners at the same moment may both be told that it has not.

    :param spellings: how the address may be written, in small letters
    """
    lately = now() - ASKED_LATELY
    is_sent = sa.and_(Mail.state == MailState.SENT, Mail.ended_at > lately)
    mailed = (
        sa.select(sa.func.count())
        .select_from(Mail)
        .join(Connection, Connection.id == Mail.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(
            sa.text(IS_OPEN_LINK),  # mails of that kind have an index of their own
            sa.or_(is_sent, Mail.state == MailState.WAITING),
            sa.func.lower(Grower.email).in_(spellings),
        )
    )
    return session.scalars(mailed).one() >= OPEN_LINKS_A_DAY


def send_first_link(session: Session, connection: Connection) -> None:
    """Let the worker mail a link to somebody who was not known before."""
    owe(session, connection, MailKind.OPEN_LINK)


def send_link_again(session: Session, connection_id: UUID) -> None:
    """Let the worker mail a link to a grower who is known; more often than may be, do nothing."""
    connection = locked(session, connection_id)
    if _is_turn_for_one(session, connection.id):
        owe(session, connection, MailKind.OPEN_LINK)
        history.record(session, connection, "open_link_asked", who=history.GROWER)


def is_newest_revoked(session: Session, grower_id: UUID) -> bool:
    """Whether staff have withdrawn the grower's newest link, and made none since."""
    newest = (
        sa.select(Link.revoked_at)
        .where(Link.grower_id == grower_id, Link.kind == LinkKind.INVITATION)
        .order_by(Link.created_at.desc(), Link.id)
        .limit(1)
    )
    return session.scalar(newest) is not None


def was_asked(session: Session, link: Link) -> bool:
    """Whether somebody has asked in the last day."""
    return bool(_asked(session, growers.connection_id_of(session, link.grower_id)))


def _is_turn_for_one(session: Session, connection_id: UUID) -> bool:
    """Whether one more may be sent.

    :param connection_id: of a connection that is locked
    """
    moment = now()
    asked = _asked(session, connection_id)
    return not (
        len(asked) >= LINKS_A_DAY
        or any(mail.created_at > moment - BETWEEN_LINKS for mail in asked)
        or any(mail.state is MailState.WAITING for mail in asked)
    )


def _asked(session: Session, connection_id: UUID) -> list[Mail]:
    query = sa.select(Mail).where(
        Mail.connection_id == connection_id,
        Mail.created_at > now() - ASKED_LATELY,
        Mail.kind.in_(ASKED_FOR),
    )
    return list(session.scalars(query))
