"""Sending a mail: what it is about is looked at anew, and its words and link are made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import incidents
from onboarding.connections.mails import outbox, renewal
from onboarding.connections.mails.outbox import LEASE, REMINDERS
from onboarding.connections.mails.owed import is_to_be_told, told_of
from onboarding.db import Database
from onboarding.describe import Told
from onboarding.errors import AddressRefused, MailDelayed, MailRefused
from onboarding.links import Links
from onboarding.mail import layout, letters, message, smtp
from onboarding.mail.address import Sender
from onboarding.mail.letters import Letter
from onboarding.models import Connection, Link, Mail
from onboarding.settings import Settings
from onboarding.states import MailKind, MailState, Stage

NOT_NOW = timedelta(hours=1)
"""Until it is looked at again whether what a mail says is so."""
KNOWN_FOR = timedelta(days=2)
"""Leaf is asked daily. What it said before is not written about before it has been asked again."""
NEWS_FOR = timedelta(days=2)
"""After that "connected" is no news, and nobody waits any more for the link they asked for."""
TOO_LATE = "it came too late to be waited for"
LINK_WORKS_AT_LEAST = timedelta(days=14)
"""A mail may lie for two weeks, and the next reminder comes before its link ends."""


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
        address = grower.email if isinstance(err, AddressRefused) else None
        with database.transaction() as session:
            outbox.note_failure(session, mail_id, number, str(err), refused_address=address)
    except MailDelayed as err:
        with database.transaction() as session:
            if mail := outbox.current(session, mail_id, number):
                outbox.note_delay(session, mail, err)
    else:
        with database.transaction() as session:
            outbox.note_sent(session, mail_id, number)


def check(settings: Settings) -> None:
    """Sign in at the mail server, and send nothing.

    :raise MailDelayed: saying what is wrong
    """
    if settings.mail is not None:
        smtp.check(settings.mail.server, our_host=_our_host(settings))


def _our_host(settings: Settings) -> str:
    return urlsplit(settings.public_url).hostname or "localhost"


def _take(
    session: Session, settings: Settings, sender: Sender, mail_id: UUID, number: int
) -> _Ready | None:
    """What is to be sent; None if it is not its turn, or never will be."""
    mail = outbox.current(session, mail_id, number)
    if mail is None:
        return None
    connection = session.get_one(Connection, mail.connection_id)
    told = told_of(session, connection)
    if _is_no_longer_true(mail, connection):
        session.delete(mail)
        return None
    if why := _why_not(session, mail, connection):
        outbox.end(session, mail, MailState.NOT_SENT, detail=why)
        return None
    if why := _why_no_mail_can_reach(mail, connection):
        outbox.end(session, mail, MailState.FAILED, detail=why)
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
        case MailKind.NEW_LINK | MailKind.OPEN_LINK | MailKind.INVITATION:
            return False
        case MailKind.CONNECTED:
            return mail.about != connection.handed_over_at
        case MailKind.ATTENTION:
            ended = connection.stage is Stage.DISCONNECTED
            return ended or mail.about != connection.grower_acts_since


def _why_not(session: Session, mail: Mail, connection: Connection) -> str:
    """Why a mail is left out for good; empty if it is not."""
    grower, moment = connection.grower, now()
    is_old = moment - mail.created_at > NEWS_FOR
    if mail.kind is MailKind.NEW_LINK:
        if renewal.was_one_revoked(session, grower.id, since=mail.created_at):
            return "a link of the grower was revoked since"
        return TOO_LATE if is_old else ""
    if mail.kind is MailKind.OPEN_LINK:
        if renewal.is_newest_revoked(session, grower.id):
            return "the grower's newest link was revoked"
        if grower.mail_stopped_at is not None:
            # Anybody can type the address. Who has lost their link asks the partner.
            return "who has the address wants no mails"
        return TOO_LATE if is_old else ""
    if not grower.email:
        return "the grower has no address any more"
    if mail.kind is MailKind.INVITATION:
        usable = mail.link is not None and mail.link.is_usable(moment)
        return "" if usable else "its link was revoked, or has expired"
    if grower.address_refused_at is not None:
        return "the mail server has refused the address"
    if grower.mail_stopped_at is not None:
        return "the grower wants no such mails"
    if mail.kind is MailKind.CONNECTED:
        return "it came too late to be news" if is_old else ""
    return ""


def _why_no_mail_can_reach(mail: Mail, connection: Connection) -> str:
    """What staff have to mend before a mail that somebody waits for can be sent."""
    grower = connection.grower
    if mail.kind not in renewal.ASKED_FOR or grower.can_be_reached:
        return ""
    if not grower.email:
        return "a new link was asked for, and there is no address: give one with link … --email"
    return (
        "a new link was asked for, and the mail server has refused the address: correct it with "
        "link … --email"
    )


def _is_true_now(session: Session, mail: Mail, connection: Connection, told: Told) -> bool:
    """Whether what it says holds at this moment, for all we know."""
    match mail.kind:
        case MailKind.NEW_LINK | MailKind.OPEN_LINK | MailKind.INVITATION:
            return True
        case MailKind.CONNECTED:
            return told.tone == "ok"
        case MailKind.ATTENTION:
            is_asked = connection.is_at_leaf and is_to_be_told(told)
            return is_asked and _is_known(connection) and not incidents.is_pause(session)


def _is_known(connection: Connection) -> bool:
    """Whether Leaf has told us lately; not while it can't be asked, or nobody has asked."""
    said = connection.leaf_said_at
    is_fresh = said is not None and now() - said < KNOWN_FOR
    return is_fresh and not connection.failed_checks


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
    stop_url = None  # it would not stop a mail that the reader asks for
    if ready.mail.kind is not MailKind.NEW_LINK:
        stop_url = f"{settings.public_url}/m/{links.stop_token(grower.id)}/stop"
    laid = layout.lay_out(
        letter,
        grower,
        url=links.url(settings.public_url, ready.link.id),
        stop_url=stop_url,
    )
    return message.build(
        laid,
        subject=letter.subject,
        grower=grower,
        names_grower=letter.names_grower,
        sender=sender,
        message_id=ready.mail.message_id,
        stop_url=stop_url,
        moment=now(),
    )


def _letter(ready: _Ready) -> Letter:
    grower, told, until = ready.connection.grower, ready.told, ready.link.expires_at
    has_connected = ready.connection.token_received_at is not None
    match ready.mail.kind:
        case MailKind.NEW_LINK:
            return letters.new_link(grower, told if has_connected else None, until=until)
        case MailKind.OPEN_LINK:
            return letters.open_link(grower, told if has_connected else None, until=until)
        case MailKind.INVITATION:
            if not has_connected:
                return letters.invitation(grower, until=until)
            return letters.own_page(grower, told, until=until)
        case MailKind.CONNECTED:
            shared = describe.organizations(ready.connection, told)
            return letters.connected(grower, told, shared, until=until)
        case MailKind.ATTENTION:
            number = ready.mail.number
            return letters.attention(
                grower, told, number=number, last=number == REMINDERS, until=until
            )
