"""Work on many connections, with workers that are killed in the middle of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import invitations
from onboarding.models import Audit, BulkJob, BulkRow, Connection, Event, Grower, Link, Staff
from onboarding.staff.bulk import jobs, work
from onboarding.staff.bulk.choice import Choice
from onboarding.staff.roles import member_of
from onboarding.states import BulkKind, BulkState, Role
from tests.support.stack import WORKER, Stack
from tests.support.tokens import commits_held
from tests.support.wait import wait_until

GROWERS = 500
SECONDS = 60.0


def grown(stack: Stack) -> tuple[str, ...]:
    """The reference codes of many growers without a connection."""
    stack.invite("bulk-first")
    with stack.installation.database.transaction() as session:
        for number in range(GROWERS):
            invitations.invite(
                session,
                partner_slug="demo",
                external_id=f"bulk-{number}",
                name=f"Farm {number}",
                lifetime=timedelta(days=14),
            )
        found = (
            sa.select(Connection.reference)
            .join(Grower, Grower.id == Connection.grower_id)
            .where(Grower.external_id.like("bulk-%"), Grower.external_id != "bulk-first")
        )
        session.flush()
        return tuple(session.scalars(found))


def begun(stack: Stack, picked: tuple[str, ...]) -> UUID:
    """New links for all of them, the first two parts of which are done."""
    parts, job_id = stack.installation, uuid4()
    with parts.database.transaction() as session:
        staff = Staff(email=f"{job_id}@example.com", role=Role.OPERATOR, created_at=now())
        session.add(staff)
        session.flush()
        job = jobs.begin(session, member_of(staff), job_id, BulkKind.NEW_LINK, Choice(picked))
        assert job.total == GROWERS
    for _ in range(2):
        assert work.step(parts.database, parts.settings)
    return job_id


def set_due(stack: Stack, job_id: UUID, moment: datetime) -> None:
    with stack.installation.database.transaction() as session:
        session.get_one(BulkJob, job_id).due_at = moment


def job_of(stack: Stack, job_id: UUID) -> BulkJob:
    with stack.installation.database.reading() as session:
        return session.get_one(BulkJob, job_id)


def test_workers_killed_in_the_middle_of_500_leave_nothing_undone_and_nothing_done_twice(
    stack: Stack,
) -> None:
    picked = grown(stack)
    stack.kill(WORKER)
    job_id = begun(stack, picked)
    set_due(stack, job_id, now() + timedelta(hours=1))
    stack.start_worker()
    set_due(stack, job_id, now())
    with commits_held(stack):
        before = job_of(stack, job_id).worked
        stack.kill(WORKER)
    assert 0 < before < GROWERS
    assert job_of(stack, job_id).worked == before, "what was not committed has not happened"
    stack.start_worker()
    wait_until(lambda: job_of(stack, job_id).worked > before, what="another goes on", limit=SECONDS)
    stack.kill(WORKER)
    stack.start_worker()
    wait_until(
        lambda: job_of(stack, job_id).state is BulkState.DONE, what="all are done", limit=SECONDS
    )

    job = job_of(stack, job_id)
    assert (job.done, job.left_out, job.failed) == (GROWERS, 0, 0)
    with stack.installation.database.reading() as session:
        chosen = sa.select(Connection.id).join(BulkRow).where(BulkRow.job_id == job_id)
        links = (
            sa.select(sa.func.count())
            .select_from(Link)
            .join(Connection, Connection.grower_id == Link.grower_id)
        )
        assert session.scalar(links.where(Connection.id.in_(chosen))) == 2 * GROWERS
        made = sa.select(sa.func.count(sa.distinct(BulkRow.link_id)))
        assert session.scalar(made.where(BulkRow.job_id == job_id)) == GROWERS
        for table, kind in ((Event, Event.kind == "link_made"), (Audit, None)):
            lines = sa.select(sa.func.count()).where(table.connection_id.in_(chosen))
            number = session.scalar(lines if kind is None else lines.where(kind))
            assert number == (GROWERS if kind is None else 2 * GROWERS)
