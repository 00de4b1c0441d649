"""What can be done with a connection as it is, and whether it is about to change by itself."""

from __future__ import annotations

from dataclasses import dataclass

from onboarding.describe import Told
from onboarding.models import Connection
from onboarding.states import Stage

UNDER_WAY = frozenset({Stage.HANDING_OVER, Stage.DISCONNECTING})


@dataclass(frozen=True)
class Can:
    """What may be done."""

    recheck: bool
    retry: bool
    end: bool


def can(connection: Connection) -> Can:
    """What may be done with it; a new link may be made of any."""
    has_failed = connection.stage is Stage.FAILED and connection.refresh_token is not None
    is_waiting = connection.stage in UNDER_WAY and connection.waiting_since is not None
    return Can(
        recheck=connection.is_at_leaf and connection.check_due_at is not None,
        retry=has_failed or is_waiting,
        end=connection.can_be_disconnected,
    )


def next_step(connection: Connection, told: Told) -> str:
    """What staff do first: `retry`, `link`, `recheck` or nothing."""
    may = can(connection)
    if told.who == "grower":
        return "link"
    if may.retry:
        return "retry"
    return "recheck" if may.recheck else ""


def is_moving(connection: Connection, told: Told) -> bool:
    """Whether the page is likely to be another one in a few seconds."""
    return (
        connection.is_being_looked_at
        or connection.is_about_to_change
        or (connection.stage in UNDER_WAY and told.who == "nobody")
    )
