"""Before Leaf deletes a credential: its events are copied, and it is written down what happens.

Leaf drops a credential's events with it. They tell staff what John Deere said to Leaf; they are
worth a short wait, and never worth a grower's token or a grower's "stop".
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from onboarding.clock import now
from onboarding.connections import history, leaf_events, tries
from onboarding.connections.tries import TakenOver
from onboarding.db import Database
from onboarding.errors import SignInRefused, UpstreamRejected, UpstreamUnavailable
from onboarding.leaf import Leaf
from onboarding.models import Connection, locked

EVENTS_AWAITED_FOR = timedelta(minutes=2)
"""They are copied regularly, too: what may be missing then is of the last days."""
NOT_FOUND = 404

log = logging.getLogger(__name__)


def save_events(database: Database, leaf: Leaf, connection_id: UUID) -> None:
    """Copy the events of the credential that is to be deleted, if they can be had in time.

    What could not be copied is written down. Nothing that goes wrong here keeps a deletion waiting
    for longer than `EVENTS_AWAITED_FOR`.

    :raise SignInRefused: if Leaf does not let us in at all
    :raise UpstreamUnavailable: if the events can't be had now, and may be had soon
    """
    try:
        leaf_events.copy(database, leaf, connection_id)
    except SignInRefused:
        raise
    except UpstreamRejected as err:
        if err.status != NOT_FOUND:
            _note_lost(database, connection_id, str(err))
    except UpstreamUnavailable as err:
        if _may_wait(database, connection_id):
            raise
        _note_lost(database, connection_id, str(err))
    except Exception as err:
        # An event that our table can't hold must not keep a token from Leaf.
        log.exception("Leaf's events could not be copied")
        detail = f"an error of ours: {type(err).__name__}"
        if _may_wait(database, connection_id):
            raise UpstreamUnavailable("Leaf", "copy the events", reason=detail) from err
        _note_lost(database, connection_id, detail)


def announce(connection: Connection) -> datetime | None:
    """Write down, before a DELETE is sent, that Leaf may carry it out from now on.

    :param connection: locked
    :return: what stood there before, to be put back once Leaf has answered
    """
    before = connection.stray_since
    connection.stray_since = now()
    connection.events_awaited_since = None
    return before


def detach(
    database: Database,
    leaf: Leaf,
    connection_id: UUID,
    leaf_user_id: str,
    *,
    number: int,
    before: datetime | None,
) -> bool:
    """Let Leaf delete the credential; False if there was none.

    :param number: of the try
    :param before: what `announce` returned
    """
    try:
        return leaf.detach(leaf_user_id)
    except UpstreamRejected:
        # A refusal is an answer: nothing is under way.
        with database.transaction() as session, suppress(TakenOver):
            tries.current(session, connection_id, number=number).stray_since = before
        raise


def _may_wait(database: Database, connection_id: UUID) -> bool:
    with database.transaction() as session:
        connection = locked(session, connection_id)
        since = connection.events_awaited_since = connection.events_awaited_since or now()
    return now() - since < EVENTS_AWAITED_FOR


def _note_lost(database: Database, connection_id: UUID, detail: str) -> None:
    with database.transaction() as session:
        history.record(session, locked(session, connection_id), "events_not_copied", detail=detail)
