"""When Leaf may be asked: one pace, and one word on whether it is down, for all workers together.

Every request takes a turn. Turns are spread evenly over the minute; a process leases those of the
next half second from a row of the database and shares them among its threads. Turns that are not
used in time are lost, not saved: no minute, wherever it begins, sees more than the limit.

Hand-overs come first, then checks that somebody waits for, then all others.

Leaf's 429 stops everybody for a while. So does a row of failures: then Leaf is down until one
request, which some worker tries after ever longer pauses, finds that it answers.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from itertools import count

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import as_shown, real
from onboarding.db import Database
from onboarding.errors import OnboardingError, UpstreamError, UpstreamUnavailable
from onboarding.leaf import Leaf, Turn
from onboarding.models import Pace

SERVICE = "Leaf"
MINUTE = 60.0
A_MINUTE = timedelta(seconds=MINUTE)
SLACK = 1.5
"""Seconds by which requests may arrive later than planned, one more and one less, and a minute
still sees no more than the limit; what it costs is 2.4 % of the pace."""
LATE = 0.5
"""Seconds after which a turn is lost: who missed it (a machine that slept) takes a later one."""
LEASE = 0.5
"""Seconds for which a process leases turns at once."""
HAND_OVERS_WAIT = 0.5
"""Seconds that hand-overs may have to wait for their turns before all checks stand back."""
CHECKS_STAND_BACK = 1.0
"""Seconds for which they do; the next lease for hand-overs may ask again."""
SHORT = 5.0
"""Seconds that a hand-over waits for its turn while nobody may ask; else it becomes a state."""
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
TOO_MANY = 429

log = logging.getLogger(__name__)


class Rank(IntEnum):
    """Whose turn comes first."""

    HAND_OVER = 0
    LOOK = 1
    """A check that somebody waits for."""
    ROUTINE = 2


class NotNow(OnboardingError):
    """Nothing was sent: Leaf is not to be asked at this moment, and what was asked for can wait."""


@dataclass(frozen=True)
class _Closed:
    """Nobody may ask; in seconds of this process's clock."""

    until: float
    believed_until: float
    """Then the others may know better."""
    is_down: bool
    reason: str


@dataclass(frozen=True)
class Word:
    """What all workers together know of Leaf."""

    down_since: datetime | None = None
    paused_until: datetime | None = None
    """Leaf said 429: nobody asks before this."""
    reason: str = ""

    @property
    def is_closed(self) -> bool:
        """Whether nobody may ask now."""
        return self.down_since is not None or self.paused_until is not None


class Turns:
    """The turns of this process. Any number of threads may share it."""

    def __init__(
        self,
        database: Database,
        *,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param per_minute: requests, over all workers
        :param clock: seconds that only go forward
        """
        self._database = database
        self._interval = (MINUTE + SLACK) / per_minute
        self._lease_size = max(1, int(LEASE / self._interval))
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = count()
        self._queue: list[tuple[Rank, int, threading.Condition]] = []
        self._next = 0.0
        """When the first of the leased turns is."""
        self._left = 0
        self._closed: _Closed | None = None
        self._failures = 0
        """In a row, as far as this process knows."""
        self._used = 0
        """Turns that were taken since the others were told."""

    def of(self, rank: Rank) -> Turn:
        """What a client of Leaf takes its turns from."""
        return _Ranked(self, rank)

    def take(self, rank: Rank, *, can_wait: bool, trying: bool = False) -> None:
        """Wait for a turn. What it is for is to be sent at once.

        :param can_wait: for another day, if nobody may ask now
        :param trying: whether Leaf is back: the turn comes although nobody else may ask
        :raise NotNow: nobody may ask now, and it can wait
        :raise UpstreamUnavailable: nobody may ask now, and not for some time
        """
        with self._lock:
            place = (rank, next(self._numbers), threading.Condition(self._lock))
            heapq.heappush(self._queue, place)
            try:
                while pause := self._pause(place, can_wait=can_wait, trying=trying):
                    place[2].wait(pause if math.isfinite(pause) else None)
            finally:
                self._queue.remove(place)
                heapq.heapify(self._queue)
                if self._queue:
                    self._queue[0][2].notify()

    def tell(self, failure: UpstreamError | None) -> None:
        """Say what came of a request.

        :param failure: None if it was answered
        """
        if not isinstance(failure, UpstreamUnavailable):
            if self._failures:
                self._note_answer()
        elif failure.status == TOO_MANY:
            self._note_limit(failure)
        else:
            self._note_failure(failure)

    def report(self) -> None:
        """Let the others know how many requests were sent; the next lease does so, too."""
        with self._lock:
            used, self._used = self._used, 0
        if used:
            with self._database.transaction() as session:
                _note_used(*_row(session), used)

    def try_leaf(self, leaf: Leaf) -> None:
        """If Leaf is down and it is time, ask for something small: that decides for all."""
        with self._database.reading() as session:
            known = session.get(Pace, SERVICE)
            if known is None or not _is_to_be_tried(known, _moment(session)):
                return
        with self._database.transaction() as session:
            row, moment = _row(session)
            if not _is_to_be_tried(row, moment):
                return  # another worker does
            row.closed_until = moment + TRY_LASTS
        try:
            leaf.with_turn(_Trying(self)).look()
        except UpstreamUnavailable as err:
            self._note_still_down(err)
        except UpstreamError:
            self._note_back()  # what refuses is there
        else:
            self._note_back()

    def _pause(
        self, place: tuple[Rank, int, threading.Condition], *, can_wait: bool, trying: bool
    ) -> float:
        """Seconds until it is worth asking again; 0: the turn is there, and taken."""
        if self._queue[0] is not place:
            return math.inf  # whoever is before will say
        if not trying and (pause := self._closed_for(can_wait=can_wait)):
            return pause
        self._lose_what_is_late()
        if not self._left:
            pause = self._lease(place[0], trying=trying)
            return pause or self._pause(place, can_wait=can_wait, trying=trying)
        pause = self._next - self._clock()
        if pause > 0:
            return pause
        self._left -= 1
        self._next += self._interval
        self._used += 1
        return 0

    def _closed_for(self, *, can_wait: bool) -> float:
        """Seconds for which nobody may ask; 0: none, as far as this process knows.

        :raise NotNow: as `take`
        :raise UpstreamUnavailable: as `take`
        """
        closed, moment = self._closed, self._clock()
        if closed is None or moment >= min(closed.until, closed.believed_until):
            self._closed = None
            return 0.0
        if can_wait:
            raise NotNow("Leaf is not asked now")
        left = closed.until - moment
        if closed.is_down or left > SHORT:
            raise UpstreamUnavailable(
                SERVICE,
                "wait for a turn",
                reason=f"nobody asks just now, since {closed.reason}",
                retry_after=None if closed.is_down else left,
            )
        return min(left, closed.believed_until - moment)

    def _lose_what_is_late(self) -> None:
        late = self._clock() - self._next
        if self._left and late > LATE:
            lost = min(self._left, math.ceil(late / self._interval))
            self._left -= lost
            self._next += lost * self._interval

    def _lease(self, rank: Rank, *, trying: bool) -> float:
        """Lease the next turns, or learn that nobody may ask.

        :return: the seconds until it is worth asking again
        """
        waiting = sum(place[0] is Rank.HAND_OVER for place in self._queue)
        with self._database.transaction() as session:
            row, moment = _row(session)
            _note_used(row, moment, self._used)
            self._used = 0
            self._failures = row.failures
            closed = _closed_for(row, moment)
            if closed and not trying:
                self._close(row, closed)
                return 0.0
            block = max(LEASE, self._interval)
            self._mend(row, moment, block)
            ahead = (row.next_at - moment).total_seconds()
            stand_back = 0.0
            if rank is not Rank.HAND_OVER and row.hand_overs_until is not None:
                stand_back = (row.hand_overs_until - moment).total_seconds()
            # Hand-overs of several workers queue up; checks never reach far ahead.
            horizon = block * (4 if rank is Rank.HAND_OVER else 1)
            pause = max(stand_back, ahead - horizon, 0.0)
            if pause:
                return pause
            starts_in = max(ahead, 0.0)
            row.next_at = moment + timedelta(seconds=starts_in + self._lease_size * self._interval)
            if waiting and starts_in + waiting * self._interval > HAND_OVERS_WAIT:
                row.hand_overs_until = moment + timedelta(seconds=CHECKS_STAND_BACK)
        # Looked at after the answer: turns may come a little later than they could, never earlier.
        self._next = self._clock() + starts_in
        self._left = self._lease_size
        return 0.0

    def _mend(self, row: Pace, moment: datetime, block: float) -> None:
        """A clock that was put back must not stop everybody: nothing honest lies so far ahead."""
        if row.next_at > moment + timedelta(seconds=6 * block):
            row.next_at = moment + timedelta(seconds=block)
        if row.hand_overs_until and row.hand_overs_until > moment + 2 * timedelta(
            seconds=CHECKS_STAND_BACK
        ):
            row.hand_overs_until = None

    def _close(self, row: Pace, seconds: float) -> None:
        """Note that nobody may ask for so long. What was leased is lost."""
        if seconds:
            moment = self._clock()
            self._closed = _Closed(
                until=moment + seconds,
                believed_until=moment + KNOWN_FOR,
                is_down=row.down_since is not None,
                reason=row.reason,
            )
            self._left = 0

    def _note_answer(self) -> None:
        self._failures = 0
        with self._database.transaction() as session:
            row, _ = _row(session)
            if row.down_since is None:  # else what was on its way before decides nothing
                row.failures = 0

    def _note_limit(self, failure: UpstreamUnavailable) -> None:
        with self._database.transaction() as session:
            row, moment = _row(session)
            if row.down_since is not None:
                return
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
            closed = _closed_for(row, moment)
        if is_new:
            log.warning("Leaf's limit is reached, nobody asks for %.0f s: %s", closed, failure)
        with self._lock:
            self._close(row, closed)

    def _note_failure(self, failure: UpstreamUnavailable) -> None:
        with self._database.transaction() as session:
            row, moment = _row(session)
            if row.down_since is not None:
                return
            of_now = row.failed_at is not None and moment - row.failed_at < FAILURES_FORGOTTEN
            row.failures = row.failures + 1 if of_now else 1
            row.failed_at = moment
            if is_down := row.failures >= FAILURES_OF_AN_OUTAGE:
                row.down_since = moment
                row.pauses = 1
                asked = timedelta(seconds=failure.retry_after or 0)
                pause = min(max(_growing(row.pauses, LONGEST_PAUSE), asked), LONGEST_PAUSE)
                row.closed_until = moment + pause
                row.reason = str(failure)
            failures, closed = row.failures, _closed_for(row, moment)
        if is_down:
            log.error("Leaf is down, nobody asks it: %d failures in a row, %s", failures, failure)
        with self._lock:
            self._failures = failures
            self._close(row, closed)

    def _note_still_down(self, failure: UpstreamUnavailable) -> None:
        with self._database.transaction() as session:
            row, moment = _row(session)
            row.pauses += 1
            row.closed_until = moment + _growing(row.pauses, LONGEST_PAUSE)
            row.reason = str(failure)
        log.warning("Leaf is still down: %s", failure)

    def _note_back(self) -> None:
        with self._database.transaction() as session:
            row, moment = _row(session)
            since = row.down_since
            row.down_since = row.closed_until = None
            row.failures = row.pauses = 0
            row.reason = ""
        with self._lock:
            self._closed = None
        if since is not None:
            log.warning("Leaf answers again, after %.0f s", (moment - since).total_seconds())


@dataclass(frozen=True)
class _Ranked:
    """The turns of one rank."""

    turns: Turns
    rank: Rank

    def before(self, *, for_all: bool = False) -> None:
        self.turns.take(
            Rank.HAND_OVER if for_all else self.rank, can_wait=self.rank is not Rank.HAND_OVER
        )

    def after(self, failure: UpstreamError | None) -> None:
        self.turns.tell(failure)


@dataclass(frozen=True)
class _Trying:
    """A try whether Leaf is back. What comes of its single requests is not told: only the end."""

    turns: Turns

    def before(self, *, for_all: bool = False) -> None:
        self.turns.take(Rank.HAND_OVER, can_wait=False, trying=True)

    def after(self, failure: UpstreamError | None) -> None:
        pass


def word(session: Session) -> Word:
    """What all workers together know of Leaf; its moments are as people read them."""
    return standing(session)[0]


def standing(session: Session) -> tuple[Word, int]:
    """The same, and about how many requests all workers sent in the last minute."""
    row = session.get(Pace, SERVICE)
    if row is None:
        return Word(), 0
    moment = _moment(session)
    used = _used_lately(row, moment)
    if row.down_since is not None:
        return Word(down_since=as_shown(row.down_since), reason=row.reason), used
    if row.closed_until is not None and row.closed_until > moment:
        return Word(paused_until=as_shown(row.closed_until), reason=row.reason), used
    return Word(), used


def _used_lately(row: Pace, moment: datetime) -> int:
    """Two minutes are counted, the present one and the one before.

    Of that one counts the part that is less than a minute ago.
    """
    if row.minute_at is None:
        return 0
    age = (moment - row.minute_at) / A_MINUTE
    if age < 1:
        return round(row.used + row.used_before * (1 - max(age, 0.0)))
    return round(row.used * max(2 - age, 0.0))


def outage(session: Session) -> Word:
    """Whether Leaf is down, and no more: one query."""
    down = sa.select(Pace).where(Pace.service == SERVICE, Pace.down_since.is_not(None))
    row = session.scalar(down)
    if row is None or row.down_since is None:
        return Word()
    return Word(down_since=as_shown(row.down_since), reason=row.reason)


def _row(session: Session) -> tuple[Pace, datetime]:
    """The row for writing, and the moment; whoever else wants it waits."""
    row = session.get(Pace, SERVICE, with_for_update=True)
    if row is None:
        with suppress(IntegrityError), session.begin_nested():
            session.add(Pace(service=SERVICE, next_at=datetime.fromtimestamp(0, UTC)))
        row = session.get_one(Pace, SERVICE, with_for_update=True, populate_existing=True)
    return row, _moment(session)


def _moment(session: Session) -> datetime:
    """Now, on the one clock that all workers share: the database's.

    With SQLite they share a machine and so its clock. Never the sandbox's, which may jump: a minute
    of Leaf's limit takes a minute.
    """
    if session.get_bind().dialect.name == "postgresql":
        return session.scalar(sa.select(sa.func.clock_timestamp())) or real()
    return real()


def _note_used(row: Pace, moment: datetime, used: int) -> None:
    """Count requests that were sent, into the minute of now."""
    age = None if row.minute_at is None else moment - row.minute_at
    if age is None or not timedelta(0) <= age < A_MINUTE:
        follows = age is not None and A_MINUTE <= age < 2 * A_MINUTE
        row.used_before = row.used if follows else 0
        row.minute_at = row.minute_at + A_MINUTE if row.minute_at and follows else moment
        row.used = 0
    row.used += used


def _is_to_be_tried(row: Pace, moment: datetime) -> bool:
    return row.down_since is not None and (row.closed_until or moment) <= moment


def _closed_for(row: Pace, moment: datetime) -> float:
    """Seconds for which nobody may ask; while Leaf is down there is no knowing, but some."""
    left = 0.0
    if row.closed_until is not None:
        left = (row.closed_until - moment).total_seconds()
        # A clock that was put back must not close it for hours.
        left = max(min(left, LONGEST_ASKED_FOR.total_seconds()), 0.0)
    return left if row.down_since is None else max(left, KNOWN_FOR)


def _growing(pauses: int, longest: timedelta) -> timedelta:
    """The first pause, then twice as long each time."""
    return min(FIRST_PAUSE * (1 << min(pauses - 1, 16)), longest)
