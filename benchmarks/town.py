"""Connections by the million as staff see them: many kinds, one partner with half of them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from benchmarks import command
from onboarding.clock import now
from onboarding.connections import spelling
from onboarding.db import Database
from onboarding.models import Connection, Event, Grower, Listing, Organization, Partner
from onboarding.models.connection import REFERENCE_LENGTH, REFERENCE_LETTERS
from onboarding.states import Environment, Health, Stage, Turn
from tests.support.stack import Stack

FIRST = (
    "Anna", "Bert", "Carla", "Dieter", "Élodie", "Frank", "Grace", "Hugo", "Iris", "Jonas",
    "Karin", "Lars", "Maria", "Nils", "Olga",
)  # fmt: skip
LAST = (
    "Acker", "Baker", "Castro", "Dvořák", "Ebner", "Fischer", "Garcia", "Holm", "Ivers", "Jensen",
    "Kowalski", "Larsen", "Miller",
)  # fmt: skip
LAND = (
    "Hill", "Valley", "River", "Creek", "Prairie", "Meadow", "Ridge", "Lake", "Grove", "Field",
    "Hollow", "Bend",
)  # fmt: skip
KIND = (
    "Farm", "Farms", "Acres", "Ranch", "Orchards", "Brothers",
)  # fmt: skip
PARTNERS = 40
BATCH = 20_000
EVENTS_OF = 50
"""Connections for each event."""
STANDINGS: tuple[tuple[int, str, Turn, Stage, Health], ...] = (
    (700, "connected", Turn.NOBODY, Stage.CONNECTED, Health.OK),
    (120, "invited", Turn.GROWER, Stage.INVITED, Health.UNKNOWN),
    (60, "reconnect", Turn.GROWER, Stage.CONNECTED, Health.UNAUTHENTICATED),
    (40, "choose_organizations", Turn.GROWER, Stage.CHOOSING_ORGANIZATIONS, Health.OK),
    (30, "temporarily_unavailable", Turn.NOBODY, Stage.CONNECTED, Health.TEMPORARILY_UNAVAILABLE),
    (25, "missing_permission", Turn.GROWER, Stage.CONNECTED, Health.MISSING_PERMISSION),
    (15, "disconnected", Turn.NOBODY, Stage.DISCONNECTED, Health.UNKNOWN),
    (5, "denied", Turn.GROWER, Stage.INVITED, Health.UNKNOWN),
    (4, "waiting_for_leaf", Turn.NOBODY, Stage.HANDING_OVER, Health.UNKNOWN),
    (1, "failed", Turn.STAFF, Stage.FAILED, Health.UNKNOWN),
)
"""Of a thousand, with what they are."""
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class One:
    """A connection, and all that is of it."""

    grower: Row
    connection: Row
    organizations: list[Row]
    listing: Row


def measured(
    kind: str, sizes: Sequence[int], measure: Callable[[Stack, int], T], **environment: str
) -> list[T]:
    """What is measured in a town of each size.

    :param kind: of database, `sqlite` or `postgresql`
    :param environment: settings besides those of every stack
    """
    with command.databases(kind, "onboarding") as (folder, (url,)):
        stack = Stack(folder, url)
        stack.environment |= environment
        stack.cli("db", "upgrade")
        found = []
        try:
            for size in sizes:
                settle(stack.installation.database, up_to=size)
                found.append(measure(stack, size))
        finally:
            stack.close()
        return found


def settle(database: Database, *, up_to: int) -> None:
    """Add connections until there are so many; indexes of the table are made at the end."""
    with database.reading() as session:
        had = session.scalar(sa.select(sa.func.count()).select_from(Listing)) or 0
    partners = _partners(database)
    indexes = _without_indexes(database)
    chance = Random(had)
    people = (_one(chance, partners, number) for number in range(had, up_to))
    while batch := list(itertools.islice(people, BATCH)):
        with database.transaction() as session:
            connection = session.connection()
            _load(connection, Grower, [one.grower for one in batch])
            _load(connection, Connection, [one.connection for one in batch])
            _load(connection, Organization, [row for one in batch for row in one.organizations])
            _load(connection, Listing, [one.listing for one in batch])
            _load(connection, Event, [_event(one) for one in batch[::EVENTS_OF]])
        had += len(batch)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for index in indexes:
            connection.exec_driver_sql(index)
        # As a database does by itself after a while.
        vacuum = "VACUUM ANALYZE" if connection.dialect.name == "postgresql" else "ANALYZE"
        connection.exec_driver_sql(vacuum)
        connection.commit()  # SQLite has begun something all the same


def _partners(database: Database) -> list[uuid.UUID]:
    with database.transaction() as session:
        if session.scalar(sa.select(Partner.id).limit(1)) is None:
            session.add_all(
                Partner(slug=f"p-{number}", name=f"Partner {number}", created_at=now())
                for number in range(PARTNERS)
            )
            session.flush()
        return list(session.scalars(sa.select(Partner.id).order_by(Partner.slug)))


def _one(chance: Random, partners: Sequence[uuid.UUID], number: int) -> One:
    moment = now()
    weights = [one[0] for one in STANDINGS]
    ((_, code, turn, stage, health),) = chance.choices(STANDINGS, weights)
    partner = partners[0] if chance.random() < 0.5 else chance.choice(partners)
    first, last = chance.choice(FIRST), chance.choice(LAST)
    farm = f"{chance.choice(LAND)} {chance.choice(LAND)} {chance.choice(KIND)}"
    created = moment - timedelta(days=chance.random() * 400)
    since = created + (moment - created) * chance.random()
    at_leaf = stage in {Stage.CONNECTED, Stage.CHOOSING_ORGANIZATIONS}
    checked = moment - timedelta(hours=24 * chance.random()) if at_leaf else None
    environment = None if stage is Stage.INVITED else Environment.PRODUCTION
    grower_id, connection_id = (uuid.UUID(int=chance.getrandbits(128)) for _ in range(2))
    grower = {
        "id": grower_id,
        "partner_id": partner,
        "external_id": f"G-{number:07d}",
        "name": f"{first} {last}, {farm}",
        "email": f"{spelling.normalized(first)}.{number}@{spelling.normalized(last)}.example",
        "leaf_user_id": str(uuid.UUID(int=chance.getrandbits(128))) if at_leaf else None,
        "by_open_link": False,
        "by_partner": False,
        "created_at": created,
    }
    connection = {
        "id": connection_id,
        "grower_id": grower_id,
        "reference": "".join(chance.choices(REFERENCE_LETTERS, k=REFERENCE_LENGTH)),
        "stage": stage.value,
        "health": health.value,
        "health_text": "" if health is Health.UNKNOWN else health.value,
        "detail": "",
        "sharing_detail": "",
        "environment": environment.value if environment else None,
        "scopes_asked": "[]",
        "scopes_granted": "[]",
        "hand_over_try": 0,
        "handed_over_at": created if at_leaf else None,
        "checked_at": checked,
        "check_urgency": 2,
        "check_number": 0,
        "sync_owed": False,
        "selection_owed": False,
        "failed_checks": 0,
        "checks": 9,
        "connected_at": created if at_leaf else None,
        "health_since": since if at_leaf else None,
        "created_at": created,
    }
    organizations = [
        {
            "connection_id": connection_id,
            "deere_id": str(place),
            "name": farm if place == 0 else f"{last} {chance.choice(LAND)}",
            "connected": place == 0 and stage is Stage.CONNECTED,
            "member": True,
        }
        for place in range(chance.choice((1, 1, 2, 3)) if at_leaf else 0)
    ]
    listing = {
        "connection_id": connection_id,
        "partner_id": partner,
        "name_key": spelling.normalized(str(grower["name"]))[:100],
        "code": code,
        "turn": turn.value,
        "since": since,
        "health": health.value,
        "environment": connection["environment"],
        "created_at": created,
        "opened_at": created if at_leaf or chance.random() < 0.4 else None,
        "started_at": created if at_leaf else None,
        "text": _text(grower, connection, organizations),
    }
    return One(grower, connection, organizations, listing)


def _text(grower: Row, connection: Row, organizations: Sequence[Row]) -> str:
    values = (
        grower["name"],
        grower["external_id"],
        grower["email"],
        connection["reference"],
        grower["leaf_user_id"],
        *(row["name"] for row in organizations),
    )
    return "\n".join(dict.fromkeys(spelling.normalized(value) for value in values if value))


def _event(one: One) -> Row:
    return {
        "connection_id": one.connection["id"],
        "at": one.connection["created_at"],
        "kind": "link_made",
        "who": "staff",
        "data": "{}",
    }


def _load(connection: sa.Connection, model: type[DeclarativeBase], rows: Sequence[Row]) -> None:
    if not rows:
        return
    name, columns = model.__tablename__, list(rows[0])
    if connection.dialect.name == "postgresql":
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
            copy.write("".join(_lines(rows)))
        return
    # Not the model's own table: its types would take each of millions of values through Python.
    bare = sa.table(name, *map(sa.column, columns))
    connection.execute(
        sa.insert(bare), [{key: _plain(value) for key, value in row.items()} for row in rows]
    )


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    """As COPY reads them."""
    for row in rows:
        cells = (
            "\\N" if value is None else str(value).replace("\n", "\\n") for value in row.values()
        )
        yield "\t".join(cells) + "\n"


def _plain(value: Any) -> Any:
    """As SQLite keeps it."""
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


def _without_indexes(database: Database) -> list[str]:
    """Drop what is faster made at the end; the statements that make it."""
    with database.transaction() as session:
        if session.get_bind().dialect.name == "postgresql":
            query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'listing'"
        else:
            query = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'listing' AND sql <> ''"
        found = [(name, made) for name, made in session.execute(sa.text(query)) if "ix_" in name]
        for name, _ in found:
            session.execute(sa.text(f"DROP INDEX {name}"))
        return [made for _, made in found]
