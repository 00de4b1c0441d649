"""Checks: asking Leaf how a connection is, soon after a change and then ever later."""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import arrivals, health, history, selection, trouble, workers
from onboarding.connections.health import Answer
from onboarding.connections.owed import CHECK_LEASE, owe_check
from onboarding.db import Database
from onboarding.errors import UpstreamError
from onboarding.leaf import Leaf
from onboarding.models import Connection, locked
from onboarding.queue import Queue, check_id
from onboarding.states import Cause, Health

PAUSES_BETWEEN_CHECKS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
)
"""After a change; the last one stays."""
LONGEST_PAUSE_IN_A_PAUSE = timedelta(hours=1)
"""While John Deere does not answer Leaf: its end is not to be seen a day late."""
PAUSE_AFTER_FAILED_CHECK = timedelta(minutes=1)
LONGEST_PAUSE_AFTER_FAILED_CHECK = timedelta(hours=1)
BATCH = 500
"""Rows at once: memory does not grow with what there is to do."""

log = logging.getLogger(__name__)


def check(
    database: Database,
    leaf: Leaf,
    connection_id: UUID,
    *,
    number: int,
    told_after: timedelta = trouble.TOLD_AFTER,
) -> None:
    """Ask Leaf for the credential's health and organizations, and write down what it says.

    When Leaf can't be asked, what was known stays, and the next check comes soon.

    :param number: of the check; an outdated one does nothing
    :param told_after: how long a pause at John Deere lasts before people are told of it
    """
    with database.reading() as session:
        connection = session.get_one(Connection, connection_id)
    leaf_user_id = connection.grower.leaf_user_id
    if not connection.is_at_leaf or leaf_user_id is None or connection.check_number != number:
        return
    answer = _ask(leaf, leaf_user_id, connection)
    with database.transaction() as session:
        current = locked(session, connection_id)
        if current.is_at_leaf and current.check_number == number:
            health.note(session, current, answer, told_after=told_after)
            current.check_due_at = now() + _pause(current) * random.uniform(0.8, 1.2)  # noqa: S311


def _ask(leaf: Leaf, leaf_user_id: str, connection: Connection) -> Answer:
    """Ask one thing after the other; what Leaf refuses to answer keeps it from no other answer."""
    answer = Answer()
    with answer.noting_failure():
        answer.report = leaf.health(leaf_user_id)
        answer.answered = True
    if answer.is_silence or (answer.answered and answer.report is None):
        return answer
    with answer.noting_failure():
        answer.organizations = leaf.organizations(leaf_user_id)
    # After the list, so that what stands in it is synced; it may be shared since a moment.
    if connection.sync_owed or answer.shows_newly_shared(connection):
        with answer.noting_failure():
            leaf.sync_organizations(leaf_user_id)
            answer.synced = True
    with answer.noting_failure():
        _select(leaf, leaf_user_id, connection, answer)
    if not answer.is_silence and answer.connected(connection) and arrivals.are_due(connection):
        # No failure of the check: nothing depends on it, and a later one asks again.
        with suppress(UpstreamError):
            answer.summary = leaf.summary(leaf_user_id)
    return answer


def _select(leaf: Leaf, leaf_user_id: str, connection: Connection, answer: Answer) -> None:
    """Let Leaf fetch what is shared where that is not known, unless the partner wants to choose."""
    is_news = answer.synced or answer.shows_newly_shared(connection)
    if connection.grower.partner.select_organizations or not (is_news or connection.selection_owed):
        return
    if connected := answer.connected(connection):
        answer.selection = selection.select(leaf, leaf_user_id, connected)
        if answer.selection.failure:
            raise answer.selection.failure


def enqueue_due(session: Session, queue: Queue) -> None:
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


def _pause(connection: Connection) -> timedelta:
    """Until the next check: growing while nothing changes, and while Leaf does not answer."""
    if connection.failed_checks:
        doubled = PAUSE_AFTER_FAILED_CHECK * (1 << min(connection.failed_checks - 1, 10))
        return min(doubled, LONGEST_PAUSE_AFTER_FAILED_CHECK)
    pause = PAUSES_BETWEEN_CHECKS[min(connection.checks, len(PAUSES_BETWEEN_CHECKS) - 1)]
    is_paused = connection.health is Health.TEMPORARILY_UNAVAILABLE
    return min(pause, LONGEST_PAUSE_IN_A_PAUSE) if is_paused else pause
