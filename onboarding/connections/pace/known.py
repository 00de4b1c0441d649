"""What all workers together know of Leaf, for who asks: the dashboard, the doctor, the watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import as_shown
from onboarding.connections.pace.row import SERVICE, moment_of, used_lately
from onboarding.models import Pace


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


def word(session: Session) -> Word:
    """What all workers together know of Leaf; its moments are as people read them."""
    return standing(session)[0]


def standing(session: Session) -> tuple[Word, int]:
    """The same, and about how many requests all workers sent in the last minute."""
    row = session.get(Pace, SERVICE)
    if row is None:
        return Word(), 0
    moment = moment_of(session)
    used = used_lately(row, moment)
    if row.down_since is not None:
        return Word(down_since=as_shown(row.down_since), reason=row.reason), used
    if row.closed_until is not None and row.closed_until > moment:
        return Word(paused_until=as_shown(row.closed_until), reason=row.reason), used
    return Word(), used


def outage(session: Session) -> Word:
    """Whether Leaf is down, and no more: one query."""
    down = sa.select(Pace).where(Pace.service == SERVICE, Pace.down_since.is_not(None))
    row = session.scalar(down)
    if row is None or row.down_since is None:
        return Word()
    return Word(down_since=as_shown(row.down_since), reason=row.reason)
