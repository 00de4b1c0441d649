"""What partners' programs do with a connection. Doing it again is the same as once."""

from __future__ import annotations

from sqlalchemy.orm import Session

from onboarding.connections import disconnect, history, selection
from onboarding.models import Connection, Organization, locked
from onboarding.queue import Queue
from onboarding.states import Stage, SyncChoice

REASON_MAX = disconnect.REASON_MAX


def choose(
    session: Session, connection: Connection, organization_id: str, choice: SyncChoice
) -> Organization | None:
    """Let Leaf fetch an organization, or not; a worker tells it.

    :param choice: `SELECTED` or `PREVIEW`
    :return: None: the connection has no such organization
    :raise InputInvalid: if that can't be chosen as things stand
    """
    rows = locked(session, connection.id).organizations
    row = next((one for one in rows if one.deere_id == organization_id), None)
    is_news = row is not None and not (row.connected and row.sync_chosen is choice)
    if is_news:  # else Leaf has been told, or will be
        selection.choose(session, connection, organization_id, choice, who=history.PARTNER)
    return row


def end(session: Session, queue: Queue, connection: Connection, *, reason: str = "") -> None:
    """Let a connection end; a worker has Leaf delete what it holds.

    :param reason: for staff, in one line; empty: none is given
    :raise InputInvalid: if there is nothing to end
    """
    if locked(session, connection.id).stage is not Stage.DISCONNECTED:
        disconnect.ask(session, queue, connection, who=history.PARTNER, reason=reason)
