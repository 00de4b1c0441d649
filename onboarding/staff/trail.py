"""What the audit has: found by who, what, whose and when, the last first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.db import Database
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Audit, Connection, Partner
from onboarding.staff import csv
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners

PAGE = 50
EXPORTED_AT_ONCE = 1000
HEADING = ("when", "who", "action", "action_text", "connection", "partner", "data")
WORDS = {
    "application.add": mark("Application added"),
    "application.change": mark("Application changed"),
    "application.delete": mark("Application deleted"),
    "application.replace_secret": mark("Application’s secret replaced"),
    "audit.export": mark("Audit exported"),
    "connection.choose": mark("Organizations chosen"),
    "connection.disconnect": mark("Connection ended"),
    "connection.mail": mark("Invitation mailed"),
    "connection.mail_link": mark("Link mailed to the grower"),
    "connection.new_link": mark("New link made"),
    "connection.note": mark("Note written"),
    "connection.recheck": mark("Connection checked again"),
    "connection.resync": mark("Organizations read anew"),
    "connection.retry": mark("Tried again"),
    "connection.revoke_link": mark("Link revoked"),
    "connections.export": mark("Connections exported"),
    "figures.export": mark("Figures exported"),
    "import.confirm": mark("Import confirmed"),
    "import.done": mark("Growers imported"),
    "import.links": mark("Links of an import downloaded"),
    "import.show": mark("File of growers handed in"),
    "bulk.links": mark("Links of bulk work downloaded"),
    "bulk.mail": mark("Invitations for many begun"),
    "bulk.new_link": mark("New links for many begun"),
    "bulk.recheck": mark("Recheck of many begun"),
    "bulk.stop": mark("Bulk work stopped"),
    "key.add": mark("Key for the API made"),
    "key.revoke": mark("Key for the API revoked"),
    "key.rotate": mark("Key for the API rotated"),
    "partner.add": mark("Partner added"),
    "partner.application": mark("Partner’s application changed"),
    "partner.change": mark("Partner changed"),
    "staff.add": mark("Person let in"),
    "staff.bind": mark("Company account noted"),
    "staff.confirm": mark("Proved again who it is"),
    "staff.disable": mark("Person disabled"),
    "staff.enable": mark("Person enabled again"),
    "staff.part": mark("Parted from the company account"),
    "staff.link": mark("Link to set a password made"),
    "staff.password_set": mark("Password set"),
    "staff.role": mark("Role or partners changed"),
    "staff.sessions_end": mark("Signed out elsewhere"),
    "staff.sign_in": mark("Signed in"),
    "staff.sign_in_failed": mark("Sign-in failed"),
    "staff.sign_out": mark("Signed out"),
    "view.delete": mark("View deleted"),
    "view.save": mark("View saved"),
    "webhook.add": mark("Webhook endpoint added"),
    "webhook.change": mark("Webhook endpoint changed"),
    "webhook.pause": mark("Webhook endpoint paused"),
    "webhook.remove": mark("Webhook endpoint removed"),
    "webhook.resume": mark("Webhook endpoint resumed"),
    "webhook.rotate": mark("Webhook endpoint’s secret rotated"),
    "webhook.send_again": mark("Webhooks sent again"),
    "webhook.test": mark("Test webhook sent"),
}
"""Of actions; one that is missing here is shown by its code."""


@dataclass(frozen=True)
class Filter:
    """Which lines are asked for."""

    who: str = ""
    """A part of the address."""
    action: str = ""
    """A code, or the part of it before the dot."""
    partner: UUID | None = None
    reference: str = ""
    first: date | None = None
    last: date | None = None
    """Both of them included, in UTC."""


@dataclass(frozen=True)
class Line:
    """Who did what when."""

    id: int
    at: datetime
    who: str
    action: str
    data: dict[str, Any]
    reference: str | None
    partner: str | None

    @property
    def label(self) -> str:
        """The action in words."""
        return label(self.action)

    @property
    def details(self) -> str:
        """What else there is to say."""
        return ", ".join(
            f"{name}: {_plain(value)}" for name, value in self.data.items() if not _is_empty(value)
        )


def label(action: str) -> str:
    """An action in words."""
    return _(WORDS[action]) if action in WORDS else action


def page(
    session: Session, by: Member, asked: Filter, *, before: int | None = None
) -> tuple[Sequence[Line], bool]:
    """The next lines, the last first, and whether there are more.

    :param before: the id of the line after which the page goes on
    """
    found = _lines(session, by, asked, before=before, limit=PAGE + 1)
    return found[:PAGE], len(found) > PAGE


def export(database: Database, by: Member, asked: Filter) -> Iterator[str]:
    """All lines that are asked for as a file, in parts."""

    def rows() -> Iterator[list[str]]:
        before: int | None = None
        while True:
            with database.reading() as session:
                found = _lines(session, by, asked, before=before, limit=EXPORTED_AT_ONCE)
            yield from map(_cells, found)
            if len(found) < EXPORTED_AT_ONCE:
                return
            before = found[-1].id

    return csv.lines(HEADING, rows())


def _lines(
    session: Session, by: Member, asked: Filter, *, before: int | None, limit: int
) -> list[Line]:
    columns: tuple[Any, ...] = (
        Audit.id,
        Audit.at,
        Audit.who,
        Audit.action,
        Audit.data,
        Connection.reference,
        Partner.name,
    )
    query = (
        sa.select(*columns)
        .outerjoin(Connection, Connection.id == Audit.connection_id)
        .outerjoin(Partner, Partner.id == Audit.partner_id)
        .where(*of_partners(Audit.partner_id, by, asked.partner), *_asked(asked))
        .order_by(Audit.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Audit.id < before)
    return [Line(*row) for row in session.execute(query)]


def _asked(asked: Filter) -> Iterator[sa.ColumnElement[bool]]:
    if asked.who:
        yield Audit.who.contains(asked.who.lower(), autoescape=True)
    if "." in asked.action:
        yield Audit.action == asked.action
    elif asked.action:
        yield Audit.action.startswith(f"{asked.action}.", autoescape=True)
    if asked.reference:
        known = sa.select(Connection.id).where(Connection.reference == asked.reference)
        yield Audit.connection_id == known.scalar_subquery()
    if asked.first is not None:
        yield Audit.at >= datetime.combine(asked.first, time.min, UTC)
    if asked.last is not None:
        yield Audit.at < datetime.combine(asked.last, time.min, UTC) + timedelta(days=1)


def _cells(line: Line) -> list[str]:
    """In the order of `HEADING`."""
    return [
        line.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        line.who,
        line.action,
        line.label,
        line.reference or "",
        line.partner or "",
        json.dumps(line.data, ensure_ascii=False, sort_keys=True) if line.data else "",
    ]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value == "" or value == {}
