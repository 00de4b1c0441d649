"""Turns of one process: leased from the row, shared among its threads."""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import count

from onboarding.connections.pace import closing
from onboarding.connections.pace.row import MINUTE, SERVICE, locked, moment_of, note_used
from onboarding.db import Database
from onboarding.errors import OnboardingError, UpstreamError, UpstreamUnavailable
from onboarding.leaf import Leaf, Turn
from onboarding.models import Pace

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
        self._interval = (MINUTE.total_seconds() + SLACK) / per_minute
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
                note_used(*locked(session), used)

    def try_leaf(self, leaf: Leaf) -> None:
        """If Leaf is down and it is time, ask for something small: that decides for all."""
        with self._database.reading() as session:
            known = session.get(Pace, SERVICE)
            if known is None or not closing.is_to_be_tried(known, moment_of(session)):
                return
        with self._database.transaction() as session:
            row, moment = locked(session)
            if not closing.is_to_be_tried(row, moment):
                return  # another worker does
            closing.note_try(row, moment)
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
            row, moment = locked(session)
            note_used(row, moment, self._used)
            self._used = 0
            self._failures = row.failures
            closed = closing.closed_for(row, moment)
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
                believed_until=moment + closing.KNOWN_FOR,
                is_down=row.down_since is not None,
                reason=row.reason,
            )
            self._left = 0

    def _note_answer(self) -> None:
        self._failures = 0
        with self._database.transaction() as session:
            row, _ = locked(session)
            closing.note_answer(row)

    def _note_limit(self, failure: UpstreamUnavailable) -> None:
        with self._database.transaction() as session:
            row, moment = locked(session)
            if row.down_since is not None:
                return
            is_new = closing.note_limit(row, moment, failure)
            closed = closing.closed_for(row, moment)
        if is_new:
            log.warning("Leaf's limit is reached, nobody asks for %.0f s: %s", closed, failure)
        with self._lock:
            self._close(row, closed)

    def _note_failure(self, failure: UpstreamUnavailable) -> None:
        with self._database.transaction() as session:
            row, moment = locked(session)
            if row.down_since is not None:
                return
            is_down = closing.note_failure(row, moment, failure)
            failures, closed = row.failures, closing.closed_for(row, moment)
        if is_down:
            log.error("Leaf is down, nobody asks it: %d failures in a row, %s", failures, failure)
        with self._lock:
            self._failures = failures
            self._close(row, closed)

    def _note_still_down(self, failure: UpstreamUnavailable) -> None:
        with self._database.transaction() as session:
            closing.note_still_down(*locked(session), failure)
        log.warning("Leaf is still down: %s", failure)

    def _note_back(self) -> None:
        with self._database.transaction() as session:
            row, moment = locked(session)
            since = closing.note_back(row)
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
