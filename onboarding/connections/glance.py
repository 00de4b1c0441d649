"""Whether the growers of frames still stand where they stood, for next to nothing.

A frame asks every second, and nearly always nothing has happened. To find out in full where a
grower stands takes seven queries and all the objects that come of them. Here the rows that change
when something happens (link, connection, newest attempt) are compared with those of the last time,
in one query for all frames that have asked lately. What else it depends on, such as the time that
has passed, a partner's name or an incident of a whole service, shows when that was so long ago
that it is found out in full again.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from onboarding import chance
from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import Attempt, Connection, Link

TOLD_FOR = timedelta(minutes=1)
"""As long, at most, rows that are the same mean that the same is shown; for some only half as long,
so that those who came together do not need everything anew together."""
WAIT_AT_MOST = 1.0
"""Seconds for which one waits for another's look; then all is found out anew."""
LOOKED_FOR = 0.1
"""Seconds after which rows are looked at again; a frame that asks sooner is told as before."""
LATELY = 4.0
"""Seconds: frames that have asked within them are looked after together, since most ask again
within them."""
AT_ONCE = 1000
KEPT = 20_000
"""Frames; of more, those that have not asked for the longest time are forgotten."""


@dataclass
class Glimpse:
    """What a frame was told, and the rows from which that followed."""

    slug: str
    rows: tuple[Any, ...]
    etag: str
    until: datetime
    looked_at: float
    asked_at: float


class Glances:
    """What the frames that ask this process were told last."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[UUID, Glimpse] = OrderedDict()
        """In the order in which they asked."""
        self._changing = threading.Lock()
        self._looking = threading.Lock()
        self._looked_at = 0.0
        """When all who asked lately were looked after."""

    def etag(self, slug: str, link_id: UUID) -> str | None:
        """What was told last, if it is still so and the link may still be used; else None."""
        moment = time.monotonic()
        with self._changing:
            glimpse = self._kept.get(link_id)
            if glimpse is None or glimpse.slug != slug or now() >= glimpse.until:
                return None
            glimpse.asked_at = moment
            self._kept.move_to_end(link_id)
        if moment - glimpse.looked_at > LOOKED_FOR:
            # Who waited here has most likely been looked after meanwhile. While the database
            # hangs, not all wait for it one after the other.
            if not self._looking.acquire(timeout=WAIT_AT_MOST):
                return None
            try:
                is_kept = self._kept.get(link_id) is glimpse
                if is_kept and time.monotonic() - glimpse.looked_at > LOOKED_FOR:
                    self._look(link_id)
            finally:
                self._looking.release()
        return glimpse.etag if self._kept.get(link_id) is glimpse else None

    def keep(self, slug: str, link: Link, rows: tuple[Any, ...], etag: str) -> None:
        """Remember what was told.

        :param rows: read at the same moment as all that was told (`rows_of`)
        """
        moment = time.monotonic()
        until = min(link.expires_at, now() + chance.spread(TOLD_FOR, 0.5, 1))
        told = Glimpse(slug, rows, etag, until, moment, moment)
        with self._changing:
            self._kept[link.id] = told
            self._kept.move_to_end(link.id)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _look(self, asks: UUID) -> None:
        """Forget what is not so any more, of one that asks and of all that have asked lately."""
        moment = time.monotonic()
        ids = [asks]
        if moment - self._looked_at > LOOKED_FOR:
            self._looked_at = moment
            ids = list(dict.fromkeys([asks, *self._asked_since(moment - LATELY)]))
        with self._database.glancing() as connection:
            found = rows_of(connection, ids)
        with self._changing:
            for link_id in ids:
                known = self._kept.get(link_id)
                if known is not None and found.get(link_id) == known.rows:
                    known.looked_at = moment
                else:
                    self._kept.pop(link_id, None)

    def _asked_since(self, moment: float) -> list[UUID]:
        with self._changing:
            latest_first = reversed(self._kept.items())
            asked = itertools.takewhile(lambda one: one[1].asked_at >= moment, latest_first)
            return [link_id for link_id, _ in itertools.islice(asked, AT_ONCE)]


def rows_of(connection: sa.Connection, link_ids: Sequence[UUID]) -> dict[UUID, tuple[Any, ...]]:
    """Something for each link that is another one when a row of its grower's has changed."""
    is_postgresql = connection.dialect.name == "postgresql"
    found = connection.execute(
        ROW_VERSIONS if is_postgresql else WHOLE_ROWS, {"link_ids": link_ids}
    )
    return {row[0]: tuple(row[1:]) for row in found}


def _query(is_asked_for: sa.ColumnElement[bool], *columns: Any) -> sa.Select[Any]:
    newest = (
        sa.select(Attempt.id)
        .where(Attempt.connection_id == Connection.id)
        .order_by(Attempt.created_at.desc())
        .limit(1)
        .correlate(Connection)
        .scalar_subquery()
    )
    return (
        sa.select(Link.id, *columns)
        .join_from(Link, Connection, Connection.grower_id == Link.grower_id)
        .outerjoin(Attempt, Attempt.id == newest)
        .where(is_asked_for)
    )


ROW_VERSIONS = _query(
    # The same statement for any number of them.
    Link.id == sa.any_(sa.bindparam("link_ids", type_=sa.ARRAY(sa.Uuid))),
    *(sa.literal_column(f"{table}.xmin") for table in ("link", "connection", "attempt")),
    Attempt.id,
)
"""PostgreSQL knows by which transaction each row was written last."""
WHOLE_ROWS = _query(
    Link.id.in_(sa.bindparam("link_ids", expanding=True)),
    *(
        # As the driver gives it: making it into our own types takes three times as long.
        sa.type_coerce(column, sa.types.NullType())
        for table in (Link, Connection, Attempt)
        for column in table.__table__.columns
    ),
)
