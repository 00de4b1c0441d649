"""What Leaf says about a connection afterwards, and the sweep for what was left lying."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import consent, hand_over, history, organizations, workers
from onboarding.connections.owed import CHECK_LEASE, owe_check
from onboarding.db import Database
from onboarding.errors import UpstreamError
from onboarding.leaf import Leaf, LeafOrganizations, Report
from onboarding.models import ATTEMPT_LIFETIME, EXCHANGE_LIMIT, Attempt, Connection, Worker, locked
from onboarding.queue import Queue, check_id, hand_over_id
from onboarding.states import Cause, Health, Outcome, Stage

PAUSES_BETWEEN_CHECKS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
)
"""After a change; the last one stays."""
PAUSE_AFTER_FAILED_CHECK = timedelta(minutes=1)
LONGEST_PAUSE_AFTER_FAILED_CHECK = timedelta(hours=1)
HAND_OVER_OVERDUE = timedelta(seconds=5)
"""From then on the sweep asks the queue whether it still has the work; it does when it is busy."""
BATCH = 500
"""Rows per kind and sweep: memory does not grow with what there is to do."""

log = logging.getLogger(__name__)


def check(database: Database, leaf: Leaf, connection_id: UUID, *, number: int) -> None:
    """Ask Leaf for the credential's health and organizations, and write down what it says.

    When Leaf can't be asked, what was known stays, and the next check comes soon.

    :param number: of the check; an outdated one does nothing
    """
    with database.reading() as session:
        connection = session.get_one(Connection, connection_id)
    leaf_user_id = connection.grower.leaf_user_id
    if not connection.is_at_leaf or leaf_user_id is None or connection.check_number != number:
        return
    answer = _ask(leaf, leaf_user_id, sync=connection.sync_owed)
    with database.transaction() as session:
        current = locked(session, connection_id)
        if current.is_at_leaf and current.check_number == number:
            current.sync_owed = current.sync_owed and not answer.synced
            _note_answer(session, current, answer)


@dataclass
class _Answer:
    """What Leaf said before it said no more."""

    synced: bool = False
    answered: bool = False
    report: Report | None = None
    """None, though answered: Leaf has no credential."""
    organizations: LeafOrganizations | None = None
    trouble: str = ""


def _ask(leaf: Leaf, leaf_user_id: str, *, sync: bool) -> _Answer:
    answer = _Answer()
    try:
        answer.report = leaf.health(leaf_user_id)
        answer.answered = True
        if answer.report is None:
            return answer
        if sync:
            leaf.sync_organizations(leaf_user_id)
            answer.synced = True
        answer.organizations = leaf.organizations(leaf_user_id)
    except UpstreamError as err:
        answer.trouble = str(err)
    return answer


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
    _end_attempts(database)
    with database.transaction() as session:
        _erase_access_tokens(session)


def _note_answer(session: Session, connection: Connection, answer: _Answer) -> None:
    before = _standing(connection)
    if answer.answered:
        _note_health(connection, answer.report)
        _note_credential(session, connection, answer.report)
    if answer.organizations is not None:
        organizations.merge_from_leaf(session, connection, answer.organizations, moment=now())
    connection.settle()
    changed = _standing(connection) != before
    if changed:
        history.record(
            session,
            connection,
            "status_changed",
            stage=connection.stage.value,
            health=connection.health.value,
            text=connection.health_text,
        )
    if connection.stage is Stage.CONNECTED and connection.health is Health.OK:
        connection.connected_at = connection.connected_at or now()
    connection.detail = answer.trouble
    connection.failed_checks = connection.failed_checks + 1 if answer.trouble else 0
    if not answer.trouble:
        connection.checked_at = now()
        connection.checks = 0 if changed else connection.checks + 1
    connection.check_due_at = now() + _pause(connection) * random.uniform(0.8, 1.2)  # noqa: S311


def _note_health(connection: Connection, report: Report | None) -> None:
    if report is None:
        connection.cause = Cause.CREDENTIAL_MISSING
        connection.health, connection.health_text = Health.UNKNOWN, ""
    else:
        connection.cause = None
        connection.health, connection.health_text = report.health, report.raw_status


def _note_credential(session: Session, connection: Connection, report: Report | None) -> None:
    """Write down for staff that Leaf shows another credential than before."""
    before = connection.leaf_credential_id
    shown = report.credential_id if report else None
    if before and shown and shown != before:
        history.record(session, connection, "credential_is_another", before=before, shown=shown)
        connection.leaf_credential_id = shown


def _standing(connection: Connection) -> tuple[Stage, Health, str, Cause | None]:
    return connection.stage, connection.health, connection.health_text, connection.cause


def _pause(connection: Connection) -> timedelta:
    """Until the next check: growing while nothing changes, and while Leaf does not answer."""
    if connection.failed_checks:
        doubled = PAUSE_AFTER_FAILED_CHECK * (1 << min(connection.failed_checks - 1, 10))
        return min(doubled, LONGEST_PAUSE_AFTER_FAILED_CHECK)
    return PAUSES_BETWEEN_CHECKS[min(connection.checks, len(PAUSES_BETWEEN_CHECKS) - 1)]


def _revive_hand_overs(
    session: Session, queue: Queue, after: tuple[datetime, UUID] | None
) -> tuple[datetime, UUID] | None:
    """Enqueue a new try for each hand-over of a batch that is due and that nobody works on.

    At once if the last one was lost or died with its worker; after a pause if it ended in an
    error, which the next one may run into as well.

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
            hand_over.wait(session, queue, connection, Cause.OUR_ERROR, detail="")
            continue
        connection.hand_over_try += 1
        connection.hand_over_due_at = now()
        history.record(session, connection, "hand_over_taken_up_again")
        queue.hand_over(session, connection.id, number=connection.hand_over_try, after=timedelta(0))
    return None if len(due) < BATCH else end


def _enqueue_checks(session: Session, queue: Queue) -> None:
    """Enqueue the checks that are due, unless the queue still has the last one."""
    due = session.scalars(
        sa.select(Connection)
        .where(Connection.check_due_at < now())
        .order_by(Connection.check_due_at)
        .limit(BATCH)
        .with_for_update(of=Connection, skip_locked=True)
    ).all()
    ids = {check_id(connection.id, connection.check_number): connection for connection in due}
    unfinished = queue.unfinished(ids) if ids else {}
    failed = queue.failed(ids)
    waiting_or_living = {None, *map(str, workers.living(session))}
    for workflow_id, connection in ids.items():
        if unfinished.get(workflow_id, "ended") in waiting_or_living:
            connection.check_due_at = now() + CHECK_LEASE
        elif workflow_id in failed:
            _put_off(session, connection)
        else:
            owe_check(session, queue, connection, in_no_hurry=True)


def _put_off(session: Session, connection: Connection) -> None:
    """The check ended in an error of ours, which the next one may run into as well."""
    if connection.cause is None:
        connection.cause = Cause.OUR_ERROR
        history.record(session, connection, "check_broke_off")
        log.error("Leaf can't be asked about %s: the check broke off", connection.reference)
    connection.check_number += 1
    connection.failed_checks += 1
    connection.check_due_at = now() + _pause(connection)


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
