"""What happened to a connection, as partners' programs are told it: less than staff see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Event

WORDS = {
    "link_made": mark("A link was made."),
    "link_revoked": mark("A link was revoked."),
    "leaf_user_set": mark("The grower’s Leaf user was set."),
    "attempt_started": mark("The grower went to John Deere."),
    "attempt_denied": mark("Access was not allowed at John Deere."),
    "attempt_expired": mark("The grower did not come back from John Deere in time."),
    "attempt_interrupted": mark("Our work on the grower’s return was cut off."),
    "attempt_code_refused": mark("John Deere did not accept the code that it had given."),
    "attempt_deere_unavailable": mark("John Deere did not answer when the grower came back."),
    "attempt_application_refused": mark("John Deere refused our application."),
    "attempt_no_refresh_token": mark("John Deere gave no lasting access."),
    "token_received": mark("The grower agreed at John Deere."),
    "scopes_missing": mark("John Deere granted less than was asked for."),
    "hand_over_waits": mark("Leaf could not take the permission yet; it is kept."),
    "hand_over_retried": mark("The hand-over to Leaf is tried again."),
    "hand_over_failed": mark("Leaf did not take the permission; our staff look at it."),
    "handed_over": mark("Leaf has taken the permission."),
    "credential_replaced": mark("Leaf holds the new permission instead of the old one."),
    "status_changed": mark("What Leaf says of the connection changed."),
    "repaired": mark("It works again."),
    "data_arrived": mark("Data has arrived at Leaf."),
    "organization_appeared": mark("An organization has appeared."),
    "organization_shared": mark("An organization is shared."),
    "organization_not_shared": mark("An organization is no longer shared."),
    "organization_gone": mark("The account does not see an organization any more."),
    "organizations_not_read": mark("John Deere did not tell which organizations there are."),
    "sync_choice_asked": mark("It was chosen whether Leaf fetches an organization."),
    "fetching_selected": mark("Leaf was told to fetch an organization."),
    "fetching_stopped": mark("Leaf was told not to fetch an organization any more."),
    "resync_asked": mark("Leaf is to read the organizations anew."),
    "came_by_open_link": mark("The grower came by your open link."),
    "open_link_asked": mark("The grower asked for a link at your open link."),
    "new_link_asked": mark("The grower asked for a new link by mail."),
    "mail_sent": mark("A mail was sent to the grower."),
    "mail_failed": mark("A mail to the grower could not be delivered."),
    "address_refused": mark("The mail server says that the grower’s address does not exist."),
    "mails_stopped": mark("The grower wants no more mails."),
    "mails_resumed": mark("The grower wants mails again."),
    "disconnect_asked": mark("The end of the connection was asked for."),
    "disconnect_waits": mark("Leaf could not delete the permission yet; it is tried again."),
    "disconnect_retried": mark("Deleting the permission at Leaf is tried again."),
    "disconnected": mark("Disconnected. Leaf holds nothing any more."),
}
"""What a partner is told of, by the kind of the event, which is its type for machines and stays.
All others are about how we and Leaf work inside, and for staff."""


@dataclass(frozen=True)
class Happening:
    """One thing that happened.

    :ivar number: grows with each
    :ivar who: `grower`, `staff`, `partner` or `system`
    :ivar organizations: those that it is about, by name
    :ivar health: Leaf's word, where it is about that
    """

    number: int
    type: str
    at: datetime
    who: str
    sentence: str
    organizations: Sequence[str]
    health: str | None


def newest(
    session: Session, connection_id: UUID, *, limit: int, before: int | None = None
) -> list[Happening]:
    """What happened, newest first, by one query.

    :param before: number of the last of the page before; None: the newest
    """
    query = (
        sa.select(Event)
        .where(Event.connection_id == connection_id, Event.kind.in_(WORDS))
        .order_by(Event.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Event.id < before)
    return [_told(event) for event in session.scalars(query)]


def _told(event: Event) -> Happening:
    """Of the details only those that the partner sees elsewhere, too: others are for staff."""
    named = event.data.get("organizations") or event.data.get("organization") or []
    return Happening(
        event.id,
        event.kind,
        event.at,
        event.who,
        _(WORDS[event.kind]),
        [named] if isinstance(named, str) else named,
        event.data.get("health"),
    )
