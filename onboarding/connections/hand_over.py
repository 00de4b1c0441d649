"""The refresh token's way to Leaf.

Every step can be repeated: what a crash leaves half done, the next try finds and finishes. Two
tries never work on one connection at a time (see `tries`).
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import arrivals, disconnect, history, tries
from onboarding.connections.delivery import (
    ApplicationChanged,
    Delivery,
    LeafUserMissing,
)
from onboarding.connections.owed import owe_check, owe_hand_over
from onboarding.connections.tries import TakenOver
from onboarding.db import Database
from onboarding.errors import (
    EnvironmentMismatch,
    InputInvalid,
    SignInRefused,
    TokenUnreadable,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import Credential, Leaf
from onboarding.models import Connection, locked
from onboarding.queue import Queue
from onboarding.settings import Settings
from onboarding.states import Cause, Stage
from onboarding.vault import Vault


def hand_over(
    database: Database,
    vault: Vault,
    leaf: Leaf,
    queue: Queue,
    settings: Settings,
    connection_id: UUID,
    *,
    number: int,
    worker_id: UUID,
) -> None:
    """Do what is owed at Leaf: give it the waiting refresh token, or have it delete the credential.

    Calling it again does no harm. An outage enqueues the next try, a refusal makes the connection
    `failed`; both are states that people see, so nothing is raised for them.

    :param number: of the try; an outdated one does nothing
    """
    owed = tries.take(database, queue, connection_id, number=number, worker_id=worker_id)
    if owed is Stage.DISCONNECTING:
        disconnect.disconnect(database, leaf, queue, connection_id, number=number)
    elif owed is Stage.HANDING_OVER:
        task = Delivery(database, vault, leaf, settings, connection_id, number)
        try:
            _try(database, queue, task)
        except TakenOver:
            task.leave()


def _try(database: Database, queue: Queue, task: Delivery) -> None:
    """Deliver, and write down what came of it.

    :raise TakenOver: if another try counts by then
    """
    try:
        credential = task.deliver()
    except TokenUnreadable as err:
        _wait(database, queue, task, Cause.TOKEN_UNREADABLE, detail=str(err))
    except SignInRefused as err:
        _wait(database, queue, task, Cause.LEAF_SIGN_IN_REFUSED, detail=str(err))
    except UpstreamUnavailable as err:
        pause = timedelta(seconds=err.retry_after or 0)
        _wait(database, queue, task, Cause.LEAF_UNAVAILABLE, detail=str(err), least=pause)
    except LeafUserMissing as err:
        _fail(database, task, Cause.LEAF_USER_MISSING, detail=str(err))
    except EnvironmentMismatch as err:
        _fail(database, task, Cause.ENVIRONMENT_MISMATCH, detail=str(err))
    except UpstreamRejected as err:
        _fail(database, task, Cause.LEAF_REFUSED, detail=str(err))
    except ApplicationChanged as err:
        _fail(database, task, Cause.APPLICATION_CHANGED, detail=str(err))
    else:
        _complete(database, queue, task, credential)


def retry(
    session: Session, queue: Queue, connection: Connection, *, who: str = history.STAFF
) -> None:
    """Let a hand-over that failed, or what waits, be tried again: a person has mended the reason.

    :param who: asks for it, for the history
    :raise InputInvalid: if no token is kept; then only the grower can connect again
    """
    connection = locked(session, connection.id)
    if connection.stage is Stage.DISCONNECTING:
        disconnect.retry(session, queue, connection, who=who)
        return
    if connection.refresh_token is None:
        raise InputInvalid("No token is kept for this connection: the grower must connect again.")
    # The clock of the thirty days starts anew: somebody looks after it.
    connection.token_received_at = now()
    history.record(session, connection, "hand_over_retried", who=who)
    owe_hand_over(session, queue, connection)


def _complete(database: Database, queue: Queue, task: Delivery, credential: Credential) -> None:
    with database.transaction() as session:
        connection = task.current(session)
        if tries.linger(session, queue, connection):
            return
        connection.refresh_token = None
        connection.hand_over_due_at = None
        connection.hand_over_taken_by = None
        connection.waiting_since = None
        connection.cause = None
        connection.detail = ""
        connection.leaf_credential_id = credential.id
        connection.handed_over_at = now()
        connection.health = credential.health
        connection.health_text = credential.raw_status
        connection.health_since = now()
        arrivals.forget(connection)
        connection.stage = Stage.CHOOSING_ORGANIZATIONS
        connection.settle()
        connection.checks = 0
        history.record(session, connection, "handed_over", status=credential.raw_status)
        owe_check(connection)


def _wait(
    database: Database,
    queue: Queue,
    task: Delivery,
    cause: Cause,
    *,
    detail: str,
    least: timedelta = timedelta(0),
) -> None:
    with database.transaction() as session:
        connection = task.current(session)
        tries.wait(session, queue, connection, cause, detail=detail, least=least)


def _fail(database: Database, task: Delivery, cause: Cause, *, detail: str) -> None:
    with database.transaction() as session:
        connection = task.current(session)
        tries.fail(session, connection, cause, detail)
