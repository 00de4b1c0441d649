"""The rows are the truth: whatever the queue has lost, mixed up or let fail is set going again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from onboarding import settings
from onboarding.clock import now
from onboarding.connections import sweep as sweeping
from onboarding.connections import workers
from onboarding.connections.tries import GIVEN_UP_AFTER
from onboarding.installation import Installation, assemble
from onboarding.models import (
    ATTEMPT_LIFETIME,
    Attempt,
    Connection,
    Event,
    Grower,
    Link,
    Partner,
    Worker,
    locked,
)
from onboarding.queue import hand_over_id
from onboarding.states import Cause, Outcome, Stage
from onboarding.worker.machine import BOOT_ID
from tests.support.control import Control
from tests.support.grower import Grower as Visitor
from tests.support.people import People
from tests.support.stack import WORKER, Stack
from tests.support.tokens import (
    POST,
    assert_delivered,
    assert_no_token_stored,
    attempts_of,
    change,
    commits_held,
    connection_of,
    handed_over,
    happened,
    issued,
    posts,
)
from tests.support.wait import wait_until
from tests.unit.databases import Postgresql, Sqlite

DAY = timedelta(days=1)
SWEPT_SECONDS = 90.0
"""A sweep comes every 10 seconds, and a hand-over is looked for once it is 5 seconds late."""


def queue_table(engine: sa.Engine) -> sa.TableClause:
    schema = "dbos" if engine.dialect.name == "postgresql" else None
    names = ("workflow_uuid", "name", "status", "executor_id", "created_at", "application_version")
    return sa.table("workflow_status", *map(sa.column, names), schema=schema)


def queue_says(engine: sa.Engine, workflow_id: str, status: str | None, worker: str = "") -> None:
    """Change what the queue has written down about a workflow; None: nothing any more."""
    table = queue_table(engine)
    change: sa.Delete | sa.Update = sa.delete(table)
    if status is not None:
        change = sa.update(table).values(status=status, executor_id=worker)
    with engine.connect() as connection, connection.begin():
        done = connection.execute(change.where(table.c.workflow_uuid == workflow_id))
        assert done.rowcount == 1


TAKEN_UP = "hand_over_taken_up_again"
MIX_UPS = {
    "row-lost": (None, TAKEN_UP),
    "never-taken": ("PENDING", TAKEN_UP),
    "cancelled": ("CANCELLED", TAKEN_UP),
    "failed": ("ERROR", "hand_over_waits"),
    "done": ("SUCCESS", TAKEN_UP),
}


def test_queue_that_lost_or_mixed_up_its_rows_loses_no_token(
    stack: Stack, control: Control
) -> None:
    stack.stop(WORKER)
    for name, (status, _) in MIX_UPS.items():
        Visitor(stack.invite(name)).connect("one-farm")
        connection = connection_of(stack, name)
        workflow_id = hand_over_id(connection.id, connection.hand_over_try)
        engine = stack.installation.database.engine
        queue_says(engine, workflow_id, status, worker=str(uuid4()))
    stack.start_worker()
    for name, token in zip(MIX_UPS, issued(stack, "one-farm"), strict=True):
        handed_over(stack, name, limit=SWEPT_SECONDS)
        assert_delivered(stack, name, "one-farm", token=token)
        assert (name, len(posts(stack, name))) == (name, 1)
        assert MIX_UPS[name][1] in happened(stack, connection_of(stack, name))
    assert_no_token_stored(stack, "one-farm")


REFUSE = {
    "sqlite": [
        """
        CREATE TRIGGER refuse BEFORE UPDATE OF handed_over_at ON connection
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END
        """
    ],
    "postgresql": [
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$
        """,
        """
        CREATE TRIGGER refuse BEFORE UPDATE OF handed_over_at ON connection
        FOR EACH ROW EXECUTE FUNCTION refuse()
        """,
    ],
}
ACCEPT = {
    "sqlite": ["DROP TRIGGER refuse"],
    "postgresql": ["DROP TRIGGER refuse ON connection", "DROP FUNCTION refuse"],
}


def execute(engine: sa.Engine, statements: Sequence[str]) -> None:
    with engine.connect() as connection, connection.begin():
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_database_that_refuses_the_commit_after_leafs_answer_costs_no_second_credential(
    stack: Stack, control: Control
) -> None:
    engine = stack.installation.database.engine
    execute(engine, REFUSE[engine.dialect.name])
    try:
        Visitor(stack.invite("refused-commit")).connect("one-farm")
        wait_until(
            lambda: connection_of(stack, "refused-commit").cause is Cause.OUR_ERROR,
            what="the sweep has found what ended with an error",
            limit=SWEPT_SECONDS,
        )
        assert "the disk is full" in stack.log(WORKER)
        listed = stack.cli("connection", "list").stdout.splitlines()
        (line,) = [line for line in listed if "demo/refused-commit" in line]
        assert "broke off with an error of ours: the worker's log holds it" in line
        grower = Visitor(stack.invite("refused-commit"))
        assert grower.open().heading == "Something has to be mended on our side"
    finally:
        execute(engine, ACCEPT[engine.dialect.name])
    assert connection_of(stack, "refused-commit").refresh_token is not None
    handed_over(stack, "refused-commit", limit=SWEPT_SECONDS)
    assert_delivered(stack, "refused-commit", "one-farm")
    assert len(posts(stack, "refused-commit")) == 1
    assert_no_token_stored(stack, "one-farm")


def test_second_token_that_comes_while_the_first_is_written_down_is_handed_over_too(
    stack: Stack, control: Control
) -> None:
    people = People(stack)
    person = people.invited("crossing")
    control.add_fault(POST, "hang", times=1, match={"external_id": "crossing"})
    person.connect("partners-only")
    control.wait_for(lambda one: one["fault"] == "hang", what="the first token is on its way")
    again = people.visitor(person.link, "crossing")
    callback = until_callback(again, stack, "one-farm")
    control.add_fault("deere.token", "hang", when="after", match={"account": "one-farm"})
    with ThreadPoolExecutor(1) as pool:
        visit = pool.submit(again.open, callback)
        control.wait_for(
            lambda one: one["point"] == "deere.token" and one["fault"] == "hang",
            what="the second token is on its way",
        )
        with commits_held(stack):
            control.clear_faults()
            for point in (POST, "deere.token"):
                wait_until_answered(control, point)
        visit.result(timeout=60)
    people.close()
    handed_over(stack, "crossing", limit=SWEPT_SECONDS)
    assert_delivered(stack, "crossing", "one-farm")
    assert_no_token_stored(stack, "partners-only", "one-farm")


def wait_until_answered(control: Control, point: str) -> None:
    control.wait_for(
        lambda one: bool(one["point"] == point and one["fault"] == "hang" and one["answered"]),
        what=f"{point} has answered",
    )


def until_callback(visitor: Visitor, stack: Stack, account: str) -> str:
    """Consent with another account; the URL of our callback, which has not been opened yet."""
    visitor.open()
    visitor.session.stop_before = f"{stack.public_url}/deere/callback"
    visitor.start(other_account=True)
    visitor.sign_in(account)
    visitor.allow()
    visitor.session.stop_before = None
    return visitor.page.headers["location"]


def test_check_that_died_with_its_worker_is_made_again(stack: Stack, control: Control) -> None:
    control.add_fault("leaf.status", "hang", times=1, match={"external_id": "unchecked"})
    Visitor(stack.invite("unchecked")).connect("one-farm")
    handed_over(stack, "unchecked")
    control.wait_for(
        lambda one: one["point"] == "leaf.status" and one["fault"] == "hang",
        what="Leaf is being asked",
    )
    stack.kill(WORKER)
    connection = connection_of(stack, "unchecked")
    assert connection.checked_at is None
    assert connection.check_due_at is not None
    change(stack, connection, check_due_at=now())
    stack.start_worker()
    wait_until(
        lambda: connection_of(stack, "unchecked").checked_at,
        what="it was checked",
        limit=SWEPT_SECONDS,
    )


def test_what_growers_left_lying_is_cleared_away(stack: Stack, control: Control) -> None:
    left = Visitor(stack.invite("left"))
    left.open()
    left.start()
    undecided = Visitor(stack.invite("undecided"))
    undecided.authorize("one-farm")
    assert undecided.page.find("Save"), "John Deere asks which organizations to share"
    (attempt,) = attempts_of(stack, connection_of(stack, "left"))
    change(stack, attempt, created_at=attempt.created_at - ATTEMPT_LIFETIME)
    (kept,) = attempts_of(stack, connection_of(stack, "undecided"))
    assert kept.access_token is not None
    assert kept.access_token_until is not None
    change(stack, kept, access_token_until=kept.access_token_until - timedelta(hours=1))
    wait_until(
        lambda: (
            attempts_of(stack, connection_of(stack, "left"))[0].outcome is Outcome.EXPIRED
            and attempts_of(stack, connection_of(stack, "undecided"))[0].access_token is None
        ),
        what="the sweep came by",
        limit=SWEPT_SECONDS,
    )
    assert connection_of(stack, "left").stage is Stage.INVITED
    assert "That took too long" in left.open().text


def test_scheduled_sweeps_end_well(stack: Stack) -> None:
    table = queue_table(stack.installation.database.engine)
    began = int(now().timestamp() * 1000)
    query = sa.select(table.c.status).where(table.c.name == "sweep", table.c.created_at > began)

    def ended() -> set[str]:
        with stack.installation.database.reading() as session:
            return set(session.scalars(query)) - {"ENQUEUED", "PENDING"}

    assert wait_until(ended, what="a sweep has ended", limit=SWEPT_SECONDS) == {"SUCCESS"}


def test_worker_of_another_machine_of_the_same_name_is_not_taken_for_dead(stack: Stack) -> None:
    database = stack.installation.database
    boot_id = BOOT_ID.read_text().strip()
    with database.transaction() as session:
        (own,) = session.scalars(sa.select(Worker).where(Worker.pid == stack.pid(WORKER)))
        # Their numbers are that of a process that has ended; no heartbeat is to be missed.
        there, here = (
            Worker(id=uuid4(), host=host, pid=ended_pid(), started_at=now(), seen_at=now() + DAY)
            for host in (own.host.replace(boot_id, str(uuid4())), own.host)
        )
        session.add_all([there, here])

    def living() -> Sequence[UUID]:
        with database.reading() as session:
            return workers.living(session)

    wait_until(lambda: here.id not in living(), what="the sweep came by", limit=SWEPT_SECONDS)
    assert there.id in living()
    with database.transaction() as session:
        session.delete(there)


def ended_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


@pytest.fixture(scope="module")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    return Sqlite(tmp_path_factory.mktemp("migrated"))


@pytest.fixture(scope="module")
def migrated_postgresql(request: pytest.FixtureRequest) -> Postgresql:
    return Postgresql(request.getfixturevalue("postgres").new_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def alone(
    request: pytest.FixtureRequest, stack_environment: dict[str, str], tmp_path: Path
) -> Iterator[Installation]:
    """An installation on a database of its own, where no process works."""
    migrated: Sqlite | Postgresql = request.getfixturevalue(f"migrated_{request.param}")
    url = migrated.fresh(tmp_path)
    parts = assemble(settings.load(stack_environment | {"DATABASE_URL": url}, instance=tmp_path))
    yield parts
    parts.database.engine.dispose()


@pytest.fixture(scope="module")
def stack_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of an installation that nobody asks anything."""
    return Stack(tmp_path_factory.mktemp("settings"), "sqlite://").environment


def owing(parts: Installation, count: int, *, due: datetime, enqueue: bool) -> list[UUID]:
    """Connections whose hand-over is due.

    :param enqueue: whether the queue knows of them
    :return: their ids
    """
    with parts.database.transaction() as session:
        partner = Partner(slug="p", name="P", created_at=now())
        growers = [
            Grower(partner=partner, external_id=f"g{number}", name="G", created_at=now())
            for number in range(count)
        ]
        session.add_all(growers)
        session.flush()
        connections = [
            Connection(
                grower_id=grower.id,
                stage=Stage.HANDING_OVER,
                refresh_token=b"sealed",
                hand_over_try=1,
                hand_over_due_at=due,
                created_at=now(),
            )
            for grower in growers
        ]
        session.add_all(connections)
        session.flush()
        if enqueue:
            for connection in connections:
                parts.queue.hand_over(session, connection.id, number=1, after=timedelta(0))
        return [connection.id for connection in connections]


def tries(parts: Installation) -> dict[UUID, int]:
    with parts.database.reading() as session:
        rows = session.execute(sa.select(Connection.id, Connection.hand_over_try))
        return dict(rows.all())


def sweep(parts: Installation, *gone: UUID) -> None:
    sweeping.sweep(parts.database, parts.queue, process_is_gone=lambda worker: worker.id in gone)


def test_sweep_sets_more_than_a_batch_going_and_each_once(alone: Installation) -> None:
    owed = owing(alone, sweeping.BATCH + 100, due=now() - timedelta(hours=1), enqueue=False)
    sweep(alone)
    assert tries(alone) == dict.fromkeys(owed, 2)
    assert len(alone.queue.unfinished(hand_over_id(one, 2) for one in owed)) == len(owed)
    with alone.database.transaction() as session:
        session.execute(sa.update(Connection).values(hand_over_due_at=now() - timedelta(hours=1)))
    sweep(alone)
    assert tries(alone) == dict.fromkeys(owed, 2), "they wait in the queue"


def test_sweep_leaves_alone_what_is_not_due_or_a_living_worker_is_at(alone: Installation) -> None:
    (fresh,) = owing(alone, 1, due=now(), enqueue=False)
    sweep(alone)
    assert tries(alone) == {fresh: 1}
    worker = Worker(id=uuid4(), host="h", pid=1, started_at=now(), seen_at=now())
    with alone.database.transaction() as session:
        workers.beat(session, worker, moment=now())
        connection = session.get_one(Connection, fresh)
        connection.hand_over_due_at = now() - timedelta(hours=1)
        alone.queue.hand_over(session, fresh, number=1, after=timedelta(0))
    engine = alone.database.engine
    queue_says(engine, hand_over_id(fresh, 1), "PENDING", str(worker.id))
    sweep(alone)
    assert tries(alone) == {fresh: 1}
    sweep(alone, worker.id)
    assert tries(alone) == {fresh: 2}


def test_try_that_ends_with_an_error_is_followed_by_another_after_a_growing_pause(
    alone: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    (owed,) = owing(alone, 1, due=now() - timedelta(minutes=1), enqueue=True)

    def next_pause(number: int) -> timedelta:
        """How long the sweep waits after try `number`; it comes again at once, and when due."""
        queue_says(alone.database.engine, hand_over_id(owed, number), "ERROR")
        sweep(alone)
        sweep(alone)
        assert tries(alone) == {owed: number + 1}
        assert list(alone.queue.unfinished([hand_over_id(owed, number + 1)]).values()) == [None]
        with alone.database.transaction() as session:
            connection = session.get_one(Connection, owed)
            assert connection.cause is Cause.OUR_ERROR
            assert connection.hand_over_due_at is not None
            assert connection.waiting_since is not None
            pause = connection.hand_over_due_at - now()
            connection.waiting_since -= timedelta(minutes=10)
            connection.hand_over_due_at = now() - timedelta(minutes=1)
        return pause

    assert next_pause(1) < timedelta(seconds=3)
    assert timedelta(minutes=4) < next_pause(2) < timedelta(minutes=11)
    assert len([record for record in caplog.records if "waits for staff" in record.message]) == 1
    with alone.database.reading() as session:
        kinds = session.scalars(sa.select(Event.kind).where(Event.connection_id == owed)).all()
        assert kinds == ["hand_over_waits"]


def test_tries_that_end_with_an_error_come_to_an_end_after_thirty_days(
    alone: Installation,
) -> None:
    (owed,) = owing(alone, 1, due=now() - timedelta(minutes=1), enqueue=True)
    with alone.database.transaction() as session:
        month_ago = now() - GIVEN_UP_AFTER - timedelta(minutes=1)
        session.get_one(Connection, owed).token_received_at = month_ago
    queue_says(alone.database.engine, hand_over_id(owed, 1), "ERROR")
    sweep(alone)
    assert tries(alone) == {owed: 1}
    with alone.database.reading() as session:
        connection = session.get_one(Connection, owed)
        assert (connection.stage, connection.cause) == (Stage.FAILED, Cause.OUR_ERROR)
        assert connection.refresh_token == b"sealed"
        assert connection.hand_over_due_at is None


def test_worker_that_falls_silent_is_forgotten_and_its_work_set_going(alone: Installation) -> None:
    (owed,) = owing(alone, 1, due=now() - timedelta(minutes=1), enqueue=True)
    worker = Worker(id=uuid4(), host="elsewhere", pid=1, started_at=now(), seen_at=now())
    with alone.database.transaction() as session:
        workers.beat(session, worker, moment=now() - workers.SILENT_AFTER + timedelta(seconds=10))
    queue_says(alone.database.engine, hand_over_id(owed, 1), "PENDING", str(worker.id))
    sweep(alone)
    assert tries(alone) == {owed: 1}
    with alone.database.transaction() as session:
        workers.beat(session, worker, moment=now() - workers.SILENT_AFTER)
    sweep(alone)
    assert tries(alone) == {owed: 2}
    with alone.database.reading() as session:
        assert workers.living(session) == []


def test_what_another_release_enqueued_is_enqueued_anew_and_what_it_runs_is_left_to_it(
    alone: Installation,
) -> None:
    waits, runs = owing(alone, 2, due=now() - timedelta(minutes=1), enqueue=True)
    worker = Worker(id=uuid4(), host="h", pid=1, started_at=now(), seen_at=now())
    with alone.database.transaction() as session:
        workers.beat(session, worker, moment=now())
    engine = alone.database.engine
    queue_says(engine, hand_over_id(runs, 1), "PENDING", str(worker.id))
    table = queue_table(engine)
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.update(table).values(application_version="0"))
    sweep(alone)
    assert tries(alone) == {waits: 2, runs: 1}
    anew = [hand_over_id(waits, 2)]
    assert alone.queue.unfinished(anew) == dict.fromkeys(anew)
    running = {hand_over_id(runs, 1): str(worker.id)}
    assert alone.queue.running_hand_overs(runs) == running


@pytest.mark.parametrize("alone", ["postgresql"], indirect=True)
def test_sweep_that_waits_for_a_connection_holds_no_other(alone: Installation) -> None:
    held, other = owing(alone, 2, due=now() + DAY, enqueue=False)
    # The oldest attempt is ended first.
    attempts = [left_attempt(alone, one, days) for one, days in ((other, 2), (held, 1))]
    with ThreadPoolExecutor(1) as pool:
        with alone.database.transaction() as session:
            locked(session, held)
            swept = pool.submit(sweep, alone)
            wait_until(lambda: someone_waits(alone), what="the sweep waits for the connection")
            with alone.database.transaction() as another:
                query = sa.select(Connection.id).where(Connection.id == other)
                assert another.scalar(query.with_for_update(nowait=True)) == other
        swept.result(timeout=60)
    with alone.database.reading() as session:
        ends = [session.get_one(Attempt, one).outcome for one in attempts]
    assert ends == [Outcome.EXPIRED] * 2


def left_attempt(parts: Installation, connection_id: UUID, days: int) -> UUID:
    """An attempt that began so many days ago and has not come back."""
    with parts.database.transaction() as session:
        moment = now() - timedelta(days=days)
        grower_id = session.get_one(Connection, connection_id).grower_id
        link = Link(grower_id=grower_id, created_at=moment, expires_at=moment)
        session.add(link)
        session.flush()
        attempt = Attempt(
            connection_id=connection_id,
            link_id=link.id,
            state_digest=link.id.bytes,
            browser_digest=b"",
            created_at=moment,
        )
        session.add(attempt)
        session.flush()
        return attempt.id


def someone_waits(parts: Installation) -> bool:
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with parts.database.reading() as session:
        return bool(session.scalar(waiting))


def test_tidying_cancels_what_died_and_keeps_what_lives_or_waits(alone: Installation) -> None:
    dead, lives, waits = owing(alone, 3, due=now(), enqueue=True)
    engine, living = alone.database.engine, uuid4()
    queue_says(engine, hand_over_id(dead, 1), "PENDING", str(uuid4()))
    queue_says(engine, hand_over_id(lives, 1), "PENDING", str(living))
    alone.queue.tidy(living=lambda: [living], ended_before=now() - timedelta(hours=1))
    left = alone.queue.unfinished(hand_over_id(one, 1) for one in (dead, lives, waits))
    assert left == {hand_over_id(lives, 1): str(living), hand_over_id(waits, 1): None}
    alone.queue.tidy(living=lambda: [living], ended_before=now() + timedelta(hours=1))
    with engine.connect() as connection:
        count = sa.select(sa.func.count()).select_from(queue_table(engine))
        assert connection.execute(count).scalar() == 2, "what was cancelled has been deleted"
