"""What DBOS is told: its queues and schedules, and what the names in its tables mean here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from onboarding.connections import hand_over as handing_over
from onboarding.connections import mails
from onboarding.installation import Installation
from onboarding.leaf import Leaf
from onboarding.models import Worker
from onboarding.queue import (
    APPLICATION,
    HAND_OVER,
    HAND_OVER_QUEUE,
    MAIL,
    MAIL_QUEUE,
    VERSION,
    database_url,
)
from onboarding.worker import upkeep

SWEEP_SCHEDULE = "*/10 * * * * *"
CATCH_UP_SCHEDULE = "0 23 * * * *"
"""Every hour, and when a worker starts."""
POLLING_SECONDS = 0.2
CONCURRENT_HAND_OVERS = 16
CONCURRENT_MAILS = 1
"""A worker that is killed leaves at most one mail of which nobody knows whether it was taken."""
LIMITER_PERIOD_SECONDS = 6.0
Scheduled = Callable[[datetime, None], None]


def define(installation: Installation, worker: Worker, leaf: Leaf) -> tuple[Scheduled, Scheduled]:
    """Define the workflows, before DBOS is launched.

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
        upkeep.sweep(installation, worker)

    @DBOS.workflow(name="catch_up")
    def catch_up(scheduled_at: datetime, context: None) -> None:
        upkeep.catch_up(installation, leaf)

    return sweep, catch_up


def config(installation: Installation, worker_id: UUID) -> DBOSConfig:
    """How DBOS runs in this process."""
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


def register_queues(mails_per_minute: int) -> None:
    """Tell DBOS how much of a queue may run at once."""
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
        limiter=_limiter(mails_per_minute),
        polling_interval_sec=POLLING_SECONDS,
        on_conflict="always_update",
    )


def schedule(sweep: Scheduled, catch_up: Scheduled) -> None:
    """Let some worker do them at their times."""
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


class _Limit(TypedDict):
    """As DBOS wants it: so many starts in so many seconds."""

    limit: int
    period: float


def _limiter(per_minute: float) -> _Limit:
    """So many starts a minute, in small portions, so that none waits long for its turn."""
    portion = per_minute * LIMITER_PERIOD_SECONDS / 60
    if portion >= 1:
        return {"limit": int(portion), "period": LIMITER_PERIOD_SECONDS}
    return {"limit": 1, "period": 60 / per_minute}
