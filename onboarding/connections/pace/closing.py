"""When nobody may ask: for a while after a 429, and while Leaf is down. All of it in the row.

A row of failures, of whatever workers, means that Leaf is down; one request that is answered ends
it, which some worker tries after ever longer pauses.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from onboarding.errors import UpstreamUnavailable
from onboarding.models import Pace

KNOWN_FOR = 1.0
"""Seconds after which a process asks again whether the others have found Leaf to answer."""
FAILURES_OF_AN_OUTAGE = 10
FAILURES_FORGOTTEN = timedelta(minutes=2)
"""Failures further apart are not of one outage."""
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=1)
"""Between two tries whether Leaf is back."""
LONGEST_PAUSE_AFTER_429 = timedelta(minutes=15)
"""Where Leaf does not say for how long; four requests an hour are no burden."""
LONGEST_ASKED_FOR = timedelta(hours=1)
"""A longer pause that Leaf asks for may be a mistake: by then one request finds out."""
TRY_LASTS = timedelta(seconds=90)
"""When another worker tries: sign-in and request take 70 seconds at most."""


def closed_for(row: Pace, moment: datetime) -> float:
    """Seconds for which nobody may ask; while Leaf is down there is no knowing, but some."""
    left = 0.0
    if row.closed_until is not None:
        left = (row.closed_until - moment).total_seconds()
        # A clock that was put back must not close it for hours.
        left = max(min(left, LONGEST_ASKED_FOR.total_seconds()), 0.0)
    return left if row.down_since is None else max(left, KNOWN_FOR)


def note_answer(row: Pace) -> None:
    """Leaf answers; what was on its way when it went down decides nothing."""
    if row.down_since is None:
        row.failures = 0


def note_limit(row: Pace, moment: datetime, failure: UpstreamUnavailable) -> bool:
    """Leaf said 429: nobody asks for as long as it wants, or for growing pauses.

    :return: whether that is news, and not one more of the same moment
    """
    asked = min(timedelta(seconds=failure.retry_after or 0), LONGEST_ASKED_FOR)
    is_new = row.closed_until is None or row.closed_until <= moment
    if is_new:
        # Leaf counts by the minute: one without a 429 says that all is well again.
        well = row.closed_until is None or moment - row.closed_until > timedelta(minutes=1)
        row.pauses = 1 if well else row.pauses + 1
        row.closed_until = moment + _growing(row.pauses, LONGEST_PAUSE_AFTER_429)
    if failure.retry_after is not None:
        least = moment + max(asked, timedelta(seconds=1))
        row.closed_until = least if is_new else max(row.closed_until or least, least)
    row.reason = str(failure)
    return is_new


def note_failure(row: Pace, moment: datetime, failure: UpstreamUnavailable) -> bool:
    """Leaf did not answer, or not as it should.

    :return: whether it counts as down from now on
    """
    of_now = row.failed_at is not None and moment - row.failed_at < FAILURES_FORGOTTEN
    row.failures = row.failures + 1 if of_now else 1
    row.failed_at = moment
    if row.failures < FAILURES_OF_AN_OUTAGE:
        return False
    row.down_since = moment
    row.pauses = 1
    asked = timedelta(seconds=failure.retry_after or 0)
    pause = min(max(_growing(row.pauses, LONGEST_PAUSE), asked), LONGEST_PAUSE)
    row.closed_until = moment + pause
    row.reason = str(failure)
    return True


def is_to_be_tried(row: Pace, moment: datetime) -> bool:
    """Whether Leaf is down, and it is time to see whether it is back."""
    return row.down_since is not None and (row.closed_until or moment) <= moment


def note_try(row: Pace, moment: datetime) -> None:
    """One worker tries now; no other does meanwhile."""
    row.closed_until = moment + TRY_LASTS


def note_still_down(row: Pace, moment: datetime, failure: UpstreamUnavailable) -> None:
    """The try was in vain; the next one comes later."""
    row.pauses += 1
    row.closed_until = moment + _growing(row.pauses, LONGEST_PAUSE)
    row.reason = str(failure)


def note_back(row: Pace) -> datetime | None:
    """Leaf answers again.

    :return: since when it had been down
    """
    since = row.down_since
    row.down_since = row.closed_until = None
    row.failures = row.pauses = 0
    row.reason = ""
    return since


def _growing(pauses: int, longest: timedelta) -> timedelta:
    """The first pause, then twice as long each time."""
    return min(FIRST_PAUSE * (1 << min(pauses - 1, 16)), longest)
