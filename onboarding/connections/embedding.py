"""Growers in partners' portals: links for a frame, and the way back to the portal.

An embed token is a link's token: a frame needs what a link needs (to be signed, to expire, to be
for one grower), and where the frame leads to is the grower's page.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import accepted, invitations
from onboarding.db import DELETED_AT_ONCE, Database, delete_oldest
from onboarding.describe import Told
from onboarding.errors import InputInvalid
from onboarding.models import Attempt, Connection, Link, Partner
from onboarding.states import LinkKind, Stage

LIFETIME = timedelta(hours=1)
KEPT = timedelta(days=1)
"""So long a link whose time is over stays, so that its page can say so."""

Event = Literal["ready", "opened", "working", "connected", "needs-action", "failed", "closed"]
"""What a portal is told; each but `working` is an event of the element's."""


def new_link(session: Session, connection: Connection, *, return_url: str | None = None) -> Link:
    """A link for one frame, for an hour.

    :param return_url: where the grower goes on if no window can be opened beside the portal
    :raise InputInvalid: if the partner has not listed that address
    """
    partner = connection.grower.partner
    return invitations.new_link(
        session,
        connection,
        lifetime=LIFETIME,
        kind=LinkKind.EMBED,
        return_url=check_return_url(partner, return_url) if return_url else None,
    )


def check_return_url(partner: Partner, url: str) -> str:
    """An address that the partner has listed, whatever its query.

    :raise InputInvalid: saying what to list
    """
    bare = url.partition("?")[0]
    if (
        not _is_listed(partner, url)
        or "#" in url
        or not url.isprintable()
        or len(url) > accepted.URL_MAX
    ):
        raise InputInvalid(
            f"The return URL {bare!r} is not among those of {partner.name}: list it there, exactly "
            "so, or use one that is listed. A query may follow, a fragment may not."
        )
    return url


def _is_listed(partner: Partner, url: str) -> bool:
    listed = {known.partition("?")[0] for known in partner.return_urls}
    return url.partition("?")[0] in listed


def way_back(link: Link, connection: Connection, told: Told) -> str | None:
    """The link's return URL with what has become of the connection, each told once; None: it has
    none.

    Nor has it one that the partner has taken from the list since.
    """
    if link.return_url is None or not _is_listed(connection.grower.partner, link.return_url):
        return None
    parts = urlsplit(link.return_url)
    said = {"connection": connection.reference, "state": told.code}
    given = filter(None, parts.query.split("&"))
    kept = [one for one in given if unquote_plus(one.partition("=")[0]) not in said]
    return urlunsplit(parts._replace(query="&".join((*kept, urlencode(said)))))


def event_of(connection: Connection, told: Told) -> Event:
    """What has happened, as portals are told it."""
    if told.tone == "ok":
        return "connected"
    if told.code == "invited":
        return "ready"
    if told.code == "authorizing":
        return "opened"
    if told.who == "staff":
        return "failed"
    has_consented = connection.token_received_at is not None
    if told.who == "grower" and has_consented and connection.stage is not Stage.DISCONNECTED:
        return "needs-action"
    if told.who == "grower" or connection.stage is Stage.DISCONNECTED:
        return "closed"
    return "working"


def forget_old(database: Database) -> None:
    """Delete links of frames that ended unused: each view of a portal's page makes one."""
    is_unused = ~sa.exists().where(Attempt.link_id == Link.id)
    only, before = (Link.kind == LinkKind.EMBED, is_unused), now() - KEPT
    gone = DELETED_AT_ONCE
    while gone == DELETED_AT_ONCE:
        with database.transaction() as session:
            gone = delete_oldest(session, Link, by=Link.expires_at, before=before, only=only)
