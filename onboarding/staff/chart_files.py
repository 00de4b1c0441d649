"""The figures behind the overview's pictures, as tables for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from enum import StrEnum

from onboarding.i18n import gettext as _
from onboarding.staff import csv
from onboarding.staff.overview import SHOWN, Overview, Step, in_parts, weeks_until
from onboarding.staff.words import Area

Row = Sequence[str]


class Chart(StrEnum):
    """What there is a file of; the names are part of its address."""

    NOW = "now"
    HEALTH = "health"
    FUNNEL = "funnel"
    DURATIONS = "durations"


def lines(chart: Chart, found: Overview, *, today: date) -> Iterator[str]:
    """The file, in parts.

    A line a day or a week, the oldest first; all weeks that are kept, whichever the page shows:
    a week's growers may be summed with another's.
    """
    weeks = sorted(weeks_until(today))
    match chart:
        case Chart.NOW:
            return csv.lines(("turn", "status", "status_text", "connections"), _now(found))
        case Chart.HEALTH:
            return csv.lines(("day", *Area), _health(found))
        case Chart.FUNNEL:
            return csv.lines(("week", *Step), _funnel(found, weeks))
        case Chart.DURATIONS:
            names = [f"up_to_{seconds}_s" for seconds, _label in SHOWN]
            return csv.lines(("week", *names, "longer"), _durations(found, weeks))


def _now(found: Overview) -> Iterator[Row]:
    for line in sorted(found.lines, key=lambda one: (one.turn, -one.number, one.code)):
        yield line.turn.value, line.code, _(line.words.label), str(line.number)


def _health(found: Overview) -> Iterator[Row]:
    for day in sorted(found.health):
        yield day.isoformat(), *(str(found.health[day].get(area, 0)) for area in Area)


def _funnel(found: Overview, weeks: Sequence[date]) -> Iterator[Row]:
    for week in weeks:
        reached = found.funnel.get(week, {})
        yield week.isoformat(), *(str(reached.get(step, 0)) for step in Step)


def _durations(found: Overview, weeks: Sequence[date]) -> Iterator[Row]:
    for week in weeks:
        yield (
            week.isoformat(),
            *(str(number) for _label, number in in_parts(found.histogram([week]))),
        )
