"""The end of a connection: Leaf deletes the credential, and we forget what we do not need.

The ask and the work are apart, as with a hand-over: once the ask is committed nothing may lose it,
and until Leaf has no credential any more the connection is `disconnecting`, where people see it.
Calling it off is connecting again: the new consent is the newer word, and its hand-over replaces
whatever is there.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.connections import arrivals, history, removal, tries
from onboarding.connections.owed import give_up_token, owe_disconnect
from onboarding.connections.tries import TakenOver
from onboarding.db import Database
from onboarding.errors import (
    InputInvalid,
    SignInRefused,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import Leaf
from onboarding.models import Attempt, Connection, locked
from onboarding.queue import Queue
from onboarding.states import Cause, Health, Stage

REASON_MAX = 200


def ask(
    session: Session, queue: Queue, connection: Connection, *, who: str, reason: str = ""
) -> None:
    """Let a connection end. Asking again while it does changes nothing.

    From the commit on our copy of the token is gone, and nothing is handed over or checked.

    :param who: `history.GROWER`, `history.STAFF` or `history.PARTNER`
    :param reason: for staff
    :raise InputInvalid: if there is nothing to end
    """
    connection = locked(session, connection.id)
    if connection.stage is Stage.DISCONNECTING:
        return
    if connection.stage is Stage.DISCONNECTED:
        raise InputInvalid("This connection is disconnected already.")
    if not connection.can_be_disconnected:
        raise InputInvalid("This connection is not connected: there is nothing to end.")
    history.record(session, connection, "disconnect_asked", who=who, reason=reason)
    give_up_token(connection)
    _forget_access_tokens(session, connection)
    connection.check_number += 1  # a check that is under way does not report any more
    connection.sync_owed = False
    connection.failed_checks = 0
    connection.trouble_told_from = None  # what is to end is not repaired by connecting again
    owe_disconnect(session, queue, connection)


def reason_of_staff(text: str) -> str:
    """A reason as staff give it, for the history.

    :raise InputInvalid: if it says nothing, or too much
    """
    reason = text.strip()
    if not reason or len(reason) > REASON_MAX or not reason.isprintable():
        raise InputInvalid(f"The reason must be one line of 1 to {REASON_MAX} characters.")
    return reason


def retry(
    session: Session, queue: Queue, connection: Connection, *, who: str = history.STAFF
) -> None:
    """Try at once to end a connection, after a person has mended what it waits for.

    :param connection: locked, and `disconnecting`
    :param who: asks for it, for the history
    """
    history.record(session, connection, "disconnect_retried", who=who)
    owe_disconnect(session, queue, connection)


def disconnect(
    database: Database, leaf: Leaf, queue: Queue, connection_id: UUID, *, number: int
) -> None:
    """Have Leaf delete the credential. Calling it again does no harm.

    Whatever keeps Leaf from it is a state that people see, and the next try is enqueued: what a
    grower has asked for is not given up.

    :param number: of the try, which has been taken (see `tries`)
    """
    with suppress(TakenOver):
        _try(database, leaf, queue, connection_id, number=number)


def _try(database: Database, leaf: Leaf, queue: Queue, connection_id: UUID, *, number: int) -> None:
    """Have it deleted, and write down what came of it.

    :raise TakenOver: if another try counts by then
    """
    try:
        stray = _delete(database, leaf, connection_id, number=number)
    except SignInRefused as err:
        _wait(database, queue, connection_id, number, Cause.LEAF_SIGN_IN_REFUSED, str(err))
    except UpstreamUnavailable as err:
        pause = timedelta(seconds=err.retry_after or 0)
        _wait(database, queue, connection_id, number, Cause.LEAF_UNAVAILABLE, str(err), pause)
    except UpstreamRejected as err:
        _wait(database, queue, connection_id, number, Cause.DELETE_REFUSED, str(err))
    else:
        _complete(database, queue, connection_id, number, stray)


def _delete(database: Database, leaf: Leaf, connection_id: UUID, *, number: int) -> datetime | None:
    """Make sure that Leaf has no credential of the grower.

    :return: since when a request may be under way that could yet make one
    """
    with database.reading() as session:
        connection = session.get_one(Connection, connection_id)
    leaf_user_id = connection.grower.leaf_user_id
    if leaf_user_id is None or leaf.credential(leaf_user_id) is None:
        return connection.stray_since
    removal.save_events(database, leaf, connection_id)
    with database.transaction() as session:
        stray = removal.announce(tries.current(session, connection_id, number=number))
    if removal.detach(database, leaf, connection_id, leaf_user_id, number=number, before=stray):
        left = leaf.credential(leaf_user_id)
        if left is not None and left.is_evident:
            raise UpstreamUnavailable("Leaf", "delete the credential", reason="it is still there")
    return stray


def _wait(
    database: Database,
    queue: Queue,
    connection_id: UUID,
    number: int,
    cause: Cause,
    detail: str,
    least: timedelta = timedelta(0),
) -> None:
    with database.transaction() as session:
        connection = tries.current(session, connection_id, number=number)
        tries.wait(session, queue, connection, cause, detail=detail, least=least)


def _complete(
    database: Database, queue: Queue, connection_id: UUID, number: int, stray: datetime | None
) -> None:
    with database.transaction() as session:
        connection = tries.current(session, connection_id, number=number)
        connection.stray_since = stray
        if tries.linger(session, queue, connection):
            return
        connection.stage = Stage.DISCONNECTED
        connection.hand_over_due_at = None
        connection.hand_over_taken_by = None
        connection.waiting_since = None
        connection.cause = None
        connection.detail = ""
        _forget(connection)
        history.record(session, connection, "disconnected")


def _forget(connection: Connection) -> None:
    """Forget what only a connection needs; grower, Leaf user, links and history stay."""
    connection.organizations.clear()
    connection.organizations_seen_at = None
    connection.leaf_listed_at = None
    connection.returned_at = None
    connection.choose_url = None
    connection.terms_url = None
    connection.sharing_trouble = None
    connection.sharing_trouble_at = None
    connection.sharing_detail = ""
    connection.health = Health.UNKNOWN
    connection.health_text = ""
    connection.health_since = None
    connection.client_key = None
    connection.environment = None
    connection.scopes_asked = []
    connection.scopes_granted = []
    connection.token_received_at = None
    connection.leaf_credential_id = None
    connection.checked_at = None
    connection.checks = 0
    connection.connected_at = None
    arrivals.forget(connection)


def _forget_access_tokens(session: Session, connection: Connection) -> None:
    session.execute(
        sa.update(Attempt)
        .where(Attempt.connection_id == connection.id, Attempt.access_token.is_not(None))
        .values(access_token=None, access_token_until=None)
    )
