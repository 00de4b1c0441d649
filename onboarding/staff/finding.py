"""Finds the rows of the table of connections, a page at a time, however many there are.

Pages go by the place of their first or last row, never by a number of rows to skip. A search goes
through the index of words, or walks the order of the page, whichever is shorter (decision 0035).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import spelling
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.models import Connection, Listing, Partner
from onboarding.staff.roles import Member
from onboarding.staff.rows import Place, Row, columns, joined
from onboarding.staff.scope import of_partners
from onboarding.staff.table import Filter, Sort

COUNTED = 1000
"""More are "more than"."""
FTS = "listing_search"


@dataclass(frozen=True)
class Page:
    """Some rows, whether there are others before and after them, and how many there are."""

    rows: Sequence[Row]
    has_previous: bool
    has_next: bool
    total: int
    """At most `COUNTED` + 1: nobody counts further."""


def page(
    session: Session,
    by: Member,
    asked: Filter,
    *,
    partner_id: UUID | None,
    after: Place | None = None,
    before: Place | None = None,
) -> Page:
    """The rows after a place, or before one, or the first.

    :param partner_id: of `asked.partner`
    """
    plan_anew(session)
    conditions = _conditions(session, by, asked, partner_id)
    total = _bounded([*conditions, *_in_order(asked)])
    place, backwards = (before, True) if before is not None else (after, False)
    query = _rows(asked, conditions, place, backwards=backwards, limit=asked.size + 1)
    found = session.execute(query.add_columns(total)).all()
    rows = [Row._make(row[:-1]) for row in found[: asked.size]]
    has_more = len(found) > asked.size
    if backwards:
        rows.reverse()
    return Page(
        rows,
        has_previous=has_more if backwards else after is not None,
        has_next=True if backwards else has_more,
        total=found[0][-1] if found else 0,
    )


def every(
    database: Database, by: Member, asked: Filter, *, partner_id: UUID | None, at_once: int = 5000
) -> Iterator[Sequence[Row]]:
    """All rows in order, in parts; each is read for itself, so that nothing is held for long."""
    place = None
    while True:
        with database.reading() as session:
            plan_anew(session)
            conditions = _conditions(session, by, asked, partner_id)
            query = _rows(asked, conditions, place, backwards=False, limit=at_once)
            rows = [Row._make(row) for row in session.execute(query)]
        if rows:
            yield rows
            place = rows[-1].place(asked.sort)
        if len(rows) < at_once:
            return


def picked(session: Session, by: Member, references: Sequence[str]) -> Sequence[Row]:
    """The rows of these reference codes that the member sees."""
    query = sa.select(*columns()).where(
        Connection.reference.in_(references), *of_partners(Listing.partner_id, by)
    )
    return [Row._make(row) for row in session.execute(joined(query).order_by(Listing.number))]


def select_ids(session: Session, by: Member, asked: Filter) -> sa.Select[UUID]:
    """The ids of all connections that match and the member sees, to select from.

    :raise InputInvalid: if the partner is none that the member sees
    """
    found = partner_id(session, by, asked.partner)
    conditions = [*_conditions(session, by, asked, found), *_in_order(asked)]
    return sa.select(Listing.connection_id).where(*conditions)


def partner_id(session: Session, by: Member, slug: str) -> UUID | None:
    """The id of a partner that is asked for; None if none is.

    :raise InputInvalid: if it is none that the member sees
    """
    if not slug:
        return None
    query = sa.select(Partner.id).where(Partner.slug == slug, *of_partners(Partner.id, by))
    if "\0" in slug or (found := session.scalar(query)) is None:
        raise no_partner(slug)
    return found


def no_partner(slug: str) -> InputInvalid:
    """That a slug names no partner whom the member sees."""
    return InputInvalid(_("You see no partner “%(slug)s”. Choose one below.") % {"slug": slug[:64]})


def plan_anew(session: Session) -> None:
    """Let PostgreSQL plan for what is asked: one partner has half of all rows, others a dozen."""
    if _is_postgresql(session):
        session.execute(sa.text("SET LOCAL plan_cache_mode = force_custom_plan"))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _conditions(
    session: Session, by: Member, asked: Filter, partner: UUID | None
) -> list[sa.ColumnElement[bool]]:
    equal = {
        Listing.code: asked.status,
        Listing.turn: asked.turn,
        Listing.health: asked.health,
        Listing.environment: asked.environment,
    }
    found = [
        *of_partners(Listing.partner_id, by, partner),
        *(column == value for column, value in equal.items() if value),
    ]
    if (before := asked.before(now())) is not None:
        found.append(Listing.since <= before)
    if asked.unopened:
        found.append(Listing.opened_at.is_(None))
    return [*found, *_search(session, asked.terms)]


def _in_order(asked: Filter) -> list[sa.ColumnElement[bool]]:
    """What an order leaves out: in that of checks only those stand that have had one."""
    if asked.sort is not Sort.CHECKED:
        return []
    was = sa.exists().where(
        Connection.id == Listing.connection_id, Connection.checked_at.is_not(None)
    )
    return [was]


def _search(session: Session, terms: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    if not terms:
        return []
    if _is_postgresql(session):
        # Its statistics tell it how rare they are (see migration 0016).
        return [Listing.text.like(f"%{_escaped(term)}%") for term in terms]
    walked = [sa.func.instr(Listing.text, term) > 0 for term in terms]
    long = [term for term in terms if len(term) >= spelling.SHORTEST]
    if not long:
        return walked
    match = " ".join('"' + term.replace('"', '""') + '"' for term in long)
    hits = sa.text(f"SELECT rowid FROM {FTS} WHERE {FTS} MATCH :match").bindparams(match=match)  # noqa: S608
    some = hits.columns(sa.column("rowid", sa.Integer)).subquery()
    probe = sa.select(some.c.rowid).limit(COUNTED + 1).subquery()
    if (session.scalar(sa.select(sa.func.count()).select_from(probe)) or 0) > COUNTED:
        return walked
    short = [sa.func.instr(Listing.text, term) > 0 for term in terms if term not in long]
    return [Listing.number.in_(sa.select(some.c.rowid)), *short]


def _escaped(term: str) -> str:
    for special in ("\\", "%", "_"):
        term = term.replace(special, f"\\{special}")
    return term


def _bounded(conditions: Sequence[sa.ColumnElement[bool]]) -> sa.ScalarSelect[int]:
    some = sa.select(sa.literal(1)).select_from(Listing).where(*conditions).limit(COUNTED + 1)
    return sa.select(sa.func.count()).select_from(some.subquery()).scalar_subquery()


def _rows(
    asked: Filter,
    conditions: Sequence[sa.ColumnElement[bool]],
    place: Place | None,
    *,
    backwards: bool,
    limit: int,
) -> sa.Select[Any]:
    """First which, by an index; then what is shown of them."""
    column = _sorted_by(asked.sort)
    falls = asked.descending != backwards
    which = sa.select(Listing.number).where(*conditions)
    if asked.sort is Sort.CHECKED:
        which = which.join(Connection, Connection.id == Listing.connection_id)
        which = which.where(Connection.checked_at.is_not(None))
    if place is not None:
        value = sa.literal(place.value, column.type)
        here, there = sa.tuple_(column, Listing.number), sa.tuple_(value, place.number)
        which = which.where(here < there if falls else here > there)
        if asked.sort is Sort.CHECKED:  # the two are of different tables: no index has both
            which = which.where(column <= value if falls else column >= value)
    order = [one.desc() if falls else one.asc() for one in (column, Listing.number)]
    some = which.order_by(*order).limit(limit).subquery()
    query = joined(sa.select(*columns())).join(some, some.c.number == Listing.number)
    return query.order_by(*order)


def _sorted_by(sort: Sort) -> Any:
    return {
        Sort.SINCE: Listing.since,
        Sort.NAME: Listing.name_key,
        Sort.CHECKED: Connection.checked_at,
        Sort.CREATED: Listing.created_at,
    }[sort]
