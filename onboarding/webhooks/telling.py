"""The mail to a partner whose endpoint was paused: once, to their address for support.

While the mail server does not take it, it is tried again hourly, for two days.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import Database
from onboarding.errors import MailDelayed, MailRefused
from onboarding.mail import layout, letters, message, smtp
from onboarding.mail.address import Sender
from onboarding.models import WebhookEndpoint
from onboarding.settings import Settings
from onboarding.states import PauseReason
from onboarding.webhooks.endpoints import without_query

AT_ONCE = 5
AGAIN_AFTER = timedelta(hours=1)
"""Also when the worker ends in the middle: then it is sent twice, with the same Message-ID."""
TRIED_FOR = timedelta(days=2)
"""After the pause. Later it is no news, and staff see the endpoint on their pages."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ready:
    """A mail that is to be sent now."""

    mail: EmailMessage
    recipient: str


def tell_due(database: Database, settings: Settings) -> None:
    """Send the mails that are due. While mail is off, they stay."""
    mailing = settings.mail
    if mailing is None:
        return
    with database.reading() as session:
        due = sa.select(WebhookEndpoint.id).where(WebhookEndpoint.mail_due_at <= now())
        found = session.scalars(due.order_by(WebhookEndpoint.mail_due_at).limit(AT_ONCE)).all()
    for endpoint_id in found:
        with database.transaction() as session:
            ready = _take(session, mailing.sender, endpoint_id)
        if ready is None:
            continue
        try:
            smtp.send(
                mailing.server,
                ready.mail,
                sender=mailing.sender.address,
                recipient=ready.recipient,
                our_host=urlsplit(settings.public_url).hostname or "localhost",
            )
        except MailDelayed as err:
            log.warning("The mail about a paused webhook endpoint waits: %s", err)
            return  # the server is away, for the others as well
        except MailRefused as err:
            log.warning("The mail about a paused webhook endpoint was refused: %s", err)
        with database.transaction() as session:
            _end(session, endpoint_id)


def _take(session: Session, sender: Sender, endpoint_id: UUID) -> _Ready | None:
    """What is to be sent; None if another worker does, or nobody needs to any more."""
    moment = now()
    endpoint = session.scalar(
        sa.select(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.mail_due_at <= moment)
        .with_for_update(of=WebhookEndpoint, key_share=True)
    )
    if endpoint is None:
        return None
    slug, paused_at = endpoint.partner.slug, endpoint.paused_at
    endpoint.mail_due_at = None
    if paused_at is None:
        return None
    if moment - paused_at > TRIED_FOR:
        log.warning("%s was not told that a webhook endpoint is paused: no mail got out", slug)
        return None
    try:
        ready = _Ready(_mail(endpoint, sender), message.partner_address(endpoint.partner))
    except MailRefused:
        log.warning("%s can't be told that a webhook endpoint is paused: no address", slug)
        return None
    endpoint.mail_due_at = moment + AGAIN_AFTER
    return ready


def _end(session: Session, endpoint_id: UUID) -> None:
    """It is sent, or never will be; not if it was paused anew meanwhile."""
    session.execute(
        sa.update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.mail_due_at > now())
        .values(mail_due_at=None)
    )


def _mail(endpoint: WebhookEndpoint, sender: Sender) -> EmailMessage:
    partner, moment = endpoint.partner, now()
    letter = letters.paused(
        partner,
        url=without_query(endpoint.url),
        failing_since=endpoint.failing_since,
        failure=endpoint.failure,
        is_gone=endpoint.pause_reason is PauseReason.GONE,
    )
    paused_at = endpoint.paused_at or moment
    return message.build_for_partner(
        layout.lay_out_for_partner(letter, partner),
        subject=letter.subject,
        partner=partner,
        sender=sender,
        message_id=f"<{endpoint.id.hex}.{int(paused_at.timestamp())}@{sender.domain}>",
        moment=moment,
    )
