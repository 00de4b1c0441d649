"""An attempt at John Deere's consent, from the click to the token."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import growers, history, listing
from onboarding.connections.owed import give_up_token, owe_hand_over
from onboarding.db import Database
from onboarding.deere import Tokens
from onboarding.errors import ConsentElsewhere, ConsentExpired, TokenUnreadable
from onboarding.links import digest, matches, new_secret
from onboarding.models import ATTEMPT_LIFETIME, Attempt, Connection, Link, locked
from onboarding.queue import Queue
from onboarding.settings import Settings
from onboarding.states import OUR_FAULT, Cause, Health, Outcome, Stage
from onboarding.vault import Vault

ACCESS_TOKEN_KEPT = timedelta(hours=1)
"""Long enough to choose organizations; afterwards Leaf is asked instead."""
PAUSES_BETWEEN_KEEPING = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds; a database that is started anew is back by then."""
LAST_KEEPING_AFTER_SECONDS = 35.0
"""No try begins later: SQLite itself waits for half a minute for another writer."""
FAILURES_COUNTED = timedelta(hours=1)
TROUBLED_AFTER = 3
"""From this many failed attempts in that time a grower is pointed to a person."""
FAILURES = frozenset(Outcome) - {Outcome.AUTHORIZED}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """A new attempt and the secrets that leave in the redirect and the cookie."""

    attempt_id: UUID
    began: datetime
    state: str = field(repr=False)
    code_verifier: str = field(repr=False)
    browser_secret: str = field(repr=False)


def start(
    session: Session,
    vault: Vault,
    settings: Settings,
    link: Link,
    *,
    other_account: bool = False,
    in_popup: bool = False,
) -> Started:
    """Begin an attempt for a link's grower.

    :param settings: of the application as which John Deere is asked
    :param other_account: let John Deere ask for the sign-in again
    :param in_popup: whether a frame opened the page in a window of its own
    """
    connection = locked(session, growers.connection_id_of(session, link.grower_id))
    state, verifier, browser = new_secret(), new_secret(), new_secret()
    attempt = Attempt(
        connection_id=connection.id,
        link_id=link.id,
        state_digest=digest(state),
        browser_digest=digest(browser),
        created_at=now(),
        client_key=settings.deere_client_key,
        environment=settings.deere_environment,
        in_popup=in_popup,
    )
    session.add(attempt)
    session.flush()
    attempt.code_verifier = vault.encrypt(verifier, place=attempt.verifier_place)
    if connection.stage in {Stage.INVITED, Stage.DISCONNECTED}:
        connection.stage_before = connection.stage
        connection.stage = Stage.AUTHORIZING
    listing.note_opened(session, connection.id, link.id, at=attempt.created_at)
    how = "another_account" if other_account else ""
    history.record(session, connection, "attempt_started", who=history.GROWER, how=how)
    return Started(attempt.id, attempt.created_at, state, verifier, browser)


def find(
    session: Session, *, state: str | None, browser_secret: Callable[[Attempt], str | None]
) -> Attempt:
    """The attempt that a callback belongs to, used or not.

    :param browser_secret: gives the value of this browser's cookie for an attempt, if it has one
    :raise ConsentExpired: if the state is missing or unknown, or so old that the browser which
        started has dropped its cookie
    :raise ConsentElsewhere: if another browser started the attempt
    """
    attempt = session.scalar(sa.select(Attempt).where(Attempt.state_digest == digest(state or "")))
    if attempt is None:
        raise ConsentExpired("no such state")
    # A missing cookie is compared like a wrong one, so that both take the same time.
    if matches(browser_secret(attempt) or "", attempt.browser_digest):
        return attempt
    if now() >= attempt.created_at + ATTEMPT_LIFETIME:
        raise ConsentExpired("too old", attempt.id)
    raise ConsentElsewhere(attempt.id)


def note_elsewhere(attempt: Attempt) -> None:
    """Write down that an attempt came back in another browser.

    It counts once for the hint to ask a person, and changes nothing else: whoever holds the state
    could do this, and the grower may yet come back in their own browser.
    """
    if attempt.elsewhere_at is None:
        attempt.elsewhere_at = now()


def use(session: Session, vault: Vault, attempt: Attempt) -> str | None:
    """Use up the attempt's state, before anything is exchanged for it.

    :return: the PKCE verifier for the exchange; None if the state was used before or is too old,
        or if no key reads the verifier any more, which ends the attempt
    """
    used = session.execute(
        sa.update(Attempt)
        .where(
            Attempt.id == attempt.id,
            Attempt.used_at.is_(None),
            Attempt.created_at > now() - ATTEMPT_LIFETIME,
        )
        .values(used_at=now())
        .returning(Attempt.code_verifier)
    ).one_or_none()
    if used is None or used.code_verifier is None:
        return None
    listing.touch(session, attempt.connection_id)
    try:
        verifier = vault.decrypt(used.code_verifier, place=attempt.verifier_place)
    except TokenUnreadable as err:
        finish(session, attempt, Outcome.INTERRUPTED, detail=str(err))
        return None
    attempt.code_verifier = None
    return verifier


def finish(session: Session, attempt: Attempt, outcome: Outcome, *, detail: str = "") -> None:
    """End an attempt that brought no token; what was connected before stays as it was.

    :param detail: for staff: what John Deere said, without secrets
    """
    attempt.outcome = outcome
    attempt.ended_at = now()
    attempt.detail = detail
    attempt.code_verifier = None
    connection = locked(session, attempt.connection_id)
    if connection.stage is Stage.AUTHORIZING and not _has_open_attempt(session, connection):
        connection.stage = connection.stage_before or Stage.INVITED
    history.record(
        session, connection, f"attempt_{outcome.value}", who=history.GROWER, detail=detail
    )
    if outcome in OUR_FAULT:
        log.error("Attempt of %s ended: %s: %s", connection.reference, outcome.value, detail)


def keep(
    database: Database,
    vault: Vault,
    queue: Queue,
    settings: Settings,
    attempt_id: UUID,
    tokens: Tokens,
) -> None:
    """Take the tokens in, in one transaction: from its commit on nothing may lose them.

    The code has been used up, so a database that is away for a moment is asked again while the
    grower waits.

    :param settings: of the application that the attempt began with
    :raise SQLAlchemyError: if it is away for longer
    """
    began = time.monotonic()
    for pause in (*PAUSES_BETWEEN_KEEPING, None):
        try:
            with database.transaction() as session:
                attempt = session.get_one(Attempt, attempt_id)
                receive(session, vault, queue, settings, attempt=attempt, tokens=tokens)
        except (OperationalError, PoolTimeout) as err:
            if pause is None or time.monotonic() - began > LAST_KEEPING_AFTER_SECONDS:
                raise
            what = str(getattr(err, "orig", err)).partition("\n")[0]
            log.warning("The tokens could not be stored, we try again: %s", what)
            time.sleep(pause)
        else:
            return


def receive(
    session: Session,
    vault: Vault,
    queue: Queue,
    settings: Settings,
    *,
    attempt: Attempt,
    tokens: Tokens,
) -> None:
    """Take the tokens in. Doing so again, after a commit whose answer was lost, changes nothing.

    Without a refresh token there is nothing that Leaf could use: the attempt fails, and staff are
    told to look at the application's scopes.
    """
    # The attempt first, as everywhere, so that nobody waits crosswise.
    session.refresh(attempt, with_for_update={"of": [Attempt]})
    if attempt.outcome in {Outcome.AUTHORIZED, Outcome.NO_REFRESH_TOKEN}:
        return
    connection = locked(session, attempt.connection_id)
    if tokens.refresh_token is None:
        _note_missing_refresh_token(session, attempt, connection)
        return
    moment = now()
    attempt.outcome = Outcome.AUTHORIZED
    attempt.ended_at = moment
    attempt.access_token = vault.encrypt(tokens.access_token, place=attempt.access_token_place)
    kept = ACCESS_TOKEN_KEPT
    if tokens.expires_in is not None:
        kept = min(kept, timedelta(seconds=tokens.expires_in))
    attempt.access_token_until = moment + kept
    give_up_token(connection)
    connection.refresh_token = vault.encrypt(tokens.refresh_token, place=connection.token_place)
    connection.token_received_at = moment
    connection.scopes_asked = list(settings.deere_scopes)
    connection.scopes_granted = sorted(tokens.scopes)
    connection.client_key = settings.deere_client_key
    connection.environment = settings.deere_environment
    connection.terms_url = None
    # Perhaps it is another account: what was seen of the last one is no news of this one.
    connection.organizations.clear()
    connection.organizations_seen_at = None
    connection.leaf_listed_at = None
    connection.returned_at = None
    connection.choose_url = None
    connection.sharing_trouble = None
    connection.sharing_detail = ""
    connection.sync_owed = False
    connection.selection_owed = True
    connection.health = Health.UNKNOWN
    connection.health_text = ""
    history.record(session, connection, "token_received", who=history.GROWER)
    missing = sorted(set(settings.deere_scopes) - tokens.scopes)
    if missing:
        history.record(session, connection, "scopes_missing", scopes=missing)
    owe_hand_over(session, queue, connection)


def latest_authorized(session: Session, connection_id: UUID) -> Attempt | None:
    """The newest attempt that brought a token."""
    return session.scalar(
        sa.select(Attempt)
        .where(Attempt.connection_id == connection_id, Attempt.outcome == Outcome.AUTHORIZED)
        .order_by(Attempt.ended_at.desc())
        .limit(1)
    )


def latest(session: Session, connection_id: UUID) -> Attempt | None:
    """The newest attempt of a connection."""
    return session.scalar(
        sa.select(Attempt)
        .where(Attempt.connection_id == connection_id)
        .order_by(Attempt.created_at.desc())
        .limit(1)
    )


def is_troubled(session: Session, connection_id: UUID, *, moment: datetime) -> bool:
    """Whether so many attempts failed lately that a person should help."""
    failed = session.scalar(
        sa.select(sa.func.count())
        .select_from(Attempt)
        .where(
            Attempt.connection_id == connection_id,
            Attempt.created_at > moment - FAILURES_COUNTED,
            sa.or_(Attempt.outcome.in_(FAILURES), _is_lost_elsewhere()),
        )
    )
    return (failed or 0) >= TROUBLED_AFTER


def _is_lost_elsewhere() -> sa.ColumnElement[bool]:
    return sa.and_(Attempt.outcome.is_(None), Attempt.elsewhere_at.is_not(None))


def _has_open_attempt(session: Session, connection: Connection) -> bool:
    """Whether the grower may still come back from John Deere in another tab."""
    session.flush()
    return bool(
        session.scalar(
            sa.select(Attempt.id)
            .where(
                Attempt.connection_id == connection.id,
                Attempt.outcome.is_(None),
                Attempt.created_at > now() - ATTEMPT_LIFETIME,
            )
            .limit(1)
        )
    )


def _note_missing_refresh_token(session: Session, attempt: Attempt, connection: Connection) -> None:
    stands = connection.is_at_leaf or connection.stage is Stage.DISCONNECTING
    detail = "John Deere gave no refresh token: is the application allowed offline_access?"
    finish(session, attempt, Outcome.NO_REFRESH_TOKEN, detail=detail)
    if not stands and connection.refresh_token is None:
        connection.stage = Stage.FAILED
        connection.cause = Cause.NO_REFRESH_TOKEN
        connection.detail = detail
