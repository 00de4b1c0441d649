"""Counting for the dashboard. The worker does it, so that no page takes longer for more rows.

What is counted stands in rows of `Figure`, one for each partner, so that who is limited to some
gets their sum. The longer it takes, the rarer it is done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from onboarding import clock
from onboarding.db import Database
from onboarding.models import HAS_FAILED, Attempt, Connection, Figure, FigureCount, Grower
from onboarding.staff import overview, standings
from onboarding.staff.overview import Step
from onboarding.staff.standings import Standing
from onboarding.staff.words import area
from onboarding.states import FigureKind, Outcome

KEPT_DAYS = 90
SHARE_OF_TIME = 0.02
SHORTEST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=15)
LEASE = timedelta(minutes=5)
"""So long another worker waits for one that counts and may have been killed."""
ONLY_ROW = 1
ORDER = list(Step)

Key = tuple[date, UUID, str]
"""Day, partner, what was counted."""


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
    with database.reading() as session:
        since = _first_day_of_failures(session, today)
        failed = _failed(session, since)
        tally = Tally(today)
        for standing in standings.all_of(session, moment):
            tally.add(standing)
    _keep(database, FigureKind.FAILED, since, failed)
    _keep(database, FigureKind.NOW, date.min, tally.now)
    _keep(database, FigureKind.HEALTH, today, tally.health)
    _keep(database, FigureKind.FUNNEL, tally.first_week, tally.funnel)
    _keep(database, FigureKind.DURATION, tally.first_week, tally.durations)
    with database.transaction() as session:
        session.execute(
            sa.delete(Figure).where(
                Figure.kind.in_([FigureKind.HEALTH, FigureKind.FAILED]),
                Figure.day < today - timedelta(days=KEPT_DAYS),
            )
        )


class Tally:
    """Numbers by day, partner and key, of connections that come one after the other."""

    def __init__(self, today: date) -> None:
        self._today = today
        self.first_week = overview.weeks_until(today)[-1]
        self.now: Counter[Key] = Counter()
        self.health: Counter[Key] = Counter()
        self.funnel: Counter[Key] = Counter()
        self.durations: Counter[Key] = Counter()

    def add(self, one: Standing) -> None:
        """Count one more."""
        partner = one.partner_id
        self.now[self._today, partner, overview.now_key(one.turn, one.code)] += 1
        self.health[self._today, partner, area(one.code, one.turn).value] += 1
        invited = _week(one.invited_at)
        if invited >= self.first_week:
            for step in _steps(one):
                self.funnel[invited, partner, step.value] += 1
        if one.began_at is not None and one.connected_at is not None:
            connected = _week(one.connected_at)
            if connected >= self.first_week:
                seconds = (one.connected_at - one.began_at).total_seconds()
                self.durations[connected, partner, overview.bound_of(seconds)] += 1


def _steps(one: Standing) -> Sequence[Step]:
    """All that it has come by; who has come far has come by all before."""
    reached = {
        Step.BEGAN: one.began_at,
        Step.CONSENTED: one.consented_at,
        Step.AT_LEAF: one.at_leaf_at,
        Step.CONNECTED: one.connected_at,
    }
    furthest = max((step for step, at in reached.items() if at), key=ORDER.index, default=Step.SENT)
    return [step for step in ORDER[: ORDER.index(furthest) + 1] if step is not Step.OPENED]


def _week(moment: datetime) -> date:
    return overview.monday_of(moment.astimezone(UTC).date())


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
    """Attempts end now: what was counted on the days before yesterday stays as it is."""
    newest = session.scalar(
        sa.select(sa.func.max(Figure.day)).where(Figure.kind == FigureKind.FAILED)
    )
    oldest = today - timedelta(days=KEPT_DAYS)
    return oldest if newest is None else max(oldest, newest - timedelta(days=1))


def _failed(session: Session, since: date) -> dict[Key, int]:
    day = _day(session, Attempt.ended_at)
    query = (
        sa.select(day, Grower.partner_id, Attempt.outcome, sa.func.count())
        .join(Connection, Connection.id == Attempt.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(sa.text(HAS_FAILED), Attempt.ended_at >= _midnight(since))
        .group_by(day, Grower.partner_id, Attempt.outcome)
    )
    return {
        (_as_date(at), partner, (outcome or Outcome.EXPIRED).value): number
        for at, partner, outcome, number in session.execute(query)
    }


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


def _day(session: Session, column: InstrumentedAttribute[datetime | None]) -> sa.Function[date]:
    """The day of a moment, in UTC."""
    if session.get_bind().dialect.name == "postgresql":
        return sa.func.date(sa.func.timezone("UTC", column))
    return sa.func.date(column)


def _as_date(value: date | str) -> date:
    """SQLite knows no dates."""
    return date.fromisoformat(value) if isinstance(value, str) else value


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
