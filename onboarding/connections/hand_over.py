"""The refresh token's way to Leaf.

Every step can be repeated: what a crash leaves half done, the next try finds and finishes. Two
tries never work on one connection at a time: a try has a number, only the newest counts, and it
waits for an older one that a living worker is still at, with the same token or an earlier one.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import arrivals, history, workers
from onboarding.connections.delivery import (
    ApplicationChanged,
    Delivery,
    LeafUserMissing,
    TakenOver,
)
from onboarding.connections.owed import owe_check, owe_hand_over
from onboarding.db import Database
from onboarding.errors import (
    EnvironmentMismatch,
    InputInvalid,
    SignInRefused,
    TokenUnreadable,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import Credential, Leaf
from onboarding.models import Connection, locked
from onboarding.queue import Queue, hand_over_id
from onboarding.settings import Settings
from onboarding.states import MENDED_BY_STAFF, Cause, Stage
from onboarding.vault import Vault

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=30)

log = logging.getLogger(__name__)


def hand_over(
    database: Database,
    vault: Vault,
    leaf: Leaf,
    queue: Queue,
    settings: Settings,
    connection_id: UUID,
    *,
    number: int,
    worker_id: UUID,
) -> None:
    """Give the waiting refresh token to Leaf. Calling it again does no harm.

    An outage enqueues the next try, a refusal makes the connection `failed`; both are states
    that people see, so nothing is raised for them.

    :param number: of the try; an outdated one does nothing
    """
    if not _take(database, queue, connection_id, number=number, worker_id=worker_id):
        return
    task = Delivery(database, vault, leaf, settings, connection_id, number)
    try:
        credential = task.deliver()
    except TakenOver:
        return
    except TokenUnreadable as err:
        _wait(database, queue, task, Cause.TOKEN_UNREADABLE, detail=str(err))
    except SignInRefused as err:
        _wait(database, queue, task, Cause.LEAF_SIGN_IN_REFUSED, detail=str(err))
    except UpstreamUnavailable as err:
        pause = timedelta(seconds=err.retry_after or 0)
        _wait(database, queue, task, Cause.LEAF_UNAVAILABLE, detail=str(err), least=pause)
    except LeafUserMissing as err:
        _fail(database, task, Cause.LEAF_USER_MISSING, detail=str(err))
    except EnvironmentMismatch as err:
        _fail(database, task, Cause.ENVIRONMENT_MISMATCH, detail=str(err))
    except UpstreamRejected as err:
        _fail(database, task, Cause.LEAF_REFUSED, detail=str(err))
    except ApplicationChanged as err:
        _fail(database, task, Cause.APPLICATION_CHANGED, detail=str(err))
    else:
        _complete(database, queue, task, credential)


def retry(session: Session, queue: Queue, connection: Connection) -> None:
    """Let a hand-over that failed be tried again, after a person has mended the reason.

    :raise InputInvalid: if no token is kept; then only the grower can connect again
    """
    connection = locked(session, connection.id)
    if connection.refresh_token is None:
        raise InputInvalid("No token is kept for this connection: the grower must connect again.")
    # The clock of the thirty days starts anew: somebody looks after it.
    connection.token_received_at = now()
    history.record(session, connection, "hand_over_retried", who=history.STAFF)
    owe_hand_over(session, queue, connection)


def _take(
    database: Database, queue: Queue, connection_id: UUID, *, number: int, worker_id: UUID
) -> bool:
    """Whether this try may begin. If an older one is still at it, the next try comes later."""
    with database.transaction() as session:
        connection = locked(session, connection_id)
        if (
            connection.hand_over_try != number
            or connection.refresh_token is None
            or connection.stage is not Stage.HANDING_OVER
        ):
            return False
        if connection.hand_over_taken_by and _is_being_tried(session, queue, connection):
            _enqueue_next(session, queue, connection, after=FIRST_PAUSE)
            return False
        connection.hand_over_taken_by = worker_id
        return True


def _is_being_tried(session: Session, queue: Queue, connection: Connection) -> bool:
    """Whether a living worker is on an older try, whose POST may be on its way to Leaf."""
    running = queue.running_hand_overs(connection.id)
    running.pop(hand_over_id(connection.id, connection.hand_over_try), None)
    return not set(running.values()).isdisjoint(map(str, workers.living(session)))


def _enqueue_next(
    session: Session, queue: Queue, connection: Connection, *, after: timedelta
) -> None:
    connection.hand_over_try += 1
    connection.hand_over_due_at = now() + after
    queue.hand_over(session, connection.id, number=connection.hand_over_try, after=after)


def _complete(database: Database, queue: Queue, task: Delivery, credential: Credential) -> None:
    with database.transaction() as session:
        try:
            connection = task.current(session)
        except TakenOver:
            return
        connection.refresh_token = None
        connection.hand_over_due_at = None
        connection.hand_over_taken_by = None
        connection.waiting_since = None
        connection.cause = None
        connection.detail = ""
        connection.leaf_credential_id = credential.id
        connection.handed_over_at = now()
        connection.health = credential.health
        connection.health_text = credential.raw_status
        connection.health_since = now()
        arrivals.forget(connection)
        connection.stage = Stage.CHOOSING_ORGANIZATIONS
        connection.settle()
        connection.checks = 0
        history.record(session, connection, "handed_over", status=credential.raw_status)
        owe_check(session, queue, connection)


def _wait(
    database: Database,
    queue: Queue,
    task: Delivery,
    cause: Cause,
    *,
    detail: str,
    least: timedelta = timedelta(0),
) -> None:
    with database.transaction() as session:
        try:
            connection = task.current(session)
        except TakenOver:
            return
        connection.hand_over_taken_by = None
        wait(session, queue, connection, cause, detail=detail, least=least)


def wait(
    session: Session,
    queue: Queue,
    connection: Connection,
    cause: Cause,
    *,
    detail: str,
    least: timedelta = timedelta(0),
) -> None:
    """Enqueue the next try after a pause that grows, or give up after thirty days.

    :param connection: locked, and no try that counts is at it
    :param least: the shortest pause
    """
    moment = now()
    began = connection.token_received_at or moment
    if moment - began > GIVEN_UP_AFTER:
        # Not called an outage of Leaf where it was a matter of ours.
        given_up = cause if cause in MENDED_BY_STAFF else Cause.GIVEN_UP
        _note_failure(session, connection, given_up, detail)
        return
    if connection.waiting_since is None:
        connection.waiting_since = moment
        history.record(session, connection, "hand_over_waits", detail=detail)
    if cause in MENDED_BY_STAFF and connection.cause is not cause:
        log.error("Hand-over of %s waits for staff: %s", connection.reference, cause.value)
    connection.cause = cause
    connection.detail = detail
    # Whatever Leaf asks for: a person waits, and four requests an hour are no burden.
    pause = min(max(least, _pause(moment - connection.waiting_since)), LONGEST_PAUSE)
    _enqueue_next(session, queue, connection, after=pause)


def _pause(waited: timedelta) -> timedelta:
    """As long again as it has been so far, within bounds; with jitter against stampedes."""
    pause = min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
    return pause * random.uniform(0.8, 1.0)  # noqa: S311


def _fail(database: Database, task: Delivery, cause: Cause, *, detail: str) -> None:
    with database.transaction() as session:
        try:
            connection = task.current(session)
        except TakenOver:
            return
        _note_failure(session, connection, cause, detail)


def _note_failure(session: Session, connection: Connection, cause: Cause, detail: str) -> None:
    connection.stage = Stage.FAILED
    connection.cause = cause
    connection.detail = detail
    connection.hand_over_due_at = None
    connection.hand_over_taken_by = None
    history.record(session, connection, "hand_over_failed", cause=cause.value, detail=detail)
    log.error("Hand-over of %s failed: %s: %s", connection.reference, cause.value, detail)
