"""Counting the rows of the table: one statement for each kind of figure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.db import seconds_between
from onboarding.models import HAS_FAILED, Attempt, Connection, Grower, Listing
from onboarding.staff import overview
from onboarding.staff.overview import BOUNDS, LONGER, Step
from onboarding.staff.words import area

Key = tuple[date, UUID, str]
"""Day, partner, what was counted."""
Found = Counter[Key]


def now_and_health(session: Session, today: date) -> tuple[Found, Found]:
    """Connections by whose turn it is and what is told of them; and in few words."""
    told, health = Found(), Found()
    columns = (Listing.partner_id, Listing.turn, Listing.code)
    query = sa.select(*columns, sa.func.count()).where(Listing.code != "").group_by(*columns)
    for partner, turn, code, number in session.execute(query):
        told[today, partner, overview.now_key(turn.value, code)] += number
        health[today, partner, area(code, turn.value).value] += number
    return told, health


def funnel(session: Session, first_week: date) -> Found:
    """How far those came that were invited since, by the week of the invitation.

    Who has come far counts for all steps before, also where it is not known when.
    """
    connected = Listing.first_connected_at
    consented = sa.func.coalesce(Listing.consented_at, connected)
    began = sa.func.coalesce(Listing.started_at, consented)
    steps = {
        Step.SENT: sa.func.count(),
        Step.OPENED: sa.func.count(sa.func.coalesce(Listing.opened_at, began)),
        Step.BEGAN: sa.func.count(began),
        Step.CONSENTED: sa.func.count(consented),
        Step.CONNECTED: sa.func.count(connected),
    }
    day = _day(session, Listing.created_at)
    since = Listing.created_at >= midnight(first_week)
    found = Found()
    query = sa.select(day, Listing.partner_id, *steps.values()).where(since)
    for at, partner, *numbers in session.execute(query.group_by(day, Listing.partner_id)):
        week = overview.monday_of(_as_date(at))
        for step, number in zip(steps, numbers, strict=True):
            found[week, partner, step.value] += number
        found[week, partner, Step.AT_LEAF.value] += numbers[list(steps).index(Step.CONSENTED)]
    # There are few of these, unlike those that have come to Leaf.
    on_their_way = (
        sa.select(day, Listing.partner_id, sa.func.count())
        .join(Connection, Connection.id == Listing.connection_id)
        .where(since, Listing.consented_at.is_not(None), connected.is_(None))
        .where(Connection.handed_over_at.is_(None))
        .group_by(day, Listing.partner_id)
    )
    for at, partner, number in session.execute(on_their_way):
        found[overview.monday_of(_as_date(at)), partner, Step.AT_LEAF.value] -= number
    return +found


def durations(session: Session, first_week: date) -> Found:
    """How long it took those that were connected since, by the week in which they were."""
    seconds = seconds_between(session, Listing.started_at, Listing.first_connected_at)
    bound = sa.case(*((seconds <= one, str(one)) for one in BOUNDS), else_=LONGER)
    day = _day(session, Listing.first_connected_at)
    query = (
        sa.select(day, Listing.partner_id, bound, sa.func.count())
        .where(Listing.first_connected_at >= midnight(first_week), Listing.started_at.is_not(None))
        .group_by(day, Listing.partner_id, bound)
    )
    found = Found()
    for at, partner, key, number in session.execute(query):
        found[overview.monday_of(_as_date(at)), partner, key] += number
    return found


def failed(session: Session, since: date) -> Found:
    """Attempts that have failed since, by day and outcome."""
    day = _day(session, Attempt.ended_at)
    query = (
        sa.select(day, Grower.partner_id, Attempt.outcome, sa.func.count())
        .join(Connection, Connection.id == Attempt.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(sa.text(HAS_FAILED), Attempt.ended_at >= midnight(since))
        .group_by(day, Grower.partner_id, Attempt.outcome)
    )
    return Found(
        {
            (_as_date(at), partner, outcome.value): number
            for at, partner, outcome, number in session.execute(query)
            if outcome is not None
        }
    )


def midnight(day: date) -> datetime:
    """When a day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _day(session: Session, column: Any) -> sa.ColumnElement[Any]:
    """The day of a moment, in UTC."""
    if session.get_bind().dialect.name == "postgresql":
        return sa.func.date(sa.func.timezone("UTC", column))
    return sa.func.date(column)


def _as_date(value: date | str) -> date:
    """SQLite knows no dates."""
    return date.fromisoformat(value) if isinstance(value, str) else value
