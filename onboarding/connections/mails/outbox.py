"""The outbox: which mails are due, how their tries end, and what staff see of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from onboarding import chance
from onboarding.clock import now
from onboarding.connections import growers, history, workers
from onboarding.connections.mails.owed import owe_attention
from onboarding.errors import MailDelayed
from onboarding.models import Connection, Grower, Link, Mail, locked
from onboarding.queue import Queue, mail_id
from onboarding.states import MailKind, MailState

REMINDERS = 3
"""In all, about the same trouble."""
GIVEN_UP_AFTER = timedelta(days=2)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
LEASE = timedelta(minutes=1)
"""When the sweep asks the queue what has become of a mail that was enqueued."""
KEPT = timedelta(days=400)
FAILURES_SHOWN = timedelta(days=30)
DELETED_AT_ONCE = 500
OUR_ERROR = MailDelayed("our work broke off: the worker's log holds why", for_staff=True)

log = logging.getLogger(__name__)


def enqueue_due(session: Session, queue: Queue, *, at_most: int) -> None:
    """Enqueue mails that are due, unless the queue still has them; first those that are waited for.

    :param at_most: so many may wait in the queue at once: the rest stays where newer invitations
        pass by
    """
    room = at_most - queue.mails_waiting(at_most)
    for kind in MailKind:
        if room <= 0:
            return
        due = session.scalars(
            sa.select(Mail)
            .where(Mail.kind == kind, Mail.due_at < now())
            .order_by(Mail.due_at)
            .limit(room)
            .with_for_update(of=Mail, skip_locked=True)
        ).all()
        room -= len(due)
        _enqueue(session, queue, due)


def _enqueue(session: Session, queue: Queue, due: Sequence[Mail]) -> None:
    ids = {mail_id(mail.id, mail.tries): mail for mail in due}
    unfinished = queue.unfinished(ids) if ids else {}
    failed = queue.failed(ids)
    waiting_or_living = {None, *map(str, workers.living(session))}
    for workflow_id, mail in ids.items():
        mail.due_at = now() + LEASE
        if unfinished.get(workflow_id, "ended") in waiting_or_living:
            continue
        mail.tries += 1
        if workflow_id in failed:
            note_delay(session, mail, OUR_ERROR)
        else:
            queue.mail(session, mail.id, number=mail.tries)


def tidy(session: Session) -> None:
    """Delete the rows of mails that ended long ago."""
    old = (
        sa.select(Mail.id)
        .where(Mail.state.in_(set(MailState) - {MailState.WAITING}))
        .where(Mail.ended_at < now() - KEPT)
        .limit(DELETED_AT_ONCE)
    )
    session.execute(sa.delete(Mail).where(Mail.id.in_(old)))


def undelivered(session: Session, limit: int) -> Sequence[Mail]:
    """Mails of the last month that could not be sent, without a later one that was."""
    query = sa.select(Mail).where(_undelivered()).order_by(Mail.ended_at.desc())
    return session.scalars(query.limit(limit)).all()


def count_undelivered(session: Session) -> int:
    """How many there are."""
    return session.scalar(undelivered_number()) or 0


def undelivered_number() -> sa.Select[int]:
    """The query for it."""
    return sa.select(sa.func.count()).where(_undelivered())


def _undelivered() -> sa.ColumnElement[bool]:
    later, unsent = aliased(Mail), aliased(Mail)
    return sa.and_(
        Mail.state == MailState.FAILED,
        Mail.ended_at > now() - FAILURES_SHOWN,
        Mail.connection_id == Connection.id,
        # Nobody has to hear of what has been mended without it.
        sa.or_(Mail.kind != MailKind.ATTENTION, Mail.about == Connection.grower_acts_since),
        ~sa.exists().where(
            later.connection_id == Mail.connection_id,
            later.created_at > Mail.created_at,
            later.state == MailState.SENT,
        ),
        # A link that was asked for may have come in another way.
        sa.or_(
            Mail.kind.not_in({MailKind.NEW_LINK, MailKind.OPEN_LINK}),
            ~sa.exists().where(
                Link.grower_id == Connection.grower_id,
                Link.created_at > Mail.created_at,
                ~sa.exists()
                .where(
                    unsent.connection_id == Mail.connection_id,
                    unsent.link_id == Link.id,
                    unsent.state != MailState.SENT,
                )
                .correlate(Mail, Link),
            ),
        ),
    )


def current(session: Session, mail_id: UUID, number: int) -> Mail | None:
    """The mail, locked, if this try is the one that counts."""
    return session.scalar(
        sa.select(Mail)
        .where(Mail.id == mail_id, Mail.tries == number, Mail.state == MailState.WAITING)
        .with_for_update(of=Mail)
    )


def note_sent(session: Session, mail_id: UUID, number: int) -> None:
    mail = current(session, mail_id, number)
    if mail is None:
        return
    end(session, mail, MailState.SENT)
    connection = locked(session, mail.connection_id)
    if connection.grower.address_refused_at is not None:
        growers.forget_refusal(session, connection)
    is_about_now = mail.about == connection.grower_acts_since
    if mail.kind is MailKind.ATTENTION and is_about_now and mail.number < REMINDERS:
        session.flush()
        owe_attention(session, connection, number=mail.number + 1)


def note_failure(
    session: Session, mail_id: UUID, number: int, detail: str, *, refused_address: str | None
) -> None:
    mail = current(session, mail_id, number)
    if mail is None:
        return
    end(session, mail, MailState.FAILED, detail=detail)
    log.error("A mail about %s was refused: %s", _reference(session, mail), detail)
    if refused_address is not None:
        _note_refused_address(session, mail, refused_address)


def _note_refused_address(session: Session, mail: Mail, address: str) -> None:
    """Write to it no more, unless another one has been given while the server answered."""
    connection = session.get_one(Connection, mail.connection_id)
    refused = (
        sa.update(Grower)
        .where(Grower.id == connection.grower_id, Grower.email == address)
        .values(address_refused_at=now())
        .returning(Grower.id)
    )
    if session.scalar(refused) is not None:
        history.record(session, connection, "address_refused")


def note_delay(session: Session, mail: Mail, delay: MailDelayed) -> None:
    moment = now()
    mail.first_tried_at = mail.first_tried_at or moment
    waited = moment - mail.first_tried_at
    if waited > GIVEN_UP_AFTER:
        end(session, mail, MailState.FAILED, detail=f"given up: {delay}")
        log.error("A mail about %s was given up: %s", _reference(session, mail), delay)
        return
    if delay.for_staff and not mail.detail:
        log.error("Mails wait for staff: %s", delay)
    mail.detail = str(delay)
    # As long again as it has been so far, within bounds; with jitter against crowds.
    pause = min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
    mail.due_at = moment + chance.spread(pause, 0.8, 1.2)


def _reference(session: Session, mail: Mail) -> str:
    return session.get_one(Connection, mail.connection_id).reference


def end(session: Session, mail: Mail, state: MailState, *, detail: str = "") -> None:
    mail.state = state
    mail.detail = detail
    mail.due_at = None
    mail.ended_at = now()
    connection = session.get_one(Connection, mail.connection_id)
    history.record(
        session,
        connection,
        f"mail_{state.value}",
        mail=mail.kind.value,
        number=mail.number,
        detail=detail,
    )
