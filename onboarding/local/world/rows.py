"""Writes the demo world into the database, many rows at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session

from onboarding.connections import listing
from onboarding.local.world import bulk, days, desk, webhooks
from onboarding.local.world.life import Life
from onboarding.local.world.making import OWN_APPLICATION, World
from onboarding.models import (
    Application,
    Attempt,
    Audit,
    BulkJob,
    BulkRow,
    Connection,
    Event,
    Figure,
    Grower,
    Incident,
    LeafEvent,
    Link,
    Listing,
    Mail,
    Organization,
    Partner,
    Staff,
)
from onboarding.models.staff import staff_partner
from onboarding.vault import KEY_BYTES, Vault


def write(session: Session, vault: Vault, world: World) -> None:
    """Write all of it."""
    _keep_tokens(vault, world)
    lives = world.lives
    for application in world.applications:
        secret, place = OWN_APPLICATION[1], application.secret_place
        application.client_secret = vault.encrypt(secret, place=place)
    _insert(session, Application, world.applications)
    _insert(session, Partner, world.partners)
    _insert(session, Grower, [life.grower for life in lives])
    _insert(session, Connection, [life.connection for life in lives])
    _insert(session, Organization, [row for life in lives for row in life.organizations])
    _insert(session, Link, [row for life in lives for row in life.links])
    _insert(session, Attempt, [row for life in lives for row in life.attempts])
    _insert(session, Mail, [row for life in lives for row in life.mails])
    # The database numbers them: the earliest first, as if it had been there.
    events = [row for life in lives for row in life.events]
    _insert(session, Event, sorted(events, key=lambda row: row.at))
    told = [row for life in lives for row in life.leaf_events]
    _insert(session, LeafEvent, sorted(told, key=lambda row: row.at))
    _insert(session, Incident, world.incidents)
    _list(session, lives)
    _insert(session, Figure, days.health(world))
    people = desk.staff(world)
    _insert(session, Staff, people)
    limits = desk.limits(world, people)
    session.execute(sa.insert(staff_partner), limits)
    _insert(session, Audit, desk.audit(world, people))
    work = bulk.jobs(world, people)
    _insert(session, BulkJob, [job for job, _ in work])
    _insert(session, BulkRow, [row for _, rows in work for row in rows])
    webhooks.write(session, vault, world)


def _list(session: Session, lives: list[Life]) -> None:
    """Rows of the dashboard's table, and in them what nothing else tells."""
    listing.rebuild(session, [life.connection.id for life in lives])
    moments = [
        {
            "key": life.connection.id,
            "opened": life.opened_at,
            "connected": life.connection.connected_at,
        }
        for life in lives
    ]
    change = sa.update(Listing).where(Listing.connection_id == sa.bindparam("key"))
    # Who began has opened it, and of what works the row knows the moment.
    for name, column in (("opened", Listing.opened_at), ("connected", Listing.first_connected_at)):
        session.connection().execute(
            change.values({column: sa.bindparam(name)}),
            [one for one in moments if one[name] is not None],
        )


def _keep_tokens(vault: Vault, world: World) -> None:
    """Encrypt the tokens that wait; some with a key that nobody has any more."""
    lost = Vault([os.urandom(KEY_BYTES)])
    for life in world.lives:
        if life.account.get("is_waiting"):
            keeper = lost if life.account.get("is_unreadable") else vault
            place = life.connection.token_place
            life.connection.refresh_token = keeper.encrypt(life.refresh_token, place=place)


def _insert(session: Session, model: type[DeclarativeBase], rows: Iterable[Any]) -> None:
    values = [_values(model, row) for row in rows]
    if values:
        session.execute(sa.insert(model.__table__), values)  # type: ignore[arg-type]


def _values(model: type[DeclarativeBase], row: Any) -> dict[str, Any]:
    values = {}
    for column in sa.inspect(model).columns:
        is_numbered = column.primary_key and isinstance(column.type, sa.BigInteger)
        if not is_numbered:
            value = getattr(row, column.key)
            values[column.key] = _default(column) if value is None else value
    return values


def _default(column: sa.Column[Any]) -> Any:
    default = column.default
    if default is None:
        return None
    if isinstance(default, sa.ColumnDefault) and default.is_scalar:
        return default.arg
    return [] if column.type.python_type is list else {}
