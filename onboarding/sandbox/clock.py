"""The clock of the sandbox, and with it that of the app: the one place that moves it."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from onboarding import clock
from onboarding.errors import InputInvalid, SettingsInvalid

FARTHEST = timedelta(days=3650)
"""From the real time, in all."""
BACK = "Forget everything puts it back to the real time."


class Clock:
    """The file that every process follows; see `onboarding.clock`."""

    def __init__(self, file: Path | None) -> None:
        """
        :param file: made if it is not there; None: the clock can't be moved
        :raise SettingsInvalid: if it can't be written, or is something else
        """
        self._file = file
        self._lock = threading.Lock()
        clock.follow(file)
        if file is not None and not file.exists():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._write(0)
            except OSError as err:
                raise SettingsInvalid(
                    f"SANDBOX_CLOCK: {file} can't be written ({err.strerror})"
                ) from err

    @property
    def can_move(self) -> bool:
        """Whether it was told of a file."""
        return self._file is not None

    def shown(self) -> dict[str, Any]:
        """As JSON: `{"now": "2026-11-26T12:00:00+00:00", "seconds_ahead": 0}`."""
        ahead = int(clock.ahead().total_seconds())
        return {"now": clock.now().isoformat(timespec="seconds"), "seconds_ahead": ahead}

    def move(self, seconds: Any) -> None:
        """Go ahead by so many seconds, for every process at once.

        :raise InputInvalid: if that is no such number, or goes back or too far, or if the app
            would not follow
        """
        if type(seconds) is not int:
            raise InputInvalid("seconds is a whole number: how far the clock goes ahead.")
        if seconds < 0:
            raise InputInvalid(f"The clock only goes ahead, never back. {BACK}")
        if self._file is None:
            raise InputInvalid(
                "The clock can't be moved: set SANDBOX_CLOCK to the same file for the sandbox and "
                "for every process of the app. `make run` does."
            )
        with self._lock:
            ahead = int(clock.ahead().total_seconds()) + seconds
            if ahead > FARTHEST.total_seconds():
                raise InputInvalid(
                    f"The clock goes at most {FARTHEST.days} days ahead of the real time. {BACK}"
                )
            self._write(ahead)

    def reset(self) -> None:
        """Back to the real time."""
        if self._file is not None:
            with self._lock:
                self._write(0)

    def _write(self, ahead: int) -> None:
        """Put another file in its place: whoever reads it finds the old one or the new one."""
        file = self._file
        if file is None:
            return
        half_made = file.with_name(f"{file.name}.new")
        half_made.write_text(f"{ahead}\n")
        # The kernel's own stamps are too coarse to tell two moves at once apart.
        stamp = time.time_ns()
        os.utime(half_made, ns=(stamp, stamp))
        half_made.replace(file)
