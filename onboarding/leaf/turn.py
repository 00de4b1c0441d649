"""Turns: who asks Leaf waits for one before each request, and says afterwards what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from onboarding.errors import UpstreamError


class Turn(Protocol):
    """Where turns come from. Any number of threads may share it."""

    def before(self, *, for_all: bool = False) -> None:
        """Return when a request may be sent, and raise if none may for some time.

        :param for_all: what it brings is what others wait for, too, as a sign-in
        """

    def after(self, failure: UpstreamError | None) -> None:
        """Hear what came of the request; None: an answer."""


class AtOnce:
    """No waiting: for the few requests of a command that a person has given."""

    def before(self, *, for_all: bool = False) -> None:
        """The turn is there."""

    def after(self, failure: UpstreamError | None) -> None:
        """Nobody wants to know."""


@contextmanager
def taking(turn: Turn) -> Iterator[None]:
    """One request: waits before it, and tells the turn what came of it."""
    turn.before()
    try:
        yield
    except UpstreamError as err:
        turn.after(err)
        raise
    turn.after(None)
