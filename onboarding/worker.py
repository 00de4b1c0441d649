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
from collections.abc import Callable
from datetime import datetime, timedelta
from types import FrameType
from uuid import UUID, uuid4

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from onboarding.clock import now
from onboarding.connections import hand_over as handing_over
from onboarding.connections import watch
from onboarding.installation import Installation
from onboarding.models import Worker
from onboarding.queue import (
    APPLICATION,
    CHECK,
    CHECK_QUEUE,
    HAND_OVER,
    HAND_OVER_QUEUE,
    RUNNING,
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
FINISHED_PER_SWEEP = 1000
STOPPING_SECONDS = 40


def run(installation: Installation) -> None:
    """Work until SIGTERM or SIGINT; what is being worked on then is finished first."""
    worker = Worker(
        id=uuid4(), host=socket.gethostname(), pid=os.getpid(), started_at=now(), seen_at=now()
    )
    stopping = threading.Event()
    _stop_on_signals(stopping)
    # The row comes before the work: a try taken by an unknown worker counts as abandoned.
    _beat(installation, worker)
    sweep = _define_workflows(installation, worker)
    DBOS(config=_config(installation, worker.id))
    DBOS.launch()
    _register_queues(installation.settings.leaf_requests_per_minute)
    _schedule(sweep)
    _sweep(installation, worker)
    log.info("Worker %s works", worker.id)
    while not stopping.wait(HEARTBEAT_SECONDS):
        _beat(installation, worker)
    log.info("Worker %s stops", worker.id)
    DBOS.destroy(workflow_completion_timeout_sec=STOPPING_SECONDS)
    with installation.database.transaction() as session:
        session.delete(session.merge(worker))


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
    def check(connection_id: str, sync: bool) -> None:
        watch.check(installation.database, leaf, UUID(connection_id), sync=sync)

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
    share = requests_per_minute * LIMITER_PERIOD_SECONDS / 60
    hand_overs = max(1, int(share * SHARE_OF_HAND_OVERS / REQUESTS_PER_HAND_OVER))
    checks = max(1, int(share * (1 - SHARE_OF_HAND_OVERS) / REQUESTS_PER_CHECK))
    DBOS.register_queue(
        HAND_OVER_QUEUE,
        worker_concurrency=CONCURRENT_HAND_OVERS,
        limiter={"limit": hand_overs, "period": LIMITER_PERIOD_SECONDS},
        polling_interval_sec=POLLING_SECONDS,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        CHECK_QUEUE,
        worker_concurrency=CONCURRENT_CHECKS,
        limiter={"limit": checks, "period": LIMITER_PERIOD_SECONDS},
        polling_interval_sec=POLLING_SECONDS,
        on_conflict="always_update",
    )


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
    watch.sweep(
        installation.database,
        installation.queue,
        process_is_gone=lambda other: _is_gone(other, worker),
    )
    _tidy_queue(installation)


def _tidy_queue(installation: Installation) -> None:
    """Delete the queue's rows of what ended hours ago, and cancel what died with its worker.

    The history has its own rows, and the sweep has enqueued anew what was still owed.
    """
    with installation.database.reading() as session:
        alive = {str(worker_id) for worker_id in session.scalars(sa.select(Worker.id))}
    for workflow in DBOS.list_workflows(status=RUNNING, load_input=False, load_output=False):
        if workflow.executor_id not in alive:
            DBOS.cancel_workflow(workflow.workflow_id)
    finished = DBOS.list_workflows(
        status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
        completed_before=(now() - FINISHED_KEPT).isoformat(),
        limit=FINISHED_PER_SWEEP,
        load_input=False,
        load_output=False,
    )
    if finished:
        DBOS.delete_workflows([workflow.workflow_id for workflow in finished])


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
            watch.beat(session, worker, moment=now())
    except SQLAlchemyError:
        log.exception("The heartbeat could not be written")


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
