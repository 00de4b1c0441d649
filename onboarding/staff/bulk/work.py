"""The worker's part in work on many connections.

A part of the rows at a time, each part in one transaction that holds the job's row: so no two
workers are at the same job, and what a killed one had not committed has not happened. What is done
with a connection and that it is done stand in the same transaction, so nothing is done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import invitations, mails, owed
from onboarding.db import DATABASE_ERRORS, Database
from onboarding.errors import InputInvalid
from onboarding.models import BulkJob, BulkRow, Connection, Link, Listing
from onboarding.settings import Settings
from onboarding.staff import audit, finding
from onboarding.staff.bulk import choice, jobs
from onboarding.staff.roles import Member, member_of
from onboarding.states import (
    BulkKind,
    BulkRowState,
    BulkState,
    LeftOut,
    Role,
    StoppedFor,
    Urgency,
)

AT_ONCE = {BulkKind.RECHECK: 25, BulkKind.NEW_LINK: 100, BulkKind.MAIL: 100}
"""So many rows a transaction: others wait for its locks."""
COLLECTED_AT_ONCE = 10_000
SHARE_OF_RATE = 2 / 3
"""Of what Leaf allows, for checks that nobody waits for."""
REQUESTS_PER_CHECK = 2

Fit = tuple[BulkRow, Connection]

log = logging.getLogger(__name__)


def step(database: Database, settings: Settings) -> bool:
    """Work on one part of the job that has been due for longest.

    :return: whether there was one
    """
    due = sa.select(BulkJob).where(BulkJob.due_at <= now()).order_by(BulkJob.due_at).limit(1)
    with database.reading() as session:
        if session.scalar(due) is None:
            return False  # without a lock, which SQLite has only one of
    with database.transaction() as session:
        job = session.scalar(due.with_for_update(of=BulkJob, skip_locked=True))
        if job is None:
            return False
        if (why := _why_not(job, settings)) is not None:
            jobs.end(job, BulkState.STOPPED, why=why)
        elif job.state is BulkState.COLLECTING:
            _collect(session, job, member_of(job.staff))
        else:
            _work(session, settings, job, member_of(job.staff))
    return True


def _why_not(job: BulkJob, settings: Settings) -> StoppedFor | None:
    if job.staff.disabled_at is not None or not job.staff.role.includes(Role.OPERATOR):
        return StoppedFor.NOT_ALLOWED
    if job.kind is BulkKind.MAIL and settings.mail is None:
        return StoppedFor.MAIL_OFF
    return None


def _collect(session: Session, job: BulkJob, by: Member) -> None:
    """Write down some thousand of those that a view shows, in the order of their ids.

    Nothing is done before all are: what is done may change what the view shows.
    """
    try:
        query = choice.of_view(session, by, job.view or "")
    except InputInvalid:
        jobs.end(job, BulkState.STOPPED, why=StoppedFor.VIEW_GONE)
        return
    finding.plan_anew(session)
    before = job.collected_to
    if before is not None:
        query = query.where(Listing.connection_id > before)
    number = _keep(session, job, query.order_by(Listing.connection_id).limit(COLLECTED_AT_ONCE))
    if number:
        of_job = BulkRow.job_id == job.id
        last = sa.select(BulkRow.connection_id).where(of_job)
        job.collected_to = session.scalar(last.order_by(BulkRow.connection_id.desc()).limit(1))
        job.total += number
        job.partners = sorted({*job.partners, *_partners(session, job, after=before)})
    if number < COLLECTED_AT_ONCE:
        job.state = BulkState.RUNNING


def _keep(session: Session, job: BulkJob, found: sa.Select[Any]) -> int:
    """Write down what was found, without a look at it here: it may be a million.

    :return: how many there were
    """
    some = found.subquery()
    rows = sa.select(
        sa.literal(job.id, BulkRow.job_id.type),
        some.c.connection_id,
        sa.literal(BulkRowState.WAITING, BulkRow.state.type),
    )
    insert = sa.insert(BulkRow).from_select(["job_id", "connection_id", "state"], rows)
    kept = session.execute(insert, execution_options={"preserve_rowcount": True})
    number: int = kept.rowcount  # type: ignore[attr-defined]
    return number


def _partners(session: Session, job: BulkJob, *, after: UUID | None) -> Iterator[str]:
    """Ids of those whose connections have just been written down."""
    query = (
        sa.select(Listing.partner_id)
        .join(BulkRow, BulkRow.connection_id == Listing.connection_id)
        .where(BulkRow.job_id == job.id)
        .distinct()
    )
    if after is not None:
        query = query.where(BulkRow.connection_id > after)
    return map(str, session.scalars(query))


def _work(session: Session, settings: Settings, job: BulkJob, by: Member) -> None:
    at_once = AT_ONCE[job.kind]
    query = sa.select(BulkRow).where(BulkRow.job_id == job.id)
    if job.worked_to is not None:
        query = query.where(BulkRow.connection_id > job.worked_to)
    rows = session.scalars(query.order_by(BulkRow.connection_id).limit(at_once)).all()
    connections = _locked(session, [row.connection_id for row in rows])
    reasons = choice.reasons(session, job.kind, list(connections))
    fit = []
    for row in rows:
        row.at = now()
        if not by.sees(connections[row.connection_id].grower.partner_id):
            row.state, row.reason = BulkRowState.LEFT_OUT, LeftOut.NOT_SEEN
        elif (reason := reasons[row.connection_id]) is not None:
            row.state, row.reason = BulkRowState.LEFT_OUT, reason
        else:
            fit.append(row)
    _try(session, settings, job, by, [(row, connections[row.connection_id]) for row in fit])
    if rows:
        job.worked_to = rows[-1].connection_id
    _count(job, rows)
    if len(rows) < at_once:
        jobs.end(job, BulkState.DONE)
    else:
        job.due_at = now() + _pause(job, rows, settings)


def _locked(session: Session, ids: Sequence[UUID]) -> dict[UUID, Connection]:
    """Connections by their ids, in whose order others lock them, too."""
    query = (
        sa.select(Connection)
        .where(Connection.id.in_(ids))
        .order_by(Connection.id)
        .with_for_update(of=Connection)
    )
    return {one.id: one for one in session.scalars(query)}


def _try(
    session: Session, settings: Settings, job: BulkJob, by: Member, fit: Sequence[Fit]
) -> None:
    """Do it with all of them at once, which is quick; if that fails with one, one by one."""
    try:
        with session.begin_nested():
            _do_all(session, settings, job, by, fit)
    except DATABASE_ERRORS:
        raise
    except Exception:
        for one in fit:
            _try_one(session, settings, job, by, one)


def _try_one(session: Session, settings: Settings, job: BulkJob, by: Member, one: Fit) -> None:
    row, connection = one
    try:
        with session.begin_nested():
            _do_all(session, settings, job, by, [one])
    except InputInvalid:
        row.state, row.reason = BulkRowState.LEFT_OUT, LeftOut.ADDRESS_UNFIT
    except DATABASE_ERRORS:
        raise
    except Exception:
        # One row that can't be worked on must not hold up all that come after it.
        log.exception("Bulk work on %s failed", connection.reference)
        row.state, row.reason = BulkRowState.FAILED, LeftOut.OUR_ERROR


def _do_all(
    session: Session, settings: Settings, job: BulkJob, by: Member, fit: Sequence[Fit]
) -> None:
    links = [_do(session, settings, job.kind, row, connection) for row, connection in fit]
    session.flush()  # before the rows that name them
    for (row, connection), link in zip(fit, links, strict=True):
        row.state, row.link_id = BulkRowState.DONE, link.id if link else None
        audit.record(
            session, by, f"connection.{job.kind.value}", connection=connection, bulk=str(job.id)
        )


def _do(
    session: Session, settings: Settings, kind: BulkKind, row: BulkRow, connection: Connection
) -> Link | None:
    """Do it with one.

    :return: the link that was made for it, or is mailed
    """
    match kind:
        case BulkKind.RECHECK:
            if not connection.is_being_looked_at:
                owed.owe_check(connection, urgency=Urgency.CHANGED)
            return None
        case BulkKind.NEW_LINK:
            return _new_link(session, settings, connection)
        case BulkKind.MAIL:
            link = session.get(Link, row.link_id) if row.link_id else None
            if link is None or not link.is_usable(now()):
                link = _new_link(session, settings, connection)
            mails.invite(session, settings, link, connection)
            return link


def _new_link(session: Session, settings: Settings, connection: Connection) -> Link:
    lifetime = timedelta(days=settings.link_lifetime_days)
    return invitations.new_link(session, connection, lifetime=lifetime)


def _count(job: BulkJob, rows: Sequence[BulkRow]) -> None:
    counted = dict(job.reasons)
    for row in rows:
        match row.state:
            case BulkRowState.DONE:
                job.done += 1
            case BulkRowState.LEFT_OUT:
                job.left_out += 1
            case _:
                job.failed += 1
        if row.reason is not None:
            counted[row.reason.value] = counted.get(row.reason.value, 0) + 1
    job.reasons = counted


def _pause(job: BulkJob, rows: Sequence[BulkRow], settings: Settings) -> timedelta:
    """So long that checks come no faster than Leaf is asked, and those that people wait for pass.

    Mails wait in their own queue, which has its own pace.
    """
    if job.kind is not BulkKind.RECHECK:
        return timedelta(0)
    per_minute = settings.leaf_requests_per_minute * SHARE_OF_RATE / REQUESTS_PER_CHECK
    asked = sum(row.state is BulkRowState.DONE for row in rows)
    return timedelta(minutes=asked / per_minute)
