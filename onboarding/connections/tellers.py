"""Who knows of what happened to a connection, each with rows of the same columns.

What two tell is told once: by whom there is more to hear from. Whether it is told by another one
does not depend on what else stands on a page, so that it is the same on each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.connections.history import GROWER, STAFF, SYSTEM
from onboarding.db import seconds_between
from onboarding.models import (
    Attempt,
    Audit,
    Connection,
    Event,
    LeafEvent,
    Link,
    Mail,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from onboarding.states import DeliveryState, Outcome

LEAF = "leaf"
SAME_MOMENT = timedelta(seconds=2)
"""Who tells the same does so in the same transaction, or in the next one."""
SAME_DEEDS = {
    "disconnect_asked": ("connection.disconnect",),
    "disconnect_retried": ("connection.retry",),
    "hand_over_retried": ("connection.retry",),
    "link_made": ("connection.new_link", "connection.mail"),
    "link_revoked": ("connection.revoke_link",),
    "resync_asked": ("connection.resync",),
    "sync_choice_asked": ("connection.choose",),
}
"""What staff do stands in the history and, under these names, in the audit: that says who it was.
What a command does stands in the history alone."""
LARGEST_NUMBER = 2**63 - 1


class Source(StrEnum):
    """Who tells it; of the same moment first what stands here first."""

    OURS = "ours"
    ATTEMPT = "attempt"
    LEAF = "leaf"
    MAIL = "mail"
    AUDIT = "audit"
    LINK = "link"
    WEBHOOK = "webhook"


SOURCES = tuple(Source)
NUMBERED = frozenset({Source.OURS, Source.LEAF, Source.AUDIT})
"""Their rows have numbers for keys, the others' UUIDs."""


@dataclass(frozen=True)
class Place:
    """After which line a page goes on."""

    at: datetime
    source: Source
    key: int | UUID
    """Of its row."""

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.source.value}~{self.key}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """What `str` gave; None for anything else."""
        at, _, rest = text.partition("~")
        name, _, key = rest.partition("~")
        try:
            moment, source = datetime.fromisoformat(at), Source(name)
            place = cls(moment, source, int(key) if source in NUMBERED else UUID(key))
        except ValueError:
            return None
        is_key = isinstance(place.key, UUID) or 0 <= place.key <= LARGEST_NUMBER
        return place if moment.tzinfo and is_key else None

    def comes_before(self, at: Any, source: Source, key: Any) -> sa.ColumnElement[bool]:
        """Whether lines of a source stand behind it, by the columns of their moment and key."""
        its, mine = SOURCES.index(source), SOURCES.index(self.source)
        if its == mine:
            return sa.or_(at < self.at, sa.and_(at == self.at, key < self.key))
        found: sa.ColumnElement[bool] = at <= self.at if its > mine else at < self.at
        return found


@dataclass(frozen=True)
class Part:
    """Lines of one source; they have the same columns, so that the database can merge them."""

    source: Source
    at: Any
    key: Any
    where: Sequence[Any]
    columns: Mapping[str, Any]

    def rows(self, limit: int, after: Place | None) -> sa.Select[Any]:
        """The newest, or those that stand behind a place."""
        is_numbered = self.source in NUMBERED
        usual: dict[str, Any] = {
            "at": self.at,
            "rank": sa.literal(SOURCES.index(self.source)),
            "number": self.key if is_numbered else sa.cast(sa.null(), sa.BigInteger),
            "key": sa.cast(sa.null(), sa.Uuid) if is_numbered else self.key,
            "who": sa.literal(SYSTEM),
            "word": sa.literal(""),
            "data": sa.literal("{}"),
            "body": sa.literal(""),
            "status_code": sa.cast(sa.null(), sa.Integer),
        }
        named = [column.label(name) for name, column in (usual | {**self.columns}).items()]
        query = sa.select(*named).where(*self.where)
        if after is not None:
            query = query.where(after.comes_before(self.at, self.source, self.key))
        return query.order_by(self.at.desc(), self.key.desc()).limit(limit)


def parts_of(session: Session, connection_id: UUID) -> Sequence[Part]:
    """All who tell of a connection."""
    return [
        _ours(connection_id, _is_told_by_another(session)),
        _attempts(connection_id),
        _leafs(connection_id),
        _mails(connection_id),
        _audited(connection_id),
        _opened(connection_id),
        _webhooks(connection_id),
    ]


def _is_told_by_another(session: Session) -> sa.ColumnElement[bool]:
    """Whether a mail, an attempt or the audit tells what an event does, with more to it."""

    def at_that_moment(at: Any, *same: Any) -> sa.ColumnElement[bool]:
        apart = sa.func.abs(seconds_between(session, Event.at, at))
        return sa.exists().where(*same, apart < SAME_MOMENT.total_seconds())

    deeds = [
        sa.and_(Event.kind == kind, Audit.action.in_(actions))
        for kind, actions in SAME_DEEDS.items()
    ]
    return sa.or_(
        sa.and_(
            Event.who == STAFF,
            Event.kind.in_(SAME_DEEDS),
            at_that_moment(Audit.at, Audit.connection_id == Event.connection_id, sa.or_(*deeds)),
        ),
        sa.and_(
            Event.kind.startswith("mail_", autoescape=True),
            at_that_moment(
                Mail.ended_at,
                Mail.connection_id == Event.connection_id,
                "mail_" + _text(Mail.state) == Event.kind,
            ),
        ),
        sa.and_(
            Event.kind.startswith("attempt_", autoescape=True),
            at_that_moment(
                Attempt.ended_at,
                Attempt.connection_id == Event.connection_id,
                "attempt_" + _text(Attempt.outcome) == Event.kind,
            ),
        ),
    )


def _text(column: Any) -> Any:
    return sa.cast(column, sa.Text)


def _ours(connection_id: UUID, is_told_by_another: sa.ColumnElement[bool]) -> Part:
    return Part(
        Source.OURS,
        Event.at,
        Event.id,
        [Event.connection_id == connection_id, ~is_told_by_another],
        {"who": Event.who, "word": Event.kind, "data": _text(Event.data)},
    )


def _attempts(connection_id: UUID) -> Part:
    return Part(
        Source.ATTEMPT,
        Attempt.ended_at,
        Attempt.id,
        [
            Attempt.connection_id == connection_id,
            Attempt.ended_at.is_not(None),
            Attempt.outcome != Outcome.AUTHORIZED,  # `token_received` says so
        ],
        {"who": sa.literal(GROWER), "word": _text(Attempt.outcome), "body": Attempt.detail},
    )


def _leafs(connection_id: UUID) -> Part:
    return Part(
        Source.LEAF,
        LeafEvent.at,
        LeafEvent.id,
        [LeafEvent.connection_id == connection_id],
        {
            "who": sa.literal(LEAF),
            "body": LeafEvent.body,
            "status_code": LeafEvent.status_code,
        },
    )


def _mails(connection_id: UUID) -> Part:
    return Part(
        Source.MAIL,
        sa.func.coalesce(Mail.ended_at, Mail.created_at, type_=Mail.created_at.type),
        Mail.id,
        [Mail.connection_id == connection_id],
        {"word": _text(Mail.kind) + "." + _text(Mail.state), "body": Mail.detail},
    )


def _audited(connection_id: UUID) -> Part:
    return Part(
        Source.AUDIT,
        Audit.at,
        Audit.id,
        [Audit.connection_id == connection_id],
        {"who": Audit.who, "word": Audit.action, "data": _text(Audit.data)},
    )


def _opened(connection_id: UUID) -> Part:
    grower_id = sa.select(Connection.grower_id).where(Connection.id == connection_id)
    return Part(
        Source.LINK,
        Link.opened_at,
        Link.id,
        [Link.grower_id == grower_id.scalar_subquery(), Link.opened_at.is_not(None)],
        {"who": sa.literal(GROWER), "word": sa.literal("opened")},
    )


def _webhooks(connection_id: UUID) -> Part:
    """One line for each message: to how many endpoints it went, or is to go."""
    return Part(
        Source.WEBHOOK,
        WebhookMessage.created_at,
        WebhookMessage.id,
        [WebhookMessage.connection_id == connection_id],
        {
            "word": WebhookMessage.event,
            "data": '{"delivered": '
            + _deliveries(DeliveryState.DELIVERED)
            + ', "waiting": '
            + _deliveries(DeliveryState.WAITING)
            + ', "given_up": '
            + _deliveries(DeliveryState.GIVEN_UP)
            + "}",
        },
    )


def _deliveries(state: DeliveryState) -> Any:
    """How many of a message have become that; nothing waits for an endpoint that is removed."""
    counted = (
        sa.select(_text(sa.func.count()))
        .select_from(WebhookDelivery)
        .where(WebhookDelivery.message_id == WebhookMessage.id, WebhookDelivery.state == state)
        .correlate(WebhookMessage)
    )
    if state is DeliveryState.WAITING:
        counted = counted.join(
            WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id
        ).where(WebhookEndpoint.removed_at.is_(None))
    return counted.scalar_subquery()
