"""What the workers owe a connection: its token's way to Leaf, its end, and a look at how it is."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import Connection
from onboarding.queue import Queue
from onboarding.states import Stage, Urgency

CHECK_LEASE = timedelta(minutes=1)
"""How long a worker has for a check that it claimed, unless it says that it still wants it."""

OLD_AFTER = timedelta(minutes=1)
"""An answer of Leaf that somebody looks at."""


def owe_hand_over(session: Session, queue: Queue, connection: Connection) -> None:
    """Enqueue a first try of the hand-over of the token that the connection holds."""
    connection.stage = Stage.HANDING_OVER
    _owe_try(session, queue, connection)


def owe_disconnect(session: Session, queue: Queue, connection: Connection) -> None:
    """Enqueue a first try to have Leaf delete the connection's credential."""
    connection.stage = Stage.DISCONNECTING
    _owe_try(session, queue, connection)


def give_up_token(connection: Connection) -> None:
    """Forget what was announced of a token that counts no more, except that it may still come.

    A try that is at it now is outdated with the next one; its POST may be on the way.
    """
    if connection.refresh_token is not None and connection.post_began_at is not None:
        connection.stray_since = now()
    connection.refresh_token = None
    connection.post_began_at = None
    connection.credential_before_post = None


def _owe_try(session: Session, queue: Queue, connection: Connection) -> None:
    connection.stage_before = None
    connection.cause = None
    connection.detail = ""
    connection.waiting_since = None
    connection.check_due_at = None
    connection.hand_over_try += 1
    connection.hand_over_due_at = now()
    queue.hand_over(session, connection.id, number=connection.hand_over_try, after=timedelta(0))


def owe_check(connection: Connection, *, urgency: Urgency = Urgency.LOOK) -> None:
    """Let Leaf be asked now, since somebody waits for it or something has happened.

    What a check that is under way brings does not count any more.

    :param urgency: another one for those of which there are many, so that nobody waits for them
    """
    connection.check_number += 1
    connection.check_due_at = now()
    connection.check_urgency = urgency


def is_look_due(connection: Connection, moment: datetime) -> bool:
    """Whether Leaf is to be asked because somebody looks: its last word is older than a minute.

    Not more often than once a minute either while Leaf does not answer: a page can be opened again
    and again.
    """
    said, began = connection.leaf_said_at, connection.check_began_at
    return (
        connection.is_at_leaf
        and connection.check_due_at is not None
        and connection.check_urgency != Urgency.LOOK
        and (said is None or said < moment - OLD_AFTER)
        and (began is None or began < moment - OLD_AFTER)
    )


def look(session: Session, connection: Connection) -> bool:
    """Let Leaf be asked if it is to be because somebody looks. A check under way still counts.

    :return: whether it is
    """
    moment = now()
    if not is_look_due(connection, moment):
        return False
    # It may have been read without a lock: nothing that has changed meanwhile is written over.
    asked = (
        sa.update(Connection)
        .where(
            Connection.id == connection.id,
            Connection.check_number == connection.check_number,
            Connection.stage == connection.stage,
            Connection.check_due_at.is_not(None),
        )
        .values(check_due_at=moment, check_urgency=Urgency.LOOK)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(asked.returning(Connection.id)) is not None
