"""Showing what a file would do, having it done, and forgetting it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import (
    BulkJob,
    Connection,
    Grower,
    Import,
    ImportRow,
    Link,
    Partner,
)
from onboarding.staff import audit
from onboarding.staff.bulk import jobs
from onboarding.staff.imports.file import NAMES, File, values
from onboarding.staff.imports.verdicts import Judged, judge
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners
from onboarding.states import BulkKind, ImportState, RowOutcome, RowVerdict

SHOWN_FOR = timedelta(days=1)
"""From then on nobody can confirm it, and it is deleted."""
PAGE = 50
IMPORTS_SHOWN = 20
AT_ONCE = 500
FILE_NAME_MAX = 200


def show(session: Session, by: Member, partner: Partner, name: str, file: File) -> Import:
    """Keep what a file would do, for a day. Nothing of it is done."""
    moment = now()
    made = Import(
        id=uuid4(),
        staff_id=by.id,
        partner_id=partner.id,
        file_name=name[-FILE_NAME_MAX:],
        ignored=list(file.ignored),
        created_at=moment,
        expires_at=moment + SHOWN_FOR,
    )
    session.add(made)
    session.flush()
    judged = judge(session, partner.id, file.lines)
    _keep(session, made, judged)
    audit.record(session, by, "import.show", partner=partner, rows=len(judged))
    return made


def confirm(session: Session, by: Member, shown: Import, *, seen: int) -> bool:
    """Have the worker do what was shown. Again is the same as once.

    :param shown: locked
    :param seen: how often it had been returned when it was looked at
    :return: False if it has been shown anew since, which nobody has confirmed
    """
    if shown.state is not ImportState.SHOWN:
        return True
    if shown.times_returned != seen:
        return False
    moment = now()
    shown.state, shown.confirmed_at, shown.due_at = ImportState.CHECKING, moment, moment
    shown.confirmed_by_id, shown.returned_for = by.id, None
    audit.record(session, by, "import.confirm", partner=shown.partner, rows=shown.counts)
    return True


def mail(session: Session, by: Member, done: Import) -> BulkJob:
    """Mail the links of the growers who are new. Again is the same as once."""
    job_id = uuid5(done.id, "mail")
    if (known := session.get(BulkJob, job_id)) is not None:
        return known
    found = session.execute(
        sa.select(Connection.id, Grower.partner_id, Link.id)
        .select_from(ImportRow)
        .join(Link, Link.id == ImportRow.link_id)
        .join(Grower, Grower.id == Link.grower_id)
        .join(Connection, Connection.grower_id == Grower.id)
        .where(ImportRow.import_id == done.id, Grower.email.is_not(None))
    )
    return jobs.begin_with(
        session, by, job_id, BulkKind.MAIL, [(row[0], row[1], row[2]) for row in found]
    )


def find(session: Session, by: Member, import_id: UUID, *, lock: bool = False) -> Import | None:
    """One that the member sees."""
    query = sa.select(Import).where(Import.id == import_id, *of_partners(Import.partner_id, by))
    if lock:
        query = query.with_for_update(of=Import)
    found = session.scalar(query)
    is_over = found is not None and found.state is ImportState.SHOWN and found.expires_at < now()
    return None if is_over else found


def newest(session: Session, by: Member) -> Sequence[Import]:
    """The last ones that the member sees."""
    query = (
        sa.select(Import)
        .where(*of_partners(Import.partner_id, by))
        .where(sa.or_(Import.state != ImportState.SHOWN, Import.expires_at > now()))
    )
    return session.scalars(query.order_by(Import.created_at.desc()).limit(IMPORTS_SHOWN)).all()


def rows(
    session: Session, shown: Import, *, only: RowVerdict | RowOutcome | None, after: int
) -> tuple[Sequence[ImportRow], bool]:
    """The next rows, in the order of the file, and whether there are more."""
    query = sa.select(ImportRow).where(ImportRow.import_id == shown.id, ImportRow.line > after)
    match only:
        case RowVerdict():
            query = query.where(ImportRow.verdict == only)
        case RowOutcome():
            query = query.where(ImportRow.outcome == only)
    query = query.order_by(ImportRow.line).limit(PAGE + 1)
    found = session.scalars(query).all()
    return found[:PAGE], len(found) > PAGE


def count_mailable(session: Session, done: Import) -> int:
    """How many of the growers who are new have an address."""
    query = sa.select(sa.func.count()).where(
        ImportRow.import_id == done.id, ImportRow.link_id.is_not(None), ImportRow.email != ""
    )
    return session.scalar(query) or 0


def links(session: Session, done: Import) -> Iterator[tuple[str, str, str, UUID, datetime]]:
    """The links that were made and can be used: external id, name, e-mail, link, its end."""
    query = (
        sa.select(ImportRow.external_id, ImportRow.name, ImportRow.email, Link.id, Link.expires_at)
        .join(Link, Link.id == ImportRow.link_id)
        .where(ImportRow.import_id == done.id)
        .where(Link.revoked_at.is_(None), Link.expires_at > now())
        .order_by(ImportRow.line)
    )
    for row in session.execute(query):
        yield row[0], row[1], row[2], row[3], row[4]


def tidy(session: Session) -> None:
    """Delete what nobody has confirmed, and the rows of what was done long ago. One at a time."""
    rows_left = sa.exists().where(ImportRow.import_id == Import.id)
    is_old = sa.or_(
        Import.state == ImportState.SHOWN, sa.and_(Import.state == ImportState.DONE, rows_left)
    )
    old = sa.select(Import).where(Import.expires_at < now(), is_old)
    found = session.scalar(old.order_by(Import.expires_at).limit(1))
    if found is None:
        return
    session.execute(sa.delete(ImportRow).where(ImportRow.import_id == found.id))
    if found.state is ImportState.SHOWN:
        session.delete(found)


def _keep(session: Session, shown: Import, judged: Sequence[Judged]) -> None:
    shown.counts = dict(Counter(one.verdict.value for one in judged))
    for start in range(0, len(judged), AT_ONCE):
        session.execute(
            sa.insert(ImportRow),
            [
                {
                    "import_id": shown.id,
                    "line": one.line.line,
                    **dict(zip(NAMES, values(one.line), strict=True)),
                    "verdict": one.verdict,
                    "notes": one.notes,
                }
                for one in judged[start : start + AT_ONCE]
            ],
        )
