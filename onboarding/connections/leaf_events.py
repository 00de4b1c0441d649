"""Leaf's events of a credential: what John Deere answered to Leaf. Copied, since Leaf forgets them.

Leaf keeps them for 30 days, and drops them with the credential (docs.withleaf.io,
providers/john-deere). They are for staff alone.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import Database, delete_oldest
from onboarding.errors import UpstreamError, UpstreamRejected
from onboarding.leaf import CredentialEvent, Leaf
from onboarding.models import Connection, LeafEvent, locked
from onboarding.redaction import identifier
from onboarding.states import Cause, Health

PAUSE = timedelta(days=7)
"""Between two copies while nothing is the matter; some of them may fail within the 30 days."""
KNOWN_AGAIN = timedelta(days=45)
"""So far back Leaf can't show an event that we have."""
OVERLAP = 20
"""So many known events in a row are the end of the new ones, should some be out of order."""
MOST_AT_ONCE = 2000
NOT_FOUND = 404

log = logging.getLogger(__name__)


def copy(database: Database, leaf: Leaf, connection_id: UUID) -> None:
    """Copy the events that we do not have yet. Calling it again does no harm.

    Where Leaf has no credential, it has no events either, and nothing is left to be copied.

    :raise UpstreamError: if Leaf does not tell; then nothing was copied
    """
    with database.reading() as session:
        connection = session.get_one(Connection, connection_id)
        known = set(_known(session, connection_id))
    leaf_user_id = connection.grower.leaf_user_id
    found = {} if leaf_user_id is None else _new(leaf, leaf_user_id, known)
    with database.transaction() as session:
        current = locked(session, connection_id)
        # Somebody else may have copied meanwhile.
        for key in found.keys() - _stored(session, connection_id, list(found)):
            session.add(_row(connection_id, key, found[key]))
        current.events_copied_at = now()
        current.events_copied_as = connection.health


def try_to_copy(database: Database, leaf: Leaf, connection_id: UUID) -> None:
    """The same, beside something more important: if Leaf does not tell, another time."""
    try:
        copy(database, leaf, connection_id)
    except UpstreamError as err:
        log.warning("Leaf's events were not copied: %s", err)


def is_due(connection: Connection) -> bool:
    """Whether a check should copy the events: once a week, and when Leaf's word has turned.

    Not for an outage at the provider: many connections turn at once then, and turn back.
    """
    if not connection.is_at_leaf or connection.failed_checks:
        return False
    if connection.cause is Cause.CREDENTIAL_MISSING:
        return False  # they are gone with it
    copied_at = connection.events_copied_at
    since = max(filter(None, (copied_at, connection.handed_over_at)), default=None)
    return _has_turned(connection) or since is None or since < now() - PAUSE


def forget_old(session: Session, *, kept: timedelta) -> None:
    """Delete the events that were copied longer ago; some at a time."""
    delete_oldest(session, LeafEvent, by=LeafEvent.copied_at, before=now() - kept)


def _has_turned(connection: Connection) -> bool:
    if connection.health is Health.TEMPORARILY_UNAVAILABLE:
        return False
    if connection.health is Health.UNKNOWN and not connection.health_text:
        return False  # no word at all
    return connection.health is not (connection.events_copied_as or Health.OK)


def _new(leaf: Leaf, leaf_user_id: str, known: set[str]) -> dict[str, CredentialEvent]:
    new: dict[str, CredentialEvent] = {}
    known_in_a_row = 0
    try:
        for event in leaf.events(leaf_user_id):
            key = _key(event)
            known_in_a_row = known_in_a_row + 1 if key in known else 0
            if known_in_a_row == OVERLAP or len(new) == MOST_AT_ONCE:
                break
            if key not in known:
                new[key] = event
    except UpstreamRejected as err:
        if err.status != NOT_FOUND:
            raise
    return new


def _key(event: CredentialEvent) -> str:
    """Leaf's id of the event, or what stands for one."""
    if key := identifier(event.id):
        return key
    said = f"{event.id} {event.created} {event.status_code} {event.body}"
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()


def _known(session: Session, connection_id: UUID) -> sa.ScalarResult[str]:
    return session.scalars(
        sa.select(LeafEvent.leaf_id).where(
            LeafEvent.connection_id == connection_id,
            LeafEvent.copied_at > now() - KNOWN_AGAIN,
        )
    )


def _stored(session: Session, connection_id: UUID, keys: list[str]) -> set[str]:
    return set(
        session.scalars(
            sa.select(LeafEvent.leaf_id).where(
                LeafEvent.connection_id == connection_id, LeafEvent.leaf_id.in_(keys)
            )
        )
    )


def _row(connection_id: UUID, key: str, event: CredentialEvent) -> LeafEvent:
    moment = now()
    return LeafEvent(
        connection_id=connection_id,
        leaf_id=key,
        at=event.created or moment,
        status_code=event.status_code,
        body=event.body,
        copied_at=moment,
    )
