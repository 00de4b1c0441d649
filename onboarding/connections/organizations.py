"""John Deere is asked which organizations a grower shares, and the grower sent there to choose."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import consent, history, sharing
from onboarding.connections.owed import owe_check
from onboarding.db import Database
from onboarding.deere import Deere
from onboarding.deere import Organization as DeereOrganization
from onboarding.errors import (
    OrganizationsLeftOut,
    TermsNotAccepted,
    TokenUnreadable,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.models import Attempt, Connection, locked
from onboarding.states import Outcome, SharingTrouble, Urgency
from onboarding.vault import Vault

READS_AFTER_RETURN = 3
PAUSE_BETWEEN_READS_SECONDS = 2.0
"""Three reads, two pauses: John Deere may need a moment after "Save"."""
READING_SECONDS = 20.0
"""For all pages of one reading: a thread of web is busy meanwhile."""
LAST_READ_AFTER_SECONDS = 4.0
"""The last of several reads begins within six seconds of the first."""
LOOK_AFTER_SENDING = timedelta(seconds=30)
FORBIDDEN = 403
ACCESS_DENIED = "access denied"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What John Deere said of the organizations."""

    found: Sequence[DeereOrganization]
    failure: UpstreamRejected | UpstreamUnavailable | None = None
    """Why it said nothing."""


@dataclass(frozen=True)
class Look:
    """What came of asking John Deere."""

    asked: bool
    """Whether John Deere was asked, so that what is written down is of now."""
    page_to_choose: str | None = None
    """John Deere's page, if the grower is to be sent there now."""


def look(
    database: Database,
    vault: Vault,
    deere: Deere,
    attempt_id: UUID,
    *,
    reads: int = 1,
    send: bool = False,
    returned: bool = False,
) -> Look:
    """Read the organizations at John Deere with the attempt's access token and write them down.

    Trouble at John Deere is written down too: it is a state of the connection, no exception.
    Without an access token Leaf is asked, by a worker.

    :param reads: how often to read at most while none is connected
    :param send: also decide, in the same transaction, whether the grower is to go and choose
    :param returned: the grower comes back from choosing just now
    """
    began = now()
    with database.reading() as session:
        token = _access_token(vault, session.get_one(Attempt, attempt_id))
    reading = None if token is None else read(deere, token, reads=reads)
    with database.transaction() as session:
        attempt = session.get_one(Attempt, attempt_id)
        return note(
            session, deere, attempt, reading, send=send, returned_at=began if returned else None
        )


def read(deere: Deere, access_token: str, *, reads: int = 1) -> Reading:
    """Ask John Deere for the organizations. Nothing is written down yet.

    :param reads: how often to read at most while none is connected
    """
    return Reading(*_read(deere, access_token, reads))


def note(
    session: Session,
    deere: Deere,
    attempt: Attempt,
    reading: Reading | None,
    *,
    send: bool = False,
    returned_at: datetime | None = None,
) -> Look:
    """Write down what John Deere said.

    :param reading: None: there is no access token to ask with, so a worker asks Leaf
    :param send: also decide whether the grower is to go and choose
    :param returned_at: when the grower came back from choosing, if they did just now
    """
    connection = locked(session, attempt.connection_id)
    if reading is None:
        if returned_at is not None:
            connection.returned_at = returned_at
        _let_leaf_look(connection)
        return Look(asked=False)
    newest = consent.latest_authorized(session, connection.id)
    if newest is None or newest.id != attempt.id:
        # Another account has been signed in with meanwhile; this is no news of that one.
        return Look(asked=False)
    if connection.is_ending:
        return Look(asked=False)  # what was forgotten is not to come back
    if returned_at is not None:
        connection.returned_at = returned_at
    if reading.failure is not None:
        _note_trouble(session, connection, reading.failure)
    else:
        _note_organizations(session, deere, connection, reading.found)
    page = _send_to_choose(connection, newest) if send else None
    return Look(asked=True, page_to_choose=page)


def _send_to_choose(connection: Connection, attempt: Attempt) -> str | None:
    """Where to send the grower for choosing organizations, once per attempt.

    :return: John Deere's page; None if one is shared, none can be, or the grower was sent before
    """
    if attempt.sent_to_choose_at or not connection.choose_url:
        return None
    if connection.has_shared_organization:
        return None
    if not any(organization.member for organization in connection.organizations):
        # Only other farms' organizations: probably the wrong account, so the grower is asked.
        return None
    _expect_choice(connection, attempt)
    return connection.choose_url


def page_for(
    session: Session, deere: Deere, connection: Connection, *, organization_id: str | None
) -> str:
    """John Deere's page for choosing organizations, or for one of them; the grower asked for it."""
    attempt = consent.latest_authorized(session, connection.id)
    if attempt is not None:
        _expect_choice(locked(session, connection.id), attempt)
    if organization_id is None and connection.choose_url:
        return connection.choose_url
    rows = [
        DeereOrganization(
            id=row.deere_id,
            name=row.name,
            member=row.member,
            connected=row.connected,
            manage_uri=row.manage_url,
            connect_uri=None,
        )
        for row in connection.organizations
    ]
    return deere.page_to_choose(rows, organization_id=organization_id)


def returning(session: Session, connection_ids: Sequence[UUID]) -> Attempt | None:
    """The attempt that a browser comes back with from John Deere's page for organizations.

    John Deere returns with no code and no state, so it is the newest of those that this browser
    authorized.

    :param connection_ids: the connections that the browser has a valid cookie for
    """
    return session.scalar(
        sa.select(Attempt)
        .where(Attempt.connection_id.in_(connection_ids), Attempt.outcome == Outcome.AUTHORIZED)
        .order_by(sa.func.coalesce(Attempt.sent_to_choose_at, Attempt.created_at).desc())
        .limit(1)
    )


def _expect_choice(connection: Connection, attempt: Attempt) -> None:
    """The grower goes to John Deere's page now, and need not come back by the way we know."""
    attempt.sent_to_choose_at = now()
    # Owed even before Leaf has the credential: it may have it before the grower has chosen.
    connection.sync_owed = True
    if connection.is_at_leaf:
        # What a check asks Leaf at this moment is older than the sync that is owed from now on.
        connection.check_number += 1
        connection.checks = 0
        connection.check_due_at = now() + LOOK_AFTER_SENDING
        connection.check_urgency = Urgency.CHANGED


def _read(
    deere: Deere, token: str, reads: int
) -> tuple[list[DeereOrganization], UpstreamRejected | UpstreamUnavailable | None]:
    """What John Deere said last, each organization once, or why it says nothing."""
    found: dict[str, DeereOrganization] = {}
    began = time.monotonic()
    for number in range(reads):
        if number:
            time.sleep(PAUSE_BETWEEN_READS_SECONDS)
        try:
            listed = deere.organizations(token, budget=READING_SECONDS)
        except (UpstreamRejected, UpstreamUnavailable) as err:
            if number:
                break
            return [], err
        # A list that grows while its pages are read names one twice.
        found = {entry.id: entry for entry in sorted(listed, key=lambda entry: entry.connected)}
        is_shared = any(entry.connected for entry in listed)
        if is_shared or time.monotonic() - began > LAST_READ_AFTER_SECONDS:
            break
    return list(found.values()), None


def _let_leaf_look(connection: Connection) -> None:
    connection.sync_owed = True
    if connection.is_at_leaf:
        # Since John Deere spoke, the grower may have been on its page: now Leaf's word counts.
        connection.organizations_seen_at = None
        owe_check(connection)


def _access_token(vault: Vault, attempt: Attempt) -> str | None:
    until = attempt.access_token_until
    if attempt.access_token is None or until is None or until <= now():
        return None
    try:
        return vault.decrypt(attempt.access_token, place=attempt.access_token_place)
    except TokenUnreadable:
        # Its key is gone, and it would have lived for an hour: Leaf is asked instead.
        return None


def _note_organizations(
    session: Session,
    deere: Deere,
    connection: Connection,
    found: Sequence[DeereOrganization],
) -> None:
    connection.organizations_seen_at = now()
    sharing.take_from_deere(session, connection, found)
    connection.choose_url = deere.page_to_choose(found) if found else None
    connection.sharing_trouble = None if found else SharingTrouble.NO_ORGANIZATIONS
    connection.sharing_detail = ""
    if connection.has_shared_organization:
        sharing.forget_access_tokens(session, connection)
        # Owed even before Leaf has the credential: its POST may be on the way at this moment.
        connection.sync_owed = True
    if connection.is_at_leaf:
        connection.settle()
        owe_check(connection)


def _note_trouble(
    session: Session, connection: Connection, failure: UpstreamRejected | UpstreamUnavailable
) -> None:
    if isinstance(failure, TermsNotAccepted):
        trouble = SharingTrouble.TERMS_NOT_ACCEPTED
        connection.terms_url = failure.terms_url
    elif isinstance(failure, UpstreamRejected):
        trouble = _refusal(failure)
    else:
        trouble = SharingTrouble.DEERE_UNAVAILABLE
    connection.sharing_trouble = trouble
    connection.sharing_trouble_at = now()
    connection.sharing_detail = str(failure)
    history.record(session, connection, "organizations_not_read", detail=str(failure))


def _refusal(failure: UpstreamRejected) -> SharingTrouble:
    """Whether John Deere refuses the grower's account or our application.

    Only a 403 "Access Denied" is about the account (developer.deere.com, errors). Every other one
    is for staff: of the application's scopes and licence, of a gateway, or one that we don't know.
    """
    if isinstance(failure, OrganizationsLeftOut):
        # Perhaps the grower has none, but a key and a host of two environments look the same.
        log.error("John Deere does not say which organizations there are: %s", failure)
        return SharingTrouble.ANSWER_UNKNOWN
    if failure.status == FORBIDDEN and ACCESS_DENIED in failure.reason.lower():
        return SharingTrouble.PERMISSIONS_TOO_LOW
    log.error("John Deere refuses our application: %s", failure)
    return SharingTrouble.APPLICATION_REFUSED
