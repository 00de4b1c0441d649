"""The door to the queue: work is enqueued in the same transaction as the rows that ask for it.

Arguments are ids and numbers only; the queue's tables are no place for secrets. The rows are the
truth and the queue is the means: what the queue loses, the sweep enqueues again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy.orm import Session

APPLICATION = "onboarding"
VERSION = "1"
"""Of the workflows' arguments. A release that keeps it takes up what the last one left."""
HAND_OVER_QUEUE = "hand-over"
HAND_OVER = "hand_over"
MAIL_QUEUE = "mail"
MAIL = "mail"
RUNNING, DELAYED, FAILED = "PENDING", "DELAYED", "ERROR"
UNFINISHED = ["ENQUEUED", DELAYED, RUNNING]
FINISHED = ["SUCCESS", FAILED, "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
DELETED_AT_ONCE = 1000


class Queue:
    """Enqueues work for the workers.

    :param engine: the application's own engine; the queue's tables live in the same database
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
        )

    def hand_over(
        self, session: Session, connection_id: UUID, *, number: int, after: timedelta
    ) -> None:
        """Let a worker try the hand-over once the transaction has committed.

        :param number: of the try; enqueueing one number twice is the same as once
        :param after: how long to wait first
        """
        options: EnqueueOptions = {
            "workflow_name": HAND_OVER,
            "queue_name": HAND_OVER_QUEUE,
            "workflow_id": hand_over_id(connection_id, number),
            "app_version": VERSION,
        }
        if after:
            options["delay_seconds"] = after.total_seconds()
        self._client.enqueue_in_transaction(session, options, str(connection_id), number)

    def mail(self, session: Session, mail: UUID, *, number: int) -> None:
        """Let a worker send a mail once the transaction has committed.

        :param number: of the try; enqueueing one number twice is the same as once
        """
        options: EnqueueOptions = {
            "workflow_name": MAIL,
            "queue_name": MAIL_QUEUE,
            "workflow_id": mail_id(mail, number),
            "app_version": VERSION,
        }
        self._client.enqueue_in_transaction(session, options, str(mail), number)

    def mails_waiting(self, at_most: int) -> int:
        """How many mails wait for their turn, counted up to a number."""
        found = self._client.list_workflows(
            queue_name=MAIL_QUEUE,
            status=["ENQUEUED"],
            app_version=VERSION,
            limit=at_most,
            load_input=False,
            load_output=False,
        )
        return len(found)

    def is_ready(self) -> bool:
        """Whether the queue's tables are there.

        :raise SQLAlchemyError: if they are not, or the database does not answer
        """
        self._client.list_workflows(limit=1, load_input=False, load_output=False)
        return True

    def unfinished(self, workflow_ids: Iterable[str]) -> dict[str, str | None]:
        """Those of the given workflows that have not ended.

        What waits in the form of another release's arguments is left out: no worker of this one
        takes it.

        :return: the id of the worker that runs it, dead or alive; None while it waits
        """
        return self._unfinished(workflow_ids=list(workflow_ids), status=UNFINISHED)

    def hasten(self, workflow_ids: Iterable[str]) -> None:
        """Let those of the given workflows begin that the queue keeps back although they are due.

        It measures pauses by its own clock, which can't be moved. Not within a transaction: it
        writes in one of its own.
        """
        if not (ids := list(workflow_ids)):
            return  # the queue's client would take that for all
        kept_back = self._client.list_workflows(
            workflow_ids=ids, status=DELAYED, load_input=False, load_output=False
        )
        for workflow in kept_back:
            self._client.set_workflow_delay(workflow.workflow_id, delay_seconds=0)

    def failed(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those of the given workflows that ended with an error, which the worker has logged."""
        if not (ids := list(workflow_ids)):
            return set()  # the queue's client would take that for all
        found = self._client.list_workflows(
            workflow_ids=ids, status=FAILED, load_input=False, load_output=False
        )
        return {workflow.workflow_id for workflow in found}

    def running_hand_overs(self, connection_id: UUID) -> dict[str, str | None]:
        """The tries of one hand-over that have been begun and have not ended, as `unfinished`."""
        return self._unfinished(
            queue_name=HAND_OVER_QUEUE,
            status=RUNNING,
            workflow_id_prefix=f"{HAND_OVER}:{connection_id}:",
        )

    def is_busy(self, worker: UUID) -> bool:
        """Whether a worker has begun something that has not ended."""
        return bool(self._unfinished(status=RUNNING, executor_id=str(worker)))

    def tidy(self, *, living: Callable[[], Collection[UUID]], ended_before: datetime) -> None:
        """Cancel what died with its worker, and delete the rows of what ended long ago.

        The history has its own rows, and the sweep has enqueued anew what was still owed.

        :param living: says which workers live; asked after the queue (see `sweep`)
        """
        running = self._unfinished(status=RUNNING)
        names = {str(worker) for worker in living()}
        dead = [workflow_id for workflow_id, worker in running.items() if worker not in names]
        if dead:
            self._client.cancel_workflows(dead)
        finished = self._client.list_workflows(
            status=FINISHED,
            completed_before=ended_before.isoformat(),
            limit=DELETED_AT_ONCE,
            load_input=False,
            load_output=False,
        )
        if finished:
            self._client.delete_workflows([workflow.workflow_id for workflow in finished])

    def _unfinished(self, **which: Any) -> dict[str, str | None]:
        # Not `DBOS.list_workflows`: in a workflow it wants to store what it returns, and can't.
        found = self._client.list_workflows(**which, load_input=False, load_output=False)
        return {
            workflow.workflow_id: (workflow.executor_id or "")
            if workflow.status == RUNNING
            else None
            for workflow in found
            if workflow.status == RUNNING or workflow.app_version == VERSION
        }


def hand_over_id(connection_id: UUID, number: int) -> str:
    """The queue's id of one try of one hand-over."""
    return f"{HAND_OVER}:{connection_id}:{number}"


def mail_id(mail: UUID, number: int) -> str:
    """The queue's id of one try to send one mail."""
    return f"{MAIL}:{mail}:{number}"


def database_url(url: str) -> str:
    """The database's URL as DBOS writes it, without SQLAlchemy's name of the driver."""
    found = sa.make_url(url)
    if found.get_backend_name() == "postgresql":
        # As in `db`: the encoding is ours to say.
        found = found.set(drivername="postgresql").update_query_dict({"client_encoding": "utf8"})
    return found.render_as_string(hide_password=False)
