"""The rows of the dashboard's table: kept in step with what is told of each connection.

Whoever changes a connection, its grower, attempts or organizations by the ORM need not think of
it: before the commit the row is computed anew, in the same transaction. A statement that changes
them in bulk has to `touch` them. What changes because time passes is due at a moment that the row
names, and the worker computes it then.

Rows are locked in the order of the connections' ids, and before anything is read that they are
computed from: of two transactions the later one sees what the earlier one did.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, SessionTransaction, UOWTransaction

from onboarding.clock import now
from onboarding.connections import announcing, spelling, standing
from onboarding.connections.announcing import News
from onboarding.connections.standing import Standing
from onboarding.db import Database
from onboarding.models import Attempt, Connection, Grower, Link, Listing, Organization
from onboarding.states import LinkKind, WebhookEvent

BATCH = 500
REFRESH_SECONDS = 3.0
"""A sweep gives no more time to it; the next one goes on."""
TOUCHED, CHANGED, GROWERS = "listing_touched", "listing_changed", "listing_growers"
UNTOLD = frozenset(
    {
        "check_began_at",
        "check_due_at",
        "check_number",
        "check_urgency",
        "checks",
        "connected_told_for",
        "credential_before_post",
        "events_awaited_since",
        "events_copied_as",
        "events_copied_at",
        "failed_checks",
        "hand_over_due_at",
        "hand_over_taken_by",
        "hand_over_try",
        "post_began_at",
        "stray_since",
    }
)
"""What workers write down of connections for themselves."""
TOLD_OF_ATTEMPTS = frozenset({"outcome", "used_at", "ended_at", "sent_to_choose_at"})
FOUND_OF_GROWERS = frozenset({"partner_id", "external_id", "name", "email", "leaf_user_id"})


def touch(session: Session, connection_id: UUID) -> None:
    """Let the row be computed anew at the commit, since something was changed past the ORM."""
    _noted(session, TOUCHED).add(connection_id)


def rebuild(session: Session, connection_ids: Iterable[UUID]) -> None:
    """Compute the rows of connections that were written in bulk; in parts, so that it may be all.

    `since` is then what their rows tell of it.
    """
    ids = sorted(connection_ids)
    for start in range(0, len(ids), BATCH):
        _compute(session, ids[start : start + BATCH])
        session.flush()


def refresh_due(database: Database, *, seconds: float = REFRESH_SECONDS) -> int:
    """Compute the rows of which time may have changed something, a batch a transaction.

    :param seconds: when they have passed no other batch is begun
    :return: how many there were
    """
    began, done = time.monotonic(), 0
    while True:
        with database.reading() as session:
            if session.scalar(_due(limit=1)) is None:
                return done
        with database.transaction() as session:
            due = session.scalars(_due(limit=BATCH)).all()
            free = sa.select(Listing.connection_id).where(Listing.connection_id.in_(due))
            free = free.order_by(Listing.connection_id).with_for_update(skip_locked=True)
            _compute(session, session.scalars(free).all(), moved=True)
        done += len(due)
        if len(due) < BATCH or time.monotonic() - began > seconds:
            return done


def note_opened(
    session: Session, connection_id: UUID, link_id: UUID, *, at: datetime | None = None
) -> None:
    """Write down that the grower has opened a link; the first time counts, of a frame's the last:
    the frame learns from it that the window is there.

    :param at: when; None: now
    """
    moment = at or now()
    first = sa.update(Link).where(Link.id == link_id, Link.opened_at.is_(None))
    if session.scalar(first.values(opened_at=moment).returning(Link.id)) is not None:
        announcing.note(session, connection_id, WebhookEvent.LINK_OPENED, link=str(link_id))
    else:
        again = sa.update(Link).where(Link.id == link_id, Link.kind == LinkKind.EMBED)
        session.execute(again.values(opened_at=moment))
    session.execute(
        sa.update(Listing)
        .where(Listing.connection_id == connection_id, Listing.opened_at.is_(None))
        .values(opened_at=moment)
    )


def _due(*, limit: int) -> sa.Select[UUID]:
    return (
        sa.select(Listing.connection_id)
        .where(Listing.due_at.is_not(None), Listing.due_at <= now())
        .order_by(Listing.due_at)
        .limit(limit)
    )


@sa.event.listens_for(Session, "after_flush")
def _note(session: Session, _context: UOWTransaction) -> None:
    """Note of which connections something was written that is told or found."""
    for one in (*session.new, *session.dirty, *session.deleted):
        match one:
            case Connection() if _changes(one) - UNTOLD:
                _noted(session, TOUCHED).add(one.id)
                _noted(session, CHANGED).add(one.id)
            case Attempt() if one in session.new or _changes(one) & TOLD_OF_ATTEMPTS:
                _noted(session, TOUCHED).add(one.connection_id)
            case Organization():
                _noted(session, TOUCHED).add(one.connection_id)
            case Grower() if _changes(one) & FOUND_OF_GROWERS:
                _noted(session, GROWERS).add(one.id)
            case _:
                pass


@sa.event.listens_for(Session, "before_commit")
def _keep_in_step(session: Session) -> None:
    if session.in_nested_transaction():
        return  # what belongs to it is known only at the end
    session.flush()
    touched = session.info.pop(TOUCHED, set()) | announcing.noted(session)
    changed = session.info.pop(CHANGED, set())
    if growers := session.info.pop(GROWERS, set()):
        theirs = sa.select(Connection.id).where(Connection.grower_id.in_(growers))
        touched |= set(session.scalars(theirs))
    _compute(session, sorted(touched), changed=changed)


@sa.event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, _previous: SessionTransaction) -> None:
    if not session.in_transaction():
        for key in (TOUCHED, CHANGED, GROWERS):
            session.info.pop(key, None)
        announcing.forget(session)


def _noted(session: Session, key: str) -> set[UUID]:
    noted: set[UUID] = session.info.setdefault(key, set())
    return noted


def _changes(row: Any) -> set[str]:
    """The names of what is written anew of a row."""
    attributes = sa.inspect(row).attrs
    return {one.key for one in attributes if one.history.has_changes()}


def _compute(
    session: Session, ids: Sequence[UUID], *, changed: Collection[UUID] = (), moved: bool = False
) -> None:
    """Let the rows say what is told now.

    :param changed: of these the session has the connection as it is now; others are read anew
    :param moved: nothing but time, or what is about many, has changed
    """
    if not ids:
        return
    rows = _rows(session, ids)
    missing = [one for one in ids if one not in rows]
    if missing:
        _add(session, missing)
        rows |= _rows(session, missing)
    moment, news = now(), []
    for found in standing.read(session, ids, known=changed):
        if (row := rows.get(found.connection.id)) is not None:
            news += _write(session, row, found, moment, moved=moved)
    announcing.tell(session, news)


def _rows(session: Session, ids: Sequence[UUID]) -> dict[UUID, Listing]:
    """Those that there are, locked and as they are now."""
    query = (
        sa.select(Listing)
        .where(Listing.connection_id.in_(ids))
        .order_by(Listing.connection_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.connection_id: row for row in session.scalars(query)}


def _add(session: Session, ids: Sequence[UUID]) -> None:
    """Rows that say nothing yet. Another transaction may add the same at this moment."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    found = session.execute(
        sa.select(Connection.id, Grower.partner_id, Connection.created_at)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Connection.id.in_(ids))
        .order_by(Connection.id)
    )
    values = [
        {"connection_id": key, "partner_id": partner, "since": created, "created_at": created}
        for key, partner, created in found
    ]
    if values:
        session.execute(insert(Listing).on_conflict_do_nothing(), values)


def _write(
    session: Session, row: Listing, found: Standing, moment: datetime, *, moved: bool
) -> list[News]:
    connection, told = found.connection, found.told(moment)
    is_new = row.code != told.code
    if is_new:
        row.since = _since(row, found, moment, moved=moved)
    row.code = told.code
    row.turn = standing.turn(told)
    row.due_at = found.due_at(moment)
    row.partner_id = connection.grower.partner_id
    row.health = connection.health
    row.environment = connection.environment
    row.name_key = spelling.name_key(connection)
    row.text = spelling.text(connection)
    row.started_at = row.started_at or found.first_started_at
    row.opened_at = row.opened_at or row.started_at
    row.consented_at = row.consented_at or connection.token_received_at
    news = announcing.of(session, row, connection, told, is_new=is_new)
    if told.code == "connected":
        # Leaf's first OK may have come before the first organization.
        row.first_connected_at = row.first_connected_at or connection.connected_at or moment
    return news


def _since(row: Listing, found: Standing, moment: datetime, *, moved: bool) -> datetime:
    """When what is told now began to be true."""
    if not row.code:
        return found.began(moment)
    if moved and row.due_at is not None:
        return min(row.due_at, moment)
    return moment
