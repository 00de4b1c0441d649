"""The worker's part in files of growers that were confirmed.

First all rows are judged anew, without a lock: if any comes to something else than was shown,
nothing is done. Then a part of the rows at a time, each part in one transaction that holds the
file's row, as in bulk work: what was done and that it was done are committed together.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import enrolment, growers
from onboarding.db import DATABASE_ERRORS, Database
from onboarding.models import Import, ImportRow
from onboarding.settings import Settings
from onboarding.staff import audit
from onboarding.staff.imports.doing import SHOWN_FOR
from onboarding.staff.imports.file import NAMES, Line
from onboarding.staff.imports.verdicts import Judged, judge
from onboarding.staff.roles import member_of
from onboarding.states import ImportState, ReturnedFor, Role, RowOutcome, RowVerdict

ROWS_KEPT = timedelta(days=30)
"""After it was done: for so long its links can be downloaded."""
AT_ONCE = 200
"""So many rows a transaction: SQLite lets nobody else write meanwhile."""
WANTED = (RowVerdict.NEW, RowVerdict.CHANGED)

log = logging.getLogger(__name__)


def step(database: Database, settings: Settings) -> bool:
    """Work on one part of the file that has been due for longest.

    :return: whether there was one
    """
    due = sa.select(Import).where(Import.due_at <= now()).order_by(Import.due_at).limit(1)
    with database.reading() as session:
        found = session.scalar(due)
        if found is None:
            return False  # without a lock, which SQLite has only one of
        others = _others(session, found) if found.state is ImportState.CHECKING else {}
    with database.transaction() as session:
        query = sa.select(Import).where(Import.id == found.id, Import.due_at == found.due_at)
        confirmed = session.scalar(query.with_for_update(of=Import, skip_locked=True))
        if confirmed is None:
            return False  # another worker has it
        if confirmed.state is ImportState.CHECKING:
            _begin(session, confirmed, others)
        else:
            _work(session, settings, confirmed)
    return True


def _others(session: Session, confirmed: Import) -> dict[int, Judged]:
    """The rows that would come to something else by now than was shown, by their lines."""
    query = sa.select(ImportRow).where(ImportRow.import_id == confirmed.id)
    rows = session.scalars(query.order_by(ImportRow.line)).all()
    judged = judge(session, confirmed.partner_id, [_line(row) for row in rows])
    return {row.line: one for row, one in zip(rows, judged, strict=True) if not _is_as(row, one)}


def _begin(session: Session, confirmed: Import, others: dict[int, Judged]) -> None:
    """Let the parts come, or show it again. Once they come, all do: half a file helps nobody."""
    if not _may(confirmed):
        _return(confirmed, ReturnedFor.NOT_ALLOWED)
    elif others:
        _show_anew(session, confirmed, others)
        _return(confirmed, ReturnedFor.OVERTAKEN)
    else:
        confirmed.state, confirmed.due_at = ImportState.RUNNING, now()


def _may(confirmed: Import) -> bool:
    staff = confirmed.confirmed_by
    if staff is None or staff.disabled_at is not None:
        return False
    by = member_of(staff)
    return by.may(Role.OPERATOR) and by.sees(confirmed.partner_id)


def _return(confirmed: Import, why: ReturnedFor) -> None:
    confirmed.state, confirmed.returned_for, confirmed.due_at = ImportState.SHOWN, why, None
    confirmed.times_returned += 1
    confirmed.expires_at = now() + SHOWN_FOR


def _show_anew(session: Session, confirmed: Import, others: dict[int, Judged]) -> None:
    counts = Counter(confirmed.counts)
    of_file = ImportRow.import_id == confirmed.id
    for row in session.scalars(sa.select(ImportRow).where(of_file)):
        if (judged := others.get(row.line)) is not None:
            counts[row.verdict.value] -= 1
            counts[judged.verdict.value] += 1
            row.verdict, row.notes = judged.verdict, judged.notes
    confirmed.counts = {verdict: number for verdict, number in counts.items() if number}


def _work(session: Session, settings: Settings, confirmed: Import) -> None:
    query = (
        sa.select(ImportRow)
        .where(ImportRow.import_id == confirmed.id, ImportRow.line > confirmed.done_to)
        .where(ImportRow.verdict.in_(WANTED))
    )
    rows = session.scalars(query.order_by(ImportRow.line).limit(AT_ONCE)).all()
    lifetime = timedelta(days=settings.link_lifetime_days)
    if not _done(session, confirmed, rows, lifetime):
        for row in rows:  # by itself, so that one holds up no other
            if not _done(session, confirmed, [row], lifetime):
                row.outcome = RowOutcome.FAILED
    counted = Counter(row.outcome.value for row in rows if row.outcome)
    confirmed.outcomes = dict(Counter(confirmed.outcomes) + counted)
    confirmed.due_at = now()
    if rows:
        confirmed.done_to = rows[-1].line
    if len(rows) < AT_ONCE:
        _end(session, confirmed)


def _end(session: Session, confirmed: Import) -> None:
    moment = now()
    confirmed.state, confirmed.due_at, confirmed.ended_at = ImportState.DONE, None, moment
    confirmed.expires_at = moment + ROWS_KEPT
    by = member_of(confirmed.confirmed_by) if confirmed.confirmed_by else None
    audit.record(
        session, by, "import.done", partner=confirmed.partner, rows=dict(confirmed.outcomes)
    )


def _done(
    session: Session, confirmed: Import, rows: Sequence[ImportRow], lifetime: timedelta
) -> bool:
    """Do what was shown of these rows, unless it would be something else by now.

    :return: False if that failed, and nothing of it is done
    """
    try:
        with session.begin_nested():
            _do(session, confirmed, rows, lifetime)
    except DATABASE_ERRORS:
        raise
    except Exception:
        # Perhaps somebody has just made one of these growers: the next look sees them.
        log.exception("Import %s failed, lines %s to %s", confirmed.id, rows[0].line, rows[-1].line)
        return False
    return True


def _do(
    session: Session, confirmed: Import, rows: Sequence[ImportRow], lifetime: timedelta
) -> None:
    judged = judge(session, confirmed.partner_id, [_line(row) for row in rows])
    pairs = list(zip(rows, judged, strict=True))
    for row, one in pairs:
        row.outcome = RowOutcome.DONE if _is_as(row, one) else RowOutcome.OVERTAKEN
    kept = [(row, one) for row, one in pairs if row.outcome is RowOutcome.DONE]
    new = [row for row, _ in kept if row.verdict is RowVerdict.NEW]
    _add(session, confirmed.partner_id, new, lifetime)
    _change(session, [one for row, one in kept if row.verdict is RowVerdict.CHANGED])
    session.flush()


def _is_as(row: ImportRow, judged: Judged) -> bool:
    return (row.verdict, row.notes) == (judged.verdict, judged.notes)


def _line(row: ImportRow) -> Line:
    return Line(row.line, *(getattr(row, column) for column in NAMES))


def _add(session: Session, partner_id: UUID, new: Sequence[ImportRow], lifetime: timedelta) -> None:
    """Growers, their connections and their links."""
    newcomers = [
        enrolment.Newcomer(
            external_id=row.external_id,
            name=row.name,
            email=row.email or None,
            phone=row.phone or None,
            leaf_user_id=row.leaf_user_id or None,
        )
        for row in new
    ]
    made = enrolment.enrol(session, partner_id, newcomers, lifetime=lifetime)
    for row, link_id in zip(new, made, strict=True):
        row.link_id = link_id


def _change(session: Session, judged: Sequence[Judged]) -> None:
    """Bring growers up to date, in the order in which others lock their connections."""
    found = [
        (growers.connection_id_of(session, one.grower.id), one.grower, one.line)
        for one in judged
        if one.grower is not None
    ]
    for _, grower, line in sorted(found, key=lambda one: one[0]):
        growers.bring_up_to_date(
            session,
            grower,
            name=line.name,
            email=line.email if line.email not in {"", grower.email} else None,
            phone=line.phone or None,
            leaf_user_id=line.leaf_user_id,
        )
