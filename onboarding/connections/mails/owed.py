"""Which mails are owed: written down with the change that owes them."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, incidents
from onboarding.describe import Told
from onboarding.errors import InputInvalid
from onboarding.mail import message
from onboarding.models import Connection, Link, Mail
from onboarding.settings import Settings
from onboarding.states import Health, MailKind, MailState, Stage

FIRST_AFTER = timedelta(hours=1)
"""Most trouble that ends by itself, and every walk through John Deere's pages, ends within it."""
BETWEEN_REMINDERS = timedelta(days=7)
OF_THE_MOMENT = frozenset({"organizations_unavailable"})
"""Codes of `describe` that ask the grower to try again in some minutes."""


def consider(session: Session, connection: Connection) -> None:
    """Write down which mails the grower is owed after what was just learned of the connection.

    :param connection: locked
    """
    if not connection.is_at_leaf:
        return
    if _has_connected_anew(connection):
        connection.grower_acts_since = None
    if _has_nothing_new(connection):
        return
    told = told_of(session, connection)
    if told.tone == "ok":
        connection.grower_acts_since = None
        _owe_connected(session, connection)
    elif (
        is_to_be_told(told)
        and connection.grower_acts_since is None
        and connection.grower.can_be_reached
    ):
        connection.grower_acts_since = now()
        owe_attention(session, connection, number=1)


def _has_connected_anew(connection: Connection) -> bool:
    """Whether the grower has done something about it, so that what is wrong now is new."""
    since, handed_over = connection.grower_acts_since, connection.handed_over_at
    return since is not None and handed_over is not None and handed_over > since


def _has_nothing_new(connection: Connection) -> bool:
    """Whether there is nothing to think about; so it is for almost all, almost always."""
    if connection.health is not Health.OK or connection.stage is not Stage.CONNECTED:
        return connection.grower_acts_since is not None
    is_told = connection.connected_told_for == connection.handed_over_at
    return is_told and connection.grower_acts_since is None and connection.cause is None


def is_to_be_told(told: Told) -> bool:
    """Whether it is the grower's turn, and still will be when a mail is read."""
    return told.who == "grower" and told.code not in OF_THE_MOMENT


def told_of(session: Session, connection: Connection) -> Told:
    """What is told of a connection, and of the incident within which it turned, if it did."""
    return describe.connection(
        connection,
        latest=consent.latest(session, connection.id),
        moment=now(),
        incident=incidents.of(session, connection),
    )


def _owe_connected(session: Session, connection: Connection) -> None:
    if connection.connected_told_for == connection.handed_over_at:
        return
    connection.connected_told_for = connection.handed_over_at
    if connection.grower.can_be_reached:
        owe(session, connection, MailKind.CONNECTED, about=connection.handed_over_at)


def owe_attention(session: Session, connection: Connection, *, number: int) -> None:
    last = session.scalar(
        sa.select(sa.func.max(Mail.ended_at)).where(
            Mail.connection_id == connection.id,
            Mail.kind == MailKind.ATTENTION,
            Mail.state == MailState.SENT,
        )
    )
    due = now() + (FIRST_AFTER if number == 1 else BETWEEN_REMINDERS)
    if last is not None:
        due = max(due, last + BETWEEN_REMINDERS)
    owe(
        session,
        connection,
        MailKind.ATTENTION,
        about=connection.grower_acts_since,
        number=number,
        due=due,
    )


def owe(
    session: Session,
    connection: Connection,
    kind: MailKind,
    *,
    about: datetime | None = None,
    number: int = 1,
    due: datetime | None = None,
    link: Link | None = None,
) -> None:
    """Write down one mail; by default it is due at once."""
    moment = now()
    session.add(
        Mail(
            connection_id=connection.id,
            link=link,
            kind=kind,
            about=about,
            number=number,
            created_at=moment,
            due_at=due or moment,
        )
    )


def invite(session: Session, settings: Settings, link: Link, connection: Connection) -> None:
    """Let the worker mail a link that staff have just made.

    It is sent also to somebody who has stopped the mails that we send by ourselves.

    :raise InputInvalid: if mail is off, or the grower has no address
    """
    if settings.mail is None:
        raise InputInvalid(
            "Mail is off, so nothing can be sent. Set MAIL_URL and MAIL_FROM, or leave out --send "
            "and send the link yourself."
        )
    if not link.grower.email:
        raise InputInvalid("The grower has no address to send to. Give one with --email.")
    message.check_recipient(link.grower)
    owe(session, connection, MailKind.INVITATION, link=link)
