"""How the connections were on each day until today, as the worker would have counted them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, timedelta
from uuid import UUID

from onboarding.local.world.life import SPAN, Life
from onboarding.local.world.making import World
from onboarding.models import Event, Figure
from onboarding.states import FigureKind, Health

NOT_STARTED, ON_THE_WAY, WORKS, PAUSED = "not_started", "on_the_way", "works", "paused"
GROWER, STAFF, ENDED = "grower", "staff", "ended"
SAID = {
    Health.OK.value: WORKS,
    Health.TEMPORARILY_UNAVAILABLE.value: PAUSED,
    Health.UNAUTHENTICATED.value: GROWER,
    Health.MISSING_PERMISSION.value: GROWER,
}
FOLLOWS = {
    "attempt_application_refused": STAFF,
    "attempt_no_refresh_token": STAFF,
    "token_received": ON_THE_WAY,
    "handed_over": GROWER,
    "hand_over_failed": STAFF,
    "disconnect_asked": ENDED,
}
"""How it is after this has happened; a hand-over is followed by the choice of organizations."""


def health(world: World) -> list[Figure]:
    """The figures of the days before today: how many were how, of each partner."""
    today = world.moment.astimezone(UTC).date()
    counted: Counter[tuple[date, UUID, str]] = Counter()
    for life in world.lives:
        for day, state in _by_day(life, today):
            counted[day, life.grower.partner_id, state] += 1
    return [
        Figure(kind=FigureKind.HEALTH, day=day, partner_id=partner, key=key, number=number)
        for (day, partner, key), number in counted.items()
    ]


def _by_day(life: Life, today: date) -> Iterator[tuple[date, str]]:
    changes = sorted(life.events, key=lambda event: event.at)
    day = max(life.born.astimezone(UTC).date(), today - SPAN + timedelta(days=1))
    state, place = NOT_STARTED, 0
    while day < today:
        while place < len(changes) and changes[place].at.astimezone(UTC).date() <= day:
            state, place = _after(changes[place], state), place + 1
        yield day, state
        day += timedelta(days=1)


def _after(event: Event, state: str) -> str:
    if event.kind == "status_changed":
        return SAID.get(event.data["text"], GROWER if not event.data["text"] else STAFF)
    if event.kind in FOLLOWS:
        return FOLLOWS[event.kind]
    is_failure = event.kind.startswith("attempt_") and event.kind != "attempt_started"
    return GROWER if is_failure and state == NOT_STARTED else state
