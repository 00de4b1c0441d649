"""The current time, in one place.

It is the machine's. Only in the sandbox may it stand ahead: by as many seconds as a file holds that
the sandbox alone writes (`sandbox/clock.py`). Every process looks at that file whenever it asks for
the time, so that all of them move at once and together.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onboarding.errors import SettingsInvalid

Stamp = tuple[int, int]
"""Of a file: another one has another."""
NO_STAMP: Stamp = (0, 0)
NONE = timedelta(0)
UNREADABLE = (OSError, ValueError, OverflowError)


def now() -> datetime:
    """The current moment in UTC."""
    followed = _followed
    return datetime.now(UTC) if followed is None else datetime.now(UTC) + followed.ahead()


def seconds() -> float:
    """The current moment in seconds since 1970."""
    return time.time() + ahead().total_seconds()


def real() -> datetime:
    """The machine's own time in UTC, wherever the sandbox's clock stands.

    For what happens between processes at this very moment, and beside what others have written down
    who know no other time: heartbeats, turns at Leaf, the queue's rows.
    """
    return datetime.now(UTC)


def written(moment: datetime) -> str:
    """A moment as partners' programs read it everywhere: RFC 3339, in UTC, with a `Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def as_shown(moment: datetime) -> datetime:
    """A moment of the machine's own time as people read it, beside moments of `now`."""
    return moment + ahead()


def ahead() -> timedelta:
    """How far the clock stands before the machine's; in production not at all."""
    followed = _followed
    return NONE if followed is None else followed.ahead()


def follow(file: Path | None) -> None:
    """Let this process's clock stand ahead by the seconds in a file; while there is none, by none.

    :param file: None: the clock is the machine's
    :raise SettingsInvalid: if there is something else in it
    """
    global _followed
    if file is None:
        _followed = None
        return
    try:
        _followed = _Followed(file)
    except UNREADABLE as err:
        raise SettingsInvalid(
            f"SANDBOX_CLOCK: {file} is no clock of a sandbox, or can't be read. Delete it, and the "
            "clock shows the real time."
        ) from err


@dataclass(frozen=True)
class Span:
    """A time within which something holds, in seconds since 1970.

    Both ends count: for a clock that was put back, what began later has not begun.
    """

    begin: float = 0.0
    end: float = 0.0

    def holds(self, moment: float) -> bool:
        """Whether a moment is within it."""
        return self.begin <= moment < self.end


class _Followed:
    """What a file holds, read anew when it is another one."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self._reading = threading.Lock()
        self._known = self._read()

    def ahead(self) -> timedelta:
        known = self._known
        # Whoever asks for the time has no use for an error: then it is as it was known.
        with suppress(*UNREADABLE):
            if self._stamp() == known[0]:
                return known[1]
            # One at a time: a thread held up with an older content would put the clock back.
            with self._reading:
                self._known = self._read()
        return self._known[1]

    def _stamp(self) -> Stamp:
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            return NO_STAMP
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> tuple[Stamp, timedelta]:
        """The stamp is the older of the two: if another file comes between, it is read again."""
        stamp = self._stamp()
        if stamp == NO_STAMP:
            return stamp, NONE
        return stamp, timedelta(seconds=int(Path(self._file).read_text()))


_followed: _Followed | None = None
