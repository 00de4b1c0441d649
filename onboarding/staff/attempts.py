"""Attempts that failed: how many of each cause, which were the last, and all of them in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.i18n import mark
from onboarding.models import HAS_FAILED, Attempt, Connection, Figure, Grower, Partner
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners
from onboarding.staff.tallies import midnight
from onboarding.states import FigureKind, Outcome

FAILURES: tuple[Outcome, ...] = tuple(one for one in Outcome if one is not Outcome.AUTHORIZED)
PAGE = 50
UNCOUNTED = timedelta(days=1)
"""Figures may be missing of it, if no worker ran."""


@dataclass(frozen=True)
class Meaning:
    """What a cause is called, what has happened, and what staff can do."""

    tone: str
    label: str
    happened: str
    to_do: str


MEANINGS = {
    Outcome.APPLICATION_REFUSED: Meaning(
        "problem",
        mark("Application refused"),
        mark("John Deere did not accept our application: key, secret, redirect URI or scopes."),
        mark("Compare the application with what is registered at John Deere. Growers can’t help."),
    ),
    Outcome.NO_REFRESH_TOKEN: Meaning(
        "problem",
        mark("No refresh token"),
        mark("John Deere let the grower in, but gave no lasting access."),
        mark("Ask John Deere to allow the application offline_access. Growers can’t help."),
    ),
    Outcome.CODE_REFUSED: Meaning(
        "wait",
        mark("Code refused"),
        mark("The grower agreed, but John Deere did not accept the code that it had given."),
        mark("One now and then is a page that was loaded twice. Many: is the secret right?"),
    ),
    Outcome.DEERE_UNAVAILABLE: Meaning(
        "wait",
        mark("John Deere did not answer"),
        mark("The grower came back, and John Deere’s sign-in did not answer us in time."),
        mark("It passes by itself. The grower has to press the button once more."),
    ),
    Outcome.INTERRUPTED: Meaning(
        "wait",
        mark("Broken off"),
        mark("The work on the grower’s return was cut off, by a restart or an error of ours."),
        mark("Look into the log at that time. The grower has to press the button once more."),
    ),
    Outcome.DENIED: Meaning(
        "quiet",
        mark("Declined"),
        mark("The grower, or John Deere for them, did not allow access."),
        mark("Ask what they fear, or whether their account may share. Nothing is broken."),
    ),
    Outcome.EXPIRED: Meaning(
        "quiet",
        mark("Did not come back"),
        mark("The grower went to John Deere and was not back within half an hour."),
        mark("Often a forgotten password. An error page there: is the redirect URI registered?"),
    ),
}


@dataclass(frozen=True)
class Filter:
    """Which attempts are asked for."""

    days: int
    outcome: Outcome | None = None
    partner: UUID | None = None


@dataclass(frozen=True)
class Place:
    """After which attempt the page goes on."""

    at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """What `str` gave; None for anything else."""
        at, _, key = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            return cls(moment, UUID(key)) if moment.tzinfo else None
        except ValueError:
            return None


@dataclass(frozen=True)
class Failure:
    """An attempt that failed, and whose."""

    id: UUID
    at: datetime
    outcome: Outcome
    detail: str
    reference: str
    grower: str
    external_id: str
    partner: str

    @property
    def place(self) -> Place:
        """Where the page after it begins."""
        return Place(self.at, self.id)


def trend(
    session: Session, by: Member, asked: Filter, *, today: date
) -> dict[Outcome, dict[date, int]]:
    """How many failed on each day of those that are asked for, by their cause; days without: 0."""
    days = [today - timedelta(days=back) for back in reversed(range(asked.days))]
    found: dict[Outcome, dict[date, int]] = {one: dict.fromkeys(days, 0) for one in FAILURES}
    query = (
        sa.select(Figure.day, Figure.key, sa.func.sum(Figure.number))
        .where(Figure.kind == FigureKind.FAILED, Figure.day >= days[0], Figure.day <= today)
        .where(*of_partners(Figure.partner_id, by, asked.partner))
        .group_by(Figure.day, Figure.key)
    )
    for day, key, number in session.execute(query):
        found[Outcome(key)][day] = int(number)
    return found


def newest(
    session: Session, by: Member, asked: Filter, counted: Mapping[Outcome, Mapping[date, int]]
) -> dict[Outcome, Failure]:
    """The last one of each cause, as of the last count.

    :param counted: as `trend` gave it: only the last day that has one is searched, since a partner
        may have few among many attempts of others
    """
    parts = []
    for outcome, days in counted.items():
        last = max((day for day, number in days.items() if number), default=None)
        if last is not None:
            begin = midnight(last)
            within = (Attempt.outcome == outcome, Attempt.ended_at < begin + timedelta(days=1))
            one = _of(by, asked.partner, begin).with_only_columns(Attempt.id)
            parts.append(sa.select(one.where(*within).limit(1).subquery()))
    if not parts:
        return {}
    query = _with_grower().where(Attempt.id.in_(sa.union_all(*parts)))
    return {one.outcome: one for one in map(_failure, session.execute(query))}


def since(
    counted: Mapping[Outcome, Mapping[date, int]], asked: Filter, *, moment: datetime
) -> datetime:
    """From when on it is worth looking for those that are asked for.

    A partner may have none of them, among many of others that would all be looked at.

    :param counted: as `trend` gave it; what has happened since the last count is looked for, too
    """
    wanted = [days for outcome, days in counted.items() if asked.outcome in {None, outcome}]
    first = min((day for days in wanted for day, number in days.items() if number), default=None)
    begin = moment - UNCOUNTED if first is None else midnight(first)
    return max(min(begin, moment - UNCOUNTED), moment - timedelta(days=asked.days))


def page(
    session: Session, by: Member, asked: Filter, *, begin: datetime, after: Place | None
) -> tuple[Sequence[Failure], bool]:
    """The next attempts, the last first, and whether there are more."""
    query = _of(by, asked.partner, begin)
    if asked.outcome is not None:
        query = query.where(Attempt.outcome == asked.outcome)
    if after is not None:
        place = sa.tuple_(Attempt.ended_at, Attempt.id)
        query = query.where(
            place < sa.tuple_(sa.literal(after.at, Attempt.ended_at.type), after.id)
        )
    found = [_failure(row) for row in session.execute(query.limit(PAGE + 1))]
    return found[:PAGE], len(found) > PAGE


def _with_grower() -> sa.Select[Any]:
    """In the order of `Failure`."""
    columns: tuple[Any, ...] = (
        Attempt.id,
        Attempt.ended_at,
        Attempt.outcome,
        Attempt.detail,
        Connection.reference,
        Grower.name,
        Grower.external_id,
        Partner.name,
    )
    return (
        sa.select(*columns)
        .join(Connection, Connection.id == Attempt.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .join(Partner, Partner.id == Grower.partner_id)
    )


def _of(by: Member, partner: UUID | None, since: datetime) -> sa.Select[Any]:
    return (
        _with_grower()
        .where(sa.text(HAS_FAILED), Attempt.ended_at >= since)
        .where(*of_partners(Grower.partner_id, by, partner))
        .order_by(Attempt.ended_at.desc(), Attempt.id.desc())
    )


def _failure(row: Any) -> Failure:
    return Failure(*row)
