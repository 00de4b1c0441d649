"""The table of connections as a file for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from onboarding.i18n import gettext as _
from onboarding.staff import csv
from onboarding.staff.rows import Row

LONG = len("2026-11-26 12:00:00")
HEADING = (
    "reference",
    "grower",
    "external_id",
    "email",
    "partner",
    "status",
    "status_text",
    "turn",
    "status_since",
    "cause",
    "health",
    "organizations_shared",
    "organizations",
    "last_checked",
    "environment",
    "leaf_user_id",
    "created",
    "opened",
    "started",
    "consented",
    "first_connected",
)


def lines(parts: Iterable[Sequence[Row]]) -> Iterator[str]:
    """The file, in parts."""
    return csv.lines(HEADING, (_cells(row) for part in parts for row in part))


def _cells(row: Row) -> list[str]:
    """In the order of `HEADING`."""
    cause = row.cause or row.trouble
    return [
        row.reference,
        row.grower,
        row.external_id,
        row.email or "",
        row.partner_slug,
        row.code,
        _(row.words.label),
        row.turn.value,
        _moment(row.since),
        cause.value if cause else "",
        row.health.value,
        str(row.shared),
        str(row.organizations),
        _moment(row.checked_at),
        row.environment.value if row.environment else "",
        row.leaf_user_id or "",
        _moment(row.created_at),
        _moment(row.opened_at),
        _moment(row.started_at),
        _moment(row.consented_at),
        _moment(row.first_connected_at),
    ]


def _moment(moment: datetime | None) -> str:
    """In UTC to the second, as spreadsheets read it."""
    return moment.astimezone(UTC).isoformat(" ", "seconds")[:LONG] if moment else ""
