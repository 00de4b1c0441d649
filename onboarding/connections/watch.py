"""What Leaf says about a connection afterwards, and the sweep for what was left lying."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import consent, history, organizations, workers
from onboarding.db import Database
from onboarding.errors import UpstreamError
from onboarding.leaf import Leaf, LeafOrganizations, Report
from onboarding.models import ATTEMPT_LIFETIME, EXCHANGE_LIMIT, Attempt, Connection, Worker, locked
from onboarding.queue import Queue, hand_over_id
from onboarding.states import Cause, Health, Outcome, Stage

PAUSES_BETWEEN_CHECKS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
)
"""After a change; the last one stays."""
PAUSE_AFTER_FAILED_CHECK = timedelta(minutes=1)
CHECK_LEASE = timedelta(minutes=5)
"""A check that has been enqueued and has not reported by then is enqueued again."""
HAND_OVER_OVERDUE = timedelta(seconds=5)
"""From then on the sweep asks the queue whether it still has the work; it does when it is busy."""
BATCH = 500
"""Rows per kind and sweep: memory does not grow with what there is to do."""


def check(database: Database, leaf: Leaf, connection_id: UUID, *, sync: bool = False) -> None:
    """Ask Leaf for the credential's health and organizations, and write down what it says.

    When Leaf can't be asked, what was known stays, and the next check comes soon.

    :param sync: let Leaf first read the organizations anew at John Deere
    """
    with database.reading() as session:
        connection = session.get_one(Connection, connection_id)
    leaf_user_id = connection.grower.leaf_user_id
    if not connection.is_at_leaf or leaf_user_id is None:
        return
    report: Report | None = None
    told: LeafOrganizations | None = None
    trouble = ""
    try:
        report = leaf.health(leaf_user_id)
        if report is not None:
            if sync:
                leaf.sync_organizations(leaf_user_id)
            told = leaf.organizations(leaf_user_id)
    except UpstreamError as err:
        trouble = str(err)
    with database.transaction() as session:
        current = locked(session, connection_id)
        if not current.is_at_leaf or current.handed_over_at != connection.handed_over_at:
            return
        if trouble and report is None:
            _note_failed_check(current, trouble)
        else:
            _note_report(session, current, report, told)


def sweep(database: Database, queue: Queue, *, process_is_gone: Callable[[Worker], bool]) -> None:
    """Find what waits without anybody working on it, and set it going again.

    :param process_is_gone: whether a worker is known to have ended, before its heartbeat is old
    """
    with database.transaction() as session:
        workers.bury(session, process_is_gone)
    end = None
    while True:
        with database.transaction() as session:
            end = _revive_hand_overs(session, queue, end)
        if end is None:
            break
    with database.transaction() as session:
        _enqueue_checks(session, queue)
    with database.transaction() as session:
        _end_attempts(session)
        _erase_access_tokens(session)


def _note_failed_check(connection: Connection, trouble: str) -> None:
    connection.detail = trouble
    connection.check_due_at = now() + PAUSE_AFTER_FAILED_CHECK


def _note_report(
    session: Session,
    connection: Connection,
    report: Report | None,
    told: LeafOrganizations | None,
) -> None:
    moment = now()
    before = (connection.stage, connection.health, connection.health_text, connection.cause)
    if report is None:
        connection.cause = Cause.CREDENTIAL_MISSING
        connection.health, connection.health_text = Health.UNKNOWN, ""
    else:
        connection.cause = None
        connection.health, connection.health_text = report.health, report.raw_status
    connection.detail = ""
    if told is not None:
        organizations.merge_from_leaf(session, connection, told, moment=moment)
    connection.settle()
    after = (connection.stage, connection.health, connection.health_text, connection.cause)
    connection.checked_at = moment
    connection.checks = 0 if after != before else connection.checks + 1
    if after != before:
        history.record(
            session,
            connection,
            "status_changed",
            stage=connection.stage.value,
            health=connection.health.value,
            text=connection.health_text,
        )
    if connection.stage is Stage.CONNECTED and connection.health is Health.OK:
        connection.connected_at = connection.connected_at or moment
    pause = PAUSES_BETWEEN_CHECKS[min(connection.checks, len(PAUSES_BETWEEN_CHECKS) - 1)]
    connection.check_due_at = moment + pause * random.uniform(0.8, 1.2)  # noqa: S311


def _revive_hand_overs(
    session: Session, queue: Queue, after: tuple[datetime, UUID] | None
) -> tuple[datetime, UUID] | None:
    """Enqueue a new try for each hand-over of a batch that is due and that nobody works on.

    :param after: where the last batch ended
    :return: where this one ended; None if it was the last
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
        return None
    end = due[-1].hand_over_due_at or now(), due[-1].id
    unfinished = queue.unfinished(
        hand_over_id(connection.id, connection.hand_over_try) for connection in due
    )
    waiting_or_living = {None, *map(str, workers.living(session))}
    for connection in due:
        workflow_id = hand_over_id(connection.id, connection.hand_over_try)
        if unfinished.get(workflow_id, "ended") not in waiting_or_living:
            connection.hand_over_try += 1
            connection.hand_over_due_at = now()
            history.record(session, connection, "hand_over_taken_up_again")
            queue.hand_over(
                session, connection.id, number=connection.hand_over_try, after=timedelta(0)
            )
    return None if len(due) < BATCH else end


def _enqueue_checks(session: Session, queue: Queue) -> None:
    due = session.scalars(
        sa.select(Connection)
        .where(Connection.check_due_at < now())
        .order_by(Connection.check_due_at)
        .limit(BATCH)
        .with_for_update(of=Connection, skip_locked=True)
    ).all()
    for connection in due:
        connection.check_due_at = now() + CHECK_LEASE
        queue.check(session, connection.id)


def _end_attempts(session: Session) -> None:
    """Close attempts that the grower left, or that a crash cut off in the middle."""
    moment = now()
    left = session.scalars(
        sa.select(Attempt)
        .where(Attempt.outcome.is_(None))
        .where(
            sa.or_(
                sa.and_(Attempt.used_at.is_(None), Attempt.created_at < moment - ATTEMPT_LIFETIME),
                Attempt.used_at < moment - EXCHANGE_LIMIT,
            )
        )
        .order_by(Attempt.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for attempt in left:
        outcome = Outcome.EXPIRED if attempt.used_at is None else Outcome.INTERRUPTED
        consent.finish(session, attempt, outcome)


def _erase_access_tokens(session: Session) -> None:
    session.execute(
        sa.update(Attempt)
        .where(Attempt.access_token_until < now())
        .values(access_token=None, access_token_until=None)
    )
