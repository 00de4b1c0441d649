"""The process: what runs in it side by side, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Protocol
from uuid import uuid4

import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from onboarding import clock
from onboarding.connections import workers
from onboarding.connections.pace import Rank, Turns
from onboarding.connections.watch import Watch
from onboarding.installation import Installation
from onboarding.models import Worker
from onboarding.staff import figures
from onboarding.staff.rounds import Rounds
from onboarding.webhooks.courier import Courier
from onboarding.worker import upkeep, workflows
from onboarding.worker.machine import host

HEARTBEAT_SECONDS = 5.0
FIGURES_SECONDS = 2.0
"""After which it is seen whether figures are to be counted; they say themselves when."""
STOPPING_SECONDS = 25
"""Platforms kill what has not ended 30 seconds after SIGTERM."""

log = logging.getLogger(__name__)


class Loop(Protocol):
    """What goes on in a thread of its own until it is told to stop."""

    def run(self) -> None:
        """Go on until `stop`; what is under way then is finished first."""

    def stop(self) -> None:
        """Begin nothing any more."""


def run(installation: Installation) -> None:
    """Work until SIGTERM or SIGINT; what is being worked on then is finished first, if it can be.

    It does not return: the process ends.
    """
    worker = Worker(
        id=uuid4(), host=host(), pid=os.getpid(), started_at=clock.real(), seen_at=clock.real()
    )
    stopping = threading.Event()
    _stop_on_signals(stopping)
    # The row comes before the work: what an unknown worker runs counts as abandoned.
    with installation.database.transaction() as session:
        workers.beat(session, worker, moment=clock.real())
    settings = installation.settings
    turns = Turns(installation.database, per_minute=settings.leaf_requests_per_minute)
    leaf = installation.leaf(turns.of(Rank.HAND_OVER))
    sweep, catch_up = workflows.define(installation, worker, leaf)
    DBOS(config=workflows.config(installation, worker.id))
    DBOS.launch()
    workflows.register_queues(settings.mail_per_minute)
    workflows.schedule(sweep, catch_up)
    upkeep.sweep(installation, worker)
    told_after = timedelta(minutes=settings.trouble_visible_after_minutes)
    loops: dict[str, Loop] = {
        "watch": Watch(installation.database, leaf, turns, told_after=told_after),
        "work for staff": Rounds(installation.database, settings),
        "webhooks": Courier(installation.database, installation.vault, settings),
    }
    threads = [threading.Thread(target=loop.run, name=name) for name, loop in loops.items()]
    for thread in threads:
        thread.start()
    DBOS.start_workflow(catch_up, clock.now(), None)
    log.info("Worker %s works", worker.id)
    with (
        _every(HEARTBEAT_SECONDS, lambda: upkeep.beat(installation, worker), name="heartbeat"),
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
        for loop in loops.values():
            loop.stop()
        DBOS.destroy(workflow_completion_timeout_sec=STOPPING_SECONDS)
        for thread in threads:
            thread.join(max(0.0, latest - time.monotonic()))
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


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
