"""Waiting for something to become true, with a limit, instead of sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], *, what: str, limit: float = 60.0) -> Found:
    """Ask again and again until the answer is true.

    :param condition: asked at once, then after growing pauses
    :param what: what is waited for, for the message
    :param limit: seconds
    :return: the answer
    :raise AssertionError: at the limit, with the last answer
    """
    deadline = time.monotonic() + limit
    pause = FIRST_PAUSE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {limit:g} s; the last answer was {found!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
