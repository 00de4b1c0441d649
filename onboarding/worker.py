"""The worker: the only process that talks to Leaf.

Thin: workflows load nothing and decide nothing, they call the use cases. What they are given are
ids; what they leave behind stands in the rows.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TypedDict
from uuid import UUID, uuid4

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from onboarding import clock
from onboarding.connections import (
    alerts,
    embedding,
    incidents,
    leaf_events,
    listing,
    mails,
    open_link,
    workers,
)
from onboarding.connections import hand_over as handing_over
from onboarding.connections import sweep as sweeping
from onboarding.connections.pace import Rank, Turns
from onboarding.connections.watch import Watch
from onboarding.errors import UpstreamError
from onboarding.installation import Installation
from onboarding.leaf import Leaf
from onboarding.models import Worker
from onboarding.partners import repeats
from onboarding.queue import (
    APPLICATION,
    HAND_OVER,
    HAND_OVER_QUEUE,
    MAIL,
    MAIL_QUEUE,
    VERSION,
    database_url,
)
from onboarding.staff import figures
from onboarding.staff.bulk import jobs
from onboarding.staff.imports import doing as importing
from onboarding.staff.rounds import Rounds
from onboarding.webhooks import outbox as webhooks
from onboarding.webhooks import telling as webhook_mails
from onboarding.webhooks.courier import Courier

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
FIGURES_SECONDS = 2.0
"""After which it is seen whether figures are to be counted; they say themselves when."""
SWEEP_SCHEDULE = "*/10 * * * * *"
CATCH_UP_SCHEDULE = "0 23 * * * *"
"""Every hour, and when a worker starts."""
POLLING_SECONDS = 0.2
CONCURRENT_HAND_OVERS = 16
CONCURRENT_MAILS = 1
"""A worker that is killed leaves at most one mail of which nobody knows whether it was taken."""
LIMITER_PERIOD_SECONDS = 6.0
FINISHED_KEPT = timedelta(hours=6)
Scheduled = Callable[[datetime, None], None]
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Random, one for each start of a machine (Linux)."""
STOPPING_SECONDS = 25
"""Platforms kill what has not ended 30 seconds after SIGTERM."""


def run(installation: Installation) -> None:
    """Work until SIGTERM or SIGINT; what is being worked on then is finished first, if it can be.

    It does not return: the process ends.
    """
    worker = Worker(
        id=uuid4(), host=_host(), pid=os.getpid(), started_at=clock.real(), seen_at=clock.real()
    )
    stopping = threading.Event()
    _stop_on_signals(stopping)
    # The row comes before the work: what an unknown worker runs counts as abandoned.
    with installation.database.transaction() as session:
        workers.beat(session, worker, moment=clock.real())
    turns = Turns(installation.database, per_minute=installation.settings.leaf_requests_per_minute)
    leaf = installation.leaf(turns.of(Rank.HAND_OVER))
    sweep, catch_up = _define_workflows(installation, worker, leaf)
    DBOS(config=_config(installation, worker.id))
    DBOS.launch()
    _register_queues(installation.settings.mail_per_minute)
    _schedule(sweep, catch_up)
    _sweep(installation, worker)
    watch = Watch(
        installation.database,
        leaf,
        turns,
        told_after=timedelta(minutes=installation.settings.trouble_visible_after_minutes),
    )
    watching = threading.Thread(target=watch.run, name="watch")
    watching.start()
    rounds = Rounds(installation.database, installation.settings)
    working = threading.Thread(target=rounds.run, name="work for staff")
    working.start()
    courier = Courier(installation.database, installation.vault, installation.settings)
    telling = threading.Thread(target=courier.run, name="webhooks")
    telling.start()
    DBOS.start_workflow(catch_up, clock.now(), None)
    log.info("Worker %s works", worker.id)
    with (
        _every(HEARTBEAT_SECONDS, lambda: _beat(installation, worker), name="heartbeat"),
        _every(HEARTBEAT_SECONDS, turns.report, name="number of requests"),
        _every(
            FIGURES_SECONDS,
            lambda: figures.count_if_due(installation.database),
            name="figures",
            is_awaited=False,
        ),
    ):
        stopping.wait()
        log.info("Worker %s stops", worker.id)
        latest = time.monotonic() + STOPPING_SECONDS
        watch.stop()
        rounds.stop()
        courier.stop()
        DBOS.destroy(workflow_completion_timeout_sec=STOPPING_SECONDS)
        watching.join(max(0.0, latest - time.monotonic()))
        working.join(max(0.0, latest - time.monotonic()))
        telling.join(max(0.0, latest - time.monotonic()))
    if not installation.queue.is_busy(worker.id):
        # Else its silence frees the work, which may still be at Leaf at this moment.
        with installation.database.transaction() as session:
            session.execute(sa.delete(Worker).where(Worker.id == worker.id))
    # Python would wait for what is still being worked on, while another worker takes it up.
    logging.shutdown()
    os._exit(0)


@contextmanager
def _every(
    seconds: float, action: Callable[[], None], *, name: str, is_awaited: bool = True
) -> Iterator[None]:
    """Do something again and again, in a thread of its own, also while the worker stops.

    A database that is away for a moment is not a reason to end.

    :param is_awaited: at the end; else it is cut off, and whoever comes next begins anew
    """
    stopped = threading.Event()

    def go_on() -> None:
        while not stopped.wait(seconds):
            try:
                action()
            except SQLAlchemyError:
                log.exception("The database did not take the %s", name)

    thread = threading.Thread(target=go_on, name=name, daemon=not is_awaited)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        if is_awaited:
            thread.join()


def _define_workflows(
    installation: Installation, worker: Worker, leaf: Leaf
) -> tuple[Scheduled, Scheduled]:
    """Tell DBOS what the names in its tables mean in this process.

    :return: the sweep and the catch-up, to be scheduled
    """

    @DBOS.workflow(name=HAND_OVER)
    def hand_over(connection_id: str, number: int) -> None:
        handing_over.hand_over(
            installation.database,
            installation.vault,
            leaf,
            installation.queue,
            installation.settings,
            UUID(connection_id),
            number=number,
            worker_id=worker.id,
        )

    @DBOS.workflow(name=MAIL)
    def mail(mail_id: str, number: int) -> None:
        mails.send(
            installation.database,
            installation.settings,
            installation.links,
            UUID(mail_id),
            number=number,
        )

    @DBOS.workflow(name="sweep")
    def sweep(scheduled_at: datetime, context: None) -> None:
        _sweep(installation, worker)

    @DBOS.workflow(name="catch_up")
    def catch_up(scheduled_at: datetime, context: None) -> None:
        _catch_up(installation, leaf)

    return sweep, catch_up


def _config(installation: Installation, worker_id: UUID) -> DBOSConfig:
    return {
        "name": APPLICATION,
        "system_database_url": database_url(installation.settings.database_url),
        "application_version": VERSION,
        "executor_id": str(worker_id),
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": False,  # `db upgrade` does that, once per release
        "enable_otlp": False,
        "log_level": "WARNING",
        "scheduler_polling_interval_sec": 5.0,
    }


def _register_queues(mails_per_minute: int) -> None:
    DBOS.register_queue(
        HAND_OVER_QUEUE,
        worker_concurrency=CONCURRENT_HAND_OVERS,
        polling_interval_sec=POLLING_SECONDS,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        MAIL_QUEUE,
        worker_concurrency=CONCURRENT_MAILS,
        # Over all workers together, so that the end of an outage is no flood.
        limiter=limiter(mails_per_minute),
        polling_interval_sec=POLLING_SECONDS,
        on_conflict="always_update",
    )


class Limit(TypedDict):
    """As DBOS wants it: so many starts in so many seconds."""

    limit: int
    period: float


def limiter(per_minute: float) -> Limit:
    """So many starts a minute, in small portions, so that none waits long for its turn."""
    portion = per_minute * LIMITER_PERIOD_SECONDS / 60
    if portion >= 1:
        return {"limit": int(portion), "period": LIMITER_PERIOD_SECONDS}
    return {"limit": 1, "period": 60 / per_minute}


def _schedule(sweep: Scheduled, catch_up: Scheduled) -> None:
    DBOS.apply_schedules(
        [
            {
                "schedule_name": "sweep",
                "workflow_fn": sweep,
                "schedule": SWEEP_SCHEDULE,
                "context": None,
            },
            {
                "schedule_name": "catch-up",
                "workflow_fn": catch_up,
                "schedule": CATCH_UP_SCHEDULE,
                "context": None,
            },
        ]
    )


def _sweep(installation: Installation, worker: Worker) -> None:
    # First of all: a machine that slept must not take itself for dead.
    _beat(installation, worker)
    sweeping.sweep(
        installation.database,
        installation.queue,
        process_is_gone=lambda other: _is_gone(other, worker),
    )
    settings = installation.settings
    # Before the mails: an incident that has just begun holds them back.
    incidents.look(
        installation.database,
        share=settings.incident_share_percent / 100,
        within=timedelta(minutes=settings.incident_within_minutes),
    )
    _forget_old(installation)
    open_link.take_up(installation.database)
    _sweep_mails(installation)
    installation.queue.tidy(
        living=lambda: _living(installation), ended_before=clock.real() - FINISHED_KEPT
    )
    # After the incidents, which change what many are told.
    listing.refresh_due(installation.database)


def _catch_up(installation: Installation, leaf: Leaf) -> None:
    """Take the alerts that did not reach web; without it the checks find them, only later."""
    if not installation.settings.leaf_alert_secret:
        return  # none is registered
    try:
        found = alerts.catch_up(installation.database, leaf)
    except UpstreamError as err:
        log.warning("Leaf's failed calls were not read: %s", err)
    else:
        if found:
            log.info("Alerts that Leaf could not deliver: %d", found)


def _forget_old(installation: Installation) -> None:
    with installation.database.transaction() as session:
        leaf_events.forget_old(session, kept=timedelta(days=installation.settings.events_kept_days))
    with installation.database.transaction() as session:
        alerts.forget_old(session)
    embedding.forget_old(installation.database)
    with installation.database.transaction() as session:
        importing.tidy(session)
    with installation.database.transaction() as session:
        jobs.tidy(session)
    with installation.database.transaction() as session:
        webhooks.forget_old(session)
    with installation.database.transaction() as session:
        repeats.forget_old(session)


def _sweep_mails(installation: Installation) -> None:
    """Enqueue the mails that are due. While mail is off they stay where they are."""
    with installation.database.transaction() as session:
        mails.tidy(session)
    if installation.settings.mail is not None:
        with installation.database.transaction() as session:
            at_most = installation.settings.mail_per_minute
            mails.enqueue_due(session, installation.queue, at_most=at_most)
        webhook_mails.tell_due(installation.database, installation.settings)


def _living(installation: Installation) -> Sequence[UUID]:
    with installation.database.reading() as session:
        return workers.living(session)


def _host() -> str:
    """This machine, or this container of it: where a process number means one process.

    Names of machines repeat, and so do namespaces: the first of every machine has the same number.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(BOOT_ID.read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _is_gone(other: Worker, worker: Worker) -> bool:
    """Whether another worker of this machine has ended, seen from its process."""
    if other.host != worker.host or other.id == worker.id:
        return False
    if other.pid == worker.pid:
        return True  # a container that was started anew: the same number, another process
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _beat(installation: Installation, worker: Worker) -> None:
    """Write the heartbeat. A database that is away for a moment is not a reason to end."""
    try:
        with installation.database.transaction() as session:
            workers.beat(session, worker, moment=clock.real())
    except SQLAlchemyError:
        log.exception("The heartbeat could not be written")


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
