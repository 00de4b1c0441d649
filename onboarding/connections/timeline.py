"""What happened to a connection, told by everybody who knows of it, in one list. For staff."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.connections.tellers import SOURCES, Place, Source, parts_of


@dataclass(frozen=True)
class Line:
    """One thing that happened."""

    at: datetime
    source: Source
    who: str
    """`grower`, `staff`, `partner`, `system`, `leaf`, or the address of the person who did it."""
    word: str
    """An event's kind, an attempt's outcome, a mail's kind, an action of the audit; of a webhook
    the event that the partner's programs were told."""
    data: Mapping[str, Any]
    """Details; never a secret."""
    body: str = ""
    """Of an answer to Leaf, redacted; else why it came to this."""
    status_code: int | None = None

    @property
    def text(self) -> str:
        """All of it in one line, for a terminal."""
        if self.source is Source.LEAF:
            answer = f"HTTP {self.status_code}" if self.status_code else "an answer"
            return f"John Deere answered Leaf: {answer} {self.body}".rstrip()
        data = " ".join(f"{key}={value}" for key, value in self.data.items() if value)
        said = self.word if self.source is Source.OURS else f"{self.source.value} {self.word}"
        return " ".join(filter(None, (said, data, self.body)))


@dataclass(frozen=True)
class Page:
    """A part of the list, newest first."""

    lines: Sequence[Line]
    older: Place | None
    """After what the next part goes on; None: nothing happened before."""


def page(session: Session, connection_id: UUID, *, limit: int, after: Place | None = None) -> Page:
    """Lines, newest first, by one query.

    :param limit: at most so many
    :param after: the last line of the part before; None: the newest
    """
    bounded = [
        sa.select(part.rows(limit + 1, after).subquery())
        for part in parts_of(session, connection_id)
    ]
    told = sa.union_all(*bounded).subquery()
    order = (told.c.at.desc(), told.c.rank, told.c.number.desc(), told.c.key.desc())
    found = session.execute(sa.select(told).order_by(*order).limit(limit + 1)).all()
    shown = found[:limit]
    has_more = len(found) > limit
    return Page([_line(row) for row in shown], _place(shown[-1]) if has_more else None)


def _line(row: Any) -> Line:
    source = SOURCES[row.rank]
    return Line(row.at, source, row.who, row.word, json.loads(row.data), row.body, row.status_code)


def _place(row: Any) -> Place:
    return Place(row.at, SOURCES[row.rank], row.number if row.key is None else row.key)
