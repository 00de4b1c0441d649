"""Mails to growers: which are owed, and what becomes of them.

A mail is a row, written with the change that owes it. It is decided anew when its turn comes: what
has been mended meanwhile is not written about, and the words are those of that moment.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, history, workers
from onboarding.db import Database
from onboarding.describe import Told
from onboarding.errors import InputInvalid, MailDelayed, MailRefused
from onboarding.links import Links
from onboarding.mail import layout, letters, message, smtp
from onboarding.mail.address import Sender
from onboarding.mail.letters import Letter
from onboarding.models import Connection, Grower, Link, Mail
from onboarding.queue import Queue, mail_id
from onboarding.settings import Settings
from onboarding.states import Health, MailKind, MailState, Stage

FIRST_AFTER = timedelta(hours=1)
"""Most trouble that ends by itself, and every walk through John Deere's pages, ends within it."""
BETWEEN_REMINDERS = timedelta(days=7)
REMINDERS = 3
"""In all, about the same trouble."""
NOT_NOW = timedelta(hours=1)
"""Until it is looked at again whether the grower has to do something."""
KNOWN_FOR = timedelta(days=2)
"""Leaf is asked daily. What it said before is not written about before it has been asked again."""
CONNECTED_TOLD_WITHIN = timedelta(days=2)
"""After that "connected" is no news."""
GIVEN_UP_AFTER = timedelta(days=2)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
LEASE = timedelta(minutes=1)
"""When the sweep asks the queue what has become of a mail that was enqueued."""
LINK_WORKS_AT_LEAST = timedelta(days=14)
"""A mail may lie for two weeks, and the next reminder comes before its link ends."""
KEPT = timedelta(days=400)
FAILURES_SHOWN = timedelta(days=30)
DELETED_AT_ONCE = 500
OUR_ERROR = MailDelayed("our work broke off: the worker's log holds why", for_staff=True)

log = logging.getLogger(__name__)


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
    told = _told(session, connection)
    if told.tone == "ok":
        connection.grower_acts_since = None
        _owe_connected(session, connection)
    elif told.who == "grower" and connection.grower_acts_since is None and connection.grower.email:
        connection.grower_acts_since = now()
        _owe_attention(session, connection, number=1)


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


def _told(session: Session, connection: Connection) -> Told:
    latest = consent.latest(session, connection.id)
    return describe.connection(connection, latest=latest, moment=now())


def _owe_connected(session: Session, connection: Connection) -> None:
    if connection.connected_told_for == connection.handed_over_at:
        return
    connection.connected_told_for = connection.handed_over_at
    if connection.grower.email:
        _owe(session, connection, MailKind.CONNECTED, about=connection.handed_over_at)


def _owe_attention(session: Session, connection: Connection, *, number: int) -> None:
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
    _owe(
        session,
        connection,
        MailKind.ATTENTION,
        about=connection.grower_acts_since,
        number=number,
        due=due,
    )


def _owe(
    session: Session,
    connection: Connection,
    kind: MailKind,
    *,
    about: datetime | None = None,
    number: int = 1,
    due: datetime | None = None,
    link: Link | None = None,
) -> None:
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
    _owe(session, connection, MailKind.INVITATION, link=link)


def stop(session: Session, grower: Grower) -> None:
    """Send the grower no more mails by ourselves. Again is the same as once."""
    if grower.mail_stopped_at is None:
        grower.mail_stopped_at = now()
        _record(session, grower, "mails_stopped")


def resume(session: Session, grower: Grower) -> None:
    """Take that back."""
    if grower.mail_stopped_at is not None:
        grower.mail_stopped_at = None
        _record(session, grower, "mails_resumed")


def _record(session: Session, grower: Grower, kind: str) -> None:
    connection = session.scalars(
        sa.select(Connection).where(Connection.grower_id == grower.id)
    ).one()
    history.record(session, connection, kind, who=history.GROWER)


def undelivered(session: Session, limit: int) -> Sequence[Mail]:
    """Mails of the last month that were refused or given up, without a later one that was sent."""
    query = sa.select(Mail).where(_undelivered()).order_by(Mail.ended_at.desc())
    return session.scalars(query.limit(limit)).all()


def count_undelivered(session: Session) -> int:
    """How many there are."""
    return session.scalar(sa.select(sa.func.count()).where(_undelivered())) or 0


def _undelivered() -> sa.ColumnElement[bool]:
    later = aliased(Mail)
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
    )


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
            _note_delay(session, mail, OUR_ERROR)
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


@dataclass(frozen=True)
class _Ready:
    """A mail that is to be sent now."""

    mail: Mail
    connection: Connection
    told: Told
    link: Link


def send(
    database: Database, settings: Settings, links: Links, mail_id: UUID, *, number: int
) -> None:
    """Send a mail, if it is still owed, and write down what came of it.

    A crash between the server's answer and our commit lets it be sent once more, with the same
    Message-ID; everywhere else it is sent once.

    :param number: of the try; an outdated one does nothing
    """
    mailing = settings.mail
    if mailing is None:
        return
    with database.transaction() as session:
        ready = _take(session, settings, mailing.sender, mail_id, number)
    if ready is None:
        return
    grower = ready.connection.grower
    try:
        smtp.send(
            mailing.server,
            _message(settings, mailing.sender, links, ready),
            sender=mailing.sender.address,
            recipient=message.recipient(grower),
            our_host=_our_host(settings),
        )
    except MailRefused as err:
        with database.transaction() as session:
            _note_failure(session, mail_id, number, str(err))
    except MailDelayed as err:
        with database.transaction() as session:
            if mail := _current(session, mail_id, number):
                _note_delay(session, mail, err)
    else:
        with database.transaction() as session:
            _note_sent(session, mail_id, number)


def check(settings: Settings) -> None:
    """Sign in at the mail server, and send nothing.

    :raise MailDelayed: saying what is wrong
    """
    if settings.mail is not None:
        smtp.check(settings.mail.server, our_host=_our_host(settings))


def _our_host(settings: Settings) -> str:
    return urlsplit(settings.public_url).hostname or "localhost"


def _current(session: Session, mail_id: UUID, number: int) -> Mail | None:
    """The mail, locked, if this try is the one that counts."""
    return session.scalar(
        sa.select(Mail)
        .where(Mail.id == mail_id, Mail.tries == number, Mail.state == MailState.WAITING)
        .with_for_update(of=Mail)
    )


def _take(
    session: Session, settings: Settings, sender: Sender, mail_id: UUID, number: int
) -> _Ready | None:
    """What is to be sent; None if it is not its turn, or never will be."""
    mail = _current(session, mail_id, number)
    if mail is None:
        return None
    connection = session.get_one(Connection, mail.connection_id)
    told = _told(session, connection)
    if _is_no_longer_true(mail, connection):
        session.delete(mail)
        return None
    if why := _why_not(mail, connection, told):
        _end(session, mail, MailState.NOT_SENT, detail=why)
        return None
    if not _is_true_now(session, mail, connection, told):
        mail.due_at = now() + NOT_NOW
        return None
    moment = now()
    mail.first_tried_at = mail.first_tried_at or moment
    mail.due_at = moment + LEASE
    mail.message_id = f"<{mail.id.hex}@{sender.domain}>"
    link = _link(mail, connection, settings, moment)
    session.add(link)
    session.flush()
    return _Ready(mail, connection, told, link)


def _is_no_longer_true(mail: Mail, connection: Connection) -> bool:
    """Whether what it is about is over, so that nobody needs to know of it."""
    match mail.kind:
        case MailKind.INVITATION:
            return False
        case MailKind.CONNECTED:
            return mail.about != connection.handed_over_at
        case MailKind.ATTENTION:
            ended = connection.stage is Stage.DISCONNECTED
            return ended or mail.about != connection.grower_acts_since


def _why_not(mail: Mail, connection: Connection, told: Told) -> str:
    """Why a mail is left out for good; empty if it is not."""
    grower, moment = connection.grower, now()
    if not grower.email:
        return "the grower has no address any more"
    if mail.kind is MailKind.INVITATION:
        usable = mail.link is not None and mail.link.is_usable(moment)
        return "" if usable else "its link was revoked, or has expired"
    if grower.mail_stopped_at is not None:
        return "the grower wants no such mails"
    if mail.kind is MailKind.CONNECTED:
        is_old = moment - mail.created_at > CONNECTED_TOLD_WITHIN
        return "it came too late to be news" if is_old else ""
    return ""


def _is_true_now(session: Session, mail: Mail, connection: Connection, told: Told) -> bool:
    """Whether what it says holds at this moment, for all we know."""
    match mail.kind:
        case MailKind.INVITATION:
            return True
        case MailKind.CONNECTED:
            return told.tone == "ok"
        case MailKind.ATTENTION:
            is_asked = connection.is_at_leaf and told.who == "grower"
            return is_asked and _is_known(connection) and not _incident_is_on(session)


def _is_known(connection: Connection) -> bool:
    """Whether Leaf has told us lately; not while it can't be asked, or nobody has asked."""
    said = connection.leaf_said_at
    is_fresh = said is not None and now() - said < KNOWN_FOR
    return is_fresh and not connection.failed_checks


def _incident_is_on(_session: Session) -> bool:
    """Whether the provider is in trouble as a whole: then no single grower is written to.

    The one place to ask `connections.incidents`, once there is such a module.
    """
    return False


def _link(mail: Mail, connection: Connection, settings: Settings, moment: datetime) -> Link:
    """The link in the mail: the one that staff made, else one for this mail alone.

    Only its id is stored; the URL is signed while the mail is written.
    """
    if mail.link is None or (mail.kind is not MailKind.INVITATION and mail.link.revoked_at):
        lifetime = max(timedelta(days=settings.link_lifetime_days), LINK_WORKS_AT_LEAST)
        mail.link = Link(
            grower_id=connection.grower_id, created_at=moment, expires_at=moment + lifetime
        )
    return mail.link


def _message(settings: Settings, sender: Sender, links: Links, ready: _Ready) -> EmailMessage:
    grower = ready.connection.grower
    letter = _letter(ready)
    stop_url = f"{settings.public_url}/m/{links.stop_token(grower.id)}/stop"
    laid = layout.lay_out(
        letter,
        grower,
        url=f"{settings.public_url}/c/{links.token(ready.link.id)}",
        stop_url=stop_url,
    )
    return message.build(
        laid,
        subject=letter.subject,
        grower=grower,
        sender=sender,
        message_id=ready.mail.message_id,
        stop_url=stop_url,
        moment=now(),
    )


def _letter(ready: _Ready) -> Letter:
    grower, told, until = ready.connection.grower, ready.told, ready.link.expires_at
    match ready.mail.kind:
        case MailKind.INVITATION:
            if ready.connection.token_received_at is None:
                return letters.invitation(grower, until=until)
            return letters.own_page(grower, told, until=until)
        case MailKind.CONNECTED:
            shared = describe.organizations(ready.connection)
            return letters.connected(grower, told, shared, until=until)
        case MailKind.ATTENTION:
            number = ready.mail.number
            return letters.attention(
                grower, told, number=number, last=number == REMINDERS, until=until
            )


def _note_sent(session: Session, mail_id: UUID, number: int) -> None:
    mail = _current(session, mail_id, number)
    if mail is None:
        return
    _end(session, mail, MailState.SENT)
    connection = session.get_one(Connection, mail.connection_id)
    is_about_now = mail.about == connection.grower_acts_since
    if mail.kind is MailKind.ATTENTION and is_about_now and mail.number < REMINDERS:
        session.flush()
        _owe_attention(session, connection, number=mail.number + 1)


def _note_failure(session: Session, mail_id: UUID, number: int, detail: str) -> None:
    mail = _current(session, mail_id, number)
    if mail is not None:
        _end(session, mail, MailState.FAILED, detail=detail)
        log.error("A mail about %s was refused: %s", _reference(session, mail), detail)


def _note_delay(session: Session, mail: Mail, delay: MailDelayed) -> None:
    moment = now()
    mail.first_tried_at = mail.first_tried_at or moment
    waited = moment - mail.first_tried_at
    if waited > GIVEN_UP_AFTER:
        _end(session, mail, MailState.FAILED, detail=f"given up: {delay}")
        log.error("A mail about %s was given up: %s", _reference(session, mail), delay)
        return
    if delay.for_staff and not mail.detail:
        log.error("Mails wait for staff: %s", delay)
    mail.detail = str(delay)
    # As long again as it has been so far, within bounds; with jitter against crowds.
    pause = min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
    mail.due_at = moment + pause * random.uniform(0.8, 1.2)  # noqa: S311


def _reference(session: Session, mail: Mail) -> str:
    return session.get_one(Connection, mail.connection_id).reference


def _end(session: Session, mail: Mail, state: MailState, *, detail: str = "") -> None:
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
