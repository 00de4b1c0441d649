"""What the workers owe a connection: the hand-over of its token, and a look at how it is."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import Connection
from onboarding.queue import Queue
from onboarding.states import Stage, Urgency

CHECK_LEASE = timedelta(minutes=1)
"""How long a worker has for a check that it claimed, unless it says that it still wants it."""


def owe_hand_over(session: Session, queue: Queue, connection: Connection) -> None:
    """Enqueue a first try of the hand-over of the token that the connection holds."""
    connection.stage = Stage.HANDING_OVER
    connection.stage_before = None
    connection.cause = None
    connection.detail = ""
    connection.waiting_since = None
    connection.check_due_at = None
    connection.hand_over_try += 1
    connection.hand_over_due_at = now()
    queue.hand_over(session, connection.id, number=connection.hand_over_try, after=timedelta(0))


def owe_check(session: Session, queue: Queue, connection: Connection) -> None:
    """Let Leaf be asked now, since somebody waits for it or something has happened.

    What a check that is under way brings does not count any more.
    """
    connection.check_number += 1
    connection.check_due_at = now()
    connection.check_urgency = Urgency.LOOK
