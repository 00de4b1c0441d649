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

from onboarding.clock import now
from onboarding.connections import checks, incidents, workers
from onboarding.connections import hand_over as handing_over
from onboarding.connections import sweep as sweeping
from onboarding.installation import Installation
from onboarding.models import Worker
from onboarding.queue import (
    APPLICATION,
    CHECK,
    CHECK_QUEUE,
    HAND_OVER,
    HAND_OVER_QUEUE,
    VERSION,
    database_url,
)

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
SWEEP_SCHEDULE = "*/10 * * * * *"
POLLING_SECONDS = 0.2
CONCURRENT_HAND_OVERS = 16
CONCURRENT_CHECKS = 8
REQUESTS_PER_HAND_OVER = 6
REQUESTS_PER_CHECK = 3
LIMITER_PERIOD_SECONDS = 6.0
SHARE_OF_HAND_OVERS = 2 / 3
FINISHED_KEPT = timedelta(hours=6)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Random, one for each start of a machine (Linux)."""
STOPPING_SECONDS = 25
"""Platforms kill what has not ended 30 seconds after SIGTERM."""


def run(installation: Installation) -> None:
    """Work until SIGTERM or SIGINT; what is being worked on then is finished first, if it can be.

    It does not return: the process ends.
    """
    worker = Worker(id=uuid4(), host=_host(), pid=os.getpid(), started_at=now(), seen_at=now())
    stopping = threading.Event()
    _stop_on_signals(stopping)
    # The row comes before the work: what an unknown worker runs counts as abandoned.
    with installation.database.transaction() as session:
        workers.beat(session, worker, moment=now())
    sweep = _define_workflows(installation, worker)
    DBOS(config=_config(installation, worker.id))
    DBOS.launch()
    _register_queues(installation.settings.leaf_requests_per_minute)
    _schedule(sweep)
    _sweep(installation, worker)
    log.info("Worker %s works", worker.id)
    with _heart(installation, worker):
        stopping.wait()
        log.info("Worker %s stops", worker.id)
        DBOS.destroy(workflow_completion_timeout_sec=STOPPING_SECONDS)
    if not installation.queue.is_busy(worker.id):
        # Else its silence frees the work, which may still be at Leaf at this moment.
        with installation.database.transaction() as session:
            session.execute(sa.delete(Worker).where(Worker.id == worker.id))
    # Python would wait for what is still being worked on, while another worker takes it up.
    logging.shutdown()
    os._exit(0)


@contextmanager
def _heart(installation: Installation, worker: Worker) -> Iterator[None]:
    """Beats on while the worker stops: it is finishing what nobody else should begin."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(HEARTBEAT_SECONDS):
            _beat(installation, worker)

    heart = threading.Thread(target=beat, name="heart")
    heart.start()
    try:
        yield
    finally:
        stopped.set()
        heart.join()


def _define_workflows(
    installation: Installation, worker: Worker
) -> Callable[[datetime, None], None]:
    """Tell DBOS what the names in its tables mean in this process.

    :return: the sweep, to be scheduled
    """
    leaf = installation.leaf()

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

    @DBOS.workflow(name=CHECK)
    def check(connection_id: str, number: int) -> None:
        checks.check(
            installation.database,
            leaf,
            UUID(connection_id),
            number=number,
            told_after=timedelta(minutes=installation.settings.trouble_visible_after_minutes),
        )

    @DBOS.workflow(name="sweep")
    def sweep(scheduled_at: datetime, context: None) -> None:
        _sweep(installation, worker)

    return sweep


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


def _register_queues(requests_per_minute: int) -> None:
    """Both queues with their share of what Leaf may be asked, over all workers together."""
    for name, concurrency, requests, share in (
        (HAND_OVER_QUEUE, CONCURRENT_HAND_OVERS, REQUESTS_PER_HAND_OVER, SHARE_OF_HAND_OVERS),
        (CHECK_QUEUE, CONCURRENT_CHECKS, REQUESTS_PER_CHECK, 1 - SHARE_OF_HAND_OVERS),
    ):
        DBOS.register_queue(
            name,
            worker_concurrency=concurrency,
            limiter=limiter(requests_per_minute * share / requests),
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


def _schedule(sweep: Callable[[datetime, None], None]) -> None:
    DBOS.apply_schedules(
        [
            {
                "schedule_name": "sweep",
                "workflow_fn": sweep,
                "schedule": SWEEP_SCHEDULE,
                "context": None,
            }
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
    incidents.look(
        installation.database,
        share=settings.incident_share_percent / 100,
        within=timedelta(minutes=settings.incident_within_minutes),
    )
    installation.queue.tidy(
        living=lambda: _living(installation), ended_before=now() - FINISHED_KEPT
    )


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
            workers.beat(session, worker, moment=now())
    except SQLAlchemyError:
        log.exception("The heartbeat could not be written")


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
