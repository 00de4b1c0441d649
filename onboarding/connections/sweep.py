"""The sweep: what was left lying is found, and set going again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import consent, history, tries, workers
from onboarding.db import Database
from onboarding.models import ATTEMPT_LIFETIME, EXCHANGE_LIMIT, Attempt, Connection, Worker
from onboarding.queue import Queue, hand_over_id
from onboarding.states import Cause, Outcome

HAND_OVER_OVERDUE = timedelta(seconds=5)
"""From then on the sweep asks the queue whether it still has the work; it does when it is busy."""
BATCH = 500
"""Rows per kind and sweep: memory does not grow with what there is to do."""


def sweep(database: Database, queue: Queue, *, process_is_gone: Callable[[Worker], bool]) -> None:
    """Find what waits without anybody working on it, and set it going again.

    :param process_is_gone: whether a worker is known to have ended, before its heartbeat is old
    """
    with database.transaction() as session:
        workers.bury(session, process_is_gone)
    end = None
    while True:
        with database.transaction() as session:
            end, waiting = _revive_hand_overs(session, queue, end)
        queue.hasten(waiting)
        if end is None:
            break
    _end_attempts(database)
    with database.transaction() as session:
        _erase_access_tokens(session)


def _revive_hand_overs(
    session: Session, queue: Queue, after: tuple[datetime, UUID] | None
) -> tuple[tuple[datetime, UUID] | None, list[str]]:
    """Enqueue a new try for each hand-over of a batch that is due and that nobody works on.

    At once if the last one was lost or died with its worker; after a pause if it ended in an
    error, which the next one may run into as well.

    :param after: where the last batch ended
    :return: where this one ended, or None if it was the last; and what the queue still has waiting
    """
    place = sa.tuple_(Connection.hand_over_due_at, Connection.id)
    query = sa.select(Connection).where(Connection.hand_over_due_at < now() - HAND_OVER_OVERDUE)
    if after is not None:
        query = query.where(place > sa.tuple_(*after))
    due = session.scalars(
        query.order_by(Connection.hand_over_due_at, Connection.id)
        .limit(BATCH)
        .with_for_update(of=Connection, skip_locked=True)
    ).all()
    if not due:
        return None, []
    end = due[-1].hand_over_due_at or now(), due[-1].id
    unfinished = queue.unfinished(
        hand_over_id(connection.id, connection.hand_over_try) for connection in due
    )
    waiting_or_living = {None, *map(str, workers.living(session))}
    left = {
        workflow_id: connection
        for connection in due
        if unfinished.get(
            workflow_id := hand_over_id(connection.id, connection.hand_over_try), "ended"
        )
        not in waiting_or_living
    }
    failed = queue.failed(left)
    for workflow_id, connection in left.items():
        if workflow_id in failed:
            tries.wait(session, queue, connection, Cause.OUR_ERROR, detail="")
            continue
        connection.hand_over_try += 1
        connection.hand_over_due_at = now()
        history.record(session, connection, f"{tries.what(connection)}_taken_up_again")
        queue.hand_over(session, connection.id, number=connection.hand_over_try, after=timedelta(0))
    waiting = [workflow_id for workflow_id, worker in unfinished.items() if worker is None]
    return None if len(due) < BATCH else end, waiting


def _end_attempts(database: Database) -> None:
    """Close attempts that the grower left, or that a crash cut off in the middle.

    Each in a transaction of its own: who holds several connections must take them in the order
    in which others do.
    """
    moment = now()
    left = (
        sa.select(Attempt)
        .where(Attempt.outcome.is_(None))
        .where(
            sa.or_(
                sa.and_(Attempt.used_at.is_(None), Attempt.created_at < moment - ATTEMPT_LIFETIME),
                Attempt.used_at < moment - EXCHANGE_LIMIT,
            )
        )
        .order_by(Attempt.created_at)
    )
    with database.reading() as session:
        ids = [attempt.id for attempt in session.scalars(left.limit(BATCH))]
    for attempt_id in ids:
        with database.transaction() as session:
            attempt = session.scalar(
                left.where(Attempt.id == attempt_id).with_for_update(skip_locked=True)
            )
            if attempt is not None:
                outcome = Outcome.EXPIRED if attempt.used_at is None else Outcome.INTERRUPTED
                consent.finish(session, attempt, outcome)


def _erase_access_tokens(session: Session) -> None:
    session.execute(
        sa.update(Attempt)
        .where(Attempt.access_token_until < now())
        .values(access_token=None, access_token_until=None)
    )
