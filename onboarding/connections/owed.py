"""What the workers owe a connection: the hand-over of its token, and a look at how it is."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import Connection
from onboarding.queue import Queue
from onboarding.states import Stage

CHECK_LEASE = timedelta(minutes=1)
"""When the sweep asks the queue what has become of a check that has not reported."""


def owe_hand_over(session: Session, queue: Queue, connection: Connection) -> None:
    """Enqueue a first try of the hand-over of the token that the connection holds."""
    if connection.stage_before is not None:
        connection.trouble_told_from = None  # a beginning; nothing is left to be repaired
    connection.stage = Stage.HANDING_OVER
    connection.stage_before = None
    connection.cause = None
    connection.detail = ""
    connection.waiting_since = None
    connection.check_due_at = None
    connection.hand_over_try += 1
    connection.hand_over_due_at = now()
    queue.hand_over(session, connection.id, number=connection.hand_over_try, after=timedelta(0))


def owe_check(
    session: Session, queue: Queue, connection: Connection, *, in_no_hurry: bool = False
) -> None:
    """Enqueue a check. It takes the place of one that still waits.

    :param in_no_hurry: after those that somebody waits for
    """
    connection.check_number += 1
    connection.check_due_at = now() + CHECK_LEASE
    queue.check(session, connection.id, number=connection.check_number, in_no_hurry=in_no_hurry)
