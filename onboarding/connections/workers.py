"""Which worker processes live: what a dead one had begun is free for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import clock
from onboarding.models import Worker

SILENT_AFTER = timedelta(seconds=30)


def beat(session: Session, worker: Worker, *, moment: datetime) -> None:
    """Say that a worker lives."""
    worker.seen_at = moment
    session.merge(worker)


def living(session: Session) -> Sequence[UUID]:
    """The workers that are not known to have ended.

    A worker is registered before it begins anything. So ask the queue first who runs what: who
    then is missing here is dead, and not one that has just started.
    """
    return session.scalars(sa.select(Worker.id)).all()


def heard_of(session: Session) -> Sequence[Worker]:
    """Those whose heart beats, the newest first; their moments as people read them."""
    alive = sa.select(Worker).where(Worker.seen_at > clock.real() - SILENT_AFTER)
    found = session.scalars(alive.order_by(Worker.started_at.desc())).all()
    session.expunge_all()
    for worker in found:
        worker.started_at = clock.as_shown(worker.started_at)
        worker.seen_at = clock.as_shown(worker.seen_at)
    return found


def bury(session: Session, process_is_gone: Callable[[Worker], bool]) -> None:
    """Forget workers that have ended.

    :param process_is_gone: whether a worker is known to have ended, before its heartbeat is old
    """
    silent_since = clock.real() - SILENT_AFTER
    for worker in session.scalars(sa.select(Worker)):
        if worker.seen_at < silent_since or process_is_gone(worker):
            session.delete(worker)
