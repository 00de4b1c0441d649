"""Connections by the million, made by the database itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks.upstream import SWEPT
from onboarding.clock import now
from onboarding.connections import partnership
from onboarding.connections.arrivals import READ_AGAIN_AFTER
from onboarding.db import Database
from onboarding.models import Connection, Grower, Organization
from onboarding.states import Health, Stage, Urgency

PARTNER = "swept"
ORGANIZATIONS = (("1", True), ("2", False))
"""As `benchmarks.upstream` tells of them."""
CHECKS = 9
"""So many have been made: they are daily by now."""


def add_swept(database: Database, *, up_to: int) -> None:
    """Add connections that have worked for long, until there are so many; all of them are due."""
    with database.transaction() as session:
        partner = partnership.find(session, PARTNER)
        if partner is None:
            partner = partnership.add_partner(session, slug=PARTNER, name="Demo Co-op")
            session.flush()
        had = session.scalar(sa.select(sa.func.count()).select_from(Grower)) or 0
        _add(session, partner.id, had + 1, up_to)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # As a database does by itself after a while.
        vacuum = "VACUUM ANALYZE" if connection.dialect.name == "postgresql" else "ANALYZE"
        connection.exec_driver_sql(vacuum)


def _add(session: Session, partner_id: Any, first: int, last: int) -> None:
    moment = now()
    numbers = _numbers(first, last)
    name = _name(session, numbers.c.number)
    new_id = _new_id(session)
    session.execute(
        sa.insert(Grower).from_select(
            [
                "id",
                "partner_id",
                "external_id",
                "name",
                "leaf_user_id",
                "by_open_link",
                "by_partner",
                "created_at",
            ],
            sa.select(
                new_id,
                sa.literal(partner_id, Grower.partner_id.type),
                name,
                sa.literal("Maple Farm"),
                sa.literal(SWEPT) + name,
                sa.false(),
                sa.false(),
                sa.literal(moment, Grower.created_at.type),
            ),
        )
    )
    values: dict[str, Any] = {
        "stage": Stage.CONNECTED,
        "health": Health.OK,
        "health_text": "OK",
        "connected_at": moment - timedelta(days=90),
        "checked_at": moment - timedelta(days=1),
        "check_due_at": moment - timedelta(hours=1),
        "check_urgency": Urgency.ROUTINE,
        "checks": CHECKS,
        "selection_owed": False,
        "events_copied_at": moment,
        "health_since": moment - timedelta(days=90),
        "fields_arrived": 37,
        "created_at": moment - timedelta(days=90),
    }
    columns = Connection.__table__.c
    named = sa.select(Grower.id, Grower.external_id).where(
        Grower.external_id.between(number(first), number(last))
    )
    growers = named.subquery()
    session.execute(
        sa.insert(Connection).from_select(
            ["id", "grower_id", "reference", "arrivals_read_at", *values],
            sa.select(
                new_id,
                growers.c.id,
                growers.c.external_id,
                _arrivals_read(growers.c.external_id, moment),
                *(sa.literal(value, columns[key].type) for key, value in values.items()),
            ),
        )
    )
    for deere_id, connected in ORGANIZATIONS:
        session.execute(
            sa.insert(Organization).from_select(
                ["connection_id", "deere_id", "name", "connected"],
                sa.select(
                    Connection.id,
                    sa.literal(deere_id),
                    sa.literal(f"Maple Farm {deere_id}"),
                    sa.literal(connected),
                ).where(Connection.reference.between(number(first), number(last))),
            )
        )


def _arrivals_read(name: sa.ColumnElement[str], moment: datetime) -> sa.ColumnElement[datetime]:
    """One in five is asked for its arrivals with the check: weekly would be one in seven."""
    is_due = sa.or_(name.like("%3"), name.like("%7"))
    moments = Connection.__table__.c.arrivals_read_at.type
    old, new = (sa.literal(at, moments) for at in (moment - 2 * READ_AGAIN_AFTER, moment))
    return sa.case((is_due, old), else_=new)


def _numbers(first: int, last: int) -> sa.CTE:
    numbers = sa.select(sa.literal(first).label("number")).cte("numbers", recursive=True)
    return numbers.union_all(sa.select(numbers.c.number + 1).where(numbers.c.number < last))


def number(place: int) -> str:
    """What a connection of that place is called: its reference, and its grower's external id."""
    return f"{place:08d}"


def _name(session: Session, number: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    if _is_postgresql(session):
        return sa.func.lpad(sa.cast(number, sa.Text), 8, "0", type_=sa.String)
    return sa.func.printf("%08d", number, type_=sa.String)


def _new_id(session: Session) -> sa.ColumnElement[Any]:
    if _is_postgresql(session):
        return sa.func.gen_random_uuid()
    return sa.func.lower(sa.func.hex(sa.func.randomblob(16)))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
