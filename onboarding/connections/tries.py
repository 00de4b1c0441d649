"""Tries at what changes the credential that Leaf holds: handing a token over, and disconnecting.

A try has a number, only the newest of a connection counts, and it waits for an older one that a
living worker is still at, whatever either of them is about. So two never work on one credential at
a time. A request that a try sent before it was cut off is another matter: Leaf may carry it out
later, and nobody can call it back. For as long as that may be, nothing is called final: a hand-over
keeps its token and a disconnect stays one, and both look at Leaf once more.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from onboarding import chance
from onboarding.clock import now
from onboarding.connections import history, workers
from onboarding.db import Database
from onboarding.models import Connection, locked
from onboarding.queue import Queue, hand_over_id
from onboarding.states import MENDED_BY_STAFF, Cause, Stage

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=30)
"""A hand-over; what a grower has asked to end is not given up."""
STRAY_LIVES = timedelta(minutes=2)
"""After so long, Leaf has carried out a request that nobody waits for any more, or never will."""

log = logging.getLogger(__name__)


class TakenOver(Exception):
    """Another try counts now; this one must not touch Leaf any more."""


def take(
    database: Database, queue: Queue, connection_id: UUID, *, number: int, worker_id: UUID
) -> Stage | None:
    """Begin a try, unless it is outdated. If an older one is still at it, the next comes later.

    :return: the stage, which says what is owed; None if the try may not begin
    """
    with database.transaction() as session:
        connection = locked(session, connection_id)
        if connection.hand_over_try != number or not _is_owed(connection):
            return None
        if connection.hand_over_taken_by and _is_being_tried(session, queue, connection):
            enqueue_next(session, queue, connection, after=FIRST_PAUSE)
            return None
        connection.hand_over_taken_by = worker_id
        return connection.stage


def current(session: Session, connection_id: UUID, *, number: int) -> Connection:
    """The connection, for writing, if this try is still the one that counts.

    :raise TakenOver: if it is not
    """
    connection = locked(session, connection_id)
    if connection.hand_over_try != number or not _is_owed(connection):
        raise TakenOver
    return connection


def enqueue_next(
    session: Session, queue: Queue, connection: Connection, *, after: timedelta
) -> None:
    """Let the next try come after a pause."""
    connection.hand_over_try += 1
    connection.hand_over_due_at = now() + after
    queue.hand_over(session, connection.id, number=connection.hand_over_try, after=after)


def wait(
    session: Session,
    queue: Queue,
    connection: Connection,
    cause: Cause,
    *,
    detail: str,
    least: timedelta = timedelta(0),
) -> None:
    """Enqueue the next try after a pause that grows, or give a token up after thirty days.

    :param connection: locked, and no try that counts is at it
    :param least: the shortest pause
    """
    moment = now()
    began = connection.token_received_at
    is_hand_over = connection.stage is Stage.HANDING_OVER
    if is_hand_over and began is not None and moment - began > GIVEN_UP_AFTER:
        # Not called an outage of Leaf where it was a matter of ours.
        fail(session, connection, cause if cause in MENDED_BY_STAFF else Cause.GIVEN_UP, detail)
        return
    if connection.waiting_since is None:
        connection.waiting_since = moment
        history.record(session, connection, f"{what(connection)}_waits", detail=detail)
    if cause in MENDED_BY_STAFF and connection.cause is not cause:
        name = what(connection).replace("_", "-").capitalize()
        log.error("%s of %s waits for staff: %s", name, connection.reference, cause.value)
    connection.cause = cause
    connection.detail = detail
    connection.hand_over_taken_by = None
    # Whatever Leaf asks for: a person waits, and four requests an hour are no burden.
    pause = min(max(least, _pause(moment - connection.waiting_since)), LONGEST_PAUSE)
    enqueue_next(session, queue, connection, after=pause)


def fail(session: Session, connection: Connection, cause: Cause, detail: str) -> None:
    """Let a hand-over end, with its token kept, until a person has mended the reason.

    :param connection: locked
    """
    connection.stage = Stage.FAILED
    connection.cause = cause
    connection.detail = detail
    connection.hand_over_due_at = None
    connection.hand_over_taken_by = None
    history.record(session, connection, "hand_over_failed", cause=cause.value, detail=detail)
    log.error("Hand-over of %s failed: %s: %s", connection.reference, cause.value, detail)


def linger(session: Session, queue: Queue, connection: Connection) -> bool:
    """Whether a stray request may yet undo what was just done; then the next try looks again."""
    left = stray_left(connection.stray_since)
    if left <= timedelta(0):
        connection.stray_since = None
        return False
    # Leaf has answered: what was told of an outage is no longer true.
    connection.waiting_since = None
    connection.cause = None
    connection.detail = ""
    connection.hand_over_taken_by = None
    history.record(session, connection, "stray_request_awaited")
    enqueue_next(session, queue, connection, after=left)
    return True


def stray_left(since: datetime | None) -> timedelta:
    """How long a request may still be carried out that was sent or given up at that moment."""
    return since + STRAY_LIVES - now() if since else timedelta(0)


def what(connection: Connection) -> str:
    """What a try is about, as the history has it: `hand_over` or `disconnect`."""
    return "disconnect" if connection.stage is Stage.DISCONNECTING else "hand_over"


def _is_owed(connection: Connection) -> bool:
    if connection.stage is Stage.DISCONNECTING:
        return True
    return connection.stage is Stage.HANDING_OVER and connection.refresh_token is not None


def _is_being_tried(session: Session, queue: Queue, connection: Connection) -> bool:
    """Whether a living worker is on an older try, whose request may be on its way to Leaf."""
    running = queue.running_hand_overs(connection.id)
    running.pop(hand_over_id(connection.id, connection.hand_over_try), None)
    return not set(running.values()).isdisjoint(map(str, workers.living(session)))


def _pause(waited: timedelta) -> timedelta:
    """As long again as it has been so far, within bounds; with jitter against stampedes."""
    pause = min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
    return chance.spread(pause, 0.8, 1.0)
