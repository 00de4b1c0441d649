"""Watching: a worker's checks, many at a time.

One thread claims what is due and writes answers down, both in batches; others ask Leaf. Checks
that somebody waits for have threads of their own, so that none of them waits behind the rest.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import OperationalError, TimeoutError

from onboarding.connections import checks, leaf_events, pace, trouble
from onboarding.connections.health import Answer
from onboarding.connections.owed import CHECK_LEASE
from onboarding.connections.pace import NotNow, Rank, Turns
from onboarding.db import Database
from onboarding.leaf import Leaf
from onboarding.models import Connection
from onboarding.states import Urgency

LOOKS = 4
"""Threads for checks that somebody waits for."""
OTHERS = 16
"""Threads for all others: at the usual limit, 7 a second, Leaf may take two seconds for each."""
WAITING = 2
"""Claimed for each thread at most: one that is asked and one that comes next."""
CLAIMED_AT_ONCE = 8
"""At least, while there is more to do: each claim is a transaction."""
POLLING_SECONDS = 0.25
RENEWED_AFTER = CHECK_LEASE.total_seconds() / 3
PAUSE_AFTER_AN_ERROR = 1.0
DATABASE_IS_AWAY = (OperationalError, TimeoutError)
"""Passes, and is nothing that a check could be blamed for."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Done:
    """What came of a claim; neither: it was not asked."""

    connection: Connection
    answer: Answer | None = None
    broke_off: bool = False


@dataclass
class _Claimed:
    connection: Connection
    urgency: Urgency
    renew_at: float


class Watch:
    """Checks what is due until it is told to stop."""

    def __init__(
        self,
        database: Database,
        leaf: Leaf,
        turns: Turns,
        *,
        told_after: timedelta = trouble.TOLD_AFTER,
    ) -> None:
        """
        :param leaf: a client, whatever turns it takes
        :param told_after: how long a pause at John Deere lasts before people are told of it
        """
        self._database = database
        self._turns = turns
        self._told_after = told_after
        self._leaf = leaf
        self._pools = {
            True: ThreadPoolExecutor(LOOKS, thread_name_prefix="look"),
            False: ThreadPoolExecutor(OTHERS, thread_name_prefix="check"),
        }
        self._clients = {
            True: leaf.with_turn(turns.of(Rank.LOOK)),
            False: leaf.with_turn(turns.of(Rank.ROUTINE)),
        }
        self._claimed: dict[tuple[UUID, int], _Claimed] = {}
        self._done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._claim_at = 0.0
        self._trying: Future[None] | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Check until `stop`, and then finish what is being asked."""
        while not self._stopping.is_set() or self._claimed:
            try:
                self._note(self._finished())
                self._renew()
                if not self._stopping.is_set():
                    self._claim()
            except Exception:
                # This thread's end would be the end of all checks. What was claimed comes again.
                log.exception("Checks could not be claimed or written down")
                time.sleep(PAUSE_AFTER_AN_ERROR)

    def stop(self) -> None:
        """Claim nothing any more. What has not been asked yet is given back."""
        self._stopping.set()

    def _claim(self) -> None:
        if time.monotonic() < self._claim_at:
            return
        looks = sum(one.urgency is Urgency.LOOK for one in self._claimed.values())
        room = {
            True: LOOKS * WAITING - looks,
            False: OTHERS * WAITING - (len(self._claimed) - looks),
        }
        if room[False] < CLAIMED_AT_ONCE and room[True] < LOOKS:
            return
        self._claim_at = time.monotonic() + POLLING_SECONDS
        with self._database.reading() as session:
            word = pace.word(session)
            if word.is_closed:
                self._try(word)
                return
            if not checks.is_any_due(session):
                return
        found = checks.claim(
            self._database,
            looks=room[True],
            others=room[False] if room[False] >= CLAIMED_AT_ONCE else 0,
        )
        if len(found) >= CLAIMED_AT_ONCE:
            self._claim_at = 0.0  # there may be more
        for connection in found:
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        urgency = Urgency(connection.check_urgency)
        self._claimed[connection.id, connection.check_number] = _Claimed(
            connection, urgency, time.monotonic() + RENEWED_AFTER
        )
        self._pools[urgency is Urgency.LOOK].submit(self._ask, connection, urgency is Urgency.LOOK)

    def _ask(self, connection: Connection, is_look: bool) -> None:
        """What a thread does with a claim: the end of it is always known."""
        if self._stopping.is_set():
            self._done.put(_Done(connection))
            return
        try:
            done = _Done(connection, checks.ask(self._clients[is_look], connection))
        except (NotNow, *DATABASE_IS_AWAY):
            done = _Done(connection)
        except Exception:
            # Else nobody would hear how it ended, and the claim would be renewed for ever.
            log.exception("A check of %s ended with an error", connection.reference)
            done = _Done(connection, broke_off=True)
        self._done.put(done)

    def _finished(self) -> list[_Done]:
        """All that has been asked by now; the first is waited for a moment."""
        found: list[_Done] = []
        with suppress(queue.Empty):
            found.append(self._done.get(timeout=POLLING_SECONDS))
            while True:
                found.append(self._done.get_nowait())
        return found

    def _note(self, found: Sequence[_Done]) -> None:
        for done in found:
            # First of all: what can't be written down now comes again when its lease has ended.
            del self._claimed[done.connection.id, done.connection.check_number]
        as_before, back = [], []
        for done in found:
            connection = done.connection
            if done.broke_off:
                self._put_off(connection)
            elif done.answer is None:
                back.append(connection)
            elif checks.brings_nothing_new(connection, done.answer):
                as_before.append(connection)
            else:
                self._note_one(connection, done.answer)
        checks.note_nothing_new(self._database, as_before)
        checks.give_back(self._database, back)
        for connection in as_before:
            self._look_at_events(connection)

    def _note_one(self, connection: Connection, answer: Answer) -> None:
        try:
            current = checks.note(self._database, connection, answer, told_after=self._told_after)
        except DATABASE_IS_AWAY:
            raise
        except Exception:
            # No answer, however odd, keeps those of the others from being written down.
            log.exception("What Leaf said of %s can't be written down", connection.reference)
            self._put_off(connection)
        else:
            self._look_at_events(current)

    def _look_at_events(self, connection: Connection) -> None:
        """Let Leaf's events be copied if it is time, with the threads that nobody waits for."""
        if leaf_events.is_due(connection) and not self._stopping.is_set():
            self._pools[False].submit(self._copy_events, connection)

    def _copy_events(self, connection: Connection) -> None:
        try:
            leaf_events.try_to_copy(self._database, self._clients[False], connection.id)
        except NotNow:
            log.debug("Leaf's events of %s come with the next check", connection.reference)
        except Exception:
            # The check itself is written down; copies are made again with the next one.
            log.exception("Leaf's events of %s can't be copied", connection.reference)

    def _put_off(self, connection: Connection) -> None:
        checks.put_off(self._database, connection.id, number=connection.check_number)

    def _renew(self) -> None:
        moment = time.monotonic()
        old = [one for one in self._claimed.values() if one.renew_at <= moment]
        checks.renew(self._database, [one.connection for one in old])
        for one in old:
            one.renew_at = moment + RENEWED_AFTER

    def _try(self, word: pace.Word) -> None:
        """If Leaf is down, see whether it is back, in a thread that has nothing else to do."""
        if word.down_since is None or (self._trying is not None and not self._trying.done()):
            return
        self._trying = self._pools[True].submit(self._try_leaf)

    def _try_leaf(self) -> None:
        try:
            self._turns.try_leaf(self._leaf)
        except Exception:
            # A pool's thread would keep it to itself; the next round tries again.
            log.exception("It can't be seen whether Leaf is back")
