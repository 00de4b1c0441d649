"""Leaf's alerts: each is a reason to ask Leaf, and none is believed.

Pages: docs.withleaf.io, alerts/{overview,events,authentication}. An alert has no id of its own and
may be delivered twice, late, or in another order, so it is known by what it says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.connections.owed import owe_check
from onboarding.db import Database, delete_oldest
from onboarding.leaf import Leaf
from onboarding.models import Connection, Grower, SeenAlert, locked
from onboarding.redaction import identifier, one_line
from onboarding.states import Stage

PING = "confirmation of webhook upon registration"
PING_BYTES = 1024
"""Leaf's has 56; nothing longer is looked at unsigned."""
FAMILIES = ("credentials", "providerOrganization")
"""How the types begin that speak of a credential or its organizations; all others are left out."""
TYPE_CHARS = 64
KEPT = timedelta(days=60)
"""How long an alert is known again. One that comes back later costs a request, and no more."""
PAUSE = timedelta(minutes=1)
"""One connection is asked about at once only so often, however many alerts name it."""
ASKING_AROUND_PAUSE = timedelta(minutes=10)
ASKED_AROUND = 50
"""Connections that an alert of an unknown credential makes us ask about."""


@dataclass(frozen=True)
class Alert:
    """What an alert says that matters here."""

    type: str
    credential_id: str
    """Leaf's id of the credential; empty if it names none."""
    leaf_user_id: str
    """Empty, as in all alerts about credentials."""
    digest: bytes
    """Of all that it says."""


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether Leaf signed exactly these bytes: base64 of HMAC-SHA256 (alerts/authentication)."""
    try:
        given = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256"), given)


def is_ping(body: bytes) -> bool:
    """Whether it is what Leaf sends when a webhook is registered, with no signature."""
    if len(body) > PING_BYTES:
        return False
    said = _parse(body)
    return isinstance(said, dict) and said.get("message") == PING and "type" not in said


def read(body: bytes | str) -> list[Alert]:
    """The alerts in a body that matter here.

    Whether Leaf sends one or several at once is not documented, so a list is understood as well.
    What can't be read is no alert.
    """
    said = _parse(body)
    items = said if isinstance(said, list) else [said]
    return [alert for item in items if (alert := _read(item)) is not None]


def receive(database: Database, body: bytes | str, *, missed: bool = False) -> int:
    """Ask Leaf anew about what the alerts of a body name. The same alert again does nothing.

    :param body: from Leaf: signed by it, or read there
    :param missed: whether Leaf could not deliver it
    :return: how many were news
    """
    return sum(_receive(database, alert, missed=missed) for alert in read(body))


def catch_up(database: Database, leaf: Leaf) -> int:
    """Take the alerts that Leaf could not deliver, for example while web was away.

    :return: how many were news
    :raise UpstreamError: if Leaf does not tell
    """
    since = now() - KEPT
    return sum(
        receive(database, call.body, missed=True)
        for call in leaf.webhooks.failed_calls()
        if call.created is None or call.created > since
    )


def forget_old(session: Session) -> None:
    """Delete what was kept to know alerts again; some at a time."""
    delete_oldest(session, SeenAlert, by=SeenAlert.received_at, before=now() - KEPT)


def _parse(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _read(item: Any) -> Alert | None:
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(kind, str) or not kind.startswith(FAMILIES):
        return None
    try:
        # Not the bytes: Leaf's list of failed calls may write the same alert in another way.
        said = json.dumps(item, sort_keys=True).encode()
    except RecursionError:
        return None
    return Alert(
        type=one_line(kind, limit=TYPE_CHARS),
        credential_id=identifier(item.get("credentialId")),
        leaf_user_id=identifier(item.get("leafUserId")),
        digest=hashlib.sha256(said).digest(),
    )


def _receive(database: Database, alert: Alert, *, missed: bool) -> bool:
    try:
        with database.transaction() as session:
            if session.get(SeenAlert, alert.digest) is not None:
                return False
            connection_id = _connection_id(session, alert)
            unknown = () if connection_id else _to_ask_around(session)
            recently = connection_id is not None and _was_alerted(session, connection_id)
            seen = SeenAlert(digest=alert.digest, received_at=now(), connection_id=connection_id)
            seen.asked_around = bool(unknown)
            session.add(seen)
            session.flush()  # of two deliveries at once, one ends here
            if connection_id is not None:
                connection = locked(session, connection_id)
                _record(session, connection, alert, missed=missed)
                _ask(connection, later=recently)
    except IntegrityError:
        return False
    for connection_id in unknown:
        # Each in a transaction of its own, as wherever several connections are changed.
        with database.transaction() as session:
            _ask(locked(session, connection_id), later=False)
    return True


def _connection_id(session: Session, alert: Alert) -> UUID | None:
    query = sa.select(Connection.id)
    if alert.credential_id:
        query = query.where(Connection.leaf_credential_id == alert.credential_id)
    elif alert.leaf_user_id:
        query = query.join(Grower).where(Grower.leaf_user_id == alert.leaf_user_id)
    else:
        return None
    return session.scalars(query.limit(1)).first()


def _was_alerted(session: Session, connection_id: UUID) -> bool:
    recent = sa.exists().where(
        SeenAlert.connection_id == connection_id, SeenAlert.received_at > now() - PAUSE
    )
    return bool(session.scalar(sa.select(recent)))


def _to_ask_around(session: Session) -> Sequence[UUID]:
    """Connections that an alert of an unknown credential may be about: those without a known id.

    Leaf's older answers had none. Most such alerts are of other applications of the same API
    owner, so they are asked about only now and then, and a few at a time.
    """
    since = now() - ASKING_AROUND_PAUSE
    recent = sa.exists().where(SeenAlert.received_at > since, SeenAlert.asked_around)
    if session.scalar(sa.select(recent)):
        return ()
    query = (
        sa.select(Connection.id)
        .where(Connection.leaf_credential_id.is_(None))
        .where(Connection.stage.in_((Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED)))
        .order_by(Connection.checked_at)
        .limit(ASKED_AROUND)
    )
    return session.scalars(query).all()


def _record(session: Session, connection: Connection, alert: Alert, *, missed: bool) -> None:
    late = {"found": "among the calls that failed"} if missed else {}
    history.record(session, connection, "alert_received", type=alert.type, **late)


def _ask(connection: Connection, *, later: bool) -> None:
    """Let a worker ask Leaf.

    :param connection: locked
    :param later: within `PAUSE` instead of at once
    """
    if not connection.is_at_leaf:
        return
    # As after a change: the alert may have been faster than what Leaf shows.
    connection.checks = 0
    if not later:
        owe_check(connection)
    elif connection.check_due_at is None or connection.check_due_at > now() + PAUSE:
        connection.check_due_at = now() + PAUSE
