"""Where a connection stands, as partners' programs are told it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, incidents
from onboarding.models import Connection, Listing

CODES = (
    *("invited", "authorizing", "denied", "took_too_long", "interrupted", "code_refused"),
    *("deere_unavailable", "application_refused", "no_refresh_token", "finishing"),
    *("choose_organizations", "no_organization_chosen", "wrong_account", "no_organizations"),
    *("terms_not_accepted", "permissions_too_low", "organizations_refused"),
    *("organizations_unknown", "organizations_unavailable", "choice_unseen"),
    *("handing_over", "handing_over_late", "waiting_for_leaf", "waiting_for_staff", "failed"),
    *("checking", "connected", "temporarily_unavailable", "unconfirmed", "nothing_fetched"),
    *("reconnect", "credential_missing", "missing_permission", "unknown_health"),
    *("refused_with_many", "limited_with_many"),
    *("disconnecting", "disconnecting_late", "disconnecting_held_up", "disconnected"),
)
"""All that `describe` tells, about in the order in which a grower comes to them."""


@dataclass(frozen=True)
class Status:
    """The same as on every page, for machines.

    :ivar code: stable
    :ivar label: two or three words
    :ivar sentence: what a person would read
    :ivar who: whose turn it is: `grower`, `staff` or `nobody`
    :ivar since: when that code began to be true
    """

    code: str
    label: str
    sentence: str
    who: str
    since: datetime


def status_of(session: Session, connection: Connection) -> Status:
    """Where it stands at this moment."""
    moment = now()
    told = describe.connection(
        connection,
        latest=consent.latest(session, connection.id),
        moment=moment,
        incident=incidents.of(session, connection),
    )
    since = _since(session, connection, told.code, moment)
    return Status(told.code, told.label, told.in_full, told.who, since)


def _since(session: Session, connection: Connection, code: str, moment: datetime) -> datetime:
    """As the row of the table has it, unless that is about to be computed anew."""
    row = session.scalar(sa.select(Listing).where(Listing.connection_id == connection.id))
    if row is not None and row.code == code:
        return row.since
    if row is not None and row.due_at is not None:
        return min(row.due_at, moment)
    return moment
