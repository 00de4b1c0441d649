"""The refresh token's way to Leaf.

Every step can be repeated: what a crash leaves half done, the next try finds and finishes. Two
workers never work on one token: a try has a number, and only the newest number counts.
"""

from __future__ import annotations

import random
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.connections.consent import owe_hand_over
from onboarding.db import Database
from onboarding.errors import (
    EnvironmentMismatch,
    InputInvalid,
    SignInRefused,
    TokenUnreadable,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import Credential, Leaf
from onboarding.models import Connection, Grower, locked
from onboarding.queue import Queue
from onboarding.settings import Settings
from onboarding.states import Cause, Stage
from onboarding.vault import Vault

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=30)
NOT_FOUND = 404
NONE_BEFORE = ""
UNNAMED_BEFORE = "?"
"""Leaf's older answers carry no id."""


class TakenOver(Exception):
    """Another try has this token now; this one must not touch Leaf any more."""


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
    """Give the waiting refresh token to Leaf. Calling it again does no harm.

    An outage enqueues the next try, a refusal makes the connection `failed`; both are states
    that people see, so nothing is raised for them.

    :param number: of the try; an outdated one does nothing
    """
    if not _take(database, connection_id, number=number, worker_id=worker_id):
        return
    task = _Delivery(database, vault, leaf, settings, connection_id, number)
    try:
        credential = task.deliver()
    except TakenOver:
        return
    except TokenUnreadable as err:
        _wait(database, queue, task, Cause.TOKEN_UNREADABLE, detail=str(err))
    except SignInRefused as err:
        _wait(database, queue, task, Cause.LEAF_SIGN_IN_REFUSED, detail=str(err))
    except UpstreamUnavailable as err:
        pause = timedelta(seconds=err.retry_after or 0)
        _wait(database, queue, task, Cause.LEAF_UNAVAILABLE, detail=str(err), least=pause)
    except UpstreamRejected as err:
        _fail(database, task, _cause_of(err), detail=str(err))
    except _ApplicationChanged as err:
        _fail(database, task, Cause.APPLICATION_CHANGED, detail=str(err))
    else:
        _complete(database, queue, task, credential)


def retry(session: Session, queue: Queue, connection: Connection) -> None:
    """Let a hand-over that failed be tried again, after a person has mended the reason.

    :raise InputInvalid: if no token is kept; then only the grower can connect again
    """
    connection = locked(session, connection.id)
    if connection.refresh_token is None:
        raise InputInvalid("No token is kept for this connection: the grower must connect again.")
    # The clock of the thirty days starts anew: somebody looks after it.
    connection.token_received_at = now()
    history.record(session, connection, "hand_over_retried", who=history.STAFF)
    owe_hand_over(session, queue, connection)


class _ApplicationChanged(Exception):
    """The token was issued to another application than the one set now."""


class _Delivery:
    """One try: what it knows, and its steps in order."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        leaf: Leaf,
        settings: Settings,
        connection_id: UUID,
        number: int,
    ) -> None:
        self._database = database
        self._vault = vault
        self._leaf = leaf
        self._settings = settings
        self.connection_id = connection_id
        self.number = number

    def deliver(self) -> Credential:
        """Make sure that Leaf holds this token's credential, and return it."""
        with self._database.reading() as session:
            connection = session.get_one(Connection, self.connection_id)
            token = self._token(connection)
            grower = connection.grower
        self._check_application(connection)
        leaf_user_id = grower.leaf_user_id or self._find_or_create_user(grower)
        if grower.partner.select_organizations:
            # Before the credentials: Leaf begins to sync as soon as it has them.
            self._leaf.configure(leaf_user_id, organization_data_sync="SELECTED_ONLY")
        held = self._leaf.credential(leaf_user_id, refresh_token=token)
        if held is not None and _is_ours(connection, held):
            return held
        self._announce_post(held)
        if held is not None:
            self._leaf.detach(leaf_user_id)
        return self._post(leaf_user_id, token)

    def current(self, session: Session) -> Connection:
        """The connection, for writing, if this try is still the one that counts.

        :raise TakenOver: if it is not
        """
        connection = locked(session, self.connection_id)
        if connection.hand_over_try != self.number or connection.refresh_token is None:
            raise TakenOver
        return connection

    def _token(self, connection: Connection) -> str:
        if connection.refresh_token is None:
            raise TakenOver
        return self._vault.decrypt(connection.refresh_token, place=connection.token_place)

    def _check_application(self, connection: Connection) -> None:
        settings = self._settings
        wanted = (connection.client_key, connection.environment)
        if wanted != (settings.deere_client_key, settings.deere_environment):
            raise _ApplicationChanged(
                f"The grower consented to application {connection.client_key} "
                f"({connection.environment}); the settings name {settings.deere_client_key} "
                f"({settings.deere_environment}). Set the old one and retry, or ask the grower "
                "to connect again."
            )

    def _find_or_create_user(self, grower: Grower) -> str:
        """The grower's Leaf user.

        Two partners may use the same external id for different growers, so a Leaf user that
        belongs to another grower of ours is passed over.
        """
        for user in self._leaf.users(external_id=grower.external_id):
            if self._claim_user(grower.id, user.id):
                return user.id
        user = self._leaf.create_user(
            name=grower.name, external_id=grower.external_id, email=grower.email
        )
        if not self._claim_user(grower.id, user.id):
            raise UpstreamUnavailable("Leaf", "create user", reason="id is taken by another grower")
        return user.id

    def _claim_user(self, grower_id: UUID, leaf_user_id: str) -> bool:
        try:
            with self._database.transaction() as session:
                session.get_one(Grower, grower_id).leaf_user_id = leaf_user_id
        except IntegrityError:
            return False
        return True

    def _announce_post(self, held: Credential | None) -> None:
        before = NONE_BEFORE if held is None else held.id or UNNAMED_BEFORE
        with self._database.transaction() as session:
            connection = self.current(session)
            connection.post_began_at = now()
            connection.credential_before_post = before
            if held is not None:
                history.record(session, connection, "credential_replaced", credential=before)

    def _post(self, leaf_user_id: str, token: str) -> Credential:
        try:
            return self._leaf.attach(
                leaf_user_id,
                client_key=self._settings.deere_client_key,
                client_secret=self._settings.deere_client_secret,
                refresh_token=token,
                environment=self._settings.deere_environment,
            )
        except UpstreamRejected:
            # "There is one already" may be our own, from a try whose answer was lost.
            held = self._leaf.credential(leaf_user_id, refresh_token=token)
            if held is not None and held.holds_token:
                return held
            raise


def _take(database: Database, connection_id: UUID, *, number: int, worker_id: UUID) -> bool:
    with database.transaction() as session:
        taken = session.scalar(
            sa.update(Connection)
            .where(
                Connection.id == connection_id,
                Connection.hand_over_try == number,
                Connection.refresh_token.is_not(None),
                Connection.hand_over_taken_by.is_(None),
                Connection.stage == Stage.HANDING_OVER,
            )
            .values(hand_over_taken_by=worker_id)
            .returning(Connection.id)
        )
        return taken is not None


def _is_ours(connection: Connection, held: Credential) -> bool:
    """Whether the credential at Leaf came from the token that we hold."""
    if held.holds_token:
        return True
    if connection.post_began_at is None:
        return False
    # We began to post this token and something new is there. (Its token may differ from ours by
    # now: Leaf refreshes it, and John Deere may give it another.)
    before = connection.credential_before_post
    return before == NONE_BEFORE or (held.id is not None and held.id != before)


def _complete(database: Database, queue: Queue, task: _Delivery, credential: Credential) -> None:
    with database.transaction() as session:
        try:
            connection = task.current(session)
        except TakenOver:
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
        connection.stage = Stage.CHOOSING_ORGANIZATIONS
        connection.settle()
        connection.checks = 0
        history.record(session, connection, "handed_over", status=credential.raw_status)
        queue.check(session, connection.id)


def _wait(
    database: Database,
    queue: Queue,
    task: _Delivery,
    cause: Cause,
    *,
    detail: str,
    least: timedelta = timedelta(0),
) -> None:
    with database.transaction() as session:
        try:
            connection = task.current(session)
        except TakenOver:
            return
        moment = now()
        began = connection.token_received_at or moment
        if moment - began > GIVEN_UP_AFTER:
            _note_failure(session, connection, Cause.GIVEN_UP, detail)
            return
        if connection.waiting_since is None:
            connection.waiting_since = moment
            history.record(session, connection, "hand_over_waits", detail=detail)
        connection.cause = cause
        connection.detail = detail
        pause = max(least, _pause(moment - connection.waiting_since))
        connection.hand_over_try += 1
        connection.hand_over_taken_by = None
        connection.hand_over_due_at = moment + pause
        queue.hand_over(session, connection.id, number=connection.hand_over_try, after=pause)


def _pause(waited: timedelta) -> timedelta:
    """As long again as it has been so far, within bounds; with jitter against stampedes."""
    pause = min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
    return pause * random.uniform(0.8, 1.0)  # noqa: S311


def _fail(database: Database, task: _Delivery, cause: Cause, *, detail: str) -> None:
    with database.transaction() as session:
        try:
            connection = task.current(session)
        except TakenOver:
            return
        _note_failure(session, connection, cause, detail)


def _note_failure(session: Session, connection: Connection, cause: Cause, detail: str) -> None:
    connection.stage = Stage.FAILED
    connection.cause = cause
    connection.detail = detail
    connection.hand_over_due_at = None
    connection.hand_over_taken_by = None
    history.record(session, connection, "hand_over_failed", cause=cause.value, detail=detail)


def _cause_of(err: UpstreamError) -> Cause:
    if isinstance(err, EnvironmentMismatch):
        return Cause.ENVIRONMENT_MISMATCH
    if err.status == NOT_FOUND:
        return Cause.LEAF_USER_MISSING
    return Cause.LEAF_REFUSED
