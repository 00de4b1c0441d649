"""What the overview shows: read from the figures, so that it costs the same for any number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.i18n import mark
from onboarding.models import Figure, FigureCount
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners
from onboarding.staff.words import Area, Words, words
from onboarding.states import FigureKind, Turn

HEALTH_DAYS = 90
WEEKS = 26
"""Of invitations that are followed."""
USUAL_WEEKS = 12
WEEK = timedelta(days=7)
MINUTE, HOUR, DAY = 60, 3600, 86_400


class Step(StrEnum):
    """How far a grower came, in order."""

    SENT = "sent"
    OPENED = "opened"
    BEGAN = "began"
    CONSENTED = "consented"
    AT_LEAF = "at_leaf"
    CONNECTED = "connected"


STEPS = {
    Step.SENT: (mark("Link made"), mark("never opened the link")),
    Step.OPENED: (mark("Link opened"), mark("opened it, and did not begin")),
    Step.BEGAN: (mark("Went to John Deere"), mark("did not agree there")),
    Step.CONSENTED: (mark("Agreed"), mark("have not reached Leaf")),
    Step.AT_LEAF: (mark("Leaf holds it"), mark("share no organization yet")),
    Step.CONNECTED: (mark("Connected"), ""),
}
"""What a step is called, and what is true of those who came no further."""
NEVER_BEGAN = mark("never began")
"""What is true of them where it is not known who has opened the link."""
BOUNDS = (
    *(30, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1200, 1800, 2700, HOUR),
    *(2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY),
)
"""Seconds up to which a duration counts for a number; those that are longer have a number, too."""
LONGER = "longer"
SHOWN = (
    (120, mark("up to 2 min")),
    (300, mark("2 to 5 min")),
    (600, mark("5 to 10 min")),
    (1800, mark("10 to 30 min")),
    (HOUR, mark("30 to 60 min")),
    (DAY, mark("1 to 24 h")),
    (7 * DAY, mark("1 to 7 days")),
)


@dataclass(frozen=True)
class Line:
    """Connections of which the same is told."""

    turn: Turn
    code: str
    number: int

    @property
    def words(self) -> Words:
        """What they are called, and what to do."""
        return words(self.code, self.turn)


@dataclass(frozen=True)
class Reached:
    """A step, how many came to it, and how many no further."""

    step: Step
    number: int
    stopped: int
    why: str


@dataclass
class Overview:
    """All figures of the page."""

    counted_at: datetime | None = None
    lines: list[Line] = field(default_factory=list)
    health: dict[date, dict[Area, int]] = field(default_factory=dict)
    funnel: dict[date, dict[Step, int]] = field(default_factory=dict)
    durations: dict[date, dict[str, int]] = field(default_factory=dict)

    def of(self, turn: Turn) -> list[Line]:
        """The lines of those whose turn it is, the most first."""
        return sorted(
            (line for line in self.lines if line.turn is turn),
            key=lambda line: (-line.number, line.code),
        )

    def number(self, turn: Turn) -> int:
        """How many wait for them."""
        return sum(line.number for line in self.lines if line.turn is turn)

    def steps(self, weeks: Sequence[date]) -> list[Reached]:
        """How far those came that were invited in these weeks.

        What is not counted of a step is left out, instead of a number that can't be.
        """
        numbers = {
            step: sum(self.funnel.get(week, {}).get(step, 0) for week in weeks) for step in Step
        }
        known = [step for step in Step if step is not Step.OPENED or numbers[step]]
        after = [*known[1:], known[-1]]
        whys = {step: why for step, (_, why) in STEPS.items()}
        if Step.OPENED not in known:
            whys[Step.SENT] = NEVER_BEGAN
        return [
            Reached(step, numbers[step], numbers[step] - numbers[following], whys[step])
            for step, following in zip(known, after, strict=True)
        ]

    def histogram(self, weeks: Sequence[date]) -> dict[str, int]:
        """How many took how long, of those that were connected in these weeks."""
        found: dict[str, int] = {}
        for week in weeks:
            for key, number in self.durations.get(week, {}).items():
                found[key] = found.get(key, 0) + number
        return found


def read(session: Session, by: Member, partner: UUID | None, *, today: date) -> Overview:
    """The figures of the partners that the member sees, or of one of them. One query."""
    limits = of_partners(Figure.partner_id, by, partner)
    monday = monday_of(today)
    wanted = sa.or_(
        Figure.kind == FigureKind.NOW,
        sa.and_(Figure.kind == FigureKind.HEALTH, Figure.day > today - timedelta(days=HEALTH_DAYS)),
        sa.and_(
            Figure.kind.in_([FigureKind.FUNNEL, FigureKind.DURATION]),
            Figure.day > monday - WEEKS * WEEK,
        ),
    )
    sums = (
        sa.select(Figure.kind, Figure.day, Figure.key, sa.func.sum(Figure.number).label("number"))
        .where(wanted, *limits)
        .group_by(Figure.kind, Figure.day, Figure.key)
        .subquery()
    )
    query = sa.select(FigureCount.counted_at, sums).outerjoin(sums, sa.true())
    found = Overview()
    for counted_at, kind, day, key, number in session.execute(query):
        found.counted_at = counted_at
        if kind is not None:
            _sort_in(found, kind, day, key, int(number))
    return found


def weeks_until(today: date, number: int = WEEKS) -> list[date]:
    """The Mondays of the last weeks, the newest first."""
    return [monday_of(today) - back * WEEK for back in range(number)]


def monday_of(day: date) -> date:
    """The first day of its week."""
    return day - timedelta(days=day.weekday())


def quantile(histogram: Mapping[str, int], share: float) -> float | None:
    """About how many seconds that share of all took at most.

    :return: None if it is longer than the last bound, or if there are none
    """
    wanted, below, lower = share * sum(histogram.values()), 0, 0
    if not wanted:
        return None
    for bound in BOUNDS:
        number = histogram.get(str(bound), 0)
        if number and below + number >= wanted:
            return lower + (bound - lower) * (wanted - below) / number
        below, lower = below + number, bound
    return None


def in_parts(histogram: Mapping[str, int]) -> list[tuple[str, int]]:
    """The histogram in few parts: what each is called, and how many."""
    parts, lower = [], 0
    for upper, label in SHOWN:
        keys = [str(bound) for bound in BOUNDS if lower < bound <= upper]
        parts.append((label, sum(histogram.get(key, 0) for key in keys)))
        lower = upper
    rest = sum(histogram.values()) - sum(number for _, number in parts)
    return [*parts, (mark("longer"), rest)]


def now_key(turn: str, code: str) -> str:
    """The key of figures of the kind `now`."""
    return f"{turn}:{code}"


def _sort_in(found: Overview, kind: Any, day: date, key: str, number: int) -> None:
    match kind:
        case FigureKind.NOW:
            turn, _, code = key.partition(":")
            found.lines.append(Line(Turn(turn), code, number))
        case FigureKind.HEALTH:
            found.health.setdefault(day, {})[Area(key)] = number
        case FigureKind.FUNNEL:
            found.funnel.setdefault(day, {})[Step(key)] = number
        case FigureKind.DURATION:
            found.durations.setdefault(day, {})[key] = number
