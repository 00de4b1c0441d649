"""Work on many connections: begun, stopped and looked at by people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import BulkJob, BulkRow, Connection, Grower, Link, Partner
from onboarding.staff import audit
from onboarding.staff.bulk.choice import Choice
from onboarding.staff.roles import Member
from onboarding.states import BulkKind, BulkRowState, BulkState, LeftOut, StoppedFor

PAGE = 50
JOBS_SHOWN = 50
COUNTED_AT_MOST = 10_000
"""For more than that it is not counted how many checks have been answered."""
LINKS_AT_ONCE = 1000
ROWS_KEPT = timedelta(days=90)
DELETED_AT_ONCE = 5000


@dataclass(frozen=True)
class Row:
    """What became of a connection."""

    connection_id: UUID
    reference: str
    grower: str
    external_id: str
    partner: str
    state: BulkRowState
    reason: LeftOut | None
    at: datetime | None
    checked_at: datetime | None

    @property
    def is_answered(self) -> bool:
        """Whether Leaf has been asked since."""
        return None not in {self.at, self.checked_at} and self.checked_at > self.at  # type: ignore[operator]


def begin(session: Session, by: Member, job_id: UUID, kind: BulkKind, choice: Choice) -> BulkJob:
    """Write down what is to be done, and with which. Again is the same as once.

    :param job_id: made with the page that asked whether to begin
    """
    if (known := session.get(BulkJob, job_id)) is not None:
        return known
    rows = choice.ids(session, by)  # also of a view, to see whether it can be meant
    if choice.view is not None:
        return _begin_view(session, by, job_id, kind, choice.view)
    found = [(key, partner_id) for key, partner_id in session.execute(rows)]
    return begin_with(session, by, job_id, kind, [(*one, None) for one in found])


def begin_with(
    session: Session,
    by: Member,
    job_id: UUID,
    kind: BulkKind,
    found: Sequence[tuple[UUID, UUID, UUID | None]],
) -> BulkJob:
    """The same for connections that are known: id, partner, and the link that is meant, if any."""
    moment = now()
    job = BulkJob(
        id=job_id,
        staff_id=by.id,
        kind=kind,
        state=BulkState.RUNNING,
        created_at=moment,
        due_at=moment,
        total=len(found),
        partners=sorted({str(partner_id) for _, partner_id, _ in found}),
    )
    session.add(job)
    session.flush()
    if found:
        session.execute(
            sa.insert(BulkRow),
            [{"job_id": job_id, "connection_id": one[0], "link_id": one[2]} for one in found],
        )
    audit.record(session, by, f"bulk.{kind.value}", bulk=str(job_id), connections=len(found))
    return job


def _begin_view(session: Session, by: Member, job_id: UUID, kind: BulkKind, view: str) -> BulkJob:
    """The same for what a view of the table shows, which the worker writes down: it may be all."""
    moment = now()
    job = BulkJob(
        id=job_id,
        staff_id=by.id,
        kind=kind,
        state=BulkState.COLLECTING,
        view=view,
        created_at=moment,
        due_at=moment,
    )
    session.add(job)
    audit.record(session, by, f"bulk.{kind.value}", bulk=str(job_id), view=view)
    return job


def stop(session: Session, by: Member, job: BulkJob) -> None:
    """End it before the next part begins. Again is the same as once.

    :param job: locked
    """
    if job.due_at is None:
        return
    end(job, BulkState.STOPPED, why=StoppedFor.PERSON, who=by.email)
    audit.record(session, by, "bulk.stop", bulk=str(job.id), worked=job.worked, of=job.total)


def end(job: BulkJob, state: BulkState, *, why: StoppedFor | None = None, who: str = "") -> None:
    """Nothing more is done."""
    job.state = state
    job.due_at = None
    job.ended_at = now()
    job.stopped_for = why
    job.stopped_by = who


def tidy(session: Session) -> None:
    """Delete rows of work that ended long ago, some thousand at a time. How it ended stays."""
    old = (
        sa.select(BulkRow.job_id, BulkRow.connection_id)
        .join(BulkJob, BulkJob.id == BulkRow.job_id)
        .where(BulkJob.ended_at < now() - ROWS_KEPT)
        .limit(DELETED_AT_ONCE)
    )
    key = sa.tuple_(BulkRow.job_id, BulkRow.connection_id)
    session.execute(
        sa.delete(BulkRow).where(key.in_(old)), execution_options={"synchronize_session": False}
    )


def find(session: Session, by: Member, job_id: UUID, *, lock: bool = False) -> BulkJob | None:
    """One that the member sees."""
    query = sa.select(BulkJob).where(BulkJob.id == job_id, *_seen_by(session, by))
    return session.scalar(query.with_for_update(of=BulkJob) if lock else query)


def newest(session: Session, by: Member) -> Sequence[BulkJob]:
    """The last ones that the member sees."""
    query = sa.select(BulkJob).where(*_seen_by(session, by))
    query = query.order_by(BulkJob.created_at.desc(), BulkJob.id).limit(JOBS_SHOWN)
    return session.scalars(query).all()


def _seen_by(session: Session, by: Member) -> list[sa.ColumnElement[bool]]:
    """Conditions: who is limited sees work on nothing but what they see, whoever began it.

    What others began, only once all that is in it is known, and if that is anything.
    """
    if by.partners is None:
        return []
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    each = sa.func.json_array_elements_text if is_postgresql else sa.func.json_each
    partner = each(BulkJob.partners).table_valued("value", name="partner")
    seen = sa.column("value", sa.String).in_([str(one) for one in by.partners])
    is_collected = sa.or_(
        BulkJob.view.is_(None),
        BulkJob.state == BulkState.RUNNING,
        BulkJob.worked_to.is_not(None),
    )
    return [
        ~sa.select(1).select_from(partner).where(~seen).correlate(BulkJob).exists(),
        sa.or_(BulkJob.staff_id == by.id, sa.and_(BulkJob.total > 0, is_collected)),
    ]


def rows(
    session: Session, job: BulkJob, *, state: BulkRowState | None, after: UUID | None
) -> tuple[Sequence[Row], bool]:
    """The next rows, in the order in which they are worked on, and whether there are more."""
    query = (
        sa.select(
            Connection.id,
            Connection.reference,
            Grower.name,
            Grower.external_id,
            Partner.name,
            BulkRow.state,
            BulkRow.reason,
            BulkRow.at,
            Connection.checked_at,
        )
        .select_from(BulkRow)
        .join(Connection, Connection.id == BulkRow.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .join(Partner, Partner.id == Grower.partner_id)
        .where(BulkRow.job_id == job.id)
        .order_by(BulkRow.connection_id)
        .limit(PAGE + 1)
    )
    if state is not None:
        query = query.where(BulkRow.state == state)
    if after is not None:
        query = query.where(BulkRow.connection_id > after)
    found = [Row(*row) for row in session.execute(query)]
    return found[:PAGE], len(found) > PAGE


def count_answered(session: Session, job: BulkJob) -> int | None:
    """How many of those that are to be checked anew Leaf has told us of since; None: too many."""
    if job.kind is not BulkKind.RECHECK or job.done > COUNTED_AT_MOST:
        return None
    query = (
        sa.select(sa.func.count())
        .select_from(BulkRow)
        .join(Connection, Connection.id == BulkRow.connection_id)
        .where(BulkRow.job_id == job.id, BulkRow.state == BulkRowState.DONE)
        .where(Connection.checked_at > BulkRow.at)
    )
    return session.scalar(query) or 0


def ends(job: BulkJob) -> datetime | None:
    """When it will have ended if it goes on as it has; None if nobody can tell."""
    if job.due_at is None or not job.worked:
        return None
    moment = now()
    return moment + (moment - job.created_at) * ((job.total - job.worked) / job.worked)


def links(database: Database, job_id: UUID) -> Iterator[tuple[str, str, str, UUID, datetime]]:
    """The links that were made and can be used: external id, name, e-mail, link, its end.

    Read in parts, so that neither memory nor a transaction grows with them.
    """
    after: UUID | None = None
    while True:
        query = (
            sa.select(
                BulkRow.connection_id,
                Grower.external_id,
                Grower.name,
                Grower.email,
                Link.id,
                Link.expires_at,
            )
            .select_from(BulkRow)
            .join(Link, Link.id == BulkRow.link_id)
            .join(Grower, Grower.id == Link.grower_id)
            .where(BulkRow.job_id == job_id, BulkRow.state == BulkRowState.DONE)
            .where(Link.revoked_at.is_(None), Link.expires_at > now())
            .order_by(BulkRow.connection_id)
            .limit(LINKS_AT_ONCE)
        )
        if after is not None:
            query = query.where(BulkRow.connection_id > after)
        with database.reading() as session:
            found = session.execute(query).all()
        for key, external_id, name, email, link_id, until in found:
            yield external_id, name, email or "", link_id, until
            after = key
        if len(found) < LINKS_AT_ONCE:
            return
