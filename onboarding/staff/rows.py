"""A row of the table of connections, and its place in an order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from onboarding.models import Connection, Grower, Listing, Organization, Partner
from onboarding.staff.table import Sort
from onboarding.staff.words import Words, words
from onboarding.states import Cause, Environment, Health, SharingTrouble, Turn

PACKED = 1_000_000
"""More organizations than anybody has: both counts in one number take one look at the index."""


@dataclass(frozen=True)
class Place:
    """Where in an order a row stands."""

    value: datetime | str
    number: int

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, str) else self.value.isoformat()
        return f"{self.number}~{value}"

    @classmethod
    def parse(cls, text: str, sort: Sort) -> Place | None:
        """What `str` gave in this order; None for anything else."""
        number, _tilde, value = text.partition("~")
        try:
            if sort is Sort.NAME:
                return cls(value, int(number)) if "\0" not in value else None
            moment = datetime.fromisoformat(value)
            return cls(moment, int(number)) if moment.tzinfo else None
        except ValueError:
            return None


class Row(NamedTuple):
    """A connection as the table shows it; a tuple, since an export makes a million of them."""

    number: int
    code: str
    turn: Turn
    since: datetime
    health: Health
    environment: Environment | None
    created_at: datetime
    opened_at: datetime | None
    started_at: datetime | None
    consented_at: datetime | None
    first_connected_at: datetime | None
    name_key: str
    reference: str
    cause: Cause | None
    trouble: SharingTrouble | None
    checked_at: datetime | None
    grower: str
    external_id: str
    email: str | None
    leaf_user_id: str | None
    by_open_link: bool
    partner: str
    partner_slug: str
    counts: int
    """Of organizations, as `columns` packs them."""

    @property
    def organizations(self) -> int:
        """How many John Deere lists."""
        return self.counts % PACKED

    @property
    def shared(self) -> int:
        """How many of them are shared."""
        return self.counts // PACKED

    @property
    def words(self) -> Words:
        """What staff read of the status."""
        return words(self.code, self.turn)

    @property
    def reason(self) -> str:
        """What keeps it, in two words; empty if the status says it all."""
        found = self.cause or self.trouble
        text = found.value.replace("_", " ") if found else ""
        return "" if text == self.code.replace("_", " ") else text

    def place(self, sort: Sort) -> Place:
        """Where it stands in an order."""
        values: dict[Sort, datetime | str] = {
            Sort.SINCE: self.since,
            Sort.NAME: self.name_key,
            Sort.CHECKED: self.checked_at or self.since,
            Sort.CREATED: self.created_at,
        }
        return Place(values[sort], self.number)


def joined(query: sa.Select[Any]) -> sa.Select[Any]:
    """With all tables that `columns` are of."""
    return (
        query.select_from(Listing)
        .join(Connection, Connection.id == Listing.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .join(Partner, Partner.id == Listing.partner_id)
    )


def columns() -> tuple[Any, ...]:
    """In the order of `Row`."""
    shared = sa.func.count(sa.case((Organization.connected, 1)))
    counts = sa.select(sa.func.count() + PACKED * shared)
    theirs = counts.where(Organization.connection_id == Connection.id).correlate(Connection)
    return (
        Listing.number,
        Listing.code,
        Listing.turn,
        Listing.since,
        Listing.health,
        Listing.environment,
        Listing.created_at,
        Listing.opened_at,
        Listing.started_at,
        Listing.consented_at,
        Listing.first_connected_at,
        Listing.name_key,
        Connection.reference,
        Connection.cause,
        Connection.sharing_trouble,
        Connection.checked_at,
        Grower.name,
        Grower.external_id,
        Grower.email,
        Grower.leaf_user_id,
        Grower.by_open_link,
        Partner.name,
        Partner.slug,
        theirs.scalar_subquery(),
    )
