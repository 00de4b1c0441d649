"""The row that all workers share, and the one clock by which they read it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import real
from onboarding.models import Pace

SERVICE = "Leaf"
MINUTE = timedelta(minutes=1)


def locked(session: Session) -> tuple[Pace, datetime]:
    """The row for writing, and the moment; whoever else wants it waits."""
    row = session.get(Pace, SERVICE, with_for_update=True)
    if row is None:
        with suppress(IntegrityError), session.begin_nested():
            session.add(Pace(service=SERVICE, next_at=datetime.fromtimestamp(0, UTC)))
        row = session.get_one(Pace, SERVICE, with_for_update=True, populate_existing=True)
    return row, moment_of(session)


def moment_of(session: Session) -> datetime:
    """Now, on the one clock that all workers share: the database's.

    With SQLite they share a machine and so its clock. Never the sandbox's, which may jump: a minute
    of Leaf's limit takes a minute.
    """
    if session.get_bind().dialect.name == "postgresql":
        return session.scalar(sa.select(sa.func.clock_timestamp())) or real()
    return real()


def note_used(row: Pace, moment: datetime, used: int) -> None:
    """Count requests that were sent, into the minute of now."""
    age = None if row.minute_at is None else moment - row.minute_at
    if age is None or not timedelta(0) <= age < MINUTE:
        follows = age is not None and MINUTE <= age < 2 * MINUTE
        row.used_before = row.used if follows else 0
        row.minute_at = row.minute_at + MINUTE if row.minute_at and follows else moment
        row.used = 0
    row.used += used


def used_lately(row: Pace, moment: datetime) -> int:
    """Two minutes are counted, the present one and the one before.

    Of that one counts the part that is less than a minute ago.
    """
    if row.minute_at is None:
        return 0
    age = (moment - row.minute_at) / MINUTE
    if age < 1:
        return round(row.used + row.used_before * (1 - max(age, 0.0)))
    return round(row.used * max(2 - age, 0.0))
