"""How often Leaf is asked: the limit of its one API owner."""

from __future__ import annotations

import threading
import time
from collections import deque

WINDOW_SECONDS = 60.0


class Pace:
    """The requests of the last minute. Forgotten in a restart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._admitted: deque[float] = deque()

    def admits(self, allowed: int) -> bool:
        """Whether one more may pass now; if so, it counts.

        :param allowed: how many in any minute
        """
        with self._lock:
            moment = time.monotonic()
            while self._admitted and self._admitted[0] <= moment - WINDOW_SECONDS:
                self._admitted.popleft()
            if len(self._admitted) >= allowed:
                return False
            self._admitted.append(moment)
            return True

    def reset(self) -> None:
        """As if nobody had asked yet."""
        with self._lock:
            self._admitted.clear()
