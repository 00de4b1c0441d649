"""Counting for the dashboard. The worker does it, so that no page takes longer for more rows.

What is counted stands in rows of `Figure`, one for each partner, so that who is limited to some
gets their sum. The longer it takes, the rarer it is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding import clock
from onboarding.db import Database
from onboarding.models import Figure, FigureCount
from onboarding.staff import overview, tallies
from onboarding.staff.tallies import Key
from onboarding.states import FigureKind

KEPT_DAYS = 90
SHARE_OF_TIME = 0.02
SHORTEST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=15)
LEASE = timedelta(minutes=5)
"""So long another worker waits for one that counts and may have been killed."""
ONLY_ROW = 1


def count_if_due(database: Database) -> None:
    """Count anew if it is time and no other worker does."""
    with database.reading() as session:
        known = session.get(FigureCount, ONLY_ROW)
    if known is not None and known.due_at > clock.real():
        return
    if not _claim(database):
        return
    began, moment = time.monotonic(), clock.now()
    count(database, moment)
    pause = timedelta(seconds=(time.monotonic() - began) / SHARE_OF_TIME)
    with database.transaction() as session:
        row = session.get_one(FigureCount, ONLY_ROW)
        row.counted_at = moment
        row.due_at = clock.real() + min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)


def count(database: Database, moment: datetime) -> None:
    """Count everything, and write down what has changed."""
    today = moment.astimezone(UTC).date()
    first_week = overview.weeks_until(today)[-1]
    with database.reading() as session:
        since = _first_day_of_failures(session, today)
        failed = tallies.failed(session, since)
        told, health = tallies.now_and_health(session, today)
        funnel = tallies.funnel(session, first_week)
        durations = tallies.durations(session, first_week)
    _keep(database, FigureKind.FAILED, since, failed)
    _keep(database, FigureKind.NOW, date.min, told)
    _keep(database, FigureKind.HEALTH, today, health)
    _keep(database, FigureKind.FUNNEL, first_week, funnel)
    _keep(database, FigureKind.DURATION, first_week, durations)
    with database.transaction() as session:
        session.execute(
            sa.delete(Figure).where(
                Figure.kind.in_([FigureKind.HEALTH, FigureKind.FAILED]),
                Figure.day < today - timedelta(days=KEPT_DAYS),
            )
        )


def _claim(database: Database) -> bool:
    """Take it on, unless another worker was faster."""
    with database.transaction() as session:
        row = session.get(FigureCount, ONLY_ROW, with_for_update=True)
        if row is None:
            with suppress(IntegrityError), session.begin_nested():
                session.add(FigureCount(id=ONLY_ROW, due_at=clock.real()))
            row = session.get_one(
                FigureCount, ONLY_ROW, with_for_update=True, populate_existing=True
            )
        if row.due_at > clock.real():
            return False
        row.due_at = clock.real() + LEASE
        return True


def _first_day_of_failures(session: Session, today: date) -> date:
    """Attempts end now: what was counted on the days before yesterday stays as it is.

    Figures of days to come, from a clock that was ahead, keep none of today's from being counted.
    """
    newest = session.scalar(
        sa.select(sa.func.max(Figure.day)).where(
            Figure.kind == FigureKind.FAILED, Figure.day <= today
        )
    )
    oldest = today - timedelta(days=KEPT_DAYS)
    return oldest if newest is None else max(oldest, newest - timedelta(days=1))


def _keep(database: Database, kind: FigureKind, since: date, found: Mapping[Key, int]) -> None:
    """Let the figures of a kind from a day on be these, and write only what is another."""
    place = (Figure.day, Figure.partner_id, Figure.key)
    with database.transaction() as session:
        known: dict[Key, int] = {
            (day, partner, key): number
            for day, partner, key, number in session.execute(
                sa.select(*place, Figure.number).where(Figure.kind == kind, Figure.day >= since)
            )
        }
        gone = [key for key in known if key not in found]
        for part in _parts(gone):
            session.execute(
                sa.delete(Figure).where(Figure.kind == kind, sa.tuple_(*place).in_(part))
            )
        new = [_row(kind, key, number) for key, number in found.items() if key not in known]
        changed = [
            _row(kind, key, number)
            for key, number in found.items()
            if key in known and known[key] != number
        ]
        if new:
            session.execute(sa.insert(Figure), new)
        if changed:
            session.execute(sa.update(Figure), changed)


def _row(kind: FigureKind, key: Key, number: int) -> dict[str, Any]:
    day, partner_id, what = key
    return {"kind": kind, "day": day, "partner_id": partner_id, "key": what, "number": number}


def _parts(keys: list[Key], size: int = 200) -> Iterable[list[Key]]:
    """So few at once that no database minds."""
    return (keys[start : start + size] for start in range(0, len(keys), size))
