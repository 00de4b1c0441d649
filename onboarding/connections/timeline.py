"""What happened to a connection, told by everybody who knows of it, in one list. For staff."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.connections.history import GROWER, STAFF, SYSTEM
from onboarding.models import Attempt, Audit, Event, LeafEvent, Mail
from onboarding.states import Outcome

LEAF = "leaf"
SAME_MOMENT = timedelta(seconds=2)
"""What staff do stands in the history and in the audit: the audit says who it was."""


class Source(StrEnum):
    """Who tells it."""

    OURS = "ours"
    ATTEMPT = "attempt"
    LEAF = "leaf"
    MAIL = "mail"
    AUDIT = "audit"


TOLD_BY = {"mail": Source.MAIL, "attempt": Source.ATTEMPT}
"""By the first word of an event's kind. Mails are deleted one day, their events are not."""


@dataclass(frozen=True)
class Line:
    """One thing that happened."""

    at: datetime
    source: Source
    who: str
    """`grower`, `staff`, `system`, `leaf`, or the address of the person who did it."""
    word: str
    """An event's kind, an attempt's outcome, a mail's kind, an action of the audit."""
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
    has_more: bool
    """Whether something happened before."""


def page(session: Session, connection_id: UUID, *, limit: int, skipped: int = 0) -> Page:
    """Lines, newest first, by one query.

    :param limit: at most so many; a few less where two tell the same
    :param skipped: so many of the newest are left out
    """
    parts = [part(connection_id, limit + skipped + 1) for part in _PARTS]
    told = sa.union_all(*(sa.select(one.subquery()) for one in parts)).subquery()
    order = (told.c.at.desc(), told.c.number.desc())
    found = session.execute(sa.select(told).order_by(*order).limit(limit + 1).offset(skipped)).all()
    lines = [
        Line(
            row.at,
            Source(row.source),
            row.who,
            row.word,
            json.loads(row.data),
            row.body,
            row.status_code,
        )
        for row in found[:limit]
    ]
    shown = [line for line in lines if not _is_told_by_another(line, lines)]
    return Page(shown, has_more=len(found) > limit)


def _is_told_by_another(line: Line, lines: Sequence[Line]) -> bool:
    """Whether a line of the history stands there with more to it: a mail, an attempt, the audit."""
    if line.source is not Source.OURS:
        return False
    subject = line.word.partition("_")[0]
    teller = Source.AUDIT if line.who == STAFF else TOLD_BY.get(subject)
    return any(other.source is teller and abs(other.at - line.at) < SAME_MOMENT for other in lines)


def _part(
    at: Any, source: Source, number: Any, limit: int, *where: Any, **columns: Any
) -> sa.Select[Any]:
    """Lines of one source; they have the same columns, so that the database can merge them."""
    usual: dict[str, Any] = {
        "who": sa.literal(SYSTEM),
        "word": sa.literal(""),
        "data": sa.literal("{}"),
        "body": sa.literal(""),
        "status_code": sa.cast(sa.null(), sa.Integer),
    }
    shown = [column.label(name) for name, column in (usual | columns).items()]
    query = sa.select(
        at.label("at"), sa.literal(source.value).label("source"), number.label("number"), *shown
    )
    return query.where(*where).order_by(at.desc(), number.desc()).limit(limit)


def _text(column: Any) -> Any:
    return sa.cast(column, sa.Text)


def _ours(connection_id: UUID, limit: int) -> sa.Select[Any]:
    return _part(
        Event.at,
        Source.OURS,
        Event.id,
        limit,
        Event.connection_id == connection_id,
        who=Event.who,
        word=Event.kind,
        data=_text(Event.data),
    )


def _attempts(connection_id: UUID, limit: int) -> sa.Select[Any]:
    return _part(
        Attempt.ended_at,
        Source.ATTEMPT,
        sa.literal(0),
        limit,
        Attempt.connection_id == connection_id,
        Attempt.ended_at.is_not(None),
        Attempt.outcome != Outcome.AUTHORIZED,  # `token_received` says so
        who=sa.literal(GROWER),
        word=_text(Attempt.outcome),
        body=Attempt.detail,
    )


def _leafs(connection_id: UUID, limit: int) -> sa.Select[Any]:
    return _part(
        LeafEvent.at,
        Source.LEAF,
        LeafEvent.id,
        limit,
        LeafEvent.connection_id == connection_id,
        who=sa.literal(LEAF),
        body=LeafEvent.body,
        status_code=LeafEvent.status_code,
    )


def _mails(connection_id: UUID, limit: int) -> sa.Select[Any]:
    return _part(
        sa.func.coalesce(Mail.ended_at, Mail.created_at, type_=Mail.created_at.type),
        Source.MAIL,
        sa.literal(0),
        limit,
        Mail.connection_id == connection_id,
        word=_text(Mail.kind) + "." + _text(Mail.state),
        body=Mail.detail,
    )


def _audited(connection_id: UUID, limit: int) -> sa.Select[Any]:
    return _part(
        Audit.at,
        Source.AUDIT,
        Audit.id,
        limit,
        Audit.connection_id == connection_id,
        who=Audit.who,
        word=Audit.action,
        data=_text(Audit.data),
    )


_PARTS = (_ours, _attempts, _leafs, _mails, _audited)
