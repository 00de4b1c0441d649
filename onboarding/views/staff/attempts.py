"""Attempts that failed: by cause, with their trend, and all of them in turn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

import sqlalchemy as sa
from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import Connection, Grower, Partner
from onboarding.staff import attempts as reading
from onboarding.staff import charts
from onboarding.staff.attempts import FAILURES, MEANINGS, Failure, Filter, Meaning, Place
from onboarding.staff.scope import of_partners, visible_partners
from onboarding.states import Outcome, Role
from onboarding.views.parts import installation
from onboarding.views.staff.parts import bp, connection_url, member, staff_only

DAYS = (7, 30, 90)
USUAL_DAYS = 30
WEEK = 7
TREND_WIDTH, TREND_HEIGHT = 150, 28


@dataclass(frozen=True)
class Cause:
    """A line of the first table."""

    outcome: Outcome
    meaning: Meaning
    days: Mapping[date, int]
    newest: Failure | None

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.days.values())

    @property
    def lately(self) -> int:
        """How many of them within the last seven days."""
        return sum(list(self.days.values())[-WEEK:])

    @property
    def worst(self) -> tuple[date, int]:
        """The day with most, and how many."""
        return max(self.days.items(), key=lambda one: (one[1], one[0]))

    @property
    def columns(self) -> list[charts.Bar]:
        """The trend as a picture."""
        return charts.columns(list(self.days.values()), width=TREND_WIDTH, height=TREND_HEIGHT)


@bp.get("/attempts")
@staff_only(Role.VIEWER)
def attempts() -> ResponseReturnValue:
    """Why growers did not get through John Deere’s consent."""
    code = re.sub(r"[\s-]", "", request.args.get("reference", "")).upper()
    with installation().database.reading() as session:
        if code and _is_visible(session, code):
            return redirect(connection_url(code), 303)
        partners = visible_partners(session, member())
        asked = _asked(partners)
        trend = reading.trend(session, member(), asked, today=now().date())
        newest = reading.newest(session, member(), asked, trend)
        after = Place.parse(request.args.get("after", ""))
        begin = reading.since(trend, asked, moment=now())
        found, has_more = reading.page(session, member(), asked, begin=begin, after=after)
    causes = [Cause(one, MEANINGS[one], trend[one], newest.get(one)) for one in FAILURES]
    return render_template(
        "staff/attempts.html",
        asked=asked,
        partner=next((one for one in partners if one.id == asked.partner), None),
        partners=partners,
        causes=sorted(causes, key=lambda cause: -cause.total),
        meanings=MEANINGS,
        failures=found,
        first=_here() if after else None,
        older=_here(after=str(found[-1].place)) if has_more else None,
        only=lambda outcome: _here(outcome=outcome.value),
        only_all=_here(outcome=""),
        unknown_code=request.args.get("reference", "").strip(),
        days=DAYS,
        trend_size=(TREND_WIDTH, TREND_HEIGHT),
    )


def _asked(partners: Sequence[Partner]) -> Filter:
    """What the address asks for; what it can't mean is left out."""
    days = request.args.get("days", USUAL_DAYS, type=int)
    outcome = None
    with suppress(ValueError):
        outcome = Outcome(request.args.get("outcome", ""))
    slug = request.args.get("partner", "")
    return Filter(
        days=days if days in DAYS else USUAL_DAYS,
        outcome=outcome if outcome in FAILURES else None,
        partner=next((one.id for one in partners if one.slug == slug), None),
    )


def _is_visible(session: Session, code: str) -> bool:
    found = (
        sa.select(Connection.id)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Connection.reference == code, *of_partners(Grower.partner_id, member()))
    )
    return session.scalar(found) is not None


def _here(**changes: str) -> str:
    """This page with another part of its question; where it goes on is left out."""
    kept = {
        name: request.args[name] for name in ("days", "outcome", "partner") if name in request.args
    }
    return f"{request.path}?{urlencode(kept | changes)}"
