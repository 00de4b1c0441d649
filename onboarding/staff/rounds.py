"""What the worker does for staff who asked for much at once: a part of each kind in turn."""

from __future__ import annotations

import logging
import threading

from onboarding.db import Database
from onboarding.settings import Settings
from onboarding.staff.bulk import work as bulk
from onboarding.staff.imports import work as imports

STEPS = (imports.step, bulk.step)
POLLING_SECONDS = 1.0
PAUSE_AFTER_AN_ERROR = 5.0
GAP_SECONDS = 0.1
"""SQLite's writers look every 0.1 seconds whether it is their turn; without a gap it never is."""

log = logging.getLogger(__name__)


class Rounds:
    """Works on what is due until it is told to stop."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._gap = GAP_SECONDS if database.engine.dialect.name == "sqlite" else 0.0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until `stop`; the part that is being worked on is finished."""
        while not self._stopping.is_set():
            self._stopping.wait(self.round())

    def stop(self) -> None:
        """Begin no part any more."""
        self._stopping.set()

    def round(self) -> float:
        """One part of each kind.

        :return: how many seconds to wait for the next
        """
        pause = POLLING_SECONDS
        for step in STEPS:
            try:
                if step(self._database, self._settings):
                    pause = self._gap
            except Exception:
                # This thread's end would be the end of all such work. The part comes again.
                log.exception("Work for staff broke off")
                return PAUSE_AFTER_AN_ERROR
            if self._stopping.is_set():
                break
        return pause
