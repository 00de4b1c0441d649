"""Whether the installation works: workers, what waits, those whom we ask, keys, database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import mails, pace, workers
from onboarding.connections.pace import Word
from onboarding.models import (
    HAS_FAILED,
    Application,
    Attempt,
    Connection,
    Copy,
    FigureCount,
    Mail,
    UtcDateTime,
    WebhookDelivery,
    WebhookEndpoint,
    Worker,
    is_next_of_its_connection,
)
from onboarding.states import DeliveryState, MailState, Outcome, PauseReason, Stage, Urgency
from onboarding.vault import HEAD_BYTES, Vault

MANY = 10_000
"""What waits is counted no further."""
RECENT = timedelta(days=1)
"""A failure at John Deere that is older than this is not told."""
HAND_OVER_LATE = timedelta(hours=1)
MAIL_LATE = timedelta(hours=1)
CHECKS_LATE = timedelta(days=1)
WEBHOOKS_LATE = timedelta(hours=1)


@dataclass(frozen=True)
class Rows:
    """What the rows say. Of what waits no more than `MANY` + 1 is counted."""

    hand_overs: int
    oldest_token: datetime | None
    """When the token came in that has waited for longest."""
    ending: int
    mails: int
    oldest_mail: datetime | None
    undelivered: int
    checks_due: int
    oldest_check: datetime | None
    checked_at: datetime | None
    """When Leaf last answered a check."""
    endpoints: int
    """Of partners' programs."""
    endpoints_failing: int
    """Those that have failed for more than an hour, or are paused since they failed."""
    endpoints_paused: int
    """By hand."""
    endpoints_working: int
    """Those that neither fail nor are paused."""
    webhooks: int
    """Messages that are due, to endpoints that work: also while one of them asked for a pause."""
    oldest_webhook: datetime | None
    """When the one could be sent that has waited for longest."""
    deere_failed_at: datetime | None
    deere_failed_as: str | None
    metadata_at: datetime | None
    old_keys: int
    """Waiting tokens, and secrets of applications, that another key than the first reads."""
    unreadable: int
    """Those that none reads."""
    figures_at: datetime | None
    migration: str
    size: int
    """Of the database, in bytes."""

    @property
    def endpoints_failing_lately(self) -> int:
        """Those that fail, but have not for an hour."""
        told = self.endpoints_failing + self.endpoints_paused + self.endpoints_working
        return self.endpoints - told


@dataclass(frozen=True)
class System:
    """All of it, as of one moment."""

    workers: Sequence[Worker]
    rows: Rows
    leaf: Word
    requests: int
    """To Leaf, in the last minute."""

    def is_late(self, moment: datetime | None, limit: timedelta) -> bool:
        """Whether something has waited for longer than it may."""
        return moment is not None and now() - moment > limit


def read(session: Session, vault: Vault, *, metadata: str) -> System:
    """Look at everything, in four queries.

    :param metadata: name of the copy of John Deere's metadata
    """
    rows = Rows(*session.execute(sa.select(*_rows(session, vault, metadata))).one())
    found = workers.heard_of(session)
    leaf, requests = pace.standing(session)
    return System(workers=found, rows=rows, leaf=leaf, requests=requests)


def _rows(session: Session, vault: Vault, metadata: str) -> list[sa.ColumnElement[Any]]:
    """In the order of `Rows`."""
    is_waiting = Mail.state == MailState.WAITING
    owed = Connection.hand_over_due_at.is_not(None)
    ending = Connection.stage == Stage.DISCONNECTING
    others = vault.heads[1:]
    kept = (Connection.id, Connection.refresh_token)
    secrets = (Application.id, Application.client_secret)
    return [
        _count(Connection.id, owed, ~ending),
        _first(sa.func.min(Connection.token_received_at), owed, ~ending),
        _count(Connection.id, owed, ending),
        _count(Mail.id, is_waiting),
        _first(sa.func.min(Mail.created_at), is_waiting),
        mails.undelivered_number().scalar_subquery(),
        _checks_due(),
        _oldest_check(),
        _first(sa.func.max(Connection.checked_at), Connection.checked_at.is_not(None)),
        _count(WebhookEndpoint.id, WebhookEndpoint.removed_at.is_(None)),
        _count(WebhookEndpoint.id, WebhookEndpoint.removed_at.is_(None), _fails()),
        _count(WebhookEndpoint.id, WebhookEndpoint.removed_at.is_(None), _is_paused_by_hand()),
        _count(WebhookEndpoint.id, *_is_working()),
        _count(WebhookDelivery.id, WebhookDelivery.endpoint_id.in_(_working()), *_is_unsent()),
        _oldest_webhook(),
        *(_failure_of_deere(column) for column in (Attempt.ended_at, Attempt.detail)),
        _first(Copy.fetched_at, Copy.name == metadata),
        _read_by(others, *kept) + _read_by(others, *secrets) if others else _nothing(),
        _read_by(vault.heads, *kept, none_of=True) + _read_by(vault.heads, *secrets, none_of=True),
        _first(FigureCount.counted_at),
        sa.select(sa.column("version_num", sa.String))
        .select_from(sa.table("alembic_version"))
        .limit(1)
        .scalar_subquery(),
        _size(session),
    ]


def _fails() -> sa.ColumnElement[bool]:
    return sa.or_(
        WebhookEndpoint.pause_reason.in_([PauseReason.FAILURES, PauseReason.GONE]),
        sa.and_(
            WebhookEndpoint.paused_at.is_(None),
            WebhookEndpoint.failing_since < now() - WEBHOOKS_LATE,
        ),
    )


def _is_paused_by_hand() -> sa.ColumnElement[bool]:
    return WebhookEndpoint.pause_reason == PauseReason.BY_HAND


def _is_working() -> tuple[sa.ColumnElement[bool], ...]:
    return (
        WebhookEndpoint.removed_at.is_(None),
        WebhookEndpoint.paused_at.is_(None),
        WebhookEndpoint.failing_since.is_(None),
    )


def _working() -> sa.Select[Any]:
    """Endpoints with which nothing is wrong: what waits there waits for a worker."""
    return sa.select(WebhookEndpoint.id).where(*_is_working())


def _is_unsent() -> tuple[sa.ColumnElement[bool], ...]:
    return (
        WebhookDelivery.state == DeliveryState.WAITING,
        WebhookDelivery.due_at <= now(),
        is_next_of_its_connection(),
    )


def _oldest_webhook() -> sa.ScalarSelect[Any]:
    """By the index of each endpoint, as what is due is found."""
    oldest = (
        sa.select(WebhookDelivery.due_at)
        .where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, *_is_unsent())
        .order_by(WebhookDelivery.due_at)
        .limit(1)
        .scalar_subquery()
    )
    every = _working().with_only_columns(oldest.label("due_at")).subquery()
    return sa.select(sa.func.min(every.c.due_at, type_=UtcDateTime())).scalar_subquery()


def _count(key: Any, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    some = sa.select(key).where(*where).limit(MANY + 1).subquery()
    return sa.select(sa.func.count()).select_from(some).scalar_subquery()


def _read_by(
    heads: list[bytes], key: Any, stored: Any, *, none_of: bool = False
) -> sa.ScalarSelect[Any]:
    """How many secrets one of these keys has encrypted, or none of them."""
    head = sa.func.substr(stored, 1, HEAD_BYTES, type_=sa.LargeBinary)
    return _count(key, stored.is_not(None), head.not_in(heads) if none_of else head.in_(heads))


def _first(what: Any, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    return sa.select(what).where(*where).scalar_subquery()


def _nothing() -> sa.ScalarSelect[Any]:
    return sa.select(sa.literal(0)).scalar_subquery()


def _checks_due() -> sa.ColumnElement[Any]:
    """By the index of each urgency, so that what is not due is not looked at."""
    due = (Connection.check_due_at.is_not(None), Connection.check_due_at <= now())
    first, *others = (
        _count(Connection.id, Connection.check_urgency == one, *due) for one in Urgency
    )
    total: sa.ColumnElement[Any] = first
    for one in others:
        total = total + one
    return total


def _oldest_check() -> sa.ScalarSelect[Any]:
    """In the same way."""
    oldest = [
        sa.select(
            sa.select(sa.func.min(Connection.check_due_at))
            .where(Connection.check_urgency == urgency, Connection.check_due_at.is_not(None))
            .scalar_subquery()
            .label("due")
        )
        for urgency in Urgency
    ]
    every = sa.union_all(*oldest).subquery()
    return sa.select(sa.func.min(every.c.due, type_=UtcDateTime())).scalar_subquery()


def _failure_of_deere(column: Any) -> sa.ScalarSelect[Any]:
    return (
        sa.select(column)
        .where(
            sa.text(HAS_FAILED),
            Attempt.outcome == Outcome.DEERE_UNAVAILABLE,
            Attempt.ended_at > now() - RECENT,
        )
        .order_by(Attempt.ended_at.desc())
        .limit(1)
        .scalar_subquery()
    )


def _size(session: Session) -> sa.ScalarSelect[Any]:
    if session.get_bind().dialect.name == "postgresql":
        size = sa.func.pg_database_size(sa.func.current_database())
        return sa.select(size).scalar_subquery()
    pages = sa.text("(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())")
    return sa.select(sa.type_coerce(pages, sa.Integer)).scalar_subquery()
