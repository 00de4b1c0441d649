"""Where a partner wants to be told, and of what."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import announcing
from onboarding.errors import InputInvalid, NoRoom, TokenUnreadable
from onboarding.models import Partner, WebhookDelivery, WebhookEndpoint
from onboarding.settings import Settings
from onboarding.states import TEST_EVENT, EndpointState, PauseReason, WebhookEvent
from onboarding.vault import Vault
from onboarding.webhooks import outbox, signed
from onboarding.webhooks.addresses import is_allowed

AT_MOST = 10
"""Endpoints of one partner."""
URL_MAX = 500
OVERLAP = timedelta(hours=24)
"""So long messages are signed with the secret before, too."""
LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
LAST = rf"(?!(?:\d+|0x[0-9a-f]*)$){LABEL}"
"""A number would be an address, as browsers read it."""
HOST = re.compile(rf"(?:{LABEL}\.)+{LAST}")
"""A name in small letters. One without a dot is of no host in the public Internet."""
PRIVATE_HOST = re.compile(rf"(?:{LABEL}\.)*{LAST}")
HOST_MAX = 253


def add(
    session: Session,
    vault: Vault,
    settings: Settings,
    partner: Partner,
    *,
    url: str,
    events: Collection[str],
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint.

    :param events: of `WebhookEvent`; none: all
    :return: the endpoint, and the secret, which is shown this once
    :raise NoRoom: if the partner has as many as there may be
    :raise InputInvalid: saying what to change
    """
    known = _locked_of(session, partner)
    if len(known) >= AT_MOST:
        raise NoRoom(f"There are {AT_MOST} endpoints already: remove one first.")
    url = checked_url(settings, url)
    _refuse_known(url, known)
    made = WebhookEndpoint(
        id=uuid4(),
        partner_id=partner.id,
        partner=partner,
        url=url,
        events=checked_events(events),
        created_at=now(),
    )
    secret = signed.new_secret()
    made.secret = vault.encrypt(secret, place=made.secret_place)
    session.add(made)
    session.flush()
    return made, secret


def of(session: Session, partner: Partner) -> Sequence[WebhookEndpoint]:
    """A partner's endpoints, the oldest first."""
    query = sa.select(WebhookEndpoint).where(
        WebhookEndpoint.partner_id == partner.id, WebhookEndpoint.removed_at.is_(None)
    )
    return session.scalars(query.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)).all()


def locked(
    session: Session, endpoint_id: UUID, *, partner: Partner | None = None
) -> WebhookEndpoint | None:
    """An endpoint, to be changed; None: there is none of that id, or it is another partner's."""
    query = _one(endpoint_id, partner).with_for_update(of=WebhookEndpoint, key_share=True)
    return session.scalar(query.execution_options(populate_existing=True))


def shown(
    session: Session, endpoint_id: UUID, *, partner: Partner | None = None
) -> WebhookEndpoint | None:
    """The same, to be read."""
    return session.scalar(_one(endpoint_id, partner))


def change(
    session: Session,
    settings: Settings,
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    events: Collection[str] | None = None,
) -> None:
    """Another URL, or other events; what waits is sent to the new URL.

    The same URL changes nothing: what is known of its failures is not forgotten.

    :raise InputInvalid: saying what to change
    """
    if events is not None:
        endpoint.events = checked_events(events)
    if url is None or url.strip() == endpoint.url:
        return
    url = checked_url(settings, url)
    _refuse_known(url, _locked_of(session, endpoint.partner))
    endpoint.url = url
    _begin_anew(session, endpoint)


def rotate(vault: Vault, endpoint: WebhookEndpoint) -> str:
    """A new secret; for a day messages are signed with both.

    :return: the new one, which is shown this once
    """
    secret = signed.new_secret()
    try:
        old = vault.decrypt(endpoint.secret, place=endpoint.secret_place)
    except TokenUnreadable:  # its key is lost, and nothing can be signed with it
        endpoint.old_secret = endpoint.old_secret_until = None
    else:
        endpoint.old_secret = vault.encrypt(old, place=endpoint.old_secret_place)
        endpoint.old_secret_until = now() + OVERLAP
    endpoint.secret = vault.encrypt(secret, place=endpoint.secret_place)
    return secret


def pause(endpoint: WebhookEndpoint) -> None:
    """Send nothing there until somebody resumes it; again is the same as once."""
    if endpoint.paused_at is None:
        outbox.pause(endpoint, PauseReason.BY_HAND)


def resume(session: Session, endpoint: WebhookEndpoint) -> None:
    """Send again, first of all what has waited. One that works goes on as before."""
    if endpoint.state is EndpointState.WORKS and endpoint.retry_at is None:
        return
    endpoint.paused_at = endpoint.pause_reason = endpoint.mail_due_at = None
    _begin_anew(session, endpoint)


def remove(vault: Vault, endpoint: WebhookEndpoint) -> None:
    """Send nothing there any more, for good. What was sent can be seen no more."""
    endpoint.removed_at = now()
    endpoint.mail_due_at = None
    endpoint.secret = vault.encrypt("", place=endpoint.secret_place)
    endpoint.old_secret = endpoint.old_secret_until = None


def send_test(session: Session, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Send a message that tells of nothing, whatever events the endpoint wants, and before all
    that waits there.

    One at a time: until it has been tried, another one tells nothing more. After that, what has
    failed is not tried any more beside the new one.

    :raise InputInvalid: while it is paused, or the last test has not ended
    """
    if endpoint.paused_at is not None:
        raise InputInvalid("The endpoint is paused: resume it first.")
    if not outbox.replace_tests(session, endpoint):
        raise InputInvalid("The last test has not ended yet: wait for what comes of it.")
    data = {"endpoint": str(endpoint.id)}
    made = announcing.new_message(TEST_EVENT, endpoint.partner_id, data=data)
    (delivery,) = announcing.send(session, made, [endpoint])
    return delivery


def checked_events(events: Collection[str]) -> list[str]:
    """Events in their own order, each once; none: all.

    :raise InputInvalid: if one of them does not exist
    """
    if set(events) - set(WebhookEvent):
        raise InputInvalid(f"The events are some of: {', '.join(WebhookEvent)}.")
    return [one.value for one in WebhookEvent if one in events or not events]


def checked_url(settings: Settings, url: str) -> str:
    """The URL, if messages may go there. A host's name is looked up when they do.

    :raise InputInvalid: saying what to change
    """
    url = url.strip()
    if len(url) > URL_MAX:
        raise InputInvalid(f"The URL has more than {URL_MAX} characters.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
        is_whole = bool(host) and port != 0 and url.isascii()
    except ValueError:
        is_whole = False
    if not is_whole or not url.isprintable() or " " in url:
        raise InputInvalid("The URL must be like https://portal.example.com/webhooks.")
    if "@" in parts.netloc or "#" in url:
        raise InputInvalid("The URL must hold no user name, password or fragment.")
    allowed = settings.webhooks_allow_private
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_here = host == "localhost" or host.endswith(".localhost")
        names = PRIVATE_HOST if is_here or allowed else HOST
        if "[" in parts.netloc or len(host) > HOST_MAX or not names.fullmatch(host):
            raise InputInvalid(
                f"{host} is neither a host's name nor an address: write it like "
                "portal.example.com, 192.0.2.1 or [2001:db8::1]."
            ) from None
        is_refused = is_here and not any(network.is_loopback for network in allowed)
        is_private = is_here
    else:
        is_refused = not is_allowed(address, allowed)
        is_private = not is_refused and not is_allowed(address, ())
    if is_refused:
        raise InputInvalid(
            f"{host} is not in the public Internet: webhooks go there only if "
            "WEBHOOKS_ALLOW_PRIVATE names it."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_private):
        raise InputInvalid("The URL must begin with https://.")
    return url


def _locked_of(session: Session, partner: Partner) -> Sequence[WebhookEndpoint]:
    """A partner's endpoints; who asks so waits for others, so that none counts them meanwhile."""
    session.execute(
        sa.select(Partner.id).where(Partner.id == partner.id).with_for_update(key_share=True)
    )
    return of(session, partner)


def _refuse_known(url: str, known: Sequence[WebhookEndpoint]) -> None:
    if any(one.url == url for one in known):
        raise InputInvalid("There is an endpoint with this URL already: change its events instead.")


def _one(endpoint_id: UUID, partner: Partner | None) -> sa.Select[WebhookEndpoint]:
    query = sa.select(WebhookEndpoint).where(
        WebhookEndpoint.id == endpoint_id, WebhookEndpoint.removed_at.is_(None)
    )
    return query if partner is None else query.where(WebhookEndpoint.partner_id == partner.id)


def without_query(url: str) -> str:
    """A URL as it may stand in the audit: a query may hold a secret of the partner's."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _begin_anew(session: Session, endpoint: WebhookEndpoint) -> None:
    """What went wrong before says nothing about what comes: all that waits has its days again."""
    endpoint.forget_failures()
    endpoint.retry_at = None
    outbox.begin_anew(session, endpoint)
