"""What is broken, whose turn it is, what to click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from flask import Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import incidents, pace
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.staff import audit, chart_files, charts
from onboarding.staff import overview as reading
from onboarding.staff.chart_files import Chart
from onboarding.staff.overview import HEALTH_DAYS, STEPS, USUAL_WEEKS, Overview, Reached
from onboarding.staff.scope import visible_partners
from onboarding.staff.words import AREAS, Area
from onboarding.states import Role, Turn
from onboarding.views.parts import installation
from onboarding.views.staff.parts import bp, member, staff_only

DRAWN = (Area.WORKS, Area.PAUSED, Area.ON_THE_WAY, Area.GROWER, Area.STAFF)
"""From the bottom. Who has not started has no health, and what has ended has none any more."""
WIDE, NARROW = (760.0, 220.0), (328.0, 180.0)
"""Of the picture of health: a desktop's, and a phone's, on which its text stays readable."""
BAR = 100.0
OLD = timedelta(minutes=30)
"""Figures that are older have been left by the workers, however long a count takes."""
MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True)
class Part:
    """A part of a histogram."""

    label: str
    number: int
    length: float


@bp.get("/")
@staff_only(Role.VIEWER)
def home() -> ResponseReturnValue:
    """The page for the morning."""
    today = now().date()
    with installation().database.reading() as session:
        partners = visible_partners(session, member())
        slug = request.args.get("partner", "")
        partner = next((one for one in partners if one.slug == slug), None)
        found = reading.read(session, member(), partner.id if partner else None, today=today)
        sees_all = member().partners is None
        present = [
            describe.incident_for_staff(one, with_numbers=sees_all)
            for one in incidents.present(session)
        ]
        outage = pace.outage(session)
    every_week = reading.weeks_until(today)
    weeks = _asked(every_week)
    return render_template(
        "staff/overview.html",
        found=found,
        is_old=found.counted_at is not None and now() - found.counted_at > OLD,
        turns=Turn,
        partners=partners,
        partner=partner,
        incidents=present,
        outage=outage,
        areas=AREAS,
        drawn=DRAWN,
        every_week=every_week,
        week=weeks[0] if len(weeks) == 1 else None,
        usual_weeks=USUAL_WEEKS,
        files={one.value: _file(one, partner.slug if partner else None) for one in Chart},
        **_health(found, today),
        **_funnel(found, weeks),
        **_durations(found, weeks),
    )


@bp.get("/figures/<chart>.csv")
@staff_only(Role.VIEWER)
def figures_csv(chart: str) -> ResponseReturnValue:
    """What is behind one of the pictures, as a file."""
    if chart not in list(Chart):
        abort(404)
    slug, today = request.args.get("partner", ""), now().date()
    with installation().database.transaction() as session:
        partners = visible_partners(session, member())
        partner = next((one for one in partners if one.slug == slug), None)
        if slug and partner is None:
            abort(404)
        found = reading.read(session, member(), partner.id if partner else None, today=today)
        audit.record(session, member(), "figures.export", partner=partner, chart=chart)
    name = "-".join(["figures", *([slug] if slug else []), chart, today.isoformat()])
    return Response(
        chart_files.lines(Chart(chart), found, today=today),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _file(chart: Chart, partner: str | None) -> str:
    """Where the figures of a picture are."""
    return url_for(".figures_csv", chart=chart.value, partner=partner)


def _asked(every_week: Sequence[date]) -> Sequence[date]:
    """The week that is asked for, else the last ones."""
    week = request.args.get("week", "")
    return [one for one in every_week if one.isoformat() == week] or every_week[:USUAL_WEEKS]


def _health(found: Overview, today: date) -> dict[str, Any]:
    days = sorted(found.health)
    if not days:
        return {"health_days": [], "pictures": []}
    first = today - timedelta(days=HEALTH_DAYS - 1)
    # A young installation is not squeezed into a corner.
    first = max(first, days[0])
    span = max((today - first).days, 1)
    places = [(day - first).days / span for day in days]
    series = {area.value: [found.health[day].get(area, 0) for day in days] for area in DRAWN}
    pictures = [
        charts.stacked(places, series, width=width, height=height)
        for width, height in (WIDE, NARROW)
    ]
    return {
        "health_days": days,
        "pictures": pictures,
        "health_says": _what_health_says(found, days),
    }


def _what_health_says(found: Overview, days: Sequence[date]) -> str:
    """The text in place of the picture."""
    before, latest = found.health[days[0]], found.health[days[-1]]
    parts = [
        _("%(area)s: %(now)s, on %(day)s %(before)s")
        % {
            "area": _(AREAS[area]),
            "now": f"{latest.get(area, 0):,}",
            "day": days[0].isoformat(),
            "before": f"{before.get(area, 0):,}",
        }
        for area in DRAWN
    ]
    return "; ".join(parts) + "."


def _funnel(found: Overview, weeks: Sequence[date]) -> dict[str, Any]:
    steps = found.steps(weeks)
    worst = max(steps[:-1], key=lambda one: one.stopped)
    return {
        "steps": [
            (one, charts.share(one.number, steps[0].number, width=BAR), _(STEPS[one.step][0]))
            for one in steps
        ],
        "worst": worst if worst.stopped else None,
        "funnel_says": _what_funnel_says(steps, worst),
    }


def _what_funnel_says(steps: Sequence[Reached], worst: Reached) -> str:
    sent, connected = steps[0].number, steps[-1].number
    text = _("Of %(sent)s invited, %(connected)s are connected (%(share)d %%).") % {
        "sent": f"{sent:,}",
        "connected": f"{connected:,}",
        "share": round(100 * connected / sent) if sent else 0,
    }
    if not worst.stopped:
        return text
    most = _("Most of the others %(why)s: %(number)s.") % {
        "why": _(worst.why),
        "number": f"{worst.stopped:,}",
    }
    return f"{text} {most}"


def _durations(found: Overview, weeks: Sequence[date]) -> dict[str, Any]:
    histogram = found.histogram(weeks)
    parts = reading.in_parts(histogram)
    most = max(number for _label, number in parts)
    says = _("Half of them took %(half)s at most, nine of ten %(nine)s.") % {
        "half": _span(reading.quantile(histogram, 0.5)),
        "nine": _span(reading.quantile(histogram, 0.9)),
    }
    return {
        "parts": [
            Part(_(label), number, charts.share(number, most, width=BAR)) for label, number in parts
        ],
        "connected": sum(histogram.values()),
        "durations_say": says,
    }


def _span(seconds: float | None) -> str:
    """A duration as people say it."""
    if seconds is None:
        return _("more than two weeks")
    if seconds < MINUTE:
        return _("%(number)d s") % {"number": round(seconds)}
    if seconds < HOUR:
        return _("%(number)d min") % {"number": round(seconds / MINUTE)}
    if seconds < DAY:
        return _("%(number)d h") % {"number": round(seconds / HOUR)}
    days = round(seconds / DAY)
    return ngettext("%(number)d day", "%(number)d days", days) % {"number": days}
