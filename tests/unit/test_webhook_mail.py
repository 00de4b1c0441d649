"""The mail to a partner whose endpoint was paused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
import sqlalchemy as sa
import time_machine

from onboarding.clock import now
from onboarding.mail.address import Mailing, Sender
from onboarding.models import WebhookEndpoint
from onboarding.settings import Settings
from onboarding.staff import partners
from onboarding.webhooks import outbox, telling
from onboarding.webhooks.results import GIVEN_UP_AFTER
from tests.unit import hooks
from tests.unit.mail_server import Postbox, postbox
from tests.unit.rows import watched
from tests.unit.walk import Walk

SENDER = Sender(name="Farm data", address="connect@onboarding.example")
URL = hooks.URL + "?token=their-own"
HOUR = timedelta(hours=1)


@pytest.fixture
def box() -> Iterator[Postbox]:
    with postbox() as server:
        yield server


def mailing(walk: Walk, box: Postbox) -> Settings:
    return replace(walk.settings, mail=Mailing(server=box.address(), sender=SENDER))


def paused(walk: Walk, *, status: int, support: str | None = "dev@portal.example") -> None:
    """An endpoint that has failed until it was paused, at this moment."""
    connections = watched(walk.database, 1, checked_at=now())
    with walk.database.transaction() as session:
        partner = partners.named(session, hooks.PARTNER)
        partner.support_email, partner.support_name = support, "Ann Ö."
    hooks.endpoint(walk.database, walk.vault, walk.settings, URL)
    hooks.breaks(walk.database, connections)
    if status != 410:
        hooks.tried(walk.database, hooks.failed(status, "<b>down</b>"))
        with walk.database.transaction() as session:
            back = now() - GIVEN_UP_AFTER
            session.execute(sa.update(WebhookEndpoint).values(failing_since=back))
            endpoint = session.scalars(sa.select(WebhookEndpoint)).one()
            outbox.hasten(session, endpoint)
    hooks.tried(walk.database, hooks.failed(status, "<b>down</b>"))


def due(walk: Walk) -> datetime | None:
    with walk.database.reading() as session:
        return session.scalars(sa.select(WebhookEndpoint.mail_due_at)).one()


def read(box: Postbox) -> tuple[EmailMessage, str, str]:
    """The only mail that came: with its text and its HTML."""
    ((_, recipient, raw),) = box.mails
    assert "dev@portal.example" in recipient
    mail = message_from_bytes(raw, policy=default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    return mail, " ".join(text.get_content().split()), html.get_content()


def test_partner_is_told_once_which_server_fails_since_when_and_with_what(
    walk: Walk, box: Postbox
) -> None:
    paused(walk, status=500)
    settings = mailing(walk, box)
    telling.tell_due(walk.database, replace(settings, mail=None))
    assert due(walk) is not None, "while mail is off it stays"
    telling.tell_due(walk.database, settings)
    assert due(walk) is None
    telling.tell_due(walk.database, settings)

    mail, text, html = read(box)
    assert mail["Subject"] == "Demo Co-op: webhooks are paused"
    assert str(mail["From"]) == "Farm data <connect@onboarding.example>"
    assert "Ann Ö." in str(mail["To"])
    since = f"{now() - GIVEN_UP_AFTER:%Y-%m-%d}"
    for said in (text, html):
        assert f"sending webhooks to {hooks.URL}." in said
        assert "their-own" not in said
        assert f"It has failed since {since}" in said
        assert "waits for up to 30 days" in said
        assert "Questions?" not in said
    assert "500 <b>down</b>" in text
    assert "<b>down</b>" not in html


def test_server_that_wants_nothing_more_is_a_reason_of_its_own(walk: Walk, box: Postbox) -> None:
    paused(walk, status=410)
    telling.tell_due(walk.database, mailing(walk, box))
    assert "Your server answered 410 (gone)" in read(box)[1]


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_mail_that_is_delayed_is_tried_hourly_for_two_days(walk: Walk, box: Postbox) -> None:
    paused(walk, status=410)
    settings, began = mailing(walk, box), now()
    box.answers["RCPT"] = "450 come again"
    telling.tell_due(walk.database, settings)
    telling.tell_due(walk.database, settings)
    tried = [line for line in box.said if line.upper().startswith("RCPT")]
    assert len(tried) == 1
    with time_machine.travel(began + HOUR * 1.1):
        telling.tell_due(walk.database, settings)
        assert due(walk) is not None
    with time_machine.travel(began + HOUR * 50):
        telling.tell_due(walk.database, settings)
    assert due(walk) is None
    assert len([line for line in box.said if line.upper().startswith("RCPT")]) == 2


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("answer", ["550 5.1.1 no such mailbox", None])
def test_address_that_is_none_or_refused_ends_it(
    walk: Walk, box: Postbox, answer: str | None
) -> None:
    paused(walk, status=410, support=None if answer is None else "dev@portal.example")
    if answer:
        box.answers["RCPT"] = answer
    telling.tell_due(walk.database, mailing(walk, box))
    assert due(walk) is None
    assert not box.mails
