"""Work on many connections and files of growers, with workers killed in the middle of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import invitations
from onboarding.models import (
    Audit,
    BulkJob,
    BulkRow,
    Connection,
    Event,
    Grower,
    Import,
    ImportRow,
    Link,
    Listing,
    Staff,
)
from onboarding.staff import partners
from onboarding.staff.bulk import jobs, work
from onboarding.staff.bulk.choice import Choice
from onboarding.staff.imports import doing
from onboarding.staff.imports import work as importing
from onboarding.staff.imports.file import File, Line
from onboarding.staff.roles import member_of
from onboarding.states import BulkKind, BulkState, ImportState, Role, RowOutcome
from tests.support.stack import WORKER, Stack
from tests.support.wait import wait_until

GROWERS = 500
ROWS = 1000
SECONDS = 60.0
HELD = 20_261_126
"""The key of a lock that nobody else takes."""
BUSY_SECONDS = 2.0
"""No part keeps SQLite's other writers waiting for so long, but one that is held does."""
ENDLESS = (
    "CREATE VIEW endless AS "
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
)
"""SQLite's triggers can't wait, and take no `WITH` but that of a view."""
WAITING = (
    "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN PERFORM pg_advisory_xact_lock({HELD}); RETURN NEW; END $$"
)
HOW_FAR = {BulkJob: "worked_to", Import: "done_to"}


Work = TypeVar("Work", BulkJob, Import)


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
        query = (
            sa.select(Connection.reference)
            .join(Grower, Grower.id == Connection.grower_id)
            .where(Grower.external_id.like("bulk-%"), Grower.external_id != "bulk-first")
        )
        session.flush()
        return tuple(session.scalars(query))


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


def confirmed(stack: Stack) -> UUID:
    """A file of new growers, which was checked, and the first two parts of which are in."""
    parts = stack.installation
    stack.invite("import-first")
    lines = [Line(2 + one, f"import-{one}", "Farm", "", "", "") for one in range(ROWS)]
    with parts.database.transaction() as session:
        staff = Staff(email="import@example.com", role=Role.OPERATOR, created_at=now())
        session.add(staff)
        session.flush()
        partner = partners.named(session, "demo")
        by = member_of(staff)
        shown = doing.show(session, by, partner, "growers.csv", File(lines, ignored=[]))
        assert doing.confirm(session, by, shown, seen=0)
    for _ in range(1 + 2):
        assert importing.step(parts.database, parts.settings)
    return shown.id


def set_due(stack: Stack, kind: type[Work], key: UUID, moment: datetime) -> None:
    with stack.installation.database.transaction() as session:
        session.get_one(kind, key).due_at = moment


def found(stack: Stack, kind: type[Work], key: UUID) -> Work:
    with stack.installation.database.reading() as session:
        return session.get_one(kind, key)


@contextmanager
def notes_held(stack: Stack, kind: type[Work]) -> Iterator[Callable[[], bool]]:
    """Let a worker do a part and not note how far it is; whether one has come to that.

    What it has done with the rows by then must not be there without the note.
    """
    on = f'BEFORE UPDATE OF {HOW_FAR[kind]} ON "{kind.__tablename__}" FOR EACH ROW'
    if stack.database_url.startswith("sqlite"):
        with closing(sqlite3.connect(urlsplit(stack.database_url).path, timeout=SECONDS)) as file:
            file.isolation_level = None
            file.execute(ENDLESS)
            file.execute(f"CREATE TRIGGER held {on} BEGIN SELECT max(i) FROM endless; END")  # noqa: S608
            yield lambda: _is_busy(stack)
            file.execute("DROP TRIGGER held")
            file.execute("DROP VIEW endless")
        return
    engine = stack.installation.database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.exec_driver_sql(f"SELECT pg_advisory_lock({HELD})")
        server.exec_driver_sql(WAITING)
        server.exec_driver_sql(f"CREATE TRIGGER held {on} EXECUTE FUNCTION held()")
        locks = sa.text("SELECT count(*) FROM pg_locks WHERE objid = :key AND NOT granted")
        yield lambda: server.scalar(locks, {"key": HELD}) == 1
        server.exec_driver_sql(f"SELECT pg_advisory_unlock({HELD})")
        server.exec_driver_sql("DROP FUNCTION held CASCADE")


def _is_busy(stack: Stack) -> bool:
    path = urlsplit(stack.database_url).path
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as other:
        other.isolation_level = None
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.execute("ROLLBACK")
        return False


def finished_by_others(stack: Stack, kind: type[Work], key: UUID) -> Work:
    """What a worker has begun, once others have ended it that were killed meanwhile.

    One of them when it has done a part and not yet noted it: of that nothing has happened.
    """
    set_due(stack, kind, key, now() + timedelta(hours=1))
    stack.start_worker()
    with notes_held(stack, kind) as is_at_its_note:
        set_due(stack, kind, key, now())
        wait_until(is_at_its_note, what="a part is done and not noted", limit=SECONDS)
        before = found(stack, kind, key).worked
        stack.kill(WORKER)
    assert before > 0
    assert found(stack, kind, key).worked == before, "what was not committed has not happened"
    stack.start_worker()
    wait_until(
        lambda: found(stack, kind, key).worked > before, what="another goes on", limit=SECONDS
    )
    stack.kill(WORKER)
    stack.start_worker()
    wait_until(lambda: found(stack, kind, key).ended_at, what="all are done", limit=SECONDS)
    return found(stack, kind, key)


def test_workers_killed_in_the_middle_of_500_leave_nothing_undone_and_nothing_done_twice(
    stack: Stack,
) -> None:
    picked = grown(stack)
    stack.kill(WORKER)
    job_id = begun(stack, picked)
    job = finished_by_others(stack, BulkJob, job_id)
    assert job.state is BulkState.DONE
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


def test_file_goes_in_whole_and_once_though_workers_are_killed_in_the_middle_of_it(
    stack: Stack,
) -> None:
    stack.kill(WORKER)
    done = finished_by_others(stack, Import, confirmed(stack))
    assert (done.state, done.outcomes) == (ImportState.DONE, {"done": ROWS})
    with stack.installation.database.reading() as session:
        rows = sa.select(ImportRow).where(ImportRow.import_id == done.id)
        assert {row.outcome for row in session.scalars(rows)} == {RowOutcome.DONE}
        growers = sa.select(Grower.id).where(
            Grower.external_id.like("import-%"), Grower.external_id != "import-first"
        )
        of_them = sa.select(Connection.id).where(Connection.grower_id.in_(growers))
        for table, column, these in (
            (Grower, Grower.id, growers),
            (Link, Link.grower_id, growers),
            (Connection, Connection.grower_id, growers),
            (Event, Event.connection_id, of_them),
            (Listing, Listing.connection_id, of_them),
        ):
            number = sa.select(sa.func.count()).select_from(table).where(column.in_(these))
            assert session.scalar(number) == ROWS, table.__tablename__
